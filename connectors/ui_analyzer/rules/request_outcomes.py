"""Rules on requests: that they fail, that they take time."""

import re

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.nets import QUERIES_SHOWN, REQUESTS_SHOWN
from connectors.ui_analyzer.requests import (
    awaited,
    caught_by_caller,
    chain,
    is_fetch,
    requests,
    returned,
    unhandled_jquery,
    unhandled_xhr,
    without_server,
)
from connectors.ui_analyzer.rule import FileRule, ProjectRule, Tally, describe, mdn, page, wcag
from connectors.ui_analyzer.rules.effects import effects
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import FUNCTION_KINDS, Syntax

_ERRORS = Category.ERRORS

_QUERY_HOOKS = re.compile(
    r"^(?:useQuery|useInfiniteQuery|useSWR|useSWRInfinite|useFetch|useAsyncData|useLazyFetch)$"
)


_UNCAUGHT = "this request is not inside try/catch, and a failure is shown nowhere"
_PENDING = re.compile(
    r"loading|pending|fetching|isBusy|\bbusy|skeleton|spinner|suspense|submitting|\bstatus\b|inFlight|useTransition",
    re.I,
)


def _request_failure(document: Document, tally: Tally) -> None:
    if document.server or re.search(r"\+(?:page|layout)\.[jt]s$", document.path):
        return
    for script in document.scripts:
        for call in (*unhandled_jquery(script), *unhandled_xhr(script)):
            message = "nobody learns that this request failed: it has no error handler"
            _unseen(tally, call, message, (REQUESTS_SHOWN,))
        for call in requests(script):
            if without_server(script, call) or _answers_callback(call) or _outlives_page(script, call):
                continue
            methods, _ = chain(script, call)
            function = script.function_around(call.item)
            # A plain `fetch` passes by the interceptors of a library.
            shown = () if is_fetch(call) else (REQUESTS_SHOWN,)
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
                waited = _waited_chain(script, call)
                silent = document.elements and waited == "await_expression"
                if silent and not _shown_elsewhere(script, function):
                    _unseen(tally, call, _UNCAUGHT, shown)
                elif waited:
                    tally.passed()
                else:
                    message = "nobody learns that this request failed: the promise has no catch"
                    _unseen(tally, call, message, shown)
            elif document.elements and awaited(call) and not _shown_elsewhere(script, function):
                _unseen(tally, call, _UNCAUGHT, shown)
            elif not awaited(call) and not methods and _statement(call):
                _unseen(tally, call, "nobody waits for this request or learns that it failed", shown)


def _outlives_page(script: Script, call: Call) -> bool:
    """Whether it goes on after the page is left, so that nobody is there to be told."""
    return re.search(r"\bkeepalive\s*:\s*true", script.code_of(call.item)) is not None


def _answers_callback(call: Call) -> bool:
    """Whether it gives its answer to a callback and no promise: what happens on a failure is the business of the call."""
    return bool(call.arguments) and (
        call.arguments[-1].type in FUNCTION_KINDS
        or (call.arguments[-1].text or b"").rstrip().endswith(b".bind(this)")
    )


def _unseen(tally: Tally, call: Call, message: str, shown: tuple[tuple[str, str], ...]) -> None:
    tally.depends(call.item, message, (), frozenset(), excused_by=shown)


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


def _waited_chain(script: Script, call: Call) -> str:
    """What takes the outcome of a chain of `then`, such as an `await_expression`; "" where nothing does."""
    parent = chain(script, call)[1].parent
    takes = ("await_expression", "variable_declarator", "assignment_expression", "return_statement")
    return parent.type if parent is not None and parent.type in takes else ""


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
            if not is_fetch(call) or without_server(script, call) or _outlives_page(script, call):
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
                    checks or _asks_for_shape(name, scope),
                    call.item,
                    f"{name}.ok is never checked: fetch does not fail on an HTTP error",
                )


def _asks_for_shape(name: str, scope: str) -> bool:
    """Whether the answer is taken only if it has what it should have: `if (json.id)`, `"key" in data`."""
    read = re.search(
        rf"(?:const|let|var)\s+(\w+)\s*(?::[^=]+)?=\s*(?:\(\s*)?await\s+{name}\s*\.\s*json\(", scope
    )
    if read is None:
        # `.then(response => response.json()).then(data => …)`
        read = re.search(rf"{name}\s*\.\s*json\(\s*\)\s*\)?\s*\.then\(\s*(?:async\s*)?\(?\s*(\w+)", scope)
    if read is None:
        return False
    answer = re.escape(read.group(1))
    return (
        re.search(
            rf"if\s*\(\s*!?\s*(?:{answer}\??\.\w+|Array\.isArray\(\s*{answer}|['\"]\w+['\"]\s+in\s+{answer}\b)",
            scope,
        )
        is not None
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
            if not _QUERY_HOOKS.match(callee) or (callee.startswith("useSWR") and _without_fetcher(inner)):
                continue
            if "skipToken" in script.text(inner):
                continue  # Never asked: a place for data that is put there.
            taken = script.text(target)
            if not re.search(r"\bdata\b", taken) or "..." in taken:
                continue
            ok = (
                boundary
                or re.search(r"\bcatch\b|\btoast\b|\w\.error\b", script.code_of(inner))
                is not None  # The question answers for itself.
                or re.search(r"\b(?:error|isError|status|isLoadingError|failureReason)\b", taken) is not None
            )
            if ok:
                tally.passed()
            else:
                tally.depends(
                    item,
                    f"{callee} may fail, but its error is not looked at",
                    (),
                    frozenset(),
                    excused_by=(QUERIES_SHOWN,),
                )


def _without_fetcher(call: Node) -> bool:
    """`useSWR(key, {…})`: shared state of the page, which nothing is asked for."""
    arguments = call.child_by_field_name("arguments")
    given = arguments.named_children if arguments is not None else []
    return len(given) == 2 and given[1].type == "object" and b"fetcher" not in (given[1].text or b"fetcher")


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
            tally.check(
                waits,
                call.item,
                "nothing is shown while this data is loading",
                # What is drawn as a list looks empty; a detail may appear when it is there.
                confidence=None if re.search(r"\.(?:map|length)\b", whole) else Confidence.LOW,
            )


RULES: tuple[FileRule | ProjectRule, ...] = (
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
            "query-error",
            _ERRORS,
            Severity.MODERATE,
            "Failed queries are shown",
            reason="A list that failed to load looks like an empty list.",
            fix="Take `error` (or `isError`) too, and render it.",
            own_references=(
                (
                    "vue",
                    "TanStack Query: Queries (Vue)",
                    "https://tanstack.com/query/latest/docs/framework/vue/guides/queries",
                ),
                (
                    "svelte",
                    "TanStack Query: Svelte overview",
                    "https://tanstack.com/query/latest/docs/framework/svelte/overview",
                ),
            ),
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
)
