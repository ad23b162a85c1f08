"""One model of an element for JSX, HTML, Vue and Svelte, so that a rule is written once."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tree_sitter import Node

DYNAMIC = "\x01"
"""Stands in masked source for each byte of an expression that only the running page knows."""
VOID = ("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr")  # fmt: skip
"""Elements of HTML without a closing tag."""

_QUOTED = re.compile(r"'([^'\n]*)'|\"([^\"\n]*)\"|`([^`$]*)`")
_HANDLER_ALIASES = {"doubleclick": "dblclick"}

_TEMPLATE = re.compile(r"`((?:[^`\\$]|\\.|\$(?!\{)|\$\{(?:[^{}`]|\{[^{}`]*\})*\})*)`")


@dataclass(slots=True)
class Attribute:
    """An attribute; its name is lower case and the same in every framework (`class`, `for`, `on:click`)."""

    name: str
    value: str | None
    """The static value; "" when the attribute has none; None when only the running page knows it."""
    expression: str
    """Source of the value as written, without quotes or braces; "" for a bare attribute."""
    line: int
    column: int
    raw_name: str = ""
    partial: bool = False
    """Whether the static value is only a part of it (`class="a {b}"`, `class` with `:class`)."""

    @property
    def dynamic(self) -> bool:
        """Whether the value is not wholly known."""
        return self.value is None or self.partial


@dataclass(slots=True, eq=False)
class Element:
    """An element with what is known of its content."""

    tag: str
    """As written for components; lower case for elements of HTML and SVG."""
    native: bool
    """An element of HTML or SVG rather than a component."""
    attributes: dict[str, Attribute]
    parent: "Element | None"
    line: int
    column: int
    start: int
    end: int
    spread: bool = False
    """Has attributes that are not visible here (`{...props}`, `v-bind="props"`)."""
    conditional: bool = False
    """Is rendered only sometimes: a branch of an `if`, directly or through an ancestor in this file."""
    loop: bool = False
    """Is rendered once per item of a list, directly or through an ancestor in this file."""
    loop_root: bool = False
    """Is the outermost element rendered per item."""
    detached: bool = False
    """Passed in an attribute, so that its place on the page is unknown."""
    owner: "Element | None" = None
    """Of a detached element: whose attribute it is passed in."""
    owner_prop: str = ""
    """Of a detached element: the name of that attribute, lower case."""
    spreads: list[str] = field(default_factory=list)
    """The sources of what is spread into the element; may be empty although `spread` is true."""
    children: list["Element"] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Static text directly inside, without pure whitespace."""
    node: Node | None = None
    """The JSX node; None in HTML, Vue and Svelte."""
    dynamic_content: bool = False
    """Whether an expression may add text or elements directly inside."""

    def get(self, name: str) -> str | None:
        """The static value of an attribute, or None when it is absent or dynamic."""
        attribute = self.attributes.get(name)
        return None if attribute is None else attribute.value

    def has(self, *names: str) -> bool:
        """Whether any of the attributes is present."""
        return any(name in self.attributes for name in names)

    def filled(self, *names: str) -> bool:
        """Whether any of the attributes is present with a value that is not plainly empty."""
        for name in names:
            attribute = self.attributes.get(name)
            if attribute is not None and (attribute.dynamic or (attribute.value or "").strip()):
                return True
        return False

    def ancestors(self) -> Iterator["Element"]:
        """The elements around this one in the file, innermost first."""
        at = self.parent
        while at is not None:
            yield at
            at = at.parent

    def descendants(self) -> Iterator["Element"]:
        """The elements inside, in document order."""
        stack = list(reversed(self.children))
        while stack:
            at = stack.pop()
            yield at
            stack.extend(reversed(at.children))

    def static_text(self) -> str:
        """All static text inside, joined by blanks and lower case."""
        parts = list(self.texts)
        for inner in self.descendants():
            parts.extend(inner.texts)
        return " ".join(" ".join(parts).split()).lower()

    def unknown_content(self) -> bool:
        """Whether expressions or components inside may render anything."""
        if self.dynamic_content:
            return True
        return any(inner.dynamic_content or not inner.native for inner in self.descendants())

    def classes(self) -> frozenset[str]:
        """Class names that are written out: static ones and string literals in the class expression."""
        found: set[str] = set()
        for name, attribute in self.attributes.items():
            if name == "class":
                found.update((attribute.value or "").replace(DYNAMIC, " ").split())
                if attribute.dynamic:
                    found.update(word for text in literals(attribute.expression) for word in text.split())
            elif name.startswith("class:"):
                found.add(name[6:])
        return frozenset(found | {_PREFIX.sub("", name) for name in found if _PREFIX.search(name)})


_PREFIX = re.compile(r"(?<![\w-])(?:tw|uno)[-:]")
"""What projects set before every utility, so that it does not collide with their own classes."""
_MODULE_CLASS = re.compile(r"\b\w*(?:styles?|css|classes)\w*(?:\.(\w+)|\[\s*['\"`]([\w-]+)['\"`]\s*\])", re.I)


def class_names(element: Element) -> frozenset[str]:
    """The class names of an element, those of style modules (`styles.box`, `css["box"]`) included."""
    attribute = element.attributes.get("class")
    if attribute is None or not attribute.dynamic:
        return element.classes()
    found = {one or other for one, other in _MODULE_CLASS.findall(attribute.expression)}
    return element.classes() | found


def literals(expression: str) -> Iterator[str]:
    """The string literals in a piece of script."""
    for match in _QUOTED.finditer(expression):
        yield match.group(1) or match.group(2) or match.group(3) or ""
    if "${" in expression:
        for template in _TEMPLATE.findall(expression):
            # The words of a template that are written out; what touches an insertion is not known.
            yield " ".join(re.sub(r"\S*\$\{(?:[^{}]|\{[^{}]*\})*\}\S*", " ", template).split())


def handler_name(event: str) -> str:
    """The name under which a handler of `event` is kept; the same for the capture phase."""
    plain = event.lower()
    if plain.endswith("capture") and plain not in ("gotpointercapture", "lostpointercapture"):
        plain = plain.removesuffix("capture")
    return "on:" + _HANDLER_ALIASES.get(plain, plain)
