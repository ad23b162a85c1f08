"""A rule on the style by which the focus can be seen."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import Fact, FileRule, Tally, describe, wcag
from connectors.ui_analyzer.rules.pointing import native_interactive
from connectors.ui_analyzer.stylesheet import StyleRule, subject

_A11Y = Category.ACCESSIBILITY


_NONE = re.compile(r"(?:none|0(?:px)?)(?:\s+(?:none|solid))?(?:\s*!important)?$")


_VISIBLE_FOCUS = (
    "outline", "outline-color", "outline-width", "box-shadow", "border", "border-color", "border-bottom", "border-bottom-color",
    "background", "background-color", "text-decoration", "text-decoration-line", "filter", "--tw-ring-color", "@apply", "@include",
)  # fmt: skip


_FOCUS = re.compile(r":focus(?:-visible|-within)?(?![\w-])")


_CONTROL_SUBJECT = re.compile(
    r"^(?:\*|a|button|input|select|textarea|summary)(?![\w-])|[.#][\w-]*(?:btn|button|link|input|field)", re.I
)


_FOCUS_UTILITY = re.compile(
    r"(?:^|:)(?:focus|focus-visible|focus-within|group-focus|peer-focus|data-\[focus\w*\]|has-\[:focus[\w-]*\])[\w/-]*:!?-?"
    r"(?:ring|outline|border|bg|shadow|underline|text|decoration|brightness|opacity|after|before)(?!-none\b|-0\b|-hidden\b)"
)


def focus_facts(document: Document) -> Iterator[Fact]:
    """Whose focus the style sheets show: an element, a class, everything (`*`), or what is inside (`in .class`)."""
    names: set[str] = set()
    for rule in document.style_rules:
        if not _shows_focus(rule):
            continue
        for selector in rule.selectors():
            if ":focus-within" in selector or ":has(" in selector:
                names.add(f"in {_bare(subject(re.sub(r':has[(][^()]*[)]', '', selector)))}")
            elif _FOCUS.search(subject(selector)):
                bare = _bare(subject(selector))
                names.update(
                    re.findall(r"(?<![\w.#-])[a-z][\w-]*", bare) if bare.startswith(":") else [bare or "*"]
                )
    yield from (Fact(kind="focus-shown", name=name) for name in sorted(names))


def _shown_by_others(compound: str, around: Element | None = None) -> tuple[tuple[str, str], ...]:
    """The facts by which another style sheet shows the focus that is taken away here."""
    tags = {"btn": "button", "button": "button", "link": "a", "input": "input", "field": "input"}
    names = {"*", _bare(compound), *re.findall(r"^[a-z]+", compound), *re.findall(r"\.[\w-]+", compound)}
    names.update(tag for word, tag in tags.items() if word in compound.lower())
    for outer in () if around is None else around.ancestors():
        names.update(f"in .{name}" for name in outer.classes())
    return tuple(("focus-shown", name) for name in sorted(names - {""}))


def _focus_outline(document: Document, tally: Tally) -> None:
    shown = {
        _bare(subject(selector))
        for rule in document.style_rules
        for selector in rule.selectors()
        if _FOCUS.search(selector) and _shows_focus(rule)
    }
    around = _shown_around(document.style_rules) | _shown_inside(document.style_rules)
    everywhere = bool(shown & {"", "*", ":where(*)", ":is(*)"})
    for rule in document.style_rules:
        value = rule.value("outline", "outline-style", "outline-width")
        if value is None or rule.in_keyframes():
            continue
        for selector in rule.selectors():
            last = subject(selector)
            if not (_FOCUS.search(last) or _CONTROL_SUBJECT.search(last)):
                continue
            if re.search(r":(?:hover|active)\b", last) and not _FOCUS.search(last):
                continue
            if _PSEUDO_ELEMENT.search(last):
                continue  # What is drawn before or after an element never has the focus.
            if _FOCUSED_BY_SCRIPT.search(last) and not _CONTROL_SUBJECT.search(last):
                continue
            if _STATE_CLASS.search(last) and _shows_focus(rule):
                continue  # A class that a script sets while it has the focus, and that is drawn otherwise.
            removed = _NONE.match(value.strip().lower()) is not None
            excused = (
                ":not(:focus-visible)" in selector
                or "tabindex" in selector
                or "disabled" in selector
                or (_shows_focus(rule) and bool(_FOCUS.search(last)))
                or everywhere
                or _CARET.search(selector) is not None
                or (last.startswith("*") and "focus-within" in document.text)
                or (":focus" in last and any(d.name in _REVEALING for d in rule.declarations))
                or _bare(last) in shown
                or _bare(last) in around
                or ("" in around and _TEXT_FIELD.search(last) is not None)
            )
            declaration = next(d for d in rule.declarations if d.name.startswith("outline"))
            if not removed or excused:
                tally.passed()
            elif not _CONTROL_SUBJECT.search(_bare(last)) and _bare(last):
                # What kind of element has the class is not told here: a panel that opens gets the focus as a whole.
                tally.failed(
                    declaration,
                    f"{selector} removes the focus outline and nothing replaces it",
                    confidence=Confidence.LOW,
                )
            else:
                tally.depends(
                    declaration,
                    f"{selector} removes the focus outline and nothing replaces it",
                    (),
                    frozenset(),
                    excused_by=_shown_by_others(last),
                )
            break
    _focus_utilities(document, tally)


_PSEUDO_ELEMENT = re.compile(r"::[\w-]+|:(?:before|after)\b")
_STATE_CLASS = re.compile(r"[.-]-?(?:is-|has-)?focus(?:ed)?(?![\w-])")
_TEXT_FIELD = re.compile(
    r"^(?:input|textarea|select)(?![\w-])|[.#][\w-]*(?:input|field|textarea|control)", re.I
)


def _shown_around(rules: list[StyleRule]) -> frozenset[str]:
    """Whose focus shows on what is around it: the elements of `:has(x:focus)`; "" when a `:focus-within` is drawn."""
    found: set[str] = set()
    for rule in rules:
        if not _shows_focus(rule):
            continue
        for selector in rule.selectors():
            for inner in re.findall(r":has\(([^()]*:focus[\w-]*)\)", selector):
                found.update(_bare(subject(part)) for part in inner.split(","))
            if ":focus-within" in selector:
                found.add("")
    return frozenset(found)


def _shown_inside(rules: list[StyleRule]) -> frozenset[str]:
    """Whose focus shows on something inside, or after it: `.grid:focus .cell`."""
    return frozenset(
        compound
        for rule in rules
        if _shows_focus(rule)
        for selector in rule.selectors()
        for compound in re.findall(r"([^\s>+~,]+):focus(?:-visible|-within)?(?=\s*[\s>+~]\s*\S)", selector)
    )


_FOCUSED_BY_SCRIPT = re.compile(
    r"dialog|modal|content|panel|sheet|drawer|popover|overlay|(?:^|[-_.])main|wrapper|container", re.I
)
"""What gets the focus as a whole when it opens: the keyboard does not come to it."""
_REVEALING = frozenset(
    {"transform", "opacity", "clip", "clip-path", "visibility", "top", "left", "right", "bottom", "position"}
)
"""What brings a link onto the screen that is hidden until it has the focus."""
_CARET = re.compile(
    r"ProseMirror|contenteditable|tiptap|cm-(?:content|editor|focused)|CodeMirror|ql-editor|ck-editor|monaco",
    re.I,
)
"""Editors of text: the caret shows the focus."""


def _shows_focus(rule: StyleRule) -> bool:
    for declaration in rule.declarations:
        if declaration.name in _VISIBLE_FOCUS and not _NONE.match(declaration.value.strip().lower()):
            if declaration.name == "@apply" and not re.search(
                r"\b(?:ring|outline|border|bg|shadow)\b(?!-none)", declaration.value
            ):
                continue
            return True
    return False


def _bare(compound: str) -> str:
    return _FOCUS.sub("", compound).replace(":hover", "").replace(":active", "").strip()


def _focus_utilities(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or not (native_interactive(element) or element.has("tabindex")):
            continue
        classes = element.classes()
        removing = {
            c
            for c in classes
            if c.split(":")[-1] in ("outline-none", "outline-hidden", "!outline-none", "outline-0")
        }
        if not removing or element.tag in ("label", "dialog", "iframe"):
            continue
        if element.get("tabindex") == "-1":
            continue
        unknown = element.spread or (
            element.attributes["class"].dynamic
            and re.search(r"[\w)]\s*[,})]", element.attributes["class"].expression)
        )
        if any(_FOCUS_UTILITY.search(c) for c in classes) or _shown_in_group(element, classes):
            tally.passed()
        elif not unknown:
            if any(_FOCUS_UTILITY.search(c) for outer in element.ancestors() for c in outer.classes()):
                tally.passed()
                continue
            message = f"{sorted(removing)[0]} removes the focus outline and nothing replaces it"
            if _shows_caret(element):
                tally.failed(element, message, confidence=Confidence.LOW)
                continue
            compound = element.tag + "".join(f".{name}" for name in sorted(classes))
            tally.depends(
                element,
                message,
                (),
                frozenset(),
                excused_by=_shown_by_others(compound, element),
            )


def _shows_caret(element: Element) -> bool:
    """Whether a text is written in it: the caret shows where the focus is, which the criterion takes for enough."""
    return element.tag == "textarea" or (
        element.tag == "input" and (not element.has("type") or element.get("type") in _WRITTEN_IN)
    )


_WRITTEN_IN = frozenset({"", "text", "search", "email", "url", "tel", "password", "number"})


def _shown_in_group(element: Element, classes: frozenset[str]) -> bool:
    """Whether something inside is drawn otherwise while the element has the focus: `group`, `group-focus-visible:…`."""
    return any(name == "group" or name.startswith("group/") for name in classes) and any(
        _FOCUS_UTILITY.search(name) for inner in element.descendants() for name in inner.classes()
    )


RULES = (
    FileRule(
        describe(
            "focus-outline",
            _A11Y,
            Severity.SERIOUS,
            "The focus can be seen",
            reason="Who uses the keyboard does not know where they are.",
            fix="Keep the outline, or replace it in `:focus-visible` by something as plain to see.",
            reference=wcag("2.4.7 Focus Visible", "focus-visible"),
            confidence=Confidence.MEDIUM,
        ),
        _focus_outline,
    ),
)
