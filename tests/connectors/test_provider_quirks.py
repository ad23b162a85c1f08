"""OpenAIModel against providers that are only nearly compatible."""

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.models.tool_calls import ToolCallAssembly, ToolCallPart, arguments_of
from schemas.configuration import RequestParameters
from schemas.events.models import ToolCallProposed
from schemas.ports.chat import ChatAnswer, ChatMessage, ConnectorError, ToolOffered
from tests.connectors import quirks
from tests.connectors.model_conformance import SEARCH, Pieces, followed, request, system, user
from tests.connectors.quirks import Answer, Call, Sent, chunk, end_of, events, part, sound, stream
from tests.connectors.quirky import Body, Handler, asking

SAY = ToolOffered(name="say", description="Say it.", parameters_json='{"type": "object"}')
TEXT = Answer(text="Apples and pears number 42 \U0001f600, all in all.")
CALLS = Answer(
    calls=(
        Call(id="call_1", name="search_documents", arguments='{"query": "apples {red}", "k": 2}'),
        Call(id="call_2", name="say", arguments='{"text": "wait [for] \\"it\\""}'),
        Call(id="call_3", name="search_documents", arguments='{"query": "pears", "k": 2}'),
    )
)


async def ask(
    handler: Handler, *messages: ChatMessage, parameters: RequestParameters | None = None
) -> ChatAnswer:
    """Ask a provider once."""
    async with asking(handler, parameters=parameters) as (model, _, _):
        return await model.complete(request(*messages, tools=(SEARCH, SAY)))


async def failing(handler: Handler, attempts_max: int = 5) -> tuple[ConnectorError, int]:
    """Ask a provider that fails; returns the failure and how many requests it got."""
    async with asking(handler) as (model, quirky, _):
        with pytest.raises(ConnectorError) as caught:
            await model.complete(request(attempts_max=attempts_max))
        return caught.value, len(quirky.asked)


def called(answer: ChatAnswer) -> list[tuple[str, object]]:
    return [(call.name, json.loads(call.arguments_json)) for call in answer.tool_calls]


EXPECTED = [(call.name, json.loads(call.arguments)) for call in CALLS.calls]


