"""Rules on strings that become markup, and on writing to the page directly."""

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.markup import Attribute
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.provenance import from_outside
from connectors.ui_analyzer.rule import Fact, FileRule, Position, Tally, describe, mdn, page
from connectors.ui_analyzer.script import Script
from connectors.ui_analyzer.sources import returned
from connectors.ui_analyzer.values import SANITISING_MODULES, expression_of, harmless

_COMPONENTS = Category.COMPONENTS
_REACT = "https://react.dev/"

_MARKDOWN_HTML = re.compile(
    r"\bmarked\b|markdown|\bmd\.render|\bremark\b|\bshowdown\b|micromark|snarkdown", re.I
)


@dataclass(frozen=True, slots=True)
class _Sink:
    """A place where a string becomes HTML, with the expression that gives it."""

    place: Attribute | Position
    written: str
    script: Script
    node: Node


def _html_sinks(document: Document) -> Iterator[_Sink]:
    for element in document.elements:
        if element.tag == "style" or element.get("type") in ("application/ld+json", "application/json"):
            continue
        for name in ("dangerouslysetinnerhtml", "v-html", "{@html}"):
            attribute = element.attributes.get(name)
            parsed = expression_of(attribute.expression, document.deadline) if attribute is not None else None
            if attribute is not None and parsed is not None:
                script, node = parsed
                node = _html_of(script, node) if name == "dangerouslysetinnerhtml" else node
                yield _Sink(attribute, " ".join(script.text(node).split()), script, node)
    for script in document.scripts:
        for item in script.items("assignment_expression", "augmented_assignment_expression"):
            left = script.text(item.node.child_by_field_name("left"))
            right = item.node.child_by_field_name("right")
            if (
                left.endswith((".innerHTML", ".outerHTML"))
                and right is not None
                and not _styles(script, left)
            ):
                yield _Sink(
                    Position(item.line, item.column), " ".join(script.code_of(right).split()), script, right
                )
        for call in script.calls:
            if call.name == "insertAdjacentHTML" and len(call.arguments) == 2:
                written = " ".join(script.code_of(call.arguments[1]).split())
                yield _Sink(Position(call.item.line, call.item.column), written, script, call.arguments[1])


def _styles(script: Script, left: str) -> bool:
    """Whether the element that is filled is a `<style>` that the file made: what is inside is no markup."""
    name = re.escape(left.rsplit(".", 1)[0])
    return (
        re.search(rf"(?<![\w$.]){name}\s*=\s*(?:\w+\.)*createElement\(\s*['\"]style['\"]", script.code_text)
        is not None
    )


def _html_of(script: Script, node: Node) -> Node:
    """The value of `__html` in an object that is written out, otherwise the object."""
    for part in node.named_children if node.type == "object" else ():
        if part.type == "pair" and script.text(part.child_by_field_name("key")) == "__html":
            return part.child_by_field_name("value") or node
    return node


def _raw_html(document: Document, tally: Tally) -> None:
    for sink in _html_sinks(document):
        if not _MARKDOWN_HTML.search(_without_texts(sink.written)) and not _from_markdown(
            document, sink.written
        ):
            if harmless(document, sink.script, sink.node):
                tally.passed()
            elif _from_loader(document, sink):
                tally.depends(
                    sink.place,
                    f"{sink.written[:60]} becomes HTML, and nothing here sanitises it",
                    (),
                    frozenset(),
                    excused_by=(("loads-sanitised", posixpath.dirname(document.path)),),
                )
            elif not _project_sanitiser(document, sink):
                _judge(document, tally, sink)


