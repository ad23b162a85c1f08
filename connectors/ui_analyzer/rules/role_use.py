"""Rules on roles: that they support what is said of an element, and fit the element that they are given to."""

from connectors.ui_analyzer.aria import WIDGET_ROLES
from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden, never_shown
from connectors.ui_analyzer.roles import (
    NON_INTERACTIVE,
    SUPPORTED_BY,
    WITHOUT_ARIA,
    implicit_role,
)
from connectors.ui_analyzer.rule import FileRule, Tally, describe, wcag
from connectors.ui_analyzer.rules.structure import placeholder

_A11Y = Category.ACCESSIBILITY


def _role(element: Element) -> str | None:
    """The role of an element, its own or its tag's; None when the page decides."""
    written = element.attributes.get("role")
    if written is None:
        return implicit_role(element)
    if written.dynamic or placeholder(written.value or ""):
        return None
    words = (written.value or "").lower().split()
    return words[0] if words else implicit_role(element)


def _supported_attribute(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag in WITHOUT_ARIA:
            continue
        names = [name[5:] for name in element.attributes if name.startswith("aria-")]
        narrow = [name for name in names if name in SUPPORTED_BY]
        role = _role(element) if narrow else None
        if not role or element.has("is", "v-bind:is"):
            continue  # Without a role the element may get one from elsewhere; what it is clicked for is another rule's.
        for name in narrow:
            ok = role in SUPPORTED_BY[name] or _also_allowed(element, role, name)
            tally.check(
                ok,
                element.attributes[f"aria-{name}"],
                f'aria-{name} means nothing on <{element.tag}>, which has the role "{role}"',
            )


def _also_allowed(element: Element, role: str, name: str) -> bool:
    """What browsers support beyond the table: cells and headers of a grid, text inputs that open a list."""
    if role.startswith(("doc-", "graphics-")):
        return name in _OF_BOOKS
    if role in ("row", "cell") and name in ("selected", "expanded", "level"):
        return True  # The table around may be a grid.
    if name in ("expanded", "activedescendant") and role in ("textbox", "searchbox"):
        return name == "activedescendant"
    return role in ("none", "presentation") or (element.tag == "summary" and name == "expanded")


_OF_BOOKS = frozenset(
    {"activedescendant", "expanded", "level", "orientation", "posinset", "setsize"}
    | {"valuemax", "valuemin", "valuenow", "valuetext"}
)
"""What the roles of books and drawings took over from the roles that they are made of."""


def _without_aria(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag not in WITHOUT_ARIA or element.tag == "slot":
            continue
        wrong = next(
            (
                attribute
                for name, attribute in element.attributes.items()
                if (name == "role" or name.startswith("aria-")) and name != "aria-hidden"
            ),
            None,
        )
        if wrong is not None:
            tally.failed(wrong, f"{wrong.name} means nothing on <{element.tag}>, which is not shown")


def _presentational(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.get("role") not in ("none", "presentation") or element.spread:
            continue
        if hidden(element) or never_shown(element, document):
            continue
        tabindex = element.attributes.get("tabindex")
        reached = (
            element.tag in ("button", "select", "textarea")
            or (element.tag == "a" and element.has("href"))
            or (element.tag == "input" and element.get("type") != "hidden")
        )
        if tabindex is not None:
            reached = tabindex.value is not None and tabindex.value.strip().isdigit()
        tally.check(
            not (reached and not element.has("disabled")),
            element,
            f'<{element.tag}> can be focused, although role="{element.get("role")}" says that it is nothing',
        )


_FITTING = {
    "ul": frozenset({"listbox", "menu", "menubar", "radiogroup", "tablist", "tree", "treegrid"}),
    "ol": frozenset({"listbox", "menu", "menubar", "radiogroup", "tablist", "tree", "treegrid"}),
    "menu": frozenset({"listbox", "menu", "menubar", "radiogroup", "tablist", "tree", "treegrid"}),
    "li": frozenset({"menuitem", "menuitemcheckbox", "menuitemradio", "option", "radio", "row", "tab", "treeitem"}),
    "table": frozenset({"grid", "treegrid"}),
    "td": frozenset({"gridcell"}),
    "tr": frozenset({"row", "option", "treeitem", "link", "button"}),
    "fieldset": frozenset({"radiogroup"}),
    "img": frozenset({"button", "link", "checkbox", "switch", "tab", "menuitem", "option", "radio", "slider", "treeitem"}),
    "hr": frozenset({"separator"}),
    "details": frozenset({"group"}),
    "aside": frozenset({"dialog"}),
    "option": frozenset(),
}  # fmt: skip


def _role_fits(document: Document, tally: Tally) -> None:
    for element in document.elements:
        written = element.attributes.get("role")
        if not element.native or written is None or written.dynamic or element.spread:
            continue
        role = (written.value or "").strip().lower()
        own = implicit_role(element)
        if element.tag == "input" and not own and element.get("type") != "hidden":
            own = "textbox"
        if not own or not role or role == own:
            continue
        if own in NON_INTERACTIVE and role in WIDGET_ROLES:
            tally.check(
                role in _FITTING.get(element.tag, frozenset()),
                written,
                f'role="{role}" takes from <{element.tag}> that it is a {_SPOKEN.get(own, own)}',
            )
        elif own in WIDGET_ROLES and role in NON_INTERACTIVE and not element.has("disabled"):
            tally.failed(written, f'<{element.tag}> is a {own}, and role="{role}" hides that')
        else:
            tally.passed()


_SPOKEN = {"listitem": "list item", "complementary": "landmark", "main": "landmark", "navigation": "landmark"}


RULES = (
    FileRule(
        describe(
            "aria-supported",
            _A11Y,
            Severity.SERIOUS,
            "Roles support the ARIA attributes that are used with them",
            reason="Screen readers ignore what a role does not support: the state that it was to tell is lost.",
            fix="Use the role or the element that has this state, or take the attribute away.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:aria-allowed-attr", "jsx-a11y:role-supports-aria-props"),
        ),
        _supported_attribute,
    ),
    FileRule(
        describe(
            "aria-on-unshown",
            _A11Y,
            Severity.MINOR,
            "Elements that are not shown have no ARIA",
            reason="Nobody hears what is said of a script or a style sheet.",
            fix="Take the role and the attributes away.",
            negative=True,
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("jsx-a11y:aria-unsupported-elements",),
        ),
        _without_aria,
    ),
    FileRule(
        describe(
            "presentational-control",
            _A11Y,
            Severity.SERIOUS,
            "Controls are not said to be nothing",
            reason="The focus lands on something that screen readers are told to pass over.",
            fix="Take `role` away, or the element out of the tab order.",
            negative=True,
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:presentation-role-conflict",),
        ),
        _presentational,
    ),
    FileRule(
        describe(
            "role-fits",
            _A11Y,
            Severity.MODERATE,
            "A role does not take away what an element is",
            reason="A heading that becomes a button is missing from the outline, a button that becomes a heading cannot be found.",
            fix="Put the control inside the element, or use an element without a meaning of its own.",
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            confidence=Confidence.MEDIUM,
            shared=(
                "axe:aria-allowed-role",
                "jsx-a11y:no-interactive-element-to-noninteractive-role",
                "jsx-a11y:no-noninteractive-element-to-interactive-role",
            ),
        ),
        _role_fits,
    ),
)
