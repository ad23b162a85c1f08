"""Rules on live data: its source, its end, its amount."""

import re
from collections.abc import Iterator

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import Fact, FileRule, Project, ProjectRule, Tally, describe, mdn, page, wcag
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import Syntax

_REAL_TIME = Category.REAL_TIME
_LIVE = re.compile(r"^(?:window\.)?(?:WebSocket|EventSource|ReconnectingWebSocket|BroadcastChannel)$")
_CONNECTION_STATE = re.compile(
    r"\b(?:is|set)?(?:dis|re)?connect(?:ed|ing|ion)_?(?:state|status)?\b|connectionSt|readyState|isOnline|offline|socketStat|wsStat|\bonline\b",
    re.I,
)

_CONNECTION_WORDS = (
    "onnect",
    "nline",
    "ffline",
    "eadyState",
    "ocketStat",
    "wsStat",
    "CONNECT",
    "ONLINE",
    "OFFLINE",
)
"""Parts of what the two expressions around them look for, which are found much faster."""

_CONNECTION_TOLD = re.compile(
    r"(?:snack|toast|notif|message|alert)[\w.]*\(\s*['\"`][^'\"`\n]*(?:connection|connect|offline)", re.I
)
"""A notice that says how the connection stands."""


def live_sources(script: Script) -> Iterator[Call]:
    """Constructions of sockets, event sources and channels."""
    return (call for call in script.constructions if _LIVE.match(call.callee))


def bound_name(script: Script, item: Syntax) -> str:
    """The variable, field or reference that holds a construction: `socket`, `this.socket`, `ref.current`."""
    parent = item.parent
    while parent is not None and parent.kind in ("logical", "ternary_expression", "await_expression"):
        parent = parent.parent
    if parent is None:
        return ""
    if parent.kind == "variable_declarator":
        return script.text(parent.node.child_by_field_name("name"))
    if parent.kind == "assignment_expression":
        return script.text(parent.node.child_by_field_name("left"))
    return ""


def message_handlers(script: Script) -> Iterator[Syntax]:
    """Functions that run for each message of a socket or event source."""
    for item in script.items("assignment_expression"):
        left = script.text(item.node.child_by_field_name("left"))
        if left.endswith(".onmessage") and not _OWN_SIDE.search(left) and not _only_workers(script):
            yield from _function_of(script, item)
    for call in script.calls:
        if (
            call.name in ("addEventListener", "on")
            and call.arguments
            and script.text(call.arguments[0]).strip("'\"`") == "message"
        ):
            target = call.callee.rsplit(".", 1)[0] if "." in call.callee else ""
            if (
                target in ("window", "self", "globalThis", "navigator.serviceWorker", "")
                or "worker" in target.lower()
            ):
                continue
            function = script.argument_function(call, 1)
            if function is not None:
                yield function


_OWN_SIDE = re.compile(r"worker|\bport|channel|\bself\b", re.I)


def _only_workers(script: Script) -> bool:
    """Whether the messages of a file are those of a worker, which is code of the same page."""
    made = {call.callee for call in script.constructions}
    return bool(made & {"Worker", "SharedWorker", "MessageChannel", "BroadcastChannel"}) and not any(
        _LIVE.match(name) and not name.endswith("BroadcastChannel") for name in made
    )


def _function_of(script: Script, item: Syntax) -> Iterator[Syntax]:
    right = item.node.child_by_field_name("right")
    if right is None:
        return
    inner = next(
        (function for function in script.all_within(item) if function.start == right.start_byte), None
    )
    named = script.named_functions.get(script.text(right).removeprefix("this."))
    found = inner or named
    if found is not None:
        yield found


