"""Reads of Postgres right after a write: the sink may be about to read of what was written."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from streams.gateway.database import Connection, Sight
from streams.gateway.door import Door

WITHIN_S: Final = 1.0
_POLL_S: Final = 0.02
T = TypeVar("T")


async def lately(
    door: Door, sight: Sight, look: Callable[[Connection], Awaitable[T | None]], within_s: float = WITHIN_S
) -> T | None:
    """Return what a look finds, and look again for a moment while it finds nothing.

    Args:
        door: lends connections.
        sight: for whom it looks.
        look: returns None as long as nothing is there.
        within_s: how long to look again.

    Raises:
        Problem: Postgres is away.
    """
    until_s = time.monotonic() + within_s
    while True:
        async with door.database(sight) as connection:
            found = await look(connection)
        if found is not None or time.monotonic() >= until_s:
            return found
        await asyncio.sleep(_POLL_S)
