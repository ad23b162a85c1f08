"""What a provider can do, found out by a handful of small questions, and which profile fits it."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final

from connectors.models.chat import OpenAIModel
from connectors.models.values import mapping_of
from schemas.configuration import ChatModel, RequestParameters
from schemas.frozen import replace
from schemas.ports.chat import ChatAnswer, ChatMessage, ChatRequest, ConnectorError, ToolOffered
from schemas.ports.embedding import Embedder, EmbeddingsAbsent

OUTPUT_TOKENS_MAX: Final = 1_000
"""Of each answer but the one that is cut off: a model that thinks needs room before it says a word."""
CUT_OFF_TOKENS: Final = 24
CUT_OFF_SLACK: Final = 2.0
"""Servers count otherwise than we do; more than this times the limit is no difference of counting."""
UNDERCOUNT_SHARE: Final = 1.1
"""A prompt that the provider counts larger than this times our count is more than what is reserved for it."""
TIMEOUT_MS: Final = 60_000
ATTEMPTS_MAX: Final = 2
TRIED_MAX: Final = 3
"""Profiles that are tried beside the configured one."""

_CITY: Final = '{"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}'
_TOOLS: Final = (
    ToolOffered(
        name="population_of", description="Tells how many people live in a city.", parameters_json=_CITY
    ),
    ToolOffered(name="area_of", description="Tells how large a city is.", parameters_json=_CITY),
)
_COUNTING: Final = ", ".join(f"number {number}" for number in range(1, 61))
_SCHEMA: Final = json.dumps(
    {
        "type": "object",
        "properties": {"answer": {"type": "string"}},
        "required": ["answer"],
        "additionalProperties": False,
    }
)


class Grade(StrEnum):
    """How well something works."""

    WORKS = "works"
    WEAK = "weak"
    """Cartrita does without, or does more itself."""
    FAILS = "fails"
    """Something that Cartrita needs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The outcome of one question."""

    question: str
    grade: Grade
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What a model can do."""

    model: str
    findings: tuple[Finding, ...]
    learnt: tuple[tuple[str, object], ...]
    """Parameters that its configuration should have, with their values, as refusals have taught."""
    fits: str | None
    """The profile that was asked by and met no refusal; None: `learnt` has to stand in the model's entry."""
    tokens: int
    """That the questions used."""

    @property
    def healthy(self) -> bool:
        """Tell whether all works that Cartrita needs."""
        return all(finding.grade is not Grade.FAILS for finding in self.findings)


Make = Callable[[RequestParameters], OpenAIModel]
"""Returns the provider, asked by these parameters."""


async def examine(
    make: Make, chat: ChatModel, profiles: Mapping[str, RequestParameters], told: Sequence[str] = ()
) -> Examination:
    """Ask a chat model; where it does not answer at all, the other questions are not asked.

    Args:
        make: the provider; what is made is closed again.
        chat: which of its models, as configured.
        profiles: parameters of each family.
        told: the families that the server's address or its list of models speaks for.
    """
    async with _closing(make(chat.parameters)) as model:
        examiner = _Examiner(model, chat)
        answered = await examiner.ask("answers", examiner.answers)
        if answered:
            for question, asked in (
                ("stream", examiner.streams),
                ("usage", examiner.usage),
                ("limit", examiner.limit),
                ("json", examiner.json),
                ("tools", examiner.tools),
                ("parallel tools", examiner.parallel_tools),
            ):
                await examiner.ask(question, asked)
        learnt = _differences(chat.parameters, model.parameters_of(chat.name))
    examination = Examination(
        model=chat.name,
        findings=tuple(examiner.findings),
        learnt=learnt,
        fits=None,
        tokens=examiner.tokens,
    )
    if not answered:
        return examination
    fits, tokens = await _fitting(make, examination, chat, profiles, told)
    return replace(examination, fits=fits, tokens=examination.tokens + tokens)


