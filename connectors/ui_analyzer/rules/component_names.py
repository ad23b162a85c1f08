"""Buttons that are components, of a library or of the project: whether their callers give them a name."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.following import BUTTON, ref_of
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Confidence, Severity
from connectors.ui_analyzer.naming import Naming, hidden, labelled_directly, name_from_content
from connectors.ui_analyzer.native import imported, library_control
from connectors.ui_analyzer.rule import Tally
from connectors.ui_analyzer.spreading import merged

_CALLED_BUTTON = re.compile(r"(?:Button|Btn)$")
_MAY_NAME = re.compile(
    r"label|title|text|name|tooltip|alt|hint|content|caption|description|children|i18n|message|value|icon|component|^as$|aschild|as-child|render",
)
"""Props that a component may show as words, or that make something else of it."""


def component_buttons(document: Document, tally: Tally) -> None:
    """Check the buttons of libraries by their content, and those of the project by what its file renders."""
    if document.language == "vue":
        _vue_buttons(document, tally)
    if document.language in ("vue", "html"):
        return  # Components are registered elsewhere, and content goes into slots.
    for element in document.elements:
        if element.native or element.spread or hidden(element) or merged(element) or _may_be_named(element):
            continue
        library = library_control(element, document) == "button" and imported(element, document) is not None
        if not library and not _CALLED_BUTTON.search(element.tag):
            continue
        content = name_from_content(element, document)
        if content.naming is Naming.NAMED:
            tally.passed()
        if content.naming not in (Naming.NAMELESS, Naming.ICON_ONLY) or not element.children:
            continue
        message = "this button holds only an icon and has no accessible name"
        if library:
            tally.failed(element, message, severity=Severity.SERIOUS, confidence=Confidence.MEDIUM)
            continue
        ref = ref_of(element, document)
        if ref is not None:
            tally.depends(
                element,
                message,
                (ref,),
                frozenset({BUTTON}),
                falls_through=True,
                silent=True,
                severity=Severity.SERIOUS,
            )


_VUE_BUTTONS = frozenset(
    {"v-btn", "VBtn", "b-button", "BButton", "el-button", "ElButton", "q-btn", "QBtn", "n-button", "UButton"}
)
_WORDS = (
    "text",
    "label",
    "title",
    "aria-label",
    "alt",
    "content",
    "tooltip",
    "v-tooltip",
    "v-t",
    "v-b-tooltip",
    "v-text",
    "v-html",
    "v-bind",
    "v-slot",
)


def _vue_buttons(document: Document, tally: Tally) -> None:
    """Buttons of Vuetify and the like, which are registered for all files: an icon by a prop or inside, and no words."""
    for element in document.elements:
        if (
            element.tag not in _VUE_BUTTONS | {"v-icon", "VIcon"}
            or element.spread
            or hidden(element)
            or merged(element)
        ):
            continue
        if element.tag in ("v-icon", "VIcon"):
            if element.has("on:click") and not labelled_directly(element) and not element.has("aria-hidden"):
                tally.failed(
                    element,
                    "this icon is a button, for it is clicked, and has no accessible name",
                    severity=Severity.SERIOUS,
                    confidence=Confidence.MEDIUM,
                )
            continue
        if labelled_directly(element) or any(
            name.split(".")[0].split(":")[0] in _WORDS for name in element.attributes
        ):
            tally.passed()
            continue
        if any("tooltip" in around.tag.lower() for around in element.ancestors()):
            continue
        icon = element.attributes.get("icon") or element.attributes.get("prepend-icon")
        bare = not element.children and not element.texts and not element.dynamic_content
        drawn = bare and icon is not None and (icon.dynamic or bool(icon.value))
        if not drawn and not bare:
            drawn = name_from_content(element, document).naming is Naming.ICON_ONLY or (
                element.has("icon") and _icons_only(element)
            )
        if drawn:
            tally.failed(
                element,
                "this button holds only an icon and has no accessible name",
                severity=Severity.SERIOUS,
                confidence=Confidence.MEDIUM,
            )
        elif not bare:
            tally.passed()


def _icons_only(element: Element) -> bool:
    """Whether a button that says that it is one for an icon holds components that are called icons, and no words."""
    return (
        not element.texts
        and not element.dynamic_content
        and bool(element.children)
        and all(
            not inner.native
            and re.search(r"(?:-icon|Icon)$", inner.tag) is not None
            and not inner.texts
            and not inner.children
            and not labelled_directly(inner)
            for inner in element.children
        )
    )


def _may_be_named(element: Element) -> bool:
    """Whether a prop or a tooltip around it may give it a name."""
    if labelled_directly(element):
        return True
    own = any(_MAY_NAME.search(name) and name not in ("class", "startIcon") for name in element.attributes)
    return own or any(
        "tooltip" in around.tag.lower() and around.filled("title", "label", "content", "aria-label")
        for around in element.ancestors()
    )
