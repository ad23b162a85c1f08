"""Where values come from that have no expression of their own: parameters, states, and returns."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from connectors.ui_analyzer.script import Script
from connectors.ui_analyzer.syntax import FUNCTION_KINDS, Syntax

STATES = frozenset(
    {
        "ref",
        "shallowRef",
        "useState",
        "React.useState",
        "$state",
        "writable",
        "createSignal",
        "useRef",
        "React.useRef",
    }
)
"""Calls that hold a value that may change."""


def loops_over(template: str, name: str) -> list[str]:
    """The lists whose items a template calls so: `{#each list as name}`, `v-for="name in list"`."""
    word = re.escape(name)
    svelte = re.findall(rf"\{{#each\s+([^{{}}]{{1,200}}?)\s+as\s+{word}(?![\w$])", template)
    vue = re.findall(
        rf"v-for=\"\s*\(?\s*{word}(?![\w$])[^\"]{{0,80}}?\)?\s+(?:in|of)\s+([^\"]{{1,200}})\"", template
    )
    return [*svelte, *vue]


def parameters_named(script: Script, name: str) -> Iterator[tuple[Script, Node | None]]:
    """An unknown value for each function that takes the name as a parameter."""
    word = re.compile(rf"(?<![\w$.]){re.escape(name)}(?![\w$])")
    for function in script.functions:
        parameters = function.node.child_by_field_name("parameters") or function.node.child_by_field_name(
            "parameter"
        )
        if parameters is not None and word.search(script.text(parameters)):
            given = _arguments(script, function, parameters, name)
            if given is None:
                yield script, items_of(script, function)
            else:
                yield from ((script, node) for node in given)


def _arguments(script: Script, function: Syntax, parameters: Node, name: str) -> list[Node] | None:
    """What a parameter gets where the function is called; None when it may also be called from elsewhere."""
    own = script.name_of(function)
    named = [script.text(part).split(":")[0].strip() for part in parameters.named_children]
    if not own or name not in named or own[:1].isupper():
        return None
    outer = function.node.parent
    while outer is not None and outer.type in ("variable_declarator", "lexical_declaration"):
        outer = outer.parent
    if outer is not None and outer.type == "export_statement":
        return None
    position = named.index(name)
    calls = [call for call in script.calls if call.callee == own]
    mentions = len(re.findall(rf"(?<![\w$]){re.escape(own)}(?![\w$])", script.code_text))
    if not calls or mentions != len(calls) + 1 or any(len(call.arguments) <= position for call in calls):
        return None
    return [call.arguments[position] for call in calls]


def items_of(script: Script, function: Syntax) -> Node | None:
    """What a callback gets its items from: `list` of `list.map(item => …)`, a promise; None for any other function."""
    call = function.parent
    callee = (
        call.node.child_by_field_name("function")
        if call is not None and call.kind == "call_expression"
        else None
    )
    if callee is None or callee.type != "member_expression":
        return None
    method = script.text(callee.child_by_field_name("property"))
    if method not in (
        "then",
        "map",
        "flatMap",
        "forEach",
        "filter",
        "find",
        "findLast",
        "some",
        "every",
        "sort",
    ):
        return None
    return callee.child_by_field_name("object")


def states(script: Script, target: Node, value: Node | None) -> Iterator[tuple[Script, Node | None]]:
    """The first value of a state and whatever its setter is given."""
    if value is None or value.type != "call_expression":
        yield script, None
        return
    callee = script.text(value.child_by_field_name("function"))
    if callee not in STATES:
        yield script, None
        return
    arguments = value.child_by_field_name("arguments")
    if arguments is not None and arguments.named_children:
        yield script, arguments.named_children[0]
    setter = script.text(target.named_children[1]) if len(target.named_children) > 1 else ""
    for call in script.calls:
        if setter and call.callee == setter:
            yield script, call.arguments[0] if call.arguments else None
    if setter and re.search(rf"[(,]\s*{re.escape(setter)}\s*[,)]", script.code_text):
        yield script, None  # Handed to somebody who calls it with what is not seen here.


def returned(body: Node) -> Iterator[Node]:
    """What the return statements of a function give, those of functions inside left out."""
    stack = [body]
    while stack:
        at = stack.pop()
        if at.type == "return_statement":
            yield from at.named_children[:1]
        elif at.type not in FUNCTION_KINDS:
            stack.extend(at.named_children)
