"""Whether an element has an accessible name, as far as source can tell: yes, no, or unknown."""

import re
from dataclasses import dataclass
from enum import Enum, auto

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.following import ref_of
from connectors.ui_analyzer.libraries import NAME, NAMING_PROPS
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.native import is_icon, rendered_tag
from connectors.ui_analyzer.rule import ComponentRef
from connectors.ui_analyzer.spreading import may_bring, merged

_ICON_NAME = re.compile(r"(?:Icon|Svg|SVG)$|-icon$|^i-|^Icon$")
_SCREEN_READER_ONLY = re.compile(r"sr-only|visually-?hidden|screen-?reader", re.I)
_NAMING_DIRECTIVES = (
    "use:tooltip",
    "v-tooltip",
    "use:tippy",
    "v-tippy",
    "v-t",
    "v-i18n",
    "i18n",
)
_TRANSLATED = re.compile(r"^data-(?:i18n|l10n|translat\w*|lang(?:uage)?-?key|intl|locale-?key)(?:-|$)")
"""Attributes by which a script of a plain page fills in texts and names in the language of the visitor."""
_FILLED_FROM_SCRIPT = (
    "v-text",
    "v-html",
    "innerhtml",
    "dangerouslysetinnerhtml",
    "{@html}",
    "children",
    "textcontent",
    "innertext",
)


class Naming(Enum):
    """What source says of an accessible name."""

    NAMED = auto()
    NAMELESS = auto()
    ICON_ONLY = auto()
    """Nameless: what is inside draws icons."""
    DEPENDS = auto()
    """Nameless if the components inside draw icons only; `Content.refs` says where they come from."""
    UNKNOWN = auto()


@dataclass(frozen=True, slots=True)
class Content:
    """What the content of an element says of its name."""

    naming: Naming
    refs: tuple[ComponentRef, ...] = ()
    named_icons: bool = False
    """Whether the components that it depends on are called icons."""


def labelled_directly(element: Element) -> bool:
    """Whether an attribute of the element itself gives a name, or one of the component that it becomes."""
    always = [name for name in ("aria-label", "title") if not _sometimes_absent(element, name)]
    if element.filled(
        *always, "aria-labelledby", "v-bind:aria-label", *_NAMING_DIRECTIVES, "v-text", "v-html"
    ) or _filled_by_translation(element):
        return True
    around = element.owner if element.detached else element.parent
    return (
        around is not None
        and merged(element)
        and around.filled("aria-label", "aria-labelledby", "title", "label", "content")
    )


def _filled_by_translation(element: Element) -> bool:
    return any(_TRANSLATED.match(name) for name in element.attributes)


_ABSENT_BRANCH = re.compile(
    r"\?\s*(?:undefined|null|''|\"\"|``)\s*:|:\s*(?:undefined|null|''|\"\"|``)\s*$|^[^?|]*&&[^?|]*$"
)


_SAME_OR_EMPTY = re.compile(r"([\w$.?]+)\s*\?\s*\1\s*:\s*(?:undefined|null|''|\"\"|``)$")
"""`label ? label : ""` is whatever the caller gives as `label`, as `label` alone would be."""


def _sometimes_absent(element: Element, name: str) -> bool:
    """Whether a name is given under a condition only: `title={off ? "Why" : undefined}`."""
    attribute = element.attributes.get(name)
    return (
        attribute is not None
        and attribute.value is None
        and not attribute.partial
        and _ABSENT_BRANCH.search(attribute.expression.strip()) is not None
        and _SAME_OR_EMPTY.match(attribute.expression.strip()) is None
    )


def hidden(element: Element) -> bool:
    """Whether the element or one around it is hidden from assistive technology."""
    if _hides(element):
        return True
    return any(_hides(around) for around in element.ancestors())


_HIDDEN_CLASSES = frozenset({"hidden", "d-none", "is-hidden", "invisible", "u-hidden", "!hidden"})
_SHOWN_AGAIN = re.compile(
    r":!?(?:block|flex|grid|contents|visible|table|inline(?:-\w+)?|inline-flex)$|^d-\w+-(?:block|flex|inline\S*|grid|table)$"
)
_NO_DISPLAY = re.compile(r"display['\"]?\s*:\s*['\"]?none|visibility['\"]?\s*:\s*['\"]?hidden")


def never_shown(element: Element, document: Document) -> bool:
    """Whether an element is taken off the page by what is written on it, for good.

    In a plain page a script may put it back, and a class that an expression gives is there only sometimes.
    """
    if document.language == "html" and not any(around.tag in _CONTROLS for around in element.ancestors()):
        return False
    words = element.attributes.get("class")
    written = set() if words is None else set((words.value or "").split())
    if written & _HIDDEN_CLASSES and not any(_SHOWN_AGAIN.search(word) for word in element.classes()):
        return True
    style = element.attributes.get("style")
    return (
        style is not None and _NO_DISPLAY.search(style.value or _constant_style(style.expression)) is not None
    )


_CONTROLS = frozenset({"button", "a", "label"})


def _constant_style(expression: str) -> str:
    """The source of a style that is written out as an object; "" where it depends on anything."""
    return "" if "?" in expression or "&&" in expression else expression


