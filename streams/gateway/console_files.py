"""The console's files: the same for everybody, without data, and read once."""

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from streams.gateway.guard import CONSOLE_PAGES, CONSOLE_PATH, SESSION_PAGE

PAGE: Final = "index.html"
POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # No text may become markup or a script, whatever a library tries.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
_PAGE_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_KINDS: Final = {
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".json": "application/json",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleFile:
    """One file, as it is sent."""

    content: bytes
    zipped: bytes
    kind: str
    tag: str
    """By which a browser asks whether its copy is still the file."""


def console_files() -> dict[str, ConsoleFile]:
    """Read every file of the console, by its path below /console/."""
    return {name: _file(name, content) for name, content in _below(files("streams.gateway") / "console", "")}


def routes() -> list[Route]:
    """Return the routes that serve the console."""
    held = console_files()

    async def serve(request: Request) -> Response:
        return _answer(request, held.get(request.path_params["name"]))

    async def page(request: Request) -> Response:
        answer = _answer(request, held[PAGE])
        answer.headers.update(_PAGE_HEADERS)
        return answer

    pages = (*sorted(CONSOLE_PAGES), SESSION_PAGE + "{session_id}")
    return [Route(CONSOLE_PATH + "{name:path}", serve), *(Route(path, page) for path in pages)]


def _answer(request: Request, found: ConsoleFile | None) -> Response:
    if found is None:
        raise HTTPException(404, "the console has no such file")
    headers = {
        "ETag": found.tag,
        # The browser asks each time whether its copy is still good, so that an upgrade shows at once.
        "Cache-Control": "no-cache",
        "Vary": "Accept-Encoding",
        "Cross-Origin-Resource-Policy": "same-origin",
    }
    if found.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        return Response(found.zipped, headers=headers | {"Content-Encoding": "gzip"}, media_type=found.kind)
    return Response(found.content, headers=headers, media_type=found.kind)


def _file(name: str, content: bytes) -> ConsoleFile:
    suffix = "." + name.rpartition(".")[2]
    return ConsoleFile(
        content=content,
        zipped=gzip.compress(content, mtime=0),
        kind=_KINDS[suffix],
        tag=f'"{sha256(content).hexdigest()[:32]}"',
    )


def _below(folder: Traversable, prefix: str) -> Iterator[tuple[str, bytes]]:
    for entry in sorted(folder.iterdir(), key=lambda one: one.name):
        if entry.is_dir():
            yield from _below(entry, f"{prefix}{entry.name}/")
        elif not entry.name.startswith("."):
            yield prefix + entry.name, entry.read_bytes()
