"""A table's records on disk, in RocksDB, with how far the changelog is in them.

For more keys than fit in memory, and for starts that read only what is new. One database for a table. A key
is its partition (4 bytes) and the key itself, so that a partition is a range; partitions that were taken away
stay for when they come back. Records and the offset up to which they are whole are written together. What was
not used for long is dropped and read again: Kafka forgets after a day which keys were removed, and they would
come to life again.
"""

import struct
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, cast

from faust.stores.base import Store
from faust.tables.manager import TableManager
from faust.types import TP, AppT, CollectionT, EventT
from rocksdict import AccessType, BlockBasedOptions, Cache, Options, Rdict, WriteBatch

from streams.engine.checked import Check, held, no_check
from streams.process.ending import ExitCode, ShellStopped
from streams.records.delivery import Entry

UNUSED_MS_MAX: Final = 12 * 3_600_000
"""Half of what Kafka keeps the marks of removed keys for."""
_CACHE_BYTES: Final = 16 * 1_048_576
_BUFFER_BYTES: Final = 8 * 1_048_576
_AHEAD_MAX: Final = 100_000
_PARTITION: Final = struct.Struct(">I")
_PERSISTED: Final = struct.Struct(">qq")
_META: Final = _PARTITION.pack(0xFFFFFFFF)


class Applied:
    """Up to which offset everything of a partition is in the store, where writes may end out of order."""

    def __init__(self, next_offset: int) -> None:
        """Begin where a recovery has ended."""
        self._next = next_offset
        self._ahead: set[int] = set()

    def add(self, offset: int) -> None:
        """Note that a record is in the store."""
        self._ahead.add(offset)
        while self._next in self._ahead:
            self._ahead.remove(self._next)
            self._next += 1
        if len(self._ahead) > _AHEAD_MAX:
            # Somebody else's record lies between. The next start reads it; until then this stands still.
            self._ahead.clear()

    @property
    def last(self) -> int:
        """Return the last offset before the first that is missing."""
        return self._next - 1


