"""The sandbox as a tool of any framework needs it: JSON in, checked JSON out."""

from __future__ import annotations

import base64
import binascii
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import asdict

import jsonschema

from connectors.sandbox.errors import RequestInvalid
from connectors.sandbox.limits import (
    CODE_BYTES_MAX,
    FILES_COUNT_MAX,
    NAME_BYTES_MAX,
    TIMEOUT_MS_DEFAULT,
    TIMEOUT_MS_MAX,
    Limit,
)
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.result import Artefact, ExecutionResult, Status, ValueKind
from connectors.sandbox.sandbox import OutputHandler, Sandbox
from connectors.sandbox.tier import Tier

ARTEFACTS_INLINE_BYTES_MAX = 128 * 1024
"""Of all artefacts together; the content of what is beyond it is left out, and only a keeper has it."""
TEXT_BYTES_MAX = 64 * 1024
"""Of each stream in a result; all of it was passed on while the code ran."""

ArtefactKeeper = Callable[[Artefact], str]
"""Stores an artefact somewhere and returns the reference under which it can be had."""

PARAMETERS: dict[str, object] = {
    "type": "object",
    "properties": {
        "code": {
            "type": "string",
            "maxLength": CODE_BYTES_MAX,
            "description": "Python code; if its last line is an expression, its value is returned.",
        },
        "timeout": {
            "type": "integer",
            "minimum": 1,
            "maximum": TIMEOUT_MS_MAX // 1000,
            "default": TIMEOUT_MS_DEFAULT // 1000,
            "description": "Execution timeout in seconds.",
        },
        "packages": {
            "type": "array",
            "items": {"type": "string", "maxLength": 100},
            "maxItems": 32,
            "uniqueItems": True,
            "description": "Required packages, from the pre-approved list only; nothing is installed.",
        },
        "files": {
            "type": "array",
            "maxItems": FILES_COUNT_MAX,
            "description": "Files to put into the working directory first.",
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "minLength": 1, "maxLength": NAME_BYTES_MAX},
                    "text": {"type": "string"},
                    "base64": {"type": "string"},
                },
                "required": ["name"],
                "oneOf": [{"required": ["text"]}, {"required": ["base64"]}],
                "additionalProperties": False,
            },
        },
    },
    "required": ["code"],
    "additionalProperties": False,
}

_ERROR = {
    "type": "object",
    "properties": {name: {"type": "string"} for name in ("type", "message", "traceback")},
    "required": ["type", "message", "traceback"],
    "additionalProperties": False,
}

_ARTEFACT = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "size_bytes": {"type": "integer", "minimum": 0},
        "sha256": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
        "base64": {"type": ["string", "null"]},
        "reference": {"type": ["string", "null"]},
    },
    "required": ["name", "size_bytes", "sha256", "base64", "reference"],
    "additionalProperties": False,
}

_ISOLATION = {
    "type": "object",
    "properties": {
        "tier": {"enum": [tier.value for tier in Tier if tier is not Tier.REFUSE]},
        "user_id": {"type": "integer", "minimum": 1},
        "landlock_version": {"type": "integer", "minimum": 0},
        "seccomp": {"type": "boolean"},
        "canary_id": {"type": "string"},
        "scratch_fixed": {"type": "boolean"},
    },
    "required": ["tier", "user_id", "landlock_version", "seccomp", "canary_id", "scratch_fixed"],
    "additionalProperties": False,
}

_PROPERTIES: dict[str, object] = {
    "status": {"enum": [status.value for status in Status]},
    "stdout": {"type": "string"},
    "stderr": {"type": "string"},
    "value": {"description": "What the last line came to, as JSON, or its repr if JSON does not hold it."},
    "value_kind": {"enum": [kind.value for kind in ValueKind]},
    "return_value": {"type": "string", "description": "The exit code as text; empty if there is none."},
    "error": {"oneOf": [{"type": "null"}, _ERROR]},
    "exit_code": {"type": ["integer", "null"]},
    "signal": {"type": ["string", "null"]},
    "artefacts": {"type": "array", "items": _ARTEFACT},
    "artefacts_refused": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {"name": {"type": "string"}, "reason": {"type": "string"}},
            "required": ["name", "reason"],
            "additionalProperties": False,
        },
    },
    "limit_hit": {
        "enum": [None, *(limit.value for limit in Limit)],
        "description": "The limit that ended the run, as seen from outside.",
    },
    "limit_reported": {
        "enum": [None, *(limit.value for limit in Limit)],
        "description": "The limit that the code itself says it ran into.",
    },
    "start_time": {"type": "number", "minimum": 0, "description": "Seconds until the code began."},
    "execution_time": {"type": "number", "minimum": 0, "description": "Seconds from there to the end."},
    "cpu_time": {"type": "number", "minimum": 0, "description": "Processor seconds, starting included."},
    "isolation": _ISOLATION,
}

