"""The registry: what goes in and what comes out is checked, and every failure has its kind."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

import pytest

from connectors.tools import registry
from connectors.tools.registry import RESULT_BYTES_MAX, ToolRegistry
from schemas.configuration import ToolSpec
from schemas.ports.tool import Arguments, Happened, ToolContext, ToolError, ToolResult
from tests.connectors.twins import context

SPEC = ToolSpec(
    name="echo",
    version="1.0.0",
    description="Says what it is told.",
    category="test",
    safety_level="safe",
    complexity_score=1,
    resource_intensity="light",
    parameters_json=json.dumps(
        {
            "type": "object",
            "properties": {
                "text": {"type": "string", "maxLength": 1_000},
                "more": {"type": "array", "items": {"type": "object", "required": ["id"]}},
            },
            "required": ["text"],
            "additionalProperties": False,
        }
    ),
    result_schema_json=json.dumps(
        {"type": "object", "properties": {"said": {"type": "string"}}, "required": ["said"]}
    ),
    idempotent=True,
    tokens_max=100,
    tokens_min=1,
    nanodollars_per_token=1,
    timeout_ms=1_000,
)

Run = Callable[[Arguments, ToolContext], Awaitable[ToolResult]]


class Echo:
    """A tool made of a function."""

    def __init__(self, run: Run, spec: ToolSpec = SPEC) -> None:
        """Note both."""
        self._run = run
        self.spec = spec

    async def run(self, arguments: Arguments, given: ToolContext) -> ToolResult:
        """Call the function."""
        return await self._run(arguments, given)


async def say(arguments: Arguments, _context: ToolContext) -> ToolResult:
    """Say what is told."""
    return ToolResult(result={"said": arguments["text"]}, used_tokens=7, cost_nanodollars=9)


def giving(result: Mapping[str, object]) -> Run:
    """A function that gives always the same."""

    async def run(_arguments: Arguments, _context: ToolContext) -> ToolResult:
        return ToolResult(result=result, used_tokens=7, cost_nanodollars=9)

    return run


async def failure(run: Run, arguments: str = '{"text": "hi"}', *, name: str = "echo") -> ToolError:
    """Invoke, and return the failure."""
    with pytest.raises(ToolError) as caught:
        await ToolRegistry([Echo(run)]).invoke(name, arguments, context(), 100)
    return caught.value


async def test_a_call_that_fits_gives_the_tools_result() -> None:
    result = await ToolRegistry([Echo(say)]).invoke("echo", '{"text": "hi"}', context(), 1_000)

    assert result == ToolResult(result={"said": "hi"}, used_tokens=7, cost_nanodollars=9)


async def test_a_tool_that_nobody_knows_is_named_with_those_that_are_known() -> None:
    error = await failure(say, name="ech0")

    assert error.kind == "unknown_tool"
    assert "'ech0'" in str(error)
    assert "echo" in str(error)


@pytest.mark.parametrize("arguments", ['{"text": "hi', "[1]", '"hi"', '{"text": NaN}', "[" * 100_000])
async def test_arguments_that_are_no_json_object_are_a_parse_error(arguments: str) -> None:
    assert (await failure(say, arguments)).kind == "parse_error"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("{}", "at $: 'text' is a required property"),
        ("", "at $: 'text' is a required property"),
        ('{"text": 7}', "at $.text: 7 is not of type 'string'"),
        ('{"text": "hi", "volume": 11}', "'volume' was unexpected"),
        ('{"text": "hi", "more": [{"id": 1}, {}]}', "at $.more[1]: 'id' is a required property"),
    ],
)
async def test_arguments_that_do_not_fit_are_told_where_and_what(arguments: str, told: str) -> None:
    error = await failure(say, arguments)

    assert error.kind == "validation_error"
    assert told in str(error)


async def test_the_message_about_a_huge_argument_is_short_and_still_says_what_is_wrong() -> None:
    error = await failure(say, json.dumps({"text": "x" * 100_000}))

    assert len(str(error)) < 1_000
    assert "is too long" in str(error)


async def test_a_tool_that_takes_too_long_is_stopped() -> None:
    stopped: list[bool] = []

    async def hang(_arguments: Arguments, _context: ToolContext) -> ToolResult:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append(True)
        raise AssertionError

    error = await failure(hang)

    assert (error.kind, error.retryable, error.maybe_billed, stopped) == ("timeout", True, True, [True])


async def test_a_timeout_of_the_tools_own_is_its_failure_and_not_the_registrys() -> None:
    async def impatient(_arguments: Arguments, _context: ToolContext) -> ToolResult:
        raise TimeoutError("the disk did not answer")

    assert (await failure(impatient)).kind == "execution_error"


async def test_a_bug_of_a_tool_fails_its_call_alone() -> None:
    async def buggy(_arguments: Arguments, _context: ToolContext) -> ToolResult:
        raise KeyError("left")

    error = await failure(buggy)

    assert error.kind == "execution_error"
    assert "KeyError: 'left'" in str(error)
    assert isinstance(error.__cause__, KeyError)


async def test_a_tools_own_error_comes_through_as_it_is() -> None:
    own = ToolError("execution_error", "no luck", retryable=True, used_tokens=3, cost_nanodollars=4)

    async def unlucky(_arguments: Arguments, _context: ToolContext) -> ToolResult:
        raise own

    assert await failure(unlucky) is own


@pytest.mark.parametrize(
    "result", [{}, {"said": 7}, {"said": "x" * RESULT_BYTES_MAX}, {"said": float("nan")}, {"said": b"bytes"}]
)
async def test_a_result_that_does_not_fit_is_refused_and_its_cost_is_kept(result: dict[str, object]) -> None:
    error = await failure(giving(result))

    assert (error.kind, error.used_tokens, error.cost_nanodollars) == ("result_invalid", 7, 9)


async def test_output_that_cannot_be_passed_on_is_a_streaming_error() -> None:
    async def full(_channel: str, _text: str) -> None:
        raise ConnectionError("the topic is away")

    async def talk(_arguments: Arguments, given: ToolContext) -> ToolResult:
        await given.on_output("stdout", "hi")
        raise AssertionError

    with pytest.raises(ToolError) as caught:
        await ToolRegistry([Echo(talk)]).invoke("echo", '{"text": "hi"}', context(on_output=full), 1_000)

    assert caught.value.kind == "streaming_error"


async def test_cancelling_a_call_cancels_the_tool() -> None:
    began = asyncio.Event()

    async def hang(_arguments: Arguments, _context: ToolContext) -> ToolResult:
        began.set()
        await asyncio.Event().wait()
        raise AssertionError

    task = asyncio.ensure_future(
        ToolRegistry([Echo(hang)]).invoke("echo", '{"text": "hi"}', context(), 60_000)
    )
    await asyncio.wait_for(began.wait(), 5)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


def test_two_tools_of_one_name_and_schemas_that_are_none_are_refused_at_start() -> None:
    with pytest.raises(ValueError, match="two tools are named echo"):
        ToolRegistry([Echo(say), Echo(say)])
    for broken in (replace(SPEC, parameters_json="{"), replace(SPEC, result_schema_json='{"type": "thing"}')):
        with pytest.raises(ValueError, match="no JSON Schema"):
            ToolRegistry([Echo(say, broken)])


class Telling(Echo):
    """A tool that tells of earlier calls: in turn each of its answers, or what it raises."""

    def __init__(self, *answers: Happened | Exception | None) -> None:
        """Note the answers."""
        super().__init__(say)
        self._answers = list(answers)

    async def happened(self, _arguments: Arguments, _context: ToolContext) -> Happened | None:
        """Give the next answer."""
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


GAVE = Happened(carried_out=True, result={"said": "hi"})


@pytest.mark.parametrize(
    ("answers", "known"),
    [
        ([GAVE], GAVE),
        ([Happened(carried_out=False)], Happened(carried_out=False)),
        ([None], None),
        # It is away for a moment.
        ([ToolError("execution_error", "away", retryable=True), GAVE], GAVE),
        ([ToolError("execution_error", "no")], None),
        ([ValueError("a bug")], None),
        # What does not fit was carried out all the same.
        ([Happened(carried_out=True, result={"said": 7})], Happened(carried_out=True)),
        ([Happened(carried_out=True, result={"said": float("nan")})], Happened(carried_out=True)),
    ],
)
async def test_what_a_tool_tells_of_an_earlier_call_is_checked_and_costs_nothing_where_it_fails(
    answers: list[Happened | Exception | None], known: Happened | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_ASK_AGAIN_S", 0.0)

    assert await ToolRegistry([Telling(*answers)]).happened("echo", '{"text": "hi"}', context()) == known


async def test_a_tool_that_tells_nothing_in_time_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "RECONCILE_S", 0.01)
    away = ToolError("execution_error", "away", retryable=True)

    assert await ToolRegistry([Telling(away, away)]).happened("echo", '{"text": "hi"}', context()) is None


async def test_a_tool_without_a_memory_and_one_that_is_not_there_tell_nothing() -> None:
    tools = ToolRegistry([Echo(say)])

    assert await tools.happened("echo", '{"text": "hi"}', context()) is None
    assert await tools.happened("ech0", "{}", context()) is None
