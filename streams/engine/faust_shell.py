"""What ties a shell to Faust: deliveries in, batches out, and the comings and goings of partitions."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping, Sequence
from functools import partial
from typing import Final, Protocol, cast

import faust
import structlog
from faust.types import TP
from faust.types.agents import AgentFun

from streams.engine.app import ShellApp
from streams.engine.feeding import Record
from streams.engine.table import ShellTable
from streams.process import failpoints
from streams.process.ending import end_process
from streams.process.metrics import ShellMetrics
from streams.records.delivery import NOWHERE, Delivery, OwnershipLost, Place

_log = structlog.get_logger()

BATCH_MAX: Final = 500
"""Deliveries that share one write and one wait."""
BATCHES_MAX: Final = 2
"""Batches under way: while Kafka takes what one wrote, the next is decided."""
QUEUE_MAX: Final = 1_000
"""Deliveries between Faust and the handler; more wait in Faust."""
_LAG_INTERVAL_S: Final = 5.0
_FINISH_S: Final = 2.0
"""How long a batch may still take when partitions are revoked, before it is given up."""


class Handler(Protocol):
    """What a shell does with deliveries."""

    async def own(
        self, positions: Mapping[Place, int], starts: Mapping[Place, int] = NOWHERE
    ) -> Collection[int]:
        """Begin: tables are recovered; return the partitions of which nothing may be taken in.

        Args:
            positions: the end offsets by source topic and partition.
            starts: the offsets at which reading begins.
        """
        ...

    def disown(self) -> None:
        """Stop; what is on its way ends at its next step."""
        ...

    async def settle(self) -> None:
        """Wait until nothing of this shell is on its way, after `disown`."""
        ...

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Take a batch."""
        ...


