"""Rules on how components are built."""

import re

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Position, Tally, describe, page
from connectors.ui_analyzer.script import Script

_COMPONENTS = Category.COMPONENTS
COMPONENT_LINES_MAX = 400
SFC_LINES_MAX = 600
_REACT = "https://react.dev/"

_RENDERED = frozenset(
    {
        "parenthesized_expression",
        "ternary_expression",
        "binary_expression",
        "return_statement",
        "statement_block",
        "if_statement",
        "else_clause",
        "switch_case",
        "switch_body",
        "switch_statement",
        "as_expression",
        "sequence_expression",
    }
)
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


def _list_key(document: Document, tally: Tally) -> None:
    if document.framework == "solid":
        return  # Its lists know their items by themselves.
    for element in document.elements:
        if not element.loop_root or (element.spread and element.node is not None):
            continue
        if document.language == "vue":
            if element.tag == "template":
                inner = element.children[0] if element.children else element
                tally.check(element.has("key") or inner.has("key"), element, "v-for without :key")
            elif element.tag != "slot":
                tally.check(element.has("key"), element, "v-for without :key")
        elif element.node is not None and _is_item(element):
            tally.check(element.has("key"), element, f"<{element.tag}> is an item of a list and has no key")


def _is_item(element: Element) -> bool:
    """Whether a JSX element is what the callback of `map` returns, rather than a part of an object it builds."""
    at = element.node.parent if element.node is not None else None
    while at is not None and at.type in _RENDERED:
        at = at.parent
    if at is None or at.type not in ("arrow_function", "function_expression"):
        return False
    call = at.parent.parent if at.parent is not None else None
    function = call.child_by_field_name("function") if call is not None else None
    text = (function.text or b"") if function is not None else b""
    return text.endswith((b".map", b".flatMap")) and not text.endswith(b"Children.map")


def _index_key(document: Document, tally: Tally) -> None:
    for element in document.elements:
        key = element.attributes.get("key")
        if key is None or not element.loop_root:
            continue
        expression = key.expression.strip()
        bare = re.sub(
            r"^(?:String\((\w+)\)|`[^`$]*\$\{(\w+)\}`|(\w+)\.toString\(\)|['\"][^'\"]*['\"]\s*\+\s*(\w+))$",
            lambda m: next(g for g in m.groups() if g),
            expression,
        )
        is_index = bare == _position_name(element, document) and not _static_list(element, document)

        tally.check(not is_index, key, f"the key is the position in the list ({expression})")


def _position_name(element: Element, document: Document) -> str:
    """The name of the position in the list: the second parameter of the callback, or of `v-for`."""
    if document.language == "vue":
        source = element.attributes.get("v-for")
        written = source.expression if source is not None else ""
        match = re.match(r"\s*\(?[^()\[{]*?,\s*(\w+)\s*\)?\s+(?:in|of)\s", written)
        return match.group(1) if match and not re.search(r"key|name|prop", match.group(1), re.I) else ""
    at = element.node
    while at is not None and at.type not in ("arrow_function", "function_expression"):
        at = at.parent
    parameters = at.child_by_field_name("parameters") if at is not None else None
    named = parameters.named_children if parameters is not None else []
    text = (named[1].text or b"").decode("utf-8", "replace") if len(named) > 1 else ""
    return text.split(":")[0].strip()


def _constant_array(document: Document, expression: str) -> bool:
    """Whether a list is written out at the top of the module, by itself or in an object: `ITEMS`, `data.items`."""
    name = re.split(r"\??\.", expression)[0]
    for script in document.scripts:
        if name in script.imported:
            return name.isupper()
        for item in script.items("variable_declarator"):
            value = item.node.child_by_field_name("value")
            if value is not None and script.text(item.node.child_by_field_name("name")) == name:
                return script.function_around(item) is None and script.text(value).startswith(("[", "{"))
    return False


