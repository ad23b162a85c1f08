"""Rules on strings that become markup, and on writing to the page directly."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Attribute
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Position, Tally, describe, mdn, page

_COMPONENTS = Category.COMPONENTS
_REACT = "https://react.dev/"

_SAFE_HTML = re.compile(
    r"sanitiz|sanitis|purify|escape|codeToHtml|highlight|hljs|prism|katex|renderToString|JSON\.stringify|svg|icon|trustedHtml|safeHtml",
    re.I,
)


_MARKDOWN_HTML = re.compile(
    r"\bmarked\b|markdown|\bmd\.render|\bremark\b|\bshowdown\b|micromark|snarkdown", re.I
)


_DOM_WRITE = re.compile(
    r"^(?:window\.)?document\.(?:getElementById|querySelector)\([^)]*\)[!?]?\.(?:innerHTML|innerText|textContent|value|className|style\.\w+|checked|disabled|hidden)$"
)


def _html_sinks(document: Document) -> Iterator[tuple[Attribute | Position, str]]:
    """Places where a string becomes HTML, with the expression."""
    for element in document.elements:
        if element.tag in ("script", "style") or element.get("type") == "application/ld+json":
            continue
        for name in ("dangerouslysetinnerhtml", "v-html", "{@html}"):
            attribute = element.attributes.get(name)
            if attribute is not None:
                yield (
                    attribute,
                    re.sub(r"^\{?\s*__html\s*:\s*", "", attribute.expression.strip("{ \n")).rstrip("} \n,"),
                )
    for script in document.scripts:
        for item in script.items("assignment_expression"):
            left = script.text(item.node.child_by_field_name("left"))
            if left.endswith((".innerHTML", ".outerHTML")):
                right = item.node.child_by_field_name("right")
                yield Position(item.line, item.column), script.code_of(right) if right is not None else ""


def _safe_html(document: Document, expression: str) -> bool:
    """Whether HTML is constant, or made safe here or where its variable gets its value."""
    bare = expression.strip()
    if (
        _SAFE_HTML.search(bare)
        or not bare
        or re.fullmatch(r""""[^"]*"|'[^']*'|`[^`$]*`|null|undefined""", bare)
    ):
        return True
    name = re.match(r"(?:this\.)?([A-Za-z_$][\w$]*)", bare)
    if name is None:
        return False
    local = name.group(1)
    for script in document.scripts:
        # A method or function that sanitises what it returns: `descriptionHTML() { return sanitize(…) }`.
        body = re.search(
            rf"^([ \t]*)(?:(?:async|function|get) +)*{re.escape(local)}\([^)\n]*\) *\{{\n(.{{0,2000}}?)^\1\}}",
            script.code_text,
            re.M | re.S,
        )
        if body and re.search(r"sanitiz|sanitis|purify", body.group(2), re.I):
            return True
        if local in script.imported:
            return not _MARKDOWN_HTML.search(script.imported[local].module)
        for match in re.finditer(
            rf"\b{re.escape(local)}\b(?:\s*:[^=;\n]+)?\s*=(?!=)([^;]{{0,400}})", script.code_text
        ):
            value = match.group(1)
            if _SAFE_HTML.search(value.split("\n\n")[0]) or re.match(r"\s*(?:['\"`][^$]*['\"`])\s*$", value):
                return True
        # Computed in a memo or effect: `const html = useMemo(() => sanitize(x))`.
        if re.search(
            rf"set{re.escape(local[:1].upper() + local[1:])}\([^;\n]*(?:sanitiz|purify)",
            script.code_text,
            re.I,
        ):
            return True
    return False


def _raw_html(document: Document, tally: Tally) -> None:
    for place, expression in _html_sinks(document):
        if not _MARKDOWN_HTML.search(expression) and not _from_markdown(document, expression):
            tally.check(
                _safe_html(document, expression),
                place,
                f"{expression[:60]} becomes HTML without being sanitised",
            )


def _unsafe_markdown(document: Document, tally: Tally) -> None:
    for place, expression in _html_sinks(document):
        if _MARKDOWN_HTML.search(expression):
            if _shipped_text(document, expression):
                tally.passed()
                continue
            tally.check(
                _safe_html(document, expression),
                place,
                "Markdown becomes HTML unsanitised: it may contain script",
            )
            continue
        if _from_markdown(document, expression) and not _safe_html(document, expression):
            tally.failed(place, "Markdown becomes HTML unsanitised: it may contain script")


