"""What commands print: text for people on a terminal, JSON for programs, errors on standard error.

Text from outside (names, arguments, answers, errors of others) is data: it goes into a constant template by
name, and never acts. rich reads markup in templates alone, and no control character reaches the terminal,
whichever command prints and by whichever way; `Terminal` sees to that for all of them.
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from io import StringIO, TextIOWrapper
from pathlib import Path
from string import Formatter
from typing import Annotated, Any, Final, TextIO, cast
from uuid import UUID

import typer
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.text import Text

from connectors.text.harmless import harmless, harmless_json, one_line
from schemas.plain import to_plain

_WIDTH_WITHOUT_TERMINAL: Final = 180
_UNITS: Final = ("B", "kB", "MB", "GB", "TB", "PB")
# Stands in a template for a value: a character that no template has.
_PLACE: Final = "\ue000"

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]


class Terminal(Console):
    """A console on which nothing that is printed can act: controls are shown as \\x1b, markup is text."""

    def __init__(self, *, stderr: bool = False) -> None:
        """Write to standard output or standard error, whatever these are when something is printed."""
        stream = sys.stderr if stderr else sys.stdout
        super().__init__(
            stderr=stderr,
            markup=False,
            emoji=False,
            highlight=False,
            soft_wrap=True,
            width=None if stream is not None and stream.isatty() else _WIDTH_WITHOUT_TERMINAL,
        )

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Render as rich does, and make all text harmless; its own controls are marked as such."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=harmless(segment.text))

    def on_broken_pipe(self) -> None:
        """Leave it to the command to end; rich would end the process with exit code 1."""
        raise BrokenPipeError

    def render_str(self, text: str, **options: Any) -> Text:
        """Render a plain string; rich would drop some controls without a word."""
        return super().render_str(harmless(text), **options)


console = Terminal()
errors = Terminal(stderr=True)


def accept_any_text() -> None:
    """Let standard output and error take any character: what the locale lacks is written as \\u2026.

    Called once, by the command line, before anything is printed.
    """
    # A shell's `>&-` leaves none at all.
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # open to the end
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def styled(template: str, /, **values: object) -> Text:
    """Fill a template and return it as rich's text.

    Args:
        template: constant text with rich's markup and `{name}` or `{name:>10}` for values.
        values: shown as they are and on one line, markup and all; a value named `text` keeps its line ends.
    """
    markup: list[str] = []
    filled: list[str] = []
    for literal, name, spec, _ in Formatter().parse(template):
        markup.append(literal)
        if name is not None:
            shown = harmless if name == "text" else one_line
            filled.append(shown(format(values[name], spec or "")))
            markup.append(_PLACE)
    # The values come in after the markup was read, for rich's quoting of text fails on some backslashes.
    read = Text.from_markup("".join(markup), emoji=False)
    whole = Text(end=read.end)
    begin = 0
    for value, place in zip(filled, re.finditer(_PLACE, read.plain), strict=True):
        whole.append_text(read[begin : place.start()])
        inserted = Text(value)
        for span in read.spans:
            if span.start <= place.start() < span.end:
                inserted.stylize(span.style)
        whole.append_text(inserted)
        begin = place.end()
    return whole.append_text(read[begin:])


def say(template: str, /, **values: object) -> None:
    """Print a line for people; see `styled`."""
    console.print(styled(template, **values))


def note(template: str, /, **values: object) -> None:
    """Print a line about the way to a result, on standard error; see `styled`."""
    errors.print(styled(template, **values))


def show(renderable: RenderableType) -> None:
    """Print a table or a tree; strings in it are text, and no markup."""
    console.print(renderable)


def error(message: str, hint: str = "") -> None:
    """Print an error, and what can be done about it."""
    note("[bold red]error:[/] {text}", text=message)
    if hint:
        note("[dim]{text}[/]", text=hint)


def emit(text: str) -> None:
    """Write a text for programs, such as CSV, to standard output."""
    HarmlessStream(sys.stdout).write(text)


def emit_json(value: object) -> None:
    """Print one JSON value on a line of its own, in characters that the stream has and that never act."""
    text = json.dumps(plain(value), ensure_ascii=False)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(plain(value))
    sys.stdout.write(harmless_json(text) + "\n")
    sys.stdout.flush()


def plain(value: object) -> object:
    """Turn what commands print into JSON's types; bytes become text where they are, else hexadecimal."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Enum):
        return plain(value.value)
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID | Path | Decimal):
        return str(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"hex": value.hex()}
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    return [plain(item) for item in cast("list[object]", list(cast("list[object]", value)))]


def event_json(event: object) -> object:
    """Turn an envelope into JSON's types, its body with its type's name."""
    return plain(to_plain(event))


def time(at_ms: int) -> str:
    """Write a time in milliseconds as ISO 8601, UTC, to the second."""
    return datetime.fromtimestamp(at_ms // 1_000, UTC).isoformat()


def money(nanodollars: int) -> str:
    """Write an amount of money: $0.0123, or $0 for none; what is under a hundredth of a cent in full."""
    if nanodollars == 0:
        return "$0"
    dollars = Decimal(nanodollars) / 1_000_000_000
    text = f"{dollars:.4f}" if dollars >= Decimal("0.01") else f"{dollars:.6f}"
    return "$" + text


def size(count: float) -> str:
    """Write a number of bytes in the largest unit that leaves one digit before the point: 12.3 MB."""
    power = 0
    while count >= 999.5 and power < len(_UNITS) - 1:
        count, power = count / 1_000, power + 1
    return f"{count:,.0f} B" if power == 0 else f"{count:,.1f} {_UNITS[power]}"


class HarmlessStream(StringIO):
    """A stream for reports that are made elsewhere: what would act on a terminal is written out."""

    def __init__(self, stream: TextIO, *, is_json: bool = False) -> None:
        """Note where to write.

        Args:
            is_json: write characters out as JSON does, so that what is written stays JSON.
        """
        super().__init__()
        self._stream = stream
        self._is_json = is_json

    def write(self, text: str) -> int:
        """Write `text`, harmless; a carriage return is kept, with which progress is shown on one line."""
        parts = text.split("\r")
        self._stream.write("\r".join(map(harmless_json if self._is_json else harmless, parts)))
        return len(text)

    def flush(self) -> None:
        """Write out what is buffered."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Tell whether a person is looking."""
        return self._stream.isatty()


def stop_writing() -> None:
    """Give up on a stream that takes no more, so that the interpreter does not try again at its end."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with open(os.devnull, "wb") as nowhere:
                os.dup2(nowhere.fileno(), stream.fileno())
