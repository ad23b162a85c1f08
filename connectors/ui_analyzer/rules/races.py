"""The rule on answers that arrive in another order than they were asked for."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, page
from connectors.ui_analyzer.rules.effects import effects, returns_cleanup
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import Syntax

_REACT = "https://react.dev/"
_STATE = Category.STATE


def _effect_race(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        setters = {setter for _, setter, _ in script.state_pairs() if setter}
        for call, function in effects(script):
            if len(call.arguments) < 2 or call.arguments[1].type != "array":
                continue
            changing = {
                re.split(r"\W", script.text(node))[0] for node in call.arguments[1].named_children
            } - setters
            asked = list(_asked(script, function, setters))
            # What does not depend on anything that changes is asked for in the same words each time.
            used = {
                name
                for name in changing
                if name and any(re.search(rf"(?<![\w$.]){re.escape(name)}(?![\w$(])", text) for text in asked)
            }
            if used:
                tally.check(
                    returns_cleanup(script, function) or _ignores_old(script, function),
                    call.item,
                    "answers can arrive in the wrong order: the effect neither cancels nor ignores an old request",
                    confidence=None if _chosen_by_user(script, used) else Confidence.LOW,
                )


_CHOSEN = re.compile(
    r"^(?:id|q|slug|value|text|input|tab|city|symbol)$|query|search|filter|term|keyword|page|sort|selected|active|date|range|param|debounced",
    re.I,
)
"""What a caller changes while a component stays on the page: what was typed, picked or turned to."""


def _chosen_by_user(script: Script, names: set[str]) -> bool:
    """Whether a request depends on a state of the component, or on a prop that is called like something chosen.

    Whether any other prop ever changes is for its callers to say: a dialog for one document, the team of a session.
    """
    states = {state for state, _, _ in script.state_pairs() if state}
    return any(name in states or _CHOSEN.search(name) is not None for name in names)


_NOT_ASKING = re.compile(
    r"^(?:Promise\.resolve|nextTick|tick|sleep|delay|wait|requestAnimationFrame|import|document\.fonts\.\w+)$|\.(?:play|ready)$"
)


def _asked(script: Script, function: Syntax, setters: set[str]) -> Iterator[str]:
    """The promises of an effect by whose outcome state is set: after `await`, in `then`, or as its callback."""
    for call in script.calls_in(function):
        if call.name == "then" and "." in call.callee and call.arguments:
            receiver = call.item.node.child_by_field_name("function")
            asked = script.text(receiver.child_by_field_name("object")) if receiver is not None else ""
            callback = script.argument_function(call, 0)
            sets = script.text(call.arguments[0]) in setters or (
                callback is not None
                and any(inner.callee in setters and _takes_data(inner) for inner in script.calls_in(callback))
            )
            if sets and not _NOT_ASKING.search(asked.split("(")[0]):
                yield asked + _body_of(script, asked)
    named = [script.named_functions.get(call.callee) for call in script.calls_in(function)]
    for around in (function, *script.all_within(function), *(found for found in named if found)):
        if not script.text(around.node).startswith("async"):
            continue
        waits = [
            item
            for item in around.within("await_expression")
            if script.function_around(item) is around
            and item.node.parent is not None
            and item.node.parent.type != "expression_statement"  # What it gives is not used.
            and not _NOT_ASKING.search(script.text(item.node).removeprefix("await").strip().split("(")[0])
        ]
        late = any(
            waits and inner.item.end > waits[0].start and inner.callee in setters and _takes_data(inner)
            for inner in script.calls_in(around)
        )
        if late:
            for item in waits:
                text = script.text(item.node)
                given = "" if around.start >= function.start else _parameters_given(script, function, around)
                yield text + _body_of(script, text) + given


def _parameters_given(script: Script, function: Syntax, called: Syntax) -> str:
    """What an effect hands to a function of the file that asks."""
    name = script.name_of(called)
    return " ".join(script.text(call.item.node) for call in script.calls_in(function) if call.callee == name)


def _body_of(script: Script, asked: str) -> str:
    """The source of the function of the file that is asked, if it is one."""
    name = re.match(r"(?:await\s+)?([\w$]+)\(", asked)
    found = script.named_functions.get(name.group(1)) if name else None
    return " " + script.code_of(found) if found is not None else ""


def _takes_data(call: Call) -> bool:
    """Whether a setter is given more than a flag: `setLoading(false)` in the wrong order does no harm."""
    return bool(call.arguments) and call.arguments[0].type not in (
        "true",
        "false",
        "null",
        "undefined",
        "string",
        "number",
    )


def _ignores_old(script: Script, function: Syntax) -> bool:
    """Whether an answer is compared with what was asked last before it is taken."""
    code = script.code_of(function)
    once = re.search(r"!\s*(\w+)\.current\b", code)
    if once is not None and re.search(rf"\b{once.group(1)}\.current\s*=\s*true", code):
        return True  # It asks once and never again.
    return (
        re.search(
            r"\.current\)\s*\{?\s*return|AbortController|\bsignal\b|\.current\s*[!=]==|[!=]==\s*\w+(?:Ref)?\.current|\b(?:cancelled|canceled|ignore|stale|aborted|isMounted|active)\b",
            code,
        )
        is not None
    )


RULES = (
    FileRule(
        describe(
            "effect-race",
            _STATE,
            Severity.MODERATE,
            "Late answers do not overwrite newer ones",
            reason="When the input changes quickly, the slower answer wins and the wrong data is shown.",
            fix="Abort the request in the cleanup, or set a flag there and ignore the answer.",
            reference=page(
                "React: Fetching data with effects",
                _REACT + "reference/react/useEffect#fetching-data-with-effects",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _effect_race,
    ),
)
