"""The objects of a response, whatever form it came in.

An answer is a stream of events, a whole JSON object where the server ignores `stream`, or objects line by
line. What the content type promises is often not what comes, so the first character decides; a page of HTML
or a sentence is nobody's answer, and its words are told.
"""

import asyncio
import codecs
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final, Protocol

from connectors.models.errors import Said, said_by_page, said_in
from schemas.ports.chat import ProviderFailed

LINE_CHARACTERS_MAX: Final = 8_000_000
"""A longer line, or a longer body of JSON, is given up."""
PAGE_CHARACTERS_MAX: Final = 20_000
"""How much of a page is read for its words."""
DRAIN_S: Final = 0.25
_FIELDS: Final = ("data", "event", "id", "retry")


class Response(Protocol):
    """A response of the client library, its body not yet read."""

    @property
    def headers(self) -> Mapping[str, str]:
        """Return its headers; names in any case."""
        ...

    def aiter_bytes(self) -> AsyncIterator[bytes]:
        """Return its body as it comes."""
        ...


class SaidInAnswer(Exception):
    """A response of status 200 tells of a failure in place of an answer, or in the middle of one."""

    def __init__(self, said: Said, *, is_page: bool = False) -> None:
        """Note the words, and whether they stand on a page rather than in an error of the API."""
        super().__init__(said.message)
        self.said = said
        self.is_page = is_page


@dataclass(slots=True, kw_only=True)
class Body:
    """A response's body while it is read."""

    response: Response
    done: bool = False
    """True when the server said that there is no more: [DONE], or a body of JSON that is whole."""

    @property
    def is_framed(self) -> bool:
        """Tell whether HTTP itself would show that the body was cut off: by its length, or in chunks."""
        headers = self.response.headers
        # In HTTP/1.1 a body with neither ends where the connection does, for whatever reason.
        return "content-length" in headers or "chunked" in headers.get("transfer-encoding", "").lower()

    async def objects(self) -> AsyncGenerator[object, None]:
        """Yield the objects of the answer, each a chunk or a whole completion.

        Raises:
            SaidInAnswer: an error stands in an object's place, or the body is a page or a sentence.
            ProviderFailed: the body is cut off, or is not what it began as.
        """
        lines = _Lines()
        reader: _Events | _Json | None = None
        async with aclosing(self._texts()) as texts:
            async for text in texts:
                for line in lines.take(text):
                    if reader is None and not line.strip():
                        continue
                    reader = reader or _reader(line)
                    if reader is None:
                        raise await _page([line, lines.rest()], texts)
                    for value in _sound(reader.take(line)):
                        yield value
                    if reader.ended:
                        self.done = True
                        await _drain(texts)
                        return
        rest = lines.rest()
        reader = reader or (_reader(rest) if rest.strip() else _Json())
        if reader is None:
            raise await _page([rest], texts)
        for value in _sound(reader.finish(rest)):
            yield value
        self.done = reader.ended

    async def _texts(self) -> AsyncGenerator[str, None]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        blocks = self.response.aiter_bytes()
        while True:
            try:
                block = await anext(blocks)
            except StopAsyncIteration:
                return
            except Exception as error:
                # The client library's HTTP library changes its name, so its failures cannot be listed here.
                raise ProviderFailed(
                    "interrupted",
                    f"the answer broke off: {type(error).__name__}",
                    retryable=True,
                    maybe_billed=True,
                ) from error
            yield decoder.decode(block)


@dataclass(slots=True)
class _Lines:
    """Splits text into lines at CR, LF or both; what has no end yet waits."""

    pending: list[str] = field(default_factory=list)
    characters: int = 0
    ended_in_cr: bool = False

    def take(self, text: str) -> list[str]:
        if not text:
            return []
        cut = self.ended_in_cr and text.startswith("\n")
        self.ended_in_cr = text.endswith("\r")
        text = text[1:] if cut else text
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        head, newline, rest = text.rpartition("\n")
        if not newline:
            self._wait(rest)
            return []
        whole = "".join([*self.pending, head]).split("\n")
        self.pending, self.characters = [], 0
        self._wait(rest)
        return whole

    def rest(self) -> str:
        return "".join(self.pending)

    def _wait(self, text: str) -> None:
        self.pending.append(text)
        self.characters += len(text)
        _bound(self.characters)


