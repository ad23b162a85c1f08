"""A session of the real decider as OpenTelemetry spans, judged by OpenTelemetry's own packages."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import get_type_hints
from uuid import UUID

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes
from opentelemetry.semconv.attributes import error_attributes
from opentelemetry.semconv.schemas import Schemas

from schemas.envelope import Envelope
from schemas.plain import to_plain
from schemas.privacy import Privacy, privacy_of
from sinks import otlp
from sinks.span_conventions import ATTRIBUTES, PROVIDER, SCHEMA_URL, SPANS, TYPES, Form, markdown
from sinks.span_source import LoggedEvent
from sinks.spans import Span, span_id_of, spans_of, trace_id_of
from tests.processors.world import World, obliging, plan_text, task
from tests.sinks.whole_session import whole_session

PAGE = Path(__file__).parents[2] / "docs" / "traces.md"
NOWHERE = "00000000-0000-4000-8000-000000000000"


def logged(event: Envelope) -> LoggedEvent:
    return LoggedEvent(
        event_id=UUID(event.event_id),
        type=event.type,
        occurred_at=datetime.fromtimestamp(event.occurred_at_ms / 1_000, UTC),
        causation_id=None if event.causation_id is None else UUID(event.causation_id),
        correlation_id=None if event.correlation_id is None else UUID(event.correlation_id),
        traceparent=event.traceparent,
        body=to_plain(event.body),
    )


def events() -> list[LoggedEvent]:
    return [logged(one) for one in whole_session() if one.type in TYPES]


def made(given: Sequence[LoggedEvent], *, content: bool = False) -> list[Span]:
    return spans_of(NOWHERE, given, content=content)


def by_form(spans: Sequence[Span], form: Form) -> list[Span]:
    return [one for one in spans if one.form is form]


def test_every_name_of_the_conventions_is_one_of_the_pinned_version() -> None:
    known = {
        value
        for module in (gen_ai_attributes, error_attributes)
        for name, value in vars(module).items()
        if name.isupper()
    }
    operations = {one.value for one in gen_ai_attributes.GenAiOperationNameValues}
    providers = {one.value for one in gen_ai_attributes.GenAiProviderNameValues}

    foreign = {one.name for one in ATTRIBUTES if not one.name.startswith("cartrita.")}
    assert foreign <= known
    assert {one.operation for one in SPANS} - {""} <= operations
    assert PROVIDER in providers
    assert Schemas.V1_44_0.value == SCHEMA_URL
    written = {
        name for span in made(events()) for name in span.attributes if not name.startswith("cartrita.")
    }
    assert written <= known


def test_the_page_shows_the_table() -> None:
    assert markdown() in PAGE.read_text(encoding="utf-8")


def test_every_field_of_the_table_is_there_and_words_are_marked_as_words() -> None:
    for one in ATTRIBUTES:
        assert one.field in {field.name for field in fields(one.fact)}, one
        private = privacy_of(one.fact).get(one.field)
        nested = get_type_hints(one.fact)[one.field] not in (str, str | None, int, bool, float, int | None)
        if not one.is_content:
            assert private is not Privacy.PERSONAL, f"{one} may hold a person's words"
        else:
            assert private is Privacy.PERSONAL or nested


def test_spans_are_one_tree_a_turn_and_lie_within_it() -> None:
    spans = made(events())

    ids = {one.span_id: one for one in spans}
    assert len(ids) == len(spans)
    (turn,) = by_form(spans, Form.TURN)
    assert turn.parent_id == ""
    assert {one.trace_id for one in spans} == {turn.trace_id}
    for one in spans:
        above = ids[one.parent_id] if one is not turn else turn
        assert above.begun_at <= one.begun_at
        assert one.ended_at is not None
        assert above.ended_at is not None
        assert one.begun_at <= one.ended_at <= above.ended_at
    assert "cartrita.unfinished" not in {name for one in spans for name in one.attributes}


def test_each_call_and_task_is_a_span_where_it_belongs() -> None:
    given = events()
    spans = made(given)

    ids = {one.span_id: one for one in spans}
    calls = [one for one in given if one.type == "ModelCallRequested"]
    assert len(by_form(spans, Form.MODEL_CALL)) == len(calls) > 5
    (plan,) = by_form(spans, Form.PLAN)
    for event in calls:
        span = ids[span_id_of(Form.MODEL_CALL, str(event.body["call_id"]))]
        task = span_id_of(Form.TASK, str(event.body["task_id"]))
        purpose = event.body["purpose"]
        expected = (
            task if purpose == "step" else plan.span_id if purpose in ("plan", "critique") else plan.parent_id
        )
        assert span.parent_id == expected
        assert span.name == f"chat {event.body['model']}"
    tasks = by_form(spans, Form.TASK)
    assert len(tasks) == 4
    # b and c wait for a, and d for both.
    assert sorted(len(one.links) for one in tasks) == [0, 1, 1, 2]
    assert {link.span_id for one in tasks for link in one.links} <= {one.span_id for one in tasks}
    tools = by_form(spans, Form.TOOL_CALL)
    assert len(tools) == len([one for one in given if one.type == "ToolCallRequested"]) > 0
    for one in tools:
        assert [event.name for event in one.events] == ["cartrita.policy_decided"]
        assert [ids[link.span_id].form for link in one.links] == [Form.MODEL_CALL], "who asked for it"
    failed = [one for one in spans if one.error]
    assert [(one.form, one.error, one.attributes["error.type"]) for one in failed] == [
        (Form.MODEL_CALL, "provider_error", "provider_error")
    ]
    noted = Counter(event.name for one in tasks for event in one.events)
    assert noted["cartrita.task_retried"] == 1
    # A call that waits for a person is none yet: what is asked stands in its task.
    for name, kind in (("approval_requested", "ApprovalRequested"), ("approval_closed", "ApprovalClosed")):
        assert noted[f"cartrita.{name}"] == len([one for one in given if one.type == kind])


def test_a_session_gives_the_same_bytes_whoever_makes_them() -> None:
    once, again = (list(otlp.requests_of(made(events()))) for _ in range(2))

    assert [one.SerializeToString(deterministic=True) for one in once] == [
        one.SerializeToString(deterministic=True) for one in again
    ]


def test_the_senders_trace_is_gone_on_with_and_what_is_none_is_not() -> None:
    given = events()
    message = next(index for index, one in enumerate(given) if one.type == "MessageReceived")
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"

    def root(traceparent: str | None) -> Span:
        changed = [*given]
        changed[message] = replace(given[message], traceparent=traceparent)
        spans = made(changed)
        assert len({one.trace_id for one in spans}) == 1
        return by_form(spans, Form.TURN)[0]

    sent = root(f"00-{trace}-{parent}-01")
    assert (sent.trace_id, sent.parent_id) == (trace, parent)
    own = trace_id_of(str(given[message].event_id))
    for other in (
        None,
        "",
        "00-a-b-01",
        f"00-{'0' * 32}-{parent}-01",
        f"00-{trace}-{'0' * 16}-01",
        f"ff-{trace}",
    ):
        assert (root(other).trace_id, root(other).parent_id) == (own, "")


def test_nobodys_words_are_in_it_unless_they_are_asked_for() -> None:
    given = events()
    words = {
        str(value)
        for event in given
        for name, value in event.body.items()
        if name
        in ("text", "arguments_json", "result_json", "intent", "message", "error", "remarks", "excerpt")
        and len(str(value)) > 3
    }

    def told(*, content: bool) -> str:
        return otlp.as_lines(made(given, content=content))

    without, within = told(content=False), told(content=True)
    assert len(words) > 5
    assert not [one for one in words if json.dumps(one)[1:-1] in without]
    assert "What is a sink?" in within
    prompts = [
        json.loads(str(span.attributes["gen_ai.input.messages"]))
        for span in by_form(made(given, content=True), Form.MODEL_CALL)
    ]
    # Prompts refer to the message by its place; its text is found there.
    assert any(
        "What is a sink?" in part["content"] for prompt in prompts for one in prompt for part in one["parts"]
    )


def test_what_has_not_ended_ends_with_the_last_event_and_says_so() -> None:
    world = World(obliging(plan_text(task("a"))))
    world.say("What is a sink?")
    given = [
        logged(one) for one in [*(event for event, _ in world.inputs), *world.events] if one.type in TYPES
    ]
    given = [one for one in given if one.type not in ("ModelCallCompleted", "AnswerGiven")]

    spans = made(given)

    assert by_form(spans, Form.TURN)[0].attributes["cartrita.unfinished"] is True
    assert {one.ended_at for one in spans} == {given[-1].occurred_at}


def test_the_official_parser_reads_what_is_written_and_json_differs_in_ids_alone() -> None:
    spans = made(events())
    request = otlp.request_of(spans)

    read = ExportTraceServiceRequest.FromString(request.SerializeToString())
    plain = otlp.as_plain(read)

    of_scope = plain["resourceSpans"][0]["scopeSpans"][0]  # type: ignore[index]  # JSON
    assert of_scope["schemaUrl"] == SCHEMA_URL
    for span, told in zip(spans, of_scope["spans"], strict=True):
        assert (told["traceId"], told["spanId"]) == (span.trace_id, span.span_id)
        assert told.get("parentSpanId", "") == span.parent_id
        assert re.fullmatch(r"\d+", told["startTimeUnixNano"]), "64 bits are text in JSON"
        assert int(told["startTimeUnixNano"]) % 1_000_000 == 0, "whole milliseconds, as the log has them"


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (httpx.Response(200, content=b""), None),
        (httpx.Response(503, text="busy"), "answers 503: busy"),
        (
            httpx.Response(
                200,
                content=ExportTraceServiceResponse(
                    partial_success=ExportTracePartialSuccess(rejected_spans=2, error_message="too old")
                ).SerializeToString(),
            ),
            "refuses 2 spans: too old",
        ),
    ],
)
async def test_a_receiver_gets_spans_at_otlps_path_and_its_refusal_is_told(
    answer: httpx.Response, complaint: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    got: list[httpx.Request] = []

    async def handle(transport: httpx.AsyncHTTPTransport, request: httpx.Request) -> httpx.Response:
        got.append(request)
        return httpx.Response(answer.status_code, content=answer.content)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    spans = made(events())

    if complaint is None:
        await otlp.send("http://127.0.0.1:4318", spans, {"x-key": "secret"})
    else:
        with pytest.raises(otlp.ReceiverRefused, match=complaint):
            await otlp.send("http://127.0.0.1:4318", spans, {})

    assert str(got[0].url) == "http://127.0.0.1:4318/v1/traces"
    assert got[0].headers["content-type"] == "application/x-protobuf"
    read = ExportTraceServiceRequest.FromString(got[0].content)
    assert len(read.resource_spans[0].scope_spans[0].spans) == len(spans)