def _never_changes(document: Document, name: str) -> bool:
    """Whether a list of a Vue component is written out and nothing in its file assigns or changes it."""
    code = "\n".join(script.code_text for script in document.scripts)
    word = rf"(?<![\w$.]){re.escape(name)}"
    written = re.search(
        rf"\b(?:const\s+)?{re.escape(name)}\s*(?:=\s*(?:(?:shallow)?[rR]ef(?:<[^>]*>)?\()?|:)\s*\[", code
    )
    changed = re.search(
        rf"(?:{word}|this\.{re.escape(name)})(?:\.value)?\s*(?:=(?!=)(?!\s*(?:ref\(|shallowRef\()?\s*\[)|\.(?:push|pop|shift|unshift|splice|sort|reverse)\()",
        code,
    )
    assigned = len(re.findall(rf"(?:{word}|this\.{re.escape(name)})(?:\.value)?\s*=(?!=)", code))
    return written is not None and changed is None and assigned <= 2


def _static_list(element: Element, document: Document) -> bool:
    """Lists that never change: `Array.from({length: 3})`, `[1, 2, 3].map`, placeholders while loading."""
    if document.language == "vue":
        source = element.attributes.get("v-for")
        if source is None:
            return False
        name = re.search(
            r"\b(?:in|of)\s+([A-Za-z_$][\w$]*)(?:\.(?:slice|filter|map)\(.*\))?\s*$", source.expression
        )
        return re.search(r"\b(?:in|of)\s+(?:\d+|\[)", source.expression) is not None or (
            name is not None and _never_changes(document, name.group(1))
        )
    at = element.node
    while at is not None and at.type not in ("arrow_function", "function_expression"):
        at = at.parent
    call = at.parent.parent if at is not None and at.parent is not None else None
    function = call.child_by_field_name("function") if call is not None else None
    text = (function.text or b"").decode("utf-8", "replace") if function is not None else ""
    if _constant_array(document, text) or _by_position(at):
        return True
    return (
        re.search(
            r"Array\(|Array\.from|^\[|\.split\(|keys\(\)|[A-Z]{3,}\??\.map$|skeleton|placeholder",
            text,
            re.I if "skeleton" in text.lower() else 0,
        )
        is not None
        or "skeleton" in element.tag.lower()
    )


def _by_position(callback: Node | None) -> bool:
    """Whether the callback looks at the position only: the item is what stands there."""
    parameters = callback.child_by_field_name("parameters") if callback is not None else None
    body = callback.child_by_field_name("body") if callback is not None else None
    if parameters is None or body is None or len(parameters.named_children) < 2:
        return False
    item = (parameters.named_children[0].text or b"").decode("utf-8", "replace").split(":")[0].strip()
    if not re.fullmatch(r"[A-Za-z_$][\w$]*", item):
        return False
    code = (body.text or b"").decode("utf-8", "replace")
    return re.search(rf"(?<![\w$.]){re.escape(item)}(?![\w$])", code) is None


def _nested_component(document: Document, tally: Tally) -> None:
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
        lines = len(document.lines) - styles
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
            "list-key",
            _COMPONENTS,
            Severity.MODERATE,
            "Items of a list have a key",
            reason="State and focus move to the wrong item when the list changes.",
            fix="Use the item's id as `key`.",
            own_references=(
                (
                    "vue",
                    "Vue: List rendering, maintaining state with key",
                    "https://vuejs.org/guide/essentials/list.html#maintaining-state-with-key",
                ),
                (
                    "svelte",
                    "Svelte: Keyed each blocks",
                    "https://svelte.dev/docs/svelte/each#Keyed-each-blocks",
                ),
            ),
            reference=page(
                "React: Rendering lists",
                _REACT + "learn/rendering-lists#keeping-list-items-in-order-with-key",
            ),
        ),
        _list_key,
    ),
    FileRule(
        describe(
            "index-key",
            _COMPONENTS,
            Severity.MINOR,
            "Keys are not positions",
            reason="After an insertion every following item takes over the state of its neighbour.",
            fix="Use an id that stays with the item.",
            own_references=(
                (
                    "vue",
                    "Vue: List rendering, maintaining state with key",
                    "https://vuejs.org/guide/essentials/list.html#maintaining-state-with-key",
                ),
            ),
            reference=page(
                "React: Why does React need keys?", _REACT + "learn/rendering-lists#why-does-react-need-keys"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _index_key,
    ),
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
