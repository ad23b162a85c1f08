"""Elements from HTML, Vue templates and Svelte templates (the latter two masked first)."""

import bisect
import html
import re

from tree_sitter import Node

from connectors.ui_analyzer.directives import DIRECTIVE, LITERAL, directive
from connectors.ui_analyzer.markup import DYNAMIC, Attribute, Element, handler_name
from connectors.ui_analyzer.masking import Masked
from connectors.ui_analyzer.syntax import Syntax, Tree

_VUE_EVENT = re.compile(r"(?:@|v-on:)([\w-]+)")
_VUE_BOUND = re.compile(r"(?:v-bind:|:)(\[?[\w.:-]+\]?)")
_SVG_NAMES = frozenset(
    {"clippath", "lineargradient", "radialgradient", "foreignobject", "textpath", "animatetransform"}
)


_HTML = frozenset(
    [
        "a", "abbr", "acronym", "address", "area", "article", "aside", "audio", "b", "base", "bdi", "bdo",
        "big", "blink", "blockquote", "body", "br", "button", "canvas", "caption", "center", "cite",
        "code", "col", "colgroup", "data", "datalist", "dd", "del", "details", "dfn", "dialog", "dir",
        "div", "dl", "dt", "em", "embed", "fieldset", "figcaption", "figure", "font", "footer", "form",
        "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup", "hr", "html",
        "i", "iframe", "img", "input", "ins", "kbd", "label", "legend", "li", "link", "main", "map",
        "mark", "marquee", "math", "menu", "menuitem", "meta", "meter", "nav", "noscript", "object", "ol",
        "optgroup", "option", "output", "p", "param", "picture", "pre", "progress", "q", "rp", "rt",
        "ruby", "s", "samp", "script", "search", "section", "select", "slot", "small", "source", "span",
        "strike", "strong", "style", "sub", "summary", "sup", "svg", "table", "tbody", "td", "template",
        "textarea", "tfoot", "th", "thead", "time", "title", "tr", "track", "tt", "u", "ul", "var",
        "video", "wbr",
    ]
)  # fmt: skip


def _drawn(name: str, element: Element) -> bool:
    """Whether an element is a part of a drawing or a formula, which have names of their own."""
    return any(around.tag in ("svg", "math") for around in element.ancestors()) or name in _SVG_NAMES


def html_elements(tree: Tree, original: bytes, flavour: str, masked: Masked) -> list[Element]:
    """All elements in document order; `flavour` is html, vue or svelte; `original` is the unmasked source."""
    made: dict[int, Element] = {}
    elements: list[Element] = []
    templated = flavour == "html" and (DYNAMIC in masked.text or bool(masked.blocks))
    for item in tree.of("element", "script_element", "style_element"):
        tag_node = _start_tag(item)
        if tag_node is None:
            continue
        parent = _around(item, made)
        element = _element(tree, original, tag_node, item, parent, flavour)
        made[id(item)] = element
        if templated and element.tag in _CLOSED and not _closed(item, tag_node):
            element.dynamic_content = True  # Another part of the template goes on inside, and closes it.
        if parent is not None:
            parent.children.append(element)
        elements.append(element)
    _add_text(tree, made)
    if flavour == "svelte":
        _add_svelte(elements, masked, original)
    _add_blocks(elements, masked)
    for element in elements:
        around = element.parent
        if around is not None:
            element.conditional |= around.conditional
            element.loop |= around.loop
    return elements


_CLOSED = frozenset(
    {
        "a",
        "button",
        "div",
        "span",
        "label",
        "table",
        "ul",
        "ol",
        "select",
        "form",
        "section",
        "main",
        "nav",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
    }
)
"""Elements that a page has to close."""


def _closed(item: Syntax, tag_node: Node) -> bool:
    return tag_node.type == "self_closing_tag" or any(
        child.type == "end_tag" for child in item.node.named_children
    )


def _start_tag(item: Syntax) -> Node | None:
    for child in item.node.named_children:
        if child.type in ("start_tag", "self_closing_tag"):
            return child
    return None


def _around(item: Syntax, made: dict[int, Element]) -> Element | None:
    for at in item.ancestors():
        if id(at) in made:
            return made[id(at)]
    return None


def _element(
    tree: Tree, original: bytes, tag_node: Node, item: Syntax, parent: Element | None, flavour: str
) -> Element:
    name = ""
    attributes: dict[str, Attribute] = {}
    element = Element(
        "", True, attributes, parent, item.line, item.node.start_point.column + 1, item.start, item.end
    )
    for child in tag_node.named_children:
        if child.type == "tag_name":
            name = _slice(original, child)
        elif child.type == "attribute":
            _add_attribute(tree, original, child, element, flavour)
    lowered = name.lower()
    element.native = (
        (name not in ("component", "transition", "keep-alive") or flavour == "html")
        and ("-" not in name and ":" not in name and "." not in name)
        and (flavour == "html" or not name[:1].isupper())
    )
    if flavour != "html" and not name.islower() and lowered not in _SVG_NAMES and name[:1].islower():
        element.native = lowered == name or lowered in _SVG_NAMES
    if flavour == "vue" and element.native and lowered not in _HTML and not _drawn(lowered, element):
        element.native = False  # Registered under a name in small letters.
    element.tag = lowered if element.native else name
    if element.tag == "a" and not element.has("href"):
        for router in ("routerlink", "ui-sref"):
            leads = attributes.get(router)
            if leads is not None:
                attributes["href"] = leads  # The router of Angular and that of AngularJS write it.
    return element


