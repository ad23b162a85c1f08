"""The real worker with a model server, on one test's topics."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from connectors.embedded.stack import Stack
from connectors.local_model.server import LocalModelServer
from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived
from schemas.events.outputs import AnswerGiven
from schemas.ids import derived_id
from tests.streams.checking import Outputs, read_topic
from tests.streams.world import PARTITIONS, SESSION_TIMEOUT_MS, WAIT_S, Worker, World
from topics.catalog import (
    SESSION_OUTPUTS,
    TOPICS,
    USER_INPUTS,
    Topic,
)

QUESTION = "Compare Kafka and Postgres for event logs, then write a short summary of the trade-offs."


@dataclass(slots=True, kw_only=True)
class Scene:
    """A world with a model server."""

    world: World
    stack: Stack
    model: LocalModelServer
    model_url: str
    metrics_port: int = 0

    def environment(self, **changes: str) -> dict[str, str]:
        endpoints = self.world.endpoints
        return {
            "CARTRITA_KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap,
            "CARTRITA_REGISTRY_URL": endpoints.registry_url,
            "CARTRITA_POSTGRES_DSN": endpoints.postgres_dsn,
            "CARTRITA_TIKTOKEN_CACHE_DIRECTORY": str(endpoints.tiktoken_cache_directory),
            "CARTRITA_TOPIC_PREFIX": self.world.prefix,
            "CARTRITA_PARTITIONS": str(PARTITIONS),
            "CARTRITA_SESSION_TIMEOUT_MS": str(SESSION_TIMEOUT_MS),
            "CARTRITA_DATA_DIRECTORY": str(self.world.directory / "data"),
            "CARTRITA_IDENTITY": "worker",
            "OPENAI_BASE_URL": self.model_url,
            "OPENAI_API_KEY": "local",
            **changes,
        }

    def worker(self, *shells: str, **changes: str) -> Worker:
        return self.world.start("tests.streams.real_worker", *shells, environment=self.environment(**changes))

    async def ready(self, worker: Worker, shells: int = 6) -> None:
        try:
            async with asyncio.timeout(WAIT_S):
                while worker.log.count("shell_ready") < shells:
                    assert worker.process.poll() is None, worker.log[-3_000:]
                    await asyncio.sleep(0.1)
        except TimeoutError as error:
            raise AssertionError(f"the worker is not ready: {worker.log[-3_000:]}") from error

    async def send(self, *events: Envelope) -> None:
        """Write inputs as a careless producer does: without keys."""
        async with self.world.producer() as producer:
            for one in events:
                await producer.send_and_wait(
                    self.world.prefix + USER_INPUTS.name, self.world.codec.encode(USER_INPUTS, one)
                )

    async def put(
        self, topic: Topic, key: bytes | None, value: bytes | None, partition: int | None = None
    ) -> None:
        """Write any bytes anywhere."""
        async with self.world.producer() as producer:
            await producer.send_and_wait(self.world.prefix + topic.name, value, key, partition)

    async def events(self, topic: Topic) -> list[Envelope]:
        return await read_topic(
            self.world.endpoints.kafka_bootstrap, self.world.prefix + topic.name, self.world.codec
        )

    async def assert_sequences_sound(self) -> None:
        """Each session's events are numbered without gap or repeat over all topics, and no two differ."""
        outputs = Outputs()
        for topic in TOPICS:
            if topic.is_truth and topic is not USER_INPUTS:
                for one in await self.events(topic):
                    if one.sequence:
                        outputs.add(one)
        assert (outputs.conflicts, outputs.gaps) == ([], [])
        assert outputs.events

    async def until(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until a condition holds."""
        async with asyncio.timeout(WAIT_S):
            while True:
                if await condition():
                    return
                await asyncio.sleep(0.05)

    async def answers(self, count: int, timeout_s: float = WAIT_S) -> list[Envelope]:
        """Wait until so many distinct answers are there."""
        async with asyncio.timeout(timeout_s):
            while True:
                found = {
                    one.event_id: one
                    for one in await self.events(SESSION_OUTPUTS)
                    if isinstance(one.body, AnswerGiven)
                }
                if len(found) >= count:
                    return list(found.values())
                await asyncio.sleep(0.3)


def question(session: str = "s", text: str = QUESTION) -> Envelope:
    return Envelope(
        event_id=derived_id("input", session),
        session_id=derived_id("session", session),
        body=MessageReceived(text=text),
    )
