"""The WebSockets of a file, and what their handlers do."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from connectors.ui_analyzer.document import Document
from connectors.ui_analyzer.rules.realtime import bound_name
from connectors.ui_analyzer.script import Call, Script
from connectors.ui_analyzer.syntax import Syntax


@dataclass(frozen=True, slots=True)
class Socket:
    """A WebSocket that is opened by hand."""

    script: Script
    call: Call
    name: str
    code: str
    """The source of its file without comments."""

    @property
    def line(self) -> int:
        """1-based line."""
        return self.call.item.line

    @property
    def column(self) -> int:
        """1-based column."""
        return self.call.item.column


def sockets(document: Document) -> Iterator[Socket]:
    """WebSockets whose life this file decides about, opened in code that runs in a browser."""
    if _of_terminal(document):
        return iter(())
    return (
        socket
        for socket in all_sockets(document)
        if not (_callers_decide(socket) or only_tries(socket) or _is_one_answer(socket))
    )


def _is_one_answer(socket: Socket) -> bool:
    """Whether a connection is for one command: its end, and nothing else, fulfils a promise that the caller gets."""
    function = socket.script.function_around(socket.call.item)
    if function is None or "new Promise" not in socket.script.code_of(function):
        return False
    return all(
        re.search(r"(?<![\w$.])(?:resolve|reject)\(", handler_source(socket, event)) is not None
        for event in ("message", "close")
    )


def only_tries(socket: Socket) -> bool:
    """Whether a connection is closed as soon as it stands: it was to find out whether one can be had."""
    return re.search(r"(?<![\w$])close\(", handler_source(socket, "open")) is not None


def _of_terminal(document: Document) -> bool:
    """Whether a terminal is drawn: its session ends with the connection, and a new one would be another session."""
    return any(
        module in ("xterm", "@xterm/xterm", "hterm-umdjs", "hterm")
        or module.startswith(("@xterm/", "xterm-"))
        for script in document.scripts
        for module in script.modules
    )


def _callers_decide(socket: Socket) -> bool:
    """Whether the handlers come from whoever calls the function that opens it: what follows is told there."""
    function = socket.script.function_around(socket.call.item)
    parameters = (
        None
        if function is None
        else function.node.child_by_field_name("parameters") or function.node.child_by_field_name("parameter")
    )
    names = set(re.findall(r"[A-Za-z_$][\w$]*", socket.script.text(parameters)))
    return any(given in names for event in ("close", "message") for given in _given(socket, event))


def _given(socket: Socket, event: str) -> Iterator[str]:
    script = socket.script
    for item in handlers(socket, event):
        node = item.node.child_by_field_name("right")
        arguments = item.node.child_by_field_name("arguments")
        if arguments is not None and arguments.named_children:
            node = arguments.named_children[-1]
        yield script.text(node)


def all_sockets(document: Document) -> Iterator[Socket]:
    """WebSockets opened with `new WebSocket(…)` in code that runs in a browser."""
    if document.server:
        return
    for script in document.scripts:
        if "WebSocket" in script.imported and script.imported["WebSocket"].module in (
            "ws",
            "partysocket",
            "reconnecting-websocket",
        ):
            continue
        for call in script.constructions:
            if call.callee in ("WebSocket", "window.WebSocket", "globalThis.WebSocket"):
                yield Socket(script, call, bound_name(script, call.item), script.code_text)


def handlers(socket: Socket, event: str) -> list[Syntax]:
    """Handlers of an event of a socket in this file."""
    found = []
    script = socket.script
    for item in script.items("assignment_expression"):
        left = script.text(item.node.child_by_field_name("left"))
        if left.endswith(f".on{event}") and script.text(item.node.child_by_field_name("right")) != "null":
            found.append(item)
    for call in script.calls:
        if (
            call.name in ("addEventListener", "on", "once")
            and call.arguments
            and script.text(call.arguments[0]).strip("'\"`") == event
        ):
            found.append(call.item)
    return found


def handler_source(socket: Socket, event: str) -> str:
    """The source of the handlers of an event, with the named functions of the file that they call."""
    script = socket.script
    text = "\n".join(script.code_of(item) for item in handlers(socket, event))
    seen: set[str] = set()
    for _ in range(4):
        for name in set(re.findall(r"\b(?:this\.)?#?([A-Za-z_$][\w$]*)\b", text)) - seen:
            seen.add(name)
            function = script.named_functions.get(name)
            if function is not None:
                text += f"\n{name}: " + script.code_of(function)
    return text[:40_000]
