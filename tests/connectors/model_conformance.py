"""What every Model must do, whoever it asks; a subclass gives the fixture `model`."""

import asyncio
import json

import pytest

from schemas.events.models import ToolCallProposed
from schemas.ports.chat import ChatMessage, ChatRequest, Model, RequestInvalid, ToolOffered

SEARCH = ToolOffered(
    name="search_documents",
    description="Search the documents.",
    parameters_json=json.dumps(
        {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}
    ),
)


def request(
    *messages: ChatMessage,
    model: str = "gpt-4o-mini",
    tools: tuple[ToolOffered, ...] = (),
    json_mode: bool = False,
    input_tokens_max: int = 4_000,
    output_tokens_max: int = 400,
    timeout_ms: int = 60_000,
    attempts_max: int = 5,
    call_id: str = "call-1",
) -> ChatRequest:
    """A request with defaults for all that a test does not speak of."""
    return ChatRequest(
        call_id=call_id,
        model=model,
        messages=messages or (user("What is a budget? A budget is a bound on cost."),),
        tools=tools,
        json_mode=json_mode,
        input_tokens_max=input_tokens_max,
        output_tokens_max=output_tokens_max,
        timeout_ms=timeout_ms,
        attempts_max=attempts_max,
    )


def system(text: str) -> ChatMessage:
    """A system message."""
    return ChatMessage(role="system", text=text)


def user(text: str) -> ChatMessage:
    """A user message."""
    return ChatMessage(role="user", text=text)


class Pieces:
    """Takes the pieces of a text as they come."""

    def __init__(self) -> None:
        """Begin with none."""
        self.taken: list[tuple[int, int, str]] = []

    async def __call__(self, attempt: int, index: int, text: str) -> None:
        """Take a piece."""
        self.taken.append((attempt, index, text))

    @property
    def text(self) -> str:
        """All pieces joined."""
        return "".join(piece for _, _, piece in self.taken)


def followed(asked: ChatRequest, pieces: Pieces) -> ChatRequest:
    """The same request, whose text goes to `pieces` too."""
    return ChatRequest(
        call_id=asked.call_id,
        model=asked.model,
        messages=asked.messages,
        tools=asked.tools,
        json_mode=asked.json_mode,
        input_tokens_max=asked.input_tokens_max,
        output_tokens_max=asked.output_tokens_max,
        timeout_ms=asked.timeout_ms,
        attempts_max=asked.attempts_max,
        on_text=pieces,
    )


class ModelConformance:
    """The suite."""

    async def test_an_answer_has_text_a_reason_to_stop_and_usage(self, model: Model) -> None:
        answer = await model.complete(request())

        assert answer.text
        assert answer.finish_reason == "stop"
        assert answer.input_tokens > 0
        assert answer.output_tokens > 0
        assert answer.attempts == 1
        assert answer.usage_source in ("provider", "counted")

    async def test_the_pieces_that_are_handed_on_make_up_the_text(self, model: Model) -> None:
        pieces = Pieces()

        answer = await model.complete(followed(request(), pieces))

        assert pieces.text == answer.text
        assert [index for _, index, _ in pieces.taken] == list(range(len(pieces.taken)))
        assert {attempt for attempt, _, _ in pieces.taken} == {1}

    async def test_an_answer_has_no_more_tokens_than_asked_for(self, model: Model) -> None:
        answer = await model.complete(request(output_tokens_max=5))

        assert answer.finish_reason == "length"
        assert answer.output_tokens <= 5
        assert model.count_tokens(answer.text, "gpt-4o-mini") <= 5

    async def test_json_mode_answers_in_json(self, model: Model) -> None:
        answer = await model.complete(
            request(system("Answer in JSON."), user("What is a budget?"), json_mode=True)
        )

        assert isinstance(json.loads(answer.text), dict)

    async def test_an_offered_tool_can_be_asked_for_and_its_result_is_used(self, model: Model) -> None:
        messages = (
            system("Role: agent researcher\nSearch before you answer. Cite as [document#n]."),
            user("Request:\nHow are budgets reserved?"),
            user("Task t1: Find out how budgets are reserved"),
        )

        asked = await model.complete(request(*messages, tools=(SEARCH,)))

        assert asked.finish_reason == "tool_calls"
        call = asked.tool_calls[0]
        assert call.name == "search_documents"
        assert isinstance(json.loads(call.arguments_json)["query"], str)
        assert call.arguments_tokens == model.count_tokens(call.arguments_json, "gpt-4o-mini")

        passage = {"citation": "budgets.md#2", "score": 0.9, "text": "Budgets are reserved before each call."}
        answered = await model.complete(
            request(
                *messages,
                ChatMessage(role="assistant", text="", tool_calls=asked.tool_calls),
                *(_result(call, json.dumps({"passages": [passage]})) for call in asked.tool_calls),
                tools=(SEARCH,),
            )
        )

        assert answered.finish_reason == "stop"
        assert "reserved" in answered.text

    async def test_a_prompt_longer_than_reserved_is_not_sent_and_its_count_is_told(
        self, model: Model
    ) -> None:
        with pytest.raises(RequestInvalid) as caught:
            await model.complete(request(user("word " * 500), input_tokens_max=100))

        assert caught.value.kind == "prompt_too_long"
        assert not caught.value.retryable
        assert not caught.value.maybe_billed
        assert 500 < caught.value.prompt_tokens_counted < 520

    async def test_the_count_that_is_told_is_what_the_next_reservation_needs(self, model: Model) -> None:
        text = "word " * 300
        with pytest.raises(RequestInvalid) as caught:
            await model.complete(request(user(text), input_tokens_max=1))

        answer = await model.complete(
            request(user(text), input_tokens_max=caught.value.prompt_tokens_counted)
        )

        assert answer.input_tokens <= caught.value.prompt_tokens_counted

    async def test_a_call_can_be_cancelled(self, model: Model) -> None:
        task = asyncio.ensure_future(model.complete(request()))
        await asyncio.sleep(0)
        task.cancel()

        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 5)

    def test_tokens_of_a_text_add_up_to_no_less_than_one_a_word(self, model: Model) -> None:
        assert model.count_tokens("", "gpt-4o") == 0
        assert model.count_tokens("hello world", "gpt-4o") == 2
        assert model.count_tokens("<|endoftext|>", "gpt-4o") > 1


def _result(call: ToolCallProposed, text: str) -> ChatMessage:
    return ChatMessage(role="tool", text=text, tool_call_id=call.tool_call_id)