@dataclass(slots=True)
class _Events:
    """Reads server-sent events; comments, ids and times to wait say nothing about the answer."""

    data: list[str] = field(default_factory=list)
    characters: int = 0
    event: str = ""
    ended: bool = False

    def take(self, line: str) -> list[object]:
        line = line.lstrip("\ufeff \t")
        if not line.strip():
            return self._dispatch()
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self.event = value.strip()
        elif name == "data":
            found: list[object] = []
            # Some servers forget the empty line between events: what is whole needs none.
            if self.data and _starts_anew(value) and _json("\n".join(self.data)) is not None:
                found = self._dispatch()
            self.data.append(value)
            self.characters += len(value)
            _bound(self.characters)
            return found
        elif line[:1] in ("{", "["):
            return [_demanded(line)]
        return []

    def finish(self, rest: str) -> list[object]:
        return [*self.take(rest), *self._dispatch()] if rest else self._dispatch()

    def _dispatch(self) -> list[object]:
        text, event = "\n".join(self.data).strip(), self.event
        self.data, self.characters, self.event = [], 0, ""
        if not text or self.ended:
            return []
        if text.strip('"').upper() == "[DONE]":
            self.ended = True
            return []
        value = _json(text)
        if event == "error":
            raise SaidInAnswer(said_in(value) or said_in({"error": value or text}) or Said(message=text))
        return [_demanded(text) if value is None else value]


@dataclass(slots=True)
class _Json:
    """Reads a body of JSON: one object over many lines, or one a line."""

    lines: list[str] = field(default_factory=list)
    characters: int = 0
    ended: bool = False

    def take(self, line: str) -> list[object]:
        if not self.lines and line.strip():
            value = _json(line)
            if value is not None:
                return [value]
        self.lines.append(line)
        self.characters += len(line)
        _bound(self.characters)
        return []

    def finish(self, rest: str) -> list[object]:
        text = "\n".join([*self.lines, rest]).strip()
        if not text:
            return []
        value = _demanded(text)
        self.ended = True
        return [value]


def _reader(line: str) -> _Events | _Json | None:
    """Return what reads a body whose first line this is; None for a page or a sentence."""
    first = line.lstrip("\ufeff \t")
    if _starts_anew(first):
        return _Json()
    name, colon, _ = first.partition(":")
    return _Events() if colon and (not name or name in _FIELDS) else None


async def _page(read: list[str], texts: AsyncGenerator[str, None]) -> SaidInAnswer:
    """Read the rest of a page, as far as its words may stand, and return what it says."""
    async for more in texts:
        read.append(more)
        if sum(map(len, read)) > PAGE_CHARACTERS_MAX:
            break
    return SaidInAnswer(said_by_page("\n".join(read)), is_page=True)


async def _drain(texts: AsyncGenerator[str, None]) -> None:
    """Read to the end of a body that has said its last word, so that its connection can be used again."""
    try:
        async with asyncio.timeout(DRAIN_S):
            async for _ in texts:
                pass
    except (TimeoutError, ProviderFailed):
        return  # the answer is whole; its connection is closed instead


def _starts_anew(text: str) -> bool:
    return text.lstrip()[:1] in ("{", "[")


def _json(text: str) -> object | None:
    try:
        value: object = json.loads(text.lstrip("\ufeff"))
    except (ValueError, RecursionError):
        return None
    return value


def _demanded(text: str) -> object:
    value = _json(text)
    if value is None:
        raise ProviderFailed(
            "interrupted",
            f"the answer has what is no JSON: {said_by_page(text).message}",
            retryable=True,
            maybe_billed=True,
        )
    return value


def _sound(values: Iterable[object]) -> Iterator[object]:
    """Yield what comes, a list item by item; raises SaidInAnswer where it tells of a failure."""
    for value in values:
        said = said_in(value)
        if said is not None:
            raise SaidInAnswer(said)
        yield from value if isinstance(value, list) else (value,)


def _bound(characters: int) -> None:
    if characters > LINE_CHARACTERS_MAX:
        raise ProviderFailed(
            "provider_error",
            f"the answer has a line of more than {LINE_CHARACTERS_MAX} characters",
            retryable=False,
            maybe_billed=True,
        )
