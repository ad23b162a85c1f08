"""Rules on WebSockets: they break, and what happens then."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, mdn, page
from connectors.ui_analyzer.rules.sockets import Socket, handler_source, handlers, sockets

_WS = Category.WEBSOCKET
_LIBRARIES = frozenset(
    {
        "reconnecting-websocket",
        "partysocket",
        "partysocket/ws",
        "socket.io-client",
        "react-use-websocket",
        "phoenix",
        "@stomp/stompjs",
        "graphql-ws",
        "sockette",
        "robust-websocket",
        "centrifuge",
        "pusher-js",
        "ably",
        "y-websocket",
    }
)
_AGAIN = re.compile(
    r"reconnect|connect|retry|reopen|restart|init(?:ialize)?(?:Socket|WebSocket|Ws)|open(?:Socket|Connection)|scheduleRe|backoff",
    re.I,
)
_NOT_AGAIN = re.compile(r"disconnect|set(?:Is)?Connect|isConnect|connected\b|onConnect|clear", re.I)
_RESUME = re.compile(
    r"last_?(?:event|seq|message|offset|id|seen|cursor|index|received)|resume|since|cursor|replay|from_?(?:seq|offset)|\bsequence\b|after_?id|catch_?up|refetch|invalidate|resubscribe|\bsync\b|rehydrate|snapshot",
    re.I,
)


def _reconnects(socket: Socket) -> bool:
    source = handler_source(socket, "close") + handler_source(socket, "error")
    if "WebSocket(" in source or _watched(socket):
        return True
    opening = socket.script.function_around(socket.call.item)
    name = socket.script.name_of(opening) if opening is not None else ""
    if name and re.search(rf"(?<![\w$]){re.escape(name)}\(", source):
        return True
    if any(
        not _NOT_AGAIN.search(word)
        for word in (callee.rsplit(".", 1)[-1] for callee in re.findall(r"\b([\w.]*)\s*\(", source))
        if _AGAIN.search(word)
    ):
        return True
    # `setTimeout(connect, …)`, `setAttempt(n => n + 1)` as a dependency of the effect that connects.
    return (
        any(
            _AGAIN.search(word) and not _NOT_AGAIN.search(word)
            for word in re.findall(r"setTimeout\(\s*(?:\(\)\s*=>\s*)?([\w.]+)", source)
        )
        or re.search(r"set(?:Attempt|Retry|Retries|Reconnect)\w*\(", source) is not None
    )


def _watched(socket: Socket) -> bool:
    """Whether a function looks from time to time whether the socket is closed, and opens another one."""
    script = socket.script
    opening = script.function_around(socket.call.item)
    again = (
        rf"(?<![\w$]){re.escape(script.name_of(opening))}\(" if opening and script.name_of(opening) else r"$^"
    )
    return any(
        re.search(r"readyState\s*[!=]==?\s*(?:[\w.]*\.)?(?:CLOS(?:ED|ING)|OPEN|[123])\b", code)
        and re.search(rf"new WebSocket\(|{again}", code)
        for function in script.functions
        if function is not opening and not (opening and function.start < opening.start < function.end)
        for code in [script.code_of(function)]
    )


def _delays(socket: Socket) -> list[str]:
    """The delays after which it connects again, with what their names stand for."""
    source = handler_source(socket, "close") + handler_source(socket, "error")
    found = []
    for start in (match.end() for match in re.finditer(r"setTimeout\(|sleep\(|delay\(|wait\(", source)):
        found.append(_last_argument(source, start))
    return [_with_names(socket, delay) for delay in found]


def _with_names(socket: Socket, delay: str) -> str:
    """A delay with what its names are set to, and the names in those, three deep."""
    text, seen = delay, set[str]()
    for _ in range(3):
        names = set(re.findall(r"(?<![\w$.])(?:this\.)?#?([A-Za-z_$][\w$]*)\b", text)) - seen
        seen |= names
        for name in sorted(names):
            for match in re.finditer(
                rf"\b#?{re.escape(name)}\b(?:\.current)?\s*(?::\s*\w+\s*)?(?:[*]?=(?!=|>)|\+\+)((?:[^;\n(]|\([^()]*(?:\([^()]*\)[^()]*)*\))*)",
                socket.code,
            ):
                text += " " + match.group(0)
            function = socket.script.named_functions.get(name)
            if function is not None:
                text += " " + socket.script.code_of(function)
        if len(text) > 20_000:
            break
    return text[:20_000]


def _last_argument(source: str, start: int) -> str:
    depth, last, at = 1, start, start
    while at < len(source) and depth:
        char = source[at]
        if char in "([{":
            depth += 1
        elif char in ")]}":
            depth -= 1
        elif char == "," and depth == 1:
            last = at + 1
        at += 1
    return source[last : at - 1].strip()


def _close_handler(document: Document, tally: Tally) -> None:
    for socket in sockets(document):
        tally.check(
            bool(handlers(socket, "close")) or _watched(socket),
            socket,
            "nothing handles the end of this WebSocket",
        )


def _error_handler(document: Document, tally: Tally) -> None:
    for socket in sockets(document):
        # A socket that fails is also closed: who handles that handles both.
        handled = bool(handlers(socket, "error") or handlers(socket, "close")) or _watched(socket)
        tally.check(handled, socket, "nothing handles an error of this WebSocket")


def _reconnect(document: Document, tally: Tally) -> None:
    for socket in sockets(document):
        tally.check(_reconnects(socket), socket, "this WebSocket never connects again after it was closed")
    for script in document.scripts:
        if script.modules & _LIBRARIES and not document.server:
            disabled = re.search(
                r"reconnection\s*:\s*false|shouldReconnect\s*:\s*(?:\(\)\s*=>\s*)?false", script.code_text
            )
            at = next(entry.item for entry in script.imports if entry.module in _LIBRARIES)
            tally.check(disabled is None, at, "reconnection is switched off")


def _backoff(document: Document, tally: Tally) -> None:
    for socket in sockets(document):
        if _reconnects(socket):
            delays = _delays(socket)
            grows = any(
                re.search(
                    r"\*\*|Math\.pow|<<|\*=|\*\s*[A-Za-z(0-9]|[A-Za-z)]\s*\*|\[\s*\w*(?:attempt|retr)\w*|fib|exponential|backoff",
                    delay,
                    re.I,
                )
                for delay in delays
            )
            tally.check(grows, socket, "it connects again at a fixed pace, or at once: there is no backoff")


def _jitter(document: Document, tally: Tally) -> None:
    for socket in sockets(document):
        if _reconnects(socket):
            random = any(
                re.search(r"random|jitter|getRandomValues", delay, re.I) for delay in _delays(socket)
            )
            tally.check(
                random, socket, "all clients connect again at the same moment: the delay has no jitter"
            )


def _resume(document: Document, tally: Tally) -> None:
    for socket in sockets(document):
        if not _reconnects(socket):
            continue
        address = " ".join(socket.script.text(node) for node in socket.call.arguments)
        address = _with_names(socket, address)
        opening = handler_source(socket, "open")
        anew = re.search(r"(?<![\w$])fetch\(|axios|\.get\(", opening + handler_source(socket, "close"))
        ok = _RESUME.search(address) is not None or _RESUME.search(opening) is not None or anew is not None
        tally.check(
            ok,
            socket,
            "what happened while it was disconnected is lost: it does not resume from the last message",
        )


RULES = (
    FileRule(
        describe(
            "websocket-close-handler",
            _WS,
            Severity.MODERATE,
            "The end of a WebSocket is noticed",
            reason="Networks drop connections all the time; the page goes on as if nothing happened.",
            fix="Handle `close`: show it, and connect again.",
            reference=mdn("WebSocket: close event", "Web/API/WebSocket/close_event"),
        ),
        _close_handler,
    ),
    FileRule(
        describe(
            "websocket-error-handler",
            _WS,
            Severity.MINOR,
            "Errors of a WebSocket are handled",
            reason="A refused connection is only visible in the console.",
            fix="Handle `error`, and report it.",
            reference=mdn("WebSocket: error event", "Web/API/WebSocket/error_event"),
        ),
        _error_handler,
    ),
    FileRule(
        describe(
            "websocket-reconnect",
            _WS,
            Severity.SERIOUS,
            "WebSockets connect again",
            reason="After the first hiccup the page stays stale until it is reloaded.",
            fix="Connect again from the close handler, unless it was closed on purpose.",
            reference=mdn("CloseEvent.wasClean", "Web/API/CloseEvent/wasClean"),
        ),
        _reconnect,
    ),
    FileRule(
        describe(
            "websocket-backoff",
            _WS,
            Severity.MODERATE,
            "Reconnecting backs off",
            reason="Clients that try at a fixed pace keep a struggling server down.",
            fix="Double the delay with each attempt, up to a maximum.",
            reference=page(
                "AWS: Exponential backoff and jitter",
                "https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _backoff,
    ),
    FileRule(
        describe(
            "websocket-jitter",
            _WS,
            Severity.MINOR,
            "Reconnecting is spread out",
            reason="After a restart all clients come back in the same second, again and again.",
            fix="Multiply the delay with a random factor.",
            reference=page(
                "AWS: Exponential backoff and jitter",
                "https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _jitter,
    ),
    FileRule(
        describe(
            "websocket-resume",
            _WS,
            Severity.MODERATE,
            "Nothing is lost between two connections",
            reason="What was sent in the gap never appears; the page and the server disagree.",
            fix="Send the last sequence number when connecting, or fetch the state anew.",
            reference=page(
                "WHATWG HTML: Last-Event-ID",
                "https://html.spec.whatwg.org/multipage/server-sent-events.html#the-last-event-id-header",
            ),
            confidence=Confidence.MEDIUM,
        ),
        _resume,
    ),
)
