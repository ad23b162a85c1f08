"""Rules on ARIA attributes, values and roles."""

import re
from difflib import get_close_matches

from connectors.ui_analyzer.aria import (
    ATTRIBUTES,
    AUTOCOMPLETE,
    NUMBERS,
    REQUIRED,
    ROLES,
    VALUES,
    WORDS,
)
from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Attribute
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden
from connectors.ui_analyzer.rule import FileRule, ProjectRule, Tally, describe, wcag
from connectors.ui_analyzer.rules.structure import HEADING, placeholder
from connectors.ui_analyzer.spreading import merged

_A11Y = Category.ACCESSIBILITY


def _aria_attribute(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native:
            continue
        for name, attribute in element.attributes.items():
            if name.startswith("aria-") and "{" not in name and "[" not in name:
                tally.check(name[5:].split(".")[0] in ATTRIBUTES, attribute, f"{name} is no ARIA attribute")


def _aria_value(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native:
            continue
        for name, attribute in element.attributes.items():
            if not name.startswith("aria-") or attribute.dynamic or placeholder(attribute.value or ""):
                continue
            ok = _allowed(name[5:], attribute, document)
            if ok is not None:
                tally.check(ok, attribute, f'{name}="{attribute.value}" is not allowed')


def _allowed(name: str, attribute: Attribute, document: Document) -> bool | None:
    """Whether a value is one that the attribute has a meaning for; None when any text may be one."""
    value = (attribute.value or "").strip().lower()
    bare = value == "" and attribute.expression == ""
    if name in NUMBERS:
        return re.fullmatch(NUMBERS[name], value) is not None
    if name in WORDS:
        # Of an attribute without a value JSX makes `true`.
        return not (bare and document.language not in ("html", "vue"))
    allowed = VALUES.get(name)
    if allowed is None:
        return None
    if bare and document.language not in ("html", "vue"):
        return "true" in allowed  # `aria-busy` alone is `aria-busy={true}`.
    words = value.split() if name == "relevant" else [value]
    return bool(words) and all(word in allowed for word in words)


def _aria_role(document: Document, tally: Tally) -> None:
    for element in document.elements:
        role = element.attributes.get("role")
        if not element.native or role is None or role.dynamic or placeholder(role.value or ""):
            continue
        words = (role.value or "").lower().split()
        unknown = [word for word in words if word not in ROLES]
        tally.check(bool(words) and not unknown, role, f'role="{role.value}" does not exist')


_GENERIC = frozenset(
    {
        "div",
        "span",
        "p",
        "b",
        "i",
        "em",
        "strong",
        "small",
        "s",
        "u",
        "code",
        "mark",
        "sub",
        "sup",
        "del",
        "ins",
        "q",
        "time",
    }
)
"""Elements that a name must not be given to as long as they have no role."""


def _aria_naming(document: Document, tally: Tally) -> None:
    for element in document.elements:
        name = element.attributes.get("aria-label") or element.attributes.get("aria-labelledby")
        if name is None or not element.native or element.tag not in _GENERIC:
            continue
        if element.has("role", "contenteditable") or element.spread or element.tag == "i" or merged(element):
            continue  # What a component becomes gets its role and content from there.
        if hidden(element):
            continue  # Nothing of it is read, with a name or without.
        # What has words of its own is read anyway.
        wordless = (
            not element.static_text()
            and not element.unknown_content()
            and not any(inner.filled("aria-label", "alt", "title") for inner in element.descendants())
        )
        tally.failed(
            name,
            f"<{element.tag}> has no role, so that {name.name} is not read",
            confidence=None if wordless else Confidence.LOW,
        )


def _aria_required(document: Document, tally: Tally) -> None:
    for element in document.elements:
        role = (element.get("role") or "").strip()
        needed = REQUIRED.get(role)
        if needed is None or not element.native or element.spread:
            continue
        if document.language == "vue" and element.parent is None and not element.detached:
            continue  # The root of a component gets the attributes that its caller gives.
        if element.tag == "input" or (role == "heading" and HEADING.match(element.tag)):
            continue
        missing = [name for name in needed if not element.has(f"aria-{name}")]
        tally.check(not missing, element, f'role="{role}" needs aria-{missing[0] if missing else ""}')


def _autocomplete(document: Document, tally: Tally) -> None:
    for element in document.elements:
        attribute = element.attributes.get("autocomplete")
        if (
            attribute is None
            or attribute.dynamic
            or not element.native
            or element.tag not in ("input", "select", "textarea")
        ):
            continue
        words = (attribute.value or "").lower().split()
        unknown = [word for word in words if word not in AUTOCOMPLETE and not word.startswith("section-")]
        if not unknown:
            tally.passed()
            continue
        # A made-up word that keeps browsers from filling in is no mistake; one that is nearly a token is.
        meant = all(get_close_matches(word, AUTOCOMPLETE, n=1, cutoff=0.7) for word in unknown)
        tally.failed(
            attribute,
            f'autocomplete="{attribute.value}" has no meaning',
            confidence=None if meant else Confidence.LOW,
        )


RULES: tuple[FileRule | ProjectRule, ...] = (
    FileRule(
        describe(
            "aria-attribute",
            _A11Y,
            Severity.SERIOUS,
            "ARIA attributes exist",
            reason="Browsers ignore misspelt attributes, so the help they promise is missing.",
            fix="Correct the spelling or use the attribute that does exist.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:aria-valid-attr", "jsx-a11y:aria-props"),
        ),
        _aria_attribute,
    ),
    FileRule(
        describe(
            "aria-value",
            _A11Y,
            Severity.SERIOUS,
            "ARIA attributes have allowed values",
            reason="An unknown value counts as the default, often the opposite of what was meant.",
            fix="Use a value that the attribute allows.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:aria-valid-attr-value", "jsx-a11y:aria-proptypes"),
        ),
        _aria_value,
    ),
    FileRule(
        describe(
            "aria-role",
            _A11Y,
            Severity.SERIOUS,
            "ARIA roles exist",
            reason="An unknown role is ignored: the element is announced as what it is in HTML, mostly nothing.",
            fix="Use a role of WAI-ARIA, or better the element that has it natively.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:aria-roles", "jsx-a11y:aria-role"),
        ),
        _aria_role,
    ),
    FileRule(
        describe(
            "aria-naming",
            _A11Y,
            Severity.SERIOUS,
            "Names are given to what can have one",
            reason="Screen readers pass over the name of an element without a role: what it was to say is lost.",
            fix="Add the role that fits (`img`, `group` …), or write the words into the element.",
            negative=True,
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:aria-prohibited-attr",),
            confidence=Confidence.MEDIUM,
        ),
        _aria_naming,
    ),
    FileRule(
        describe(
            "aria-required",
            _A11Y,
            Severity.SERIOUS,
            "Roles have the attributes that they need",
            reason="A checkbox of which nobody says whether it is checked is of no use.",
            fix="Add the attribute and keep it up to date.",
            reference=wcag("4.1.2 Name, Role, Value", "name-role-value"),
            shared=("axe:aria-required-attr", "jsx-a11y:role-has-required-aria-props"),
        ),
        _aria_required,
    ),
    FileRule(
        describe(
            "autocomplete-token",
            _A11Y,
            Severity.SERIOUS,
            "autocomplete says what the field is for",
            reason="Browsers fill in by these words alone; other values help nobody.",
            fix="Use a token of the HTML standard, such as `email` or `current-password`.",
            reference=wcag("1.3.5 Identify Input Purpose", "identify-input-purpose"),
            shared=("axe:autocomplete-valid", "jsx-a11y:autocomplete-valid"),
        ),
        _autocomplete,
    ),
)
