"""A shell's table: Faust recovers it from its changelog, and the shell writes both."""

from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, cast

import faust
from faust.stores.memory import Store as FaustMemoryStore
from faust.types import EventT

from streams.engine.app import ShellApp
from streams.engine.checked import Check, held, no_check
from streams.engine.context import ShellContext
from streams.engine.disk_store import DiskStore, bytes_of
from streams.records.delivery import Entry
from topics.tables import changelog_of


class Rows(Protocol):
    """Where a table's records are."""

    recovered_bytes: int
    """What recoveries have read, since somebody set it to 0."""

    def put(self, written: Sequence[tuple[Entry, int]]) -> None:
        """Hold records that stand in the changelog, each with its offset."""
        ...

    def read(self, key: bytes) -> bytes | None:
        """Return a key's record."""
        ...

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Go over all records."""
        ...

    def count(self) -> int:
        """Count the records, or estimate how many there are."""
        ...


class MemoryStore(FaustMemoryStore[bytes, bytes]):
    """Faust's store in memory, which a shell writes past Faust."""

    recovered_bytes = 0
    check: Check = staticmethod(no_check)

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT[object]],
        to_key: Callable[[object], object],
        to_value: Callable[[object], object],
    ) -> None:
        """Take what a recovery has read."""
        for event in batch:
            self.recovered_bytes += bytes_of(event)
            taken = held(event, self.check)
            if taken is not None:
                self._hold(*taken, event.message.partition)

    def put(self, written: Sequence[tuple[Entry, int]]) -> None:
        """Hold records; the changelog alone keeps them."""
        for entry, _ in written:
            self._hold(entry.key, entry.value, entry.partition)

    def read(self, key: bytes) -> bytes | None:
        """Return a key's record."""
        return cast("bytes | None", self.data.get(key))

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Go over all records as they are now."""
        # Whoever goes over them lets others run in between, such as a recovery that changes them.
        return iter(tuple(self.data.items()))

    def count(self) -> int:
        """Count the records."""
        return len(self.data)

    def _hold(self, key: bytes, value: bytes | None, partition: int) -> None:
        if value is None:
            self.data.pop(key, None)
            self._key_partition.pop(key, None)
        else:
            self.data[key] = value
            # Faust drops keys by this map when their partition is gone.
            self._key_partition[key] = partition


class ShellTable(Mapping[bytes, bytes]):
    """Records by key, of the partitions that this process owns.

    Assigning to a Faust table drops the future of its changelog record, so the shell writes that record
    itself and then puts the value here; keys of revoked partitions leave at the next recovery.
    """

    def __init__(
        self,
        app: ShellApp,
        *,
        name: str,
        changelog: str,
        partitions: int,
        directory: Path | None = None,
        partition_of: Callable[[bytes], int] | None = None,
        check: Check = no_check,
    ) -> None:
        """Declare the table.

        Args:
            app: of the shell.
            name: of the table.
            changelog: full name of its changelog topic.
            partitions: of the changelog.
            directory: for records on disk; None: they are in memory.
            partition_of: tells where a key belongs; None: it may be in any partition.
            check: refuses what the changelog has and the table must not take.
        """
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
        store: MemoryStore | DiskStore
        if directory is None:
            store = MemoryStore("memory://", app, self.faust, key_type=bytes, value_type=bytes)
            store.check = check
        else:
            store = DiskStore(app, self.faust, path=directory / name, partition_of=partition_of, check=check)
        self._rows: Rows = store
        self.faust._data = store

    def put(self, written: Sequence[tuple[Entry, int]]) -> None:
        """Hold what the changelog holds, each record with its offset there."""
        self._rows.put(written)

    def __getitem__(self, key: bytes) -> bytes:
        """Return a key's record."""
        data = self._rows.read(key)
        if data is None:
            raise KeyError(key)
        return data

    def get(self, key: bytes, default: object = None) -> bytes | None:  # type: ignore[override]  # no default
        """Return a key's record, or None."""
        return self._rows.read(key)

    def __contains__(self, key: object) -> bool:
        """Tell whether there is a record."""
        return self._rows.read(cast("bytes", key)) is not None

    def __iter__(self) -> Iterator[bytes]:
        """Go over the keys."""
        return (key for key, _ in self._rows.rows())

    def items(self) -> "_Items":
        """Go over keys and records together, in one pass over the disk."""
        return _Items(self)

    def take_recovered_bytes(self) -> int:
        """Return what was read of the changelog since this was last asked."""
        recovered_bytes, self._rows.recovered_bytes = self._rows.recovered_bytes, 0
        return recovered_bytes

    def __len__(self) -> int:
        """Count the keys; of records on disk it is an estimate."""
        return self._rows.count()


def table_of(
    context: ShellContext,
    app: ShellApp,
    *,
    shell: str,
    name: str,
    check: Check,
    partition_of: Callable[[bytes], int] | None = None,
) -> ShellTable:
    """Declare a shell's table, where the process keeps its tables."""
    return ShellTable(
        app,
        name=name,
        changelog=changelog_of(context.topic_prefix, name),
        partitions=context.partitions,
        directory=context.table_directory(shell),
        partition_of=partition_of,
        check=check,
    )


class _Items(ItemsView[bytes, bytes]):
    def __init__(self, table: ShellTable) -> None:
        super().__init__(table)
        self._rows = table._rows

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        return self._rows.rows()