def _closed(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for call in live_sources(script):
            if call.callee.endswith("BroadcastChannel") and not document.elements:
                continue  # A store of the page, which lives as long as the page.
            if _handlers_are_given(script, call):
                continue  # One exchange, which its caller or the server ends.
            name = bound_name(script, call.item)
            code = script.code_text
            last = re.escape(name.rsplit(".", 1)[-1]) if name else ""
            if name:
                aliases = re.findall(rf"([\w.]+)\s*=\s*(?:[\w.]+\.)?{last}\s*[;\n]", code)
                last = (
                    "(?:"
                    + "|".join([last, *(re.escape(alias.rsplit(".", 1)[-1]) for alias in aliases)])
                    + ")"
                )
            closes = (
                bool(name)
                and re.search(rf"\b{last}[!?]?\??\.close\(|\b{last}\?\.current\?\.close\(", code) is not None
            )
            handed_on = (
                re.search(r"return\s+new\b", code[max(0, code.find("new " + call.callee) - 12) :][:24])
                is not None
            )
            if name and re.search(rf"return\s+{last}\b|\breturn\s+\(\)\s*=>\s*{last}\b", code):
                handed_on = True
            if not closes and (handed_on or (not name and not document.elements)):
                continue
            if (
                not closes
                and script.function_around(call.item) is None
                and document.framework in ("", "html")
            ):
                continue  # Opened with the page, and closed with it.
            tally.check(
                closes
                or (re.search(r"\.close\(\)", code) is not None and bool(name) and name.endswith(".current")),
                call.item,
                f"this {call.callee} is never closed",
            )


def _handlers_are_given(script: Script, call: Call) -> bool:
    """Whether what happens on messages or at the end is a parameter of the function that opens the source."""
    function, name = script.function_around(call.item), bound_name(script, call.item)
    if function is None or not name:
        return False
    parameters = function.node.child_by_field_name("parameters") or function.node.child_by_field_name(
        "parameter"
    )
    given = re.findall(
        rf"(?<![\w$.]){re.escape(name)}\.on(?:message|close)\s*=\s*([\w$]+)\s*[;\n]", script.code_text
    )
    return any(re.search(rf"\b{re.escape(one)}\b", script.text(parameters)) for one in given)


def _event_source_error(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for call in live_sources(script):
            if not call.callee.endswith("EventSource"):
                continue
            handled = (
                re.search(r"\.onerror\s*=|addEventListener\(\s*['\"`]error['\"`]", script.code_text)
                is not None
            )
            tally.check(handled, call.item, "errors of this EventSource are not handled")


def _unbounded(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for handler in message_handlers(script):
            for call in script.calls_in(handler):
                if not re.match(r"set[A-Z]\w*$", call.callee) or not call.arguments:
                    continue
                text = script.text(call.arguments[0])
                grows = (
                    re.search(r"\[\s*\.\.\.(\w+)\s*,|\.concat\(|\[[^\]]*,\s*\.\.\.(\w+)\s*\]", text)
                    is not None
                )
                if grows:
                    bounded = (
                        re.search(r"\.slice\(|\.splice\(|MAX|LIMIT|\.length\s*[><]|\.shift\(", text, re.I)
                        is not None
                    )
                    tally.check(
                        bounded,
                        call.item,
                        "every message is kept: the list grows for as long as the page is open",
                    )
            for call in script.calls_in(handler):
                target = re.match(r"([\w.]+?)\.(?:value\.)?(?:push|unshift)$", call.callee)
                if target and document.language in ("vue", "svelte"):
                    name = re.escape(target.group(1).split(".")[0])
                    bounded = (
                        re.search(
                            rf"\b{name}(?:\.value)?\s*(?:=\s*[^;\n]*\.slice\(|\.(?:shift|splice|pop)\(|\.length\s*(?:=(?!=)|>))|\b{name}\s*=\s*\[\]",
                            script.code_text,
                        )
                        is not None
                    )
                    tally.check(
                        bounded,
                        call.item,
                        "every message is kept: the list grows for as long as the page is open",
                    )


_BATCHES = re.compile(
    r"requestAnimationFrame|throttle|debounce|startTransition|useDeferredValue|unstable_batchedUpdates|buffer|queue|batch|flush",
    re.I,
)


def _unbatched(document: Document, tally: Tally) -> None:
    for script in document.scripts:
        for handler in message_handlers(script):
            setters = [
                call
                for call in script.calls_in(handler)
                if re.match(r"set[A-Z]\w*$", call.callee) and call.callee not in ("setTimeout", "setInterval")
            ]
            if setters:
                if _BATCHES.search(script.code_text):
                    tally.passed()
                else:
                    tally.failed(setters[0].item, "each message renders by itself", confidence=Confidence.LOW)


def _polling(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        for call in script.calls:
            if call.callee not in ("setInterval", "window.setInterval") or len(call.arguments) < 2:
                continue
            function = script.argument_function(call, 0)
            if function is None:
                continue
            asks = any(
                re.search(
                    r"(?:^|\.)(?:fetch|axios|refetch|\w*[rR]efresh|load[A-Z]\w*|fetch[A-Z]\w*|poll\w*)$",
                    inner.callee,
                )
                for inner in script.calls_in(function)
            )
            period = script.text(call.arguments[1]).replace("_", "")
            if asks and re.fullmatch(r"\d+", period):
                tally.check(int(period) >= 1_000, call.item, f"asks the server every {period} ms")


_TRIES = re.compile(r"\.onopen\s*=\s*[^{};]{0,40}\{\s*[\w.]+\.close\(")
"""A connection that is closed as soon as it stands."""


def live_facts(document: Document) -> Iterator[Fact]:
    """Live connections, and whether the interface knows of their state."""
    for script in document.scripts:
        if document.server:
            continue
        for call in live_sources(script):
            if not call.callee.endswith("BroadcastChannel") and not _TRIES.search(script.code_text):
                yield Fact(kind="live-source", name=call.callee, line=call.item.line, column=call.item.column)
    if not any(word in document.text for word in _CONNECTION_WORDS):
        return
    if document.elements and any(_CONNECTION_STATE.search(script.code_text) for script in document.scripts):
        yield Fact(kind="connection-state", name="script")
    if any(_CONNECTION_TOLD.search(script.code_text) for script in document.scripts):
        yield Fact(kind="connection-state", name="message")
    if any(
        _CONNECTION_STATE.search(" ".join(element.texts)) for element in document.elements if element.texts
    ):
        yield Fact(kind="connection-state", name="text")


def _connection_shown(project: Project, tally: Tally) -> None:
    sources = project.of("live-source")
    if sources:
        if project.of("connection-state"):
            tally.passed()
        else:
            tally.failed(
                sources[0], "nothing tells the user whether the live connection stands", path=sources[0].path
            )


RULES: tuple[FileRule | ProjectRule, ...] = (
    FileRule(
        describe(
            "live-source-closed",
            _REAL_TIME,
            Severity.SERIOUS,
            "Live connections are closed",
            reason="Each visit opens another one, until the browser or the server refuses.",
            fix="Close it when the component goes.",
            reference=mdn("WebSocket.close()", "Web/API/WebSocket/close"),
            confidence=Confidence.MEDIUM,
        ),
        _closed,
    ),
    FileRule(
        describe(
            "event-source-error",
            _REAL_TIME,
            Severity.MODERATE,
            "Errors of event streams are handled",
            reason="After some errors the browser does not reconnect, and the page looks alive but is not.",
            fix="Handle `onerror`; when `readyState` is CLOSED, connect again after a pause.",
            reference=mdn("EventSource: error event", "Web/API/EventSource/error_event"),
        ),
        _event_source_error,
    ),
    FileRule(
        describe(
            "unbounded-buffer",
            _REAL_TIME,
            Severity.MODERATE,
            "Live lists have a limit",
            reason="A page that is left open overnight becomes slow, then crashes.",
            fix="Keep the last few hundred and fetch older ones on request.",
            reference=page(
                "web.dev: Virtualize large lists",
                "https://web.dev/articles/virtualize-long-lists-react-window",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _unbounded,
    ),
    FileRule(
        describe(
            "unbatched-updates",
            _REAL_TIME,
            Severity.MINOR,
            "Bursts of messages are drawn together",
            reason="A burst of a thousand messages renders a thousand times.",
            fix="Collect messages and render once per animation frame.",
            reference=mdn("requestAnimationFrame", "Web/API/Window/requestAnimationFrame"),
            confidence=Confidence.LOW,
        ),
        _unbatched,
    ),
    FileRule(
        describe(
            "polling-interval",
            _REAL_TIME,
            Severity.MODERATE,
            "Polling leaves the server room to breathe",
            reason="Every open tab asks many times a second, also in the background.",
            fix="Use a WebSocket or EventSource, or poll at intervals of seconds and pause while hidden.",
            reference=mdn("Page Visibility API", "Web/API/Page_Visibility_API"),
        ),
        _polling,
    ),
    ProjectRule(
        describe(
            "connection-shown",
            _REAL_TIME,
            Severity.MODERATE,
            "The state of the connection is visible",
            reason="Old figures look like current ones when the connection is gone.",
            fix='Show connected, reconnecting and offline in an element with `role="status"`.',
            reference=wcag("4.1.3 Status Messages", "status-messages"),
            confidence=Confidence.MEDIUM,
        ),
        _connection_shown,
    ),
)
