"""Positions that a table has applied, against what Kafka has."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.stateful.departures import is_departures
from streams.stateful.stored_record import NEVER, peek
from topics.routing import partition_of


@dataclass(slots=True, kw_only=True)
class Survey:
    """What a recovered table holds, seen from above."""

    applied: dict[tuple[str, int], int] = field(default_factory=dict)
    """By source topic and partition, the highest offset applied to any key."""
    due: list[tuple[int, bytes]] = field(default_factory=list)
    """When keys are due, and the key."""
    quarantined: int = 0
    departures: dict[bytes, bytes] = field(default_factory=dict)
    """Records of keys that left, by their keys."""


async def survey_of(table: Mapping[bytes, bytes], partitions: int) -> Survey:
    """Look at every record once; lets others run in between.

    Raises:
        RecordUnreadable: a newer program wrote one.
    """
    survey = Survey()
    for number, (key, data) in enumerate(table.items()):
        if is_departures(key):
            survey.departures[key] = data
            continue
        glance = peek(data)
        partition = partition_of(key, partitions)
        for topic, offset in glance.positions.items():
            place = (topic, partition)
            survey.applied[place] = max(survey.applied.get(place, -1), offset)
        if glance.due_at_ms != NEVER:
            survey.due.append((glance.due_at_ms, key))
        survey.quarantined += glance.quarantined
        if number % 1_000 == 0:
            await asyncio.sleep(0)
    return survey
