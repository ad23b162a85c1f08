"""A rule on what covers the page like a dialog and is none to those who do not see it."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element, class_names
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden
from connectors.ui_analyzer.rule import FileRule, Tally, describe, wcag

_COVERS = frozenset(
    {
        "modal",
        "modal-overlay",
        "modal-mask",
        "modal-wrapper",
        "modal-container",
        "modal-box",
        "dialog-overlay",
        "popup-overlay",
        "modalOverlay",
    }
)
"""Class names of a dialog that is drawn over the page."""
_SHADES = re.compile(
    r"^(?:\w+:)*bg-[\w-]+(?:/\d+|-opacity-\d+|\[.*\])$|^(?:\w+:)*bg-opacity-\d+$|^(?:\w+:)*backdrop-blur"
)
_ALL_OF_IT = (
    frozenset({"inset-0"}),
    frozenset({"w-screen", "h-screen"}),
    frozenset({"w-full", "h-full"}),
    frozenset({"w-screen", "h-svh"}),
    frozenset({"w-screen", "h-dvh"}),
)
_OF_DIALOGS = re.compile(
    r"dialog|modal|drawer|sheet|popover|popup|overlay|toast|teleport|portal|transition", re.I
)
_SAID = frozenset(
    {"dialog", "alertdialog", "menu", "listbox", "navigation", "status", "alert", "presentation", "none"}
)


def _dialog_role(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if (
            not element.native
            or element.tag not in ("div", "section", "aside", "article")
            or not _covers(element)
        ):
            continue
        around = list(element.ancestors())
        inside = list(element.descendants())
        if any(_said(one) for one in (element, *around, *inside)):
            tally.passed()
            continue
        operated = any(one.native and one.tag in ("button", "input", "select", "textarea") for one in inside)
        unknown = (
            element.spread
            or hidden(element)
            or element.detached
            or any(one.tag in ("nav", "slot", "aside") for one in inside)
            or any(
                not one.native and _OF_DIALOGS.search(one.tag) and one.tag not in _MOVERS
                for one in (*around, *inside)
            )
        )
        if not operated or unknown:
            continue
        if any(_covers(one) for one in around):
            continue  # The outer one is told of.
        tally.failed(
            element,
            'this covers the page like a dialog and has no role="dialog"',
            confidence=Confidence.LOW if _of_bootstrap(element) else None,
        )


_PARTS = frozenset({"modal-dialog", "modal-content", "modal-header"})


def _of_bootstrap(element: Element) -> bool:
    """Whether the script of Bootstrap, or of what stands in for it, opens the dialog: it sets the role by then."""
    return bool(_PARTS & {name for inner in element.descendants() for name in inner.classes()})


_MOVERS = frozenset({"Transition", "transition", "Teleport", "teleport", "Portal", "ClientOnly"})
"""What only moves or animates it."""


def _covers(element: Element) -> bool:
    names = class_names(element)
    if names & _COVERS:
        return True
    return (
        "fixed" in names
        and any(wanted <= names for wanted in _ALL_OF_IT)
        and any(_SHADES.match(name) for name in names)
    )


def _said(element: Element) -> bool:
    role = element.attributes.get("role")
    return (
        element.tag == "dialog"
        or (role is not None and (role.dynamic or role.value in _SAID))
        or element.has("aria-modal", "popover")
    )


RULES = (
    FileRule(
        describe(
            "dialog-role",
            Category.ACCESSIBILITY,
            Severity.MODERATE,
            "What covers the page says that it is a dialog",
            reason="A screen reader does not say that it opened, and goes on in the page behind it.",
            fix='Use `<dialog>` with `showModal()`, or give it `role="dialog"`, `aria-modal` and a name, and move the focus into it.',
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            confidence=Confidence.MEDIUM,
        ),
        _dialog_role,
    ),
)
