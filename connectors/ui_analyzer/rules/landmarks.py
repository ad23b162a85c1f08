"""Rules on what a whole page has once: a first heading, and landmarks around everything."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden, labelled_directly
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, wcag
from connectors.ui_analyzer.rules.pointing import native_interactive

_A11Y = Category.ACCESSIBILITY
PAGE_ELEMENTS_MIN = 5
"""A body with fewer elements is a shell that script fills."""
_LANDMARK_TAGS = frozenset({"main", "nav", "aside", "header", "footer", "dialog", "search"})
_LANDMARK_ROLES = frozenset(
    {
        "main",
        "navigation",
        "complementary",
        "banner",
        "contentinfo",
        "region",
        "search",
        "form",
        "dialog",
        "alertdialog",
        "alert",
        "status",
        "log",
    }
)
_UNSEEN = frozenset(
    {"script", "style", "noscript", "template", "link", "meta", "title", "iframe", "datalist", "map", "svg"}
)


def _content(document: Document) -> list[Element] | None:
    """The elements of the body of a page with content of its own; None for shells, and where components add some."""
    root = document.full_page
    body = None if root is None else next((child for child in root.children if child.tag == "body"), None)
    if body is None or body.dynamic_content or filled_by_template(document):
        return None
    inside = [
        element for element in body.descendants() if element.tag not in _UNSEEN and not in_container(element)
    ]
    if len(inside) < PAGE_ELEMENTS_MIN or any(
        not element.native or element.dynamic_content for element in inside
    ):
        return None
    return inside


def _page_heading(document: Document, tally: Tally) -> None:
    inside = _content(document)
    root = None if document.framed else document.full_page
    if inside is None or root is None:
        return
    first = any(
        (element.tag == "h1" or (element.get("role") == "heading" and element.get("aria-level") == "1"))
        and not hidden(element)
        for element in inside
    )
    body = next(child for child in root.children if child.tag == "body")
    bundled = any(
        element.tag == "script" and element.get("type") == "module" for element in document.elements
    )
    scripted = any(element.tag == "script" for element in document.elements)
    if not first and not bundled and scripted and len(body.static_text()) < _TEXT_OF_A_PAGE:
        tally.failed(
            body, "nothing on this page is an <h1>", confidence=Confidence.LOW
        )  # Its script may draw it.
    elif first or not bundled:
        tally.check(first, body, "nothing on this page is an <h1>")
    else:
        # What its script draws may begin with one.
        tally.depends(
            body,
            "nothing on this page is an <h1>",
            (),
            frozenset(),
            excused_by=(("first-heading", "component"),),
        )


_TEXT_OF_A_PAGE = 200
"""Characters from which on a page says something by itself, whatever its script adds."""


def heading_facts(document: Document) -> Iterator[Fact]:
    """Whether a component has a first heading."""
    if document.full_page is None and any(e.native and e.tag == "h1" for e in document.elements):
        yield Fact(kind="first-heading", name="component")


def _region(document: Document, tally: Tally) -> None:
    inside = _content(document)
    if inside is None or not any(
        element.tag == "main" or element.get("role") == "main" for element in inside
    ):
        return  # Without a main landmark the missing landmark is what is reported.
    outside = next((element for element in inside if _lies_outside(element)), None)
    if outside is None:
        tally.passed()
    else:
        tally.failed(outside, f"<{outside.tag}> is outside of every landmark of this page")


def _lies_outside(element: Element) -> bool:
    """Whether an element shows something, and neither it nor anything around it is a landmark."""
    shows = bool(element.texts) or element.tag == "img" or native_interactive(element)
    if not shows or hidden(element) or element.get("type") == "hidden":
        return False
    if element.tag == "a" and (element.get("href") or "").startswith("#"):
        return False  # A link that skips to the content stands before everything.
    if element.tag == "img" and element.get("alt") == "":
        return False
    return not any(_is_landmark(around) for around in (element, *element.ancestors()))


def _is_landmark(element: Element) -> bool:
    if element.get("role") in _LANDMARK_ROLES or element.has("aria-live"):
        return True
    if element.tag in ("section", "form"):
        return labelled_directly(element)
    return element.tag in _LANDMARK_TAGS


def _landmark_main(project: Project, tally: Tally) -> None:
    mains = {located.path for located in project.of("main-landmark")}
    for entry in project.of("page"):
        if entry.fact.value == "bundle" and not project.of("renders"):
            continue  # Filled by a script that makes elements in a way of its own.
        if entry.fact.value == "template" and not mains:
            continue  # What it includes may be in a language that is not read.
        # A page with content of its own needs its own landmark; a shell is filled by components.
        ok = entry.path in mains if entry.fact.value == "content" else bool(mains)
        if ok:
            tally.passed()
        else:
            tally.failed(entry, "nothing on this page is a <main>", path=entry.path)


_BLOCK = re.compile(
    r"\{%-?\s*(?:block|include|extends)\b|@(?:yield|section|include)\(|<%[-=]?\s*(?:yield|include)|\{\{[{>]?-?\s*(?:>|template|block|content|body|yield)\b|"
    r"\{(?:include|block|extends|layout|insert|capture)\b[^{}\n]*\}|<\?(?:php|=)?\s*(?:@?include|require|get_header|get_footer)|<jsp:include|<!--#include|th:(?:replace|insert)=",
)


def filled_by_template(document: Document) -> bool:
    """Whether other files of a language for templates put parts into a page: a layout, or one that includes parts."""
    return document.language == "html" and _BLOCK.search(document.text) is not None


_CONTAINER = re.compile(
    r"^(?:app|root|__next|__nuxt|svelte|mount|react-root|vue-app|app-root|___gatsby)$", re.I
)


def in_container(element: Element) -> bool:
    """Whether an element is in what an application replaces when it starts: a picture of it loading."""
    return any(_CONTAINER.match(around.get("id") or "") is not None for around in element.ancestors())


def landmark_facts(document: Document) -> Iterator[Fact]:
    """Whole pages, and main landmarks wherever they are rendered."""
    root = document.full_page
    if root is not None and not document.framed:
        body = next((child for child in root.children if child.tag == "body"), root)
        inside = [
            element for element in body.descendants() if element.tag not in ("script", "noscript", "style")
        ]
        bundled = any(
            e.tag == "script" and e.get("type") == "module" and e.has("src") for e in document.elements
        )
        inside = [element for element in inside if not in_container(element)]
        own = len(inside) >= PAGE_ELEMENTS_MIN and not filled_by_template(document)
        templated = filled_by_template(document)
        filled = "content" if own else "bundle" if bundled else "template" if templated else "shell"
        yield Fact(kind="page", name=document.path, value=filled, line=body.line, column=body.column)
    if document.language != "html" and document.elements:
        yield Fact(kind="renders", name=document.language)
    for element in document.elements:
        if (
            element.tag == "main"
            or element.get("role") == "main"
            or re.search(r"(?:\.|^)[Mm]ain$|AppShellMain|AppMain|v-main|el-main", element.tag)
        ):
            yield Fact(kind="main-landmark", name=element.tag, line=element.line)
            return
        tag = (
            element.attributes.get("as")
            or element.attributes.get("component")
            or element.attributes.get("is")
        )
        if tag is not None and tag.value == "main":
            yield Fact(kind="main-landmark", name=element.tag, line=element.line)
            return


RULES: tuple[FileRule | ProjectRule, ...] = (
    ProjectRule(
        describe(
            "landmark-main",
            _A11Y,
            Severity.MODERATE,
            "Pages have a main landmark",
            reason="It is what screen readers and skip links jump to.",
            fix="Wrap the content that is the page's own in `<main>`.",
            reference=wcag("2.4.1 Bypass Blocks", "bypass-blocks"),
            confidence=Confidence.MEDIUM,
            shared=("axe:landmark-one-main",),
        ),
        _landmark_main,
    ),
    FileRule(
        describe(
            "page-heading",
            _A11Y,
            Severity.MODERATE,
            "Pages have a first heading",
            reason="Screen readers jump to it to learn what the page is about.",
            fix="Make the title that the page shows an `<h1>`.",
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            shared=("axe:page-has-heading-one",),
        ),
        _page_heading,
    ),
    FileRule(
        describe(
            "region",
            _A11Y,
            Severity.MODERATE,
            "Everything on a page is in a landmark",
            reason="Who moves from landmark to landmark never comes past what is outside.",
            fix="Put it into `<header>`, `<nav>`, `<main>`, `<aside>` or `<footer>`.",
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            confidence=Confidence.MEDIUM,
            shared=("axe:region",),
        ),
        _region,
    ),
)
