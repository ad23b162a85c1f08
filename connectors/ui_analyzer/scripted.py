"""Elements that a script makes: of strings of HTML, and one by one with `createElement`.

They become a page of pieces at the positions of the file, on which the rules run that ask for single elements.
"""

import html
import re
from collections.abc import Iterator

from tree_sitter import Node

from connectors.ui_analyzer.document import Document, DocumentBroken
from connectors.ui_analyzer.markup import DYNAMIC, VOID, Attribute, Element, handler_name
from connectors.ui_analyzer.script import Script

SCRIPTED_RULES = frozenset(
    {
        "image-alt", "alt-text-quality", "button-name", "link-name", "link-href", "frame-title", "control-label",
        "placeholder-as-label", "click-without-keyboard", "role-focusable", "positive-tabindex", "access-key",
        "aria-attribute", "aria-value", "aria-role", "moving-elements",
    }
)  # fmt: skip
"""Rules that judge an element by itself and what is inside: what is around it is another script's, or the page's."""

_SINKS = re.compile(
    rb"\.(?:innerHTML|outerHTML)\s*\+?=(?!=)|\.insertAdjacentHTML\(|\bdocument\.write(?:ln)?\(|\.createContextualFragment\(|"
    rb"(?:\$|jQuery)\(\s*['\"`]<|\.(?:html|append|prepend|before|after|replaceWith)\("
)
"""Where a script puts markup onto the page."""
_MARKUP = re.compile(rb"['\"`]\s*<[A-Za-z]")
_TAGGED = re.compile(rb"\bhtml\s*`")
"""How web components of Lit write their markup."""
_MAKES = b"createElement("
_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*)((?:[^<>\"']|\"[^\"]*\"|'[^']*')*)>")
_NODES_MAX = 200_000


def scripted(document: Document) -> Document | None:
    """The elements that the scripts of a file make, as a document of their own; None where they make none."""
    if document.server or document.language in ("css", "scss", "less"):
        return None
    writes = (
        _MARKUP.search(document.source) is not None and _SINKS.search(document.source) is not None
    ) or _TAGGED.search(document.source) is not None
    makes = _MAKES in document.source
    if not writes and not makes:
        return None
    canvas = bytearray(re.sub(rb"[^\n]", b" ", document.source))
    for script in document.scripts if writes else ():
        for piece in _pieces(script):
            _write(script, piece, canvas)
    try:
        page = Document(f"{document.path}.html", bytes(canvas), document.deadline)
    except DocumentBroken:
        return None
    for script in document.scripts if makes else ():
        page.elements.extend(_made(script))
    return page if page.elements else None


def _pieces(script: Script) -> Iterator[Node]:
    """The strings, templates and sums of strings that are whole pieces of HTML, the outer ones first."""
    stack, seen = [script.tree.root], 0
    while stack and seen < _NODES_MAX:
        node = stack.pop()
        seen += 1
        if node.type in ("string", "template_string") or _is_sum(node):
            written = _written(script, node)
            if _balanced(written):
                yield node
            elif not _is_sum(node):
                written = ""
            if written:
                # The parts of a sum are no pieces; what is inserted into it may be made of others.
                stack.extend(_insertions(node))
                continue
        stack.extend(node.children)


def _is_sum(node: Node) -> bool:
    operator = node.child_by_field_name("operator") if node.type == "binary_expression" else None
    return operator is not None and operator.type == "+"


def _insertions(node: Node) -> Iterator[Node]:
    if node.type == "template_string":
        yield from (part for part in node.named_children if part.type == "template_substitution")
    elif _is_sum(node):
        for field in ("left", "right"):
            side = node.child_by_field_name(field)
            if side is not None:
                yield from (
                    _insertions(side)
                    if side.type in ("string", "template_string") or _is_sum(side)
                    else (side,)
                )


def _balanced(written: str) -> bool:
    """Whether a text is HTML, from its first character, in which every element is closed."""
    if re.match(r"\s*<[A-Za-z]", written) is None:
        return False
    depth = 0
    for closing, name, rest in _TAG.findall(written):
        if name.lower() not in VOID and not rest.rstrip().endswith("/"):
            depth += -1 if closing else 1
        if depth < 0:
            return False
    return depth == 0 and _TAG.search(written) is not None


def _parts(node: Node) -> Iterator[tuple[Node, bool]]:
    """The written parts of a string, a template or a sum, and what is inserted (True)."""
    if node.type in ("string", "template_string"):
        for child in node.named_children:
            yield child, child.type == "template_substitution"
    elif _is_sum(node):
        for field in ("left", "right"):
            side = node.child_by_field_name(field)
            if side is not None:
                yield from _parts(side)
    else:
        yield node, True


def _written(script: Script, node: Node) -> str:
    return "".join(DYNAMIC if inserted else _plain(script, part) for part, inserted in _parts(node))


def _plain(script: Script, part: Node) -> str:
    """What a part of a string says, as long as it is written: an escaped quote is a quote after a blank."""
    text = script.text(part)
    if part.type != "escape_sequence":
        return text
    if text[1:2] in ("'", '"', "`", "/"):
        return f" {text[1]}"
    return re.sub(r"[^\n]", " ", text) if text[1:2] in ("n", "t", "r", "\n") else "x" * len(text)


def _write(script: Script, node: Node, canvas: bytearray) -> None:
    for part, inserted in _parts(node):
        if inserted:
            filler = re.sub(rb"[^\n]", DYNAMIC.encode(), script.tree.source[part.start_byte : part.end_byte])
        else:
            filler = _plain(script, part).encode()
        if len(filler) == part.end_byte - part.start_byte:
            canvas[part.start_byte : part.end_byte] = filler


def _made(script: Script) -> Iterator[Element]:
    """Elements that are made, kept under a name, and put onto the page in one function."""
    for call in script.calls:
        if call.name != "createElement" or len(call.arguments) != 1 or call.arguments[0].type != "string":
            continue
        holder = call.item.node.parent
        if holder is None or holder.type not in ("variable_declarator", "assignment_expression"):
            continue
        name = script.text(holder.child_by_field_name("name") or holder.child_by_field_name("left"))
        tag = script.text(call.arguments[0])[1:-1].lower()
        if re.fullmatch(r"[A-Za-z_$][\w$]*", name) is None or re.fullmatch(r"[a-z][a-z0-9]*", tag) is None:
            continue
        element = Element(
            tag, True, {}, None, call.item.line, call.item.column, call.item.start, call.item.end
        )
        around = script.function_around(call.item)
        if _dressed(script.code_of(around) if around is not None else script.code_text, name, element):
            yield element


_PUT = re.compile(
    r"\.(?:append|appendChild|prepend|before|after|replaceWith|replaceChildren|replaceChild|insertBefore|insertAdjacentElement)"
    r"\((?:[^(){};]*,)?\s*$"
)
_USE = re.compile(
    r"\s*(?:\.\s*(?P<method>\w+)\s*\((?P<given>[^;{}]{0,300})|\.\s*(?P<prop>\w+)\s*(?P<more>[.\[])?[^=;\n]{0,80}?=(?!=)\s*(?P<value>[^;\n]*)|"
    r"(?P<again>=(?!=))|(?P<read>\.\s*\w+))"
)
_NAMES = {"classname": "class", "htmlfor": "for", "arialabel": "aria-label", "ariahidden": "aria-hidden"}


def _dressed(code: str, name: str, element: Element) -> bool:
    """Give an element what the code around says of it; False where it is not put onto the page, or handed on."""
    put, set_again = False, 0
    for match in re.finditer(rf"(?<![\w$.<'\"`/-]){re.escape(name)}(?![\w$'\"`-])(?!\s*:)", code):
        use = _USE.match(code, match.end())
        if use is None:
            if _PUT.search(code[max(0, match.start() - 200) : match.start()]) is None:
                return False
            put = True
        elif use["method"] == "click":
            return False  # Made to start a download, and taken away again.
        elif use["method"]:
            _called(element, use["method"], use["given"])
        elif use["again"]:
            set_again += 1
        elif use["prop"] and not use["more"]:
            _assigned(element, use["prop"], use["value"].strip())
    return put and set_again <= 1


def _called(element: Element, method: str, given: str) -> None:
    words = re.match(r"\s*['\"`]([\w:-]+)['\"`]\s*(?:,\s*(.*))?", given, re.DOTALL)
    if method in ("append", "appendChild", "prepend", "insertAdjacentHTML", "insertAdjacentElement", "replaceChildren", "insertBefore"):  # fmt: skip
        element.dynamic_content = True
    elif words is None:
        element.spread |= method in ("setAttribute", "toggleAttribute")
    elif method == "setAttribute":
        _give(element, words[1].lower(), (words[2] or "").rstrip(") \n"))
    elif (
        method == "addEventListener"
        and re.search(r"(?<!current)\.?[tT]arget\b|closest\(", words[2] or "") is None
    ):
        _give(element, handler_name(words[1]), words[2] or "")


def _assigned(element: Element, prop: str, value: str) -> None:
    name = prop.lower()
    if name in ("textcontent", "innertext", "innerhtml", "outertext"):
        text = _literal(value)
        shown = None if text is None else html.unescape(re.sub(r"<[^<>]*>", " ", text)).strip()
        if shown is None or "<img" in (text or ""):
            element.dynamic_content = True
        elif shown:
            element.texts.append(shown)
    elif name.startswith("on"):
        _give(element, handler_name(name[2:]), value)
    else:
        _give(element, _NAMES.get(name, name), value)


def _give(element: Element, name: str, expression: str) -> None:
    element.attributes[name] = Attribute(
        name, _literal(expression), expression, element.line, element.column, name
    )


def _literal(expression: str) -> str | None:
    match = re.fullmatch(r"'([^'\n]*)'|\"([^\"\n]*)\"|`([^`$]*)`", expression)
    if match is not None:
        return next(group for group in match.groups() if group is not None)
    return expression if re.fullmatch(r"-?\d+|true|false", expression) else None
