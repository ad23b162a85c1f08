"""Inputs that their keys' states no longer know, so that whoever sends one again is still known to repeat.

A state holds marks of its latest inputs alone, and lets the oldest go, many at once. From then on they are
known here, for ever: the records are durable before the state that knows them no longer, and only inputs are
in them whose application was durable before.
"""

from collections.abc import Iterable, Mapping

from streams.records.delivery import Entry
from streams.stateful.marks import INPUTS, Marks, MarksRecord, mark_of


class KnownInputs:
    """Of the partitions that are owned now."""

    def __init__(self) -> None:
        """Know nothing until `begin`."""
        self._marks = Marks(INPUTS)

    def __bool__(self) -> bool:
        """Tell whether any input is known here."""
        return bool(self._marks)

    def begin(self, records: Mapping[bytes, bytes]) -> None:
        """Read the records that a recovered table has, by key.

        Raises:
            RecordDamaged: no program wrote one of them.
            RecordNewer: a newer program did.
        """
        self._marks.begin({key: MarksRecord.decode(data) for key, data in records.items()})

    def is_known(self, key: bytes, mark: str) -> bool:
        """Tell whether the state of `key` has let go of an input with this mark."""
        return _within(key, mark) in self._marks

    def add(self, key: bytes, partition: int, marks: Iterable[str]) -> None:
        """Know from now on what the state of `key` lets go of."""
        for mark in marks:
            self._marks.add(_within(key, mark), partition)

    def take_changed(self) -> list[Entry]:
        """Return the records that must be durable before the states that let go, but for once."""
        return [
            Entry(key=key, value=MarksRecord(marks=marks).encode(), partition=partition)
            for key, partition, marks in self._marks.take_changed()
        ]


def _within(key: bytes, mark: str) -> int:
    return mark_of(key + b"/" + mark.encode())
