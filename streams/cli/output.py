"""What commands print: text for people on a terminal, JSON for programs, errors on standard error."""

import json
import sys
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Final, cast
from uuid import UUID

import typer
from rich.console import Console, RenderableType
from rich.markup import escape

from schemas.plain import to_plain

_WIDTH_WITHOUT_TERMINAL: Final = 180

console = Console(
    highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else _WIDTH_WITHOUT_TERMINAL
)
errors = Console(
    stderr=True,
    highlight=False,
    soft_wrap=True,
    width=None if sys.stderr.isatty() else _WIDTH_WITHOUT_TERMINAL,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text.")]


def say(text: RenderableType) -> None:
    """Print a line for people; rich markup counts."""
    console.print(text)


def error(message: str, hint: str = "") -> None:
    """Print an error, and what can be done about it."""
    errors.print(f"[bold red]error:[/] {escape(message)}")
    if hint:
        errors.print(f"[dim]{escape(hint)}[/]")


def emit_json(value: object) -> None:
    """Print one JSON value on a line of its own."""
    sys.stdout.write(json.dumps(plain(value), ensure_ascii=False) + "\n")
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
