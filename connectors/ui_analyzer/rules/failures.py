"""Rules on what the interface does when something fails, is pending, or cannot be undone."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.requests import awaited, caught_by_caller, chain, is_fetch, requests, returned
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, mdn, page, wcag
from connectors.ui_analyzer.rules.state import effects
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import Syntax

_ERRORS = Category.ERRORS
_QUERY_HOOKS = re.compile(
    r"^(?:useQuery|useInfiniteQuery|useSWR|useSWRInfinite|useFetch|useAsyncData|useLazyFetch)$"
)
_PENDING = re.compile(
    r"loading|pending|fetching|isBusy|\bbusy|skeleton|spinner|suspense|submitting|\bstatus\b|inFlight|useTransition",
    re.I,
)
_DESTRUCTIVE = re.compile(
    r"^(?:delete|remove|destroy|erase|wipe|clear all|reset all|deactivate|terminate)\b", re.I
)
_SAFETY_NET = re.compile(
    r"confirm|dialog|modal|undo|popconfirm|alertdialog|are you sure|restore|trash|sheet|popover", re.I
)
_DESTROYS = re.compile(
    r"method:\s*['\"`]DELETE|(?:axios|api|client|http|apiClient|\$fetch|ky)\.delete\(", re.I
)


def _empty_catch(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        for item in script.items("catch_clause"):
            body = item.node.child_by_field_name("body")
            empty = body is not None and not body.named_children
            tally.check(not empty, item, "this error is swallowed without a word")
        for call in script.calls:
            if call.name == "catch" and len(call.arguments) == 1 and "." in call.callee:
                text = "".join(script.text(call.arguments[0]).split())
                tally.check(
                    text
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
                    "this error is swallowed without a word",
                )


def _request_failure(document: Document, tally: Tally) -> None:
    if document.server or re.search(r"\+(?:page|layout)\.[jt]s$", document.path):
        return
    for script in document.scripts:
        for call in requests(script):
            methods, _ = chain(script, call)
            function = script.function_around(call.item)
            if (
                "catch" in methods
                or _second_handler(call)
                or script.inside_try(call.item)
                or _in_library(script, call)
            ):
                tally.passed()
                continue
            if (
                returned(script, call)
                or caught_by_caller(script, function)
                or _hands_on(script, call, function)
            ):
                continue
            if methods and methods[0] in ("then", "finally") and not awaited(call):
                tally.check(
                    _awaited_chain(script, call),
                    call.item,
                    "nobody learns that this request failed: the promise has no catch",
                )
            elif document.elements and awaited(call) and not _shown_elsewhere(script, function):
                tally.failed(
                    call.item, "this request is not inside try/catch, and a failure is shown nowhere"
                )
            elif not awaited(call) and not methods and _statement(call):
                tally.failed(call.item, "nobody waits for this request or learns that it failed")


def _hands_on(script: Script, call: Call, function: Syntax | None) -> bool:
    """Whether the function returns what it got, so that its caller also gets the failure."""
    return function is not None and any(
        item.start > call.item.start and item.node.named_children and script.function_around(item) is function
        for item in function.within("return_statement")
    )


def _second_handler(call: Call) -> bool:
    node = call.item.node
    outer = node.parent.parent if node.parent is not None else None
    if outer is None or outer.type != "call_expression":
        return False
    arguments = outer.child_by_field_name("arguments")
    return arguments is not None and len(arguments.named_children) >= 2


def _awaited_chain(script: Script, call: Call) -> bool:
    parent = chain(script, call)[1].parent
    return parent is not None and parent.type in (
        "await_expression",
        "variable_declarator",
        "assignment_expression",
        "return_statement",
    )


def _statement(call: Call) -> bool:
    parent = call.item.node.parent
    return parent is not None and parent.type == "expression_statement"


def _in_library(script: Script, call: Call) -> bool:
    """Inside a function that a data library calls, which catches for it: a query, mutation, loader, action."""
    for at in call.item.ancestors():
        if at.kind == "call_expression":
            callee = script.text(at.node.child_by_field_name("function"))
            if re.search(
                r"(?:use\w*(?:Query|Mutation|SWR|AsyncData|AsyncFn|Async|Fetch|ActionState|Optimistic|Form|Request|Resource)\w*|createResource|startTransition|defineStore|createAsyncThunk|queryOptions|lazy|createApi|createServerFn|resource)$",
                callee,
            ):
                return True
    for at in call.item.ancestors():
        name = (
            script.name_of(at)
            if at.kind.endswith(("function", "declaration", "definition", "function_expression"))
            else ""
        )
        if name in (
            "loader",
            "action",
            "queryFn",
            "mutationFn",
            "getServerSideProps",
            "getStaticProps",
            "clientLoader",
            "fetcher",
            "generateMetadata",
            "GET",
            "POST",
        ):
            return True
    return script.code[:40].lstrip().startswith((b'"use server"', b"'use server'"))


def _shown_elsewhere(script: Script, function: Syntax | None) -> bool:
    """An async server component: its failure goes to the error boundary of the route."""
    if function is None:
        return True
    name = script.name_of(function)
    return name[:1].isupper() and script.text(function.node)[:12].startswith("async")


def _http_status(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        for call in requests(script):
            if not is_fetch(call):
                continue
            used = _response_use(script, call)
            if used is None:
                continue
            name, scope = used
            reads = (
                re.search(rf"\b{name}\s*\.\s*(?:json|text|blob|arrayBuffer|formData|body)\b", scope)
                is not None
            )
            checks = (
                re.search(
                    rf"\b{name}\s*[!?]?\.\s*(?:ok|status|statusText)\b|\{{[^}}]*\b(?:ok|status)\b[^}}]*\}}\s*=\s*{name}\b|(?:check|handle|assert|ensure|parse|raise|throw|validate)\w*\(\s*(?:await\s+)?{name}\b",
                    scope,
                )
                is not None
            )
            if reads:
                tally.check(
                    checks, call.item, f"{name}.ok is never checked: fetch does not fail on an HTTP error"
                )


def _response_use(script: Script, call: Call) -> tuple[str, str] | None:
    """The name under which a response is used, and the code in which it is."""
    for at in call.item.ancestors():
        if at.kind == "await_expression":
            continue
        if at.kind == "variable_declarator":
            name = script.text(at.node.child_by_field_name("name"))
            function = script.function_around(at)
            code = script.code_of(function) if function is not None else script.code_text
            return (re.escape(name), code) if re.fullmatch(r"\w+", name) else None
        break
    methods, outer = chain(script, call)
    if methods[:1] == ["then"]:
        text = script.code_of(outer)
        match = re.search(r"\.then\(\s*(?:async\s*)?\(?\s*(\w+)\s*(?::[^)=]+)?\)?\s*=>", text)
        return (re.escape(match.group(1)), text) if match else None
    return None


def _query_error(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        if document.server:
            continue
        boundary = (
            re.search(r"throwOnError|useErrorBoundary|suspense\s*:\s*true", script.code_text) is not None
        )
        for item in script.items("variable_declarator"):
            target = item.node.child_by_field_name("name")
            value = item.node.child_by_field_name("value")
            if target is None or value is None or target.type != "object_pattern":
                continue
            inner = (
                value.named_children[0]
                if value.type == "await_expression" and value.named_children
                else value
            )
            callee = (
                script.text(inner.child_by_field_name("function")) if inner.type == "call_expression" else ""
            )
            if not _QUERY_HOOKS.match(callee):
                continue
            taken = script.text(target)
            if not re.search(r"\bdata\b", taken) or "..." in taken:
                continue
            ok = (
                boundary
                or re.search(r"\b(?:error|isError|status|isLoadingError|failureReason)\b", taken) is not None
            )
            tally.check(ok, item, f"{callee} may fail, but its error is not looked at")


def _loading_state(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        asked = list(requests(script))
        for call, function in effects(script):
            component = script.function_around(call.item)
            loads = any(function.start <= request.item.start < function.end for request in asked)
            if not loads or component is None or not script.name_of(component)[:1].isupper():
                continue
            whole = script.code_of(component)
            waits = (
                _PENDING.search(whole) is not None
                or re.search(
                    r"(?:!\w+|\b\w+\s*===?\s*(?:null|undefined))\s*(?:&&|\?|\)\s*(?:return|\{))|\w+\s*\?\s*[(<]|\?\?\s*[(<]",
                    whole,
                )
                is not None
            )
            tally.check(waits, call.item, "nothing is shown while this data is loading")


def _destructive(document: Document, tally: Tally) -> None:
    code = "".join(script.code_text for script in document.scripts)
    for element in document.elements:
        click = element.attributes.get("on:click")
        if click is None or element.tag not in ("button", "Button", "IconButton", "a", "v-btn", "el-button"):
            continue
        label = element.get("aria-label") or element.static_text()
        if not _DESTRUCTIVE.match(label.strip()):
            continue
        handler = _handler_code(document, click.expression)
        if not _DESTROYS.search(handler):
            continue
        net = (
            _SAFETY_NET.search(code + " ".join(outer.tag for outer in element.ancestors()) + handler)
            is not None
        )
        tally.check(net, element, f'"{label[:30]}" deletes at once, without asking and without undo')


def _handler_code(document: Document, expression: str) -> str:
    """The handler's source together with that of the functions of this file that it calls."""
    text, seen = expression, set[str]()
    for _ in range(3):
        for script in document.scripts:
            for name in set(re.findall(r"\b([A-Za-z_$][\w$]*)\b", text)) - seen:
                function = script.named_functions.get(name)
                if function is not None:
                    seen.add(name)
                    text += "\n" + script.code_of(function)
    return text[:20_000]


