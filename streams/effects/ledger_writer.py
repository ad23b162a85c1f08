"""Writes an effect shell's ledger, and with whatever is written next, which calls are done."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from streams.effects.calls import Call
from streams.effects.ledger import LedgerEntry, call_key
from streams.effects.ledger_memory import LedgerMemory
from streams.records.delivery import Entry, Log


class LedgerWriter:
    """The way to the ledger's changelog."""

    def __init__(self, log: Log, remembered_ms: int) -> None:
        """Take where to write, and how long a call is known after it was done."""
        self._log = log
        self._memory = LedgerMemory(remembered_ms)
        self._finished: list[Call] = []

    @property
    def lags(self) -> bool:
        """Tell whether there are calls of which the ledger does not say yet that they are done."""
        return bool(self._finished)

    def begin(self, done: Iterable[tuple[bytes, LedgerEntry]]) -> None:
        """Begin anew with the calls of which a recovered ledger says that they are done."""
        self._finished.clear()
        self._memory.begin(done)

    def finish(self, call: Call, now_ms: int) -> None:
        """Take a call whose outcome is published; the ledger says so with what is written next.

        Until then a crash has the outcome published again, and its readers drop the repeat.
        """
        call.finish(now_ms)
        self._finished.append(call)

    async def store(self, entries: Sequence[Entry], check: Callable[[], None]) -> None:
        """Write entries and wait.

        Args:
            entries: in their order.
            check: raises OwnershipLost when the partitions were revoked in the meantime.
        """
        finished, self._finished = self._finished, []
        await self._log.store([*entries, *(call.stored() for call in finished)])
        check()
        for call in finished:
            self._memory.note(call_key(call.call_id), call.entry)

    async def forget(
        self, now_ms: int, positions: Mapping[tuple[str, int], int], check: Callable[[], None]
    ) -> None:
        """Drop the entries of calls that were done longer ago than they are remembered."""
        gone = self._memory.forgotten(now_ms, positions)
        if gone:
            await self.store(gone, check)