async def examine_embeddings(embedder: Embedder) -> Finding:
    """Ask for two vectors."""
    question = "embeddings"
    if not embedder.model.name:
        return Finding(
            question=question, grade=Grade.WEAK, detail="none are configured: search goes by words alone"
        )
    try:
        embedded = await embedder.embed(
            ["apples", "pears"], call_id="doctor-embeddings", timeout_ms=TIMEOUT_MS
        )
    except EmbeddingsAbsent as error:
        return Finding(question=question, grade=Grade.WEAK, detail=f"there are none: {error}")
    except ConnectorError as error:
        return Finding(question=question, grade=Grade.FAILS, detail=str(error))
    if embedded.vectors[0] == embedded.vectors[1]:
        return Finding(question=question, grade=Grade.FAILS, detail="different texts have the same vector")
    detail = f"{embedder.model.dimensions} numbers a vector, by {embedded.model}"
    return Finding(question=question, grade=Grade.WORKS, detail=detail)


class _Examiner:
    """Asks one model, and notes what comes."""

    def __init__(self, model: OpenAIModel, chat: ChatModel) -> None:
        self.findings: list[Finding] = []
        self.tokens = 0
        self._model = model
        self._chat = chat
        self._pieces = 0
        self._asked = 0
        self._first: ChatAnswer | None = None
        self._first_request: ChatRequest | None = None

    async def ask(self, question: str, asked: Callable[[], Awaitable[tuple[Grade, str]]]) -> bool:
        """Note what a question brings; a failure of the provider is a finding."""
        try:
            grade, detail = await asked()
        except ConnectorError as error:
            grade, detail = Grade.FAILS, str(error)
        self.findings.append(Finding(question=question, grade=grade, detail=detail))
        return grade is not Grade.FAILS

    async def answers(self) -> tuple[Grade, str]:
        request = self._request("Say in one sentence what an apple is.")
        answer = await self._complete(request)
        self._first, self._first_request = answer, request
        if answer.text.strip():
            return Grade.WORKS, f"as {answer.model}"
        return Grade.FAILS, _nothing(answer)

    async def streams(self) -> tuple[Grade, str]:
        if self._pieces > 1:
            return Grade.WORKS, f"the answer came in {self._pieces} pieces"
        return Grade.WEAK, "answers come whole: nothing is shown before their end"

    async def usage(self) -> tuple[Grade, str]:
        answer, request = self._first, self._first_request
        assert answer is not None  # nothing else is asked where there is none
        assert request is not None
        if answer.usage_source != "provider":
            return Grade.WEAK, "it tells none that could be: tokens are counted here"
        counted = self._model.count_prompt(request)
        told = f"a prompt that counts {counted} here is billed as {answer.input_tokens}"
        if answer.input_tokens > counted * UNDERCOUNT_SHARE:
            return Grade.WEAK, f"{told}: calls may use more than is reserved for them"
        return Grade.WORKS, told

    async def limit(self) -> tuple[Grade, str]:
        request = self._request(f"Repeat this: {_COUNTING}", tokens_max=CUT_OFF_TOKENS)
        answer = await self._complete(request)
        if answer.output_tokens > CUT_OFF_TOKENS * CUT_OFF_SLACK:
            return Grade.FAILS, f"{answer.output_tokens} tokens came where {CUT_OFF_TOKENS} were allowed"
        if answer.finish_reason == "length":
            return Grade.WORKS, f"answers end at {CUT_OFF_TOKENS} tokens and say so"
        return (
            Grade.WEAK,
            f"the answer ended with {answer.finish_reason!r} after {answer.output_tokens} tokens",
        )

    async def json(self) -> tuple[Grade, str]:
        request = self._request('Is an apple a fruit? Answer with JSON alone, such as {"answer": "no"}.')
        answer = await self._complete(replace(request, json_mode=True, json_schema=_SCHEMA))
        asked = self._model.parameters_of(self._chat.name).response_format
        value = _json_in(answer.text)
        if value is None:
            return (
                Grade.FAILS,
                f"asked for by {asked}: {_nothing(answer) if not answer.text else 'no JSON came'}",
            )
        if "answer" not in value:
            return Grade.WEAK, f"asked for by {asked}: JSON of another shape came"
        if answer.text.strip()[:1] != "{":
            return (
                Grade.WEAK,
                f"asked for by {asked}: it came with words around it, which is read all the same",
            )
        return Grade.WORKS, f"asked for by {asked}"

    async def tools(self) -> tuple[Grade, str]:
        request = self._request("How many people live in Lima? Use population_of.", tools=_TOOLS[:1])
        called = await self._complete(request)
        if not called.tool_calls:
            return Grade.FAILS, "it answered without calling the tool that it was told to call"
        call = called.tool_calls[0]
        if call.name != "population_of" or _json_in(call.arguments_json) is None:
            return Grade.FAILS, f"it called {call.name!r} with {call.arguments_json[:100]!r}"
        told = ChatMessage(
            role="assistant",
            text=called.text,
            tool_calls=called.tool_calls,
            provider_state_json=called.provider_state_json,
        )
        results = [
            ChatMessage(role="tool", text='{"population": 10092000}', tool_call_id=one.tool_call_id)
            for one in called.tool_calls
        ]
        answer = await self._complete(replace(request, messages=(*request.messages, told, *results)))
        if answer.text.strip() or answer.tool_calls:
            return Grade.WORKS, "called, and the result was read"
        return Grade.FAILS, f"called, and to the result: {_nothing(answer)}"

    async def parallel_tools(self) -> tuple[Grade, str]:
        request = self._request("Use population_of and area_of, both at once, for Lima.", tools=_TOOLS)
        called = await self._complete(request)
        if len(called.tool_calls) > 1:
            return Grade.WORKS, f"{len(called.tool_calls)} calls in one answer"
        return Grade.WEAK, "one call an answer: tasks with several searches take more steps"

    def _request(
        self, text: str, *, tokens_max: int = OUTPUT_TOKENS_MAX, tools: tuple[ToolOffered, ...] = ()
    ) -> ChatRequest:
        self._asked += 1

        async def on_text(_attempt: int, _index: int, _text: str) -> None:
            self._pieces += 1 if self._asked == 1 else 0

        return ChatRequest(
            call_id=f"doctor-{self._asked}",
            model=self._chat.name,
            messages=(
                ChatMessage(role="system", text="You answer briefly."),
                ChatMessage(role="user", text=text),
            ),
            tools=tools,
            input_tokens_max=self._chat.context_tokens,
            output_tokens_max=min(tokens_max, self._chat.context_tokens // 2),
            timeout_ms=TIMEOUT_MS,
            attempts_max=ATTEMPTS_MAX,
            on_text=on_text,
        )

    async def _complete(self, request: ChatRequest) -> ChatAnswer:
        answer = await self._model.complete(request)
        self.tokens += answer.input_tokens + answer.output_tokens
        return answer


async def _fitting(
    make: Make,
    examination: Examination,
    chat: ChatModel,
    profiles: Mapping[str, RequestParameters],
    told: Sequence[str],
) -> tuple[str | None, int]:
    """Return the profile that fits, and the tokens that trying others took."""
    learnt = examination.learnt
    agreeing = [
        name
        for name, parameters in profiles.items()
        if learnt and all(getattr(parameters, field) == value for field, value in learnt)
    ]
    proven = [] if learnt else [chat.profile]
    candidates = [*(name for name in told if not learnt or name in agreeing), *proven, *agreeing]
    tokens = 0
    for name in list(dict.fromkeys(candidates))[:TRIED_MAX]:
        if name in proven:
            return name, tokens
        async with _closing(make(profiles[name])) as model:
            examiner = _Examiner(model, chat)
            works = [
                await examiner.ask("json", examiner.json),
                await examiner.ask("tools", examiner.tools),
            ]
            refused = _differences(profiles[name], model.parameters_of(chat.name))
        tokens += examiner.tokens
        expected = [
            f.grade is not Grade.FAILS for f in examination.findings if f.question in ("json", "tools")
        ]
        if not refused and all(now or not before for now, before in zip(works, expected, strict=True)):
            return name, tokens
    return None, tokens


@asynccontextmanager
async def _closing(model: OpenAIModel) -> AsyncIterator[OpenAIModel]:
    """Close a model after use."""
    try:
        yield model
    finally:
        await model.close()


def _differences(before: RequestParameters, after: RequestParameters) -> tuple[tuple[str, object], ...]:
    names = [field.name for field in fields(RequestParameters)]
    return tuple(
        (name, getattr(after, name)) for name in names if getattr(before, name) != getattr(after, name)
    )


def _json_in(text: str) -> Mapping[str, object] | None:
    start = text.find("{")
    if start < 0:
        return None
    try:
        value, _ = json.JSONDecoder().raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    return mapping_of(value)


def _nothing(answer: ChatAnswer) -> str:
    if answer.finish_reason == "length":
        return f"no text came within {answer.output_tokens} tokens: it may think, and needs a higher limit"
    return f"no text came, and the answer ended with {answer.finish_reason!r}"
