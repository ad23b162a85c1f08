"""Where two steps say different things, field by field."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.envelope import Envelope
from schemas.plain import to_plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field that is not what was recorded; None stands for an event that is not there."""

    event: int
    """Number of the event within its step, from 0."""
    field: str
    recorded: object
    decided: object


def differences_of(recorded: Sequence[Envelope], decided: Sequence[Envelope]) -> tuple[Difference, ...]:
    """Return the fields that differ, event by event in order."""
    found: list[Difference] = []
    for number in range(max(len(recorded), len(decided))):
        before = to_plain(recorded[number]) if number < len(recorded) else None
        after = to_plain(decided[number]) if number < len(decided) else None
        _compare(number, "", before, after, found)
    return tuple(found)


def _compare(number: int, path: str, before: object, after: object, found: list[Difference]) -> None:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for name in sorted(before.keys() | after.keys()):
            _compare(number, f"{path}.{name}" if path else name, before.get(name), after.get(name), found)
    elif before != after:
        found.append(Difference(event=number, field=path or "event", recorded=before, decided=after))