def _judge(document: Document, tally: Tally, sink: _Sink) -> None:
    message = f"{sink.written[:60]} becomes HTML, and nothing here sanitises it"
    kept = re.search(r"\.([A-Za-z_$][\w$]*)(?:\s*(?:\|\||\?\?)\s*(?:''|\"\"|``))?$", sink.written)
    if (
        _rendered_by_server(sink)
        or _made_elsewhere(document, sink.written)
        or _given_by_plugin(document, sink.written)
        or not from_outside(document, sink.script, sink.node)
        or any(module in _TEMPLATE_ENGINES for script in document.scripts for module in script.modules)
    ):
        tally.failed(sink.place, message, confidence=Confidence.LOW)
    elif kept is not None:
        tally.depends(
            sink.place, message, (), frozenset(), excused_by=(("sanitised-property", kept.group(1)),)
        )
    else:
        tally.failed(sink.place, message)


_TEMPLATE_ENGINES = frozenset({"nunjucks", "handlebars", "mustache", "eta", "hogan.js"})
"""Modules whose templates escape what is put into them."""
_SANITISED = re.compile(
    r"\.([A-Za-z_$][\w$]*)\s*=\s*(?:await\s+)?[\w$.]*(?:[sS]aniti[sz]e|DOMPurify|[pP]urify)[\w$.]*\(|"
    r"\b([A-Za-z_$][\w$]*)\s*:\s*(?:await\s+)?[\w$.]*(?:[sS]aniti[sz]e|DOMPurify|[pP]urify)[\w$.]*\("
)


def sanitised_facts(document: Document) -> Iterator[Fact]:
    """Properties that a file of the project sanitises, on the server or where they are fetched: `row.body = sanitize(…)`."""
    for script in document.scripts:
        if b"aniti" in document.source or b"urify" in document.source:
            for match in _SANITISED.finditer(script.code_text):
                yield Fact(kind="sanitised-property", name=match.group(1) or match.group(2))


def _given_by_plugin(document: Document, written: str) -> bool:
    """Whether a Vue component gets it from a plugin (`$texts.intro`) or a mixin, which this file does not show."""
    if document.language != "vue":
        return False
    name = re.match(r"(?:this\.)?([A-Za-z_$][\w$]*)", written)
    if name is None:
        return False
    if name.group(1).startswith("$") and not name.group(1).startswith(
        ("$route", "$attrs", "$props", "$store")
    ):
        return True
    mixed = any(re.search(r"\bmixins\s*:|\bextends\s*:", script.code_text) for script in document.scripts)
    return (
        mixed
        and re.match(r"(?:this\.)?[\w$]+\(", written) is not None
        and not any(
            name.group(1) in script.named_functions or name.group(1) in script.imported
            for script in document.scripts
        )
    )


_LOADER = re.compile(r"(?:^|/)\+(?:page|layout)(?:\.server)?\.[jt]s$")


def _from_loader(document: Document, sink: _Sink) -> bool:
    """Whether it is what the `load` of a route of SvelteKit gave to its page."""
    return document.path.endswith(".svelte") and sink.written.startswith("data.")


def loader_facts(document: Document) -> Iterator[Fact]:
    """Which routes sanitise what they load."""
    if _LOADER.search(document.path) and any(
        SANITISING_MODULES.match(module) for script in document.scripts for module in script.modules
    ):
        yield Fact(kind="loads-sanitised", name=posixpath.dirname(document.path))


def _made_elsewhere(document: Document, written: str) -> bool:
    """Whether a function of the file only hands on what one of another file makes of it."""
    called = re.match(r"([A-Za-z_$][\w$]*)\(", written)
    if called is None:
        return False
    for script in document.scripts:
        function = script.named_functions.get(called.group(1))
        body = function.node.child_by_field_name("body") if function is not None else None
        if body is not None:
            outcomes = [body] if body.type != "statement_block" else list(returned(body))
            if outcomes and all(_project_renderer(document, script.text(value)) for value in outcomes):
                return True
    return False