class DiskStore(Store[bytes, bytes]):
    """What Faust's recovery fills, and its table then reads and writes."""

    def __init__(
        self,
        app: AppT,
        table: CollectionT,
        *,
        path: Path,
        partition_of: Callable[[bytes], int] | None,
        check: Check = no_check,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        """Open nothing yet.

        Args:
            app: whose recovery fills the store.
            table: whose records it holds.
            path: of the database's folder, which no other process may use.
            partition_of: tells where a key belongs; None: it may be in any partition.
            check: refuses what the changelog has and the store must not take.
            now_ms: the clock.
        """
        super().__init__("rocksdb://", app, table, key_type=bytes, value_type=bytes)
        self._path = path
        self._partition_of = partition_of
        self._check = check
        self._now_ms = now_ms
        self.recovered_bytes = 0
        self._opened: Rdict | None = None
        self._owned: dict[int, Applied] = {}

    # What Faust calls.

    def persisted_offset(self, tp: TP) -> int | None:
        """Return up to which offset the partition is here; None when it has to be read from its beginning."""
        data = self._db.get(_META + _PARTITION.pack(tp.partition))
        if data is None:
            return None
        offset, used_at_ms = _PERSISTED.unpack(data)
        if self._now_ms() - used_at_ms > UNUSED_MS_MAX:
            self._drop(tp.partition)
            return None
        return int(offset)

    def set_persisted_offset(self, tp: TP, offset: int) -> None:
        """Do nothing: records are written together with their offset."""

    async def need_active_standby_for(self, tp: TP) -> bool:
        """Tell that standbys are not used."""
        return False

    def apply_changelog_batch(
        self,
        batch: Iterable[EventT[object]],
        to_key: Callable[[Any], bytes],
        to_value: Callable[[Any], bytes],
    ) -> None:
        """Take what a recovery has read, partition by partition in order."""
        writes = WriteBatch(raw_mode=True)
        ends: dict[int, int] = {}
        for event in batch:
            self.recovered_bytes += bytes_of(event)
            message = event.message
            taken = held(event, self._check)
            if taken is not None:
                _write(writes, _PARTITION.pack(message.partition) + taken[0], taken[1])
            ends[message.partition] = message.offset
        for partition, offset in ends.items():
            self._write_offset(writes, partition, offset)
        self._db.write(writes)

    async def on_recovery_completed(self, active_tps: set[TP], standby_tps: set[TP]) -> None:
        """Own these partitions, and no others, from now on."""
        # Where the recovery read to; what came later, from whomever, is not in the store.
        ends = cast("TableManager", self.app.tables).recovery.active_highwaters
        self._owned = {tp.partition: Applied(ends.get(tp, -1) + 1) for tp in active_tps}
        writes = WriteBatch(raw_mode=True)
        for partition, applied in self._owned.items():
            self._write_offset(writes, partition, applied.last)
        self._db.write(writes)

    def reset_state(self) -> None:
        """Forget everything."""
        self._close()
        Rdict.destroy(str(self._path), _options())

    async def backup_partition(
        self, tp: TP | int, flush: bool = True, purge: bool = False, keep: int = 1
    ) -> None:
        """Do nothing: the changelog is the backup."""

    def restore_backup(self, tp: TP | int, latest: bool = True, backup_id: int = 0) -> None:
        """Do nothing, as above."""

    async def on_stop(self) -> None:
        """Let go of the folder."""
        self._close()

    # What the table calls.

    def put(self, written: Sequence[tuple[Entry, int]]) -> None:
        """Hold records that stand in the changelog, each with its offset."""
        writes = WriteBatch(raw_mode=True)
        for entry, offset in written:
            _write(writes, _PARTITION.pack(entry.partition) + entry.key, entry.value)
            applied = self._owned.get(entry.partition)
            if applied is not None:
                applied.add(offset)
        for partition in {entry.partition for entry, _ in written} & self._owned.keys():
            self._write_offset(writes, partition, self._owned[partition].last)
        self._db.write(writes)

    def read(self, key: bytes) -> bytes | None:
        """Return a key's record."""
        if self._partition_of is not None:
            partition = self._partition_of(key)
            return self._db.get(_PARTITION.pack(partition) + key) if partition in self._owned else None
        for partition in self._owned:
            data: bytes | None = self._db.get(_PARTITION.pack(partition) + key)
            if data is not None:
                return data
        return None

    def rows(self) -> Iterator[tuple[bytes, bytes]]:
        """Go over the records of the partitions that are owned."""
        for partition in sorted(self._owned):
            prefix = _PARTITION.pack(partition)
            pairs = cast("Iterator[tuple[bytes, bytes]]", self._db.items(from_key=prefix))
            for key, value in pairs:
                if not key.startswith(prefix):
                    break
                yield key[_PARTITION.size :], value

    def count(self) -> int:
        """Estimate how many records there are, other partitions' included."""
        return int(self._db.property_int_value("rocksdb.estimate-num-keys") or 0)

    @property
    def _db(self) -> Rdict:
        if self._opened is None:
            self._path.mkdir(parents=True, exist_ok=True)
            try:
                self._opened = Rdict(str(self._path), _options(), access_type=AccessType.read_write())
            except Exception as error:
                # rocksdict raises no type of its own for a folder that is locked or damaged.
                raise ShellStopped(
                    ExitCode.FAILED, f"the table in {self._path} cannot be opened: {error}"
                ) from error
        return self._opened

    def _close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def _write_offset(self, writes: WriteBatch, partition: int, offset: int) -> None:
        writes.put(_META + _PARTITION.pack(partition), _PERSISTED.pack(offset, self._now_ms()))

    def _drop(self, partition: int) -> None:
        self._db.delete_range(_PARTITION.pack(partition), _PARTITION.pack(partition + 1))
        self._db.delete(_META + _PARTITION.pack(partition))


def bytes_of(event: EventT[object]) -> int:
    """Return the bytes of a record's key and value."""
    return len(event.message.key or b"") + len(event.message.value or b"")


def _write(writes: WriteBatch, key: bytes, value: bytes | None) -> None:
    if value is None:
        writes.delete(key)
    else:
        writes.put(key, value)


def _options() -> Options:
    options = Options(raw_mode=True)
    options.create_if_missing(True)
    options.set_write_buffer_size(_BUFFER_BYTES)
    options.set_max_write_buffer_number(2)
    options.set_max_open_files(64)
    options.set_keep_log_file_num(2)
    blocks = BlockBasedOptions()
    blocks.set_block_cache(Cache(_CACHE_BYTES))
    blocks.set_bloom_filter(10, False)
    blocks.set_cache_index_and_filter_blocks(True)
    options.set_block_based_table_factory(blocks)
    return options
