"""Rules on how components are built."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Attribute, Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Position, Tally, describe, mdn, page
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
SAFE_HTML = re.compile(
    r"sanitiz|sanitis|purify|escape|codeToHtml|highlight|hljs|prism|katex|renderToString|JSON\.stringify|svg|icon|trustedHtml|safeHtml",
    re.I,
)
MARKDOWN_HTML = re.compile(
    r"\bmarked\b|markdown|\bmd\.render|\bremark\b|\bshowdown\b|micromark|snarkdown", re.I
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
_DOM_WRITE = re.compile(
    r"^(?:window\.)?document\.(?:getElementById|querySelector)\([^)]*\)[!?]?\.(?:innerHTML|innerText|textContent|value|className|style\.\w+|checked|disabled|hidden)$"
)


def _list_key(document: Document, tally: Tally) -> None:
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


def _constant_array(document: Document, name: str) -> bool:
    """Whether a list is written out at the top of the module."""
    for script in document.scripts:
        for item in script.items("variable_declarator"):
            value = item.node.child_by_field_name("value")
            if value is not None and script.text(item.node.child_by_field_name("name")) == name:
                return script.function_around(item) is None and script.text(value).startswith("[")
    return False


def _static_list(element: Element, document: Document) -> bool:
    """Lists that never change: `Array.from({length: 3})`, `[1, 2, 3].map`, placeholders while loading."""
    if document.language == "vue":
        source = element.attributes.get("v-for")
        return source is not None and re.search(r"\bin\s+(?:\d+|\[)", source.expression) is not None
    at = element.node
    while at is not None and at.type not in ("arrow_function", "function_expression"):
        at = at.parent
    call = at.parent.parent if at is not None and at.parent is not None else None
    function = call.child_by_field_name("function") if call is not None else None
    text = (function.text or b"").decode("utf-8", "replace") if function is not None else ""
    if _constant_array(document, re.split(r"\??\.", text)[0]):
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


def html_sinks(document: Document) -> Iterator[tuple[Attribute | Position, str]]:
    """Places where a string becomes HTML, with the expression."""
    for element in document.elements:
        if element.tag in ("script", "style") or element.get("type") == "application/ld+json":
            continue
        for name in ("dangerouslysetinnerhtml", "v-html", "{@html}"):
            attribute = element.attributes.get(name)
            if attribute is not None:
                yield (
                    attribute,
                    re.sub(r"^\{?\s*__html\s*:\s*", "", attribute.expression.strip("{ \n")).rstrip("} \n,"),
                )
    for script in document.scripts:
        for item in script.items("assignment_expression"):
            left = script.text(item.node.child_by_field_name("left"))
            if left.endswith((".innerHTML", ".outerHTML")):
                right = item.node.child_by_field_name("right")
                yield Position(item.line, item.column), script.code_of(right) if right is not None else ""


def safe_html(document: Document, expression: str) -> bool:
    """Whether HTML is constant, or made safe here or where its variable gets its value."""
    bare = expression.strip()
    if (
        SAFE_HTML.search(bare)
        or not bare
        or re.fullmatch(r"""(['"])[^'"]*\1|`[^`$]*`|null|undefined""", bare)
    ):
        return True
    name = re.match(r"(?:this\.)?([A-Za-z_$][\w$]*)", bare)
    if name is None:
        return False
    local = name.group(1)
    for script in document.scripts:
        if local in script.imported:
            return not MARKDOWN_HTML.search(script.imported[local].module)
        for match in re.finditer(
            rf"\b{re.escape(local)}\b(?:\s*:[^=;\n]+)?\s*=(?!=)([^;]{{0,400}})", script.code_text
        ):
            value = match.group(1)
            if SAFE_HTML.search(value.split("\n\n")[0]) or re.match(r"\s*(?:['\"`][^$]*['\"`])\s*$", value):
                return True
        # Computed in a memo or effect: `const html = useMemo(() => sanitize(x))`.
        if re.search(
            rf"set{re.escape(local[:1].upper() + local[1:])}\([^;\n]*(?:sanitiz|purify)",
            script.code_text,
            re.I,
        ):
            return True
    return False


def _raw_html(document: Document, tally: Tally) -> None:
    for place, expression in html_sinks(document):
        if not MARKDOWN_HTML.search(expression):
            tally.check(
                safe_html(document, expression),
                place,
                f"{expression[:60]} becomes HTML without being sanitised",
            )


def _target_blank(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if (
            not element.native
            or element.tag not in ("a", "area", "form")
            or element.get("target") != "_blank"
            or element.spread
        ):
            continue
        href = element.attributes.get("href")
        if href is None or not (href.dynamic or re.match(r"(?:https?:)?//", href.value or "")):
            continue
        rel = element.attributes.get("rel")
        ok = rel is not None and (
            rel.dynamic or bool({"noopener", "noreferrer"} & set((rel.value or "").split()))
        )
        tally.check(ok, element, 'target="_blank" without rel="noopener"')


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


def _direct_dom(document: Document, tally: Tally) -> None:
    if document.framework not in ("react", "vue", "svelte") or not document.elements:
        return
    for script in document.scripts:
        for item in script.items("assignment_expression"):
            left = script.text(item.node.child_by_field_name("left"))
            if left.startswith(("document.get", "document.query", "window.document")):
                tally.check(
                    _DOM_WRITE.match(left) is None,
                    item,
                    f"{left[:60]} is changed behind the back of {document.framework.title()}",
                )
    tally.passed()


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
            "raw-html",
            _COMPONENTS,
            Severity.SERIOUS,
            "Strings do not become HTML unchecked",
            reason="Whoever can put text there can run script as the user.",
            fix="Render it as text, or sanitise it first (DOMPurify).",
            reference=mdn("Cross-site scripting", "Web/Security/Attacks/XSS"),
            confidence=Confidence.MEDIUM,
        ),
        _raw_html,
    ),
    FileRule(
        describe(
            "target-blank",
            _COMPONENTS,
            Severity.MINOR,
            "Links into new tabs give nothing away",
            reason="Old browsers let the other page navigate this one.",
            fix='Add `rel="noopener"`.',
            reference=mdn("rel=noopener", "Web/HTML/Reference/Attributes/rel/noopener"),
        ),
        _target_blank,
    ),
    FileRule(
        describe(
            "component-size",
            _COMPONENTS,
            Severity.MINOR,
            "Components are small enough to read",
            reason="A component of many screens is changed by trial and error.",
            fix="Move parts with a name of their own into components, and logic into hooks or composables.",
            reference=page("React: Thinking in React", _REACT + "learn/thinking-in-react"),
            confidence=Confidence.MEDIUM,
        ),
        _size,
    ),
    FileRule(
        describe(
            "direct-dom-write",
            _COMPONENTS,
            Severity.MODERATE,
            "Components do not write to the DOM directly",
            reason="The next render overwrites the change, or breaks on it.",
            fix="Keep the value in state and render it.",
            reference=page(
                "React: Manipulating the DOM with refs",
                _REACT + "learn/manipulating-the-dom-with-refs#best-practices-for-dom-manipulation-with-refs",
            ),
        ),
        _direct_dom,
    ),
    FileRule(
        describe(
            "untyped-props",
            _COMPONENTS,
            Severity.MINOR,
            "Props have types",
            reason="Nobody notices a missing or misspelt prop.",
            fix="Declare the props as a type.",
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
