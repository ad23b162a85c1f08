"""A shell's table: Faust recovers it from its changelog, and the shell writes both."""

from collections.abc import Iterator, Mapping
from typing import cast

import faust
from faust.stores.memory import Store

from streams.app import ShellApp
from streams.delivery import Entry


class ShellTable(Mapping[bytes, bytes]):
    """Records by key, of the partitions that this process owns.

    Assigning to a Faust table drops the future of its changelog record, so the shell writes that record
    itself and then puts the value here; keys of revoked partitions leave at the next recovery.
    """

    def __init__(self, app: ShellApp, *, name: str, changelog: str, partitions: int) -> None:
        """Declare the table, with a changelog topic of that full name."""
        self.changelog = changelog
        topic = app.raw_topic(
            [changelog], acks=False, partitions=partitions, compacting=True, deleting=False, internal=True
        )
        self.faust: faust.Table[bytes, bytes] = cast(
            "faust.Table[bytes, bytes]",
            app.Table(
                name,
                key_type=bytes,
                value_type=bytes,
                partitions=partitions,
                changelog_topic=topic,
                recovery_buffer_size=1_000,
            ),
        )

    @property
    def _store(self) -> "Store[bytes, bytes]":
        return cast("Store[bytes, bytes]", self.faust.data)

    def put(self, entry: Entry, offset: int) -> None:  # a store on disk persists it
        """Hold what the changelog holds at `offset`."""
        store = self._store
        if entry.value is None:
            store.data.pop(entry.key, None)
            store._key_partition.pop(entry.key, None)
            return
        store.data[entry.key] = entry.value
        # Faust drops keys by this map when their partition is gone; it fills it only when it recovers.
        store._key_partition[entry.key] = entry.partition

    def partition_of(self, key: bytes) -> int:
        """Return the partition from which a key was recovered, or to which it was written."""
        return int(self._store._key_partition[key])

    def __getitem__(self, key: bytes) -> bytes:
        """Return a key's record."""
        return cast("bytes", self._store.data[key])

    def __iter__(self) -> Iterator[bytes]:
        """Go over the keys."""
        return iter(self._store.data)

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._store.data)
