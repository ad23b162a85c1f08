"""What requests for responses say, and the events by which responses are told."""

import contextlib
import json
from collections.abc import AsyncGenerator, Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from schemas.events.client_calls import ClientCallAnswered, ClientMessage
from schemas.events.inputs import MessageReceived
from schemas.events.models import ChatRole, FinishReason, ToolCallProposed
from schemas.events.trust import Trust
from schemas.ids import derived_id
from streams.gateway.door import Owner
from streams.gateway.frames import Cursor, Frame
from streams.gateway.front import Front
from streams.gateway.problems import Problem
from streams.gateway.response_events import ENDS, Ending, Event, Telling, Words
from streams.gateway.response_forms import Placed, ending_of, head_of, messages_of_item
from streams.gateway.response_requests import Asked, asked_of, event_id_of, item_place, response_id
from streams.gateway.response_streams import sent
from streams.gateway.response_turns import TurnAnswering, message_of

EVENT_ID = derived_id("response")
CALL = ToolCallProposed(tool_call_id="c1", name="read", arguments_json='{"a": 1}')
OTHER = ToolCallProposed(tool_call_id="c2", name="write", arguments_json="{}")
KNOWN: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)


def asked(given: object = "hello", **more: object) -> Asked:
    return asked_of({"model": "m", "input": given, **more}, {})


def telling(**more: object) -> Telling:
    body = MessageReceived(text="x", metadata_json=json.dumps({"response": {"model": "m", **more}}))
    placed = Placed(
        event_id=EVENT_ID,
        session_id=derived_id("session"),
        owner=Owner(tenant="t", user="u"),
        asked_at_ms=1_000,
        body=body,
    )
    return Telling(head_of(placed), EVENT_ID)


def told(one: Telling, pieces: Sequence[str], text: str, ending: Ending) -> list[Event]:
    events = one.begin()
    for piece in pieces:
        events += one.piece(piece)
    return events + one.end(text, ending)


def as_openai_reads(events: Sequence[Event]) -> Response:
    """Return the response that OpenAI's own client makes of a stream."""
    state = ResponseStreamState[None](input_tools=[], text_format=omit)
    last: object = None
    for event in events:
        read = KNOWN.validate_python(
            {"type": event.name, "sequence_number": event.number, **json.loads(json.dumps(event.body))}
        )
        state.handle_event(read)
        last = read
    response = getattr(last, "response")  # noqa: B009  # of a union, most of which has none
    assert isinstance(response, Response)
    return response


@given(st.text(), st.data())
def test_a_text_comes_in_the_same_pieces_however_it_is_cut(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)))))
    words, parts = Words(), []
    for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True):
        parts += words.add(text[begin:end])
    parts += words.end(text)
    assert parts == Words().end(text)
    assert "".join(parts) == text


def test_the_events_of_an_answer_are_openais_in_order_and_numbered() -> None:
    events = told(telling(), ["Hel", "lo wor"], "Hello world", Ending(status="completed"))
    assert [event.number for event in events] == list(range(len(events)))
    assert [event.name.removeprefix("response.") for event in events] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    response = as_openai_reads(events)
    assert (response.output_text, response.status, response.id) == (
        "Hello world",
        "completed",
        response_id(EVENT_ID),
    )


def test_a_stream_is_told_again_with_the_same_numbers() -> None:
    ending = Ending(status="completed", calls=(CALL,), refusal="no")
    live = told(telling(), ["a b", " c ", "d"], "a b c d", ending)
    assert told(telling(), [], "a b c d", ending) == live
    response = as_openai_reads(live)
    assert [item.type for item in response.output] == ["message", "function_call"]


@pytest.mark.parametrize(
    ("text", "ending", "types"),
    [
        ("", Ending(status="completed", calls=(CALL, OTHER)), ["function_call", "function_call"]),
        ("", Ending(status="completed"), ["message"]),
        ("", Ending(status="completed", refusal="denied"), ["message"]),
        ("cut", Ending(status="incomplete", reason="max_output_tokens"), ["message"]),
    ],
)
def test_every_answer_is_one_that_openais_client_reads(text: str, ending: Ending, types: list[str]) -> None:
    response = as_openai_reads(told(telling(), [], text, ending))
    assert [item.type for item in response.output] == types
    assert response.output_text == text
    if ending.reason is not None:
        assert response.incomplete_details is not None
        assert response.incomplete_details.reason == ending.reason


