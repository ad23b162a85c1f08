"""Rules on the effects of React components, and on their counterparts in Vue and Svelte."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, page
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import FUNCTION_KINDS, Syntax

_REACT = "https://react.dev/"
_STATE = Category.STATE

EFFECTS = frozenset({"useEffect", "useLayoutEffect", "React.useEffect", "React.useLayoutEffect"})


def effects(script: Script) -> Iterator[tuple[Call, Syntax]]:
    """Effects with the function that they run."""
    for call in script.calls:
        if call.callee in EFFECTS:
            function = script.argument_function(call, 0)
            if function is not None:
                yield call, function


def returns_cleanup(script: Script, function: Syntax) -> bool:
    """Whether a function returns something of its own (not what a function inside it returns)."""
    body = function.node.child_by_field_name("body")
    if body is not None and body.type != "statement_block":
        return True
    for item in function.within("return_statement"):
        if script.function_around(item) is function and item.node.named_children:
            return True
    return False


def _effect_cleanup(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for _, function in effects(script):
            for what, item in _subscriptions(script, function):
                ended = (
                    "Observer" in what
                    and re.search(r"\.(?:disconnect|unobserve)\(", script.code_text) is not None
                )
                if ended or _kept_and_released(script, item):
                    tally.passed()
                else:
                    tally.check(
                        returns_cleanup(script, function),
                        item,
                        f"{what} is never undone: the effect returns no cleanup",
                    )
        if document.language in ("vue", "svelte"):
            _mounted_cleanup(script, document, tally)


_ENDING = {
    "addEventListener": r"removeEventListener|\.abort\(",
    "on": r"\.(?:off|removeListener|removeAllListeners|un|unsubscribe|destroy|close|disconnect)\(",
    "addListener": r"\.(?:removeListener|removeAllListeners|off|remove)\(",
    "subscribe": r"unsubscribe|\.(?:off|destroy|close|complete)\(",
}
"""Calls that begin a subscription, and what ends it."""


def _subscriptions(script: Script, function: Syntax | None) -> Iterator[tuple[str, Syntax]]:
    """What an effect subscribes to that outlives it: the page, a timer, and whatever it did not make itself."""
    for call in script.calls_in(function):
        text = script.text(call.item.node)
        if call.callee in ("setInterval", "window.setInterval"):
            yield "setInterval", call.item
        elif call.name == "addEventListener":
            lasting = call.callee in _LISTENERS_OF_THE_PAGE or _outlives(script, call, function)
            if lasting and not re.search(r"\bonce\s*:\s*true|\bsignal\b", text):
                yield f"{call.callee}({script.text(call.arguments[0]) if call.arguments else ''})", call.item
        elif call.name == "subscribe" and script.function_around(call.item) is function:
            yield call.callee, call.item
        elif (
            call.name in ("on", "addListener")
            and len(call.arguments) >= 2
            and call.arguments[0].type in ("string", "member_expression")
            and script.function_around(call.item) is function
            and _outlives(script, call, function)
        ):
            yield f"{call.callee}({script.text(call.arguments[0])})", call.item
    for construction in script.constructions:
        inside = function is None or function.start <= construction.item.start < function.end
        if inside and construction.callee in ("IntersectionObserver", "ResizeObserver", "MutationObserver"):
            yield construction.callee, construction.item


_LISTENERS_OF_THE_PAGE = frozenset(
    {
        "addEventListener",
        "window.addEventListener",
        "document.addEventListener",
        "globalThis.addEventListener",
        "document.body.addEventListener",
        "document.documentElement.addEventListener",
    }
)


def _outlives(script: Script, call: Call, function: Syntax | None) -> bool:
    """Whether what is subscribed to was there before the effect: a prop, a state, something imported."""
    match = re.match(r"([A-Za-z_$][\w$]*)(?:\.[\w$.]+)?\.\w+$", call.callee)
    if match is None or function is None:
        return False
    root = match.group(1)
    if root in ("this", "io", "d3", "$", "jQuery") or ".current." in call.callee:
        return False  # An element goes with the component, and takes its listeners along.
    made_here = any(
        root in re.findall(r"[\w$]+", script.text(item.node.child_by_field_name("name")))
        for item in function.within("variable_declarator")
    ) or any(
        script.text(item.node.child_by_field_name("left")) == root
        for item in function.within("assignment_expression")
    )
    parameters = any(
        root in re.findall(r"[\w$]+", script.text(at.node.child_by_field_name("parameters")))
        for at in call.item.ancestors()
        if at.kind in FUNCTION_KINDS and function.start <= at.start
    )
    ending = re.search(_ENDING.get(call.name, r"$^"), script.code_text)
    return not made_here and not parameters and ending is None


def _kept_and_released(script: Script, item: Syntax) -> bool:
    """`timer.current = setInterval(…)` with a `clearInterval(timer.current)` in another place."""
    parent = item.parent
    if parent is None or parent.kind not in ("assignment_expression", "variable_declarator"):
        return False
    field = "left" if parent.kind == "assignment_expression" else "name"
    target = re.escape(script.text(parent.node.child_by_field_name(field)))
    return (
        re.search(
            rf"(?:clearInterval|clearTimeout)\(\s*{target}|{target}\??\.(?:disconnect|close|unobserve|unsubscribe)\(",
            script.code_text,
        )
        is not None
    )


def _mounted_cleanup(script: Script, document: Document, tally: Tally) -> None:
    code = script.code_text
    for call in script.calls:
        if call.callee not in ("onMounted", "onBeforeMount", "onActivated", "onMount"):
            continue
        function = script.argument_function(call, 0)
        if function is None:
            continue
        for what, item in _subscriptions(script, function):
            released = {
                ".on(": "\\.off\\(|removeListener|destroy|dispose|close\\(",
                "addListener": "removeListener|\\.off\\(",
                "addEventListener": "removeEventListener",
                "setInterval": "clearInterval",
                "Observer": "\\.disconnect",
                "subscribe": "unsubscribe|onDestroy|onUnmounted|\\bstop\\(",
            }
            undo = next((text for key, text in released.items() if key in what), "unsubscribe")
            ok = re.search(undo, code) is not None or (
                document.language == "svelte" and returns_cleanup(script, function)
            )
            tally.check(ok, item, f"{what} is never undone when the component goes")


def _effect_loop(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        setters = {setter for _, setter, _ in script.state_pairs() if setter}
        for call, function in effects(script):
            if len(call.arguments) != 1:
                tally.passed()
                continue
            direct = [
                inner
                for inner in script.calls_in(function)
                if inner.callee in setters
                and _always_new(script, function, inner)
                and script.function_around(inner.item) is function
                and not any(
                    at.kind in ("if_statement", "logical", "ternary_expression")
                    for at in inner.item.ancestors()
                    if at.start >= function.start
                )
            ]
            tally.check(
                not direct, call.item, "this effect runs after every render and sets state, so it never ends"
            )


def _always_new(script: Script, function: Syntax, setting: Call) -> bool:
    """Whether a setter gets another value each time: React stops where the value is the one that it has."""
    if not setting.arguments:
        return False
    given = setting.arguments[0]
    others = {
        script.text(other.arguments[0])
        for other in script.calls_in(function)
        if other.callee == setting.callee
        and other.arguments
        and other.arguments[0].type not in FUNCTION_KINDS
    }
    if len(others) > 1:
        return True  # Sets it to and fro.
    if given.type in FUNCTION_KINDS:
        body = given.child_by_field_name("body")
        while body is not None and body.type == "parenthesized_expression" and body.named_children:
            body = body.named_children[0]
        return body is not None and body.type in _NEW_VALUES
    text = script.text(given)
    return (
        given.type in _NEW_VALUES or re.search(r"Date\.now|Math\.random|\.(?:map|filter)\(", text) is not None
    )


_NEW_VALUES = frozenset(
    {"array", "object", "new_expression", "binary_expression", "arrow_function", "update_expression"}
)


def _derived_state(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        setters = {setter for _, setter, _ in script.state_pairs() if setter}
        for call, function in effects(script):
            body = function.node.child_by_field_name("body")
            if body is None or len(call.arguments) < 2 or call.arguments[1].type != "array":
                continue
            dependencies = [script.text(node) for node in call.arguments[1].named_children]
            statements = (
                [node for node in body.named_children if node.type != "comment"]
                if body.type == "statement_block"
                else [body]
            )
            expression = statements[0] if len(statements) == 1 else None
            if expression is not None and expression.type == "expression_statement":
                expression = expression.named_children[0]
            only = (
                expression is not None
                and expression.type == "call_expression"
                and script.text(expression.child_by_field_name("function")) in setters
            )
            before = call.item.node.parent.prev_named_sibling if call.item.node.parent is not None else None
            if before is not None and before.type == "comment":
                continue  # It says why it waits for a drawing.
            if (
                only
                and dependencies
                and expression is not None
                and _set_once(script, expression)
                and _from_dependencies(script.text(expression), dependencies)
            ):
                tally.failed(
                    call.item, "this effect only copies a value that could be computed while rendering"
                )
            else:
                tally.passed()


def _set_once(script: Script, expression: Node) -> bool:
    """Whether the setter is called here only: a draft that is also edited cannot be computed."""
    setter = script.text(expression.child_by_field_name("function"))
    return len(re.findall(rf"\b{re.escape(setter)}\b", script.code_text)) <= 2


def _from_dependencies(call: str, dependencies: list[str]) -> bool:
    argument = call[call.find("(") + 1 : -1]
    if (
        not argument.strip()
        or "=>" in argument
        or re.search(r"\b(?:window|document|localStorage|Date|Math|ref|current|await)\b", argument)
    ):
        return False
    names = set(re.findall(r"(?<![.\w'\"])[A-Za-z_$][\w$]*(?!\s*\()", re.sub(r"(['\"`]).*?\1", "", argument)))
    roots = {dependency.split(".")[0] for dependency in dependencies}
    return bool(names) and names <= roots | {
        "true",
        "false",
        "null",
        "undefined",
        "JSON",
        "Object",
        "Number",
        "String",
        "Boolean",
    }


RULES = (
    FileRule(
        describe(
            "effect-cleanup",
            _STATE,
            Severity.SERIOUS,
            "Subscriptions end with the component",
            reason="Each visit adds another listener or timer; the page becomes slower and does things twice.",
            fix="Undo it in the function that the effect returns (`onUnmounted`, `onDestroy`).",
            own_references=(
                ("vue", "Vue: Lifecycle hooks", "https://vuejs.org/guide/essentials/lifecycle.html"),
                ("svelte", "Svelte: Lifecycle hooks", "https://svelte.dev/docs/svelte/lifecycle-hooks"),
            ),
            reference=page(
                "React: Synchronizing with effects",
                _REACT + "learn/synchronizing-with-effects#step-3-add-cleanup-if-needed",
            ),
        ),
        _effect_cleanup,
    ),
    FileRule(
        describe(
            "effect-loop",
            _STATE,
            Severity.SERIOUS,
            "Effects that set state have dependencies",
            reason="Setting state renders, rendering runs the effect, and so on without end.",
            fix="Pass the array of dependencies.",
            reference=page(
                "React: useEffect", _REACT + "reference/react/useEffect#my-effect-runs-after-every-re-render"
            ),
        ),
        _effect_loop,
    ),
    FileRule(
        describe(
            "derived-state",
            _STATE,
            Severity.MINOR,
            "What can be computed is not kept as state",
            reason="It is drawn once with the old value, then again; the two can contradict each other.",
            fix="Compute it while rendering, in `useMemo` if it is expensive.",
            reference=page(
                "React: You might not need an effect", _REACT + "learn/you-might-not-need-an-effect"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _derived_state,
    ),
)
