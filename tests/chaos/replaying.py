"""I9: every session of a run is decided again from the log."""

from collections.abc import Container, Iterable, Iterator, Mapping

from processors.transition import PRODUCER
from streams.history.configuration import ConfigurationMissing
from streams.history.recording import Recorded, Recording
from streams.history.replay import replay
from tests.chaos.evidence import LogRecord, Place
from tests.invariants.stories import Story
from tests.invariants.violation import Violation
from topics.catalog import CONFIGURATION, read_by
from topics.shells import SESSION

_SOURCES = frozenset(topic.name for topic in read_by(SESSION))


def replays(
    placed: Iterable[LogRecord], refused: Container[Place], stories: Mapping[str, Story]
) -> Iterator[Violation]:
    """Each session's decisions are decided again, with every event, id and digest the same.

    Args:
        placed: records that stand where they belong.
        refused: places of what the session shell has put aside.
        stories: the sessions.
    """
    inputs: dict[str, list[Recorded]] = {}
    outputs: dict[str, list[Recorded]] = {}
    configuration: dict[str, Recorded] = {}
    for record in placed:
        assert record.event is not None
        one = Recorded(
            topic=record.place.topic,
            partition=record.place.partition,
            offset=record.place.offset,
            event=record.event,
        )
        if one.topic == CONFIGURATION.name:
            configuration[one.event.event_id] = one
        elif one.topic in _SOURCES:
            if record.at not in refused:
                inputs.setdefault(one.event.session_id, []).append(one)
        elif one.event.producer == PRODUCER and one.event.sequence > 0:
            outputs.setdefault(one.event.session_id, []).append(one)
    for session_id in stories:
        recording = Recording(
            session_id=session_id,
            inputs=tuple(inputs.get(session_id, ())),
            outputs=tuple(outputs.get(session_id, ())),
            configuration=tuple(configuration.values()),
        )
        yield from _replayed(recording)


def _replayed(recording: Recording) -> Iterator[Violation]:
    try:
        divergence = replay(recording).divergence
    except ConfigurationMissing as error:
        yield Violation(invariant="I9", subject=recording.session_id, message=str(error))
        return
    if divergence is not None:
        fields = ", ".join(one.field for one in divergence.differences[:5])
        told = f"step {divergence.step}, {divergence.source}: {divergence.reason} {fields}"
        yield Violation(invariant="I9", subject=recording.session_id, message=told)
