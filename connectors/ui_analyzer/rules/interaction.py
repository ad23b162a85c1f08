"""Rules on keyboard, focus and pointer."""

import re

from connectors.ui_analyzer.aria import NATIVE_CONTROLS, WIDGET_ROLES
from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Attribute, Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden
from connectors.ui_analyzer.rule import FileRule, Tally, describe, mdn, wcag

_A11Y = Category.ACCESSIBILITY
_KEY_HANDLERS = ("on:keydown", "on:keyup", "on:keypress")
_NOT_ACTING = re.compile(
    r"^\s*(?:\(?\s*\w*\s*\)?\s*=>\s*\{?\s*)?(?:\w+\??\.)?(?:stopPropagation|preventDefault)\(\)\s*;?\s*\}?\s*$"
)
_CLICKABLE_ROLES = frozenset({"button", "link", "checkbox", "switch"})
_DIALOG_FILE = re.compile(r"dialog|modal|popover|palette|search|login|sign-?in|prompt", re.I)


def native_interactive(element: Element) -> bool:
    """Whether the browser makes an element focusable and operable by itself."""
    if not element.native:
        return False
    if element.tag in ("a", "area"):
        return element.has("href")
    if element.tag == "input":
        return element.get("type") != "hidden"
    return element.tag in NATIVE_CONTROLS or element.tag in ("iframe", "label", "details", "dialog")


def _click_keyboard(document: Document, tally: Tally) -> None:
    for element in document.elements:
        click = element.attributes.get("on:click")
        if click is None or not element.native or element.tag in ("html", "body", "svg:svg", "slot", "form"):
            continue
        if native_interactive(element):
            tally.passed()
            continue
        if (
            element.tag == "a"
            or _only_stops(click)
            or hidden(element)
            or element.spread
            or _conditional_handler(click)
        ):
            continue
        if element.get("role") in ("presentation", "none"):
            continue
        role = element.attributes.get("role")
        keyboard = element.has(*_KEY_HANDLERS)
        if keyboard and (role is not None or element.has("tabindex")):
            tally.passed()
        elif element.tag == "canvas" or _delegates(element):
            tally.failed(
                element, f"<{element.tag}> handles clicks of what is inside it", confidence=Confidence.LOW
            )
        elif role is not None and role.value in WIDGET_ROLES and role.value not in _CLICKABLE_ROLES:
            # Options, tabs and the like are often driven by the keyboard handler of their container.
            driven = keyboard or any(
                around.has(*_KEY_HANDLERS) or around.spread for around in element.ancestors()
            )
            if driven or element.parent is None:
                tally.passed()
            else:
                tally.failed(
                    element, f'role="{role.value}" reacts to clicks only', confidence=Confidence.MEDIUM
                )
        elif not keyboard:
            empty = not element.children and not element.texts and not element.dynamic_content
            tally.failed(
                element,
                f"<{element.tag}> reacts to clicks but not to the keyboard",
                confidence=Confidence.MEDIUM if empty else None,
            )
        else:
            tally.failed(element, f"<{element.tag}> handles keys but cannot be focused")


def _only_stops(click: Attribute) -> bool:
    if not click.expression.strip():
        return True
    return bool(_NOT_ACTING.match(click.expression))


def _conditional_handler(click: Attribute) -> bool:
    """`onClick={onSelect && …}` or `onClick={selectable ? … : undefined}`: the caller decides what this is."""
    return click.expression.rstrip().endswith((": undefined", ": null"))


def _delegates(element: Element) -> bool:
    inner = [child for child in element.descendants() if native_interactive(child) and child.tag != "label"]
    own_text = bool(element.texts) or element.dynamic_content
    return bool(inner) and not own_text


def _role_focusable(document: Document, tally: Tally) -> None:
    for element in document.elements:
        role = element.get("role")
        if not element.native or role not in _CLICKABLE_ROLES or element.spread or hidden(element):
            continue
        if native_interactive(element) or element.get("aria-disabled") == "true":
            continue
        ok = element.has("tabindex") or element.has("contenteditable")
        tally.check(ok, element, f'role="{role}" cannot be reached with the keyboard: no tabindex')


def _positive_tabindex(document: Document, tally: Tally) -> None:
    for element in document.elements:
        tabindex = element.attributes.get("tabindex")
        if tabindex is None or tabindex.value is None or not element.native:
            continue
        positive = re.fullmatch(r"\+?[1-9]\d*", tabindex.value.strip()) is not None
        tally.check(not positive, tabindex, f'tabindex="{tabindex.value}" jumps ahead of everything else')


