"""Stores a batch, whatever rows of it the database refuses: only the records at fault are left out."""

from collections.abc import Awaitable, Callable, Sequence

from sinks.errors import RowRefused
from sinks.intake import Refusal, Taken, skipped, without_changes, without_tables

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
    """Store what goes of a record by itself, after it was put aside."""
    rest = _without(taken, error)
    await put_aside(rest)
    while True:
        try:
            await write([rest])
        except RowRefused as again:
            if not rest.projected.changes:
                await write([skipped(rest)])
                return
            rest = _without(rest, again)
        else:
            return


def _without(taken: Taken, error: RowRefused) -> Taken:
    tables = " and ".join(sorted(error.mirrors))
    whose = (
        f"V1's table {tables} refuses its row, and all else of it is applied"
        if error.mirrors
        else "the database refuses a row of it"
    )
    reason = (
        f"{whose}: {error}; `cartrita rebuild --swap` puts it right once program, table or mapping are mended"
    )
    refusal = Refusal(code="row_refused", reason=reason)
    if error.mirrors - taken.projected.leaves_out:
        return without_tables(taken, error.mirrors, refusal)
    return without_changes(taken, refusal)
