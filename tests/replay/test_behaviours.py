"""What another behaviour of the program decided is told as unchecked, never as a fault."""

from dataclasses import replace

import pytest

from processors.behaviour import BEHAVIOUR, behaviour_of
from processors.state import SessionState
from schemas.events.outputs import AnswerGiven, TurnStarted
from schemas.plain import encoded, from_plain
from streams.history.fork import ForkImpossible, fork_point
from streams.history.recording import Recording, read_recording
from streams.history.replay import replay
from tests.replay.worlds import EARLIER, SHIPPED, recorded, world


def finished() -> Recording:
    made = world()
    made.say()
    return recorded(made.run())


def ends_of(recording: Recording) -> list[int]:
    """Return by step how many events there are up to its end."""
    return [number for number, one in enumerate(recording.outputs, start=1) if one.event.source]


def decided_by(recording: Recording, behaviour: int | None, events: slice, digest: str | None) -> Recording:
    """Return the recording with some events decided by another behaviour, which left another digest."""
    outputs = list(recording.outputs)
    for number in range(len(outputs))[events]:
        event = outputs[number].event
        versions = replace(event.versions, behaviour=behaviour)
        marked = event.state_digest and (digest or event.state_digest)
        outputs[number] = replace(
            outputs[number], event=replace(event, versions=versions, state_digest=marked)
        )
    return replace(recording, outputs=tuple(outputs))


def test_each_behaviour_has_a_recording() -> None:
    paths = {int(path.name.split(".")[0].split("_")[1]): path for path in SHIPPED.parent.glob("*.avro")}
    assert {1, BEHAVIOUR} <= paths.keys()
    for number, path in paths.items():
        recording = read_recording(path)
        assert {behaviour_of(one.event.versions) for one in recording.outputs} == {number}
        replayed = replay(recording)
        assert replayed.divergence is None
        unchecked = sum(one.events for one in replayed.unchecked)
        assert (replayed.events, unchecked)[number != BEHAVIOUR] == len(recording.outputs)


def test_what_this_behaviour_decided_is_checked_to_its_end() -> None:
    replayed = replay(read_recording(SHIPPED))

    assert replayed.divergence is None
    assert replayed.unchecked == ()
    assert replayed.events == len(read_recording(SHIPPED).outputs)


def test_what_an_earlier_behaviour_decided_is_unchecked_from_its_first_event_on() -> None:
    recording = read_recording(EARLIER)

    replayed = replay(recording)

    assert replayed.divergence is None
    assert (replayed.steps, replayed.events) == (0, 0)
    (unchecked,) = replayed.unchecked
    assert (unchecked.behaviour, unchecked.sequence) == (1, 1)
    assert unchecked.event_id == recording.outputs[0].event.event_id
    assert unchecked.events == len(recording.outputs)
    assert "behaviour 1 decided" in unchecked.reason


def test_steps_after_an_upgrade_are_checked_where_the_digest_proves_the_state_before() -> None:
    recording = finished()
    end = ends_of(recording)[3]

    replayed = replay(decided_by(recording, None, slice(0, end), "0" * 16))

    assert replayed.divergence is None
    assert [(one.behaviour, one.sequence, one.events) for one in replayed.unchecked] == [(1, 1, end)]
    assert replayed.events == len(recording.outputs) - end


def test_a_fault_after_a_proven_step_is_a_divergence_all_the_same() -> None:
    recording = finished()
    ends = ends_of(recording)
    changed = decided_by(recording, None, slice(0, ends[2]), "0" * 16)
    outputs = list(changed.outputs)
    outputs[ends[5]] = replace(
        outputs[ends[5]], event=replace(outputs[ends[5]].event, occurred_at_ms=1, producer="someone")
    )

    divergence = replay(replace(changed, outputs=tuple(outputs))).divergence

    assert divergence is not None
    assert {one.field for one in divergence.differences} == {"occurred_at_ms", "producer"}


def test_what_rests_on_a_state_that_cannot_be_made_again_is_unchecked_too() -> None:
    recording = finished()
    ends = ends_of(recording)
    outputs = list(recording.outputs)
    for number in range(ends[1]):
        event = outputs[number].event
        versions = replace(event.versions, behaviour=1)
        outputs[number] = replace(
            outputs[number], event=replace(event, versions=versions, producer="decided otherwise")
        )

    replayed = replay(replace(recording, outputs=tuple(outputs)))

    assert replayed.divergence is None
    assert [one.behaviour for one in replayed.unchecked] == [1, BEHAVIOUR]
    assert replayed.unchecked[1].sequence == ends[1] + 1
    assert "a state that another one left" in replayed.unchecked[1].reason
    assert sum(one.events for one in replayed.unchecked) == len(recording.outputs)


def test_a_newer_behaviour_is_named() -> None:
    recording = finished()
    end = ends_of(recording)[4]

    replayed = replay(decided_by(recording, BEHAVIOUR + 1, slice(end, None), "0" * 16))

    assert replayed.divergence is None
    assert replayed.events == end
    assert [(one.behaviour, one.sequence) for one in replayed.unchecked] == [(BEHAVIOUR + 1, end + 1)]


def test_a_fork_refuses_a_point_that_another_behaviour_decided_and_says_which() -> None:
    recording = read_recording(EARLIER)
    started = next(one.event for one in recording.outputs if isinstance(one.event.body, TurnStarted))

    with pytest.raises(ForkImpossible, match="behaviour 1 decided"):
        fork_point(recording, started.event_id)
    with pytest.raises(ForkImpossible, match="has no event"):
        fork_point(recording, "00000000-0000-4000-8000-00000000ffff")


def test_a_fork_takes_a_point_that_this_behaviour_decided_before_another_did() -> None:
    recording = finished()
    changed = decided_by(recording, BEHAVIOUR + 1, slice(ends_of(recording)[4], None), "0" * 16)

    assert fork_point(changed, changed.outputs[0].event.event_id).state.turn is not None
    answered = next(one.event for one in changed.outputs if isinstance(one.event.body, AnswerGiven))
    with pytest.raises(ForkImpossible, match=f"behaviour {BEHAVIOUR + 1} decided"):
        fork_point(changed, answered.event_id)


def test_defaults_are_left_out_of_an_encoded_state() -> None:
    new = SessionState(session_id="s")

    assert encoded(new) == b'{"session_id":"s"}'
    assert from_plain(SessionState, {"session_id": "s"}) == new
