"""The rule on widths that do not fit on a phone."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.lengths import length_px
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, wcag
from connectors.ui_analyzer.stylesheet import StyleRule, declarations_of, subject

_RESPONSIVE = Category.RESPONSIVE
_WIDE_PX = 400.0
_UTILITY_WIDTH = re.compile(r"^!?(w|min-w)-(?:\[(\d+(?:\.\d+)?(?:px|rem))\]|(96|\d{3}))$")
_REPLACED = re.compile(
    r"\b(?:svg|canvas|img|video|iframe|::before|::after|:before|:after|tooltip|popover)", re.I
)

_HOLDS_TEXT = re.compile(
    r"^(?:html|body|main|article|section|form|header|footer|nav|fieldset|table|p|h[1-6])(?![\w-])|"
    r"[.#](?:[\w-]*[-_])?(?:app|root|page|main|body|content|container|wrapper|wrap|layout|form|card|box|article|header|footer|panel|sheet|modal|dialog)(?![\w-])",
    re.I,
)
"""Parts of a page that hold text; what else is wide inside of something may be an ornament, or be cut off or scroll there."""


def _fixed_width(document: Document, tally: Tally) -> None:
    narrowed = _narrowed(document.style_rules)
    scrollers = [rule.selector for rule in document.style_rules if _scrolls(rule)]
    bounded = [
        frozenset(re.findall(r"[.#]?[\w-]+", subject(selector)))
        for rule in document.style_rules
        if _bounded(rule)
        for selector in rule.selectors()
    ]
    for rule in document.style_rules:
        if rule.in_keyframes() or rule.selector.startswith("@") or _has_wide_context(rule):
            continue
        if any(rule.selector.startswith(f"{outer} ") for outer in scrollers) or narrowed >= set(
            rule.selectors()
        ):
            continue
        limited = _bounded(rule) or all(
            any(names and names <= set(re.findall(r"[.#]?[\w-]+", subject(selector))) for names in bounded)
            for selector in rule.selectors()
        )
        for declaration in rule.declarations:
            if declaration.name not in ("width", "min-width", "inline-size", "min-inline-size"):
                continue
            size = length_px(declaration.value)
            if size is None:
                continue
            fixed = (
                size >= _WIDE_PX and not (limited and "min" not in declaration.name) and not _scrolls(rule)
            )
            holds_text = all(
                selector == subject(selector) or _HOLDS_TEXT.search(subject(selector))
                for selector in rule.selectors()
            )
            confidence = (
                None
                if holds_text
                and not _REPLACED.search(rule.selector)
                and rule.value("position") not in ("absolute", "fixed")
                else Confidence.LOW
            )
            message = f"{declaration.name}: {declaration.value} does not fit on a phone"
            if fixed and confidence is None and "rem" in declaration.value:
                tally.depends(declaration, message, (), frozenset(), excused_by=(("root-size", "own"),))
            else:
                tally.check(not fixed, declaration, message, confidence=confidence)
    for element in document.elements:
        if element.native and element.tag not in ("svg", "canvas", "img", "video", "iframe", "rect"):
            _inline_width(element, tally)
            _utility_width(element, tally)


_MIXIN = re.compile(r"^\.[\w-]+\([^()]*\)\s+")
"""The definition of a mixin of Less around a selector: which screens it is for is told where it is called."""


def _narrowed(rules: list[StyleRule]) -> frozenset[str]:
    """The selectors that get another width on narrow screens, or what a mixin there gives."""
    found: set[str] = set()
    for rule in rules:
        if rule.value("width", "min-width", "max-width", "inline-size") is None and not any(
            d.name == "@include" for d in rule.declarations
        ):
            continue
        on_narrow = any(
            "max-width" in around or re.search(r"width\s*<", around) is not None for around in rule.context
        )
        found.update(
            _MIXIN.sub("", selector) for selector in rule.selectors() if on_narrow or _MIXIN.match(selector)
        )
    return frozenset(found)


def _bounded(rule: StyleRule) -> bool:
    """Whether a rule keeps an element within what is around it: a `max-width` that is no length."""
    return (
        rule.value("max-width", "max-inline-size") is not None
        and length_px(rule.value("max-width") or "") is None
    )


def _has_wide_context(rule: StyleRule) -> bool:
    return (
        any(
            "min-width" in around
            or "print" in around
            or re.search(r"width\s*>", around)
            or around.startswith(("@container", "@include"))
            for around in rule.context
        )
        or "print" in rule.selector
    )


def _scrolls(rule: StyleRule) -> bool:
    return rule.value("overflow", "overflow-x") in ("auto", "scroll")


def _inline_width(element: Element, tally: Tally) -> None:
    style = element.attributes.get("style")
    if style is None:
        return
    if style.value is not None and not style.partial:
        values = {d.name: d.value for d in declarations_of(style.value, style.line, style.column)}
    else:
        values = {
            re.sub(r"W", "-w", name): number + (unit or "px")
            for name, number, unit in re.findall(
                r"\b(width|minWidth|maxWidth)['\"]?\s*:\s*['\"]?(\d+)(px|rem|%|vw)?['\"]?\s*[,}]",
                style.expression + "}",
            )
        }
    for name in ("width", "min-width"):
        size = length_px(values.get(name, ""))
        if size is not None:
            fixed = size >= _WIDE_PX and not (name == "width" and "max-width" in values)
            tally.check(not fixed, style, f"{name}: {values[name]} does not fit on a phone")


def _utility_width(element: Element, tally: Tally) -> None:
    classes = element.classes()
    for utility in sorted(classes):
        match = _UTILITY_WIDTH.match(utility)
        if match is None or utility in ("w-100", "min-w-100"):
            continue  # 100 % to Bootstrap and Vuetify.
        size = length_px(match.group(2)) if match.group(2) else float(match.group(3)) * 4
        limited = match.group(1) == "w" and any(
            re.match(r"!?max-w-(?:full|screen|\[.*(?:vw|%|calc|min)|\w+)", c) for c in classes
        )
        wide = size is not None and size >= _WIDE_PX and not limited
        if wide and (_in_scroller(element) or on_wide_screens(classes) or element.tag in ("td", "th", "col")):
            tally.passed()
        else:
            floats = bool({"absolute", "fixed"} & classes)
            tally.check(
                not wide,
                element,
                f"{utility} does not fit on a phone",
                confidence=Confidence.LOW if floats and wide else None,
            )


_SCROLLS = re.compile(r"^(?:[\w-]+:)*overflow(?:-x)?-(?:auto|scroll|hidden|clip)$")
_SCROLLING_COMPONENT = re.compile(r"scroll|carousel|swiper|viewport|canvas|el-table|virtual", re.I)


def _in_scroller(element: Element) -> bool:
    """Whether something around it scrolls sideways, or cuts off on purpose."""
    for around in (element, *element.ancestors()):
        if any(_SCROLLS.match(name) for name in around.classes()) or (
            not around.native and _SCROLLING_COMPONENT.search(around.tag)
        ):
            return around is not element or any(
                "auto" in n or "scroll" in n for n in around.classes() if _SCROLLS.match(n)
            )
        style = around.attributes.get("style")
        if style is not None and re.search(
            r"overflow(?:-?[xX])?['\"]?\s*:\s*['\"]?(?:auto|scroll)", style.expression or ""
        ):
            return True
    return False


def on_wide_screens(classes: frozenset[str]) -> bool:
    """Whether it is shown from some width on only: `hidden md:block`."""
    return "hidden" in classes and any(
        re.match(r"(?:sm|md|lg|xl|2xl):(?:block|flex|grid|inline|table)", c) for c in classes
    )


RULES = (
    FileRule(
        describe(
            "fixed-width",
            _RESPONSIVE,
            Severity.MODERATE,
            "Nothing is wider than a phone",
            reason="At 320 px, or zoomed to 400 %, one has to scroll sideways to read each line.",
            fix="Use `max-width` with `width: 100%`, or `min(…px, 100%)`.",
            reference=wcag("1.4.10 Reflow", "reflow"),
            confidence=Confidence.MEDIUM,
        ),
        _fixed_width,
    ),
)
