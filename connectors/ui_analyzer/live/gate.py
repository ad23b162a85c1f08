"""A proxy on loopback that lets the browser reach one origin only, and can cut its WebSockets.

Interception inside the browser misses redirects and sockets of workers. A proxy that the browser must use misses
nothing: whatever asks for another host or port is refused and recorded.
"""

import socket
import socketserver
import threading
from urllib.parse import urlsplit

_HEAD_BYTES_MAX = 65_536
_CHUNK = 65_536
_CONNECT_TIMEOUT_S = 10
_IDLE_TIMEOUT_S = 120
_REFUSED_MAX = 200


class Gate:
    """Runs from construction to `close`; every method may be called from any thread."""

    def __init__(self, url: str, *, requests_max: int) -> None:
        """Listen on a free loopback port for requests to the origin of `url`."""
        parts = urlsplit(url)
        self._allowed = (parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))
        self._requests_left = requests_max
        self._refused: dict[str, None] = {}
        self._tunnels: set[socket.socket] = set()
        self._lock = threading.Lock()
        gate = self

        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                assert isinstance(self.request, socket.socket)
                gate._serve(self.request)

        class Server(socketserver.ThreadingTCPServer):
            daemon_threads = True
            allow_reuse_address = True

            def handle_error(self, request: object, client_address: object) -> None:
                """A browser hangs up all the time; nothing to report."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True
        )
        self._thread.start()

    @property
    def port(self) -> int:
        """The port to use as HTTP proxy."""
        return int(self._server.server_address[1])

    @property
    def refused(self) -> tuple[str, ...]:
        """Targets that were refused, each once, in order, at most 200."""
        with self._lock:
            return tuple(self._refused)

    def forget_refused(self) -> None:
        """Begin a new list of refused targets."""
        with self._lock:
            self._refused.clear()

    @property
    def tunnels(self) -> int:
        """Open tunnels: WebSockets, and any connection of an HTTPS page."""
        with self._lock:
            return len(self._tunnels)

    def cut_tunnels(self) -> int:
        """Cut every tunnel, as a failing network would, and say how many."""
        with self._lock:
            cut = list(self._tunnels)
        for tunnel in cut:
            _shut(tunnel)
        return len(cut)

    def close(self) -> None:
        """Stop listening and cut everything."""
        self._server.shutdown()
        self._server.server_close()
        self.cut_tunnels()
        self._thread.join(timeout=5)

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_IDLE_TIMEOUT_S)
        head, rest = _read_head(client)
        words = head.split(b"\r\n", 1)[0].split(b" ")
        if len(words) != 3:
            return
        method, target = words[0].decode("latin-1"), words[1].decode("latin-1")
        host, port, path = _target(method, target)
        if (method != "CONNECT" and not path) or not self._admit(host, port, target):
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        try:
            upstream = socket.create_connection((host, port), timeout=_CONNECT_TIMEOUT_S)
        except OSError:
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        with upstream:
            upstream.settimeout(_IDLE_TIMEOUT_S)
            if method == "CONNECT":
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self._tunnel(client, upstream, rest)
            else:
                upstream.sendall(_forwarded(head, method, path) + rest)
                _pipe_both(client, upstream)

    def _admit(self, host: str, port: int, target: str) -> bool:
        with self._lock:
            self._requests_left -= 1
            if (host, port) == self._allowed and self._requests_left >= 0:
                return True
            if len(self._refused) < _REFUSED_MAX:
                self._refused[target[:200]] = None
            return False

    def _tunnel(self, client: socket.socket, upstream: socket.socket, rest: bytes) -> None:
        with self._lock:
            self._tunnels.add(client)
        try:
            if rest:
                upstream.sendall(rest)
            _pipe_both(client, upstream)
        finally:
            with self._lock:
                self._tunnels.discard(client)


def _read_head(client: socket.socket) -> tuple[bytes, bytes]:
    data = b""
    while b"\r\n\r\n" not in data and len(data) < _HEAD_BYTES_MAX:
        chunk = client.recv(_CHUNK)
        if not chunk:
            break
        data += chunk
    head, separator, rest = data.partition(b"\r\n\r\n")
    return head + separator, rest


def _target(method: str, target: str) -> tuple[str, int, str]:
    """Host, port and path of a proxy request; an empty host when it makes no sense."""
    try:
        if method == "CONNECT":
            parts = urlsplit(f"//{target}")
            return parts.hostname or "", parts.port or 0, ""
        parts = urlsplit(target)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return parts.hostname or "", parts.port or 80, path if parts.scheme == "http" else ""
    except ValueError:
        return "", 0, ""


def _forwarded(head: bytes, method: str, path: str) -> bytes:
    """The request as the server expects it; one request per connection keeps the gate simple."""
    lines = head.rstrip(b"\r\n").split(b"\r\n")
    kept = [line for line in lines[1:] if not line.lower().startswith((b"proxy-", b"connection:"))]
    first = f"{method} {path} HTTP/1.1".encode("latin-1")
    return b"\r\n".join([first, *kept, b"Connection: close", b"", b""])


def _pipe_both(one: socket.socket, other: socket.socket) -> None:
    back = threading.Thread(target=_pipe, args=(other, one), daemon=True)
    back.start()
    _pipe(one, other)
    back.join(timeout=_IDLE_TIMEOUT_S)


def _pipe(source: socket.socket, sink: socket.socket) -> None:
    try:
        while chunk := source.recv(_CHUNK):
            sink.sendall(chunk)
    except OSError:
        _shut(source)
        _shut(sink)
        return
    try:
        sink.shutdown(socket.SHUT_WR)
    except OSError:
        return


def _shut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