class FaustShell:
    """One shell: an app, its sources, a handler."""

    def __init__(
        self,
        app: ShellApp,
        handler: Handler,
        *,
        name: str,
        sources: Sequence[str],
        topic_prefix: str,
        metrics: ShellMetrics,
        table: ShellTable | None = None,
        tasks: Sequence[Callable[[], Awaitable[None]]] = (),
        batch_max: int = BATCH_MAX,
    ) -> None:
        """Declare the shell's Faust agent; nothing runs yet.

        Args:
            app: of this shell alone.
            handler: takes the batches.
            name: of the agent, for logs and metrics.
            sources: topic names in the catalogue; all with the same count of partitions.
            topic_prefix: before topic names.
            metrics: counts.
            table: that is recovered before the shell begins.
            tasks: run beside; one that raises ends the process.
            batch_max: deliveries in one batch.
        """
        self.app = app
        self.name = name
        self._handler = handler
        self._prefix = topic_prefix
        self._metrics = metrics
        self._table = table
        self._batch_max = batch_max
        self._queue: deque[Delivery] = deque()
        self._places = asyncio.Semaphore(BATCHES_MAX)
        self._batches = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._accepting = False
        self._revocations = 0
        self._next_offsets: dict[TP, int] = {}
        self._recovering_since = time.monotonic()
        app.revoked = self._on_revoked
        app.recovered = self._on_recovered
        topic = app.raw_topic([topic_prefix + source for source in sources])
        app.agent(topic, name=name, concurrency=1)(cast("AgentFun[None]", self._deliver))
        for task in (self._pump, self._watch_lag, *tasks):
            app.task(self._guarded(task))

    @property
    def ready(self) -> bool:
        """Tell whether the shell takes deliveries: it has joined its group, and its table is recovered."""
        return self._accepting

    async def _deliver(self, stream: faust.Stream[Sequence[Record]]) -> None:
        # Faust keeps what its generator last gave; the iterator must not be bound to a name.
        async for event in stream.noack().events():
            while len(self._queue) >= QUEUE_MAX and self._accepting:
                self._room.clear()
                await self._room.wait()
            # What is dropped here comes again: it was never acknowledged.
            if self._accepting and event.message.generation_id == self.app.consumer_generation_id:
                name, partition = self._name_of(event.message.topic), event.message.partition
                self._queue.extend(_delivery(name, partition, record) for record in event.value)
                self._arrived.set()

    def _guarded(self, task: Callable[[], Awaitable[None]]) -> Callable[[], Coroutine[None, None, None]]:
        async def run() -> None:
            try:
                await task()
            except asyncio.CancelledError:
                raise
            except BaseException as error:
                end_process(error, self.name)

        return run

    async def _pump(self) -> None:
        while True:
            await self._arrived.wait()
            await self._places.acquire()
            if not self._queue or not self._accepting:
                self._places.release()
                self._arrived.clear()
                continue
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_max))]
            if len(self._queue) < QUEUE_MAX // 2:
                self._room.set()
            self._batches += 1
            self._idle.clear()
            # Handlers take batches in the order in which their tasks begin, and end them in that order.
            task = asyncio.create_task(self._guarded(partial(self._process, batch))())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _process(self, batch: Sequence[Delivery]) -> None:
        try:
            failpoints.reach("ingested")
            await self._handler.process(batch)
            # A batch has a partition's records in order, so that the last one tells.
            for place, offset in {(one.topic, one.partition): one.offset for one in batch}.items():
                self._next_offsets[TP(self._prefix + place[0], place[1])] = offset + 1
        except OwnershipLost:
            # It comes again, to whoever owns the partitions then.
            _log.info("batch_dropped", shell=self.name, inputs=len(batch))
        finally:
            self._batches -= 1
            self._places.release()
            if self._batches == 0:
                self._idle.set()

    async def _on_revoked(self) -> None:
        self._accepting = False
        self._revocations += 1
        failpoints.reach("revoked")
        self._recovering_since = time.monotonic()
        for tp in self._next_offsets:
            self._metrics.forget_lag(self._name_of(tp.topic), tp.partition)
        self._next_offsets = {}
        self._queue.clear()
        self._room.set()
        try:
            await asyncio.wait_for(self._idle.wait(), _FINISH_S)
        except TimeoutError:
            _log.warning("batch_given_up", shell=self.name)
        self._handler.disown()
        # What has been sent must be answered before another process may begin where this one stops.
        await self._idle.wait()
        await self._handler.settle()

    async def _on_recovered(self, assigned: set[TP]) -> set[TP]:
        sought = cast("faust.transport.consumer.Consumer", self.app.consumer)._read_offset
        revocations = self._revocations
        try:
            ends = await self.app.consumer.highwaters(*assigned) if assigned else {}
            starts = {(self._name_of(tp.topic), tp.partition): sought.get(tp) or 0 for tp in assigned}
            positions = {(self._name_of(tp.topic), tp.partition): end or 0 for tp, end in ends.items()}
            stopped = await self._handler.own(positions, starts)
        except Exception as error:
            # Neither a table that cannot be read nor a topic that was made again gets better by itself.
            end_process(error, self.name)
        if self._revocations != revocations:
            return set()  # what was recovered is somebody else's already
        self._next_offsets = {tp: sought.get(tp) or 0 for tp in assigned}
        self._accepting = True
        took_s = time.monotonic() - self._recovering_since
        self._metrics.recovery_seconds.set(took_s)
        self._metrics.rebalances.inc()
        recovered_bytes = self._table.take_recovered_bytes() if self._table is not None else 0
        self._metrics.recovered_bytes.set(recovered_bytes)
        _log.info(
            "shell_ready",
            shell=self.name,
            partitions=len(assigned),
            took_s=round(took_s, 3),
            recovered_bytes=recovered_bytes,
        )
        self._metrics.stopped_partitions.set(len(stopped))
        failpoints.reach("recovered")
        return {tp for tp in assigned if tp.partition in stopped}

    async def _watch_lag(self) -> None:
        while not self.app.should_stop:
            await asyncio.sleep(_LAG_INTERVAL_S)
            if not self._accepting:
                continue
            for tp, next_offset in list(self._next_offsets.items()):
                end = self.app.consumer.highwater(tp)
                if end is not None:
                    self._metrics.lag(self._name_of(tp.topic), tp.partition, max(end - next_offset, 0))

    def _name_of(self, topic: str) -> str:
        return topic.removeprefix(self._prefix)


def _delivery(topic: str, partition: int, record: Record) -> Delivery:
    return Delivery(
        topic=topic,
        partition=partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
        timestamp_ms=record.timestamp,
    )
