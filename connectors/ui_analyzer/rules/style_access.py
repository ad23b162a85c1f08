"""Rules on style that concern accessibility: focus, hover, motion, targets, contrast of literals."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.colours import contrast
from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.lengths import length_px, tailwind_size_px
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, wcag
from connectors.ui_analyzer.stylesheet import StyleRule, declarations_of, subject

_A11Y = Category.ACCESSIBILITY
_INTERACTIVE_SUBJECT = re.compile(
    r"^(?:a|button|summary)(?![\w-])|^input\[type=[\"']?(?:button|submit|checkbox|radio)|[.](?:[\w-]*[-_a-z])?(?:btn|button)(?=$|[:.\[])",
    re.I,
)
_REVEALS = {
    "display": {"block", "flex", "grid", "inline-block", "inline-flex", "inline"},
    "visibility": {"visible"},
    "opacity": {"1"},
}
_DECORATION = re.compile(r"^(?:svg|img|i|path)\b|icon|chevron|arrow|overlay|shadow", re.I)
_FOCUSED = re.compile(r":focus(?:-visible|-within)?(?![\w-])")
_DISABLED = re.compile(r"disabled|:not\(|::placeholder|::selection|loading|skeleton|readonly", re.I)


def _hover_only(document: Document, tally: Tally) -> None:
    selectors = [selector for rule in document.style_rules for selector in rule.selectors()]
    focus_revealed = {
        re.sub(r":focus(?:-within|-visible)?", ":hover", one) for one in selectors if ":focus" in one
    }
    focused_itself = {
        re.sub(r":focus(?:-visible|-within)?$", "", one)
        for one in selectors
        if re.search(r":focus(?:-visible|-within)?$", one)
    }
    focused_compounds = {
        _FOCUSED.sub("", subject(one)) for one in selectors if _FOCUSED.search(subject(one)) is not None
    }
    hidden_by_default = {
        selector
        for rule in document.style_rules
        for selector in rule.selectors()
        if _hides_by_style(rule) and ":hover" not in selector
    }
    for rule in document.style_rules:
        if not any(
            d.name in _REVEALS and d.value.strip().lower() in _REVEALS[d.name] for d in rule.declarations
        ):
            continue
        for selector in rule.selectors():
            if not re.search(r":hover[^,]*[\s>+~]", selector):
                continue
            last = subject(selector)
            if (
                "::" in last
                or _DECORATION.search(last)
                or not any(subject(hidden) == last for hidden in hidden_by_default)
            ):
                continue
            declaration = next(d for d in rule.declarations if d.name in _REVEALS)
            tally.check(
                selector in focus_revealed
                # The same declarations for the keyboard: `.row:hover .tool, .row:has(:focus) .tool`.
                or any(":focus" in other and subject(other) == last for other in rule.selectors())
                or any(
                    ":has(" in other and ":focus" in other and subject(other) == last.split(" ")[-1]
                    for other in rule.selectors()
                )
                # What is only transparent takes the focus; what is not displayed cannot.
                or (
                    declaration.name == "opacity"
                    and (selector.replace(":hover", "") in focused_itself or last in focused_compounds)
                ),
                declaration,
                f"{selector} shows on hover only, never for the keyboard",
            )


def _hides_by_style(rule: StyleRule) -> bool:
    return (
        rule.value("display") == "none"
        or rule.value("visibility") == "hidden"
        or rule.value("opacity") == "0"
    )


def _target_size(document: Document, tally: Tally) -> None:
    for rule in document.style_rules:
        if rule.in_keyframes():
            continue
        if not any(
            _INTERACTIVE_SUBJECT.search(subject(s)) and not re.search(r"::|:before|:after", s)
            for s in rule.selectors()
        ):
            continue
        width = _size(rule, "width", "min-width", "inline-size")
        height = _size(rule, "height", "min-height", "block-size")
        if width is None or height is None:
            continue
        padded = any(
            d.name.startswith("padding") and (length_px(d.value.split(" ")[0]) or 0) > 0
            for d in rule.declarations
        )
        # One pixel is a control that is drawn by something else and kept for screen readers.
        small = 1 < width < 24 and 1 < height < 24 and not padded
        tally.check(not small, rule, f"{rule.selector[:60]} is {width:g} × {height:g} px, below 24 × 24")
    for element in document.elements:
        if element.native and element.tag == "button" and not element.spread:
            _button_utilities(element, tally)


def _size(rule: StyleRule, *names: str) -> float | None:
    sizes = [length_px(d.value) for d in rule.declarations if d.name in names]
    known = [size for size in sizes if size is not None]
    return max(known) if known and len(known) == len(sizes) else None


def _button_utilities(element: Element, tally: Tally) -> None:
    classes = element.classes()
    width = next((px for c in classes if c.startswith(("w-", "size-")) and (px := tailwind_size_px(c))), None)
    height = next(
        (px for c in classes if c.startswith(("h-", "size-")) and (px := tailwind_size_px(c))), None
    )
    if width is None or height is None:
        return
    padded = any(
        re.match(r"!?(?:p|px|py|before:|after:)-?", c)
        for c in classes
        if c.startswith(("p-", "px-", "py-", "before:", "after:"))
    )
    small = width < 24 and height < 24 and not padded
    tally.check(
        not small,
        element,
        f"this button is {width:g} × {height:g} px, below 24 × 24",
        confidence=Confidence.MEDIUM,
    )


def _literal_contrast(document: Document, tally: Tally) -> None:
    for rule in document.style_rules:
        if rule.in_keyframes() or _DISABLED.search(rule.selector):
            continue
        _compare(rule.value("color"), rule.value("background-color", "background"), rule, tally, _large(rule))
    for element in document.elements:
        style = element.attributes.get("style")
        if style is None or not element.native or element.has("disabled"):
            continue
        values = dict(_inline(element))
        _compare(
            values.get("color"), values.get("background-color", values.get("background")), style, tally, False
        )


def _inline(element: Element) -> Iterator[tuple[str, str]]:
    """The static declarations of a style attribute or of a style object."""
    style = element.attributes["style"]
    if style.value is not None and not style.partial:
        for declaration in declarations_of(style.value, style.line, style.column):
            yield declaration.name, declaration.value
        return
    for match in re.finditer(
        r"[{,]\s*([A-Za-z]+)\s*:\s*(?:'([^']*)'|\"([^\"]*)\"|(\d+))(?=\s*[,}])",
        "{" + style.expression.strip("{} \n") + "}",
    ):
        name = re.sub(r"([A-Z])", lambda upper: "-" + upper.group(1).lower(), match.group(1))
        yield name, match.group(2) or match.group(3) or f"{match.group(4)}px"


def _large(rule: StyleRule) -> bool:
    size = length_px(rule.value("font-size") or "")
    weight = rule.value("font-weight") or ""
    bold = weight == "bold" or (weight.isdigit() and int(weight) >= 700)
    return size is not None and (size >= 24 or (bold and size >= 18.66))


def _compare(front: str | None, back: str | None, at: object, tally: Tally, large: bool) -> None:
    if front is None or back is None:
        return
    ratio = contrast(front, back)
    if ratio is None:
        return
    needed = 3.0 if large else 4.5
    place: StyleRule = at  # type: ignore[assignment]  # A rule or an attribute; both know line and column.
    tally.check(ratio >= needed, place, f"{front} on {back} has a contrast of {ratio:.2f}, below {needed:g}")


def motion_facts(document: Document) -> Iterator[Fact]:
    """Animations, and whatever respects a wish for less motion."""
    for rule in document.style_rules:
        if any("prefers-reduced-motion" in around for around in rule.context):
            yield Fact(kind="reduced-motion", name="css", line=rule.line)
            continue
        for declaration in rule.declarations:
            if declaration.name in ("animation", "animation-name") and not declaration.value.startswith(
                ("none", "inherit", "initial", "unset")
            ):
                yield Fact(
                    kind="animation",
                    name=rule.selector[:80],
                    line=declaration.line,
                    column=declaration.column,
                )
    if (
        "prefers-reduced-motion" in document.text
        or "motion-reduce:" in document.text
        or "motion-safe:" in document.text
    ):
        yield Fact(kind="reduced-motion", name="any")
    if re.search(
        r"\b(?:useReducedMotion|usePrefersReducedMotion|reducedMotion|prefersReducedMotion|shouldReduceMotion)\b",
        document.text,
    ):
        yield Fact(kind="reduced-motion", name="script")


def _reduced_motion(project: Project, tally: Tally) -> None:
    animations = project.of("animation")
    if not animations:
        return
    if project.of("reduced-motion"):
        tally.passed()
    else:
        first = animations[0]
        tally.failed(
            first,
            f"{len(animations)} animations, and nothing respects prefers-reduced-motion",
            path=first.path,
        )


RULES: tuple[FileRule | ProjectRule, ...] = (
    FileRule(
        describe(
            "hover-only",
            _A11Y,
            Severity.SERIOUS,
            "What appears on hover also appears on focus",
            reason="Menus that open on hover alone do not exist for keyboard and touch.",
            fix="Add the same selector with `:focus-within`.",
            reference=wcag("2.1.1 Keyboard", "keyboard"),
            confidence=Confidence.MEDIUM,
        ),
        _hover_only,
    ),
    FileRule(
        describe(
            "target-size",
            _A11Y,
            Severity.MODERATE,
            "Targets are at least 24 by 24 pixels",
            reason="Small targets are missed by unsteady hands and on touch screens.",
            fix="Enlarge the control, or give it padding.",
            reference=wcag("2.5.8 Target Size (Minimum)", "target-size-minimum"),
            confidence=Confidence.MEDIUM,
            shared=("axe:target-size",),
        ),
        _target_size,
    ),
    FileRule(
        describe(
            "literal-contrast",
            _A11Y,
            Severity.SERIOUS,
            "Text stands out from its background",
            reason="Low contrast cannot be read with poor sight, or in the sun.",
            fix="Darken or lighten one of the two until the ratio is 4.5 (3 for large text).",
            reference=wcag("1.4.3 Contrast (Minimum)", "contrast-minimum"),
            shared=("axe:color-contrast",),
        ),
        _literal_contrast,
    ),
    ProjectRule(
        describe(
            "reduced-motion",
            _A11Y,
            Severity.MODERATE,
            "Motion can be turned off",
            reason="Motion makes some people dizzy; they ask their system for less of it.",
            fix="Put animations inside `@media (prefers-reduced-motion: no-preference)`, or switch them off for `reduce`.",
            reference=wcag("2.3.3 Animation from Interactions", "animation-from-interactions"),
        ),
        _reduced_motion,
    ),
)
