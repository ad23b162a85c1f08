"""Which calls of a ledger are done, and for how long they are still known."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Final

from streams.effects.ledger import LedgerEntry, encode_position, position_key
from streams.records.delivery import Entry

REMEMBERED_MS: Final = 86_400_000
"""How long a call that is done is known, so that a repeat of it is dropped."""
FORGOTTEN_MAX: Final = 5_000
"""Entries that leave together."""


class LedgerMemory:
    """Done calls, oldest first."""

    def __init__(self, remembered_ms: int) -> None:
        """Take how long a call is known after it was done."""
        self._remembered_ms = remembered_ms
        self._done: deque[tuple[int, bytes, int]] = deque()

    def begin(self, done: Iterable[tuple[bytes, LedgerEntry]]) -> None:
        """Begin anew with these entries, in any order."""
        self._done = deque(sorted((entry.deadline_at_ms, key, entry.partition) for key, entry in done))

    def note(self, key: bytes, entry: LedgerEntry) -> None:
        """Take an entry that was done just now."""
        self._done.append((entry.deadline_at_ms, key, entry.partition))

    def forgotten(self, now_ms: int, positions: Mapping[tuple[str, int], int]) -> list[Entry]:
        """Return the removals of entries whose time is over, behind the positions that their offsets told."""
        gone: list[Entry] = []
        while self._done and self._done[0][0] + self._remembered_ms <= now_ms and len(gone) < FORGOTTEN_MAX:
            _, key, partition = self._done.popleft()
            gone.append(Entry(key=key, value=None, partition=partition))
        partitions = {entry.partition for entry in gone}
        return [
            Entry(key=position_key(topic, partition), value=encode_position(offset), partition=partition)
            for (topic, partition), offset in positions.items()
            if partition in partitions
        ] + gone
