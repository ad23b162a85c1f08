"""Rules on what passes through a WebSocket."""

import re

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.model import Category, Confidence, Severity
from connectors.ui_analyzer.rule import FileRule, Tally, describe, mdn, page
from connectors.ui_analyzer.rules.realtime import message_handlers
from connectors.ui_analyzer.rules.sockets import all_sockets, handlers, sockets

_WS = Category.WEBSOCKET

_PING = re.compile(r"ping|pong|heart_?beat|keep-?alive", re.I)


def _heartbeat(document: Document, tally: Tally) -> None:
    for socket in sockets(document):
        script = socket.script
        beats = any(
            call.callee.endswith("setInterval")
            and re.search(r"\.send\(|ping|heart", script.code_of(call.item), re.I)
            for call in script.calls
        )
        named = any(_PING.search(call.name) for call in script.calls) or any(
            _PING.search(text) for text in re.findall(r"['\"`]([\w:/.-]{2,30})['\"`]", socket.code)
        )
        timed = (
            re.search(
                r"(?:heartbeat|idle|liveness|watchdog|stale)\w*\s*=\s*(?:window\.)?set(?:Timeout|Interval)",
                socket.code,
                re.I,
            )
            is not None
        )
        tally.check(
            beats or named or timed,
            socket,
            "a connection that is silently dead is not noticed: there is no heartbeat",
        )


def _guarded_parse(document: Document, tally: Tally) -> None:
    if document.server:
        return
    for script in document.scripts:
        for handler in message_handlers(script):
            for call in script.calls_in(handler):
                if call.callee == "JSON.parse" and script.function_around(call.item) is not None:
                    tally.check(
                        script.inside_try(call.item, None),
                        call.item,
                        "one malformed message throws inside the handler",
                    )


def _secure_address(document: Document, tally: Tally) -> None:
    for socket in all_sockets(document):
        text = socket.script.text(socket.call.arguments[0]) if socket.call.arguments else ""
        name = re.fullmatch(r"[A-Za-z_$][\w$]*", text)
        if name:
            values = re.findall(
                rf"\b{re.escape(text)}\s*(?::\s*string\s*)?=(?!=)\s*(['\"`][^'\"`]*)", socket.code
            )
            text = values[0] if len(values) == 1 else text
        literal = re.match(r"['\"`](wss?)://([^/'\"`:]+)", text)
        if literal:
            local = (
                re.match(
                    r"localhost|127\.|0\.0\.0\.0|\[::1|\$\{(?:window\.|globalThis\.)?location",
                    literal.group(2),
                )
                is not None
            )
            tally.check(
                literal.group(1) == "wss" or local,
                socket,
                "ws:// is not encrypted, and browsers refuse it on HTTPS pages",
            )


def _send_guard(document: Document, tally: Tally) -> None:
    for socket in sockets(document):
        name = (
            socket.name.rsplit(".", 1)[-1]
            if not socket.name.endswith(".current")
            else socket.name.rsplit(".", 2)[-2]
        )
        if not name:
            continue
        ready = (
            re.search(
                r"readyState|WebSocket\.OPEN|isConnected|isOpen|\bconnected\w*|\bqueue\b|pending|outbox|sendQueue|waitFor",
                socket.code,
                re.I,
            )
            is not None
        )
        sends = [
            call
            for call in socket.script.calls
            if re.search(rf"(?:^|\.|#){re.escape(name)}!?(?:\.current)?!?\.send$", call.callee)
        ]
        opening = handlers(socket, "open")
        outside = [call for call in sends if not any(at.start <= call.item.start < at.end for at in opening)]
        if outside:
            tally.check(
                ready, outside[0].item, "send() throws while connecting and loses the message when closed"
            )


RULES = (
    FileRule(
        describe(
            "websocket-heartbeat",
            _WS,
            Severity.MODERATE,
            "Dead connections are noticed",
            reason="A sleeping laptop or a lost network leaves a socket that looks open for minutes.",
            fix="Send a ping every 20 to 30 seconds and close when no answer comes.",
            reference=page("RFC 6455, 5.5.2 Ping", "https://www.rfc-editor.org/rfc/rfc6455#section-5.5.2"),
            confidence=Confidence.MEDIUM,
        ),
        _heartbeat,
    ),
    FileRule(
        describe(
            "message-parse",
            _WS,
            Severity.MODERATE,
            "Malformed messages do no harm",
            reason="One bad message throws, and the rest of the handler does not run.",
            fix="Parse inside try/catch, check the shape, and ignore what does not fit.",
            reference=mdn(
                "JSON.parse(): exceptions", "Web/JavaScript/Reference/Global_Objects/JSON/parse#exceptions"
            ),
        ),
        _guarded_parse,
    ),
    FileRule(
        describe(
            "websocket-encrypted",
            _WS,
            Severity.SERIOUS,
            "WebSockets are encrypted",
            reason="Anyone on the network can read and change the messages.",
            fix="Use `wss://`, or derive the scheme from `location.protocol`.",
            reference=mdn(
                "Writing WebSocket client applications",
                "Web/API/WebSockets_API/Writing_WebSocket_client_applications#security_considerations",
            ),
        ),
        _secure_address,
    ),
    FileRule(
        describe(
            "websocket-send",
            _WS,
            Severity.MODERATE,
            "Messages are sent when the socket is open",
            reason="Before it is open, send() throws; after it was closed, the message vanishes.",
            fix="Check `readyState`, and keep messages in a queue until it is open.",
            reference=mdn("WebSocket.send()", "Web/API/WebSocket/send"),
            confidence=Confidence.MEDIUM,
        ),
        _send_guard,
    ),
)
