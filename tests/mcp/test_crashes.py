"""A worker dies at each edge of a foreign tool's call: the effect takes place once at most, and is told.

The server is a process that notes each call with an effect, crash or no crash; the worker is the real shell
with the real executor, over a log in memory that breaks before any single write.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.mcp.server import ToolTerms
from schemas.envelope import Envelope
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolCallRequested
from schemas.ids import derived_id
from streams.effects.feed import Feed
from streams.effects.shell import EffectShell
from streams.process.metrics import Metrics
from streams.records.reader import RecordReader
from streams.shells.tool import ToolExecutor
from tests.mcp.worlds import SUM, World, tool
from tests.processors.world import configuration
from tests.streams.scene import Offers
from tests.streams.twin import CODEC, Crash, Kafka, TwinLog, TwinLogOfCalls, event, metrics
from topics.catalog import TOOL_CALLS, TOOL_RESULTS

WAIT_S = 90.0
TOOLS = (
    tool("effect"),
    tool("die"),
    tool("raise"),
    tool("nonsense"),
    tool("lie", outputSchema={**SUM}),
    tool("halt"),
    tool("vague"),
    tool("die_first"),
    tool("effect_then_die"),
    tool("status", inputSchema={"type": "object", "properties": {"idempotency_key": {"type": "string"}}}),
)
"""Of each the server notes the effect first, and then answers in its way, or not at all."""


def requested(name: str, number: int, *, idempotent: bool = False) -> Envelope:
    body = ToolCallRequested(
        call_id=derived_id("call", str(number)),
        task_id="task",
        turn=1,
        tool_call_id=f"c{number}",
        agent="clerk",
        tool=f"odd__{name}",
        tool_version="1",
        arguments_json="{}",
        idempotency_key=f"key-{number}",
        idempotent=idempotent,
        reserved_tokens=0,
        reserved_nanodollars=0,
        timeout_ms=10_000,
    )
    return replace(event(body, number=number), tenant_id="default")


class Worker:
    """One life of the tool shell, with a connection of its own to the server."""

    def __init__(
        self,
        kafka: Kafka,
        folder: Path,
        crash_at: int | None = None,
        *,
        idempotent: bool = False,
        reconciler: str | None = None,
    ) -> None:
        self.kafka = kafka
        self.log = TwinLog(kafka, crash_at)
        self.errors: list[BaseException] = []
        self.world = World(
            folder, *TOOLS, terms=ToolTerms(timeout_ms=10_000, idempotent=idempotent, reconciler=reconciler)
        )
        reader = RecordReader(
            kafka_bootstrap="127.0.0.1:1", topic_prefix="", codec=CODEC, cache_bytes=1, metrics=Metrics()
        )
        feed = Feed(codec=CODEC, log=Offers(), metrics=metrics("tool"), now_ms=lambda: 1, producer="tool")
        self.shell = EffectShell(
            ToolExecutor(
                self.world.registry,
                configuration=configuration(),
                reader=reader,
                feed=feed,
                tokenizer=len,
                now_ms=lambda: 9,
            ),
            name="tool",
            source=TOOL_CALLS.name,
            codec=CODEC,
            log=self.log,
            table=self.log.table,
            changelog="changelog",
            topic_prefix="",
            metrics=metrics("tool"),
            now_ms=lambda: 10_000,
            owner="me",
            places=1,
            calls=TwinLogOfCalls(kafka, TOOL_CALLS),
            fatal=lambda error, _: self.errors.append(error),
        )

    async def begin(self) -> None:
        await self.shell.own(self.kafka.ends())
        waiting = self.kafka.waiting()
        if waiting:
            await self.shell.process(waiting)

    async def finish(self) -> None:
        await self.until(lambda: not self.shell._tasks)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not condition() and not self.errors:  # noqa: ASYNC110  # the server's file is looked at
                await asyncio.sleep(0.005)
        if self.errors:
            raise self.errors[0]

    async def die(self) -> None:
        """End without writing another byte; the server's process ends with its worker's."""
        self.log._crash_at = -1
        for task in list(self.shell._tasks):
            task.cancel()
        await asyncio.gather(*self.shell._tasks, return_exceptions=True)
        await self.world.servers.close()


async def live(
    kafka: Kafka, folder: Path, crash_at: int | None = None, *, reconciler: str | None = None
) -> int:
    worker = Worker(kafka, folder, crash_at, reconciler=reconciler)
    try:
        await worker.begin()
        await worker.finish()
    finally:
        await worker.die()
    return worker.log.steps


def effects(folder: Path) -> Counter[str]:
    """Count by key what the server carried out."""
    path = folder / "effects.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return Counter(json.loads(line)["meta"]["cartrita/idempotency-key"] for line in lines)


def outcomes(kafka: Kafka) -> dict[str, ToolCallCompleted | ToolCallFailed]:
    """Return by call's key its one outcome."""
    distinct: dict[str, ToolCallCompleted | ToolCallFailed] = {}
    for one in kafka.events(TOOL_RESULTS):
        assert isinstance(one.body, ToolCallCompleted | ToolCallFailed)
        known = distinct.setdefault(one.body.tool_call_id.replace("c", "key-"), one.body)
        assert known == one.body, "one call with two outcomes"
    return distinct


def assert_nothing_is_hidden(kafka: Kafka, folder: Path, calls: int) -> None:
    """Nothing took place twice, and whatever took place is told, or told to be open."""
    carried_out, told = effects(folder), outcomes(kafka)
    assert len(told) == calls
    assert all(count == 1 for count in carried_out.values()), carried_out
    for key, outcome in told.items():
        if isinstance(outcome, ToolCallCompleted):
            assert carried_out[key] == 1
        elif carried_out[key]:
            assert outcome.maybe_effected, outcome


