"""Rules on state: React, Vue and Svelte."""

import re

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, page
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import FUNCTION_KINDS, Syntax

_STATE = Category.STATE
_REACT = "https://react.dev/"
MUTATORS = "push|pop|shift|unshift|splice|sort|reverse|fill|copyWithin"
_BRANCHES = {
    "if_statement": "condition",
    "ternary_expression": "condition",
    "logical": "left",
    "switch_statement": "value",
}
_LOOPS = frozenset({"for_statement", "for_in_statement", "while_statement", "do_statement"})
STATE_HOOKS_MAX = 10


def _state_mutation(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for name, _, declarator in script.state_pairs():
            component = script.function_around(declarator)
            value = declarator.node.child_by_field_name("value")
            initial = script.text(value)
            if component is None or not _plain_data(initial):
                continue
            wrong = _mutation(script, name, component)
            if wrong is None:
                tally.passed()
            else:
                tally.failed(wrong, f"{name} is state, and is changed in place")


def _plain_data(initial: str) -> bool:
    """Whether state starts as, or is declared to be, an array or plain object rather than an instance of a class."""
    if "Reducer" in initial.split("(")[0]:
        return False
    return re.search(r"\(\s*(?:\(\)\s*=>\s*\(?)?[\[{]|\[\]|\bArray<|\bRecord<", initial) is not None


def _mutation(script: Script, name: str, component: Syntax) -> Syntax | None:
    mutates = re.compile(rf"{re.escape(name)}(?:\.[\w.]+)?\.(?:{MUTATORS})$")
    for call in script.calls_in(component):
        if (
            mutates.match(call.callee)
            and ".current." not in call.callee
            and not _shadowed(script, call.item, name, component)
        ):
            return call.item
    assigns = re.compile(rf"{re.escape(name)}(?:\.|\[)")
    for kind in ("assignment_expression", "augmented_assignment_expression"):
        for item in component.within(kind):
            left = script.text(item.node.child_by_field_name("left"))
            if (
                assigns.match(left)
                and ".current" not in left
                and not _shadowed(script, item, name, component)
            ):
                return item
    return None


def _shadowed(script: Script, item: Syntax, name: str, until: Syntax) -> bool:
    """Whether a parameter or variable between `item` and `until` takes over the name."""
    word = re.compile(rf"\b{re.escape(name)}\b")
    for at in item.ancestors():
        if at is until:
            return False
        if at.kind in FUNCTION_KINDS:
            parameters = at.node.child_by_field_name("parameters") or at.node.child_by_field_name("parameter")
            if parameters is not None and word.search(script.text(parameters)):
                return True
            for declarator in at.within("variable_declarator"):
                if word.search(script.text(declarator.node.child_by_field_name("name"))):
                    return True
        if at.kind == "for_in_statement" and word.search(script.text(at.node.child_by_field_name("left"))):
            return True
    return False


def _conditional_hook(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        told: set[tuple[int, str]] = set()
        if document.framework != "react":
            continue  # Composables of Vue have names like hooks, but may be called anywhere in setup.
        for call in script.hooks():
            function = script.function_around(call.item)
            if function is None:
                continue
            name = script.name_of(function)
            if not (name[:1].isupper() or re.match(r"use[A-Z]", name)):
                continue
            problem = _hook_problem(script, call, function)
            if problem and (function.start, problem) in told:
                continue  # One return, however many hooks follow it.
            told.add((function.start, problem))
            tally.check(not problem, call.item, f"{call.callee} is called {problem}")


def _hook_problem(script: Script, call: Call, function: Syntax) -> str:
    for at in call.item.ancestors():
        if at is function:
            break
        if at.kind in _LOOPS:
            return "in a loop"
        field = _BRANCHES.get(at.kind)
        if field is not None:
            test = at.node.child_by_field_name(field)
            if test is not None and _constant_condition(script, test):
                continue
            if test is None or not (test.start_byte <= call.item.start and call.item.end <= test.end_byte):
                return "under a condition"
    for item in function.within("return_statement"):
        if item.end <= call.item.start and script.function_around(item) is function:
            branch = next(
                (at for at in item.ancestors() if at.kind in _BRANCHES and at.start >= function.start), None
            )
            test = branch.node.child_by_field_name(_BRANCHES[branch.kind]) if branch is not None else None
            if test is None or not _constant_condition(script, test):
                return "after an early return"
    return ""


_GLOBALS = frozenset(
    [
        "process",
        "env",
        "NODE_ENV",
        "import",
        "meta",
        "MODE",
        "DEV",
        "PROD",
        "SSR",
        "window",
        "document",
        "navigator",
        "globalThis",
        "undefined",
        "null",
        "true",
        "false",
        "typeof",
        "React",
        "Boolean",
        "__DEV__",
        "production",
        "development",
        "test",
        "function",
        "object",
        "string",
    ]
)


def _constant_condition(script: Script, test: Node) -> bool:
    """Whether a condition has the same value on every render: of constants of the module and of the build only."""
    text = re.sub(r"(['\"`])(?:(?!\1).)*\1", "''", script.text(test))
    if "(" in text.removeprefix("(") and re.search(r"[\w\]]\(", text):
        return False
    names = set(re.findall(r"(?<![\w$.])[A-Za-z_$][\w$]*", text)) - _GLOBALS
    return all(_module_constant(script, name) for name in names)


def _module_constant(script: Script, name: str) -> bool:
    if name in script.imported:
        return True
    found = [
        item
        for item in script.items("variable_declarator")
        if script.text(item.node.child_by_field_name("name")) == name
    ]
    return (
        bool(found)
        and all(script.function_around(item) is None for item in found)
        and not any(
            script.text(item.node.child_by_field_name("left")) == name
            for item in script.items("assignment_expression")
        )
    )


def _sprawl(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        counts: dict[int, int] = {}
        for _, _, declarator in script.state_pairs():
            component = script.function_around(declarator)
            if component is not None:
                counts[component.start] = counts.get(component.start, 0) + 1
        for name, function in script.components:
            count = counts.get(function.start, 0)
            if count:
                tally.check(
                    count <= STATE_HOOKS_MAX,
                    function,
                    f"{name} has {count} pieces of state that can contradict one another",
                )


RULES = (
    FileRule(
        describe(
            "state-mutation",
            _STATE,
            Severity.SERIOUS,
            "State is replaced, not changed in place",
            reason="React does not see the change and does not draw it.",
            fix="Pass a new array or object to the setter.",
            reference=page("React: Updating arrays in state", _REACT + "learn/updating-arrays-in-state"),
        ),
        _state_mutation,
    ),
    FileRule(
        describe(
            "conditional-hook",
            _STATE,
            Severity.SERIOUS,
            "Hooks are called on every render, in the same order",
            reason="React tells hooks apart by their order; the state of another hook is returned.",
            fix="Call the hook first and put the condition inside or after it.",
            reference=page("React: Rules of hooks", _REACT + "reference/rules/rules-of-hooks"),
        ),
        _conditional_hook,
    ),
    FileRule(
        describe(
            "state-sprawl",
            _STATE,
            Severity.MINOR,
            "State that changes together is kept together",
            reason="Many independent flags allow states that make no sense, such as loading and failed.",
            fix="Use one reducer, or one state that names the phase.",
            reference=page(
                "React: Choosing the state structure", _REACT + "learn/choosing-the-state-structure"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _sprawl,
    ),
)
