"""Rules on what is loaded, and when."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Element
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, mdn
from connectors.ui_analyzer.script import Script
from connectors.ui_analyzer.syntax import Syntax

_PERFORMANCE = Category.PERFORMANCE

_EXTERNAL = re.compile(r"^(?:https?:)?//(?!localhost|127\.)", re.I)


_WHOLE_LIBRARIES = {
    "lodash": "import the function (`lodash-es`, or `lodash/debounce`)",
    "underscore": "import the function",
    "moment": "use `Intl`, `date-fns` or `dayjs`",
    "rxjs/Rx": "import from `rxjs`",
    "antd/dist/antd.css": "import the styles of the components in use",
    "jquery": "use the DOM directly",
    "aws-sdk": "import the client in use from `@aws-sdk/client-…`",
}


_WHOLE_NAMESPACES = re.compile(
    r"^(?:lodash|react-icons/\w+|@mui/icons-material|@heroicons/react/.*|three|d3|@fortawesome/free-\w+-svg-icons|date-fns|@tabler/icons-react|lucide-react|@ant-design/icons)$"
)


_ROUTES_MIN = 5


def _script_blocking(document: Document, tally: Tally) -> None:
    if document.full_page is None:
        return
    for element in document.elements:
        if element.tag != "script" or not element.has("src"):
            continue
        in_head = any(around.tag == "head" for around in element.ancestors())
        deferred = element.has("defer", "async") or element.get("type") in (
            "module",
            "application/json",
            "importmap",
            "speculationrules",
        )
        if in_head:
            tally.check(
                deferred, element, "this script stops the page from being drawn until it has loaded and run"
            )


def _css_import(document: Document, tally: Tally) -> None:
    for sheet in document.sheets:
        for statement in sheet.statements:
            if statement.name == "import":
                external = re.match(r"""(?:url\()?\s*["']?(?:https?:)?//""", statement.prelude) is not None
                tally.check(
                    not external, statement, "@import of another host loads only after this sheet has arrived"
                )


def _font_display(document: Document, tally: Tally) -> None:
    for rule in document.style_rules:
        if rule.selector == "@font-face" and re.search(r"url\(\s*['\"]?(?!data:)", rule.value("src") or ""):
            # Letters in place of icons would be worse than nothing, so these fonts may block.
            icons = (
                re.search(
                    r"ico(?:n|moon)|awesome|glyph|material|symbol|fontello|emoji",
                    rule.value("font-family") or "",
                    re.I,
                )
                is not None
            )
            tally.check(
                icons or rule.value("font-display") not in (None, "block", "auto"),
                rule,
                "text stays invisible while this font loads",
            )


def _third_party(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if not element.native or element.tag not in ("script", "link") or document.language != "html":
            continue
        source = element.get("src" if element.tag == "script" else "href") or ""
        sheet = element.tag == "script" or "stylesheet" in (element.get("rel") or "").lower()
        if not source or not sheet:
            continue
        external = _EXTERNAL.match(source) is not None
        dynamic = (
            re.search(
                r"fonts\.googleapis|googletagmanager|js\.stripe|maps\.googleapis|/gtag/|recaptcha|analytics",
                source,
            )
            is not None
        )
        tally.check(
            not external or dynamic or element.has("integrity"),
            element,
            f"{source[:80]} is run unchecked from another host",
        )


def library_facts(document: Document) -> Iterator[Fact]:
    """Libraries that are imported as a whole."""
    if document.server:
        return
    for script in document.scripts:
        told: set[int] = set()
        for entry in script.imports:
            if entry.item.start in told:
                continue  # One statement, however many names it imports.
            told.add(entry.item.start)
            if entry.type_only or not entry.module or entry.module.startswith("."):
                continue
            advice = _WHOLE_LIBRARIES.get(entry.module)
            what = ""
            if (advice is not None and entry.imported in ("default", "*", "")) or (
                advice is not None and entry.module == "lodash"
            ):
                what = f"the whole of {entry.module} is loaded: {advice}"
            elif (
                entry.imported == "*"
                and _WHOLE_NAMESPACES.match(entry.module)
                and _used_dynamically(script, entry.local)
            ):
                what = f"all of {entry.module} is loaded: import the parts by name"
            if what:
                yield Fact(
                    kind="loads-whole",
                    name=entry.module,
                    value=what,
                    line=entry.item.line,
                    column=entry.item.column,
                )


def _whole_library(project: Project, tally: Tally) -> None:
    for module in sorted(project.names("loads-whole")):
        if project.has("imports-in-part", module):
            continue
        # Once for a library: it is loaded once, however many files import it.
        places = [located for located in project.of("loads-whole") if located.fact.name == module]
        more = f" ({len(places)} files import it)" if len(places) > 1 else ""
        tally.failed(places[0], places[0].fact.value + more, path=places[0].path)


def _used_dynamically(script: Script, local: str) -> bool:
    return re.search(rf"\b{re.escape(local)}\s*\[", script.code_text) is not None


def _large_inline(document: Document, tally: Tally) -> None:
    for element in document.elements:
        source = element.get("src") if element.native else None
        if source and element.tag in ("img", "source", "video", "audio"):
            heavy = source.startswith("data:") and len(source) > 10_000
            tally.check(not heavy, element, f"{len(source) // 1024} KB of data are part of the markup")
    for rule in document.style_rules:
        for declaration in rule.declarations:
            if "url(" in declaration.value:
                heavy = (
                    "url(data:" in declaration.value.replace('"', "").replace("'", "")
                    and len(declaration.value) > 10_000
                )
                tally.check(
                    not heavy,
                    declaration,
                    f"{len(declaration.value) // 1024} KB of data are part of the stylesheet",
                )


def _route_splitting(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        router = any(
            re.match(
                r"(?:react-router(?:-dom)?|vue-router|@tanstack/react-router|wouter|svelte-routing|svelte-spa-router)$",
                module,
            )
            for module in script.modules
        )
        if not router:
            continue
        static = _static_routes(document, script)
        lazy = re.search(r"\bimport\s*\(|\blazy\s*\(", script.code_text) is not None
        if len(static) >= _ROUTES_MIN or lazy:
            tally.check(
                lazy,
                static[0] if static else script.tree.items[0],
                f"{len(static)} pages are loaded at once, whichever is visited",
            )


def _static_routes(document: Document, script: Script) -> list[Element | Syntax]:
    imported = {
        entry.local
        for entry in script.imports
        if not entry.type_only and (entry.module.startswith((".", "@/", "~/", "src/")))
    }
    found: list[Element | Syntax] = []
    for element in document.elements:
        if element.tag == "Route" and (
            target := element.attributes.get("element") or element.attributes.get("component")
        ):
            name = re.match(r"<?\s*(\w+)", target.expression)
            if name and name.group(1) in imported:
                found.append(element)
    if not found:
        items = script.items("call_expression")
        at = next(
            (
                i
                for i in items
                if re.search(
                    r"create\w*Router$|useRoutes$", script.text(i.node.child_by_field_name("function"))
                )
            ),
            None,
        )
        names = {
            name
            for name in re.findall(r"\b(?:component|Component|element)\s*:\s*<?\s*(\w+)", script.code_text)
            if name in imported
        }
        if at is not None:
            found = [at] * len(names)
    return found


RULES: tuple[FileRule | ProjectRule, ...] = (
    FileRule(
        describe(
            "blocking-script",
            _PERFORMANCE,
            Severity.MODERATE,
            "Scripts do not block the first paint",
            reason="The screen stays white until the script has arrived and run.",
            fix='Add `defer`, or `type="module"`.',
            reference=mdn("script: defer", "Web/HTML/Reference/Elements/script#defer"),
        ),
        _script_blocking,
    ),
    FileRule(
        describe(
            "css-import",
            _PERFORMANCE,
            Severity.MODERATE,
            "Stylesheets do not import from other hosts",
            reason="Each one costs another round trip before anything is drawn.",
            fix='Use `<link rel="stylesheet">` with preconnect, or host the file.',
            negative=True,
            reference=mdn("@import", "Web/CSS/Reference/At-rules/@import"),
        ),
        _css_import,
    ),
    FileRule(
        describe(
            "font-display",
            _PERFORMANCE,
            Severity.MINOR,
            "Text is visible while fonts load",
            reason="On a slow line the text is missing for up to three seconds.",
            fix="Set `font-display: swap` or `optional`.",
            reference=mdn("font-display", "Web/CSS/Reference/At-rules/@font-face/font-display"),
        ),
        _font_display,
    ),
    FileRule(
        describe(
            "third-party-integrity",
            _PERFORMANCE,
            Severity.MODERATE,
            "Scripts and styles of other hosts are checked",
            reason="Whoever controls that host controls the page; and each host costs another connection.",
            fix="Host the file, or add `integrity` and `crossorigin`.",
            reference=mdn("Subresource Integrity", "Web/Security/Defenses/Subresource_Integrity"),
        ),
        _third_party,
    ),
    ProjectRule(
        describe(
            "whole-library",
            _PERFORMANCE,
            Severity.MODERATE,
            "Libraries are imported in part",
            reason="Code that is never used is loaded and parsed on every visit.",
            fix="Import what is used, by name, from a package that can be shaken.",
            negative=True,
            reference=mdn("Tree shaking", "Glossary/Tree_shaking"),
            confidence=Confidence.MEDIUM,
        ),
        _whole_library,
    ),
    FileRule(
        describe(
            "large-inline-data",
            _PERFORMANCE,
            Severity.MINOR,
            "Large data is not inlined",
            reason="It cannot be cached by itself and delays everything behind it.",
            fix="Put it into a file.",
            negative=True,
            reference=mdn("data: URLs", "Web/URI/Reference/Schemes/data"),
        ),
        _large_inline,
    ),
    FileRule(
        describe(
            "route-splitting",
            _PERFORMANCE,
            Severity.MODERATE,
            "Pages are loaded when they are visited",
            reason="The first visit pays for all pages.",
            fix='Import the page in its route: `lazy(() => import("./Page"))`.',
            reference=mdn("Code splitting", "Glossary/Code_splitting"),
            confidence=Confidence.MEDIUM,
        ),
        _route_splitting,
    ),
)
