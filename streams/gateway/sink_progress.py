"""How far the sink has read, looked at once for all who wait for it at the same time."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

PAUSE_S: Final = 0.05
"""Between two looks, however many wait."""
Places = Mapping[tuple[str, int], int]
"""By name of a topic, without the configured prefix, and partition: the offset that the sink reads next."""


class SinkProgress:
    """Lets many wait for the sink by one query at a time.

    When a gateway is gone, all that followed sessions by it come to another one at once, and each of them
    waits for the sink; a query of each, again and again, would keep Postgres from everybody.
    """

    def __init__(self, look: Callable[[], Awaitable[Places]]) -> None:
        """Take how to look once."""
        self._look = look
        self._looking: asyncio.Task[Places] | None = None
        self._looked_at_s = 0.0

    async def reached(self, topic: str, partition: int, offset: int) -> None:
        """Wait until the sink has read up to an offset; at once where it has.

        Args:
            topic: its name, without the configured prefix.
            partition: its number.
            offset: of the first record that need not be read.

        Raises:
            Problem: Postgres does not answer.
        """
        while (await self._places()).get((topic, partition), 0) < offset:
            pass

    async def _places(self) -> Places:
        """Take part in the look that is under way, or begin one."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._next())
            # Where all have gone away meanwhile, nobody else takes note of its failure.
            self._looking.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Whoever goes away takes the look from nobody else.
        return await asyncio.shield(self._looking)

    async def _next(self) -> Places:
        await asyncio.sleep(self._looked_at_s + PAUSE_S - time.monotonic())
        try:
            return await self._look()
        finally:
            self._looked_at_s = time.monotonic()
