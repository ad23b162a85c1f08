"""Faust's transport as the shells need it: watched heartbeats, idempotent writes, whole batches."""

from collections.abc import Mapping
from typing import Any, ClassVar, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.types.transports import ConsumerT, ProducerT

from streams import failpoints
from streams.feeding import BatchFeeding
from streams.heartbeat import Heartbeat
from streams.recovery_fix import RepairedFetching


class WatchedConsumerThread(driver.AIOKafkaConsumerThread):
    """The thread of a consumer whose heartbeats are noted."""

    async def on_start(self) -> None:
        """Start the consumer and listen to its coordinator."""
        await super().on_start()
        consumer = self._ensure_consumer()
        heartbeat = getattr(self.app, "heartbeat", None)
        if isinstance(heartbeat, Heartbeat):
            heartbeat.watch(consumer._coordinator)


class ShellConsumer(BatchFeeding, RepairedFetching, driver.Consumer):
    """Faust's consumer with the repaired fetching, whole batches, and a watched thread."""

    def _new_consumer_thread(self) -> WatchedConsumerThread:
        return WatchedConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _commit_offsets(self, offsets: Mapping[TP, int], start_new_transaction: bool = True) -> bool:
        failpoints.reach("committing")
        committed = await super()._commit_offsets(offsets, start_new_transaction=start_new_transaction)
        failpoints.reach("committed")
        return bool(committed)


class IdempotentProducer(driver.Producer):
    """Faust's producer; its own repeats after a lost answer are dropped by the broker."""

    def _settings_extra(self) -> Mapping[str, Any]:  # Any: aiokafka's keyword arguments
        return {"acks": "all", "enable_idempotence": True}


class ShellTransport(driver.Transport):
    """The transport of all shells."""

    Consumer: ClassVar[type[ConsumerT]] = cast("type[ConsumerT]", ShellConsumer)
    Producer: ClassVar[type[ProducerT]] = cast("type[ProducerT]", IdempotentProducer)
