"""Floors: what a shell without state has taken in of its sources, so that it takes nothing in again.

By source, its topic's id and partition, they are ranges of offsets that were dealt with: forwarded or put
aside, and durable there. Kafka's committed offsets say the same only until somebody resets them, or they
expire. There is one range, unless a group was set forward: what it skipped is in none, and is taken in when
it is set back.

Each range grows in order and only after what is in it was written, so that no floor covers what was not. The
topic's id tells a topic that was deleted and made again, of which nothing was taken in yet. A record that is
redriven stands at a place of its own, above every range.
"""

import struct
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import structlog

from streams.records.delivery import Delivery, Entry, Place
from streams.records.framing import RecordDamaged, framed, unframed

RANGES_MAX: Final = 64
"""Of a partition; beyond that the lowest is forgotten, and its inputs are known by their ids alone."""
_RANGE: Final = struct.Struct(">qq")
_VERSION: Final = 1
_log = structlog.get_logger()


class Range(NamedTuple):
    """Offsets from the first to the last, both among them."""

    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FloorsFound:
    """What Kafka has of floors when partitions come."""

    records: Mapping[bytes, bytes] = field(default_factory=dict)
    """By key."""
    topic_ids: Mapping[str, str] = field(default_factory=dict)
    """By source."""


class Floors:
    """Of one shell, for the partitions that it owns now."""

    def __init__(self, shell: str) -> None:
        """Know nothing until `begin`."""
        self._shell = shell
        self._keys: dict[Place, bytes] = {}
        self._ranges: dict[Place, list[Range]] = {}
        self._begun: dict[Place, int] = {}

    def put(self, written: Sequence[tuple[Entry, int]]) -> None:
        """Hold what was written: that is known already."""

    def begin(self, found: FloorsFound, ends: Mapping[Place, int], starts: Mapping[Place, int]) -> None:
        """Begin with what Kafka has.

        Args:
            found: the records, and the sources' ids.
            ends: where each partition ends; what was taken in beyond it is no longer there.
            starts: where reading begins.

        Raises:
            RecordNewer: a newer program wrote the floors.
        """
        self._keys, self._ranges, self._begun = {}, {}, {}
        for place in starts.keys() | ends.keys():
            topic, partition = place
            topic_id = found.topic_ids.get(topic)
            if topic_id is None:
                continue
            key = f"{self._shell}/{topic}/{topic_id}/{partition}".encode()
            data = found.records.get(key)
            self._keys[place] = key
            self._ranges[place] = self._read(place, data, ends.get(place)) if data is not None else []
            self._begun[place] = starts.get(place, 0)

    def is_taken(self, delivery: Delivery) -> bool:
        """Tell whether a delivery was dealt with before."""
        ranges = self._ranges.get((delivery.topic, delivery.partition), [])
        at = bisect_right(ranges, delivery.offset, key=lambda one: one.first) - 1
        return at >= 0 and delivery.offset <= ranges[at].last

    def take(self, deliveries: Iterable[Delivery]) -> list[Entry]:
        """Note that deliveries, in their partitions' order, are dealt with; return what is to be written.

        Whatever lies between two deliveries of a partition is never delivered: what was aborted, and Kafka's
        own marks.
        """
        lasts: dict[Place, int] = {}
        for one in deliveries:
            place = (one.topic, one.partition)
            lasts[place] = one.offset
            self._begun[place] = min(self._begun.get(place, one.offset), one.offset)
        entries = []
        for place, last in lasts.items():
            if place not in self._keys:
                continue
            ranges = _joined([*self._ranges[place], Range(self._begun[place], last)])[-RANGES_MAX:]
            if ranges != self._ranges[place]:
                self._ranges[place] = ranges
                entries.append(Entry(key=self._keys[place], value=_encoded(ranges), partition=0))
        return entries

    def _read(self, place: Place, data: bytes, end: int | None) -> list[Range]:
        try:
            ranges = _decoded(data)
        except RecordDamaged as damaged:
            # It only stops repeats, which are known by their ids as well.
            _log.warning("floor_unreadable", shell=self._shell, topic=place, reason=damaged.reason)
            return []
        if end is not None and ranges and ranges[-1].last >= end:
            _log.warning("floor_beyond_end", shell=self._shell, topic=place, last=ranges[-1].last, end=end)
            ranges = [Range(one.first, min(one.last, end - 1)) for one in ranges if one.first < end]
        return ranges


def _joined(ranges: Iterable[Range]) -> list[Range]:
    joined: list[Range] = []
    for one in sorted(ranges):
        if joined and one.first <= joined[-1].last + 1:
            joined[-1] = Range(joined[-1].first, max(joined[-1].last, one.last))
        else:
            joined.append(one)
    return joined


def _encoded(ranges: Iterable[Range]) -> bytes:
    return framed(_VERSION, b"".join(_RANGE.pack(*one) for one in ranges))


def _decoded(data: bytes) -> list[Range]:
    payload = unframed(data, _VERSION)
    if len(payload) % _RANGE.size:
        raise RecordDamaged("the record of a floor ends too early or too late")
    return _joined(Range(*pair) for pair in _RANGE.iter_unpack(payload))