def test_progress_is_reasoning_and_stands_before_the_answer() -> None:
    one = telling(background=True)
    events = one.begin() + one.progress("planned") + one.progress("done") + one.piece("An answer")
    events += one.end("An answer", Ending(status="completed"))
    assert events[1].name == "response.queued"
    response = as_openai_reads(events)
    reasoning, message = response.output
    assert reasoning.type == "reasoning"
    assert [part.text for part in reasoning.summary] == ["planned", "done"]
    assert (message.type, response.output_text) == ("message", "An answer")
    assert [event.number for event in events] == list(range(len(events)))


def test_what_waits_for_a_person_is_incomplete_and_goes_on_with_the_next_number() -> None:
    one = telling()
    first = one.begin() + one.progress("planned") + one.waits("approve it", derived_id("approval"))
    waiting = first[-1].body["response"]
    assert isinstance(waiting, dict)
    assert (first[-1].name, waiting["status"]) == ("response.incomplete", "incomplete")
    assert waiting["incomplete_details"] == {"reason": "approval_required"}
    assert waiting["output"][-1]["content"][0]["text"] == "approve it"
    one.goes_on()
    assert one.response()["status"] == "in_progress"
    rest = one.progress("approved") + one.end("well", Ending(status="completed"))
    assert [event.number for event in first + rest] == list(range(len(first + rest)))
    final = rest[-1].body["response"]
    assert isinstance(final, dict)
    assert [item["type"] for item in final["output"]] == ["reasoning", "reasoning", "message"]
    assert final["output"][-1]["content"][0]["text"] == "well"
    assert final["incomplete_details"] is None


def test_a_failure_keeps_what_was_told_and_says_why() -> None:
    one = telling()
    events = one.begin() + one.piece("half an ans") + one.fail(Problem(429, "spent", code="x"))
    response = as_openai_reads(events)
    assert (response.status, response.output_text) == ("failed", "half an")
    assert response.error is not None
    assert (response.error.code, response.error.message) == ("rate_limit_exceeded", "spent")
    assert events[-1].name in ENDS


def test_text_of_another_attempt_is_never_gone_on_with() -> None:
    one = telling()
    one.piece("one thing ")
    with pytest.raises(Problem, match="begun anew"):
        one.end("another", Ending(status="completed"))


def test_ids_name_the_event_and_the_place() -> None:
    one = telling()
    told(one, [], "x", Ending(status="completed", calls=(CALL,)))
    assert event_id_of(response_id(EVENT_ID)) == EVENT_ID
    assert [item_place(str(item["id"])) for item in one.output] == [(EVENT_ID, 0), (EVENT_ID, 1)]
    assert [message.text for item in one.output for message in messages_of_item(item)] == ["x", ""]
    for other in ("resp_x", "resp_" + "G" * 32, "", EVENT_ID):
        assert event_id_of(other) is None


def test_items_are_read_as_messages() -> None:
    said = asked(
        [
            {"role": "developer", "content": "rules"},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "reasoning", "id": "rs_1", "summary": []},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
            {"type": "function_call", "call_id": "c1", "name": "read", "arguments": "{}"},
            {"type": "function_call", "call_id": "c2", "name": "read", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "c1", "output": "one"},
            {
                "type": "function_call_output",
                "call_id": "c2",
                "output": [{"type": "input_text", "text": "2"}],
            },
        ]
    ).said
    assert [(one.role, one.text, len(one.tool_calls), one.tool_call_id) for one in said] == [
        (ChatRole.SYSTEM, "rules", 0, None),
        (ChatRole.USER, "a", 0, None),
        (ChatRole.ASSISTANT, "b", 2, None),
        (ChatRole.TOOL, "one", 0, "c1"),
        (ChatRole.TOOL, "2", 0, "c2"),
    ]


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [7]}, "input[0]"),
        ({"input": [{"role": "wizard", "content": "x"}]}, "input[0].role"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0]"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type"),
        ({"input": [{"type": "function_call", "call_id": "x"}]}, "input[0]"),
        ({"input": [{"type": "function_call_output", "output": "x"}]}, "input[0].call_id"),
        ({"prompt": {"id": "p"}}, "prompt"),
        ({"instructions": ["x"]}, "instructions"),
        ({"text": "json"}, "text"),
        ({"text": {"format": {"type": "yaml"}}}, "text.format"),
        ({"metadata": {"a": 1}}, "metadata"),
        ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
        ({"metadata": {"a": "x" * 9_000}}, "metadata"),
        ({"reasoning": "much"}, "reasoning"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
    ],
)
def test_what_cannot_be_asked_names_its_field(more: dict[str, object], param: str) -> None:
    with pytest.raises(Problem) as refused:
        asked_of({"model": "m", "input": "x", **more}, {})
    assert (refused.value.status, refused.value.param) == (400, param)


