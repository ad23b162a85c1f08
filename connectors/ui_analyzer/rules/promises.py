"""Rules on promises that nobody waits for, and on failures that only the console hears of."""

import re
from collections.abc import Iterator

from tree_sitter import Node

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.nets import REQUESTS_SHOWN
from connectors.ui_analyzer.requests import awaited, caught_by_caller, chain, requests
from connectors.ui_analyzer.rule import Fact, FileRule, Tally, describe, mdn, wcag
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import FUNCTION_KINDS, Syntax

_ERRORS = Category.ERRORS
_NEVER_REJECTS = re.compile(
    r"(?:^|\.)(?:nextTick|tick|computePosition|delay|sleep|wait|timeout|Promise\.resolve|whenReady|whenDefined|ready|finished|afterUpdate|settled|allSettled|then|catch|finally)$"
)
_CONSOLE = re.compile(r"^(?:window\.)?console\.(?:error|log|warn|info|debug|trace)$")
_CONSOLE_ITSELF = re.compile(r"^(?:window\.)?console\.(?:error|log|warn)$")


def _promise_end(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        _refused(script, tally)
        asked = {call.item.start for call in requests(script)}
        for call in script.calls:
            if call.name not in ("then", "finally") or "." not in call.callee:
                continue
            parent = call.item.node.parent
            if parent is None or parent.type != "expression_statement":
                continue
            first = _first(call.item.node)
            if first is None or first.start_byte in asked or _cannot_reject(script, first):
                continue
            message = f"nothing handles a failure of {_asked(script, first)}: the promise has no catch"
            if _handled(script, call) or _looks_at_outcome(script, call) or _leaves(script, call):
                tally.passed()
            elif _surely_asks(script, first):
                tally.depends(call.item, message, (), frozenset(), excused_by=_elsewhere(script, first))
            else:
                # Whether it can fail, and who shows that then, is told in another file.
                tally.failed(call.item, message, confidence=Confidence.LOW)


_ASKS = re.compile(
    r"(?<!^this)(?<!store)\.(?:get|fetch|load|list|find|create|update|delete|remove|save|post|put|patch|query|request|ajax|upload|download|search)"
    r"(?![a-z])\w*$"
)


def _surely_asks(script: Script, first: Node) -> bool:
    """Whether what is waited for is seen to ask somebody: a method of a client, or a function of the file that waits."""
    callee = re.sub(r"\s+", "", script.text(first.child_by_field_name("function"))).replace("?.", ".")
    if callee.startswith("navigator."):
        return True
    function = script.named_functions.get(callee.removeprefix("this."))
    if function is not None:
        return re.search(r"\bawait\b|fetch\(|axios", script.code_of(function)) is not None
    return _ASKS.search(callee) is not None


def _leaves(script: Script, call: Call) -> bool:
    """Whether the page is left in the `finally`, so that a failure makes no difference to anybody."""
    return call.name == "finally" and (
        re.search(
            r"\blocation\b|\brouter\.|\bnavigate\w*\(|\bgoto\(|\bredirect\w*\(",
            " ".join(script.code_of(node) for node in call.arguments),
        )
        is not None
    )


def _refused(script: Script, tally: Tally) -> None:
    """What the browser may refuse, such as to write to the clipboard, and nobody handles it."""
    for call in script.calls:
        if not re.fullmatch(r"(?:window\.)?navigator\.clipboard\.\w+", call.callee):
            continue
        if not awaited(call):
            if _dropped(call):
                tally.failed(
                    call.item, f"{call.callee}() fails where the browser forbids it, and nothing handles that"
                )
            else:
                tally.passed()
            continue
        if script.inside_try(call.item):
            tally.passed()
            continue
        function = script.function_around(call.item)
        if not caught_by_caller(script, function) and not chain(script, call)[0]:
            tally.failed(
                call.item, f"{call.callee}() fails where the browser forbids it, and nothing handles that"
            )


def _dropped(call: Call) -> bool:
    """Whether nobody keeps the promise: a statement, or all that a handler in the markup does."""
    parent = call.item.node.parent
    return parent is not None and (
        parent.type == "expression_statement"
        or (
            parent.type == "arrow_function"
            and parent.parent is not None
            and parent.parent.type == "jsx_expression"
        )
    )


def _elsewhere(script: Script, first: Node) -> tuple[tuple[str, str], ...]:
    """The fact by which a function of another file handles its failures: a method of a mixin, or an import."""
    callee = re.sub(r"\s+", "", script.text(first.child_by_field_name("function")))
    name = callee.rsplit(".", 1)[-1]
    imported = script.imported.get(callee.split(".")[0])
    own = re.match(r"this\.\$?\w+$", callee) is not None or (
        imported is not None and imported.module.startswith((".", "@/", "~", "$lib", "src/", "#"))
    )
    return (("handles-failure", name),) if own and name not in script.named_functions else ()


def failure_facts(document: Document) -> Iterator[Fact]:
    """Functions that never leave a failure to who calls them: they show it themselves, or cannot fail."""
    if document.elements and document.language not in ("vue", "svelte"):
        return
    for script in document.scripts:
        if "catch" not in script.code_text and "new Promise" not in script.code_text:
            continue
        for name, function in script.named_functions.items():
            code = script.code_of(function)
            shows = "catch" in code and _SHOWS_ITSELF.search(code[code.find("catch") :]) is not None
            if shows or re.search(r"return\s+new Promise\(\s*(?:async\s*)?\(?\s*\w+\s*\)?\s*=>", code):
                yield Fact(kind="handles-failure", name=name, line=function.line)


_SHOWS_ITSELF = re.compile(
    r"\bthis\.(?:\$?toast|\$?notify|error|\$?message|showError|handleError)\b|toast|notif|snackbar|\bset\w*Error\(|showError\(",
    re.I,
)


def _first(node: Node) -> Node | None:
    """The call at the start of a chain of `then`: `load()` of `load().then(a).then(b)`."""
    at: Node | None = node
    while at is not None and at.type == "call_expression":
        function = at.child_by_field_name("function")
        inner = (
            function.child_by_field_name("object")
            if function is not None and function.type == "member_expression"
            else None
        )
        if inner is None or inner.type != "call_expression":
            return at
        at = inner
    return None


def _asked(script: Script, first: Node) -> str:
    return " ".join(script.text(first.child_by_field_name("function")).split())[-60:] + "()"


def _cannot_reject(script: Script, first: Node) -> bool:
    callee = re.sub(r"\s+", "", script.text(first.child_by_field_name("function")))
    if callee == "then" or _NEVER_REJECTS.search(callee) or callee.endswith((".ready", ".then")):
        return True
    function = script.named_functions.get(callee.rsplit(".", 1)[-1])
    if function is None:
        return False
    # A function of the file that catches by itself, or that has nothing that fails.
    code = script.code_of(function)
    return any(True for _ in function.within("catch_clause")) or not re.search(
        r"\breject\b|\bthrow\b|\bawait\b|fetch|axios|\.(?:get|post|put|delete|query|mutate)\w*\(|\breturn\s+\w[\w.]*\(",
        code,
    )


def _looks_at_outcome(script: Script, call: Call) -> bool:
    """Whether the callback tells failures from success by the value: `({ data, error }) =>`, `isLeft(result)`."""
    text = " ".join(script.code_of(node) for node in call.arguments)
    return (
        re.search(
            r"\berror\b|\berr\b|isLeft|isErr\b|\.ok\b|\.success\b|isFailure|===? (?:true|false)|\bE\.(?:fold|match)|\belse\b",
            text,
        )
        is not None
        # What is asked first is whether there is an outcome: nothing is how the function tells of a failure.
        or re.match(r"(?:async\s*)?\(?\s*(\w+)\s*\)?\s*=>\s*\{\s*if\s*\(\s*!?\s*\1\s*\)", text) is not None
    )


def _handled(script: Script, last: Call) -> bool:
    at: Node | None = last.item.node
    while at is not None and at.type == "call_expression":
        function, arguments = at.child_by_field_name("function"), at.child_by_field_name("arguments")
        if function is None or function.type != "member_expression":
            return False
        method = script.text(function.child_by_field_name("property"))
        given = (
            [] if arguments is None else [node for node in arguments.named_children if node.type != "comment"]
        )
        if method == "catch" or (method == "then" and len(given) >= 2):
            return True
        at = function.child_by_field_name("object")
    return False


def _console_only(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        if not document.elements and not any(True for _ in script.hooks()):
            continue  # A module without an interface may leave it to its callers what is shown.
        for clause in script.items("catch_clause"):
            around = clause.parent
            waits = around is not None and any(True for _ in around.within("await_expression"))
            body = clause.node.child_by_field_name("body")
            statements = [] if body is None else list(_statements(body))
            if waits and statements and body is not None:
                if not all(_logs(script, node) for node in statements):
                    tally.passed()
                elif around is not None and not _tries_on(around) and not _unnoticed(script, around):
                    meant = _meant(script, body) or _goes_on(script, around)
                    _silent(tally, script, clause, "the failure", script.code_of(around), meant)
        for call in script.calls:
            if call.name == "catch" and len(call.arguments) == 1 and "." in call.callee:
                callback = call.arguments[0]
                first = _first(call.item.node)
                what = _asked(script, first) if first is not None else "this promise"
                if not _only_logs(script, callback) or bool(chain(script, call)[0]):
                    tally.passed()
                elif not _UNNOTICED.search(what):
                    body = callback.child_by_field_name("body")
                    meant = body is not None and _meant(script, body)
                    _silent(tally, script, call.item, f"a failure of {what}", what, meant)


def _only_logs(script: Script, callback: Node) -> bool:
    """Whether a callback does nothing with a failure but write it to the console."""
    if callback.type not in FUNCTION_KINDS:
        return _CONSOLE_ITSELF.match(script.text(callback)) is not None
    body = callback.child_by_field_name("body")
    if body is None:
        return False
    if body.type != "statement_block":
        return _writes(script, body)
    statements = list(_statements(body))
    return bool(statements) and all(_logs(script, node) for node in statements)


def _meant(script: Script, body: Node) -> bool:
    """Whether a comment in the handler says why nobody is told, or the message is for whoever debugs."""
    return any(node.type == "comment" for node in body.named_children) or all(
        "console.debug(" in script.text(node) for node in _statements(body)
    )


def _goes_on(script: Script, attempt: Node | Syntax) -> bool:
    """Whether what was wanted happens in the `finally` anyway, beyond the end of an indicator."""
    node = attempt.node if isinstance(attempt, Syntax) else attempt
    ending = node.child_by_field_name("finalizer")
    block = ending.child_by_field_name("body") if ending is not None else None
    return block is not None and any(
        _INDICATOR.search(script.text(statement)) is None for statement in _statements(block)
    )


_INDICATOR = re.compile(
    r"load|pending|busy|progress|submit|fetch|saving|sending|process|\bfalse\b|\bnull\b|clearTimeout|cleanup|release",
    re.I,
)


_UNNOTICED = re.compile(
    r"serviceWorker|\.play\(|[fF]ullscreen|wakeLock|prefetch|preload|analytics|telemetry|\btrack\w*\(|heartbeat|keepAlive|"
    r"\bdispatch\(|router\.(?:push|replace)\(|\bnavigate\(|\.sendBeacon|\bimport\("
)
"""Calls of which nobody waits for an outcome, or whose outcome is told where they lead to."""


_PASSES_BY = re.compile(r"(?<![\w$.])(?:window\.)?fetch\(|ipcRenderer|clipboard|invoke\(")
"""Calls that interceptors of a library of requests never see."""


def _silent(tally: Tally, script: Script, at: Syntax, what: str, attempt: str, meant: bool) -> None:
    message = f"{what} is written to the console, and whoever uses the page never learns of it"
    if meant:
        tally.failed(at, message, confidence=Confidence.LOW)
        return
    shown = () if _PASSES_BY.search(attempt) else (REQUESTS_SHOWN,)
    tally.depends(
        at,
        message,
        (),
        frozenset(),
        excused_by=(*shown, *_mutations(script, attempt)),
    )


def _mutations(script: Script, attempt: str) -> Iterator[tuple[str, str]]:
    """The facts that hooks of the project show the failures of the mutations that an attempt waits for."""
    for name in set(
        re.findall(r"([A-Za-z_$][\w$]*)\.mutateAsync\(|(?<![\w$.])([A-Za-z_$][\w$]*)\(", attempt)
    ):
        local = re.escape(name[0] or name[1])
        pattern = (
            rf"const\s+{local}\s*=\s*(use\w+)\("
            if name[0]
            else rf"\bmutateAsync\s*:\s*{local}\b[^=]*=\s*(use\w+)\("
        )
        yield from (("hook-shows", hook) for hook in re.findall(pattern, script.code_text))


def _unnoticed(script: Script, attempt: Syntax) -> bool:
    """Whether all that the attempt waits for is what nobody waits for in front of the page."""
    waited = [script.code_of(item) for item in attempt.within("await_expression")]
    return bool(waited) and all(_UNNOTICED.search(text) for text in waited)


def _tries_on(attempt: Syntax) -> bool:
    """Whether something else is tried when it fails: a later statement that waits, or the next turn of a loop."""
    for at in attempt.ancestors():
        if at.kind in FUNCTION_KINDS:
            break
        if at.kind in ("for_statement", "for_in_statement", "while_statement", "do_statement"):
            return True
    following = attempt.node.next_named_sibling
    while following is not None:
        if b"await " in (following.text or b"") or b"fetch(" in (following.text or b""):
            return True
        following = following.next_named_sibling
    return False


def _statements(body: Node) -> Iterator[Node]:
    return (node for node in body.named_children if node.type != "comment")


def _logs(script: Script, statement: Node) -> bool:
    inner = (
        statement.named_children[0]
        if statement.type == "expression_statement" and statement.named_children
        else None
    )
    return inner is not None and _writes(script, inner)


def _writes(script: Script, expression: Node) -> bool:
    return (
        expression.type == "call_expression"
        and _CONSOLE.match(script.text(expression.child_by_field_name("function"))) is not None
    )


RULES = (
    FileRule(
        describe(
            "promise-end",
            _ERRORS,
            Severity.MODERATE,
            "Promises have an end for failures",
            reason="When it fails, what was to follow never happens, and nothing says so.",
            fix="Add a `catch` that shows what went wrong, or `await` it inside try/catch.",
            reference=mdn(
                "Using promises: error handling", "Web/JavaScript/Guide/Using_promises#error_handling"
            ),
            confidence=Confidence.MEDIUM,
        ),
        _promise_end,
    ),
    FileRule(
        describe(
            "console-only-failure",
            _ERRORS,
            Severity.MODERATE,
            "Failures reach whoever uses the page",
            reason="Visitors do not read the console: to them nothing happened.",
            fix='Show it in the page too, in an element with `role="alert"`, and offer to try again.',
            reference=wcag("4.1.3 Status Messages", "status-messages"),
            confidence=Confidence.MEDIUM,
        ),
        _console_only,
    ),
)