@pytest.mark.parametrize("name", [*quirks.CALL_QUIRKS, *quirks.STREAM_QUIRKS])
async def test_every_call_comes_whole_and_under_an_id_of_its_own(name: str) -> None:
    answer = await ask(lambda _: quirks.QUIRKS[name](CALLS))

    assert called(answer) == EXPECTED
    assert answer.finish_reason == "tool_calls"
    ids = [call.tool_call_id for call in answer.tool_calls]
    assert all(ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", [*quirks.CONTENT_QUIRKS, *quirks.STREAM_QUIRKS])
async def test_every_text_comes_whole_and_piece_by_piece(name: str) -> None:
    pieces = Pieces()
    async with asking(lambda _: quirks.QUIRKS[name](TEXT)) as (model, quirky, _):
        answer = await model.complete(followed(request(), pieces))

    assert answer.text == TEXT.text
    assert pieces.text == TEXT.text
    assert answer.finish_reason == "stop"
    assert len(quirky.asked) == 1


@pytest.mark.parametrize("arguments", ["", "null", "{}", "  ", '""'])
async def test_no_arguments_are_an_empty_object(arguments: str) -> None:
    answer = await ask(lambda _: sound(Answer(calls=(Call(id="a", name="say", arguments=arguments),))))

    assert called(answer) == [("say", {})]


@pytest.mark.parametrize(
    "arguments", ['{"a": 1}{"b": 2}', "[1, 2]", "7", '[{"a": 1}, {"b": 2}]', '{"a"', "query=x"]
)
async def test_what_is_no_object_stays_as_it_came_for_the_tool_to_refuse(arguments: str) -> None:
    answer = await ask(lambda _: sound(Answer(calls=(Call(id="a", name="say", arguments=arguments),))))

    assert answer.tool_calls[0].arguments_json == arguments


async def test_calls_that_are_alike_are_as_many_as_the_model_asked_for() -> None:
    twice = tuple(Call(id=f"c{n}", name="say", arguments='{"text": "hello"}') for n in range(2))

    answer = await ask(lambda _: sound(Answer(calls=twice)))

    assert len(answer.tool_calls) == 2


async def test_an_id_of_an_earlier_step_is_not_given_again() -> None:
    first = await ask(lambda _: quirks.QUIRKS["calls_of_one_id"](CALLS))
    told = ChatMessage(role="assistant", text="", tool_calls=first.tool_calls)
    results = [
        ChatMessage(role="tool", text="none", tool_call_id=call.tool_call_id) for call in first.tool_calls
    ]

    second = await ask(lambda _: quirks.QUIRKS["calls_of_one_id"](CALLS), user("Go on"), told, *results)

    ids = [call.tool_call_id for call in (*first.tool_calls, *second.tool_calls)]
    assert len(set(ids)) == len(ids) == 6


async def test_a_call_that_was_cut_off_before_its_arguments_is_not_one_without_any() -> None:
    cut = Call(id="a", name="say", arguments="")

    answer = await ask(lambda _: stream([chunk({"tool_calls": [part(cut)]}), *end_of(CALLS, "length")]))

    assert answer.finish_reason == "length"
    with pytest.raises(json.JSONDecodeError):
        json.loads(answer.tool_calls[0].arguments_json)


async def test_calls_of_a_filtered_answer_are_not_carried_out() -> None:
    answer = await ask(lambda _: stream([*quirks.chunks_of(CALLS)[:-2], *end_of(CALLS, "content_filter")]))

    assert (answer.finish_reason, answer.tool_calls) == ("content_filter", ())


_TOOLS = ("say", "search_documents")
_OBJECTS = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8), min_size=1, max_size=3)
_CALLS = st.lists(st.tuples(st.sampled_from(_TOOLS), _OBJECTS), min_size=1, max_size=4)


@given(_CALLS, st.data())
def test_calls_cut_anywhere_are_put_together_as_they_were(
    calls: list[tuple[str, dict[str, object]]], data: st.DataObject
) -> None:
    assembly = ToolCallAssembly(_TOOLS)
    marked = data.draw(st.sampled_from(["index", "id", "both"]))
    for number, (name, value) in enumerate(calls):
        text = json.dumps(value)
        cut = data.draw(st.integers(0, len(text)))
        for place, arguments in enumerate((text[:cut], text[cut:])):
            assembly.take(
                [
                    ToolCallPart(
                        index=number if marked != "id" else None,
                        id=f"c{number}" if marked != "index" else "",
                        name=name if place == 0 else "",
                        arguments=arguments,
                    )
                ]
            )

    assert [(call.name, json.loads(call.arguments)) for call in assembly.calls] == calls


_PART = st.builds(
    ToolCallPart,
    index=st.none() | st.integers(0, 2),
    id=st.sampled_from(["", "a", "b"]),
    name=st.sampled_from(["", "say", "sa"]),
    arguments=st.sampled_from(["", "{", "}", '{"a": 1}', "[]", "\ud83d"]),
)


@given(st.lists(st.lists(_PART, max_size=3), max_size=8))
def test_no_order_of_pieces_glues_two_objects_together(parts: list[list[ToolCallPart]]) -> None:
    assembly = ToolCallAssembly(_TOOLS)
    for some in parts:
        assembly.take(some)

    for call in assembly.calls:
        call.arguments.encode()
        assert "".join(call.pieces).count('{"a": 1}') <= 1 or not call.is_complete


@pytest.mark.parametrize("value", [{}, {"a": {"b": [1]}}, {"a": '{"b": 1}'}])
def test_arguments_are_found_however_often_they_are_encoded(value: dict[str, object]) -> None:
    text = json.dumps(value)
    for _ in range(2):
        assert json.loads(arguments_of([text])) == value
        text = json.dumps(text)


# An end is an end.


