"""Recognises requests to a server in script."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import FUNCTION_KINDS, Syntax

_REQUEST = re.compile(
    r"^(?:(?:window|globalThis|self)\.)?fetch$|^\$fetch$|^ofetch$|^axios(?:\.(?:get|post|put|patch|delete|request))?$|"
    r"^ky(?:\.\w+)?$|^(?:\w+\.)*\$?(?:api|http|client|apiClient|httpClient)\.(?:get|post|put|patch|delete|request)$"
)


_JQUERY = re.compile(r"^(?:\$|jQuery)\.(?:ajax|get|post|getJSON)$")
_SETTLED = frozenset({"fail", "catch", "always"})


def unhandled_jquery(script: Script) -> Iterator[Call]:
    """Requests by jQuery of whose failure nobody learns: neither an `error` among the options nor a `fail` behind."""
    for call in script.calls:
        if not _JQUERY.match(call.callee) or not call.arguments:
            continue
        methods, outermost = chain(script, call)
        parent = outermost.parent
        if parent is None or parent.type != "expression_statement" or _SETTLED & set(methods):
            continue
        given = " ".join(script.code_of(node) for node in call.arguments if node.type not in FUNCTION_KINDS)
        named = any(node.type == "identifier" for node in call.arguments[-1:])
        if not named and re.search(r"\b(?:error|statusCode)\s*[:(]|[{,]\s*error\s*[,}]", given) is None:
            yield call


_XHR = frozenset({"XMLHttpRequest", "window.XMLHttpRequest"})
_TOLD = re.compile(
    r"\.on(?:error|timeout|loadend)\s*=|addEventListener\(\s*['\"](?:error|timeout|loadend)|\bstatus(?:Text)?\b|\breject\b|\.readyState\b[^;{}]*\)\s*return",
)


def unhandled_xhr(script: Script) -> Iterator[Call]:
    """Requests by `XMLHttpRequest` that are made and sent in one function, which never asks whether they failed."""
    for call in script.constructions:
        if call.callee not in _XHR:
            continue
        holder = call.item.node.parent
        name = script.text(
            None
            if holder is None
            else holder.child_by_field_name("name") or holder.child_by_field_name("left")
        )
        around = script.function_around(call.item)
        code = script.code_text if around is None else script.code_of(around)
        if not re.fullmatch(r"[A-Za-z_$][\w$]*", name) or _TOLD.search(code):
            continue
        word = re.escape(name)
        sent = re.search(rf"(?<![\w$.]){word}\.send\(", code)
        handed_on = re.search(rf"\breturn\s+{word}\b|[(,]\s*{word}\s*[,)]", code)
        if sent and not handed_on:
            yield call


def requests(script: Script) -> Iterator[Call]:
    """Calls that ask a server for something."""
    asked = [call for call in script.calls if _REQUEST.match(call.callee)]
    own = any(call.callee == "fetch" for call in asked) and _own_fetch(script)
    return (call for call in asked if not (own and call.callee == "fetch"))


def _own_fetch(script: Script) -> bool:
    """Whether `fetch` is a function of the file or of a hook rather than the browser's."""
    function = script.named_functions.get("fetch")
    # A method of that name is called on its object, never bare.
    return (function is not None and function.kind != "method_definition") or any(
        re.search(r"(?<![\w$:])fetch(?![\w$]|\s*:)", script.text(item.node.child_by_field_name("name")))
        for item in script.items("variable_declarator")
        if script.function_around(item) is None or item.node.child_by_field_name("value") is not None
    )


def is_fetch(call: Call) -> bool:
    """Whether a request is a plain `fetch`, which does not reject on an HTTP error."""
    return call.callee.endswith("fetch") and call.callee not in ("$fetch", "ofetch")


_LOCAL_ADDRESS = re.compile(
    r"^['\"`](?:data:|blob:)|\.toDataURL\(|createObjectURL\(|\.dataUrl\b|readAsDataURL|new URL\([^)]*import\.meta\.url",
    re.I,
)


def without_server(script: Script, call: Call) -> bool:
    """Whether what is fetched is in the page or its bundle (`data:`, `blob:`, an imported file): no server answers."""
    if not call.arguments:
        return False
    address = script.text(call.arguments[0])
    if _LOCAL_ADDRESS.search(address):
        return True
    name = re.fullmatch(r"[A-Za-z_$][\w$]*", address)
    if name is None:
        return False
    entry = script.imported.get(address)
    if entry is not None:
        return re.search(r"\?url$|\.\w{2,5}$", entry.module) is not None
    values = [
        script.text(item.node.child_by_field_name(field))
        for kind, target, field in (
            ("variable_declarator", "name", "value"),
            ("assignment_expression", "left", "right"),
        )
        for item in script.items(kind)
        if script.text(item.node.child_by_field_name(target)) == address
    ]
    return bool(values) and all(_LOCAL_ADDRESS.search(value) for value in values if value)


def chain(script: Script, call: Call) -> tuple[list[str], Node]:
    """The methods called on a call's promise (`then`, `catch` …) and the outermost node of the chain."""
    methods: list[str] = []
    node = call.item.node
    while (
        node.parent is not None and node.parent.type == "member_expression" and node.parent.parent is not None
    ):
        outer = node.parent.parent
        if outer.type != "call_expression":
            break
        methods.append(script.text(node.parent.child_by_field_name("property")))
        node = outer
    return methods, node


def awaited(call: Call) -> bool:
    """Whether the call itself is awaited (also inside parentheses or a type assertion)."""
    parent = call.item.parent
    return parent is not None and parent.kind == "await_expression"


def caught_by_caller(script: Script, function: Syntax | None) -> bool:
    """Whether every place that calls a named function handles its failure, or nobody calls it in this file."""
    name = script.name_of(function) if function is not None else ""
    if not name:
        return False
    calls = [call for call in script.calls if call.callee in (name, f"this.{name}")]
    handled = [call for call in calls if script.inside_try(call.item) or "catch" in chain(script, call)[0]]
    return bool(calls) and len(handled) == len(calls)


def returned(script: Script, call: Call) -> bool:
    """Whether the promise is handed on to the caller."""
    node = chain(script, call)[1]
    parent = node.parent
    while parent is not None and parent.type in (
        "parenthesized_expression",
        "await_expression",
        "as_expression",
        "non_null_expression",
    ):
        parent = parent.parent
    return parent is not None and (
        parent.type in ("return_statement", "pair", "arguments", "array") or parent.type == "arrow_function"
    )
