"""Rules on what reacts to the pointer: it can be reached and operated with the keyboard too."""

import re

from connectors.ui_analyzer.aria import NATIVE_CONTROLS, WIDGET_ROLES
from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.following import DRAWING, ref_of
from connectors.ui_analyzer.handlers import handler_code, only_stops
from connectors.ui_analyzer.libraries import FOCUS, KEYS, ROLE
from connectors.ui_analyzer.markup import Attribute, Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden
from connectors.ui_analyzer.native import rendered_tag
from connectors.ui_analyzer.rule import FileRule, Tally, describe, wcag
from connectors.ui_analyzer.spreading import may_bring, merged

_A11Y = Category.ACCESSIBILITY
KEY_HANDLERS = ("on:keydown", "on:keyup", "on:keypress")
_PRESSES = (
    "on:click",
    "on:dblclick",
    "on:mousedown",
    "on:pointerdown",
    "on:mouseup",
    "on:pointerup",
    "on:touchstart",
    "on:touchend",
)
"""Events of the pointer by which something is pressed, the plainest first."""
_DRAGS = re.compile(
    r"mousemove|pointermove|touchmove|setPointerCapture|startDrag|onDrag|dragStart|startResize|resiz(?:e|ing)\b|\bdrag",
    re.I,
)
_PRESSING_KEY = re.compile(
    r"Enter|Space|['\"` ] ['\"`]|\b(?:13|32)\b|\.key\b(?!\s*===?)|isHotkey|keyCode|\.code\b(?!\s*===?)", re.I
)
_CLICKABLE_ROLES = frozenset({"button", "link", "checkbox", "switch", "radio", "tab", "menuitem", "option"})
_FOCUSABLE_ROLES = frozenset({"button", "link", "checkbox", "switch"})
_NOT_CONTROLS = frozenset(
    {"html", "body", "slot", "form", "label", "details", "dialog", "option", "template", "optgroup", "canvas"}
)


def native_interactive(element: Element) -> bool:
    """Whether the browser makes an element focusable and operable by itself."""
    if not element.native:
        return False
    if element.tag in ("a", "area"):
        return element.has("href")
    if element.tag == "input":
        return element.get("type") != "hidden"
    return element.tag in NATIVE_CONTROLS or element.tag in ("iframe", "label", "details", "dialog")


def unreachable(element: Element, document: Document) -> tuple[Attribute, str] | None:
    """The handler by which an element is pressed, and its tag, when no key does the same; None otherwise."""
    tag = rendered_tag(element, document)
    handlers = [element.attributes[name] for name in _PRESSES if name in element.attributes]
    if not tag or not handlers or tag in _NOT_CONTROLS - {"canvas"} or native_interactive(element):
        return None
    if tag == "input" and element.get("type") == "hidden":
        return None
    if tag == "a" or (not element.native and tag in NATIVE_CONTROLS):
        return None
    acting = [handler for handler in handlers if not only_stops(document, handler)]
    if not acting or hidden(element) or element.get("role") in ("presentation", "none"):
        return None
    if _keys(element, document) and (_has_role(element, document) or _focus(element, document)):
        return None
    return acting[0], tag


def _keys(element: Element, document: Document) -> bool:
    for name in KEY_HANDLERS:
        attribute = element.attributes.get(name)
        if attribute is not None:
            code = handler_code(document, attribute.expression)
            # Escape alone leaves, it does not press.
            if "Escape" not in code or _PRESSING_KEY.search(code.replace("Escape", "")):
                return True
    return may_bring(element, KEYS, document)


def _has_role(element: Element, document: Document) -> bool:
    return element.has("role") or may_bring(element, ROLE, document)


def _focus(element: Element, document: Document) -> bool:
    return element.has("tabindex", "contenteditable") or may_bring(element, FOCUS, document)


