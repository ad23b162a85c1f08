"""Rules on labels of form controls."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element, class_names
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden, labelled_directly
from connectors.ui_analyzer.rule import Fact, FileRule, Tally, describe, wcag
from connectors.ui_analyzer.rules.accessible_names import label_targets, labelled
from connectors.ui_analyzer.rules.component_fields import component_fields
from connectors.ui_analyzer.stylesheet import subject

_A11Y = Category.ACCESSIBILITY

_UNLABELLED_TYPES = frozenset({"hidden", "submit", "reset", "button", "image"})


def _control_label(document: Document, tally: Tally) -> None:
    labels = label_targets(document)
    for element in _controls(document):
        if labelled_directly(element):
            tally.passed()
            continue
        verdict = labelled(element, document, labels)
        if verdict is None:
            continue
        if verdict:
            tally.passed()
        elif not element.filled("placeholder"):
            # A placeholder is a name, if a poor one: the rule on placeholders speaks of it.
            _unless_hidden(tally, element, f"<{_shown(element)}> has no label")
    component_fields(document, tally, placeholders=False)


def _unless_hidden(tally: Tally, element: Element, message: str) -> None:
    """Fail, but for a control that a style sheet of the project takes off the page."""
    hiding = tuple(("hides-class", name) for name in sorted(class_names(element)))
    if identifier := element.get("id"):
        hiding = (*hiding, ("hides-class", f"#{identifier}"))
    if hiding:
        tally.depends(element, message, (), frozenset(), excused_by=hiding)
    else:
        tally.failed(element, message)


def _shown(element: Element) -> str:
    kind = element.get("type")
    name = element.get("name") or element.get("id")
    return (
        element.tag
        + (f' type="{kind}"' if kind else "")
        + (f' name="{name}"' if name and len(name) < 40 else "")
    )


def hiding_facts(document: Document) -> Iterator[Fact]:
    """Classes and ids that a style sheet takes off the page."""
    for rule in document.style_rules:
        if rule.value("display") != "none" and rule.value("visibility") != "hidden":
            continue
        if any(around.startswith("@media") for around in rule.context):
            continue
        for selector in rule.selectors():
            last = subject(selector)
            match = re.fullmatch(r"(?:input|label)?(?:\.([\w-]+)|(#[\w-]+))(?:\[[^\]]*\])?", last)
            if match:
                yield Fact(kind="hides-class", name=match.group(1) or match.group(2), line=rule.line)


def _placeholder_label(document: Document, tally: Tally) -> None:
    labels = label_targets(document)
    for element in _controls(document):
        if not element.filled("placeholder"):
            continue
        if labelled_directly(element):
            tally.passed()
            continue
        verdict = labelled(element, document, labels)
        if verdict is not None:
            tally.check(verdict, element, f"<{_shown(element)}> is named by its placeholder only")
    component_fields(document, tally, placeholders=True)


def _controls(document: Document) -> list[Element]:
    return [
        element
        for element in document.elements
        if element.native
        and element.tag in ("input", "select", "textarea")
        and element.get("type") not in _UNLABELLED_TYPES
        and not hidden(element)
        # A customised built-in element may bring its label with it: `<input is="my-input" label="Name">`.
        and not element.has("is")
        and not (
            "type" in element.attributes
            and element.attributes["type"].value is None
            and element.has("value")
            and not element.has("on:input", "on:change")
        )
        and not _kept_from_user(element)
    ]


def _kept_from_user(element: Element) -> bool:
    """A file input behind a button, or the like: `hidden` as a class, `display: none`, not focusable."""
    if element.get("tabindex") == "-1":
        return True
    for around in (element, *element.ancestors()):
        style = around.attributes.get("style")
        if style is not None and re.search(
            r"display['\"]?\s*:\s*['\"]?none", style.expression or style.value or ""
        ):
            return True
    return bool(element.classes() & {"hidden", "d-none", "is-hidden", "invisible", "u-hidden", "!hidden"})


def _label_target(document: Document, tally: Tally) -> None:
    ids = {
        value
        for element in document.elements
        for value in (element.get("id"), element.get("inputid"))
        if value is not None
    }
    dynamic_ids = any(
        (element.has("id") and element.attributes["id"].dynamic)
        or (not element.native and element.tag != "template")
        for element in document.elements
    ) or any(element.spread for element in document.elements)
    for element in document.elements:
        if not element.native or element.tag != "label" or element.spread:
            continue
        holds = any(
            inner.tag in ("input", "select", "textarea", "meter", "progress", "output", "button", "slot")
            or not inner.native
            for inner in element.descendants()
        )
        target = element.attributes.get("for")
        if target is None:
            # A mustache gives words, and never a control.
            words_only = document.language == "vue" and not element.has("v-html")
            if holds or (element.dynamic_content and not element.texts and not words_only):
                tally.passed()
            elif element.has("id"):
                continue  # Probably the target of an aria-labelledby.
            else:
                tally.failed(
                    element, "this label names no control: it has neither `for` nor a control inside"
                )
        elif target.dynamic or target.value in ids or holds:
            tally.passed()
        elif document.language == "html" and _written_beside(element):
            continue  # `<label for="id_name">Name</label> {{ form.name }}`: the server writes the field.
        elif not dynamic_ids:
            tally.depends(
                target,
                f'no element of this file has the id "{target.value}"',
                (),
                frozenset(),
                excused_by=(("id", target.value or ""),),
            )


_WORDS_ONLY = frozenset(
    {
        "label",
        "span",
        "small",
        "p",
        "h1",
        "h2",
        "h3",
        "h4",
        "h5",
        "h6",
        "a",
        "strong",
        "em",
        "option",
        "textarea",
    }
)


def _written_beside(label: Element) -> bool:
    """Whether a template writes something out beside a label, or beside what is around it, that may be its control."""
    if label.parent is None:
        return True  # A piece of a page: what stands beside it is in another file.
    around: Element | None = label.parent
    for _ in range(2):
        if around is None:
            break
        if around.dynamic_content or any(
            inner.dynamic_content and inner.tag not in _WORDS_ONLY for inner in around.descendants()
        ):
            return True
        around = around.parent
    return False


def id_facts(document: Document) -> Iterator[Fact]:
    """The ids of controls of components: their labels may be in another file."""
    if document.language == "html":
        return
    for element in document.elements:
        identifier = element.get("id")
        if identifier and (element.tag in ("input", "select", "textarea") or not element.native):
            yield Fact(kind="id", name=identifier, line=element.line)


RULES = (
    FileRule(
        describe(
            "control-label",
            _A11Y,
            Severity.CRITICAL,
            "Form controls have a label",
            reason="Who cannot see the layout does not know what to enter.",
            fix="Wrap the control in a `<label>`, point `for` at its id, or give it an `aria-label`.",
            reference=wcag("3.3.2 Labels or Instructions", "labels-or-instructions"),
            shared=(
                "axe:label",
                "axe:select-name",
            ),
        ),
        _control_label,
    ),
    FileRule(
        describe(
            "placeholder-as-label",
            _A11Y,
            Severity.MODERATE,
            "Placeholders do not stand in for labels",
            reason="A placeholder vanishes with the first letter and is often too faint to read.",
            fix="Add a visible `<label>` or at least an `aria-label`, and keep the placeholder for an example.",
            reference=wcag("3.3.2 Labels or Instructions", "labels-or-instructions"),
            confidence=Confidence.MEDIUM,
        ),
        _placeholder_label,
    ),
    FileRule(
        describe(
            "label-target",
            _A11Y,
            Severity.MODERATE,
            "Labels belong to a control",
            reason="A label tied to nothing names nothing, and clicking it does not focus the control.",
            fix="Set `for` to the id of the control, or put the control inside the label.",
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            confidence=Confidence.MEDIUM,
            shared=("jsx-a11y:label-has-associated-control",),
        ),
        _label_target,
    ),
)