RESULT: dict[str, object] = {
    "type": "object",
    "properties": _PROPERTIES,
    "required": list(_PROPERTIES),
    "additionalProperties": False,
}

_ARGUMENTS_VALIDATOR = jsonschema.Draft202012Validator(PARAMETERS)


async def execute_python(
    arguments: Mapping[str, object],
    sandbox: Sandbox,
    on_output: OutputHandler | None = None,
    keep_artefact: ArtefactKeeper | None = None,
    tenant: str = "",
) -> dict[str, object]:
    """Run the code in `arguments`, which PARAMETERS describes, and return what RESULT describes.

    What the code itself fails at, limits included, is part of the result.

    Raises:
        RequestInvalid: the arguments do not match, or break a bound of the sandbox.
        SandboxUnavailable: no tier holds here; nothing was run.
        SandboxBusy: others are before this request, and nothing was run.
    """
    request = dataclasses.replace(parse(arguments), tenant=tenant)
    result = await sandbox.run(request, on_output)
    return render(result, keep_artefact)


def parse(arguments: Mapping[str, object]) -> ExecutionRequest:
    """Return the request that `arguments` describe.

    Raises:
        RequestInvalid: says where they do not match PARAMETERS.
    """
    fault = next(iter(_ARGUMENTS_VALIDATOR.iter_errors(arguments)), None)
    if fault is not None:
        raise RequestInvalid(f"{fault.json_path}: {fault.message[:300]}")
    code, timeout = arguments["code"], arguments.get("timeout", TIMEOUT_MS_DEFAULT // 1000)
    packages, files = arguments.get("packages", []), arguments.get("files", [])
    assert isinstance(code, str)
    # A whole float such as 5.0 is an integer to JSON Schema.
    assert isinstance(timeout, int | float)
    assert isinstance(packages, list)
    assert isinstance(files, list)
    contents: dict[str, bytes] = {}
    for file in files:
        if file["name"] in contents:
            raise RequestInvalid(f"file {file['name']!r} is given twice")
        contents[file["name"]] = _content(file)
    return ExecutionRequest(
        code=code, timeout_ms=int(timeout) * 1000, packages=tuple(packages), files=contents
    )


def render(result: ExecutionResult, keep_artefact: ArtefactKeeper | None = None) -> dict[str, object]:
    """Return `result` as the JSON that RESULT describes, at most 600 kB of it."""
    inline_bytes_left = ARTEFACTS_INLINE_BYTES_MAX
    artefacts = []
    for artefact in result.artefacts:
        inline = len(artefact.content) <= inline_bytes_left
        inline_bytes_left -= len(artefact.content) if inline else 0
        artefacts.append(_artefact(artefact, inline, keep_artefact))
    return {
        "status": result.status.value,
        "stdout": _cut(result.stdout),
        "stderr": _cut(result.stderr),
        "value": result.value,
        "value_kind": result.value_kind.value,
        "return_value": "" if result.exit_code is None else str(result.exit_code),
        "error": None if result.error is None else asdict(result.error),
        "exit_code": result.exit_code,
        "signal": result.signal_name,
        "artefacts": artefacts,
        "artefacts_refused": [asdict(refused) for refused in result.artefacts_refused],
        "limit_hit": None if result.limit_hit is None else result.limit_hit.value,
        "limit_reported": None if result.limit_reported is None else result.limit_reported.value,
        "start_time": result.start_ms / 1000,
        "execution_time": result.execution_ms / 1000,
        "cpu_time": result.cpu_ms / 1000,
        "isolation": {**asdict(result.isolation), "tier": result.isolation.tier.value},
    }


def _cut(text: str) -> str:
    """Return `text`, its middle left out if it is too long for a result."""
    encoded = text.encode()
    if len(encoded) <= TEXT_BYTES_MAX:
        return text
    quarter = TEXT_BYTES_MAX // 4
    head, tail = encoded[: 3 * quarter].decode(errors="ignore"), encoded[-quarter:].decode(errors="ignore")
    return f"{head}\n[{len(encoded) - TEXT_BYTES_MAX} bytes are left out here]\n{tail}"


def _artefact(artefact: Artefact, inline: bool, keep: ArtefactKeeper | None) -> dict[str, object]:
    return {
        "name": artefact.name,
        "size_bytes": len(artefact.content),
        "sha256": artefact.sha256,
        "base64": base64.b64encode(artefact.content).decode() if inline else None,
        "reference": None if keep is None else keep(artefact),
    }


def _content(file: Mapping[str, object]) -> bytes:
    try:
        if "text" in file:
            return str(file["text"]).encode()
        return base64.b64decode(str(file["base64"]).encode(), validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise RequestInvalid(f"file {file['name']!r} has no valid content: {error}") from error
