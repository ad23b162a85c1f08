"""Pages for the browser tests, served on loopback: a good one, a bad one, a live one and a hostile one."""

import base64
import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Page</title>'
VIEWPORT = (
    '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
)
STYLE = """<style>
:root { color-scheme: light dark; } body { color: #111; background: #fff; } a, button { color: #003399; }
@media (prefers-color-scheme: dark) { body { color: #eee; background: #111; } a, button { color: #aaccff; background: #111; } }
:focus-visible { outline: 3px solid currentColor; }
</style>"""
GOOD = f"""{HEAD}{VIEWPORT}{STYLE}</head><body><main><h1>Page</h1><p>Text with a <a href="/good">link to this page</a>.</p>
<button type="button">Press</button></main></body></html>"""
BAD = f"""{HEAD}{VIEWPORT}<style>
body {{ color: #111; background: #fff; }} .faint {{ color: #bbb; }} button {{ border: 0; background: #eee; }}
button:focus {{ outline: none; }} .wide {{ width: 900px; }}
</style></head><body><main><h1>Page</h1><img src="data:image/gif;base64,R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7">
<p class="faint">Hardly to be read</p><div class="wide">Too wide</div><button type="button">Press</button>
<script>setTimeout(() => {{ throw new Error("broken on purpose"); }}, 10);</script></main></body></html>"""
TRAP = f"""{HEAD}{VIEWPORT}{STYLE}</head><body><main><h1>Page</h1><a href="/trap">Before</a>
<textarea aria-label="Trap" onkeydown="if (event.key === 'Tab') event.preventDefault()"></textarea>
<a href="/trap">After</a></main></body></html>"""
LIVE = f"""{HEAD}{VIEWPORT}{STYLE}</head><body><main><h1>Page</h1><p role="status" id="state">…</p><script>
const state = document.getElementById("state");
function connect() {{
  const socket = new WebSocket(`ws://${{location.host}}/socket`);
  socket.onopen = () => {{ state.textContent = "Connected"; }};
  socket.onclose = () => {{ state.textContent = "Reconnecting"; if (RECONNECT) setTimeout(connect, 200); }};
}}
connect();
</script></main></body></html>"""
LEAK = f"""{HEAD}{VIEWPORT}<style>
:root {{ color-scheme: light dark; }} body {{ color: #111; background: #fff; }} button {{ color: #111; background: #ddd; }}
button:focus-visible {{ outline: none; box-shadow: 0 0 0 4px #c00; }} .well:focus-visible {{ outline: 3px solid #c00; }}
</style></head><body><main><h1>Page</h1><button type="button">Shadow</button> <button type="button" class="well">Line</button>
<script>const kept = []; setInterval(() => {{ kept.push(new Array(20_000).fill(kept.length)); }}, 10);
const block = () => {{ const until = performance.now() + 800; while (performance.now() < until) {{ kept.length = 0; }} }};
addEventListener("load", () => setTimeout(block, 50));</script></main></body></html>"""
HOSTILE = f"""{HEAD}{VIEWPORT}</head><body><main><h1>Page</h1><script>
const other = "http://127.0.0.1:OTHER";
fetch(other + "/stolen").catch(() => {{}});
fetch("/away").catch(() => {{}});
new Image().src = other + "/pixel";
try {{ new WebSocket(other.replace("http", "ws") + "/socket"); }} catch {{}}
fetch("file:///etc/passwd").then((r) => r.text()).then((t) => {{ document.title = t; }}).catch(() => {{}});
window.open(other + "/window"); alert("stop"); print();
const frame = document.createElement("iframe"); frame.src = other + "/frame"; frame.title = "x"; document.body.append(frame);
</script></main></body></html>"""
TAMPERED = f"""{HEAD}{VIEWPORT}</head><body><main><h1>Page</h1><script>
Array.prototype.map = () => 7; Document.prototype.querySelectorAll = () => null; window.axe = {{ run: () => ({{}}) }};
</script></main></body></html>"""
SPIN = f"{HEAD}</head><body><main><h1>Page</h1><script>while (true) {{}}</script></main></body></html>"


class Site(ThreadingHTTPServer):
    """A site that counts what it is asked for."""

    daemon_threads = True

    def __init__(self, pages: dict[str, str]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pages = pages
        self.asked: list[str] = []
        self.redirect = ""

    @property
    def url(self) -> str:
        """The address of the site, without a slash at the end."""
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: object, client_address: object) -> None:
        """The browser hangs up on us all the time."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        site = self.server
        assert isinstance(site, Site)
        site.asked.append(self.path)
        if self.path == "/socket" and self.headers.get("Upgrade", "").lower() == "websocket":
            self._socket()
        elif self.path == "/away":
            self.send_response(302)
            self.send_header("Location", site.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            body = site.pages.get(self.path, "").encode()
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def _socket(self) -> None:
        key = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1(key.encode()).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accept)
        self.end_headers()
        self.close_connection = True
        while self.connection.recv(1_024):
            continue

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name is the library's
        """Say nothing."""


@contextmanager
def served(pages: dict[str, str]) -> Iterator[Site]:
    """Serve pages by path until the end of the block."""
    site = Site(pages)
    thread = threading.Thread(target=site.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        site.shutdown()
        site.server_close()
        thread.join(timeout=5)
