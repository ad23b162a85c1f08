"""The rule on the words of links."""

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.libraries import NAMING_PROPS
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Severity
from connectors.ui_analyzer.naming import draws_only, translated
from connectors.ui_analyzer.native import LINK_TAGS
from connectors.ui_analyzer.rule import FileRule, Tally, describe, wcag
from connectors.ui_analyzer.spreading import merged

_A11Y = Category.ACCESSIBILITY
_GENERIC_LINK = frozenset(
    {
        "click here",
        "here",
        "click",
        "link",
        "a link",
        "more",
        "read more",
        "learn more",
        "this",
        "this link",
        "this page",
        "go",
        "details",
        "more info",
        "more information",
        "see more",
        "click me",
        "continue reading",
    }
)


_AROUND = " .,;:!?…→»›>↗"
"""What stands around the words of a link and says nothing."""


def _link_text(document: Document, tally: Tally) -> None:
    for element in document.elements:
        link = (element.native and element.tag == "a" and element.has("href")) or element.tag in LINK_TAGS
        if not link or element.filled("aria-labelledby", "title") or merged(element):
            continue
        if element.filled("aria-label"):
            told = (element.get("aria-label") or "").lower().strip(_AROUND)
            if told in _GENERIC_LINK:
                tally.failed(element, f'"{told}" does not say where the link leads')
            continue
        if _unknown_words(element, document):
            text = translated(document, element).lower() if not element.children and not element.texts else ""
            if text in _GENERIC_LINK:
                tally.failed(element, f'"{text}" does not say where the link leads')
            continue
        text = element.static_text().strip(_AROUND)
        if text:
            tally.check(text not in _GENERIC_LINK, element, f'"{text}" does not say where the link leads')


def _unknown_words(element: Element, document: Document) -> bool:
    """Whether anything inside may add words: an expression, a component that is no icon, a picture with an `alt`."""
    return element.dynamic_content or any(
        inner.dynamic_content
        or (not inner.native and (not draws_only(inner, document) or inner.filled(*NAMING_PROPS)))
        or inner.filled("aria-label", "alt")
        for inner in element.descendants()
    )


RULES = (
    FileRule(
        describe(
            "link-text",
            _A11Y,
            Severity.MINOR,
            "Link texts say where they lead",
            reason="In a list of links, “click here” means nothing.",
            fix="Make the words that name the destination the link.",
            reference=wcag("2.4.4 Link Purpose (In Context)", "link-purpose-in-context"),
            shared=("jsx-a11y:anchor-ambiguous-text",),
        ),
        _link_text,
    ),
)
