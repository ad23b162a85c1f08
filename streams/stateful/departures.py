"""What a shell with state still knows of keys whose records have left its table.

A key that ended long ago leaves by a tombstone. Before that, a record of its partition is durable that holds

- a floor for each source topic: up to this offset everything was applied, so what comes again from there is
  no news, whatever has become of the group's committed offsets;
- a mark of each key that left, so that what comes after the floor for one of them is refused and never
  begins the key anew: its events would be numbered from 1 again.
"""

from collections.abc import Iterable, Mapping, Sequence

from streams.records.delivery import Delivery, Entry, Place
from streams.stateful.marks import DEPARTED, Marks, MarksRecord, home_of, mark_of


class Departures:
    """Of the partitions that are owned now."""

    def __init__(self) -> None:
        """Know nothing until `begin`."""
        self._floors: dict[Place, int] = {}
        self._applied: dict[Place, int] = {}
        self._marks = Marks(DEPARTED)

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
        read = {key: MarksRecord.decode(data) for key, data in records.items()}
        self._marks.begin(read)
        for key, record in read.items():
            for topic, offset in record.floors.items():
                self._raise((topic, home_of(key, 0)), offset)
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
        return mark_of(key) in self._marks

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
        for key, partition, positions in leaving:
            for topic, offset in positions.items():
                self._raise((topic, partition), offset)
            self._marks.add(mark_of(key), partition)
        return [
            Entry(
                key=key,
                value=MarksRecord(marks=marks, floors=self._floors_of(partition)).encode(),
                partition=partition,
            )
            for key, partition, marks in self._marks.take_changed()
        ]

    def _raise(self, place: Place, offset: int) -> None:
        self._floors[place] = max(offset, self._floors.get(place, -1))

    def _floors_of(self, partition: int) -> dict[str, int]:
        return {topic: offset for (topic, where), offset in self._floors.items() if where == partition}
