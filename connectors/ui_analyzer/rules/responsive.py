"""Rules on layout that adapts to the screen."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.lengths import length_px
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, mdn, page, wcag
from connectors.ui_analyzer.rules.fixed_widths import on_wide_screens
from connectors.ui_analyzer.stylesheet import subject

_RESPONSIVE = Category.RESPONSIVE
_TAILWIND_SCREEN = re.compile(r"(?:^|[\s\"'`])(?:max-)?(?:sm|md|lg|xl|2xl|@sm|@md|@lg):[\w\[-]")
_FLUID = re.compile(r"auto-fi(?:t|ll)|flex-wrap|\bwrap\b|\d(?:vw|cqw|dvw|svw)\b|clamp\(|min\(|minmax\(")
_DECLARATIONS_MIN = 60
"""A project with fewer declarations is too small to say that it lacks breakpoints."""


def _viewport_meta(document: Document, tally: Tally) -> None:
    root = None if document.framed else document.full_page
    head = (
        None if root is None else next((child for child in root.descendants() if child.tag == "head"), None)
    )
    if head is None:
        return
    metas = [
        child
        for child in head.descendants()
        if child.tag == "meta" and (child.get("name") or "").lower() == "viewport"
    ]
    if head.dynamic_content and not metas:
        return
    ok = any(
        "width=device-width" in (meta.get("content") or "").replace(" ", "")
        or "initial-scale" in (meta.get("content") or "")
        for meta in metas
    )
    tally.check(ok, metas[0] if metas else head, "no viewport meta element: phones show the page shrunk")


def _viewport_height(document: Document, tally: Tally) -> None:
    for rule in document.style_rules:
        # A minimum cuts nothing off: what is below can be scrolled to.
        heights = [d for d in rule.declarations if d.name in ("height", "max-height")]
        full = [d for d in heights if re.fullmatch(r"100vh(?:\s*!important)?", d.value.strip())]
        modern = any(
            re.search(r"\d(?:dvh|svh|lvh)|-webkit-fill-available|stretch|var\(--", d.value) for d in heights
        )
        if re.search(r"::?(?:before|after)$", rule.selector):
            continue  # Drawn for ornament: nothing in it can be out of sight.
        if rule.value("position") == "fixed" and (
            (rule.value("bottom") or "").startswith("0")
            or rule.value("pointer-events") == "none"
            or (rule.value("z-index") or "").startswith("-")
        ):
            continue  # A backdrop: nobody looks for anything at its bottom.
        if (full or modern) and not rule.in_keyframes() and not any("print" in at for at in rule.context):
            tally.check(
                modern,
                full[0] if full else rule,
                f"{rule.selector[:60]} is 100vh high, higher than the screen while a phone shows its address bar",
            )
    for element in document.elements:
        if not element.native or not element.has("class"):
            continue
        classes = element.classes()
        full_class = next(
            (name for name in ("h-screen", "max-h-screen", "h-[100vh]", "max-h-[100vh]") if name in classes),
            "",
        )
        if "fixed" in classes and {"inset-0", "bottom-0", "inset-y-0"} & classes:
            continue  # Its edges are those of what is seen.
        if full_class and not on_wide_screens(classes):
            modern = any(re.search(r"(?:h-)(?:dvh|svh|\[\d+(?:dvh|svh)\])", c) for c in classes)
            tally.check(
                modern,
                element,
                f"{full_class} (100vh) is higher than the screen while a phone shows its address bar",
            )
        elif any(re.search(r"h-(?:dvh|svh)$", c) for c in classes):
            tally.passed()


_ICON = re.compile(r"::?(?:before|after)\b|icon|glyph|\bi$|^i\b|\.fa-|svg|arrow|caret|chevron", re.I)


def _tiny_text(document: Document, tally: Tally) -> None:
    for rule in document.style_rules:
        if all(
            _ICON.search(subject(selector)) or selector in (":root", "html") for selector in rule.selectors()
        ):
            continue  # An icon, or what the sizes of texts are multiples of.
        if (rule.value("text-indent") or "").startswith("-"):
            continue  # Its text is moved off the page: the size is that of a drawing.
        for declaration in rule.declarations:
            size = length_px(declaration.value) if declaration.name == "font-size" else None
            if (
                size is None
                or size <= _NOT_MEANT_TO_BE_READ_PX
                or ("em" in declaration.value and "rem" not in declaration.value)
            ):
                continue
            tally.check(
                size >= 10 or rule.in_keyframes(),
                declaration,
                f"text of {size:g} px cannot be read on a phone",
            )
    for element in document.elements:
        for utility in element.classes() if element.has("class") else ():
            match = re.fullmatch(r"text-\[(\d+(?:\.\d+)?px)\]", utility)
            size = length_px(match.group(1)) if match else None
            if size is not None:
                tally.check(size >= 10, element, f"text of {size:g} px cannot be read on a phone")


_NOT_MEANT_TO_BE_READ_PX = 3
"""Up to this size a text is taken off an icon, or belongs to a drawing that is scaled."""


def _hidden_overflow(document: Document, tally: Tally) -> None:
    for rule in document.style_rules:
        if not set(rule.selectors()) & {"html", "body", ":root", "#root", "#app"}:
            continue
        declaration = next((d for d in rule.declarations if d.name == "overflow-x"), None)
        if declaration is not None:
            tally.check(
                "hidden" not in declaration.value,
                declaration,
                "overflow-x: hidden on the page cuts off what does not fit",
            )
        else:
            tally.passed()


def responsive_facts(document: Document) -> Iterator[Fact]:
    """How much style there is, and whether any of it adapts."""
    count = sum(len(rule.declarations) for rule in document.style_rules)
    if count:
        first = document.style_rules[0]
        yield Fact(kind="declarations", name=str(count), line=first.line, column=first.column)
    if any(
        set(rule.selectors()) & {"html", ":root", "html, body"}
        and re.match(r"[\d.]+(?:px|%)", rule.value("font-size") or "") is not None
        and (rule.value("font-size") or "") not in ("16px", "100%")
        for rule in document.style_rules
    ):
        yield Fact(kind="root-size", name="own")  # What a `rem` is then, is not 16 pixels.
    for rule in document.style_rules:
        if any(
            re.search(
                r"@(?:media|container).*(?:width|inline-size)|@screen|@include\s+\S*(?:media|break|mobile|tablet|desktop|isMobile|up|down|screen)",
                around,
            )
            for around in rule.context
        ):
            yield Fact(kind="adapts", name="media", line=rule.line)
            return
        if any(
            _FLUID.search(d.value)
            for d in rule.declarations
            if d.name.startswith(("grid-template", "flex", "width", "max-width", "font-size", "padding"))
        ):
            yield Fact(kind="adapts-fluid", name="fluid", line=rule.line)
    if re.search(
        r"@media[^{]*width|@container|useMediaQuery|useBreakpoint|matchMedia\(|isMobile|useDevice|useIsMobile",
        document.text,
    ):
        yield Fact(kind="adapts", name="script")
    if any(
        element.tag == "link" and re.search(r"(?:width|inline-size)\b", element.get("media") or "")
        for element in document.elements
    ):
        yield Fact(kind="adapts", name="link")
    if any(
        _TAILWIND_SCREEN.search(e.attributes["class"].expression) for e in document.elements if e.has("class")
    ):
        yield Fact(kind="adapts", name="tailwind")


def _breakpoints(project: Project, tally: Tally) -> None:
    declared = project.of("declarations")
    total = sum(int(located.fact.name) for located in declared)
    if total < _DECLARATIONS_MIN:
        return
    if project.of("adapts"):
        tally.passed()
    else:
        biggest = max(declared, key=lambda located: int(located.fact.name))
        confidence = Confidence.LOW if project.of("adapts-fluid") else None
        tally.failed(
            biggest,
            f"{total} declarations and no media or container query on width",
            path=biggest.path,
            confidence=confidence,
        )


RULES: tuple[FileRule | ProjectRule, ...] = (
    FileRule(
        describe(
            "viewport-meta",
            _RESPONSIVE,
            Severity.SERIOUS,
            "Pages are laid out for the width of the device",
            reason="Without it a phone lays the page out 980 px wide and shrinks it.",
            fix='Add `<meta name="viewport" content="width=device-width, initial-scale=1">`.',
            reference=mdn("viewport meta", "Web/HTML/Reference/Elements/meta/name/viewport"),
        ),
        _viewport_meta,
    ),
    FileRule(
        describe(
            "viewport-height",
            _RESPONSIVE,
            Severity.MINOR,
            "Full height means the visible height",
            reason="The bottom, often with the most important button, is under the address bar.",
            fix="Use `100dvh` (or `h-dvh`), with `100vh` before it for old browsers.",
            reference=mdn(
                "Viewport units", "Web/CSS/Reference/Values/length#relative_length_units_based_on_viewport"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _viewport_height,
    ),
    FileRule(
        describe(
            "tiny-text",
            _RESPONSIVE,
            Severity.MINOR,
            "Text is at least 10 pixels",
            reason="Smaller text is unreadable for many without zooming.",
            fix="Use at least 0.75rem for secondary text.",
            reference=mdn("font-size", "Web/CSS/Reference/Properties/font-size#accessibility"),
            confidence=Confidence.MEDIUM,
        ),
        _tiny_text,
    ),
    FileRule(
        describe(
            "hidden-overflow",
            _RESPONSIVE,
            Severity.MINOR,
            "The page does not hide what is too wide",
            reason="It hides the symptom: at 320 px the rest of the line is cut off and cannot be reached.",
            fix="Find the element that is too wide and let it wrap or scroll by itself.",
            negative=True,
            reference=wcag("1.4.10 Reflow", "reflow"),
            confidence=Confidence.MEDIUM,
        ),
        _hidden_overflow,
    ),
    ProjectRule(
        describe(
            "breakpoints",
            _RESPONSIVE,
            Severity.MODERATE,
            "The layout adapts to the width",
            reason="One layout for all widths fits at most one of them.",
            fix="Start with the narrow layout and add columns in `@media (min-width: …)` or container queries.",
            reference=page(
                "web.dev: Responsive web design basics",
                "https://web.dev/articles/responsive-web-design-basics",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _breakpoints,
    ),
)
