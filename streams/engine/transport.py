"""Faust's transport as the shells need it: watched heartbeats, idempotent writes, whole batches, one loop."""

import asyncio
from collections.abc import Callable, Mapping
from inspect import isawaitable
from typing import Any, ClassVar, cast

from aiokafka import AIOKafkaConsumer  # type: ignore[import-untyped]  # it ships no types
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.transports import ConsumerT, ProducerT

from streams.engine.feeding import BatchFeeding
from streams.engine.heartbeat import Heartbeat
from streams.engine.recovery_fix import RepairedFetching
from streams.engine.shared_producer import SharedProducer
from streams.process import failpoints
from topics import header_names
from topics.clients import ISOLATION_LEVEL, calm

header_names.repair()


class LoopConsumer(driver.AIOKafkaConsumerThread):
    """A consumer in the loop of its shell, whose heartbeats are noted.

    Faust gives each consumer a thread, so that heartbeats go on whatever the loop does. A hop then crosses
    threads four times, the threads of six shells wait for one interpreter, and a process whose loop hangs
    keeps its partitions for ever. Here it loses them, and somebody else goes on.
    """

    _serving: asyncio.Task[None] | None = None

    def __init__(self, consumer: driver.Consumer, *, loop: asyncio.AbstractEventLoop, beacon: object) -> None:
        """Take the loop of the shell for the consumer's own."""
        super().__init__(consumer, loop=loop, thread_loop=loop, beacon=beacon)

    def _create_worker_consumer(self, transport: driver.Transport) -> AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust has no setting for it. What a producer aborts was never said.
        consumer._isolation_level = ISOLATION_LEVEL
        return consumer

    async def start(self) -> None:
        """Start the consumer and listen to its coordinator."""
        self._thread_started.set()
        self._thread_running = self.parent_loop.create_future()
        self._serving = asyncio.create_task(self._serve())
        try:
            await self._thread_running
        finally:
            self._thread_running = None

    async def stop(self) -> None:
        """Leave the group and disconnect."""
        await super().stop()
        if self._serving is not None:
            # What it raised was told to the app when it came.
            await asyncio.gather(self._serving, return_exceptions=True)

    async def on_start(self) -> None:
        """Listen to the coordinator of a consumer that has started."""
        await super().on_start()
        consumer = self._ensure_consumer()
        calm(consumer)
        heartbeat = getattr(self.app, "heartbeat", None)
        if isinstance(heartbeat, Heartbeat):
            heartbeat.watch(consumer._coordinator)

    async def on_thread_started(self) -> None:
        """Do without a queue of calls: they come from this loop."""

    async def call_thread(
        self, fun: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:  # Any: Faust's own
        """Call it here."""
        answer = fun(*args, **kwargs)
        return await answer if isawaitable(answer) else answer

    async def _gather_remaining_tasks(self) -> None:
        """Leave the loop's tasks alone: they are the shell's."""


class ShellConsumer(BatchFeeding, RepairedFetching, driver.Consumer):
    """Faust's consumer with the repaired fetching, whole batches, in the shell's own loop."""

    def _new_consumer_thread(self) -> LoopConsumer:
        return LoopConsumer(self, loop=self.loop, beacon=self.beacon)

    async def verify_all_partitions_active(self) -> None:
        """Leave it: Faust would see nothing, since it compares the times of two clocks."""

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        failpoints.reach("committing")
        committed = await super()._commit_offsets(offsets, start_new_transaction=start_new_transaction)
        failpoints.reach("committed")
        return bool(committed)


class IdempotentProducer(driver.Producer):
    """Faust's producer over that of the process; the broker drops its repeats after a lost answer."""

    async def on_start(self) -> None:
        """Take the producer of the process."""
        await super(driver.Producer, self).on_start()
        self._producer = await _shared(self.app).take(self._new_producer)

    async def on_stop(self) -> None:
        """Give it back."""
        taken, self._producer = self._producer, None
        await super().on_stop()
        if taken is not None:
            await _shared(self.app).give_back()

    def _settings_extra(self) -> Mapping[str, Any]:  # Any: aiokafka's keyword arguments
        return {"acks": "all", "enable_idempotence": True}


def _shared(app: object) -> SharedProducer:
    shared = getattr(app, "producer_of_process", None)
    assert isinstance(shared, SharedProducer), "only a shell's app uses this transport"
    return shared


class ShellTransport(driver.Transport):
    """The transport of all shells."""

    Consumer: ClassVar[type[ConsumerT]] = cast("type[ConsumerT]", ShellConsumer)
    Producer: ClassVar[type[ProducerT]] = cast("type[ProducerT]", IdempotentProducer)
