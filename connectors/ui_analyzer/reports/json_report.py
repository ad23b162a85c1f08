"""The analysis as JSON; `schema/analysis-v1.schema.json` describes it."""

import json
from dataclasses import fields, is_dataclass
from enum import Enum
from importlib.resources import files

from connectors.ui_analyzer.model import Analysis, RuleInfo, RuleResult

SCHEMA_VERSION = "1.1"
SCHEMA_ID = "urn:cartrita:ui-analysis:1.1"


def to_json(analysis: Analysis) -> dict[str, object]:
    """The analysis as plain values, with the version of the schema."""
    plain = _plain(analysis)
    assert isinstance(plain, dict)
    plain["rules"] = [_rule(result) for result in analysis.rules]
    return {"schema": SCHEMA_ID, "schema_version": SCHEMA_VERSION, **plain}


def render_json(analysis: Analysis) -> str:
    """The analysis as indented JSON text."""
    return json.dumps(to_json(analysis), indent=2, ensure_ascii=False) + "\n"


def json_schema() -> dict[str, object]:
    """The JSON Schema (2020-12) of `to_json`."""
    text = (
        files("connectors.ui_analyzer")
        .joinpath("schema", "analysis-v1.schema.json")
        .read_text(encoding="utf-8")
    )
    loaded = json.loads(text)
    assert isinstance(loaded, dict)
    return loaded


def _rule(result: RuleResult) -> dict[str, object]:
    info: RuleInfo = result.info
    return {
        "id": info.id,
        "category": info.category.value,
        "severity": info.severity.value,
        "confidence": info.confidence.value,
        "title": info.title,
        "reason": info.reason,
        "fix": info.fix,
        "reference": info.reference,
        "url": info.url,
        "applicable": result.applicable,
        "failing": result.failing,
        "critical": result.critical,
        "needs_review": result.needs_review,
    }


def _plain(value: object) -> object:
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if isinstance(value, str):
        # A lone surrogate cannot be written as UTF-8.
        return value.encode("utf-8", "replace").decode("utf-8")
    return value
