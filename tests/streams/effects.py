"""An executor on a world that remembers what was done to it, and one life of an effect shell."""

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace

from processors.effects import Outcome
from schemas.envelope import Envelope
from schemas.events.models import (
    CallPurpose,
    FinishReason,
    ModelCallCancelled,
    ModelCallCompleted,
    ModelCallFailed,
    ModelCallRequested,
    ModelFailureKind,
    UsageSource,
)
from schemas.ids import derived_id
from streams.effects.executor import Cancellation
from streams.effects.shell import EffectShell
from tests.streams.twin import CODEC, Kafka, TwinLog, TwinLogOfCalls, event, metrics
from topics.catalog import MODEL_CALLS

WAIT_S = 60.0


class World:
    """The world outside, which remembers what was done to it, crash or no crash."""

    def __init__(self, *, idempotent: bool = False) -> None:
        self.runs: Counter[str] = Counter()
        self.idempotent = idempotent
        self.at_once = 0
        self.at_once_max = 0
        self.hold: asyncio.Event | None = None
        self.answer = "fine"
        self.raises: BaseException | None = None
        self.cost_nanodollars = 1
        self.duration_ms_max = 60_000
        self.stopped = False


class FakeExecutor:
    """Runs calls on the world."""

    def __init__(self, world: World) -> None:
        self.world = world

    def call_id(self, one: Envelope) -> str | None:
        return one.body.call_id if isinstance(one.body, ModelCallRequested) else None

    def cancellation(self, one: Envelope) -> Cancellation | None:
        body = one.body
        if not isinstance(body, ModelCallCancelled):
            return None
        return Cancellation(call_id=body.call_id, reason=body.reason)

    def name(self, one: Envelope) -> str:
        return "model"

    def reserved_tokens(self, one: Envelope) -> int:
        assert isinstance(one.body, ModelCallRequested)
        return one.body.reserved_tokens

    def duration_ms_max(self, one: Envelope) -> int:
        return self.world.duration_ms_max

    def refusal(self, one: Envelope) -> str | None:
        return "stopped" if self.world.stopped else None

    async def run(self, one: Envelope, attempt: int) -> Outcome:
        call_id = self.call_id(one)
        assert call_id is not None
        self.world.runs[call_id] += 1
        self.world.at_once += 1
        self.world.at_once_max = max(self.world.at_once_max, self.world.at_once)
        try:
            if self.world.hold is not None:
                await self.world.hold.wait()
            await asyncio.sleep(0)
            if self.world.raises is not None:
                raise self.world.raises
        finally:
            self.world.at_once -= 1
        body = ModelCallCompleted(
            call_id=call_id,
            task_id="task",
            purpose=CallPurpose.STEP,
            agent="agent",
            model="model",
            text=self.world.answer,
            finish_reason=FinishReason.STOP,
            input_tokens=1,
            output_tokens=1,
            usage_source=UsageSource.PROVIDER,
            cost_nanodollars=self.world.cost_nanodollars,
            attempts=attempt,
            latency_ms=1,
        )
        return Outcome(events=(self._result(one, body),), label="ok")

    def interrupted(self, one: Envelope, latency_ms: int) -> Outcome | None:
        return None if self.world.idempotent else self._failed(one, "interrupted", billed=True)

    async def reconciled(self, one: Envelope, outcome: Outcome) -> Outcome:
        return outcome

    def cancelled(self, one: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        return self._failed(one, "cancelled", billed=dispatched)

    def stopped(self, one: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        return self._failed(one, "cancelled", billed=dispatched, message=reason)

    def broken(self, one: Envelope, message: str, latency_ms: int) -> Outcome:
        return self._failed(one, "provider_error", billed=True, message=message)

    def _failed(self, one: Envelope, kind: str, *, billed: bool, message: str = "") -> Outcome:
        call_id = self.call_id(one)
        assert call_id is not None
        body = ModelCallFailed(
            call_id=call_id,
            task_id="task",
            purpose=CallPurpose.STEP,
            agent="agent",
            model="model",
            kind=ModelFailureKind(kind),
            message=message,
            retryable=kind == "interrupted",
            maybe_billed=billed,
            attempts=1,
            latency_ms=0,
        )
        return Outcome(events=(self._result(one, body),), label=kind)

    def _result(self, one: Envelope, body: ModelCallCompleted | ModelCallFailed) -> Envelope:
        return replace(
            one,
            event_id=derived_id(body.call_id, "result"),
            type=type(body).__name__,
            causation_id=one.event_id,
            body=body,
        )


def requested(number: int, *, session: int = 0) -> Envelope:
    body = ModelCallRequested(
        call_id=derived_id("call", str(number)),
        task_id="task",
        turn=1,
        purpose=CallPurpose.STEP,
        agent="agent",
        model="model",
        messages=(),
        input_tokens_max=1,
        output_tokens_max=1,
        reserved_tokens=2,
        reserved_nanodollars=2,
        timeout_ms=1_000,
        attempts_max=1,
    )
    return event(body, session=session, number=number)


def cancelled(number: int, *, session: int = 0) -> Envelope:
    body = ModelCallCancelled(call_id=derived_id("call", str(number)), reason="enough")
    return event(body, session=session, number=number)


class Process:
    """One life of a shell."""

    def __init__(self, kafka: Kafka, world: World, crash_at: int | None = None, places: int = 4) -> None:
        self.kafka = kafka
        self.log = TwinLog(kafka, crash_at)
        self.errors: list[BaseException] = []
        self.calls = TwinLogOfCalls(kafka, MODEL_CALLS)
        self.now_ms = 10_000
        self.shell = EffectShell(
            FakeExecutor(world),
            name="model",
            source=MODEL_CALLS.name,
            codec=CODEC,
            log=self.log,
            table=self.log.table,
            changelog="changelog",
            topic_prefix="p.",
            metrics=metrics("model"),
            now_ms=lambda: self.now_ms,
            owner="me",
            places=places,
            calls=self.calls,
            fatal=self._fatal,
        )

    async def start(self) -> None:
        await self.shell.own(self.kafka.ends())

    async def process(self, batch: int = 10) -> None:
        waiting = self.kafka.waiting()
        for index in range(0, len(waiting), batch):
            await self.shell.process(waiting[index : index + batch])

    async def finish(self) -> None:
        """Wait until every call has ended, or the process has."""
        await self.until(lambda: not self.shell._tasks or bool(self.errors))
        if self.errors:
            raise self.errors[0]

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while True:
                if condition():
                    return
                await asyncio.sleep(0)

    async def die(self) -> None:
        """End without writing another byte."""
        self.log._crash_at = -1
        for task in list(self.shell._tasks):
            task.cancel()
        await asyncio.gather(*self.shell._tasks, return_exceptions=True)

    def _fatal(self, error: BaseException, shell: str) -> None:
        self.errors.append(error)
