"""Rules on the structure of documents and on ARIA."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.aria import ATTRIBUTES, AUTOCOMPLETE, REQUIRED, ROLES, VALUES
from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import hidden
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, wcag

_A11Y = Category.ACCESSIBILITY
_HEADING = re.compile(r"h([1-6])$")
_LANGUAGE_TAG = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8})*$|x-[\w-]+$|i-[\w-]+$")
_PAGE_ELEMENTS_MIN = 5
"""A body with fewer elements is a shell that script fills."""
_REFERRING = ("for", "aria-labelledby", "aria-describedby", "aria-controls", "aria-owns", "list", "headers")


def _html_lang(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if element.tag != "html" or not element.native or element.spread:
            continue
        lang = element.attributes.get("lang") or element.attributes.get("xml:lang")
        if lang is None:
            tally.failed(element, "<html> has no lang")
        elif lang.dynamic or _placeholder(lang.value or ""):
            tally.passed()
        else:
            tally.check(
                _LANGUAGE_TAG.match((lang.value or "").strip()) is not None,
                lang,
                f'lang="{lang.value}" is no language',
            )


def _placeholder(value: str) -> bool:
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
    tally.check(
        title is not None and bool(title.texts or title.dynamic_content),
        title or head,
        "the page has no title",
    )


def _heading_order(document: Document, tally: Tally) -> None:
    last = 0
    for element in document.elements:
        match = _HEADING.match(element.tag) if element.native else None
        if match is None or hidden(element) or element.detached:
            continue
        level = int(match.group(1))
        if last and not element.conditional:
            tally.check(level <= last + 1, element, f"<h{level}> follows <h{last}>")
        last = level if not element.conditional else min(level, last or level)


def _landmark_main(project: Project, tally: Tally) -> None:
    mains = {located.path for located in project.of("main-landmark")}
    for entry in project.of("page"):
        # A page with content of its own needs its own landmark; a shell is filled by components.
        ok = entry.path in mains if entry.fact.value == "content" else bool(mains)
        if ok:
            tally.passed()
        else:
            tally.failed(entry, "nothing on this page is a <main>", path=entry.path)


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
            allowed = VALUES.get(name[5:]) if name.startswith("aria-") else None
            if allowed is None or attribute.dynamic or _placeholder(attribute.value or ""):
                continue
            bare = attribute.value == "" and document.language not in ("html",)
            value = (attribute.value or "").strip().lower()
            tally.check(bare or value in allowed, attribute, f'{name}="{attribute.value}" is not allowed')


def _aria_role(document: Document, tally: Tally) -> None:
    for element in document.elements:
        role = element.attributes.get("role")
        if not element.native or role is None or role.dynamic or _placeholder(role.value or ""):
            continue
        words = (role.value or "").lower().split()
        unknown = [word for word in words if word not in ROLES]
        tally.check(bool(words) and not unknown, role, f'role="{role.value}" does not exist')


def _aria_required(document: Document, tally: Tally) -> None:
    for element in document.elements:
        role = (element.get("role") or "").strip()
        needed = REQUIRED.get(role)
        if needed is None or not element.native or element.spread:
            continue
        if element.tag == "input" or (role == "heading" and _HEADING.match(element.tag)):
            continue
        missing = [name for name in needed if not element.has(f"aria-{name}")]
        tally.check(not missing, element, f'role="{role}" needs aria-{missing[0] if missing else ""}')


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
            or element.loop
            or first.loop
            or _roots_differ(first, element)
        ):
            continue
        else:
            severity = Severity.SERIOUS if identifier in referred else None
            tally.failed(
                element, f'the id "{identifier}" is already taken on line {first.line}', severity=severity
            )


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
        if len(cells) >= 2:
            tally.check(headers, element, "this table has no header cells")


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
        if element.native and element.has("scope") and element.tag in ("th", "td"):
            tally.check(element.tag == "th", element.attributes["scope"], "scope on a cell that is no header")


def _moving(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if element.native and element.tag in ("marquee", "blink"):
            tally.failed(element, f"<{element.tag}> moves without end and cannot be stopped")


def _viewport_zoom(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag != "meta" or (element.get("name") or "").lower() != "viewport":
            continue
        content = element.attributes.get("content")
        if content is None or content.value is None:
            continue
        settings = dict(
            ([*part.split("=", 1), ""])[:2]
            for part in re.split(r"[,;\s]+", content.value.replace(" =", "=").replace("= ", "=").lower())
            if part
        )
        scalable = settings.get("user-scalable", "yes") not in ("no", "0")
        try:
            most = float(settings.get("maximum-scale", "10"))
        except ValueError:
            most = 10.0
        tally.check(
            scalable and (most < 0 or most >= 2),
            element,
            f'content="{content.value}" keeps people from zooming',
        )


def _media_captions(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag != "video" or element.spread:
            continue
        muted = element.attributes.get("muted")
        if muted is not None or element.get("role") == "presentation" or hidden(element):
            continue
        if element.unknown_content() or element.has("on:timeupdate") or not element.has("controls"):
            continue
        tracks = [inner for inner in element.descendants() if inner.tag == "track"]
        ok = any(
            track.spread
            or track.get("kind") in ("captions", "subtitles")
            or (track.has("kind") and track.get("kind") is None)
            for track in tracks
        )
        tally.check(ok, element, "<video> has no captions")


def _media_autoplay(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if element.native and element.tag in ("video", "audio") and not element.spread:
            autoplay = element.attributes.get("autoplay")
            if autoplay is None:
                tally.passed()
            elif autoplay.value not in (None, "false"):
                tally.check(element.has("muted"), autoplay, f"<{element.tag}> starts with sound")


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
        tally.check(not unknown, attribute, f'autocomplete="{attribute.value}" has no meaning')


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
    FileRule(
        describe(
            "moving-elements",
            _A11Y,
            Severity.SERIOUS,
            "Nothing blinks or scrolls by itself",
            reason="Who is easily distracted, or reads slowly, cannot read anything beside it.",
            fix="Show the text at rest.",
            reference=wcag("2.2.2 Pause, Stop, Hide", "pause-stop-hide"),
            shared=("axe:marquee", "axe:blink", "jsx-a11y:no-distracting-elements"),
        ),
        _moving,
    ),
    FileRule(
        describe(
            "viewport-zoom",
            _A11Y,
            Severity.CRITICAL,
            "The page can be zoomed",
            reason="Who sees poorly cannot enlarge the text.",
            fix="Drop `user-scalable=no` and any `maximum-scale` below 2.",
            reference=wcag("1.4.4 Resize Text", "resize-text"),
            shared=("axe:meta-viewport",),
        ),
        _viewport_zoom,
    ),
    FileRule(
        describe(
            "media-captions",
            _A11Y,
            Severity.SERIOUS,
            "Videos have captions",
            reason="Who cannot hear misses what is said.",
            fix='Add `<track kind="captions">`, or `muted` when the video has no sound.',
            reference=wcag("1.2.2 Captions (Prerecorded)", "captions-prerecorded"),
            confidence=Confidence.MEDIUM,
            shared=("axe:video-caption", "jsx-a11y:media-has-caption"),
        ),
        _media_captions,
    ),
    FileRule(
        describe(
            "media-autoplay",
            _A11Y,
            Severity.MODERATE,
            "Nothing starts with sound",
            reason="Sound drowns out the screen reader.",
            fix="Start muted, or only on request.",
            reference=wcag("1.4.2 Audio Control", "audio-control"),
            shared=("axe:no-autoplay-audio",),
        ),
        _media_autoplay,
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


def landmark_facts(document: Document) -> Iterator[Fact]:
    """Whole pages, and main landmarks wherever they are rendered."""
    root = document.full_page
    if root is not None:
        body = next((child for child in root.children if child.tag == "body"), root)
        inside = [
            element for element in body.descendants() if element.tag not in ("script", "noscript", "style")
        ]
        filled = "content" if len(inside) >= _PAGE_ELEMENTS_MIN else "shell"
        yield Fact(kind="page", name=document.path, value=filled, line=body.line, column=body.column)
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