@pytest.mark.parametrize(
    ("given", "means"),
    [
        ("length", "length"),
        ("max_tokens", "length"),
        ("MAX_TOKENS", "length"),
        ("content_filter", "content_filter"),
        ("SAFETY", "content_filter"),
        ("stop", "stop"),
        ("STOP", "stop"),
        ("end_turn", "stop"),
        ("tool_calls", "stop"),
        ("whatever", "stop"),
    ],
)
async def test_a_reason_means_what_it_says(given: str, means: str) -> None:
    answer = await ask(lambda _: stream([*quirks.chunks_of(TEXT)[:-2], *end_of(TEXT, given)]))

    assert answer.finish_reason == means
    assert answer.text == TEXT.text


async def test_a_body_that_only_the_connection_ends_may_be_cut_off() -> None:
    chunks = quirks.chunks_of(TEXT)[:-2]

    failure, _ = await failing(lambda _: Sent(body=events(chunks, done=False), closes=True))

    assert (failure.kind, failure.maybe_billed) == ("interrupted", True)


@pytest.mark.parametrize("body", [b"", b"\n\n", b"data: [DONE]\n\n", b": ping\n\n", b"{}"])
async def test_an_answer_of_nothing_is_none(body: bytes) -> None:
    failure, _ = await failing(lambda _: Sent(body=body))

    assert (failure.kind, failure.maybe_billed) == ("interrupted", True)


async def test_thoughts_whose_beginning_stands_in_the_prompt_are_no_part_of_the_answer() -> None:
    thought = Answer(text=f"Let me see.\n</think>\n\n{TEXT.text}")

    answer = await ask(lambda _: sound(thought))

    assert answer.text == TEXT.text


@pytest.mark.parametrize(
    "text",
    [
        "Write `</think>` behind it.",
        "It ends with '</think>', or \"</think>\".",
        "First <think>, then </think> closes it.",
        "One </think> and another </think>.",
    ],
)
async def test_an_answer_that_speaks_of_thoughts_is_whole(text: str) -> None:
    answer = await ask(lambda _: sound(Answer(text=text)))

    assert answer.text == text


@pytest.mark.parametrize("name", quirks.WRITTEN_CALL_QUIRKS)
async def test_what_is_said_before_a_written_call_stays_said(name: str) -> None:
    before = stream([chunk({"content": "I will look.\n"})])
    calls = quirks.QUIRKS[name](CALLS)
    both = replace(calls, body=before.body.replace(b"data: [DONE]\n\n", b"") + calls.body)
    bare = name in ("written_as_text_of_json", "written_in_fence")

    answer = await ask(lambda _: both)

    # JSON alone is a call only where it is the whole answer.
    assert called(answer) == ([] if bare else EXPECTED)
    assert answer.text.startswith("I will look.")


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>{"name": "another", "arguments": {}}</tool_call>',
        '<tool_call>{"name": "say"}</tool_call>',
        '<tool_call>{"name": "say", "arguments": {"text": "cut o',
        '<tool_call>{"name": "say", "arguments": [1]}</tool_call>',
        '<tool_call>{"name": "say", "arguments": {}}</tool_call> and then?',
        '{"name": "say", "arguments": {}, "parameters": {}}',
        '{"name": "another", "arguments": {}}',
        '{"name": "say", "score": 3}',
        "[TOOL_CALLS]",
        "[TOOL_CALLS] are written by some models.",
        "<function=say>",
        "[]",
        '[{"name": "say", "arguments": {}}, {"name": "Ada"}]',
        "{" * 500,
        '{"a":' * 300,
    ],
)
async def test_a_text_that_is_no_call_of_what_was_offered_stays_a_text(text: str) -> None:
    answer = await ask(lambda _: sound(Answer(text=text)))

    assert (answer.text, answer.tool_calls) == (text, ())


async def test_no_call_is_read_out_of_a_text_where_no_tool_was_offered() -> None:
    text = '<tool_call>{"name": "say", "arguments": {}}</tool_call>'

    async with asking(lambda _: sound(Answer(text=text))) as (model, _, _):
        answer = await model.complete(request())

    assert (answer.text, answer.tool_calls) == (text, ())


