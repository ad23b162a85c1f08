"""Recordings replay exactly, and what was tampered with is found at its step."""

import socket
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.envelope import Envelope
from schemas.events.client_calls import ClientCallAnswered, ClientCallFailed
from schemas.events.inputs import MessageReceived
from schemas.events.models import ModelCallCompleted, ToolCallProposed
from streams.configuration.loading import configuration_facts, load_configuration
from streams.history.configuration import ConfigurationMissing, configuration_of
from streams.history.recording import Recorded, Recording, RecordingInvalid, read_recording, write_recording
from streams.history.replay import Diverged, replay, replay_recording
from tests.processors.calls import asked as client_asks
from tests.processors.world import World, completed, obliging, plan_text, small, task
from tests.replay.worlds import SHIPPED, recorded, world


def finished(seed: int = 0) -> World:
    made = world(seed)
    made.say()
    return made.run()


def several_messages(seed: int) -> World:
    """Messages that wait for their turn cause nothing when they come."""
    made = world(seed)
    made.say("first")
    repeated = made.inputs[0][0]
    for number in range(4):
        made.reply(made.open_calls.pop())
        made.now_ms += seed % 3
        made.say(f"another {number}")
        made.apply(repeated)
    return made.run()


def asked_two_tools() -> World:
    """A session whose clocks stand still, and whose first tool result causes nothing."""
    made = world()
    made.answer = obliging(plan_text(task("a")), tools=["look", "look"])
    made.say()
    while made.open_calls:
        made.reply(made.open_calls.pop(0))
    return made


def changed_output(recording: Recording, number: int, event: Envelope) -> Recording:
    outputs = list(recording.outputs)
    outputs[number] = replace(outputs[number], event=event)
    return replace(recording, outputs=tuple(outputs))


def step_of(recording: Recording, number: int) -> int:
    return 1 + sum(one.event.source is not None for one in recording.outputs[:number])


def test_the_shipped_recording_replays_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket, "socket", refuse)

    replayed = replay_recording(SHIPPED)

    assert replayed.steps > 10
    assert replayed.divergence is None


def test_a_file_says_all_that_was_recorded(tmp_path: Path) -> None:
    recording = recorded(finished())
    path = tmp_path / "session.avro"

    write_recording(recording, path)

    assert read_recording(path) == recording


def test_a_silent_result_is_never_placed_before_the_call_that_it_answers() -> None:
    replayed = replay(recorded(asked_two_tools()))

    assert replayed.divergence is None
    assert replayed.silent_inputs == 1


@settings(max_examples=12)
@given(seed=st.integers(0, 10_000))
def test_inputs_that_caused_nothing_find_their_place_by_the_digests(seed: int) -> None:
    made = several_messages(seed)

    replayed = replay(recorded(made))

    assert replayed.divergence is None
    assert replayed.silent_inputs >= 4
    assert replayed.events == len(made.events)


def test_a_silent_input_whose_time_misleads_is_placed_by_the_digest() -> None:
    made = world()
    made.say("first")
    made.reply(made.open_calls.pop())
    made.now_ms -= 500_000
    made.say("of an earlier time, yet later on the log")
    made.now_ms += 500_000
    made.run()

    assert replay(recorded(made)).divergence is None


@settings(max_examples=20)
@given(data=st.data())
def test_a_changed_event_is_found_at_its_step_with_its_field(data: st.DataObject) -> None:
    recording = recorded(finished())
    number = data.draw(st.integers(0, len(recording.outputs) - 1))
    event = recording.outputs[number].event

    divergence = replay(
        changed_output(recording, number, replace(event, occurred_at_ms=event.occurred_at_ms + 1))
    ).divergence

    assert divergence is not None
    assert divergence.step == step_of(recording, number)
    (difference,) = divergence.differences
    assert (difference.field, difference.recorded) == ("occurred_at_ms", event.occurred_at_ms + 1)


