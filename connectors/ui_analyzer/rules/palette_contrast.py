"""The rule on contrast between the colours that Tailwind's classes set."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.colours import contrast
from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.palette import HUES, UNKNOWN, palette_value, utility_colour
from connectors.ui_analyzer.rule import Fact, Project, ProjectRule, Tally, describe, wcag

_TOLERANCE = 0.2
"""The palettes of Tailwind 3 and 4 differ by so much, and a finding must hold for both."""
_LARGE = re.compile(r"text-(?:[2-9]xl|\[(?:2[4-9]|[3-9]\d|\d{3})px\])(?:/.*)?$")
_LARGE_WHEN_BOLD = re.compile(r"text-xl(?:/.*)?$")
_BOLD = frozenset({"font-bold", "font-extrabold", "font-black"})
_TOKEN = re.compile(r"--color-([a-z]+)(?:-\d+)?$")
_FADED = re.compile(r"(?:opacity|mix-blend|backdrop|bg-gradient|bg-linear|from|via|to)-")


def palette_facts(document: Document) -> Iterator[Fact]:
    """Pairs of text and background, and the hues that the project's configuration changes."""
    if re.search(r"(?:^|/)tailwind[\w.]*\.config\.\w+$|(?:^|/)tailwind\.\w+$", document.path):
        for script in document.scripts:
            for match in re.finditer(r"""(?m)^\s*["']?(\w+)["']?\s*:""", script.code_text):
                if match.group(1) in HUES:
                    yield Fact(kind="palette-own", name=match.group(1))
    for element in document.elements:
        if not element.native or element.has("disabled", "aria-disabled") or element.tag in ("svg", "option"):
            continue
        # A dot or a dash between two links is no text.
        if not (re.search(r"\w", " ".join(element.texts)) or element.dynamic_content) or not _known(element):
            continue
        text = _colours(element, "text")
        behind = _behind(element) if text.get("", UNKNOWN) != UNKNOWN else None
        if behind is None:
            continue
        for variant in sorted({"", *behind, *text} & {"", "dark:"}):
            front, back = text.get(variant, text[""]), behind.get(variant, behind.get("", UNKNOWN))
            if UNKNOWN not in (front, back):
                size = "large" if _is_large(element) else ""
                yield Fact(
                    kind="palette-pair",
                    name=front,
                    value=back,
                    scope=f"{variant}{size}",
                    line=element.line,
                    column=element.column,
                )


def _palette_contrast(project: Project, tally: Tally) -> None:
    own = set(project.names("palette-own"))
    own |= {match.group(1) for name in project.names("token") if (match := _TOKEN.match(name))}
    for at in project.of("palette-pair"):
        front, back = at.fact.name, at.fact.value
        if {front.split("-")[0], back.split("-")[0]} & own:
            continue
        ratio = contrast(palette_value(front), palette_value(back))
        needed = 3.0 if at.fact.scope.endswith("large") else 4.5
        if ratio is None:
            continue
        if ratio >= needed - _TOLERANCE:
            tally.passed()
            continue
        where = " in the dark theme" if at.fact.scope.startswith("dark:") else ""
        message = f"{front} on {back}{where} has a contrast of {ratio:.2f}, below {needed:g}"
        tally.failed(at, message, path=at.path)


def _is_large(element: Element) -> bool:
    classes = element.classes()
    bold = bool(classes & _BOLD)
    return any(_LARGE.match(name) or (bold and _LARGE_WHEN_BOLD.match(name)) for name in classes)


def _behind(element: Element) -> dict[str, str] | None:
    """The background of the nearest element that sets one; None when something between is not known."""
    for at in (element, *element.ancestors()):
        if not at.native or not _known(at) or at.detached:
            return None
        if any(_FADED.match(name.split(":")[-1]) for name in at.classes()) or at.has("style"):
            return None
        found = _colours(at, "bg")
        if found:
            return found if "" in found else None
        # What is taken out of the flow need not lie on what is around it.
        if {"absolute", "fixed"} & at.classes():
            return None
    return None


def _known(element: Element) -> bool:
    attribute = element.attributes.get("class")
    conditional = any(name.startswith("class:") for name in element.attributes)
    return not element.spread and not conditional and (attribute is None or not attribute.dynamic)


def _colours(element: Element, wanted: str) -> dict[str, str]:
    """The colours that the classes of an element set, by variant; UNKNOWN where two claim one."""
    found: dict[str, str] = {}
    for name in sorted(element.classes()):
        read = utility_colour(name)
        if read is not None and read[0] == wanted:
            found[read[1]] = UNKNOWN if read[1] in found else read[2]
    return found


RULES = (
    ProjectRule(
        describe(
            "palette-contrast",
            Category.ACCESSIBILITY,
            Severity.SERIOUS,
            "Text in palette colours stands out from its background",
            reason="Who sees less well, or sits in the sun, cannot read it.",
            fix="Take a darker shade of the text or a lighter one of the background (in a dark theme the reverse).",
            reference=wcag("1.4.3 Contrast (Minimum)", "contrast-minimum"),
            confidence=Confidence.MEDIUM,
        ),
        _palette_contrast,
    ),
)
