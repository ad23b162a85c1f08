"""Positions that a table has applied, against what Kafka has."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.records.framing import RecordDamaged
from streams.stateful.marks import DEPARTED, MarksRecord, home_of, is_marks
from streams.stateful.stored_record import NEVER, peek


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
    inputs: dict[bytes, bytes] = field(default_factory=dict)
    """Records of inputs that their keys' states have let go of, by their keys."""
    damaged: dict[bytes, RecordDamaged] = field(default_factory=dict)
    """Keys whose records cannot be read."""
    stopped: dict[int, RecordDamaged] = field(default_factory=dict)
    """Partitions of which it is not known who left, or what was taken."""


async def survey_of(table: Mapping[bytes, bytes], partitions: int) -> Survey:
    """Look at every record once; lets others run in between.

    Raises:
        RecordNewer: a newer program wrote one.
    """
    survey = Survey()
    for number, (key, data) in enumerate(table.items()):
        if number % 1_000 == 0:
            await asyncio.sleep(0)
        partition = home_of(key, partitions)
        try:
            if is_marks(key):
                MarksRecord.decode(data)
                (survey.departures if is_marks(key, DEPARTED) else survey.inputs)[key] = data
                continue
            glance = peek(data)
        except RecordDamaged as damaged:
            if is_marks(key):
                survey.stopped[partition] = damaged
            else:
                survey.damaged[key] = damaged
            continue
        for topic, offset in glance.positions.items():
            place = (topic, partition)
            survey.applied[place] = max(survey.applied.get(place, -1), offset)
        if glance.due_at_ms != NEVER:
            survey.due.append((glance.due_at_ms, key))
        survey.quarantined += glance.quarantined
    survey.quarantined += len(survey.damaged)
    survey.due = [(at_ms, key) for at_ms, key in survey.due if home_of(key, partitions) not in survey.stopped]
    return survey