def _add_attribute(tree: Tree, original: bytes, node: Node, element: Element, flavour: str) -> None:
    raw, written, known = "", "", ""
    for child in node.named_children:
        if child.type == "attribute_name":
            raw = tree.text(child)
        elif child.type == "attribute_value":
            written, known = _slice(original, child), tree.text(child)
        elif child.type == "quoted_attribute_value":
            written, known = _slice(original, child)[1:-1], tree.text(child)[1:-1]
    if not raw or DYNAMIC in raw:
        element.spread = True
        element.spreads.append("")
        return
    point = node.start_point
    value: str | None = html.unescape(known)
    name, partial = raw.lower(), False
    if DYNAMIC in known:
        value = known.replace(DYNAMIC, " ").strip()
        partial = bool(value)
        value = value or None
    if flavour == "vue":
        name, value = _vue(raw, written, value, element)
    elif flavour == "svelte":
        name, value = _svelte(raw, value)
    elif name.startswith("on"):
        name = handler_name(name[2:])
    elif DIRECTIVE.match(name):
        name, value = directive(name, written, value, element)
    if not name:
        return
    known_before = element.attributes.get(name)
    if known_before is not None and name in ("class", "style"):
        known_before.partial = True
        known_before.expression += f" {written}"
        known_before.value = " ".join(filter(None, (known_before.value, value)))
        return
    element.attributes[name] = Attribute(name, value, written, point.row + 1, point.column + 1, raw, partial)


def _slice(original: bytes, node: Node) -> str:
    return original[node.start_byte : node.end_byte].decode("utf-8", "replace")


def _vue(raw: str, written: str, value: str | None, element: Element) -> tuple[str, str | None]:
    event = _VUE_EVENT.match(raw)
    if event:
        return handler_name(event.group(1)), None
    if raw in ("v-bind", "v-bind.camel") or raw.startswith("v-bind="):
        element.spread = True
        element.spreads.append(written)
        return "", None
    bound = _VUE_BOUND.match(raw)
    if bound:
        if bound.group(1).startswith("["):
            element.spread = True
            element.spreads.append("")
            return "", None
        literal = LITERAL.fullmatch(written)
        known = (
            None
            if literal is None
            else next((group for group in literal.groups() if group is not None), None)
        )
        return bound.group(1).lower().split(".")[0], known
    if raw.startswith("#"):
        return "v-slot", value
    plain = raw.lower().split(".")[0]
    if plain in ("v-if", "v-else", "v-else-if", "v-show"):
        element.conditional = True
    elif plain == "v-for":
        element.loop = element.loop_root = True
    elif plain in ("v-text", "v-html"):
        element.dynamic_content = True
    elif plain == "v-on":
        element.spread = True
        element.spreads.append(written)
    elif plain == "v-model" or plain.startswith("v-model:"):
        return "v-model", None
    return plain, value


def _svelte(raw: str, value: str | None) -> tuple[str, str | None]:
    name = raw.split("|")[0]
    if name.startswith("on:"):
        return handler_name(name[3:]), None
    if re.fullmatch(r"on[a-z]+", name):
        return handler_name(name[2:]), value
    if name.startswith("bind:"):
        return name.lower(), None
    if name.startswith(("class:", "use:", "style:", "transition:", "animate:", "in:", "out:")):
        return name, value
    return name.lower(), value


def _add_svelte(elements: list[Element], masked: Masked, original: bytes) -> None:
    """Attach what was masked: shorthands and spreads to the tag around them, blocks to the elements inside."""
    starts = [element.start for element in elements]
    for offset, source in masked.inline:
        position = bisect.bisect_right(starts, offset) - 1
        if position < 0:
            continue
        element = elements[position]
        if source.startswith(("...", "@")):
            element.spread = True
            element.spreads.append(source.removeprefix("...").strip() if source.startswith("...") else "")
        elif re.fullmatch(r"[\w$]+", source):
            name = handler_name(source[2:]) if re.fullmatch(r"on[a-z]+", source) else source.lower()
            element.attributes.setdefault(
                name, Attribute(name, None, source, element.line, element.column, source)
            )
    for offset, expression in masked.raw_html:
        position = bisect.bisect_right(starts, offset) - 1
        for element in reversed(elements[: position + 1]):
            if element.end > offset:
                element.dynamic_content = True
                line = original.count(b"\n", 0, offset) + 1
                column = offset - original.rfind(b"\n", 0, offset)
                element.attributes["{@html}"] = Attribute(
                    "{@html}", None, expression, line, column, "{@html}"
                )
                break


def _add_blocks(elements: list[Element], masked: Masked) -> None:
    """Tell the elements inside of blocks that they are chosen, repeated or handed to a helper."""
    starts = [element.start for element in elements]
    for kind, start, end in masked.blocks:
        first = bisect.bisect_left(starts, start)
        outermost_end = -1
        for element in elements[first:]:
            if element.start >= end:
                break
            if kind in ("if", "await"):
                element.conditional = True
            elif kind == "snippet":
                # Where it is rendered, and how often, is for whoever gets it to decide.
                element.detached = element.conditional = True
            elif kind == "each":
                element.loop = True
                if element.start >= outermost_end:
                    element.loop_root = True
                    outermost_end = element.end


def _add_text(tree: Tree, made: dict[int, Element]) -> None:
    for item in tree.of("text", "entity"):
        owner = _around(item, made)
        if owner is None:
            continue
        text = tree.text(item.node)
        if DYNAMIC in text:
            owner.dynamic_content = True
            text = text.replace(DYNAMIC, " ")
        text = " ".join(html.unescape(text).split())
        if text:
            owner.texts.append(text)
