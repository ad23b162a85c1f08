"""Rules on keyboard, focus and pointer."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.following import BUTTON, LINK, ref_of
from connectors.ui_analyzer.handlers import only_stops
from connectors.ui_analyzer.markup import Element, class_names
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden, never_shown
from connectors.ui_analyzer.native import library_control
from connectors.ui_analyzer.roles import CHILDREN_FLATTENED
from connectors.ui_analyzer.rule import ComponentRef, FileRule, Tally, describe, mdn, wcag
from connectors.ui_analyzer.rules.pointing import KEY_HANDLERS, native_interactive
from connectors.ui_analyzer.spreading import merged

_A11Y = Category.ACCESSIBILITY
_ON_REQUEST = re.compile(
    r"dialog|modal|popover|popup|palette|drawer|sheet|command|dropdown|menu|combobox|overlay", re.I
)
"""Components that appear when somebody asks for them."""


def _positive_tabindex(document: Document, tally: Tally) -> None:
    for element in document.elements:
        tabindex = element.attributes.get("tabindex")
        if tabindex is None or tabindex.value is None or not element.native:
            continue
        positive = re.match(r"\+?0*[1-9]", tabindex.value.strip()) is not None
        tally.check(not positive, tabindex, f'tabindex="{tabindex.value}" jumps ahead of everything else')


def _link_href(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag != "a" or element.spread:
            continue
        href = element.attributes.get("href")
        acts = element.has("on:click") and not only_stops(document, element.attributes["on:click"])
        if href is None:
            if acts and element.get("role") is None and not any(map(_widget, element.descendants())):
                tally.failed(element, "<a> without href acts as a button: the keyboard cannot reach it")
            continue
        if href.dynamic or (href.value == "#" and re.search(r"\btop\b", element.static_text())):
            tally.passed()  # "#" leads to the top of the page.
            continue
        value = (href.value or "").strip().lower()
        fake = value in ("#", "#!", "javascript:", "") or value.startswith("javascript:")
        if fake and element.get("role") == "button" and element.has(*KEY_HANDLERS):
            fake = False
        if value in ("#", "") and not acts and document.language == "html":
            # In plain pages "#" also leads to the top, or script attaches behaviour elsewhere.
            tally.failed(href, f'href="{value}" leads nowhere', confidence=Confidence.LOW)
            continue
        tally.check(not fake, href, f'href="{value}" is no destination: this is a button')


def _hover_needs_focus(document: Document, tally: Tally) -> None:
    for element in document.elements:
        hover = element.attributes.get("on:mouseover") or element.attributes.get("on:mouseenter")
        left = element.attributes.get("on:mouseout")
        if (
            hover is None
            and left is not None
            and element.native
            and not element.spread
            and not hidden(element)
        ):
            if not _keys_do_it(element):
                ok = element.has("on:blur", "on:focusout")
                tally.check(ok, left, f"<{element.tag}> reacts to mouseout, and not to blur")
            continue
        if hover is None or not element.native or element.spread or hidden(element):
            continue
        if hover.name == "on:mouseenter" and not element.has("on:mouseover"):
            continue  # Mostly for ornament; what it shows is another rule's.
        if _keys_do_it(element) or ".focus(" in hover.expression:
            continue
        if re.fullmatch(
            r"\s*(?:if\s*\([^()]*\)\s*)?(?:this|event\.(?:current)?target)\.style\.\w+\s*=[^;=]*;?\s*",
            hover.expression or hover.value or "",
            re.I,
        ):
            continue  # Only drawn otherwise, as `:hover` would.
        ok = element.has("on:focus", "on:focusin", "on:focuswithin")
        tally.check(ok, hover, f"<{element.tag}> reacts to mouseover, and not to focus")


def _keys_do_it(element: Element) -> bool:
    """Whether the pointer only moves what the arrow keys move too: an option of a list that handles keys."""
    if any(around.has(*KEY_HANDLERS) for around in (element, *element.ancestors())):
        return True
    return (element.get("role") or "") in ("option", "menuitem", "treeitem", "tab", "gridcell")


def _autofocus(document: Document, tally: Tally) -> None:
    for element in document.elements:
        attribute = element.attributes.get("autofocus")
        if attribute is None or not element.native or attribute.value is None or attribute.value == "false":
            continue
        in_dialog = any(
            around.tag == "dialog"
            or around.get("role") in ("dialog", "alertdialog", "search")
            or (not around.native and _ON_REQUEST.search(around.tag))
            for around in (element, *element.ancestors(), *_owners(element))
        )
        if in_dialog or element.conditional:
            # What appears on request may take the focus.
            tally.passed()
        else:
            tally.failed(
                attribute,
                "autofocus moves the focus before anything was read",
                # A component that is no page may appear when somebody asks for it.
                confidence=None if _visited(document) else Confidence.LOW,
            )


_PAGE_PATH = re.compile(
    r"(?:^|/)(?:pages|views|routes|screens)/|(?:[-_.]|(?<=[a-z])(?=[PVS]))(?:page|view|screen)\.\w+$|(?:^|/)\+?page\.\w+$",
    re.I,
)


def _visited(document: Document) -> bool:
    """Whether a file is a page that one goes to, rather than a part of one."""
    return (
        (
            document.language == "html"
            and any(element.tag in ("html", "body") for element in document.elements)
        )
        or _PAGE_PATH.search(document.path) is not None
        or any(element.native and element.tag in ("main", "h1") for element in document.elements)
    )


def _owners(element: Element) -> list[Element]:
    """The components around the attribute in which an element is passed."""
    outermost = element
    while outermost.parent is not None:
        outermost = outermost.parent
    return [] if outermost.owner is None else [outermost.owner, *outermost.owner.ancestors()]


def _access_key(document: Document, tally: Tally) -> None:
    for element in document.elements:
        attribute = element.attributes.get("accesskey")
        if attribute is not None and element.native:
            tally.failed(attribute, "accesskey collides with shortcuts of browsers and screen readers")
        elif element.native and element.tag == "button":
            tally.passed()


def _hidden_focusable(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if element.native and element.get("aria-hidden") == "true" and not element.spread:
            inner = next((child for child in (element, *element.descendants()) if _focusable(child)), None)
            if inner is None:
                tally.passed()
                continue
            names = class_names(element) | class_names(inner)
            if document.language == "html" and _opened_by_script(element, document):
                tally.failed(
                    inner,
                    f"the keyboard reaches <{inner.tag}>, which screen readers are told to skip",
                    confidence=Confidence.LOW,
                )
                continue
            tally.depends(
                inner,
                f"the keyboard reaches <{inner.tag}>, which screen readers are told to skip",
                (),
                frozenset(),
                excused_by=tuple(("hides-class", name) for name in sorted(names)),
            )


def _opened_by_script(element: Element, document: Document) -> bool:
    """Whether something on the page controls an element, and so shows it and takes `aria-hidden` away."""
    identifier = element.get("id")
    return identifier is not None and any(
        identifier in (other.get("aria-controls") or "").split() for other in document.elements
    )


def _focusable(element: Element) -> bool:
    off = element.attributes.get("disabled")
    if not element.native or element.spread or element.has("inert", "hidden"):
        return False
    if off is not None and (not off.dynamic or off.partial):
        return False  # One that is off only sometimes is reached at other times.
    if any(around.has("hidden", "inert") for around in element.ancestors()):
        return False
    tabindex = element.attributes.get("tabindex")
    if tabindex is not None:
        return tabindex.value is not None and re.fullmatch(r"\d+", tabindex.value) is not None
    if element.tag == "input" and element.get("type") == "hidden":
        return False
    if element.classes() & {"hidden", "d-none", "invisible"}:
        return False
    if element.tag in ("video", "audio") and not element.has("controls"):
        return False
    return native_interactive(element) and element.tag not in (
        "label",
        "details",
        "dialog",
        "iframe",
        "option",
    )


def _nested_interactive(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if (
            element.detached
            or merged(element)
            or element.parent is None
            or element.has("aschild", "as-child")
        ):
            continue
        inner = _control(element, document)
        if inner is None or never_shown(element, document) or element.has("hidden"):
            continue
        around = _control_around(element, document)
        if around is None:
            if inner == ():
                tally.passed()
            continue
        outer, refs = around
        role = outer.get("role") if outer.native and outer.tag not in ("button", "a", "summary") else None
        shown = f'<{outer.tag} role="{role}">' if role else f"<{outer.tag}>"
        message = f"<{element.tag}> is inside {shown}: only one of them can be operated"
        if inner or refs:
            tally.depends(element, message, (*inner, *refs), frozenset({BUTTON, LINK}))
        else:
            tally.failed(element, message)


def _control(element: Element, document: Document) -> tuple[ComponentRef, ...] | None:
    """Whether an element is a control: () for yes, the components that decide it, None for no."""
    if element.native:
        return () if _widget(element) else None
    rendered = element.get("component") or element.get("as")
    if rendered is not None and re.fullmatch(r"div|span|li|p|section|article|td|i", rendered):
        return None
    if library_control(element, document):
        return ()
    ref = ref_of(element, document)
    # Only what is called so is followed: to follow each component would cost more than it finds.
    return (ref,) if ref is not None and re.search(r"Button|Link|Btn", element.tag) else None


def _control_around(element: Element, document: Document) -> tuple[Element, tuple[ComponentRef, ...]] | None:
    """The nearest control around an element; None when there is none, or a component between may move it."""
    for outer in element.ancestors():
        if outer.has("aschild", "as-child", "legacybehavior", "custom", "component", "as", "render"):
            return None
        found = _control(outer, document) if outer.tag != "details" else None
        if found is not None:
            return outer, found
        if not outer.native:
            return None
    return None


def _widget(element: Element) -> bool:
    if element.tag == "a":
        return element.has("href")
    if element.tag == "input":
        return element.get("type") not in ("hidden",)
    return (
        element.tag in ("button", "select", "textarea")
        or element.get("role") == "link"
        or element.get("role") in CHILDREN_FLATTENED
    )


RULES = (
    FileRule(
        describe(
            "positive-tabindex",
            _A11Y,
            Severity.SERIOUS,
            "The order of focus follows the document",
            reason="Focus jumps about, and away from what is next on screen.",
            fix='Put elements in the right order and use `tabindex="0"` or none.',
            reference=wcag("2.4.3 Focus Order", "focus-order"),
            shared=("axe:tabindex", "jsx-a11y:tabindex-no-positive"),
        ),
        _positive_tabindex,
    ),
    FileRule(
        describe(
            "link-href",
            _A11Y,
            Severity.SERIOUS,
            "Links lead somewhere; what acts is a button",
            reason="It cannot be opened in a tab, and without href not be reached with the keyboard.",
            fix='Use a `<button type="button">` for an action, a real `href` for navigation.',
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("jsx-a11y:anchor-is-valid",),
        ),
        _link_href,
    ),
    FileRule(
        describe(
            "hover-without-focus",
            _A11Y,
            Severity.MODERATE,
            "What happens on hover also happens on focus",
            reason="Keyboard and touch never hover.",
            fix="Handle focus and blur the same way.",
            reference=wcag("2.1.1 Keyboard", "keyboard"),
            shared=("jsx-a11y:mouse-events-have-key-events",),
        ),
        _hover_needs_focus,
    ),
    FileRule(
        describe(
            "autofocus",
            _A11Y,
            Severity.MINOR,
            "Focus is not taken on load",
            reason="A screen reader starts in the middle; a phone opens its keyboard over the page.",
            fix="Leave the focus alone unless a dialog opens.",
            reference=mdn("autofocus", "Web/HTML/Reference/Global_attributes/autofocus"),
            confidence=Confidence.MEDIUM,
            shared=("jsx-a11y:no-autofocus",),
        ),
        _autofocus,
    ),
    FileRule(
        describe(
            "access-key",
            _A11Y,
            Severity.MINOR,
            "No access keys",
            reason="They override shortcuts that people rely on, differently in every browser.",
            fix="Remove `accesskey`; offer documented shortcuts that can be turned off.",
            negative=True,
            reference=mdn("accesskey", "Web/HTML/Reference/Global_attributes/accesskey"),
            shared=("jsx-a11y:no-access-key", "axe:accesskeys"),
        ),
        _access_key,
    ),
    FileRule(
        describe(
            "hidden-focusable",
            _A11Y,
            Severity.SERIOUS,
            "What is hidden from screen readers cannot be focused",
            reason="Focus lands on something of which nothing is said.",
            fix="Use `inert` or `hidden`, or take the control out of the tab order.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:aria-hidden-focus", "jsx-a11y:no-aria-hidden-on-focusable"),
        ),
        _hidden_focusable,
    ),
    FileRule(
        describe(
            "nested-interactive",
            _A11Y,
            Severity.SERIOUS,
            "Controls are not nested",
            reason="Screen readers flatten the outer control, and the inner one disappears.",
            fix="Put the controls side by side.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:nested-interactive",),
        ),
        _nested_interactive,
    ),
)
