"""Rules on the structure of documents and on ARIA."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden
from connectors.ui_analyzer.rule import FileRule, ProjectRule, Tally, describe, wcag

_A11Y = Category.ACCESSIBILITY
HEADING = re.compile(r"h([1-6])$")
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*$|x-[\w-]+$|i-[\w-]+$")
_REFERRING = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "aria-owns", "list", "headers")


def _html_lang(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if element.tag != "html" or not element.native or element.spread:
            continue
        lang = element.attributes.get("lang") or element.attributes.get("xml:lang")
        if lang is None and element.node is not None and _says_nothing(element):
            continue
        if lang is None:
            tally.depends(
                element, "<html> has no lang", (), frozenset(), excused_by=(("sets-lang", "script"),)
            )
        elif lang.dynamic or placeholder(lang.value or ""):
            tally.passed()
        else:
            tally.check(
                _LANGUAGE_TAG.match((lang.value or "").strip()) is not None,
                lang,
                f'lang="{lang.value}" is no language',
            )


def _says_nothing(element: Element) -> bool:
    """Whether the body of a page is empty: an application that is switched off."""
    return any(child.tag == "body" for child in element.children) and not (
        element.static_text() or element.unknown_content()
    )


def placeholder(value: str) -> bool:
    return bool(re.search(r"[%{}$\[\]<]", value))


def _document_title(document: Document, tally: Tally) -> None:
    page = document.full_page
    head = (
        None if page is None else next((child for child in page.descendants() if child.tag == "head"), None)
    )
    if head is None:
        return
    if head.dynamic_content or any("%" in text and "head" in text for text in head.texts):
        return  # A template whose head is filled in by the framework.
    title = next((child for child in head.children if child.tag == "title"), None)
    bundled = any(e.tag == "script" and e.get("type") == "module" and e.has("src") for e in document.elements)
    if title is None and bundled:
        tally.failed(head, "the page has no title unless a script sets one", confidence=Confidence.LOW)
        return
    if title is not None and (title.texts or title.dynamic_content or title.attributes):
        tally.passed()  # What an attribute binds is text too.
    else:
        tally.depends(
            title or head, "the page has no title", (), frozenset(), excused_by=(("sets-title", "script"),)
        )


def _heading_order(document: Document, tally: Tally) -> None:
    last = 0
    before: Element | None = None
    for element in document.elements:
        match = HEADING.match(element.tag) if element.native else None
        if match is None or hidden(element) or element.detached:
            continue
        level = int(match.group(1))
        if before is not None and _component_of(document, before) != _component_of(document, element):
            last = 0  # Where another component of the file is drawn is not told by its place in it.
        before = element
        if last and not element.conditional:
            tally.check(level <= last + 1, element, f"<h{level}> follows <h{last}>")
        last = level if not element.conditional else min(level, last or level)


def _component_of(document: Document, element: Element) -> int:
    """Where the innermost component of JSX around an element begins; -1 outside of all."""
    return max(
        (
            component.start
            for script in document.scripts
            for _, component in script.components
            if element.node is not None and component.start <= element.start < component.end
        ),
        default=-1,
    )


def _duplicate_id(document: Document, tally: Tally) -> None:
    referred = {
        word
        for element in document.elements
        for name in _REFERRING
        for word in (element.get(name) or "").split()
    }
    seen: dict[str, Element] = {}
    for element in document.elements:
        identifier = element.get("id")
        if not identifier or not element.native or element.attributes["id"].partial:
            continue
        if any(around.tag in ("svg", "template", "noscript") for around in element.ancestors()):
            continue
        first = seen.get(identifier)
        if first is None:
            seen[identifier] = element
            tally.passed()
        elif (
            first.conditional
            or element.conditional
            or re.search(
                rb"\{%-?\s*(?:if|else|elif|(?:end)?(?:macro|block|call))|<%-?\s*(?:if|else)|@(?:if|else)\b",
                document.source[first.end : element.start],
            )
            or element.loop
            or first.loop
            or _roots_differ(first, element)
            or _shown_in_turn(first, element)
        ):
            continue
        else:
            severity = Severity.SERIOUS if identifier in referred else None
            tally.failed(
                element, f'the id "{identifier}" is already taken on line {first.line}', severity=severity
            )


_IN_TURN = re.compile(r"modal|dialog|drawer|popover|tab|panel|step", re.I)


def _shown_in_turn(one: Element, other: Element) -> bool:
    """Whether two elements are in different components of which only one is drawn at a time."""
    homes = [
        next((around for around in element.ancestors() if not around.native), None)
        for element in (one, other)
    ]
    return homes[0] is not homes[1] and all(home is not None and _IN_TURN.search(home.tag) for home in homes)


def _roots_differ(one: Element, other: Element) -> bool:
    """Whether two elements are in different pieces of JSX, which may never be on the page together."""
    return one.node is not None and _root(one) is not _root(other)


def _root(element: Element) -> Element:
    outermost = element
    while outermost.parent is not None:
        outermost = outermost.parent
    return outermost


def _id_in_loop(document: Document, tally: Tally) -> None:
    for element in document.elements:
        identifier = element.attributes.get("id")
        if identifier is None or not element.native or not element.loop:
            continue
        if any(around.tag == "svg" for around in (element, *element.ancestors())):
            continue
        if element.conditional and not element.loop_root:
            continue  # Shown for one of the items, perhaps.
        fixed = identifier.value is not None and not identifier.partial
        tally.check(not fixed, identifier, f'every item of the list gets the same id "{identifier.value}"')


def _table_headers(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag != "table" or element.spread or hidden(element):
            continue
        if element.get("role") in ("presentation", "none"):
            continue
        inside = list(element.descendants())
        if any(
            not inner.native or (inner.dynamic_content and inner.tag in ("table", "thead", "tr"))
            for inner in inside
        ):
            continue
        if element.dynamic_content or any(inner.tag == "slot" for inner in inside):
            continue
        cells = [inner for inner in inside if inner.tag == "td"]
        headers = any(
            inner.tag == "th" or inner.get("role") in ("columnheader", "rowheader") for inner in inside
        )
        if len(cells) >= 2 and not (not headers and _for_layout(inside)):
            tally.check(
                headers,
                element,
                "this table has no header cells",
                confidence=None if headers or _tabular(inside) else Confidence.LOW,
            )


def _for_layout(inside: list[Element]) -> bool:
    """Whether a table only puts the fields of a form, or other tables, beside one another."""
    return any(
        inner.tag in ("table", "textarea", "select", "label", "fieldset")
        or (inner.tag == "input" and inner.get("type") not in ("checkbox", "hidden"))
        for inner in inside
    )


def _tabular(inside: list[Element]) -> bool:
    """Whether it is plainly data: a head without header cells, or rows of three cells and more, one per item."""
    rows = [[child for child in row.children if child.tag == "td"] for row in inside if row.tag == "tr"]
    widest = max((len(row) for row in rows), default=0)
    return any(inner.tag == "thead" for inner in inside) or (
        widest >= 3 and (len(rows) >= 3 or any(inner.tag == "tr" and inner.loop for inner in inside))
    )


def _list_structure(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.get("role") in ("presentation", "none"):
            continue
        if element.tag in ("ul", "ol") and element.get("role") in (None, "list"):
            wrong = next(
                (
                    child
                    for child in element.children
                    if child.native and child.tag not in ("li", "script", "template", "slot")
                ),
                None,
            )
            if (
                wrong is not None
                and wrong.tag in ("ul", "ol")
                and wrong.conditional
                and document.language == "html"
            ):
                continue  # One branch of a template opens the list of the next level, and another closes it.
            tally.check(
                wrong is None,
                wrong or element,
                f"<{wrong.tag if wrong else ''}> directly in a list is no item",
            )
        elif (
            element.tag == "li"
            and element.parent is not None
            and element.parent.native
            and not element.detached
        ):
            if element.get("role") is not None:
                continue
            ok = (
                element.parent.tag in ("ul", "ol", "menu", "template", "slot")
                or element.parent.get("role") == "list"
            )
            tally.check(ok, element, f"<li> is in <{element.parent.tag}>, not in a list")


def _scope(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if element.native and element.has("scope") and element.tag not in ("style", "slot", "template"):
            tally.check(element.tag == "th", element.attributes["scope"], "scope on a cell that is no header")


RULES: tuple[FileRule | ProjectRule, ...] = (
    FileRule(
        describe(
            "html-lang",
            _A11Y,
            Severity.SERIOUS,
            "The page says which language it is in",
            reason="A screen reader picks its voice by it.",
            fix='Set `<html lang="en">`, or the language of the page.',
            reference=wcag("3.1.1 Language of Page", "language-of-page"),
            shared=("axe:html-has-lang", "axe:html-lang-valid", "jsx-a11y:html-has-lang", "jsx-a11y:lang"),
        ),
        _html_lang,
    ),
    FileRule(
        describe(
            "document-title",
            _A11Y,
            Severity.SERIOUS,
            "Pages have a title",
            reason="The title is the first thing that is read out and the only thing on a tab.",
            fix="Add a `<title>` that names the page and the site.",
            reference=wcag("2.4.2 Page Titled", "page-titled"),
            shared=("axe:document-title",),
        ),
        _document_title,
    ),
    FileRule(
        describe(
            "heading-order",
            _A11Y,
            Severity.MODERATE,
            "Heading levels are not skipped",
            reason="Screen readers navigate by levels; a gap looks like missing content.",
            fix="Use the next level and style it as you like.",
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            confidence=Confidence.MEDIUM,
            shared=("axe:heading-order",),
        ),
        _heading_order,
    ),
    FileRule(
        describe(
            "duplicate-id",
            _A11Y,
            Severity.MODERATE,
            "Ids are unique",
            reason="Labels, descriptions and links reach only the first of them.",
            fix="Give each element an id of its own.",
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            shared=("axe:duplicate-id-aria",),
        ),
        _duplicate_id,
    ),
    FileRule(
        describe(
            "id-in-loop",
            _A11Y,
            Severity.MODERATE,
            "Items of a list get ids of their own",
            reason="Every label and description points to the first item.",
            fix="Build the id from the item's key.",
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            shared=("axe:duplicate-id-aria",),
        ),
        _id_in_loop,
    ),
    FileRule(
        describe(
            "table-headers",
            _A11Y,
            Severity.SERIOUS,
            "Data tables have header cells",
            reason="Without headers a screen reader reads figures of which nobody knows what they are.",
            fix='Use `<th scope="col">` and `<th scope="row">`; mark mere layout with `role="presentation"`.',
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            confidence=Confidence.MEDIUM,
        ),
        _table_headers,
    ),
    FileRule(
        describe(
            "list-structure",
            _A11Y,
            Severity.SERIOUS,
            "Lists hold items, and items are in lists",
            reason="The number of items and the place in the list are announced wrongly or not at all.",
            fix="Put only `<li>` directly into `<ul>` and `<ol>`.",
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            shared=("axe:list", "axe:listitem"),
        ),
        _list_structure,
    ),
    FileRule(
        describe(
            "scope-on-header",
            _A11Y,
            Severity.MODERATE,
            "Only header cells have a scope",
            reason="On other cells it does nothing, so the table lacks the header that was meant.",
            fix="Make the cell a `<th>`.",
            reference=wcag("1.3.1 Info and Relationships", "info-and-relationships"),
            shared=("axe:scope-attr-valid", "jsx-a11y:scope"),
        ),
        _scope,
    ),
)
