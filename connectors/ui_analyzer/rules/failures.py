"""Rules on what the interface does when something fails, is pending, or cannot be undone."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.handlers import handler_code
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.naming import translated
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, mdn, page, wcag
from connectors.ui_analyzer.syntax import Syntax

_ERRORS = Category.ERRORS
_DESTRUCTIVE = re.compile(
    r"^(?:delete|remove|destroy|erase|wipe|clear all|reset all|deactivate|terminate)\b", re.I
)
_SAFETY_NET = re.compile(
    r"confirm|dialog|modal|undo|popconfirm|alertdialog|are you sure|restore|trash|sheet|popover", re.I
)
_DESTROYS = re.compile(
    r"method:\s*['\"`]DELETE|(?:axios|api|client|http|apiClient|\$fetch|ky)\.delete\(|\bapi(?:\.\w+)*\.(?:delete|remove|destroy)(?:One|ById|Item)?\(",
    re.I,
)


def _empty_catch(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        for item in script.items("catch_clause"):
            body = item.node.child_by_field_name("body")
            empty = body is not None and not body.named_children and not _explained(item)
            tally.check(
                not empty,
                item,
                "catch swallows the error without a word",
            )
        for call in script.calls:
            if call.name == "catch" and len(call.arguments) == 1 and "." in call.callee:
                text = "".join(script.text(call.arguments[0]).split())
                told = _BEST_EFFORT.search(call.callee) is not None or _explained(call.item)
                tally.check(
                    told
                    or text
                    not in (
                        "()=>{}",
                        "_=>{}",
                        "(_)=>{}",
                        "()=>undefined",
                        "function(){}",
                        "noop",
                        "e=>{}",
                        "(e)=>{}",
                    ),
                    call.item,
                    f"catch() swallows the error of {call.callee.removesuffix('.catch')[:60]} without a word",
                )


_BEST_EFFORT = re.compile(
    r"AppBadge\(|\.vibrate\(|\.play\(|[fF]ullscreen\(|wakeLock|prefetch|preload|\.(?:close|cancel|abort|stop|destroy|dispose|unlock|terminate|leave)\(|"
    r"serviceWorker|sendBeacon|[cC]ache\(|mkdir|[mM]akeDirectory|sendMessage\(|postMessage\(|storage\.(?:local|session|sync)\.|[kK]eep[aA]live|"
    r"[hH]eartbeat|[dD]iag|\b(?:track|log|capture|record)[A-Z]?\w*\(|[tT]elemetry|[aA]nalytics|[cC]lean|[wW]arm|\.resume\(|removeEntry|\.remove\(|mediaSession|"
    r"unregister\(|registration|[pP]reload|[pP]refetch"
)
"""Calls that nobody misses when they fail: they clean up, prepare, or decorate."""


def _explained(item: Syntax) -> bool:
    """Whether a comment stands before the statement that something is tried in."""
    at: Node | None = item.node
    while at is not None and at.parent is not None and at.parent.type not in ("statement_block", "program"):
        at = at.parent
    before = at.prev_named_sibling if at is not None else None
    return before is not None and before.type == "comment"


def _destructive(document: Document, tally: Tally) -> None:
    code = "".join(script.code_text for script in document.scripts)
    for element in document.elements:
        click = element.attributes.get("on:click")
        if click is None or element.tag not in ("button", "Button", "IconButton", "a", "v-btn", "el-button"):
            continue
        label = element.get("aria-label") or element.static_text() or translated(document, element)
        if not _DESTRUCTIVE.match(label.strip()):
            continue
        handler = handler_code(document, click.expression)
        if not _DESTROYS.search(handler):
            continue
        net = (
            _SAFETY_NET.search(code + " ".join(outer.tag for outer in element.ancestors()) + handler)
            is not None
        )
        tally.check(net, element, f'"{label.strip()[:30]}" deletes at once, without asking and without undo')


def _alert(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        for call in script.calls:
            name = call.callee.removeprefix("window.")
            if (
                name in ("alert", "prompt")
                and name not in script.named_functions
                and name not in script.imported
                and not any(
                    name in re.findall(r"[\w$]+", script.text(item.node.child_by_field_name("name")))
                    for item in script.items("variable_declarator")
                )
            ):
                tally.failed(call.item, f"{name}() blocks the page, and screen readers and tests with it")
        for item in script.items("catch_clause"):
            if "alert(" not in script.text(item.node):
                tally.passed()


def boundary_facts(document: Document) -> Iterator[Fact]:
    """Where an application starts, and what catches errors while it renders."""
    for script in document.scripts:
        for call in script.calls:
            at = call.item
            if call.name in ("createRoot", "hydrateRoot") and script.modules & {
                "react-dom/client",
                "react-dom",
            }:
                yield Fact(kind="react-root", name=call.name, line=at.line, column=at.column)
            elif call.callee == "createApp" and "vue" in script.modules:
                yield Fact(kind="vue-root", name=call.name, line=at.line, column=at.column)
            elif call.callee in ("onErrorCaptured",):
                yield Fact(kind="boundary", name="vue", line=at.line)
        for item in script.items("method_definition"):
            name = script.text(item.node.child_by_field_name("name"))
            if name in ("componentDidCatch", "getDerivedStateFromError"):
                yield Fact(kind="boundary", name="react", line=item.line)
            elif name in ("errorCaptured", "handleError"):
                yield Fact(kind="boundary", name="vue", line=item.line)
        code = script.code_text
        if "react-error-boundary" in script.modules or (
            ("rrorBoundary" in code or "errorElement" in code or "errorComponent" in code)
            and re.search(r"\b(?:errorElement|ErrorBoundary|errorComponent|withErrorBoundary)\b", code)
        ):
            yield Fact(kind="boundary", name="react")
        if ".config.errorHandler" in code or re.search(r"\berrorCaptured\b", code):
            yield Fact(kind="boundary", name="vue")
    if re.search(
        r"(?:^|/)(?:app|pages|routes)/.*\b(?:global-)?error\.[jt]sx?$|(?:^|/)_error\.[jt]sx?$", document.path
    ):
        yield Fact(kind="boundary", name="react")
    if re.search(r"(?:^|/)error\.vue$", document.path) or any(
        e.tag in ("NuxtErrorBoundary", "nuxt-error-boundary") for e in document.elements
    ):
        yield Fact(kind="boundary", name="vue")


def _boundary(project: Project, tally: Tally) -> None:
    for framework in ("react", "vue"):
        roots = project.of(f"{framework}-root")
        if not roots:
            continue
        if project.has("boundary", framework):
            tally.passed()
        else:
            react = framework == "react"
            tally.failed(
                roots[0],
                "an error while rendering leaves a blank page: there is no error boundary"
                if react
                else "an error in a component reaches nobody: there is neither errorHandler nor onErrorCaptured",
                severity=None if react else Severity.MODERATE,
                path=roots[0].path,
            )


RULES: tuple[FileRule | ProjectRule, ...] = (
    ProjectRule(
        describe(
            "error-boundary",
            _ERRORS,
            Severity.SERIOUS,
            "An error in one part does not blank the page",
            reason="One bad value takes the whole application away.",
            fix="Put error boundaries around routes and widgets (`app.config.errorHandler` and `onErrorCaptured` in Vue).",
            own_references=(
                (
                    "vue",
                    "Vue: app.config.errorHandler",
                    "https://vuejs.org/api/application.html#app-config-errorhandler",
                ),
            ),
            reference=page(
                "React: Error boundaries",
                "https://react.dev/reference/react/Component#catching-rendering-errors-with-an-error-boundary",
            ),
        ),
        _boundary,
    ),
    FileRule(
        describe(
            "empty-catch",
            _ERRORS,
            Severity.MODERATE,
            "Errors are not swallowed",
            reason="Nobody, neither the user nor the log, learns that something failed.",
            fix="Show it, report it, or say in a comment why it does not matter.",
            reference=mdn("try...catch", "Web/JavaScript/Reference/Statements/try...catch"),
            # Whether anybody misses what failed is not to be seen in the source: mostly nobody does.
            confidence=Confidence.LOW,
        ),
        _empty_catch,
    ),
    FileRule(
        describe(
            "destructive-action",
            _ERRORS,
            Severity.SERIOUS,
            "Deleting asks first or can be undone",
            reason="One slip loses data for good.",
            fix="Ask in a dialog that names what is deleted, or offer undo.",
            reference=wcag("3.3.4 Error Prevention", "error-prevention-legal-financial-data"),
            confidence=Confidence.MEDIUM,
        ),
        _destructive,
    ),
    FileRule(
        describe(
            "blocking-alert",
            _ERRORS,
            Severity.MINOR,
            "Messages do not block the page",
            reason="alert() stops everything, cannot be styled or linked, and hides behind other tabs.",
            fix='Show the message in the page, in an element with `role="alert"`.',
            negative=True,
            reference=mdn("Window.alert()", "Web/API/Window/alert"),
        ),
        _alert,
    ),
)
