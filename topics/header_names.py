"""A repair of aiokafka 0.14: header names that are not UTF-8 are read, as Kafka itself takes them.

Java and Go write any bytes as the name of a header. aiokafka decodes names strictly while it unpacks a fetch,
so that one such record ended every consumer that met it, again and again, and with it worker and sink. Here a
batch is read as before; only one that cannot be is read again with names whose odd bytes stand as `\\xff`.

Upgrading aiokafka means reading its record/default_records.py again, and running
tests/topics/test_header_names.py.
"""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, Final

from aiokafka.consumer import fetcher  # type: ignore[import-untyped]  # it ships no types
from aiokafka.record import default_records, memory_records  # type: ignore[import-untyped]  # as above
from aiokafka.record.util import decode_varint  # type: ignore[import-untyped]  # as above

REPAIRED_VERSION: Final = "0.14.0"


class UnknownAiokafkaVersion(Exception):
    """The repair was made for another version of aiokafka."""


def repair(installed: str | None = None) -> None:
    """Let all consumers of this process read any header's name; repeating it changes nothing.

    Raises:
        UnknownAiokafkaVersion: another version is installed than the one that was repaired.
    """
    found = installed or version("aiokafka")
    if found != REPAIRED_VERSION:
        raise UnknownAiokafkaVersion(
            f"aiokafka {found} is installed; its reading of headers was repaired for "
            f"{REPAIRED_VERSION}, without which one record can end every consumer"
        )
    fetcher.MemoryRecords = TolerantRecords


class TolerantRecords(memory_records._MemoryRecordsPy):  # type: ignore[misc]  # it ships no types
    """The batches of one fetch of a partition."""

    def next_batch(self, *args: Any, **options: Any) -> object:  # Any: passed on
        """Return the next batch, or None."""
        data = self._next_slice
        batch = super().next_batch(*args, **options)
        return None if batch is None else _Batch(batch, data)


class _Batch:
    """A batch as aiokafka reads it, unless it cannot."""

    def __init__(self, batch: Any, data: memoryview) -> None:  # Any: it ships no types
        self._batch = batch
        self._data = data

    def __getattr__(self, name: str) -> object:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[object]:
        try:
            return iter(list(self._batch))
        except UnicodeDecodeError:
            return iter(list(_TolerantBatch(self._data)))

    def __next__(self) -> object:
        return next(self._batch)


class _TolerantBatch(default_records._DefaultRecordBatchPy):  # type: ignore[misc]  # it ships no types
    """A batch read in Python: https://kafka.apache.org/documentation/#record is its form."""

    _buffer: bytearray
    _pos: int

    def _read_msg(self) -> object:
        length, begin = decode_varint(self._buffer, self._pos)
        later_ms, at = decode_varint(self._buffer, begin + 1)  # after a byte of attributes, which is unused
        offset, at = decode_varint(self._buffer, at)
        key, at = self._bytes_at(at)
        value, at = self._bytes_at(at)
        count, at = decode_varint(self._buffer, at)
        headers = []
        for _ in range(count):
            name, at = self._bytes_at(at)
            text, at = self._bytes_at(at)
            headers.append(((name or b"").decode(errors="backslashreplace"), text))
        self._pos = begin + length
        stamped_by_kafka = self.timestamp_type == self.LOG_APPEND_TIME
        return default_records._DefaultRecordPy(
            self.base_offset + offset,
            self.max_timestamp if stamped_by_kafka else self.first_timestamp + later_ms,
            self.timestamp_type,
            key,
            value,
            headers,
        )

    def _bytes_at(self, at: int) -> tuple[bytes | None, int]:
        length, at = decode_varint(self._buffer, at)
        return (None, at) if length < 0 else (bytes(self._buffer[at : at + length]), at + length)