def _alert(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        for call in script.calls:
            if (
                call.callee in ("alert", "window.alert")
                and "alert" not in script.named_functions
                and "alert" not in script.imported
            ):
                tally.failed(call.item, "alert() blocks the page, and screen readers and tests with it")
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
        if script.modules & {"react-error-boundary"} or re.search(
            r"\b(?:errorElement|ErrorBoundary|errorComponent|withErrorBoundary)\b", script.code_text
        ):
            yield Fact(kind="boundary", name="react")
        if re.search(r"\.config\.errorHandler\b|\berrorCaptured\b", script.code_text):
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
            tally.failed(
                roots[0],
                f"an error while rendering leaves a blank page: no {framework.title()} error boundary or handler",
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
            reference=page(
                "React: Error boundaries",
                "https://react.dev/reference/react/Component#catching-rendering-errors-with-an-error-boundary",
            ),
        ),
        _boundary,
    ),
    FileRule(
        describe(
            "request-failure",
            _ERRORS,
            Severity.MODERATE,
            "Failed requests are handled",
            reason="The interface waits for ever, or shows old data as if it were new.",
            fix="Catch the failure, say what went wrong, and offer to try again.",
            reference=mdn(
                "Using promises: error handling", "Web/JavaScript/Guide/Using_promises#error_handling"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _request_failure,
    ),
    FileRule(
        describe(
            "http-status",
            _ERRORS,
            Severity.MODERATE,
            "HTTP errors count as failures",
            reason="fetch resolves on 404 and 500; the error page is parsed as if it were the data.",
            fix="Check `response.ok` before reading the body.",
            reference=mdn("Response.ok", "Web/API/Fetch_API/Using_Fetch#checking_response_status"),
        ),
        _http_status,
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
        ),
        _empty_catch,
    ),
    FileRule(
        describe(
            "query-error",
            _ERRORS,
            Severity.MODERATE,
            "Failed queries are shown",
            reason="A list that failed to load looks like an empty list.",
            fix="Take `error` (or `isError`) too, and render it.",
            reference=page(
                "TanStack Query: Query basics",
                "https://tanstack.com/query/latest/docs/framework/react/guides/queries",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _query_error,
    ),
    FileRule(
        describe(
            "loading-state",
            _ERRORS,
            Severity.MINOR,
            "Loading can be seen",
            reason="Nothing, and still loading, look the same.",
            fix="Show a placeholder until the data is there.",
            reference=wcag("4.1.3 Status Messages", "status-messages"),
            confidence=Confidence.MEDIUM,
        ),
        _loading_state,
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
            reference=mdn("Window.alert()", "Web/API/Window/alert"),
        ),
        _alert,
    ),
)
