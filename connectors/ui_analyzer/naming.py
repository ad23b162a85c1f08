"""Whether an element has an accessible name, as far as source can tell: yes, no, or unknown."""

import re
from enum import Enum, auto

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element

_ICON_LIBRARIES = re.compile(
    r"^(?:lucide-(?:react|vue-next|svelte)|@lucide/\w+|react-icons(?:/.*)?|@heroicons/.*|@tabler/icons.*|"
    r"@radix-ui/react-icons|@mui/icons-material.*|@phosphor-icons/.*|phosphor-.*|react-feather|@ant-design/icons.*|"
    r"@fortawesome/.*|~icons/.*|\$?~?virtual:icons/.*|@iconify/.*|svelte-feather-icons|heroicons.*|vue-feather)$"
)
_ICON_NAME = re.compile(r"(?:Icon|Svg|SVG)$|^(?:Icon|Svg)[A-Z]|-icon$|^i-|^Icon$|^FontAwesome")
_NAMING_PROPS = (
    "title",
    "label",
    "alt",
    "aria-label",
    "aria-labelledby",
    "arialabel",
    "titleaccess",
    "name:",
)


class Naming(Enum):
    """What source says of an accessible name."""

    NAMED = auto()
    NAMELESS = auto()
    ICON_ONLY = auto()
    """Nameless as far as an icon component does not bring a name."""
    UNKNOWN = auto()


def labelled_directly(element: Element) -> bool:
    """Whether an attribute of the element itself gives a name."""
    return element.filled(
        "aria-label", "aria-labelledby", "title", "v-bind:aria-label", "use:tooltip", "v-text", "v-html"
    )


def hidden(element: Element) -> bool:
    """Whether the element or one around it is hidden from assistive technology."""
    if _hides(element):
        return True
    return any(_hides(around) for around in element.ancestors())


def _hides(element: Element) -> bool:
    attribute = element.attributes.get("aria-hidden")
    if attribute is not None and attribute.value in ("true", ""):
        return True
    if element.has("hidden") and element.get("hidden") != "until-found":
        return True
    return element.get("role") in ("presentation", "none") and element.tag in ("img", "svg")


def name_from_content(element: Element, document: Document) -> Naming:
    """Look for a name in the content: text, the alternative of an image, the title of a drawing."""
    if element.spread:
        return Naming.UNKNOWN
    if element.dynamic_content or element.texts:
        return Naming.NAMED
    if element.has("innerhtml", "dangerouslysetinnerhtml", "children", "{@html}"):
        return Naming.UNKNOWN
    icons = False
    stack = list(element.children)
    while stack:
        inner = stack.pop()
        if _hides(inner):
            continue
        if not inner.native:
            if not is_icon(inner, document) or inner.children or inner.texts or inner.dynamic_content:
                return Naming.UNKNOWN
            if inner.spread or inner.filled(*_NAMING_PROPS):
                return Naming.NAMED
            icons = True
            continue
        if inner.filled("aria-label", "aria-labelledby", "title"):
            return Naming.NAMED
        if inner.tag == "img":
            if inner.spread or inner.filled("alt"):
                return Naming.NAMED
            continue
        if inner.tag == "slot" or (inner.spread and inner.tag != "svg"):
            return Naming.UNKNOWN
        if inner.dynamic_content or inner.has("innerhtml", "dangerouslysetinnerhtml", "v-html", "v-text"):
            return Naming.NAMED
        # The text of a drawing names it only as its title.
        if inner.texts and (inner.tag == "title" or not _in_svg(inner)):
            return Naming.NAMED
        if inner.tag in ("input", "select", "textarea", "iframe", "video", "object"):
            return Naming.UNKNOWN
        stack.extend(inner.children)
    return Naming.ICON_ONLY if icons else Naming.NAMELESS


def is_icon(element: Element, document: Document) -> bool:
    """Whether a component only draws an icon, by where it is imported from or by its name."""
    return from_icon_library(element, document) or bool(_ICON_NAME.search(element.tag))


def from_icon_library(element: Element, document: Document) -> bool:
    """Whether a component is imported from a library of icons."""
    root = element.tag.split(".")[0]
    for script in document.scripts:
        entry = script.imported.get(root)
        if entry is not None:
            return bool(_ICON_LIBRARIES.match(entry.module))
    return False


def _in_svg(element: Element) -> bool:
    return element.tag == "svg" or any(around.tag == "svg" for around in element.ancestors())
