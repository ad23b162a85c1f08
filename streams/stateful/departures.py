"""What a shell with state still knows of keys whose records have left its table.

A key that ended long ago leaves by a tombstone. Before that, a record of its partition is durable that holds

- a floor for each source topic: up to this offset everything was applied, so what comes again from there is
  no news, whatever has become of the group's committed offsets;
- eight bytes for each key that left, so that what comes after the floor for one of them is refused and never
  begins the key anew: its events would be numbered from 1 again.

Such records stand in the shell's own table under keys that begin with a zero byte, which no key of a shell
does. A record takes KEYS_MAX keys; then the next one begins.
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from typing import Final

from streams.records.delivery import Delivery, Entry, Place
from streams.records.framing import RecordDamaged, RecordForeign, framed, unframed
from topics.routing import partition_of

KEYS_MAX: Final = 2_048
"""Keys of one record, which so has at most 16 KB: it is written anew whenever keys leave."""
_MARK: Final = b"\x00departed/"
_HEAD: Final = struct.Struct(">HI")
_FLOOR: Final = struct.Struct(">Hq")
_VERSION: Final = 2
_BARE_VERSION: Final = 1
_SETTLED_EVERY: Final = 8_192
"""Keys that left lately are sought in a set, which takes ten times the memory of the sorted rest."""


def is_departures(key: bytes) -> bool:
    """Tell whether a key of a table is not one of the shell's keys but a record of those that left."""
    return key.startswith(_MARK)


def home_of(key: bytes, partitions: int) -> int:
    """Return the partition in which a table's record stands, be it of a key or of those that left."""
    return _place_of(key)[0] if is_departures(key) else partition_of(key, partitions)


def check_departures(data: bytes) -> None:
    """Read a record of keys that left, only to see whether it can be read.

    Raises:
        RecordDamaged: no program wrote it.
        RecordNewer: a newer program did.
    """
    _decoded(data)


def place_of_departures(key: bytes) -> int:
    """Return the partition that a record of keys that left is about."""
    return _place_of(key)[0]


class Departures:
    """Of the partitions that are owned now."""

    def __init__(self) -> None:
        """Know nothing until `begin`."""
        self._floors: dict[Place, int] = {}
        self._applied: dict[Place, int] = {}
        self._settled = array("Q")
        self._recent: set[int] = set()
        # By partition, number and keys of the record that is being filled.
        self._open: dict[int, tuple[int, list[int]]] = {}

    def begin(self, records: Mapping[bytes, bytes], starts: Mapping[Place, int]) -> Mapping[Place, int]:
        """Read the records that a recovered table has of those that left, and return the floors.

        Args:
            records: of the partitions owned now, by key.
            starts: by source topic and partition, the first offset that is not known to be acknowledged.

        Raises:
            RecordDamaged: no program wrote one of them.
            RecordNewer: a newer program did.
        """
        self._applied = {place: start - 1 for place, start in starts.items()}
        self._floors.clear()
        self._recent.clear()
        self._open.clear()
        found: list[int] = []
        for key, data in records.items():
            partition, number = _place_of(key)
            floors, keys = _decoded(data)
            for topic, offset in floors.items():
                place = (topic, partition)
                self._floors[place] = max(offset, self._floors.get(place, -1))
            found += keys
            if number >= self._open.get(partition, (0, []))[0]:
                self._open[partition] = (number, keys)
        self._settled = array("Q", sorted(found))
        return self._floors

    def applied(self, deliveries: Iterable[Delivery]) -> None:
        """Note that deliveries, in their partitions' order, are acknowledged."""
        for delivery in deliveries:
            self._applied[delivery.topic, delivery.partition] = delivery.offset

    def is_past(self, delivery: Delivery) -> bool:
        """Tell whether a delivery for a key that is not in the table was applied before the key left."""
        return delivery.offset <= self._floors.get((delivery.topic, delivery.partition), -1)

    def has_left(self, key: bytes) -> bool:
        """Tell whether a key has left."""
        mark = _mark_of(key)
        if mark in self._recent:
            return True
        at = bisect_left(self._settled, mark)
        return at < len(self._settled) and self._settled[at] == mark

    def may_leave(self, positions: Mapping[str, int], partition: int) -> bool:
        """Tell whether all that came before a key's last inputs is applied, whichever key it was for."""
        return all(
            offset <= max(self._applied.get((topic, partition), -1), self._floors.get((topic, partition), -1))
            for topic, offset in positions.items()
        )

    def leave(self, leaving: Sequence[tuple[bytes, int, Mapping[str, int]]]) -> list[Entry]:
        """Return the records that must be durable before the keys' tombstones are written.

        Args:
            leaving: keys, each with its partition and its positions.
        """
        written: dict[tuple[int, int], list[int]] = {}
        for key, partition, positions in leaving:
            for topic, offset in positions.items():
                place = (topic, partition)
                self._floors[place] = max(offset, self._floors.get(place, -1))
            number, keys = self._open.setdefault(partition, (0, []))
            mark = _mark_of(key)
            # After a crash between the two writes the key is already there.
            if not self.has_left(key):
                if len(keys) >= KEYS_MAX:
                    number, keys = self._open[partition] = (number + 1, [])
                keys.append(mark)
                self._recent.add(mark)
            written[partition, number] = keys
        if len(self._recent) >= _SETTLED_EVERY:
            self._settled = array("Q", sorted([*self._settled, *self._recent]))
            self._recent.clear()
        return [
            Entry(
                key=b"%s%d/%d" % (_MARK, partition, number),
                value=_encoded(self._floors_of(partition), keys),
                partition=partition,
            )
            for (partition, number), keys in written.items()
        ]

    def _floors_of(self, partition: int) -> dict[str, int]:
        return {topic: offset for (topic, where), offset in self._floors.items() if where == partition}


def _place_of(key: bytes) -> tuple[int, int]:
    """Return partition and number of a record.

    Raises:
        RecordForeign: no shell uses such a key.
    """
    partition, _, number = key.removeprefix(_MARK).partition(b"/")
    if not (partition.isdigit() and number.isdigit()):
        raise RecordForeign("its key is none of those under which a table keeps who left")
    return int(partition), int(number)


def _mark_of(key: bytes) -> int:
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


def _encoded(floors: Mapping[str, int], keys: Sequence[int]) -> bytes:
    parts = [_HEAD.pack(len(floors), len(keys))]
    for topic, offset in sorted(floors.items()):
        name = topic.encode()
        parts += [_FLOOR.pack(len(name), offset), name]
    return framed(_VERSION, b"".join([*parts, struct.pack(f">{len(keys)}Q", *keys)]))


def _decoded(data: bytes) -> tuple[dict[str, int], list[int]]:
    data = unframed(data, _VERSION, bare=_BARE_VERSION)
    try:
        topics, count = _HEAD.unpack_from(data)
        at = _HEAD.size
        floors: dict[str, int] = {}
        for _ in range(topics):
            length, offset = _FLOOR.unpack_from(data, at)
            at += _FLOOR.size
            floors[data[at : at + length].decode()] = offset
            at += length
        return floors, list(struct.unpack(f">{count}Q", data[at:]))
    except (struct.error, UnicodeDecodeError) as error:
        raise RecordDamaged("the record of keys that left ends too early or too late") from error
