"""Marks: eight bytes each for what a shell's table no longer holds and must still know.

They stand in the shell's own table under keys that begin with a zero byte, which no key of a shell does: a
kind, the partition, and a number. A record takes MARKS_MAX marks; then the next one begins. Beside them it
may hold floors: by source topic, an offset.
"""

import struct
from array import array
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from streams.records.framing import RecordDamaged, RecordForeign, framed, unframed
from streams.records.intake import RESERVED_KEYS
from topics.routing import partition_of

MARKS_MAX: Final = 2_048
"""Marks of one record, which is at most 16 KB: it is written anew whenever some are added."""
DEPARTED: Final = b"departed"
"""The kind of marks of keys that left."""
INPUTS: Final = b"inputs"
"""The kind of marks of inputs that their keys' states no longer know."""
_KINDS: Final = (DEPARTED, INPUTS)
_HEAD: Final = struct.Struct(">HI")
_FLOOR: Final = struct.Struct(">Hq")
_VERSION: Final = 2
_BARE_VERSION: Final = 1
_SETTLED_EVERY: Final = 8_192
"""Marks that were added lately are sought in a set, which takes ten times the memory of the sorted rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarksRecord:
    """One record of marks."""

    marks: Sequence[int]
    floors: Mapping[str, int] = field(default_factory=dict)
    """By source topic."""

    def encode(self) -> bytes:
        """Write the record."""
        parts = [_HEAD.pack(len(self.floors), len(self.marks))]
        for topic, offset in sorted(self.floors.items()):
            name = topic.encode()
            parts += [_FLOOR.pack(len(name), offset), name]
        return framed(_VERSION, b"".join([*parts, struct.pack(f">{len(self.marks)}Q", *self.marks)]))

    @classmethod
    def decode(cls, data: bytes) -> "MarksRecord":
        """Read a record.

        Raises:
            RecordDamaged: no program wrote it.
            RecordNewer: a newer program did.
        """
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
            return cls(marks=struct.unpack(f">{count}Q", data[at:]), floors=floors)
        except (struct.error, UnicodeDecodeError) as error:
            raise RecordDamaged("the record of marks ends too early or too late") from error


class Marks:
    """Those of one kind, of the partitions that are owned now."""

    def __init__(self, kind: bytes) -> None:
        """Know nothing until `begin`."""
        self._kind = kind
        self._settled = array("Q")
        self._recent: set[int] = set()
        # By partition, number and marks of the record that is being filled.
        self._open: dict[int, tuple[int, list[int]]] = {}
        self._changed: dict[tuple[int, int], list[int]] = {}

    def begin(self, records: Mapping[bytes, MarksRecord]) -> None:
        """Know what a recovered table has, by key, and nothing of before."""
        self._recent.clear()
        self._open.clear()
        self._changed.clear()
        found: list[int] = []
        for key, record in records.items():
            _, partition, number = _place_of(key)
            found += record.marks
            if number >= self._open.get(partition, (0, []))[0]:
                self._open[partition] = (number, list(record.marks))
        self._settled = array("Q", sorted(found))

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._recent or self._settled)

    def __contains__(self, mark: object) -> bool:
        """Tell whether a mark was added."""
        if mark in self._recent:
            return True
        assert isinstance(mark, int)
        at = bisect_left(self._settled, mark)
        return at < len(self._settled) and self._settled[at] == mark

    def add(self, mark: int, partition: int) -> None:
        """Add a mark; the record that is being filled counts as changed even if it was there before."""
        number, marks = self._open.setdefault(partition, (0, []))
        # After a crash between two writes the mark is already there.
        if mark not in self:
            if len(marks) >= MARKS_MAX:
                number, marks = self._open[partition] = (number + 1, [])
            marks.append(mark)
            self._recent.add(mark)
        self._changed[partition, number] = marks

    def take_changed(self) -> list[tuple[bytes, int, Sequence[int]]]:
        """Return key, partition and marks of each record that differs from the table's, but for once."""
        if len(self._recent) >= _SETTLED_EVERY:
            self._settled = array("Q", sorted([*self._settled, *self._recent]))
            self._recent.clear()
        changed, self._changed = self._changed, {}
        return [
            (key_of_marks(self._kind, partition, number), partition, marks)
            for (partition, number), marks in changed.items()
        ]


def mark_of(key: bytes) -> int:
    """Return eight bytes by which something is known; among a billion, one of 10¹⁰ is mistaken."""
    return int.from_bytes(blake2b(key, digest_size=8).digest(), "big")


def is_marks(key: bytes, kind: bytes | None = None) -> bool:
    """Tell whether a key of a table is not one of the shell's keys but that of a record of marks."""
    kinds = _KINDS if kind is None else (kind,)
    return any(key.startswith(RESERVED_KEYS + one + b"/") for one in kinds)


def home_of(key: bytes, partitions: int) -> int:
    """Return the partition in which a table's record stands, be it of a key or of marks.

    Raises:
        RecordForeign: no shell uses such a key.
    """
    return _place_of(key)[1] if is_marks(key) else partition_of(key, partitions)


def number_of(key: bytes) -> int:
    """Return the number of a record of marks within its kind and partition."""
    return _place_of(key)[2]


def key_of_marks(kind: bytes, partition: int, number: int) -> bytes:
    """Return the key under which a record of marks stands."""
    return b"%s%s/%d/%d" % (RESERVED_KEYS, kind, partition, number)


def _place_of(key: bytes) -> tuple[bytes, int, int]:
    """Return kind, partition and number of a record.

    Raises:
        RecordForeign: no shell uses such a key.
    """
    kind, _, place = key.removeprefix(RESERVED_KEYS).partition(b"/")
    partition, _, number = place.partition(b"/")
    if not (partition.isdigit() and number.isdigit()):
        raise RecordForeign("its key is none of those under which a table keeps marks")
    return kind, int(partition), int(number)
