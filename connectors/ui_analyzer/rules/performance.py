"""Rules on loading and rendering."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.native import LINK_TAGS
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, page
from connectors.ui_analyzer.stylesheet import subject

_PERFORMANCE = Category.PERFORMANCE
_LAYOUT_PROPERTIES = frozenset(
    {
        "width",
        "height",
        "top",
        "left",
        "right",
        "bottom",
        "margin",
        "margin-left",
        "margin-top",
        "padding",
        "max-height",
        "max-width",
    }
)
_SIZE_UTILITY = re.compile(
    r"^(?:[\w-]+:)*!?(?:w-|h-|size-|aspect-|max-h-|object-|min-h-)|^is-\d+(?:x|by)\d+$"
)


def _layout_animation(document: Document, tally: Tally) -> None:
    told: set[str] = set()
    for rule in document.style_rules:
        if rule.in_keyframes():
            moved = next(
                (
                    d
                    for d in rule.declarations
                    if d.name
                    in ("width", "height", "top", "left", "right", "bottom", "margin-left", "margin-top")
                ),
                None,
            )
            name = rule.context[-1].split()[-1]
            if name in told:
                continue  # One animation, however many of its steps.
            if moved is not None:
                told.add(name)
                tally.failed(
                    moved,
                    f"animation {name} changes {moved.name}, which lays the page out anew for each frame",
                )
            else:
                tally.passed()
            continue
        for declaration in rule.declarations:
            if declaration.name not in ("transition", "transition-property"):
                continue
            named = {
                part.strip().split(" ")[0]
                for part in declaration.value.split(",")
                if not re.match(r"\s*\S+\s+0m?s\b", part)
            }
            slow = sorted(named & _LAYOUT_PROPERTIES)
            tally.check(
                not slow,
                declaration,
                f"a transition of {slow[0] if slow else ''} lays the page out anew for each frame",
            )


def image_facts(document: Document) -> Iterator[Fact]:
    """Images without a size of their own, and classes and elements that get one from a stylesheet."""
    for element in document.elements:
        if not element.native or element.tag != "img" or element.spread or _sized_by_parent(element):
            continue
        at = {"line": element.line, "column": element.column}
        if _sized(element):
            yield Fact(kind="image", name="sized", line=element.line, column=element.column)
        elif element.has("class") and element.attributes["class"].dynamic and not element.classes():
            continue
        else:
            yield Fact(
                kind="image",
                name="unsized",
                value=" ".join(sorted(element.classes())),
                scope=_around(element),
                **at,
            )
    for rule in document.style_rules:
        if not any(
            d.name
            in (
                "width",
                "height",
                "aspect-ratio",
                "block-size",
                "max-height",
                "@apply",
                "object-fit",
                "inset",
                "@include",
            )
            for d in rule.declarations
        ):
            continue
        for selector in rule.selectors():
            last = subject(selector)
            for name in re.findall(r"\.([\w-]+)", last):
                yield Fact(kind="sizes-class", name=name, line=rule.line)
            if re.match(r"img\b|\*|picture\b", last):
                # `.card img` sizes images inside that class; a bare `img` with max-width alone reserves no space.
                inside = re.findall(r"\.([\w-]+)", selector[: -len(last) or None])
                reserving = any(
                    d.name in ("aspect-ratio", "width", "inset", "object-fit")
                    or (d.name == "height" and "auto" not in d.value)
                    for d in rule.declarations
                )
                if inside and reserving:
                    yield Fact(kind="sizes-class", name=inside[-1], line=rule.line)
                elif reserving and any(d.name == "aspect-ratio" for d in rule.declarations):
                    yield Fact(kind="sizes-class", name="img", line=rule.line)


_SIZES_CHILDREN = re.compile(r"^(?:\[&[^\]]*(?:img|\*)[^\]]*\]|\*|\*\*|\*:\[img\]):")


def _sized_by_parent(element: Element) -> bool:
    """Whether what is around an image gives it its size, or may: a component that is no link, `[&_img]:size-full`."""
    around = element.parent
    if around is not None and not around.native and around.tag not in LINK_TAGS:
        return True
    return any(_SIZES_CHILDREN.match(name) for outer in element.ancestors() for name in outer.classes())


def _around(element: Element) -> str:
    return " ".join(sorted({name for outer in element.ancestors() for name in outer.classes()}))[:1_000]


def _sized(element: Element) -> bool:
    # Attributify utilities of UnoCSS are attributes of their own: `w-24`, `h="[3rem]"`.
    if any(_SIZE_UTILITY.match(name) or name in ("w", "h", "size") for name in element.attributes):
        return True
    if (element.has("width") and element.has("height")) or element.has(
        "fill", "width:", "style:width", "v-bind:style"
    ):
        return True
    style = element.attributes.get("style")
    if style is not None and (style.dynamic or re.search(r"width|height|aspect", style.value or "")):
        return True
    return any(_SIZE_UTILITY.match(name) for name in element.classes())


def _image_size(project: Project, tally: Tally) -> None:
    sized = project.names("sizes-class")
    for located in project.of("image"):
        if located.fact.name == "sized":
            tally.passed()
            continue
        own = located.fact.value.split()
        if any(name in sized for name in (*own, *located.fact.scope.split(), "img")):
            tally.passed()
        elif own and not sized:
            continue  # Its class comes from styles that are not here.
        else:
            tally.failed(
                located,
                "<img> without width and height moves the page when it arrives",
                path=located.path,
                confidence=Confidence.MEDIUM if own else None,
            )


RULES: tuple[FileRule | ProjectRule, ...] = (
    FileRule(
        describe(
            "layout-animation",
            _PERFORMANCE,
            Severity.MINOR,
            "Animations do not move the layout",
            reason="Each frame lays out the whole page; on a phone it stutters.",
            fix="Animate `transform` and `opacity`.",
            reference=page(
                "web.dev: How to create high-performance CSS animations",
                "https://web.dev/articles/animations-guide",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _layout_animation,
    ),
    ProjectRule(
        describe(
            "image-size",
            _PERFORMANCE,
            Severity.MODERATE,
            "Images reserve their space",
            reason="What one is about to click moves away when the image arrives.",
            fix="Set `width` and `height`, or `aspect-ratio` in the style.",
            reference=page(
                "web.dev: Optimize Cumulative Layout Shift", "https://web.dev/articles/optimize-cls"
            ),
        ),
        _image_size,
    ),
)
