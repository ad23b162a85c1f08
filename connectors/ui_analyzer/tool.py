"""`analyze_ui` for the tool registry: JSON in, JSON out, with the schemas of both."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from connectors.ui_analyzer.analysis import TargetMissing, analyze
from connectors.ui_analyzer.options import LiveOptions, Options
from connectors.ui_analyzer.reports.json_report import json_schema, to_json

NAME = "analyze_ui"
CATEGORY = "analysis"
SAFETY_LEVEL = "safe"
DESCRIPTION = (
    "Measure how effective a web user interface is: ten metrics from 0 to 100, findings with file and line, "
    "recommendations by priority. Reads a folder; with a URL also opens the page in a browser."
)
FINDINGS_MAX = 200
"""Findings in a result for a model; the counts are always those of all findings."""
FINDINGS_DEFAULT = 20

PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {
        "path": {
            "type": "string",
            "minLength": 1,
            "maxLength": 4096,
            "description": "folder or file of the front-end",
        },
        "url": {
            "type": "string",
            "pattern": "^https?://",
            "maxLength": 2048,
            "description": "page to open as well",
        },
        "exclude": {
            "type": "array",
            "items": {"type": "string", "maxLength": 200},
            "maxItems": 50,
            "description": "patterns of files to leave out",
        },
        "findings_max": {
            "type": "integer",
            "minimum": 0,
            "maximum": FINDINGS_MAX,
            "default": FINDINGS_DEFAULT,
            "description": "how many findings to return at most",
        },
    },
    "required": ["path"],
    "additionalProperties": False,
}


def _result_schema() -> dict[str, object]:
    """The JSON Schema of a report, but that not every rule has to be listed."""
    schema = json_schema()
    properties = schema["properties"]
    assert isinstance(properties, dict)
    rules = {name: value for name, value in properties["rules"].items() if name != "minItems"}
    return {**schema, "properties": {**properties, "rules": rules}}


RESULT: dict[str, object] = _result_schema()


class RequestInvalid(ValueError):
    """The arguments do not fit PARAMETERS, or the path does not exist (the caller's fault, never retried)."""


async def analyze_ui(arguments: Mapping[str, object], *, root: Path | None = None) -> dict[str, object]:
    """Analyse in a thread, so that the event loop goes on.

    Args:
        arguments: as PARAMETERS has it.
        root: when given, `path` must be inside this folder.

    Raises:
        RequestInvalid: wrong arguments.
    """
    path, options, findings_max = _checked(arguments, root)
    try:
        analysis = await asyncio.to_thread(analyze, path, options)
    except TargetMissing as error:
        raise RequestInvalid(str(error)) from error
    result = to_json(analysis)
    for name in ("findings", "needs_review"):
        # A picture as text is of no use to a model, and thousands of tokens long.
        result[name] = [{**entry, "screenshot": ""} for entry in _listed(result[name])[:findings_max]]
    # All rules with their texts are 15,000 tokens; what a model can use is those that something fails.
    result["rules"] = [rule for rule in _listed(result["rules"]) if rule["failing"]]
    return result


def _listed(entries: object) -> list[dict[str, object]]:
    assert isinstance(entries, list)
    return entries


def _checked(arguments: Mapping[str, object], root: Path | None) -> tuple[Path, Options, int]:
    unknown = set(arguments) - {"path", "url", "exclude", "findings_max"}
    if unknown:
        raise RequestInvalid(f"unknown arguments: {', '.join(sorted(unknown))}")
    path = arguments.get("path")
    if not isinstance(path, str) or not path or "\0" in path:
        raise RequestInvalid("path must be text")
    target = Path(path)
    if root is not None:
        target = (root / path).resolve()
        if not target.is_relative_to(root.resolve()):
            raise RequestInvalid("path leads out of the folder that may be analysed")
    url = arguments.get("url")
    if url is not None and (not isinstance(url, str) or urlsplit(url).scheme not in ("http", "https")):
        raise RequestInvalid("url must begin with http:// or https://")
    exclude = arguments.get("exclude", [])
    if not isinstance(exclude, list) or not all(isinstance(entry, str) for entry in exclude):
        raise RequestInvalid("exclude must be a list of text")
    most = arguments.get("findings_max", FINDINGS_DEFAULT)
    if not isinstance(most, int) or isinstance(most, bool) or not 0 <= most <= FINDINGS_MAX:
        raise RequestInvalid(f"findings_max must be from 0 to {FINDINGS_MAX}")
    live = LiveOptions(url=url) if isinstance(url, str) else None
    return target, Options(exclude=tuple(exclude), live=live), most
