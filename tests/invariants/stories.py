"""Sessions as their readers see them: each event once, in its sequence."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from schemas.envelope import Envelope
from schemas.events.configurations import ConfigurationPublished
from schemas.events.dead_letters import RecordRejected
from schemas.events.restraints import ServerToolsRestored, ServerToolsWithheld
from schemas.events.schedules import FiringSeen, ScheduleDue
from schemas.events.timers import TimerFired
from tests.invariants.violation import Violation

RETOLD: Final = (
    TimerFired,
    ScheduleDue,
    FiringSeen,
    RecordRejected,
    ConfigurationPublished,
    ServerToolsRestored,
    ServerToolsWithheld,
)
T = TypeVar("T")


@dataclass(slots=True, kw_only=True)
class Story:
    """One session's own events."""

    session_id: str
    events: list[Envelope] = field(default_factory=list)

    def facts(self, kind: type[T]) -> list[T]:
        """Return the facts of a kind, in order."""
        return [event.body for event in self.events if isinstance(event.body, kind)]


def once(published: Iterable[Envelope]) -> dict[str, Envelope]:
    """Return events by id, the first of each; `conflicts` tells whether the others say the same."""
    distinct: dict[str, Envelope] = {}
    for event in published:
        distinct.setdefault(event.event_id, event)
    return distinct


def conflicts(published: Iterable[Envelope], distinct: Mapping[str, Envelope]) -> Iterator[Violation]:
    """The same id says the same, however often it was published."""
    for event in published:
        first = distinct[event.event_id]
        if first is event or first == event:
            continue
        # What is told again may be told at another time; a session only asks what is due by then.
        if isinstance(event.body, RETOLD) and replace(event, occurred_at_ms=0) == replace(
            first, occurred_at_ms=0
        ):
            continue
        yield Violation(
            invariant="I2",
            subject=event.session_id,
            message=f"two events with the id {event.event_id}: {first.type} and {event.type}",
        )


def stories_of(distinct: Mapping[str, Envelope]) -> dict[str, Story]:
    """Sort the sessions' own events by their sequence."""
    stories: dict[str, Story] = {}
    for event in distinct.values():
        if event.sequence:
            stories.setdefault(event.session_id, Story(session_id=event.session_id)).events.append(event)
    for story in stories.values():
        story.events.sort(key=lambda event: event.sequence)
    return stories


def sequences(story: Story) -> Iterator[Violation]:
    """The sequence is 1, 2, 3 …"""
    numbers = Counter(event.sequence for event in story.events)
    wanted = range(1, max(numbers, default=0) + 1)
    missing = [number for number in wanted if number not in numbers]
    double = sorted(number for number, count in numbers.items() if count > 1)
    if missing or double:
        yield Violation(
            invariant="I2",
            subject=story.session_id,
            message=f"of {len(wanted)} numbers {missing[:9]} are missing and {double[:9]} given twice",
        )


def steps(story: Story) -> Iterator[Violation]:
    """Each step ends with the input that it applied and the digest of the state that it left.

    No input is applied twice, and of each topic they are applied in order.
    """
    applied: dict[str, int] = {}
    for event in story.events:
        if (event.source is None) != (event.state_digest is None):
            yield _chain(story, event, "has a source or a digest, not both")
        if event.source is None:
            continue
        topic, _, offset_text = event.source.split("/")
        if int(offset_text) <= applied.get(topic, -1):
            yield _chain(story, event, f"applies {event.source} after {applied[topic]}")
        applied[topic] = int(offset_text)
    if story.events and story.events[-1].source is None:
        yield _chain(story, story.events[-1], "does not end its step, and nothing follows")


def _chain(story: Story, event: Envelope, told: str) -> Violation:
    return Violation(
        invariant="I2", subject=story.session_id, message=f"#{event.sequence} {event.type} {told}"
    )
