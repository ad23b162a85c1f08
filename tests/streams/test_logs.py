"""The log that is Kafka, its twin, and the one of the simulation pass one suite."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest
from aiokafka import (  # type: ignore[import-untyped]  # ships no types
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
)
from faust.types import TP, AppT, CollectionT

from schemas.envelope import Envelope
from streams.engine.app import ShellApp
from streams.engine.kafka_log import KafkaLog
from streams.engine.table import MemoryStore
from streams.records.delivery import Place
from tests.simulation.broker import Broker
from tests.simulation.life import GatedLog, Life
from tests.simulation.loop import VirtualLoop
from tests.streams.checking import read_topic
from tests.streams.log_conformance import FencedLogConformance, Ground, LogConformance
from tests.streams.twin import CODEC, Kafka, TwinLog
from tests.streams.world import PARTITIONS, SESSION_TIMEOUT_MS, World
from topics.catalog import Topic, topic_of
from topics.tables import SESSION_STATES, Fence, changelog_of


class TwinGround:
    """The twin's lists."""

    def __init__(self) -> None:
        self.kafka = Kafka()
        self.log = TwinLog(self.kafka)

    def held(self) -> Mapping[bytes, bytes]:
        return self.log.table

    async def recovered(self) -> Mapping[bytes, bytes]:
        return self.kafka.table()

    async def published(self, topic: Topic) -> Sequence[Envelope]:
        return self.kafka.events(topic)

    def committed(self) -> Mapping[Place, int]:
        return self.kafka.committed


class TestTwinLog(LogConformance):
    @pytest.fixture
    def ground(self) -> Ground:
        return TwinGround()


class SimulatedGround:
    """The simulation's broker, and a process whose scheduler never lets it wait."""

    def __init__(self) -> None:
        self.broker = Broker(sources={})
        self.broker.tables["session"] = {}
        self.life = SimpleNamespace(name="session", broker=self.broker, dead=False, gate=_pass)
        self.broker.owners["session"] = self.life
        loop = cast("VirtualLoop", SimpleNamespace(now_ms=7))
        self.log = GatedLog(cast("Life", self.life), loop, Random(7), lambda _: None, fenced=True)

    def held(self) -> Mapping[bytes, bytes]:
        return self.log.table

    async def recovered(self) -> Mapping[bytes, bytes]:
        return self.broker.tables["session"]

    async def published(self, topic: Topic) -> Sequence[Envelope]:
        return [one for one in self.broker.published if topic_of(one.body) is topic]

    def committed(self) -> Mapping[Place, int]:
        return {place: offset for (_, place), offset in self.broker.committed.items()}


async def _pass(_kind: str) -> None:
    """Let the process go on."""


class TestGatedLog(FencedLogConformance):
    @pytest.fixture
    def simulated(self) -> SimulatedGround:
        return SimulatedGround()

    @pytest.fixture
    def ground(self, simulated: SimulatedGround) -> Ground:
        return simulated

    @pytest.fixture
    def replaced(self, simulated: SimulatedGround) -> None:
        simulated.broker.owners["session"] = object()


class KafkaGround:
    """A real Kafka, and as much of a shell's app as the log asks for."""

    def __init__(self, world: World, producer: AIOKafkaProducer) -> None:
        self._world = world
        self._changelog = changelog_of(world.prefix, SESSION_STATES)
        self._committed: dict[Place, int] = {}
        self.heartbeat = SimpleNamespace(age_ms=0, stamp_ms=int(time.time() * 1_000))
        app = SimpleNamespace(
            conf=SimpleNamespace(id="test"),
            heartbeat=self.heartbeat,
            producer=SimpleNamespace(_producer=producer),
            consumer=SimpleNamespace(done=self._done),
        )
        store_app = cast("AppT", SimpleNamespace(conf=None))
        table = cast("CollectionT", SimpleNamespace(name="states"))
        self._table = MemoryStore("memory://", store_app, table, key_type=bytes, value_type=bytes)
        self.log = KafkaLog(
            cast("ShellApp", app),
            topic_prefix=world.prefix,
            partitions=PARTITIONS,
            fence=Fence.of(SESSION_TIMEOUT_MS),
        )
        self.log.keep(self._changelog, self._table)

    def held(self) -> Mapping[bytes, bytes]:
        return dict(self._table.rows())

    async def recovered(self) -> Mapping[bytes, bytes]:
        table: dict[bytes, bytes] = {}
        for key, value in await self._records(self._changelog):
            table.pop(key, None)
            if value is not None:
                table[key] = value
        return table

    async def published(self, topic: Topic) -> Sequence[Envelope]:
        return await read_topic(self._world.endpoints.kafka_bootstrap, self._world.prefix + topic.name, CODEC)

    def committed(self) -> Mapping[Place, int]:
        return self._committed

    def _done(self, tp: TP, next_offset: int) -> None:
        self._committed[tp.topic.removeprefix(self._world.prefix), tp.partition] = next_offset

    async def _records(self, topic: str) -> list[tuple[bytes, bytes | None]]:
        consumer = AIOKafkaConsumer(
            bootstrap_servers=self._world.endpoints.kafka_bootstrap,
            enable_auto_commit=False,
            auto_offset_reset="earliest",
        )
        await consumer.start()
        try:
            places = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            consumer.assign(places)
            left = {place: end for place, end in (await consumer.end_offsets(places)).items() if end}
            found = []
            async with asyncio.timeout(30):
                while left:
                    for place, records in (await consumer.getmany(timeout_ms=500)).items():
                        found += [(record.key, record.value) for record in records]
                        if records[-1].offset >= left.get(place, 0) - 1:
                            left.pop(place, None)
            return found
        finally:
            await consumer.stop()


@pytest.mark.stack
class TestKafkaLog(FencedLogConformance):
    @pytest.fixture
    async def kafka(self, world: World) -> AsyncIterator[KafkaGround]:
        async with world.producer() as producer:
            yield KafkaGround(world, producer)

    @pytest.fixture
    def ground(self, kafka: KafkaGround) -> Ground:
        return kafka

    @pytest.fixture
    def replaced(self, kafka: KafkaGround) -> None:
        kafka.heartbeat.stamp_ms -= SESSION_TIMEOUT_MS
