"""A shell that acts on the world: it acknowledges a call once its ledger knows it, and runs it beside.

accepted → dispatched → ended → (published) → done. Each arrow is a record of the ledger's changelog, awaited:

- a call is acknowledged when it is accepted, or dispatched at once where there is room;
- before a call runs, the ledger says that it may have run; so after a crash nobody runs it blindly again;
- its outcome is in the ledger before it is published, so that there is only ever one outcome;
- a call that is delivered again is at or below its partition's position, which its entries tell; one that
  was published again is still in the ledger, as done. Both are dropped;
- that an outcome is published is written together with what is written next, or after FINISH_S: until then a
  crash has it published again, and its readers drop the repeat.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final

import structlog

from processors.effects import Outcome
from schemas.wire.codec import Codec
from streams.effects.admission import Admission
from streams.effects.calls import Call, Intaken, survey_of, tell_damage, written
from streams.effects.executor import Cancellation, Executor
from streams.effects.ledger import Status
from streams.effects.ledger_memory import REMEMBERED_MS
from streams.effects.ledger_writer import LedgerWriter
from streams.effects.recall import LogOfCalls, Recall
from streams.effects.running import Running
from streams.process import failpoints
from streams.process.ending import end_process
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Delivery, Entry, Log, Outgoing, OwnershipLost, outgoing, restored
from streams.records.intake import Intake
from streams.records.known import only_known

_log = structlog.get_logger()

WAITING_SHARE: Final = 8
"""At most 8 times as many calls as may run wait in memory; more wait in Kafka."""
SWEEP_S: Final = 60.0
FINISH_S: Final = 0.05
"""The longest that a published outcome waits to be written down as such."""


class EffectShell:
    """Runs the calls of one topic."""

    def __init__(
        self,
        executor: Executor,
        *,
        name: str,
        source: str,
        codec: Codec,
        log: Log,
        table: Mapping[bytes, bytes],
        changelog: str,
        topic_prefix: str,
        metrics: ShellMetrics,
        now_ms: Callable[[], int],
        owner: str,
        places: int,
        calls: LogOfCalls,
        remembered_ms: int = REMEMBERED_MS,
        fatal: Callable[[BaseException, str], None] = end_process,
    ) -> None:
        """Take the executor and what it works in.

        Args:
            executor: runs the calls.
            name: of the shell.
            source: topic of the calls.
            codec: reads and writes events.
            log: what is written to.
            table: the ledger by key; `log.store` changes it.
            changelog: full name of the ledger's topic, to name damaged entries.
            topic_prefix: before topic names in dead letters.
            metrics: counts.
            now_ms: the clock.
            owner: names this process in the ledger.
            places: calls that run at once.
            calls: where those stand of which the ledger's entry is damaged.
            remembered_ms: how long a call that is done stays in the ledger.
            fatal: told of an error after which the process must not go on.
        """
        self.name = name
        self._executor = executor
        self._source = source
        self._codec = codec
        self._out = log
        self._table, self._changelog = table, changelog
        self._metrics = metrics
        self._now_ms = now_ms
        self._owner_name = owner
        self._places = places
        self._fatal = fatal
        self._intake = Intake(
            codec, shell=name, topic_prefix=topic_prefix, is_owner=self.is_owner, now_ms=now_ms
        )
        self._admission = Admission(executor, self._intake, shell=name, ledger=table, metrics=metrics)
        self._runs = Running(executor, shell=name, now_ms=now_ms)
        self._recall = Recall(calls, self._admission, shell=name, now_ms=now_ms)
        self._recalling: list[asyncio.Task[None]] = []
        self._owner, self._generation = False, 0
        self._positions: dict[tuple[str, int], int] = {}
        self._calls: dict[str, Call] = {}
        self._waiting: deque[Call] = deque()
        self._finishing = False
        self._ledger = LedgerWriter(log, remembered_ms)
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._lock = asyncio.Lock()

    def is_owner(self) -> bool:
        """Tell whether partitions are owned now."""
        return self._owner

    async def own(self, positions: Mapping[tuple[str, int], int], starts: object = None) -> Collection[int]:
        """Begin: take up what the ledger holds.

        Returns:
            Partitions of which nothing may be taken in: the ledger does not tell which calls it has noted.

        Raises:
            ShellStopped: the ledger has seen more of a topic than there is.
            RecordNewer: a newer program wrote the ledger.
        """
        generation = self._forget()
        survey = await survey_of(self._table, self._source, positions)
        if self._generation != generation:
            return ()  # revoked in the meantime
        tell_damage(survey, shell=self.name, changelog=self._changelog)
        for (topic, partition), offset in survey.positions.items():
            only_known(positions, topic, partition, offset)
        self._positions.update(survey.positions)
        self._ledger.begin(survey.done)
        self._owner = True
        # What has ended is only to be published; what may have run is settled before what has not.
        for call in sorted(survey.open, key=lambda call: (-call.entry.status, call.entry.offset)):
            self._calls[call.call_id] = call
            if call.entry.status is Status.ENDED:
                self._start(self._publish_ended(call))
            else:
                self._waiting.append(call)
        self._fill_places()
        self._recalling = [
            self._start(self._take_again(partition, call_ids, generation))
            for partition, call_ids in survey.lost().items()
        ]
        return survey.stopped

    def disown(self) -> None:
        """Stop: running calls are cancelled, and nothing is written of it; what is being written ends."""
        running = [*self._recalling, *filter(None, (call.running for call in self._calls.values()))]
        self._forget()
        self._owner = False
        for task in running:
            task.cancel()

    async def settle(self) -> None:
        """Wait until nothing is on its way."""
        async with self._lock:
            while self._tasks:
                await asyncio.wait(set(self._tasks))

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Take in a batch of calls and cancellations.

        Raises:
            OwnershipLost: the partitions were revoked; nothing of the batch is acknowledged.
        """
        async with self._lock:
            batch = Intaken(generation=self._generation)
            self._check(batch.generation)
            await self._wait_for_room(batch.generation)
            for delivery in deliveries:
                await self._admission.take(
                    delivery,
                    batch,
                    lambda place: self._positions.get(place, -1),
                    partial(self._check, batch.generation),
                )
            if batch.letters:
                await self._out.publish(batch.letters)
                self._check(batch.generation)
            await self._accept(batch)
            self._out.acknowledge(deliveries)
            self._metrics.batch_inputs.observe(len(deliveries))
            for cancellation in batch.cancellations:
                self._cancel(cancellation)
            self._fill_places()

    async def _accept(self, batch: Intaken) -> None:
        free = self._places - self._running - len(self._waiting)
        for call in batch.calls[: max(free, 0)]:
            # Accepted and dispatched in one write, as there is room for it.
            self._mark_dispatched(call)
        entries = batch.entries()
        if entries:
            await self._store(entries, batch.generation)
        failpoints.reach("call_accepted")
        self._positions.update(batch.positions)
        for call in batch.calls:
            self._calls[call.call_id] = call
            self._waiting.append(call)

    async def _take_again(self, partition: int, call_ids: Collection[str], generation: int) -> None:
        """Settle calls whose entries cannot be read: each may have run."""
        entries, calls = await self._recall.calls(partition, call_ids, partial(self._check, generation))
        await self._store(entries, generation)
        self._calls.update({call.call_id: call for call in calls})
        self._waiting.extend(calls)
        self._fill_places()

    def _fill_places(self) -> None:
        while self._waiting and self._running < self._places:
            call = self._waiting.popleft()
            if call.call_id not in self._calls:
                continue
            self._begin(call)
        self._metrics.calls_in_flight.set(self._running)
        self._metrics.calls_waiting.set(len(self._waiting))
        if len(self._waiting) < self._places * WAITING_SHARE:
            self._room.set()

    def _begin(self, call: Call) -> None:
        self._running += 1
        self._start(self._run(call))

    async def _run(self, call: Call) -> None:
        generation = self._generation
        try:
            outcome = await self._outcome(call, generation)
            failpoints.reach("call_ended")
            await self._end(call, outcome, generation)
        finally:
            if generation == self._generation:
                self._running -= 1
                self._calls.pop(call.call_id, None)
                self._fill_places()

    async def _outcome(self, call: Call, generation: int) -> Outcome:
        event = call.event = call.event or await self._intake.decode(call.delivery())
        call.started_at_ms = self._now_ms()
        if call.may_have_run:
            outcome = self._executor.interrupted(event, 0)
            if outcome is not None:
                return await self._executor.reconciled(event, outcome)
        self._give_up(call, self._executor.refusal(event), refused=True)
        if call.cancelled is None and (call.recovered or call.entry.status is Status.ACCEPTED):
            self._mark_dispatched(call)
            await self._store([call.stored()], generation)
        if call.cancelled is not None:
            return self._runs.cancelled(call, event)
        failpoints.reach("call_dispatched")
        return await self._runs.outcome(call, event, partial(self._check, generation))

    async def _end(self, call: Call, outcome: Outcome, generation: int) -> None:
        assert call.event is not None
        records = written(self._codec, outcome.events)
        if isinstance(records, str):
            _log.warning("outcome_refused", shell=self.name, call_id=call.call_id, reason=records)
            outcome = self._runs.broken(call, call.event, records)
            records = [outgoing(self._codec, event) for event in outcome.events]
        call.end(records)
        await self._store([call.stored()], generation)
        failpoints.reach("outcome_stored")
        name = self._executor.name(call.event)
        self._metrics.call_ended(name, outcome.label, self._runs.latency_ms(call) / 1_000)
        await self._publish(call, records, generation)

    async def _publish_ended(self, call: Call) -> None:
        generation = self._generation
        records = [await restored(self._codec, topic, value) for topic, value in call.entry.outbox]
        self._check(generation)
        await self._publish(call, records, generation)
        self._calls.pop(call.call_id, None)

    async def _publish(self, call: Call, records: Sequence[Outgoing], generation: int) -> None:
        await self._out.publish(records)
        self._check(generation)
        for record in records:
            self._metrics.output(record.topic.name)
        failpoints.reach("outcome_published")
        self._ledger.finish(call, self._now_ms())
        if not self._finishing:
            self._finishing = True
            self._start(self._finish_soon(generation))

    async def _finish_soon(self, generation: int) -> None:
        await asyncio.sleep(FINISH_S)
        self._check(generation)
        self._finishing = False
        if self._ledger.lags:
            await self._store([], generation)

    async def _store(self, entries: Sequence[Entry], generation: int) -> None:
        await self._ledger.store(entries, lambda: self._check(generation))

    async def sweep(self) -> None:
        """Forget, for ever, calls that were done long ago; ends by cancellation alone."""
        while True:
            await asyncio.sleep(SWEEP_S)
            with suppress(OwnershipLost):
                await self.forget_done()

    async def forget_done(self) -> None:
        """Drop the entries of calls that were done longer ago than they are remembered.

        Raises:
            OwnershipLost: the partitions were revoked in the meantime.
        """
        async with self._lock:
            generation = self._generation
            await self._ledger.forget(self._now_ms(), self._positions, lambda: self._check(generation))

    def restrain(self) -> None:
        """End every call that the executor refuses now: those that run, and at once those that wait."""
        self._start(self._restrain(self._generation))

    async def _restrain(self, generation: int) -> None:
        for call in list(self._calls.values()):
            if call.entry.status < Status.ENDED:
                call.event = call.event or await self._intake.decode(call.delivery())
                self._check(generation)
                self._give_up(call, self._executor.refusal(call.event), refused=True)
        for call in [call for call in self._waiting if call.cancelled is not None]:
            # Beyond the places that there are: nothing of it runs.
            self._waiting.remove(call)
            self._begin(call)

    def _cancel(self, cancellation: Cancellation) -> None:
        call = self._calls.get(cancellation.call_id)
        if call is not None:
            self._give_up(call, cancellation.reason)

    def _give_up(self, call: Call, reason: str | None, *, refused: bool = False) -> None:
        if reason is None or call.cancelled is not None or call.entry.status is Status.ENDED:
            return
        call.cancelled, call.refused = reason, refused
        if call.running is not None:
            call.running.cancel()

    def _mark_dispatched(self, call: Call) -> None:
        event = call.event
        assert event is not None
        call.entry.move_to(Status.DISPATCHED)
        call.entry.owner = self._owner_name
        call.entry.attempt += 1
        call.entry.deadline_at_ms = self._now_ms() + self._executor.duration_ms_max(event)

    async def _wait_for_room(self, generation: int) -> None:
        while len(self._waiting) >= self._places * WAITING_SHARE:
            self._room.clear()
            await self._room.wait()
            self._check(generation)

    def _start(self, work: Coroutine[object, object, None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    def _on_task_done(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not isinstance(error, OwnershipLost):
            self._fatal(error, self.name)

    def _check(self, generation: int) -> None:
        if not self._owner or self._generation != generation:
            raise OwnershipLost

    def _forget(self) -> int:
        self._generation += 1
        self._positions.clear()
        self._calls.clear()
        self._waiting.clear()
        self._ledger.begin(())
        self._finishing, self._running = False, 0
        self._room.set()
        return self._generation