def _rendered_by_server(sink: _Sink) -> bool:
    """Whether it is a whole answer of a server, read as text: a piece of a page that was made there."""
    answer = re.fullmatch(r"([A-Za-z_$][\w$]*)\.data", sink.written)
    if answer is not None:
        # The whole of what a client of requests got.
        name = re.escape(answer.group(1))
        return (
            re.search(
                rf"\.then\(\s*(?:async\s*)?\(?\s*{name}\s*\)?\s*=>|(?<![\w$.]){name}\s*=\s*await\b[^;\n]*\.(?:get|post|put)\(",
                sink.script.code_text,
            )
            is not None
        )
    if re.fullmatch(r"[A-Za-z_$][\w$]*", sink.written) is None:
        return False
    name = re.escape(sink.written)
    if re.search(
        rf"(?<![\w$])(?:success|complete)\s*(?::\s*function)?\s*\w*\(\s*{name}\s*[,)]|"
        rf"(?:\$|jQuery)\.(?:get|post)\([^;{{}}]*?(?:function\s*\w*\(\s*{name}\s*[,)]|\(?\s*{name}\s*\)?\s*=>)|"
        rf"\.done\(\s*(?:function\s*\w*\(\s*{name}\s*[,)]|\(?\s*{name}\s*\)?\s*=>)",
        sink.script.code_text,
    ):
        return True
    return (
        re.search(
            rf"(?<![\w$.]){name}\s*=\s*await\s+[^;\n]{{1,200}}\.text\(\)|"
            rf"\.text\(\)\s*;?\s*\}}?\s*\)\s*\.then\(\s*(?:async\s*)?(?:function\s*\w*\s*)?\(?\s*{name}\s*(?:\)|=>)",
            sink.script.code_text,
        )
        is not None
    )


def _project_sanitiser(document: Document, sink: _Sink) -> bool:
    """Whether a function of another file that is called a sanitiser made it: nothing is said of it either way."""
    names = {
        entry.local
        for script in document.scripts
        for entry in script.imports
        if re.search(r"sanitiz|sanitis|purify|escape|safe|highlight|icon|svg", entry.local, re.I)
    }
    written = sink.written
    for script in document.scripts:
        for name in re.findall(r"[A-Za-z_$][\w$]*", sink.written):
            for match in re.finditer(
                rf"\b{re.escape(name)}\b(?:\s*:[^=;\n]+)?\s*=(?!=)([^;]{{0,400}})", script.code_text
            ):
                written += " " + match.group(1)
    return any(re.search(rf"(?<![\w$.]){re.escape(name)}(?:\.\w+)*\s*\(", written) for name in names)


def _unsafe_markdown(document: Document, tally: Tally) -> None:
    for sink in _html_sinks(document):
        if _MARKDOWN_HTML.search(_without_texts(sink.written)):
            if _shipped_text(document, sink.written):
                tally.passed()
                continue
        elif not _from_markdown(document, sink.written):
            continue
        if _escaping_renderer(document):
            tally.passed()
            continue
        if harmless(document, sink.script, sink.node):
            tally.passed()
        elif not _project_sanitiser(document, sink):
            tally.failed(
                sink.place,
                f"Markdown becomes HTML unsanitised ({sink.written[:40]}): it may contain script",
                confidence=Confidence.LOW if _project_renderer(document, sink.written) else None,
            )


def _project_renderer(document: Document, written: str) -> bool:
    """Whether a function of another file of the project makes it: what that does is not seen here."""
    called = re.match(r"(?:await\s+)?([A-Za-z_$][\w$]*)(?:\.\w+)*\(", written)
    return called is not None and any(
        called.group(1) in script.imported
        and script.imported[called.group(1)].module.startswith((".", "@/", "~", "$", "#", "src/", "/"))
        for script in document.scripts
    )


def _escaping_renderer(document: Document) -> bool:
    """Whether the renderer is markdown-it as it comes: it shows HTML as text unless `html: true` says otherwise."""
    return any("markdown-it" in script.modules for script in document.scripts) and not any(
        re.search(r"\bhtml\s*:\s*(?!false\b)", script.code_text) for script in document.scripts
    )


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
            if _MARKDOWN_HTML.search(_without_texts(match.group(1))):
                return True
    return False


def _without_texts(code: str) -> str:
    """Code without what its strings say: a text may speak of anything."""
    return re.sub(r"'[^'\n]*'|\"[^\"\n]*\"", "''", code)


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
)
