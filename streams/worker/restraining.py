"""A worker's knowledge of what must not be called: read from the log before anything runs, and ever after.

Each worker with a tool shell reads all of `tool.restraints` for itself, in no group. It tells there what it
finds of its own servers.
"""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer  # type: ignore[import-untyped]  # ships no types
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError  # type: ignore[import-untyped]  # ships no types

from processors.restraints import Restraints
from schemas.envelope import Envelope
from schemas.events.restraints import ServerToolsRestored, ServerToolsWithheld
from schemas.wire.codec import Codec, UndecodableError
from schemas.wire.registry import RegistryUnavailable
from streams.process.ending import end_process
from streams.process.settings import Settings
from streams.process.startup import wait_for
from streams.records.delivery import outgoing
from topics.catalog import TOOL_RESTRAINTS
from topics.clients import consumer_of, partitions_of, producer_of
from topics.shells import TOOL

_POLL_MS: Final = 200
_RETRY_S: Final = 1.0
_log = structlog.get_logger()


class Restraining:
    """Follows the topic, and writes to it."""

    def __init__(self, settings: Settings, codec: Codec, now_ms: Callable[[], int]) -> None:
        """Connect to nothing yet."""
        self._settings, self._codec, self._now_ms = settings, codec, now_ms
        self.restraints = Restraints()
        self._on_stops: Callable[[], None] = lambda: None
        self._consumer: AIOKafkaConsumer | None = None
        self._producer: AIOKafkaProducer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._found: dict[tuple[str, str], ServerToolsWithheld | ServerToolsRestored] = {}
        self._arrived = asyncio.Event()

    def listen(self, on_stops: Callable[[], None]) -> None:
        """Name who is told when stops have changed."""
        self._on_stops = on_stops

    def find(self, found: ServerToolsWithheld | ServerToolsRestored) -> None:
        """Take what a connection found of its server; it goes on the log unless it stands there."""
        self._found[found.server, found.tenant] = found
        self._arrived.set()

    async def start(self) -> None:
        """Read all that the log has, and go on reading; nothing may run before this has ended.

        Raises:
            ShellStopped: Kafka does not tell it in time.
        """
        timeout_s = self._settings.startup_timeout_ms / 1_000
        await wait_for("restraints", self._catch_up, (KafkaError, RegistryUnavailable), timeout_s)
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._tell())]
        for task in self._tasks:
            task.add_done_callback(_on_done)

    async def stop(self) -> None:
        """Close the connections."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for client in (self._consumer, self._producer):
            if client is not None:
                await client.stop()

    async def _catch_up(self) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
        self._consumer = consumer = consumer_of(self._settings.kafka_bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        places = await partitions_of(consumer, [self._settings.topic_prefix + TOOL_RESTRAINTS.name])
        if not places:
            raise UnknownTopicOrPartitionError(f"topic {TOOL_RESTRAINTS.name}: `cartrita topics apply`")
        place = places[0]
        consumer.assign([place])
        await consumer.seek_to_beginning(place)
        end = (await consumer.end_offsets([place]))[place]
        while await consumer.position(place) < end:
            await self._take(consumer)

    async def _follow(self) -> None:
        assert self._consumer is not None
        while True:
            try:
                await self._take(self._consumer)
            except KafkaError as error:
                _log.warning("restraints_interrupted", reason=repr(error), retry_s=_RETRY_S)
                await asyncio.sleep(_RETRY_S)

    async def _take(self, consumer: AIOKafkaConsumer) -> None:
        fetched = await consumer.getmany(timeout_ms=_POLL_MS)
        changed = False
        for records in fetched.values():
            for record in records:
                event = await self._decoded(record.value, record.headers, record.offset)
                changed = (event is not None and self.restraints.apply(event)) or changed
        if changed:
            _log.warning("tools_stopped", names=sorted(self.restraints.stops))
            self._on_stops()

    async def _decoded(
        self, value: bytes | None, headers: tuple[tuple[str, bytes], ...], offset: int
    ) -> Envelope | None:
        while True:
            try:
                return await self._codec.decode(value, headers)
            except UndecodableError as error:
                _log.error("restraint_not_read", offset=offset, reason=error.reason)
                return None
            except RegistryUnavailable as error:
                _log.warning("restraints_interrupted", reason=str(error), retry_s=_RETRY_S)
            await asyncio.sleep(_RETRY_S)

    async def _tell(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            for place, found in list(self._found.items()):
                news = self.restraints.news(found)
                try:
                    if news is not None:
                        await self._write(*news)
                except KafkaError as error:
                    _log.warning("restraint_not_told", server=place[0], reason=repr(error), retry_s=_RETRY_S)
                    self._arrived.set()
                    await asyncio.sleep(_RETRY_S)
                    continue
                if self._found.get(place) is found:
                    del self._found[place]

    async def _write(self, event_id: str, found: ServerToolsWithheld | ServerToolsRestored) -> None:
        if self._producer is None:
            producer = producer_of(self._settings.kafka_bootstrap)
            await producer.start()
            self._producer = producer
        event = Envelope(
            event_id=event_id,
            type=type(found).__name__,
            tenant_id=found.tenant,
            occurred_at_ms=self._now_ms(),
            producer=TOOL,
            body=found,
        )
        record = outgoing(self._codec, event)
        await self._producer.send_and_wait(
            self._settings.topic_prefix + record.topic.name,
            record.value,
            record.key,
            partition=0,
            headers=record.headers,
        )
        # What is found next is compared with it, whether it has come back from the log by then or not.
        self.restraints.apply(event)


def _on_done(task: "asyncio.Task[None]") -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        # Without it nobody would hear of a stop.
        end_process(error, TOOL)