def _hides(element: Element) -> bool:
    attribute = element.attributes.get("aria-hidden")
    if attribute is not None and attribute.value in ("true", ""):
        return True
    if element.has("hidden") and element.get("hidden") != "until-found":
        return True
    return element.get("role") in ("presentation", "none") and element.tag in ("img", "svg")


def name_from_content(element: Element, document: Document) -> Content:
    """Look for a name in the content: text, the alternative of an image, the title of a drawing."""
    if may_bring(element, NAME, document) or element.has(*_FILLED_FROM_SCRIPT):
        return Content(Naming.UNKNOWN)
    if _filled_by_translation(element):
        return Content(Naming.NAMED)
    if element.dynamic_content or element.texts:
        return Content(Naming.NAMED)
    if element.detached and not element.children:
        return Content(Naming.UNKNOWN)  # Whoever gets it may put something inside.
    icons = False
    refs: list[ComponentRef] = []
    called_icons = True
    stack = list(element.children)
    while stack:
        inner = stack.pop()
        if _hides(inner):
            continue
        if not inner.native and rendered_tag(inner, document) == "img":
            if inner.spread or inner.filled("alt", "aria-label", "title"):
                return Content(Naming.NAMED)
            icons = True
            continue
        if not inner.native and not is_icon(inner, document):
            ref = ref_of(inner, document)
            if (
                ref is None
                or inner.children
                or inner.texts
                or inner.dynamic_content
                or inner.spread
                or _told(inner)
            ):
                return Content(Naming.UNKNOWN)
            refs.append(ref)
            called_icons &= _ICON_NAME.search(inner.tag) is not None
            continue
        verdict = _inner_name(inner, document)
        if verdict is not None:
            return Content(verdict)
        if not inner.native:
            icons = True
        else:
            stack.extend(inner.children)
    if refs:
        return Content(Naming.DEPENDS, tuple(refs), called_icons)
    return Content(Naming.ICON_ONLY if icons else Naming.NAMELESS)


def draws_only(element: Element, document: Document) -> bool:
    """Whether a component draws an icon: a library's, or one that is called so and gets no words."""
    if element.children or element.texts or element.dynamic_content:
        return False
    return is_icon(element, document) or (_ICON_NAME.search(element.tag) is not None and not _told(element))


def _told(component: Element) -> bool:
    """Whether a component gets any words: a prop that it may show."""
    return any(
        name
        not in (
            "class",
            "style",
            "key",
            "ref",
            "size",
            "width",
            "height",
            "color",
            "fill",
            "stroke",
            "aria-hidden",
            "slot",
        )
        and not name.startswith(("on:", "data-", "class:"))
        and (attribute.dynamic or bool(re.search(r"[A-Za-z]{2}", attribute.value or "")))
        for name, attribute in component.attributes.items()
    )


def _inner_name(inner: Element, document: Document) -> Naming | None:
    """What one element inside says: NAMED, UNKNOWN, or None when it adds nothing."""
    if inner.tag in _ICONS_BY_TEXT and not inner.has("aria-label", "title"):
        return None  # What stands inside is the name of the drawing: `<v-icon>mdi-close</v-icon>`.
    if not inner.native:  # An icon of a library.
        if inner.spread or inner.filled(*NAMING_PROPS):
            return Naming.NAMED
        return Naming.UNKNOWN if inner.texts or inner.dynamic_content or inner.children else None
    if inner.filled("aria-label", "aria-labelledby", "title"):
        return Naming.NAMED
    if inner.tag == "img":
        return Naming.NAMED if inner.spread or inner.filled("alt") else None
    if inner.tag == "slot" or (inner.tag != "svg" and may_bring(inner, NAME, document)):
        return Naming.UNKNOWN
    if inner.dynamic_content or inner.has(*_FILLED_FROM_SCRIPT) or _filled_by_translation(inner):
        return Naming.NAMED
    # The text of a drawing names it only as its title.
    if inner.texts and (inner.tag in ("title", "text") or not _in_svg(inner)):
        return Naming.NAMED
    if inner.tag in ("input", "select", "textarea", "iframe", "video", "object"):
        return Naming.UNKNOWN
    if document.language == "html" and _empty_hook(inner):
        return Naming.UNKNOWN
    # What is meant for screen readers is filled in somehow.
    if any(_SCREEN_READER_ONLY.search(name) for name in inner.classes()):
        return Naming.UNKNOWN
    return None


_ICONS_BY_TEXT = frozenset({"v-icon", "VIcon", "q-icon", "QIcon"})


def _empty_hook(element: Element) -> bool:
    """Whether a script of a plain page finds an empty element by an attribute, and so may fill it: `<span data-count>`."""
    return (
        element.tag in ("span", "div", "p", "b", "strong", "em", "small", "output", "time")
        and not element.children
        and any(name == "id" or name.startswith("data-") for name in element.attributes)
    )


def translated(document: Document, element: Element) -> str:
    """The last part of the key by which the text of an element is looked up: `delete` of `$t("general.delete")`."""
    inside = document.source[element.start : element.end].decode("utf-8", "replace")
    match = re.search(r"(?<![\w$])\$?tc?\(\s*['\"`]([\w. -]{1,60})['\"`]", inside)
    return match.group(1).rsplit(".", 1)[-1].replace("_", " ").replace("-", " ") if match else ""


def _in_svg(element: Element) -> bool:
    return element.tag == "svg" or any(around.tag == "svg" for around in element.ancestors())