async def test_thinking_alone_that_is_cut_off_is_an_answer_without_text() -> None:
    thought = [chunk({"role": "assistant", "reasoning_content": "long thought"}), *end_of(TEXT, "length")]

    answer = await ask(lambda _: stream(thought))

    assert (answer.text, answer.finish_reason) == ("", "length")


RATE_LIMIT = {"error": {"message": "Slow down, retry in 2 s", "type": "rate_limit", "code": 429}}
BEGIN = chunk({"role": "assistant", "content": ""})


@pytest.mark.parametrize(
    "sent",
    [
        stream([BEGIN, RATE_LIMIT]),
        stream([RATE_LIMIT]),
        stream([[RATE_LIMIT]]),
        Sent(body=b"event: error\n" + events([RATE_LIMIT])),
        Sent(body=b"event: error\n" + events([RATE_LIMIT["error"]])),
        Sent(body=json.dumps(RATE_LIMIT).encode(), content_type="application/json"),
        Sent(body=json.dumps([RATE_LIMIT], indent=1).encode(), content_type="application/json"),
        Sent(body=b'{"object": "error", "message": "retry in 2 s", "type": "RateLimitError", "code": 429}'),
        stream([{"type": "error", "error": {"type": "rate_limit_error", "message": "retry in 2 s"}}]),
        Sent(body=json.dumps(RATE_LIMIT).encode(), status=429, content_type="application/json"),
        stream([BEGIN, {"error": "Rate limit exceeded: please retry in 2s"}]),
    ],
)
async def test_a_rate_limit_counts_as_one_wherever_it_is_told(sent: Sent) -> None:
    answers = [sent, sound(TEXT)]
    async with asking(lambda _: answers.pop(0)) as (model, quirky, waits):
        answer = await model.complete(request())

    assert answer.text == TEXT.text
    assert len(quirky.asked) == 2
    assert waits.seconds == [2.0]


async def test_an_error_after_some_text_may_be_billed() -> None:
    failure, asked = await failing(lambda _: stream([BEGIN, chunk({"content": "Apples"}), RATE_LIMIT]))

    assert (failure.kind, failure.maybe_billed, asked) == ("interrupted", True, 1)
    assert "Slow down" in str(failure)


PAGE = b"<!doctype html><html><head><title>Sign in</title></head><body><h1>Cafe network</h1></body></html>"


@pytest.mark.parametrize(
    ("sent", "kind", "words"),
    [
        (Sent(body=PAGE, content_type="text/html"), "provider_error", "Sign in: Cafe network"),
        (Sent(body=PAGE), "provider_error", "Sign in"),
        (Sent(body=b"no such route", content_type="text/plain"), "provider_error", "no such route"),
        (Sent(body=b'{"error": "model not found", "code": 404}'), "invalid_request", "model not found"),
        (Sent(body=b'{"detail": "Not Found"}', status=404), "invalid_request", "Not Found"),
        (
            Sent(body=b'{"choices": [], "base_resp": {"status_code": 401, "status_msg": "no such key"}}'),
            "refused",
            "no such key",
        ),
        (Sent(body=b'{"code": 400, "msg": "bad part", "success": false}'), "invalid_request", "bad part"),
        (Sent(body=b'{"error_code": 403, "error_msg": "not yours"}'), "refused", "not yours"),
        (Sent(body=PAGE, status=403, content_type="text/html"), "refused", "Cafe network"),
        (
            Sent(
                body=b'[{"error": {"code": 400, "message": "bad part", "status": "INVALID_ARGUMENT"}}]',
                status=400,
            ),
            "invalid_request",
            "bad part",
        ),
        (
            Sent(
                body=b'{"error": {"message": "Insufficient Balance", "code": "invalid_request_error"}}',
                status=402,
            ),
            "refused",
            "Insufficient Balance",
        ),
        (
            Sent(
                body=b'{"error": {"message": "prompt is too long: 9 tokens", "type": "invalid_request"}}',
                status=400,
            ),
            "prompt_too_long",
            "too long",
        ),
        (
            Sent(
                body=b'{"error": {"message": "Provider returned error", "code": 400, '
                b'"metadata": {"raw": "the real reason"}}}',
                status=400,
            ),
            "invalid_request",
            "the real reason",
        ),
    ],
)
async def test_a_providers_own_words_are_told_and_nothing_is_charged_or_repeated(
    sent: Sent, kind: str, words: str
) -> None:
    failure, asked = await failing(lambda _: sent)

    assert words in str(failure)
    assert (failure.kind, failure.maybe_billed, asked) == (kind, False, 1)