@pytest.mark.parametrize(
    "more",
    [
        {"previous_response_id": "resp_1"},
        {"previous_response_id": 7},
        {"conversation": "conv_x"},
        {"conversation": {"id": EVENT_ID}},
        {"input": [{"type": "item_reference", "id": "msg_1"}]},
    ],
)
def test_what_is_not_there_is_not_found(more: dict[str, object]) -> None:
    with pytest.raises(Problem) as refused:
        asked_of({"model": "m", "input": "x", **more}, {})
    assert refused.value.status == 404


def test_a_reference_stands_for_what_it_names() -> None:
    earlier = (ClientMessage(role=ChatRole.ASSISTANT, text="said"),)
    given = [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "x"}]
    assert asked_of({"input": given}, {"msg_1": earlier}).said[0].text == "said"


def test_a_session_is_told_the_history_once() -> None:
    given = [{"role": "user", "content": "one"}, {"role": "user", "content": "two"}]
    new = message_of(asked(given, instructions="Be brief."), {}, in_session=False)
    assert new.text.startswith("two\n")
    assert new.text.endswith("developer: Be brief.\n\nuser: one")
    known = message_of(asked("two"), {}, in_session=True)
    assert (new.trust, known.trust) == (Trust.CLAIM, Trust.USER)
    assert known.text == "two"
    for wrong, param in (
        ({"tools": [{"type": "function", "name": "x"}]}, "tools"),
        ({"text": {"format": {"type": "json_object"}}}, "text.format"),
    ):
        with pytest.raises(Problem) as refused:
            message_of(asked(**wrong), wrong, in_session=False)
        assert refused.value.param == param


@pytest.mark.parametrize(
    ("finish", "status", "reason"),
    [
        (FinishReason.STOP, "completed", None),
        (FinishReason.TOOL_CALLS, "completed", None),
        (FinishReason.LENGTH, "incomplete", "max_output_tokens"),
        (FinishReason.CONTENT_FILTER, "incomplete", "content_filter"),
    ],
)
def test_why_a_model_stopped_is_a_status(finish: FinishReason, status: str, reason: str | None) -> None:
    answered = ClientCallAnswered(
        call_id="c",
        input_id="i",
        body_sha256="",
        model="m",
        text="x",
        finish_reason=finish,
        input_tokens=2,
        output_tokens=3,
        cost_nanodollars=0,
    )
    ending = ending_of(answered, 5_000)
    assert (ending.status, ending.reason, ending.ended_s) == (status, reason, 5)
    assert ending.usage is not None
    assert ending.usage["total_tokens"] == 5


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    ),
    st.sampled_from(
        ["input", "instructions", "text", "metadata", "reasoning", "previous_response_id", "conversation"]
    ),
)
def test_any_json_is_read_or_told_what_is_wrong(value: object, name: str) -> None:
    with contextlib.suppress(Problem):
        assert asked_of(json.loads(json.dumps({"input": "x", name: value})), {}).said


def frame(kind: str, **body: object) -> Frame:
    return Frame(type=kind, cursor=Cursor(), body={"timestamp": "2026-01-01T00:00:00+00:00", **body})


def delta(text: str, attempt: int = 1) -> Frame:
    return frame("delta", callId="c", attempt=attempt, index=0, text=text)


