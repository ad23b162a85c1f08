"""What ties a shell to Faust: deliveries in, batches out, and the comings and goings of partitions."""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, Protocol, cast

import faust
import structlog
from faust.types import TP, EventT
from faust.types.agents import AgentFun

from streams import failpoints
from streams.app import ShellApp
from streams.delivery import Delivery, OwnershipLost
from streams.ending import end_process
from streams.metrics import ShellMetrics

_log = structlog.get_logger()

BATCH_MAX: Final = 300
"""Deliveries that share one write and one wait."""
QUEUE_MAX: Final = 1_000
"""Deliveries between Faust and the handler; more wait in Faust."""
_LAG_INTERVAL_S: Final = 5.0
_FINISH_S: Final = 2.0
"""How long a batch may still take when partitions are revoked, before it is given up."""


class Handler(Protocol):
    """What a shell does with deliveries."""

    async def own(self, positions: Mapping[tuple[str, int], int]) -> None:
        """Begin: tables are recovered; `positions` are the end offsets by source topic and partition."""
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
            tasks: run beside; one that raises ends the process.
            batch_max: deliveries in one batch.
        """
        self.app = app
        self.name = name
        self._handler = handler
        self._prefix = topic_prefix
        self._metrics = metrics
        self._batch_max = batch_max
        self._queue: deque[EventT[bytes]] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._accepting = False
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

    async def _deliver(self, stream: faust.Stream[bytes]) -> None:
        # Faust keeps what its generator last gave; the iterator must not be bound to a name.
        async for event in stream.noack().events():
            while len(self._queue) >= QUEUE_MAX and self._accepting:
                self._room.clear()
                await self._room.wait()
            if not self._accepting or event.message.generation_id != self.app.consumer_generation_id:
                self._drop(event)
                continue
            self._queue.append(event)
            self._arrived.set()

    def _guarded(self, task: Callable[[], Awaitable[None]]) -> Callable[[], Awaitable[None]]:
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
            if not self._queue or not self._accepting:
                self._arrived.clear()
                continue
            await self._process_one_batch()

    async def _process_one_batch(self) -> None:
        events = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_max))]
        if len(self._queue) < QUEUE_MAX // 2:
            self._room.set()
        self._idle.clear()
        try:
            failpoints.reach("ingested")
            await self._handler.process([self._delivery(event) for event in events])
            for event in events:
                self._next_offsets[event.message.tp] = event.message.offset + 1
        except OwnershipLost:
            for event in events:
                self._drop(event)
        finally:
            self._idle.set()

    async def _on_revoked(self) -> None:
        self._accepting = False
        failpoints.reach("revoked")
        self._recovering_since = time.monotonic()
        for tp in self._next_offsets:
            self._metrics.forget_lag(self._name_of(tp.topic), tp.partition)
        self._next_offsets = {}
        while self._queue:
            self._drop(self._queue.popleft())
        self._room.set()
        try:
            await asyncio.wait_for(self._idle.wait(), _FINISH_S)
        except TimeoutError:
            _log.warning("batch_given_up", shell=self.name)
        self._handler.disown()
        # What has been sent must be answered before another process may begin where this one stops.
        await self._idle.wait()
        await self._handler.settle()

    async def _on_recovered(self, assigned: set[TP]) -> None:
        try:
            ends = await self.app.consumer.highwaters(*assigned) if assigned else {}
            positions = {(self._name_of(tp.topic), tp.partition): end or 0 for tp, end in ends.items()}
            await self._handler.own(positions)
        except Exception as error:
            # Neither a table that cannot be read nor a topic that was made again gets better by itself.
            end_process(error, self.name)
        sought = cast("faust.transport.consumer.Consumer", self.app.consumer)._read_offset
        self._next_offsets = {tp: sought.get(tp) or 0 for tp in assigned}
        self._accepting = True
        took_s = time.monotonic() - self._recovering_since
        self._metrics.recovery_seconds.set(took_s)
        self._metrics.rebalances.inc()
        _log.info("shell_ready", shell=self.name, partitions=len(assigned), took_s=round(took_s, 3))
        failpoints.reach("recovered")

    async def _watch_lag(self) -> None:
        while not self.app.should_stop:
            await asyncio.sleep(_LAG_INTERVAL_S)
            if not self._accepting:
                continue
            for tp, next_offset in list(self._next_offsets.items()):
                end = self.app.consumer.highwater(tp)
                if end is not None:
                    self._metrics.lag(self._name_of(tp.topic), tp.partition, max(end - next_offset, 0))

    def _delivery(self, event: EventT[bytes]) -> Delivery:
        message = event.message
        headers = message.headers or ()
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        return Delivery(
            topic=self._name_of(message.topic),
            partition=message.partition,
            offset=message.offset,
            key=message.key,
            value=message.value,
            headers=tuple(pairs),
            timestamp_ms=round(message.timestamp * 1_000),
            token=event,
        )

    def _name_of(self, topic: str) -> str:
        return topic.removeprefix(self._prefix)

    def _drop(self, event: EventT[bytes]) -> None:
        # Faust waits for everything that it delivered; what is dropped comes again to the next owner.
        unacked = cast("faust.transport.consumer.Consumer", self.app.consumer)._unacked_messages
        unacked.discard(event.message)
