"""Marks of pages: where the next one begins; they name a place, and carry no authority."""

import base64
import binascii
import json
from datetime import datetime
from uuid import UUID

from schemas.ids import is_uuid
from streams.gateway.problems import Problem


def mark_of(*parts: str) -> str:
    """Return the mark behind the last row of a page."""
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


def parts_of(mark: str, count: int) -> list[str]:
    """Read a mark.

    Raises:
        Problem: it is none.
    """
    try:
        parts = json.loads(base64.urlsafe_b64decode(mark + "=" * (-len(mark) % 4)))
    except (binascii.Error, ValueError, RecursionError):
        parts = None
    if (
        not isinstance(parts, list)
        or len(parts) != count
        or not all(isinstance(part, str) and "\0" not in part for part in parts)
    ):
        raise _bad_mark()
    return parts


def _bad_mark() -> Problem:
    return Problem(400, "this is no mark of a page; take `next` of the page before", code="invalid_mark")


def moment_in(text: str) -> datetime:
    """Read a part that is a time.

    Raises:
        Problem: it is not.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError as error:
        raise _bad_mark() from error
    if at.tzinfo is None:
        raise _bad_mark()
    return at


def uuid_in(text: str) -> UUID:
    """Read a part that is an id.

    Raises:
        Problem: it is not.
    """
    if not is_uuid(text):
        raise _bad_mark()
    return UUID(text)


def number_in(text: str) -> int:
    """Read a part that is a number.

    Raises:
        Problem: it is not.
    """
    if not (text.isascii() and text.isdecimal() and len(text) < 18):
        raise _bad_mark()
    return int(text)
