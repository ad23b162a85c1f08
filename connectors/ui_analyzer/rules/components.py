"""Rules on how components are built."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Position, Tally, describe, page
from connectors.ui_analyzer.script import Script

_COMPONENTS = Category.COMPONENTS
COMPONENT_LINES_MAX = 400
SFC_LINES_MAX = 600
_REACT = "https://react.dev/"

_LEGACY = frozenset(
    {
        "componentWillMount",
        "componentWillReceiveProps",
        "componentWillUpdate",
        "UNSAFE_componentWillMount",
        "UNSAFE_componentWillReceiveProps",
        "UNSAFE_componentWillUpdate",
    }
)


def _nested_component(document: Document, tally: Tally) -> None:
    if document.framework == "solid":
        return  # Its components run once, so that nothing inside is made anew.
    for script in document.scripts:
        for name, function in script.components:
            outer = script.component_around(function)
            if outer is None:
                tally.passed()
                continue
            used = any(
                element.tag == name and outer.start <= element.start < outer.end
                for element in document.elements
            )
            if used and not _memoised(script, function.start):
                tally.failed(function, f"{name} is a new component on each render of the one around it")


def _memoised(script: Script, start: int) -> bool:
    before = script.code[max(0, start - 40) : start].decode("utf-8", "replace")
    return re.search(r"use(?:Memo|Callback)\(\s*(?:\(\)\s*=>\s*)?$", before) is not None


def _size(document: Document, tally: Tally) -> None:
    if document.language in ("vue", "svelte"):
        styles = sum(sheet.rules[-1].line - sheet.rules[0].line for sheet in document.sheets if sheet.rules)
        lines = len(document.lines) - styles - _drawing_lines(document)
        tally.check(
            lines <= SFC_LINES_MAX,
            Position(1, 1),
            f"this component has {lines} lines, more than {SFC_LINES_MAX}",
        )
        return
    for script in document.scripts:
        for name, function in script.components:
            lines = function.node.end_point.row - function.node.start_point.row + 1
            tally.check(
                lines <= COMPONENT_LINES_MAX,
                function,
                f"{name} has {lines} lines, more than {COMPONENT_LINES_MAX}",
            )


def _drawing_lines(document: Document) -> int:
    """The lines of pictures written into the markup: long, but nothing to understand."""
    return sum(
        document.source[element.start : element.end].count(b"\n")
        for element in document.elements
        if element.native
        and element.tag == "svg"
        and not any(outer.tag == "svg" for outer in element.ancestors())
    )


def _untyped_props(document: Document, tally: Tally) -> None:
    if document.language not in ("tsx", "vue", "svelte"):
        return
    for script in document.scripts:
        for name, function in script.components:
            parameters = function.node.child_by_field_name("parameters")
            text = script.text(parameters) if parameters is not None else ""
            if text:
                untyped = re.search(r"^\(\s*(?:\w+|\{[^}]*\})\s*:\s*any\b(?!\[)", text) is not None
                tally.check(not untyped, function, f"the props of {name} are of type any")
        for call in script.calls:
            if call.callee == "defineProps":
                text = script.text(call.item.node)
                tally.check(not text.startswith("defineProps<any>"), call.item, "the props are of type any")


def _legacy(document: Document, tally: Tally) -> None:
    if document.framework != "react":
        return
    for script in document.scripts:
        for item in script.items("method_definition"):
            name = script.text(item.node.child_by_field_name("name"))
            if name in _LEGACY:
                tally.failed(item, f"{name} is called twice or at the wrong time in concurrent rendering")
            elif name in ("render", "componentDidMount"):
                tally.passed()
        for call in script.calls:
            if (
                call.callee in ("ReactDOM.findDOMNode", "findDOMNode", "ReactDOM.render")
                and "react-dom" in script.modules
            ):
                tally.failed(call.item, f"{call.callee} no longer exists in React 19")
            elif call.name == "createRoot":
                tally.passed()


RULES = (
    FileRule(
        describe(
            "nested-component",
            _COMPONENTS,
            Severity.SERIOUS,
            "Components are not defined inside components",
            reason="Each render makes a new component: what was inside loses its state and focus.",
            fix="Move it to the top level and pass what it needs as props.",
            reference=page(
                "React: Nesting components",
                _REACT + "learn/your-first-component#nesting-and-organizing-components",
            ),
        ),
        _nested_component,
    ),
    FileRule(
        describe(
            "component-size",
            _COMPONENTS,
            Severity.MINOR,
            "Components are small enough to read",
            reason="A component of many screens is changed by trial and error.",
            fix="Move parts with a name of their own into components, and logic into hooks or composables.",
            own_references=(
                ("vue", "Vue: Component basics", "https://vuejs.org/guide/essentials/component-basics.html"),
                ("svelte", "Svelte: .svelte files", "https://svelte.dev/docs/svelte/svelte-files"),
            ),
            reference=page("React: Thinking in React", _REACT + "learn/thinking-in-react"),
            confidence=Confidence.MEDIUM,
        ),
        _size,
    ),
    FileRule(
        describe(
            "untyped-props",
            _COMPONENTS,
            Severity.MINOR,
            "Props have types",
            reason="Nobody notices a missing or misspelt prop.",
            fix="Declare the props as a type.",
            negative=True,
            own_references=(
                (
                    "vue",
                    "Vue: TypeScript with Composition API, typing component props",
                    "https://vuejs.org/guide/typescript/composition-api.html#typing-component-props",
                ),
                ("svelte", "Svelte: TypeScript", "https://svelte.dev/docs/svelte/typescript"),
            ),
            reference=page("React: Using TypeScript", _REACT + "learn/typescript"),
        ),
        _untyped_props,
    ),
    FileRule(
        describe(
            "legacy-lifecycle",
            _COMPONENTS,
            Severity.MODERATE,
            "No removed lifecycle methods",
            reason="They run at unexpected times, or not at all after an upgrade.",
            fix="Use `componentDidMount`/`componentDidUpdate`, or hooks.",
            reference=page(
                "React: componentWillMount", _REACT + "reference/react/Component#unsafe_componentwillmount"
            ),
        ),
        _legacy,
    ),
)
