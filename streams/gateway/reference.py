"""The description of /api/v2 for programs, and docs/http.md, which is made from it."""

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

from fastapi import FastAPI

from streams.gateway import (
    agents_api,
    approvals_api,
    costs_api,
    estimates_api,
    history_api,
    letters_api,
    lists_api,
    outcomes_api,
    questions_api,
    schedules_api,
    sessions_api,
    storage_api,
    system_api,
)

TITLE: Final = "Cartrita"
OPENAPI_PATH: Final = "/api/v2/openapi.json"
APIS: Final = (
    lists_api,
    history_api,
    costs_api,
    questions_api,
    estimates_api,
    letters_api,
    system_api,
    storage_api,
    agents_api,
    schedules_api,
    sessions_api,
    approvals_api,
    outcomes_api,
)
"""Every part of /api/v2, in the order of the reference, in which paths are matched as well."""
_HEAD: Final = """# HTTP: /api/v2

Every request of `/api/v2`, with what it takes and answers. This page is made from the description that a
gateway serves at `GET /api/v2/openapi.json`, by `cartrita schemas document`; [front-door.md](front-door.md)
tells how requests belong together, who may send them, and what is beside them: `/health`, server-sent events
and WebSockets, and OpenAI's `/v1`.

Every request bears a token, `Authorization: Bearer TOKEN`. Bodies are JSON; a field that is not named here is
refused with 422.
"""
_SUCCESS_MAX: Final = 299

Json = Mapping[str, Any]  # Any: a document of OpenAPI
"""Some part of an OpenAPI document."""


def openapi_document(version: str) -> dict[str, Any]:  # Any: as above
    """Return what `GET /api/v2/openapi.json` answers."""
    app = FastAPI(title=TITLE, version=version)
    for api in APIS:
        app.include_router(api.router)
    return app.openapi()


def http_markdown() -> str:
    """Return docs/http.md."""
    document = _with_words_in_place(openapi_document("2"))
    operations = list(_operations(document))
    parts = [_HEAD, "| request | what it does |\n|---|---|"]
    parts[-1] += "".join(
        f"\n| [`{name}`](#{_anchor(name)}) | {_text(operation)} |" for name, operation in operations
    )
    parts += [_operation(name, operation) for name, operation in operations]
    parts.append("## What bodies hold")
    parts += [
        _body(name, schema)
        for name, schema in sorted(document["components"]["schemas"].items())
        if schema.get("properties")
    ]
    parts.append(_errors(operations[0][1]))
    return "\n\n".join(part.strip("\n") for part in parts) + "\n"


def _with_words_in_place(document: dict[str, Any]) -> dict[str, Any]:  # Any: as above
    """Return a document in which a value that is one of some words says so where it is named."""
    words = {
        f"#/components/schemas/{name}": schema
        for name, schema in document["components"]["schemas"].items()
        if "enum" in schema
    }

    def placed(part: Any) -> Any:  # Any: as above
        if isinstance(part, dict):
            return words.get(part.get("$ref", "")) or {key: placed(value) for key, value in part.items()}
        return [placed(one) for one in part] if isinstance(part, list) else part

    return cast("dict[str, Any]", placed(document))


def _operations(document: Json) -> Iterator[tuple[str, Json]]:
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"{method.upper()} {path}", operation


def _operation(name: str, operation: Json) -> str:
    told = [f"## {name}", _text(operation)]
    rows = [
        f"| `{one['name']}` | {one['in']} | {_type(one['schema'])} | {_need(required=one['required'])} |"
        for one in operation.get("parameters", ())
    ]
    if rows:
        told.append("\n".join(["| parameter | in | type | |", "|---|---|---|---|", *rows]))
    body = operation.get("requestBody")
    if body is not None:
        schema = body["content"]["application/json"]["schema"]
        told.append(f"Body: {_type(schema)}, {_need(required=body.get('required', False))}.")
    for status, response in operation["responses"].items():
        if int(status) <= _SUCCESS_MAX:
            told.append(f"Answer: {status}, {_type(response['content']['application/json']['schema'])}.")
    return "\n\n".join(told)


def _body(name: str, schema: Json) -> str:
    required = schema.get("required", ())
    rows = [
        f"| `{field}` | {_type(one)} | {_need(required=field in required)} | {_text(one)} |"
        for field, one in schema["properties"].items()
    ]
    return "\n".join(
        [f"### {name}", "", _text(schema), "", "| field | type | | |", "|---|---|---|---|", *rows]
    )


def _errors(operation: Json) -> str:
    rows = [
        f"| {status} | {response['description']} |"
        for status, response in operation["responses"].items()
        if int(status) > _SUCCESS_MAX
    ]
    intro = (
        "The same for every request, as `application/problem+json`: a sentence in `detail`, a word for "
        "programs in `code`, and in `param` the field that is wrong."
    )
    return "\n".join(["## What goes wrong", "", intro, "", "| status | what it says |", "|---|---|", *rows])


def _type(schema: Json) -> str:
    """Return in words what a value is."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return "any JSON" if name == "JsonValue" else f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join(f"`{one}`" for one in schema["enum"])
    kind = str(schema.get("format") or schema.get("type") or "any JSON")
    if kind == "array":
        kind = f"list of {_type(schema['items'])}"
    if kind == "null":
        return kind
    return ", ".join(
        [kind, *(f"{told} {_number(schema[key])}" for key, told in _BOUNDS.items() if key in schema)]
    )


_BOUNDS: Final = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
    "minLength": "length at least",
    "maxLength": "length at most",
    "maxItems": "at most",
}


def _number(bound: float) -> str:
    return f"{bound:,.0f}" if bound == int(bound) else f"{bound:,}"


def _need(*, required: bool) -> str:
    return "required" if required else "optional"


def _text(described: Json) -> str:
    return " ".join(str(described.get("description", "")).split())


def _anchor(heading: str) -> str:
    """Return how a heading is linked to on the usual hosts of documents."""
    kept = (one for one in heading.lower() if one.isalnum() or one in " -_")
    return "".join(kept).replace(" ", "-")