@pytest.mark.parametrize(
    "sent",
    [
        stream([BEGIN, {"error": {"message": "engine overloaded", "type": "overloaded_error"}}]),
        Sent(body=b"<html><h1>502 Bad Gateway</h1></html>", status=502, content_type="text/html"),
        Sent(body=b'{"error": "the model is loading"}'),
    ],
)
async def test_what_was_never_answered_is_repeated_and_not_charged(sent: Sent) -> None:
    failure, asked = await failing(lambda _: sent, attempts_max=3)

    assert (failure.kind, failure.maybe_billed, failure.retryable, asked) == (
        "provider_error",
        False,
        True,
        3,
    )


@pytest.mark.parametrize(
    "body", [b"data: \x00\x01 nonsense\n\n", b'data: {"choices": [\n\n', b'{"choices": [']
)
async def test_an_answer_that_cannot_be_read_may_be_billed(body: bytes) -> None:
    failure, asked = await failing(lambda _: Sent(body=body))

    assert (failure.kind, failure.maybe_billed, asked) == ("interrupted", True, 1)


# What cannot be written as UTF-8.


async def test_halves_of_a_character_are_joined_and_lone_ones_replaced() -> None:
    halves = ["It is 42 \ud83d", "\ude00 indeed", "\ud83d", " and \ude00."]
    pieces = Pieces()
    async with asking(lambda _: stream([*[chunk({"content": h}) for h in halves], *end_of(TEXT)])) as (
        model,
        _,
        _,
    ):
        answer = await model.complete(followed(request(), pieces))

    assert answer.text == "It is 42 \U0001f600 indeed\ufffd and \ufffd."
    assert pieces.text == answer.text


async def test_nothing_of_an_answer_is_without_a_place_in_a_record() -> None:
    odd = Call(id="id\ud83d", name="say\ude00", arguments='{"text": "\ud83d"}')
    parts = [chunk({"tool_calls": [part(odd, extra_content={"a": "\ud83d"})]}, model="m\ud83d")]
    usage = {"prompt_tokens": 2**70, "completion_tokens": -1, "total_tokens": 1e400}

    answer = await ask(lambda _: stream([*parts, *end_of(Answer(usage=usage), "\ud83d")]))

    call = answer.tool_calls[0]
    for text in (answer.model, answer.finish_reason, call.tool_call_id, call.name, call.arguments_json):
        text.encode()
    assert 0 < answer.input_tokens < 2**31
    assert 0 < answer.output_tokens < 2**31


# What a provider wants back.


def _refusing(missing: str) -> Sent:
    return Sent(
        body=json.dumps({"error": {"message": missing, "type": "invalid_request_error"}}).encode(), status=400
    )


def _signed(body: Body) -> Sent:
    told = [call for message in _messages(body) for call in message.get("tool_calls") or []]
    signed = [part(call, index=n, extra_content=SIGNATURE) for n, call in enumerate(CALLS.calls)]
    if any(call.get("extra_content") != SIGNATURE for call in told):
        return _refusing("Function call is missing a thought_signature in functionCall parts.")
    return sound(TEXT) if told else stream([chunk({"tool_calls": [one]}) for one in signed] + end_of(CALLS))