async def test_a_crash_before_any_single_write_repeats_no_effect_and_hides_none(tmp_path: Path) -> None:
    sent = [requested(name, number) for number, name in enumerate(("effect", "die"))]
    reference = Kafka()
    for one in sent:
        reference.send(one, TOOL_CALLS)
    (tmp_path / "whole").mkdir()
    steps = await live(reference, tmp_path / "whole")
    assert_nothing_is_hidden(reference, tmp_path / "whole", len(sent))

    for crash_at in range(steps):
        folder = tmp_path / str(crash_at)
        folder.mkdir()
        kafka = Kafka(sources=reference.sources)
        with pytest.raises(Crash):
            await live(kafka, folder, crash_at)
        kafka.committed.clear()
        await live(kafka, folder)
        assert_nothing_is_hidden(kafka, folder, len(sent))


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_worker_that_dies_while_the_server_works_leaves_the_outcome_open_or_calls_again(
    tmp_path: Path, *, idempotent: bool
) -> None:
    kafka = Kafka()
    kafka.send(requested("halt", 0, idempotent=idempotent), TOOL_CALLS)
    worker = Worker(kafka, tmp_path, idempotent=idempotent)
    await worker.begin()
    await worker.until(lambda: effects(tmp_path)["key-0"] == 1)
    await worker.die()

    again = Worker(kafka, tmp_path, idempotent=idempotent)
    await again.begin()
    if idempotent:
        await again.until(lambda: effects(tmp_path)["key-0"] == 2)
        await again.die()
        return
    await again.finish()
    await again.die()

    assert effects(tmp_path) == {"key-0": 1}
    outcome = outcomes(kafka)["key-0"]
    assert isinstance(outcome, ToolCallFailed)
    assert (outcome.kind, outcome.maybe_effected) == ("unknown", True)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("die", "unknown"),
        ("raise", "execution_error"),
        ("lie", "result_invalid"),
        ("nonsense", "result_invalid"),
    ],
)
async def test_whatever_a_server_does_after_the_effect_it_is_told_as_open(
    tmp_path: Path, name: str, kind: str
) -> None:
    kafka = Kafka()
    kafka.send(requested(name, 0), TOOL_CALLS)

    await live(kafka, tmp_path)

    assert effects(tmp_path) == {"key-0": 1}
    outcome = outcomes(kafka)["key-0"]
    assert isinstance(outcome, ToolCallFailed)
    assert (outcome.kind, outcome.maybe_effected) == (kind, True)


async def test_a_call_that_was_only_accepted_is_made_once_by_the_next_worker(tmp_path: Path) -> None:
    kafka = Kafka()
    kafka.send(requested("halt", 0), TOOL_CALLS)
    kafka.send(requested("effect", 1), TOOL_CALLS)
    worker = Worker(kafka, tmp_path)
    await worker.begin()
    await worker.until(lambda: effects(tmp_path)["key-0"] == 1)
    await worker.die()

    await live(kafka, tmp_path)

    assert effects(tmp_path) == {"key-0": 1, "key-1": 1}
    assert isinstance(outcomes(kafka)["key-1"], ToolCallCompleted)


async def test_a_server_that_can_tell_is_asked_after_a_crash(tmp_path: Path) -> None:
    kafka = Kafka()
    kafka.send(requested("halt", 0), TOOL_CALLS)
    worker = Worker(kafka, tmp_path, reconciler="status")
    await worker.begin()
    await worker.until(lambda: effects(tmp_path)["key-0"] == 1)
    await worker.die()

    await live(kafka, tmp_path, reconciler="status")

    outcome = outcomes(kafka)["key-0"]
    assert isinstance(outcome, ToolCallFailed)
    assert (outcome.kind, outcome.maybe_effected) == ("result_invalid", True)
    assert "was carried out, as it says itself" in outcome.message
    assert effects(tmp_path) == {"key-0": 1}


async def test_a_server_that_has_begun_anew_tells_what_an_earlier_call_gave(tmp_path: Path) -> None:
    kafka = Kafka()
    kafka.send(requested("effect_then_die", 0), TOOL_CALLS)

    await live(kafka, tmp_path, reconciler="status")

    outcome = outcomes(kafka)["key-0"]
    assert isinstance(outcome, ToolCallCompleted), outcome
    assert json.loads(outcome.result_json)["structured"] == {"order": 7}
    assert effects(tmp_path) == {"key-0": 1}


async def test_what_was_not_carried_out_leaves_nothing_open(tmp_path: Path) -> None:
    kafka = Kafka()
    kafka.send(requested("die_first", 0), TOOL_CALLS)

    await live(kafka, tmp_path, reconciler="status")

    outcome = outcomes(kafka)["key-0"]
    assert isinstance(outcome, ToolCallFailed)
    assert (outcome.kind, outcome.maybe_effected) == ("execution_error", False)
    assert "was not carried out, as it says itself" in outcome.message
    assert effects(tmp_path) == {}


async def test_what_a_server_cannot_tell_stays_open(tmp_path: Path) -> None:
    kafka = Kafka()
    kafka.send(requested("vague", 0), TOOL_CALLS)

    await live(kafka, tmp_path, reconciler="status")

    outcome = outcomes(kafka)["key-0"]
    assert isinstance(outcome, ToolCallFailed)
    assert (outcome.kind, outcome.maybe_effected) == ("unknown", True)
