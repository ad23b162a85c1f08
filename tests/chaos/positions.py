"""What the shells' changelogs say of what was applied: everything, once, and never backwards."""

from collections.abc import Collection, Container, Iterable, Iterator, Mapping

from tests.chaos.evidence import LogRecord, Place, StateRecord
from tests.invariants.violation import Violation
from topics.catalog import Topic


def forward(
    states: Iterable[StateRecord], refused: Mapping[tuple[str, str], Collection[tuple[str, int]]]
) -> Iterator[Violation]:
    """Each record of a key moves some position on and none back: an input that was applied never is again.

    One kind of record moves none: before a shell puts an input aside, it writes the record of the input's key
    as it was, which Kafka takes from the key's owner alone. Such a record stands before what was refused.

    Args:
        states: in the order of the changelogs.
        refused: by shell and key the topics and offsets of what was put aside.
    """
    before: dict[tuple[str, str], Mapping[str, int]] = {}
    for state in states:
        known = before.get((state.shell, state.key), {})
        if state.positions is None:
            before.pop((state.shell, state.key), None)
            continue
        back = sorted(topic for topic, offset in known.items() if state.positions.get(topic, -1) < offset)
        if back:
            told = f"{state.shell} goes back on {back[0]} from {known[back[0]]}: it applies inputs again"
            yield Violation(invariant="I1", subject=state.key, message=told)
        elif known == state.positions and not any(
            offset > known.get(topic, -1) for topic, offset in refused.get((state.shell, state.key), ())
        ):
            told = f"{state.shell} has written a record that applies nothing new: it applied an input again"
            yield Violation(invariant="I1", subject=state.key, message=told)
        before[state.shell, state.key] = state.positions


def complete(
    states: Iterable[StateRecord],
    placed: Iterable[LogRecord],
    sources: Mapping[str, Iterable[Topic]],
    refused: Container[tuple[str, Place]],
) -> Iterator[Violation]:
    """Whatever stands on a source of a shell was applied, or put aside.

    Args:
        states: in the order of the changelogs.
        placed: records that stand where they belong.
        sources: of each shell with state.
        refused: shell and place of what was put aside.
    """
    last: dict[tuple[str, str], Mapping[str, int] | None] = {}
    for state in states:
        last[state.shell, state.key] = state.positions
    readers = {topic.name: shell for shell, topics in sources.items() for topic in topics}
    for record in placed:
        shell = readers.get(record.place.topic)
        if shell is None or (shell, record.at) in refused:
            continue
        key = (record.key or b"").decode(errors="replace")
        positions = last.get((shell, key), {})
        if positions is not None and positions.get(record.place.topic, -1) < record.place.offset:
            at = "/".join(map(str, record.at))
            yield Violation(invariant="I1", subject=key, message=f"{shell} has not applied {at}")
