"""Rules on the keys by which items of a list are told apart."""

import re

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Position, Tally, describe, page
from connectors.ui_analyzer.script import Script

_COMPONENTS = Category.COMPONENTS
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


def _list_key(document: Document, tally: Tally) -> None:
    if document.framework == "solid":
        return  # Its lists know their items by themselves.
    if document.language == "svelte":
        _each_keys(document, tally)
        return
    for element in document.elements:
        if not element.loop_root or (element.spread and element.node is not None):
            continue
        if document.language == "vue":
            if element.tag == "template" and any(
                name.startswith(("#", "v-slot")) for name in element.attributes
            ):
                continue  # A slot is no item; Vue knows it by its name.
            if element.tag == "template" and all(inner.tag == "template" for inner in element.descendants()):
                continue  # Text alone keeps nothing.
            if element.tag == "template":
                tally.check(element.has("key") or _keyed_inside(element), element, "v-for without :key")
            elif element.tag != "slot":
                tally.check(element.has("key"), element, "v-for without :key")
        elif element.node is not None and _is_item(element):
            tally.check(element.has("key"), element, f"<{element.tag}> is an item of a list and has no key")


_EACH = re.compile(r"\{#each\s+([^{}]*?)\s+as\s+((?:[^{}]|\{[^{}]*\})*)\}")
_STATEFUL = ("bind:", "use:", "transition:", "in:", "out:", "animate:")


def _each_keys(document: Document, tally: Tally) -> None:
    """Svelte: a list whose items go or move, and hold something of their own, needs a key."""
    text = document.source.decode("latin-1")
    code = "\n".join(script.code_text for script in document.scripts) + text
    for match in _EACH.finditer(text):
        name = re.match(r"\$?[A-Za-z_][\w.]*", match.group(1))
        if match.group(2).rstrip().endswith(")") or name is None:
            tally.passed()
            continue
        end = _end_of_each(text, match.end())
        inside = [element for element in document.elements if match.end() <= element.start < end]
        word = re.escape(name.group())
        moves = re.search(
            rf"(?<![\w$.]){word}\.(?:splice|shift|unshift|sort|reverse)\(|(?<![\w$.]){word}\s*=\s*{word}\.filter\(",
            code,
        )
        if moves is None or not any(_keeps_state(element) for element in inside):
            continue
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - text.rfind("\n", 0, match.start())
        tally.failed(
            Position(line, column),
            f"items of {name.group()} are taken out or moved, and {{#each}} has no key",
        )


def _keeps_state(element: Element) -> bool:
    """Whether an item keeps what is not in the list: what was typed, a focus, a transition, a state of its own."""
    return (
        not element.native
        or element.tag in ("input", "textarea", "select", "video", "audio", "details")
        or any(name.startswith(_STATEFUL) for name in element.attributes)
    )


def _end_of_each(text: str, start: int) -> int:
    depth = 1
    for match in re.compile(r"\{#each\b|\{/each\}").finditer(text, start):
        depth += 1 if match.group() == "{#each" else -1
        if not depth:
            return match.start()
    return len(text)


def _keyed_inside(element: Element) -> bool:
    """Whether what a template of Vue 2 draws per item has the key, also through further templates and slots."""
    inner = element.children[0] if element.children else None
    return inner is not None and (
        inner.has("key") or (inner.tag in ("template", "slot") and _keyed_inside(inner))
    )


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
        position = _position_name(element, document)
        if bare != position or _static_list(element, document) or not _may_keep_state(element):
            tally.passed()
        else:
            tally.failed(
                key,
                f"the key is the position in the list ({expression})",
                confidence=None if _moves(element, document, position) else Confidence.LOW,
            )


def _may_keep_state(element: Element) -> bool:
    """Whether an item can keep something of its own: text alone is drawn anew and loses nothing."""
    return (
        any(not inner.native or inner.tag in _STATEFUL_TAGS for inner in (element, *element.descendants()))
        or element.spread
    )


_STATEFUL_TAGS = frozenset({"input", "textarea", "select", "video", "audio", "details", "iframe"})
_TAKES_OUT = r"\w*(?:remove|delete|splice|move|insert|swap|reorder)\w*"


def _moves(element: Element, document: Document, position: str) -> bool:
    """Whether items with something to type into are taken out, put in or moved by their position in this file."""
    if not any(_typed_into(inner) for inner in (element, *element.descendants())):
        return False
    word = re.escape(position)
    code = "\n".join([*(script.code_text for script in document.scripts), document.text])
    return (
        re.search(
            rf"(?<![\w$]){_TAKES_OUT}\((?:[^()]*[\s,(])?{word}(?![\w$])|\.(?:splice|toSpliced)\(\s*{word}(?![\w$])|"
            rf"\.filter\(\s*\(\s*\w+\s*(?::[^,()]+)?,\s*\w+\s*(?::[^,()]+)?\)\s*=>\s*\w+\s*!==?\s*{word}(?![\w$])",
            code,
            re.I,
        )
        is not None
    )


def _typed_into(element: Element) -> bool:
    return element.tag in _STATEFUL_TAGS or (
        not element.native
        and element.has(
            "on:change", "on:input", "v-model", "bind:value", "modelvalue", "onchange", "on:update:modelvalue"
        )
    )


_COUNTS = re.compile(
    r"[a-z]|idx|ind|index|pos|position|nr|num|number|count|n|at|\w*(?:Index|Idx|Position|_index|_idx|_i)|[a-z]{1,3}\d"
)
"""What a position is called: `v-for` gives the key of an object in the same place."""


def _position_name(element: Element, document: Document) -> str:
    """The name of the position in the list: the second parameter of the callback, or of `v-for`."""
    if document.language == "vue":
        source = element.attributes.get("v-for")
        written = source.expression if source is not None else ""
        match = re.match(r"\s*\(?[^()\[{]*?,\s*(\w+)\s*\)?\s+(?:in|of)\s", written)
        return match.group(1) if match and _COUNTS.fullmatch(match.group(1)) else ""
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
                if script.function_around(item) is None:
                    return script.text(value).startswith(("[", "{"))
                return expression.split(".")[0] == name and _written_out(script, value, name)
    return False


def _written_out(script: Script, value: Node, name: str) -> bool:
    """Whether a list inside a component is written out with all its items, always the same ones in the same order."""
    if value.type != "array" or any(
        part.type not in ("object", "array", "string", "number")
        for part in value.named_children
        if part.type != "comment"
    ):
        return False
    return (
        re.search(
            rf"(?<![\w$.]){re.escape(name)}\.(?:push|pop|shift|unshift|splice|sort|reverse)\(",
            script.code_text,
        )
        is None
    )


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
)