def turn(kind: type[TurnAnswering] = TurnAnswering) -> TurnAnswering:
    placed = Placed(
        event_id=EVENT_ID,
        session_id=derived_id("session"),
        owner=Owner(tenant="t", user="u"),
        asked_at_ms=1_000,
        body=MessageReceived(text="x", metadata_json=json.dumps({"response": {"model": "cartrita"}})),
    )
    return kind(cast("Front", SimpleNamespace(count_tokens=len)), placed)


STARTED = frame("turn_started", messageId=EVENT_ID)
PLANNED = frame("progress", detail="planned", stage="plan")
WRITTEN = frame("progress", detail="the answer is written", stage="synthesize")
ANSWER = frame("answer", text="It is well", tokens=30, messageId=EVENT_ID)


def test_an_answer_that_overtakes_its_progress_is_told_in_the_same_order() -> None:
    live = turn()
    events = live.telling.begin()
    for one in (STARTED, PLANNED, delta("It is "), delta("we"), WRITTEN, delta("ll"), PLANNED, ANSWER):
        events += live.events_of(one)
    again = turn()
    told_again = again.telling.begin()
    for one in (STARTED, PLANNED, WRITTEN, PLANNED, ANSWER):
        told_again += again.events_of(one)
    assert events == told_again
    assert [event.number for event in events] == list(range(len(events)))
    response = as_openai_reads(events)
    assert response.output_text == "It is well"
    assert response.usage is not None
    assert response.usage.total_tokens == 30


def test_pieces_of_a_second_attempt_are_not_mixed_with_those_of_the_first() -> None:
    one = turn()
    for told_first in (STARTED, WRITTEN, delta("It is "), delta("not", attempt=2)):
        one.events_of(told_first)
    assert one.events_of(ANSWER)[-1].name == "response.completed"


@pytest.mark.parametrize(
    ("kind", "named", "reason", "command"),
    [
        ("approval_requested", "approvalId", "approval_required", "cartrita approvals show "),
        ("outcome_asked", "callId", "outcome_required", "cartrita settle s "),
    ],
)
def test_what_waits_for_a_person_says_where_to_answer_and_is_gone_on_from(
    kind: str, named: str, reason: str, command: str
) -> None:
    one = turn()
    mark = derived_id(kind)
    asks = frame(kind, tool="delete", argumentsJson="{}", sessionId="s", **{named: mark})
    events = one.telling.begin() + one.events_of(STARTED) + one.events_of(PLANNED) + one.events_of(asks)
    assert events[-1].name == "response.incomplete"
    assert one.telling.is_waiting
    waiting = one.telling.response()
    assert (waiting["status"], waiting["incomplete_details"]) == ("incomplete", {"reason": reason})
    said = json.dumps(events[-1].body)
    assert command in said
    assert mark in said
    rest = one.events_of(PLANNED) + one.events_of(WRITTEN) + one.events_of(ANSWER)
    assert rest[0].number == events[-1].number + 1
    assert one.telling.response()["status"] == "completed"
    assert "It is well" in json.dumps(rest[-1].body)


@pytest.mark.parametrize(
    ("last", "status"),
    [
        (frame("session_ended", reason="cancelled"), "cancelled"),
        (frame("session_ended", reason="idle"), "failed"),
        (frame("error", code="queue_full", message="too many", messageId=EVENT_ID), "failed"),
    ],
)
def test_a_turn_without_an_answer_has_failed(last: Frame, status: str) -> None:
    one = turn()
    events = one.telling.begin() + one.events_of(last)
    assert (events[-1].name, one.telling.response()["status"]) == ("response.failed", status)
    assert one.failure is not None


class Restarted(TurnAnswering):
    """A response of which an attempt to write it has failed."""

    async def was_restarted(self) -> bool:
        return True

    async def events(self) -> AsyncGenerator[Event, None]:
        for event in self.telling.begin() + self.telling.piece("It is well now "):
            yield event
        for event in self.telling.end("It is well now", Ending(status="completed")):
            yield event


@pytest.mark.parametrize(
    ("after", "last"), [(-1, "response.completed"), (3, "response.completed"), (4, "error")]
)
async def test_text_of_an_attempt_that_failed_is_not_gone_on_with(after: int, last: str) -> None:
    one = turn(Restarted)
    told_names = [event.event async for event in sent(one, one.events(), after)]
    assert told_names[-1] == last
    assert ("response.output_text.delta" in told_names) is (last != "error")
