"""Rules on accessible names: images, buttons, links, form controls, frames, dialogs."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.following import DRAWING
from connectors.ui_analyzer.libraries import ID, LABELLING_COMPONENTS, NAME
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import (
    Naming,
    hidden,
    labelled_directly,
    name_from_content,
    never_shown,
)
from connectors.ui_analyzer.native import LINK_TAGS, rendered_tag
from connectors.ui_analyzer.rule import FileRule, Tally, describe, wcag
from connectors.ui_analyzer.rules.component_names import component_buttons
from connectors.ui_analyzer.spreading import may_bring, merged

_A11Y = Category.ACCESSIBILITY
_FILE_NAME = re.compile(r"^[\w./-]+\.(?:png|jpe?g|gif|svg|webp|avif|bmp)$", re.I)
_REDUNDANT_ALT = re.compile(
    r"^(?:an? )?(?:image|picture|photo|photograph|graphic|icon)(?: of\b| for\b|$)", re.I
)


def _image_alt(document: Document, tally: Tally) -> None:
    for element in document.elements:
        is_image = rendered_tag(element, document) == "img" and element.tag not in _IMAGES_WITH_OTHER_WORDS
        is_input = element.native and element.tag == "input" and element.get("type") == "image"
        is_area = element.native and element.tag == "area" and element.has("href")
        if not (is_image or is_input or is_area) or may_bring(element, NAME, document) or hidden(element):
            continue
        if never_shown(element, document):
            continue
        named = (
            element.has("alt")
            or labelled_directly(element)
            or element.get("role") in ("presentation", "none")
        )
        tally.check(named, element, f"<{element.tag}> has no alt attribute")


_IMAGES_WITH_OTHER_WORDS = frozenset({"el-image", "ElImage", "el-avatar"})
"""Their `alt` is optional, and what is shown instead is a slot."""


def _alt_text(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag != "img" or hidden(element):
            continue
        alt = element.attributes.get("alt")
        written = None if alt is None else alt.value or _beginning(alt.expression)
        if alt is None or not (written or "").strip():
            continue
        text = (written or "").strip()
        if _FILE_NAME.match(text):
            tally.failed(alt, f'alt="{text[:60]}" is a file name, not a description')
        elif _REDUNDANT_ALT.match(text):
            tally.failed(alt, f'alt="{text[:60]}" says that it is an image instead of what it shows')
        else:
            tally.passed()


def _beginning(expression: str) -> str | None:
    """The words that a text with a value inside begins with: "photo of " of `` `photo of ${name}` ``."""
    match = re.match(r"`([^`$]+)\$\{", expression)
    return match.group(1) if match else None


def _button_name(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if (
            not element.native
            or (may_bring(element, NAME, document) and not merged(element))
            or hidden(element)
            or element.has("inert")
            or never_shown(element, document)
        ):
            continue
        role = element.get("role")
        if element.tag == "input" and element.get("type") == "button":
            named = (
                element.filled("value")
                or labelled_directly(element)
                or labelled(element, document, label_targets(document)) is not False
            )
            tally.check(named, element, '<input type="button"> has no value')
            continue
        if not ((element.tag in ("button", "summary") and role is None) or role == "button"):
            continue
        if element.tag in ("input", "img"):
            continue
        _check_content(document, tally, element, "button")
    component_buttons(document, tally)


def _link_name(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if hidden(element) or element.has("inert") or never_shown(element, document):
            continue
        native = element.native and element.tag == "a" and element.has("href")
        if native and element.get("role") not in (None, "link"):
            continue
        # With `rel` of a resource it is what a framework puts into the head of the page: `<Link rel="icon" href="…" />`.
        component = (
            not element.native
            and element.tag in LINK_TAGS
            and element.has("href", "to")
            and re.search(
                r"icon|manifest|stylesheet|canonical|alternate|pre(?:load|connect|fetch)",
                element.get("rel") or "",
            )
            is None
        )
        if native or component:
            _check_content(document, tally, element, "link")


def _check_content(document: Document, tally: Tally, element: Element, what: str) -> None:
    if labelled_directly(element):
        tally.passed()
        return
    content = name_from_content(element, document)
    icon = f"this {what} holds only an icon and has no accessible name"
    if content.naming is Naming.NAMED:
        tally.passed()
    elif content.naming is Naming.NAMELESS:
        tally.failed(element, f"this {what} has no text, aria-label or other accessible name")
    elif content.naming is Naming.ICON_ONLY:
        tally.failed(element, icon, confidence=Confidence.MEDIUM)
    elif content.naming is Naming.DEPENDS:
        doubtful = (Severity.SERIOUS, Confidence.MEDIUM) if content.named_icons else None
        tally.depends(element, icon, content.refs, frozenset({DRAWING}), unknown=doubtful)


def label_targets(document: Document) -> tuple[frozenset[str], frozenset[str]]:
    static: set[str] = set()
    dynamic: set[str] = set()
    for element in document.elements:
        target = element.attributes.get("for")
        if target is None:
            continue
        if target.value is not None and not target.partial:
            static.add(target.value)
        else:
            dynamic.add("".join(target.expression.split()))
    return frozenset(static), frozenset(dynamic)


def labelled(
    element: Element, document: Document, labels: tuple[frozenset[str], frozenset[str]]
) -> bool | None:
    """Whether a label names the control; None when it may get one from outside this file."""
    for around in element.ancestors():
        if around.native and around.tag == "label":
            return (
                True
                if around.static_text() or around.unknown_content() or around.filled("aria-label")
                else None
            )
        if not around.native and LABELLING_COMPONENTS.search(around.tag):
            return None
    if may_bring(element, NAME, document) or may_bring(element, ID, document):
        return None
    identifier = element.attributes.get("id")
    static, dynamic = labels
    if identifier is not None:
        if identifier.value is not None and not identifier.partial:
            return identifier.value in static or (None if dynamic and not static else False)
        # A computed id exists to be referred to; by whom may be known only to the caller.
        return True if "".join(identifier.expression.split()) in dynamic else None
    if element.detached or (element.parent is None and not element.conditional):
        # The control is the whole component: whoever uses it may wrap it in a label.
        return None
    return False


def _frame_title(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if (
            element.native
            and element.tag in ("iframe", "frame")
            and not may_bring(element, NAME, document)
            and not hidden(element)
        ):
            if (
                element.get("tabindex") == "-1"
                or re.search(r"display\s*:\s*none", element.get("style") or "") is not None
                or element.classes() & {"hide", "hidden", "d-none", "is-hidden"}
            ):
                continue
            tally.check(labelled_directly(element), element, f"<{element.tag}> has no title")


def _image_role_name(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag == "img" or element.get("role") not in ("img", "image"):
            continue
        if may_bring(element, NAME, document) or hidden(element):
            continue
        title = any(inner.tag == "title" for inner in element.children)
        tally.check(labelled_directly(element) or title, element, 'an element with role="img" has no name')


def _dialog_name(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or may_bring(element, NAME, document):
            continue
        if element.get("role") in ("dialog", "alertdialog") or (
            element.tag == "dialog" and element.get("role") is None
        ):
            tally.check(
                labelled_directly(element), element, "this dialog has no aria-label or aria-labelledby"
            )


def _heading_content(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag not in ("h1", "h2", "h3", "h4", "h5", "h6"):
            continue
        if hidden(element):
            continue
        naming = Naming.NAMED if labelled_directly(element) else name_from_content(element, document).naming
        if naming is Naming.NAMED:
            tally.passed()
        elif naming is Naming.NAMELESS:
            # In a plain page or a piece of one, a script may fill it.
            filled = document.language == "html" and (
                any(other.tag == "script" for other in document.elements)
                or (document.full_page is None and element.has("id", "class"))
            )
            tally.failed(element, f"<{element.tag}> is empty", confidence=Confidence.LOW if filled else None)


RULES = (
    FileRule(
        describe(
            "image-alt",
            _A11Y,
            Severity.CRITICAL,
            "Images have a text alternative",
            reason="Without it, a screen reader says the file name or nothing.",
            fix='Describe what the image tells in `alt`; use `alt=""` when it only decorates.',
            reference=wcag("1.1.1 Non-text Content", "non-text-content"),
            shared=("axe:image-alt", "axe:input-image-alt", "jsx-a11y:alt-text"),
        ),
        _image_alt,
    ),
    FileRule(
        describe(
            "alt-text-quality",
            _A11Y,
            Severity.MINOR,
            "Text alternatives describe the image",
            reason="A file name or the word “image” tells a listener nothing.",
            fix="Write what the image shows or does, without “image of”.",
            reference=wcag("1.1.1 Non-text Content", "non-text-content"),
            shared=("jsx-a11y:img-redundant-alt",),
        ),
        _alt_text,
    ),
    FileRule(
        describe(
            "button-name",
            _A11Y,
            Severity.CRITICAL,
            "Buttons have an accessible name",
            reason="A screen reader says only “button”; voice control cannot address it.",
            fix="Put text inside, or an `aria-label` that says what the button does.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=(
                "axe:button-name",
                "axe:input-button-name",
                "axe:summary-name",
            ),
        ),
        _button_name,
    ),
    FileRule(
        describe(
            "link-name",
            _A11Y,
            Severity.SERIOUS,
            "Links have an accessible name",
            reason="A screen reader reads out the address instead.",
            fix="Put text inside the link, or an `aria-label`, or an `alt` on the image it holds.",
            reference=wcag("2.4.4 Link Purpose (In Context)", "link-purpose-in-context"),
            shared=("axe:link-name", "jsx-a11y:anchor-has-content"),
        ),
        _link_name,
    ),
    FileRule(
        describe(
            "frame-title",
            _A11Y,
            Severity.SERIOUS,
            "Frames have a title",
            reason="A screen reader announces a frame by its title, so that one can decide to enter it.",
            fix="Add a `title` that names the content of the frame.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:frame-title", "jsx-a11y:iframe-has-title"),
        ),
        _frame_title,
    ),
    FileRule(
        describe(
            "image-role-name",
            _A11Y,
            Severity.SERIOUS,
            "Drawings with the role of an image have a name",
            reason="An image without a name is skipped or read as “graphic”.",
            fix='Add an `aria-label` or a `<title>`; hide mere decoration with `aria-hidden="true"`.',
            reference=wcag("1.1.1 Non-text Content", "non-text-content"),
            shared=("axe:role-img-alt", "axe:svg-img-alt"),
        ),
        _image_role_name,
    ),
    FileRule(
        describe(
            "dialog-name",
            _A11Y,
            Severity.SERIOUS,
            "Dialogs have an accessible name",
            reason="Focus moves into a dialog; without a name nobody hears what has opened.",
            fix="Point `aria-labelledby` at the dialog's heading, or add an `aria-label`.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:aria-dialog-name",),
        ),
        _dialog_name,
    ),
    FileRule(
        describe(
            "heading-content",
            _A11Y,
            Severity.MINOR,
            "Headings have content",
            reason="Empty headings break the outline by which screen readers navigate.",
            fix="Put text in the heading or remove it.",
            reference=wcag("2.4.6 Headings and Labels", "headings-and-labels"),
            shared=("axe:empty-heading", "jsx-a11y:heading-has-content"),
        ),
        _heading_content,
    ),
)