def _shipped_text(document: Document, expression: str) -> bool:
    """Whether the Markdown is a file of the project, imported as text."""
    return any(
        re.search(rf"\b{re.escape(entry.local)}\b", expression) and re.search(r"\?raw$|\.md$", entry.module)
        for script in document.scripts
        for entry in script.imports
        if entry.local
    )


def _from_markdown(document: Document, expression: str) -> bool:
    """Whether the variable that HTML comes from gets rendered Markdown."""
    name = re.match(r"\s*([A-Za-z_$][\w$]*)", expression)
    if name is None:
        return False
    for script in document.scripts:
        for match in re.finditer(
            rf"\b{re.escape(name.group(1))}\b(?:\s*:[^=;\n]+)?\s*=(?!=)([^;]{{0,300}})", script.code_text
        ):
            if _MARKDOWN_HTML.search(match.group(1)):
                return True
    return False


def _target_blank(document: Document, tally: Tally) -> None:
    for element in document.elements:
        if (
            not element.native
            or element.tag not in ("a", "area", "form")
            or element.get("target") != "_blank"
            or element.spread
        ):
            continue
        href = element.attributes.get("href")
        if href is None or not (href.dynamic or re.match(r"(?:https?:)?//", href.value or "")):
            continue
        rel = element.attributes.get("rel")
        ok = rel is not None and (
            rel.dynamic or bool({"noopener", "noreferrer"} & set((rel.value or "").split()))
        )
        tally.check(ok, element, 'target="_blank" without rel="noopener"')


def _direct_dom(document: Document, tally: Tally) -> None:
    if document.framework not in ("react", "vue", "svelte") or not document.elements:
        return
    for script in document.scripts:
        for item in script.items("assignment_expression"):
            left = script.text(item.node.child_by_field_name("left"))
            if left.startswith(("document.get", "document.query", "window.document")):
                tally.check(
                    _DOM_WRITE.match(left) is None,
                    item,
                    f"{left[:60]} is changed behind the back of {document.framework.title()}",
                )
    tally.passed()


RULES = (
    FileRule(
        describe(
            "raw-html",
            _COMPONENTS,
            Severity.SERIOUS,
            "Strings do not become HTML unchecked",
            reason="Whoever can put text there can run script as the user.",
            fix="Render it as text, or sanitise it first (DOMPurify).",
            reference=mdn("Cross-site scripting", "Web/Security/Attacks/XSS"),
            confidence=Confidence.MEDIUM,
        ),
        _raw_html,
    ),
    FileRule(
        describe(
            "unsafe-markdown",
            _COMPONENTS,
            Severity.SERIOUS,
            "Rendered Markdown cannot run script",
            reason="Whoever writes it can write script: users, web pages, and a model that repeats what it read.",
            fix="Sanitise the HTML (DOMPurify), or use a renderer that makes elements instead of HTML.",
            reference=page(
                "OWASP: LLM05 Improper output handling",
                "https://genai.owasp.org/llmrisk/llm052025-improper-output-handling/",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _unsafe_markdown,
    ),
    FileRule(
        describe(
            "target-blank",
            _COMPONENTS,
            Severity.MINOR,
            "Links into new tabs give nothing away",
            reason="Old browsers let the other page navigate this one.",
            fix='Add `rel="noopener"`.',
            reference=mdn("rel=noopener", "Web/HTML/Reference/Attributes/rel/noopener"),
        ),
        _target_blank,
    ),
    FileRule(
        describe(
            "direct-dom-write",
            _COMPONENTS,
            Severity.MODERATE,
            "Components do not write to the DOM directly",
            reason="The next render overwrites the change, or breaks on it.",
            fix="Keep the value in state and render it.",
            reference=page(
                "React: Manipulating the DOM with refs",
                _REACT + "learn/manipulating-the-dom-with-refs#best-practices-for-dom-manipulation-with-refs",
            ),
        ),
        _direct_dom,
    ),
)
