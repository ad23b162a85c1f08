"""Damage: records of a table that cannot be read, and what they stop.

A key whose record is damaged is not begun anew: its events would be numbered from 1 again, and its budget
would be whole. Its inputs are put aside instead. A damaged record of keys that left says nothing of who they
were, so that their partition stops until it is restored.
"""

from schemas.envelope import Envelope
from streams.records.damage import named, tell_key, tell_stopped
from streams.records.framing import RecordDamaged
from streams.records.intake import RecordRefused
from streams.stateful.positions import Survey


def tell_damage(survey: Survey, *, shell: str, changelog: str) -> None:
    """Log which keys and partitions are held up, and what helps."""
    for key, damaged in survey.damaged.items():
        tell_key(damaged, shell=shell, changelog=changelog, key=key)
    for partition, damaged in survey.stopped.items():
        tell_stopped(damaged, shell=shell, changelog=changelog, partition=partition)


def refusal(event: Envelope, key: bytes, damaged: RecordDamaged, *, changelog: str) -> RecordRefused:
    """Return why an input of a key whose record is damaged is put aside."""
    reason = f"{named(damaged, changelog, key)}; redrive this once it is restored"
    return RecordRefused("quarantined", reason, event)
