"""Fields that are components, of a library or of the project: whether their callers give them a label."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.following import FIELD, ref_of
from connectors.ui_analyzer.libraries import FIELD_TAGS, FIELDS_OF_LIBRARIES
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Confidence, Severity
from connectors.ui_analyzer.naming import hidden, labelled_directly, never_shown
from connectors.ui_analyzer.native import imported
from connectors.ui_analyzer.rule import ComponentRef, Tally
from connectors.ui_analyzer.rules.accessible_names import label_targets, labelled
from connectors.ui_analyzer.spreading import merged

_CALLED_FIELD = re.compile(r"(?:Input|TextField|Text[aA]rea|Select|SearchBox|SearchField|SearchBar)$")
_MAY_NAME = re.compile(
    r"label|title|inputprops|slotprops|prefix|addon|^as$|aschild|as-child|render|component|^id$|inputid|caption|legend"
)
"""Props that a field may show as its name, or hand on to what has one."""
_OTHER_TYPES = frozenset({"hidden", "submit", "reset", "button", "image", "file", "checkbox", "radio"})


def component_fields(document: Document, tally: Tally, *, placeholders: bool) -> None:
    """Check the fields with a placeholder, or those without: the two are different defects."""
    labels = label_targets(document)
    for element, ref in _fields(document):
        if element.filled("placeholder") is not placeholders:
            continue
        if labelled(element, document, labels) is not False:
            continue
        message = (
            f"<{element.tag}> is named by its placeholder only"
            if placeholders
            else f"<{element.tag}> has no label"
        )
        if any(not around.native and around.has("label", "title", "name") for around in element.ancestors()):
            # What is around it has a text, which it may tie to what is inside.
            tally.failed(element, message, severity=_SEVERITY[placeholders], confidence=Confidence.LOW)
        elif ref is None:
            tally.failed(element, message, severity=_SEVERITY[placeholders], confidence=Confidence.MEDIUM)
        else:
            tally.depends(
                element,
                message,
                (ref,),
                frozenset({FIELD}),
                falls_through=True,
                silent=True,
                severity=_SEVERITY[placeholders],
            )


_SEVERITY = {True: Severity.MODERATE, False: Severity.SERIOUS}


def _fields(document: Document) -> Iterator[tuple[Element, ComponentRef | None]]:
    """The fields without a name of their own; the reference is None for those of libraries."""
    for element in document.elements:
        if element.native or element.spread or hidden(element) or merged(element):
            continue
        if labelled_directly(element) or any(_MAY_NAME.search(name) for name in element.attributes):
            continue
        kind = element.attributes.get("type")
        if (kind is not None and (kind.value in _OTHER_TYPES or kind.value is None)) or never_shown(
            element, document
        ):
            continue
        if element.tag in FIELD_TAGS:
            yield element, None
            continue
        entry = imported(element, document)
        if entry is not None and any(
            module.match(entry.module) and name.match(element.tag) for module, name in FIELDS_OF_LIBRARIES
        ):
            yield element, None
        elif _CALLED_FIELD.search(element.tag) and document.language != "html":
            ref = ref_of(element, document)
            if ref is not None:
                yield element, ref