def _link_href(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag != "a" or element.spread:
            continue
        href = element.attributes.get("href")
        acts = element.has("on:click") and not _only_stops(element.attributes["on:click"])
        if href is None:
            if acts and element.get("role") is None:
                tally.failed(element, "<a> without href acts as a button: the keyboard cannot reach it")
            continue
        if href.dynamic:
            tally.passed()
            continue
        value = (href.value or "").strip().lower()
        fake = value in ("#", "#!", "javascript:", "") or value.startswith("javascript:")
        if fake and element.get("role") == "button" and element.has(*_KEY_HANDLERS):
            fake = False
        if value == "#" and not acts and document.language == "html":
            # In plain pages "#" also leads to the top, or script attaches behaviour elsewhere.
            tally.failed(href, 'href="#" leads nowhere', confidence=Confidence.LOW)
            continue
        tally.check(not fake, href, f'href="{value}" is no destination: this is a button')


def _hover_needs_focus(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.spread:
            continue
        for pointer, focus in (("on:mouseover", "on:focus"), ("on:mouseout", "on:blur")):
            if element.has(pointer):
                ok = element.has(focus, focus + "in", focus + "out", "on:focusin", "on:focusout")
                tally.check(
                    ok,
                    element.attributes[pointer],
                    f"{pointer[3:]} has no counterpart for the keyboard ({focus[3:]})",
                )


def _autofocus(document: Document, tally: Tally) -> None:
    for element in document.elements:
        attribute = element.attributes.get("autofocus")
        if attribute is None or not element.native or attribute.value is None or attribute.value == "false":
            continue
        in_dialog = any(
            around.tag == "dialog"
            or around.get("role") in ("dialog", "alertdialog", "search")
            or (not around.native and _DIALOG_FILE.search(around.tag))
            for around in element.ancestors()
        )
        if in_dialog or _DIALOG_FILE.search(document.path) or element.conditional:
            # What appears on request may take the focus.
            tally.passed()
        else:
            tally.failed(attribute, "autofocus moves the focus before anything was read")


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
            tally.check(
                inner is None, inner or element, "the keyboard reaches what screen readers are told to skip"
            )


def _focusable(element: Element) -> bool:
    if not element.native or element.spread or element.has("disabled", "inert"):
        return False
    tabindex = element.attributes.get("tabindex")
    if tabindex is not None:
        return tabindex.value is not None and re.fullmatch(r"\d+", tabindex.value) is not None
    if element.tag == "input" and element.get("type") == "hidden":
        return False
    if element.classes() & {"hidden", "d-none", "invisible"}:
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
        if not element.native or element.detached or not _widget(element):
            continue
        around = next(
            (
                outer
                for outer in element.ancestors()
                if outer.native and _widget(outer) and outer.tag != "details"
            ),
            None,
        )
        crosses_component = any(
            not outer.native for outer in element.ancestors() if around is not None and outer is not around
        )
        if around is None or crosses_component:
            tally.passed()
        else:
            tally.failed(
                element, f"<{element.tag}> is inside <{around.tag}>: only one of them can be operated"
            )


def _widget(element: Element) -> bool:
    if element.tag == "a":
        return element.has("href")
    if element.tag == "input":
        return element.get("type") not in ("hidden",)
    return element.tag in ("button", "select", "textarea") or element.get("role") in ("button", "link")


RULES = (
    FileRule(
        describe(
            "click-without-keyboard",
            _A11Y,
            Severity.SERIOUS,
            "What can be clicked can be operated with the keyboard",
            reason="Who cannot use a mouse cannot do this at all.",
            fix='Use a `<button>`; otherwise add a role, `tabindex="0"` and a handler for Enter and Space.',
            reference=wcag("2.1.1 Keyboard", "keyboard"),
            shared=("jsx-a11y:click-events-have-key-events", "jsx-a11y:no-static-element-interactions"),
        ),
        _click_keyboard,
    ),
    FileRule(
        describe(
            "role-focusable",
            _A11Y,
            Severity.SERIOUS,
            "Elements with the role of a control can be focused",
            reason="It is announced as a control, but Tab never reaches it.",
            fix='Use the native element, or add `tabindex="0"`.',
            reference=wcag("2.1.1 Keyboard", "keyboard"),
            shared=("jsx-a11y:interactive-supports-focus",),
        ),
        _role_focusable,
    ),
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
