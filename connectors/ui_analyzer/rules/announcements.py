"""A rule on messages of failure that appear while somebody is at work."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, wcag

_A11Y = Category.ACCESSIBILITY
_FAILURE = re.compile(
    r"\{\s*(?:\{\s*)?(?:[\w$]{1,40}\.){0,3}(\w*[eE]rror(?:s|Message|Msg|Text)?)(?:\.value)?(?:\??\.[\w$]+|(?:\?\.)?\[[^\]{}]{1,40}\]){0,3}\s*\}"
)
_ALERTING = frozenset({"alert", "status", "log", "alertdialog", "dialog"})
_ALERTS = re.compile(
    r"alert|error|message|toast|notif|banner|callout|snackbar|dialog|modal|form|field|tooltip", re.I
)
_READ_ANYWAY = frozenset(
    {"label", "legend", "button", "a", "option", "output", "summary", "pre", "code", "td", "title"}
)
_PAGES = re.compile(r"(?:^|/)\+?_?error(?:[-_.]?page|boundary|view|fallback)?\.\w+$|\b(?:40\d|500)\b", re.I)


def _announced(document: Document, tally: Tally) -> None:
    """Look at elements that show a variable called an error, and only sometimes."""
    if document.language == "html" or _PAGES.search(document.path):
        return
    described = {
        word
        for element in document.elements
        for name in ("aria-describedby", "aria-errormessage")
        for word in (element.get(name) or "").split()
    }
    dynamic = any(
        element.attributes[name].dynamic
        for element in document.elements
        for name in ("aria-describedby", "aria-errormessage")
        if name in element.attributes
    )
    for element in document.elements:
        if not element.native or not element.conditional or not element.dynamic_content or element.loop:
            continue
        shown = None if element.children else _FAILURE.search(_inside(document, element))
        if shown is None or element.tag in _READ_ANYWAY or element.detached:
            continue
        around = [element, *element.ancestors()]
        if any(one.get("id") in described or (dynamic and one.has("id")) for one in around):
            continue  # It is read with the field that it is about.
        if any(not one.native and _ALERTS.search(one.tag) for one in around):
            continue
        told = any(
            one.get("role") in _ALERTING
            or one.has("aria-live")
            or one.tag in ("dialog", "output")
            or one.spread
            or ("role" in one.attributes and one.attributes["role"].dynamic)
            for one in around
        )
        tally.check(told, element, f"{shown.group(1)} appears without being announced to screen readers")


def _inside(document: Document, element: Element) -> str:
    source = document.source[element.start : element.end].decode("utf-8", "replace")
    return source[source.find(">") + 1 :]


RULES = (
    FileRule(
        describe(
            "error-announced",
            _A11Y,
            Severity.MODERATE,
            "Messages of failure are announced",
            reason="Who does not see the page waits for something that has failed already.",
            fix='Show it in an element with `role="alert"`, or tie it to its field by `aria-describedby`.',
            reference=wcag("4.1.3 Status Messages", "status-messages"),
            confidence=Confidence.MEDIUM,
        ),
        _announced,
    ),
)
