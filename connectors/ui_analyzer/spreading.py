"""What attributes that are spread into an element can bring."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.libraries import (
    FOCUS,
    ID,
    KEYS,
    MERGING_COMPONENTS,
    MERGING_PROPS,
    NAME,
    ROLE,
    SPREADS,
)
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.syntax import FUNCTION_KINDS

_ALL = frozenset({NAME, FOCUS, KEYS, ROLE, ID})
_KEYS_OF_LITERAL = re.compile(r"""(?:^|[{,])\s*(?:(["'])([\w-]+)\1|([\w$]+))\s*(?=[:,}(])|(\.\.\.|\[)""")
_BRINGS = {
    "aria-label": NAME,
    "aria-labelledby": NAME,
    "title": NAME,
    "alt": NAME,
    "children": NAME,
    "dangerouslysetinnerhtml": NAME,
    "id": ID,
    "role": ROLE,
    "tabindex": FOCUS,
    "href": FOCUS,
    "onkeydown": KEYS,
    "onkeyup": KEYS,
    "onkeypress": KEYS,
}


def may_bring(element: Element, what: str, document: Document) -> bool:
    """Whether attributes that are not written on the element may give it a name, an id, a role, focus or keys."""
    if merged(element) or (what in (NAME, ID) and _falls_through(element, document)):
        return True
    if not element.spread:
        return False
    sources = element.spreads or [""]
    return any(what in _brought(source, document) for source in sources)


def _falls_through(element: Element, document: Document) -> bool:
    """Whether an element is the only root of a Vue component that is used with attributes, which fall onto it."""
    if document.language != "vue" or element.parent is not None:
        return False
    if not any(re.search(r"\bdefineProps\b|\bprops\s*:", script.code_text) for script in document.scripts):
        return False  # A page, or a part of one, that nobody hands anything.
    return sum(1 for other in document.elements if other.parent is None) == 1


def merged(element: Element) -> bool:
    """Whether a component puts its own attributes onto the element: `asChild`, `render={…}`, a trigger."""
    if element.detached:
        return element.owner_prop in MERGING_PROPS
    around = element.parent
    if around is None or around.native or _from_function(element, around):
        return False
    if around.has("aschild", "as-child"):
        return True
    as_fragment = around.attributes.get("as")
    if as_fragment is not None and as_fragment.expression.endswith(("Fragment", "template")):
        return True
    tag = around.tag.rsplit(".", 1)[-1]
    return tag in MERGING_COMPONENTS or around.tag in MERGING_COMPONENTS


def _from_function(element: Element, around: Element) -> bool:
    """Whether an element is what a function child returns, which places its attributes by itself."""
    at = element.node.parent if element.node is not None else None
    while at is not None and around.node is not None and at.id != around.node.id:
        if at.type in FUNCTION_KINDS:
            return True
        at = at.parent
    return False


def _brought(source: str, document: Document) -> frozenset[str]:
    bare = source.strip()
    for pattern, brings in SPREADS:
        if pattern.search(bare):
            return brings
    if re.fullmatch(r"[A-Za-z_$][\w$]*", bare):
        bare = _literal_of(bare, document) or bare
    return _of_literals(bare)


def _literal_of(name: str, document: Document) -> str:
    """The object that a name stands for, where it is written out once in this file."""
    for script in document.scripts:
        values = [
            value
            for item in script.items("variable_declarator")
            if script.text(item.node.child_by_field_name("name")) == name
            and (value := item.node.child_by_field_name("value")) is not None
        ]
        if len(values) == 1 and values[0].type == "object":
            return script.code_of(values[0])
    return ""


def _of_literals(source: str) -> frozenset[str]:
    """What an object, or a choice between objects, that is written out can bring."""
    objects = re.findall(r"\{[^{}]*\}", source)
    rest = re.sub(r"\{[^{}]*\}", "", source)
    chosen = re.fullmatch(
        r"[(]?\s*(?:[\w.!$\s&|=?\"']*(?:\?|&&))?\s*[(:]*\s*(?::\s*)?(?:undefined|null)?[)\s]*", rest
    )
    if not objects or chosen is None or "..." in source:
        return _ALL
    brings = set()
    for literal in objects:
        for match in _KEYS_OF_LITERAL.finditer(literal):
            if match.group(4):
                return _ALL
            key = (match.group(2) or match.group(3) or "").lower()
            if key in _BRINGS:
                brings.add(_BRINGS[key])
    return frozenset(brings)