def test_a_changed_digest_alone_is_found() -> None:
    recording = recorded(finished())
    number = max(i for i, one in enumerate(recording.outputs[:20]) if one.event.source)
    event = replace(recording.outputs[number].event, state_digest="0" * 16)

    divergence = replay(changed_output(recording, number, event)).divergence

    assert divergence is not None
    assert [one.field for one in divergence.differences] == ["state_digest"]


def test_a_changed_input_is_found_at_the_step_that_applied_it() -> None:
    recording = recorded(finished())
    position, one = next(
        (i, one) for i, one in enumerate(recording.inputs) if isinstance(one.event.body, ModelCallCompleted)
    )
    assert isinstance(one.event.body, ModelCallCompleted)
    body = replace(one.event.body, output_tokens=one.event.body.output_tokens + 1)
    inputs = list(recording.inputs)
    inputs[position] = replace(one, event=replace(one.event, body=body))

    divergence = replay(replace(recording, inputs=tuple(inputs))).divergence

    assert divergence is not None
    assert divergence.source == one.place


def test_a_lost_end_a_lost_event_and_a_lost_input_are_found() -> None:
    recording = recorded(finished())
    last = max(i for i, one in enumerate(recording.outputs[:-1]) if one.event.source)

    for lacking in (
        replace(recording, outputs=recording.outputs[: last + 1]),
        replace(recording, outputs=recording.outputs[:-1]),
        replace(recording, outputs=recording.outputs[:3] + recording.outputs[4:]),
        replace(recording, inputs=recording.inputs[:4] + recording.inputs[5:]),
    ):
        assert replay(lacking).divergence is not None


def test_events_that_stand_on_the_log_twice_count_once() -> None:
    recording = recorded(finished())
    twice = tuple(replace(one, offset=one.offset + 10_000) for one in recording.outputs)

    assert replay(replace(recording, outputs=recording.outputs + twice)).divergence is None


def test_a_configuration_that_is_not_there_is_said() -> None:
    with pytest.raises(ConfigurationMissing, match="no agents of hash"):
        replay(replace(recorded(finished()), configuration=()))


def test_a_tampered_file_fails_as_a_test_and_another_file_is_refused(tmp_path: Path) -> None:
    recording = recorded(finished())
    path = tmp_path / "session.avro"
    write_recording(
        changed_output(recording, 5, replace(recording.outputs[5].event, producer="someone")), path
    )
    with pytest.raises(Diverged, match="producer"):
        replay_recording(path)

    path.write_bytes(b"no recording")
    with pytest.raises(RecordingInvalid):
        read_recording(path)


def test_the_default_configuration_is_found_by_the_hashes_that_events_name() -> None:
    loaded = load_configuration(())

    found = configuration_of(loaded.versions, configuration_facts(loaded))

    assert found == loaded


def test_an_input_about_which_nothing_was_decided_is_told() -> None:
    message = Envelope(
        event_id="00000000-0000-4000-8000-000000000009",
        type="MessageReceived",
        session_id="00000000-0000-4000-8000-000000000001",
        body=MessageReceived(text="hello", tokens=1),
    )
    one = Recorded(topic="session.inputs", partition=0, offset=0, event=message)

    divergence = replay(
        Recording(session_id=message.session_id, inputs=(one,), outputs=(), configuration=())
    ).divergence

    assert divergence is not None
    assert divergence.source == "session.inputs/0/0"


def test_a_session_of_clients_calls_replays_as_it_was_decided() -> None:
    """Calls that wait for what others hold, one that is given up, and tool calls that policy decides."""
    made = world(limits=small(session_budget_tokens=1_500))
    proposed = ToolCallProposed(tool_call_id="1", name="read", arguments_json="{}")
    made.answer = lambda call: completed(call, "well", proposed)
    for prompt, output in ((100, 300), (200, 500), (100, 900), (100, 5_000)):
        made.post(client_asks(prompt=prompt, output=output))
    made.run()

    replayed = replay(recorded(made))

    assert (replayed.divergence, replayed.unchecked) == (None, ())
    assert replayed.events == len(made.events)
    assert made.facts(ClientCallAnswered)
    assert made.facts(ClientCallFailed)