def _reasoned(body: Body) -> Sent:
    told = [message for message in _messages(body) if message.get("tool_calls")]
    if any(message.get("reasoning_content") != "I should search" for message in told):
        return _refusing("Missing `reasoning_content` field in the assistant message")
    thoughts = [chunk({"reasoning_content": piece}) for piece in ("I should ", "search")]
    return sound(TEXT) if told else stream([*thoughts, *quirks.chunks_of(CALLS)])


def _messages(body: Body) -> list[Any]:
    return cast("list[Any]", body["messages"])


SIGNATURE = {"google": {"thought_signature": "c2lnbmF0dXJl"}}


@pytest.mark.parametrize("handler", [_signed, _reasoned])
async def test_what_a_provider_says_with_its_calls_goes_back_unchanged(handler: Handler) -> None:
    first = await ask(handler)
    told = ChatMessage(
        role="assistant",
        text=first.text,
        tool_calls=first.tool_calls,
        provider_state_json=first.provider_state_json,
    )
    results = [ChatMessage(role="tool", text="42", tool_call_id=c.tool_call_id) for c in first.tool_calls]

    second = await ask(handler, user("How many?"), told, *results)

    assert called(first) == EXPECTED
    assert second.text == TEXT.text


async def test_a_provider_that_refuses_its_own_thoughts_does_not_get_them_back() -> None:
    def handler(body: Body) -> Sent:
        if any("reasoning_content" in message for message in _messages(body)):
            return _refusing("property 'reasoning_content' is unsupported")
        return sound(TEXT)

    told = ChatMessage(
        role="assistant",
        text="",
        tool_calls=(ToolCallProposed(tool_call_id="a", name="say", arguments_json="{}"),),
        provider_state_json='{"reasoning_content": "hm"}',
    )
    answer = await ask(handler, user("Hi"), told, ChatMessage(role="tool", text="x", tool_call_id="a"))

    assert answer.text == TEXT.text


# What servers refuse in a conversation.


def _strict(body: Body) -> Sent:
    """Refuse what chat templates refuse: empty messages, and arguments of earlier calls that are no JSON."""
    for message in _messages(body):
        if not message.get("content") and not message.get("tool_calls"):
            return _refusing("messages: text content blocks must be non-empty")
        for call in message.get("tool_calls") or []:
            if not call["function"]["name"] or not isinstance(
                json.loads(call["function"]["arguments"]), dict
            ):
                return _refusing("arguments are no JSON")
    return sound(TEXT)


async def test_no_message_is_empty_and_no_arguments_of_an_earlier_call_are_broken() -> None:
    calls = tuple(
        ToolCallProposed(tool_call_id=f"c{n}", name=name, arguments_json=arguments)
        for n, (name, arguments) in enumerate([("say", '{"a"'), ("", "{}"), ("say", ""), ("say", "[1]")])
    )
    conversation = (
        user("  "),
        ChatMessage(role="assistant", text=""),
        user("Hi"),
        ChatMessage(role="assistant", text="", tool_calls=calls),
        *[ChatMessage(role="tool", text="", tool_call_id=f"c{n}") for n in range(4)],
    )

    answer = await ask(_strict, *conversation)

    assert answer.text == TEXT.text


def _alternating(body: Body) -> Sent:
    roles = [message["role"] for message in _messages(body)]
    if "system" in roles:
        return _refusing("System role not supported")
    if any(one == other for one, other in pairwise(roles)):
        return _refusing("Conversation roles must alternate user/assistant/user/assistant/...")
    return sound(TEXT)


async def test_roles_alternate_where_a_template_wants_it() -> None:
    said = (
        system("Rules."),
        user("One."),
        user("Two."),
        ChatMessage(role="assistant", text="A."),
        user("B."),
    )

    async with asking(_alternating) as (model, quirky, _):
        answer = await model.complete(request(*said))

    assert answer.text == TEXT.text
    assert [message["content"] for message in _messages(quirky.asked[-1])] == [
        "Rules.\n\nOne.\n\nTwo.",
        "A.",
        "B.",
    ]
