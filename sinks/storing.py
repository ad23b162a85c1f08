"""Stores a batch, whatever rows of it the database refuses: only the records at fault are left out."""

from collections.abc import Awaitable, Callable, Sequence

from sinks.errors import RowRefused
from sinks.intake import Refusal, Taken, skipped, without_changes

Write = Callable[[Sequence[Taken]], Awaitable[None]]
PutAside = Callable[[Taken], Awaitable[None]]


async def store(batch: Sequence[Taken], write: Write, put_aside: PutAside) -> None:
    """Write a batch in one transaction, or in as many as it takes to find the records at fault.

    Args:
        batch: of each partition in the order of offsets.
        write: writes records in one transaction; raises RowRefused when the database refuses one of them.
        put_aside: told of each record at fault before the writer goes past it.
    """
    waiting = [batch]
    while waiting:
        part = waiting.pop()
        try:
            await write(part)
        except RowRefused as error:
            if len(part) > 1:
                half = len(part) // 2
                waiting += [part[half:], part[:half]]
            else:
                await _store_refused(part[0], error, write, put_aside)


async def _store_refused(taken: Taken, error: RowRefused, write: Write, put_aside: PutAside) -> None:
    reason = (
        f"the database refuses a row of it: {error}; "
        "`cartrita rebuild --swap` puts it right once program or table are mended"
    )
    refused = without_changes(taken, Refusal(code="row_refused", reason=reason))
    await put_aside(refused)
    try:
        await write([refused])
    except RowRefused:
        await write([skipped(refused)])