def _click_keyboard(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.has(*_PRESSES):
            continue
        if native_interactive(element) or element.tag in ("v-icon", "VIcon"):
            tally.passed()  # Vuetify makes a button of an icon that is clicked.
            continue
        if not rendered_tag(element, document):
            _component_clicked(document, tally, element)
            continue
        pressed = unreachable(element, document)
        if pressed is not None:
            _judge(document, tally, element, *pressed)
        elif element.has(*KEY_HANDLERS):
            tally.passed()


def _component_clicked(document: Document, tally: Tally, element: Element) -> None:
    """A component that draws an icon, in whatever file, and gets a handler of clicks."""
    ref = ref_of(element, document)
    click = element.attributes.get("on:click")
    if ref is None or click is None or only_stops(document, click) or hidden(element):
        return
    if (
        element.has("role", "tabindex", *KEY_HANDLERS)
        or element.spread
        or element.detached
        or _operable_around(element)
    ):
        return
    tally.depends(
        element,
        f"<{element.tag}> draws an icon that reacts to clicks but not to the keyboard",
        (ref,),
        frozenset({DRAWING}),
        falls_through=True,
    )


def _operable_around(element: Element) -> bool:
    """Whether a control around it is what one presses."""
    holders = ("label", "dialog", "details", "iframe")
    return any(native_interactive(at) and at.tag not in holders for at in element.ancestors())


def _judge(document: Document, tally: Tally, element: Element, handler: Attribute, tag: str) -> None:
    event = handler.name.removeprefix("on:")
    what = "clicks" if event == "click" else event
    role = element.attributes.get("role")
    shown = tag if element.native else element.tag
    if (
        _delegates(element)
        or _pressed_inside(element)
        or tag == "canvas"
        or _asks_where(document, element, handler)
    ):
        tally.failed(element, f"<{shown}> handles {what} on what is inside it", confidence=Confidence.LOW)
    elif _is_backdrop(element, handler, document):
        tally.failed(element, f"<{shown}> is a backdrop that closes by {what}", confidence=Confidence.LOW)
    elif event not in ("click", "dblclick") and (
        _DRAGS.search(handler_code(document, handler.expression))
        or element.has("on:mousemove", "on:pointermove", "on:touchmove")
    ):
        tally.failed(element, f"<{shown}> is dragged with the pointer only", confidence=Confidence.LOW)
    elif role is not None and role.value in WIDGET_ROLES and role.value not in _FOCUSABLE_ROLES:
        # Options, tabs and the like are often driven by the keyboard handler of their container.
        driven = any(
            around.has(*KEY_HANDLERS) or around.spread or not around.native for around in element.ancestors()
        )
        if driven or element.parent is None:
            tally.passed()
        else:
            tally.failed(
                element, f'<{shown} role="{role.value}"> reacts to {what} only', confidence=Confidence.MEDIUM
            )
    elif _operable_around(element):
        return  # The control around it is what the keyboard presses; nesting is another rule's.
    elif element.has(*KEY_HANDLERS) and _keys(element, document):
        if _holds_controls(element):
            return  # The keys are those of what is inside, where the focus is.
        tally.failed(element, f"<{shown}> handles keys but cannot be focused")
    else:
        sure = None if event == "click" else Confidence.LOW if _holds_controls(element) else Confidence.MEDIUM
        tally.failed(element, f"<{shown}> reacts to {what} but not to the keyboard", confidence=sure)


def _delegates(element: Element) -> bool:
    """Whether clicks are those of controls inside: one of them is focusable and there is no text beside it."""
    inner = [
        child
        for child in element.descendants()
        if native_interactive(child) and child.tag != "label" and not _shut(child)
    ]
    own_text = bool(element.texts) or element.dynamic_content
    return not own_text and (bool(inner) or any(map(_component_control, element.descendants())))


_CONTROL_NAME = re.compile(
    r"(?:Button|Btn|Link|Item|Option|Action|Tab|Checkbox|Switch|Radio|Input|Select|Trigger|-button|-btn|-link|-item|-option)$"
)


def _component_control(child: Element) -> bool:
    """Whether a component is called a control and leads or does something: a click on it reaches what is around."""
    return (
        not child.native
        and _CONTROL_NAME.search(child.tag) is not None
        and child.has("to", "href", "on:click", "on:select", "v-model", "value")
    )


def _pressed_inside(element: Element) -> bool:
    """Whether a button inside has no handler of its own: its clicks, also those of the keyboard, reach the element.

    What a caller puts into a slot may be such a button.
    """
    return any(child.tag == "slot" or _leads_nowhere(child) for child in element.descendants()) or any(
        (
            child.tag in ("button", "summary")
            if child.native
            else re.search(r"(?:Button|Btn|-button|-btn)$", child.tag)
        )
        and not child.has("on:click", "href", "to", "type", "aschild")
        and not child.spread
        and not _shut(child)
        for child in element.descendants()
    )


def _leads_nowhere(element: Element) -> bool:
    """Whether a link without a handler has no address of its own: what is around it does what a press of it does."""
    return (
        element.native
        and element.tag == "a"
        and not element.has("on:click")
        and re.match(r"#$|javascript:", element.get("href") or "") is not None
    )


def _asks_where(document: Document, element: Element, handler: Attribute) -> bool:
    """Whether a handler looks up what was pressed inside of content that is drawn elsewhere."""
    return element.unknown_content() and (
        re.search(
            r"\.target\b[^;\n]{0,40}\.(?:closest|matches|dataset|tagName)\b|\.composedPath\(",
            handler_code(document, handler.expression),
        )
        is not None
    )


def _holds_controls(element: Element) -> bool:
    """Whether something inside takes the focus, or may: its events reach this element too."""
    return any(
        not child.native or (native_interactive(child) and not _shut(child))
        for child in element.descendants()
    )


def _shut(element: Element) -> bool:
    return (
        element.has("hidden", "disabled")
        or bool(element.classes() & {"hidden", "d-none", "invisible"})
        or element.get("tabindex") == "-1"
    )


def _is_backdrop(element: Element, handler: Attribute, document: Document) -> bool:
    """A cover behind something that is open: a click beside it closes, and Escape or a button does so too."""
    if ".self" in handler.raw_name or "|self" in handler.raw_name:
        return True
    code = handler_code(document, handler.expression)
    if re.search(
        r"\b(\w+)\.target\s*[!=]==?\s*\1\.currentTarget|\b(\w+)\.currentTarget\s*[!=]==?\s*\2\.target", code
    ):
        return True
    empty = not element.children and not element.texts and not element.dynamic_content
    if (
        empty
        and element.conditional
        and re.search(
            r"(?:close|dismiss|hide|cancel)\w*\(|^(?:on)?(?:close|dismiss|hide|cancel)\w*$|set\w*\(\s*false\s*\)",
            code,
            re.I,
        )
    ):
        return True
    if element.conditional and any(
        "on:click" in child.attributes and only_stops(document, child.attributes["on:click"])
        for child in element.children
    ):
        return True  # Clicks inside are kept from it: it is what is beside the dialog.
    covers = {"inset-0"} <= element.classes() or {"fixed", "w-full", "h-full"} <= element.classes()
    return empty and covers and bool({"fixed", "absolute"} & element.classes())


def _role_focusable(document: Document, tally: Tally) -> None:
    for element in document.elements:
        role = element.get("role")
        if not element.native or role not in _FOCUSABLE_ROLES or hidden(element):
            continue
        if native_interactive(element) or element.get("aria-disabled") == "true":
            continue
        if may_bring(element, FOCUS, document) or unreachable(element, document) is not None:
            continue  # What is clicked and cannot be reached is one defect, and another rule's.
        if any(native_interactive(inner) and not _shut(inner) for inner in element.descendants()):
            continue  # What is inside is reached and does it; nesting is another rule's.
        if _operable_around(element) or (
            element.parent is not None and element.parent.tag.endswith("Trigger")
        ):
            continue  # The control around it, or what opens a menu, is reached; nesting is another rule's.
        ok = element.has("tabindex", "contenteditable")
        tally.check(
            ok, element, f'<{element.tag} role="{role}"> cannot be reached with the keyboard: no tabindex'
        )


def _tab_stop(document: Document, tally: Tally) -> None:
    for element in document.elements:
        tabindex = element.attributes.get("tabindex")
        if tabindex is None or tabindex.value is None or not element.native or element.spread:
            continue
        if (
            tabindex.value.strip() != "0"
            or element.tag not in _READ
            or element.has("role", "aria-label", "ref")
        ):
            continue
        acts = any(name.startswith(("on:", "use:", "v-", "data-", "aria-")) for name in element.attributes)
        scrolls = any(re.search(r"overflow|scroll|^dropdown-content$", name) for name in element.classes())
        unsure = acts or scrolls or merged(element) or element.has("id", "title", "contenteditable", "style")
        if unsure or hidden(element) or native_interactive(element) or element.parent is None:
            continue
        tally.failed(tabindex, f"<{element.tag}> is a stop for the keyboard at which nothing can be done")


_READ = frozenset(
    {
        "p",
        "li",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "article",
        "img",
        "td",
        "dt",
        "dd",
        "span",
        "figure",
        "div",
    }
)
"""Elements that are read, not operated."""


RULES = (
    FileRule(
        describe(
            "idle-tab-stop",
            _A11Y,
            Severity.MINOR,
            "The keyboard stops where something can be done",
            reason="Who uses the keyboard presses Tab once more, and nothing happens there.",
            fix="Take `tabindex` away: screen readers reach text without it.",
            negative=True,
            reference=wcag("2.4.3 Focus Order", "focus-order"),
            confidence=Confidence.MEDIUM,
            shared=("jsx-a11y:no-noninteractive-tabindex",),
        ),
        _tab_stop,
    ),
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
)
