"""Creates the topics that are missing and compares those that exist; never changes or deletes one."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin.config_resource import (  # type: ignore[import-untyped]  # ships no types
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.errors import KafkaError, for_code  # type: ignore[import-untyped]  # ships no types

from topics.clients import admin_of
from topics.specs import Difference, Existing, TopicSpec, compare, specs_of

_REQUEST_TIMEOUT_MS: Final = 30_000
_SETTLE_S: Final = 20.0


class TopicsUnavailable(Exception):
    """Kafka does not answer, or refuses; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found, and what was made."""

    created: tuple[str, ...]
    missing: tuple[str, ...]
    """Only of `verify`, which makes nothing."""
    differences: tuple[Difference, ...]
    verified: int
    """Topics that are as they were made."""

    @property
    def faults(self) -> tuple[Difference, ...]:
        """Differences that break a promise, so that nothing may start."""
        return tuple(one for one in self.differences if one.breaks)

    @property
    def ok(self) -> bool:
        """Tell whether every topic is there, and none breaks a promise."""
        return not self.missing and not self.faults


async def apply(
    bootstrap: str, prefix: str, partitions: int, replication: int, session_timeout_ms: int
) -> Report:
    """Create the topics that are missing, and verify all.

    Raises:
        TopicsUnavailable: Kafka does not answer, or refuses to create one.
    """
    specs = specs_of(prefix, partitions, replication, session_timeout_ms)
    return await _within(bootstrap, specs, create=True)


async def verify(
    bootstrap: str, prefix: str, partitions: int, replication: int, session_timeout_ms: int
) -> Report:
    """Compare the topics with what they have to be, and make nothing.

    Raises:
        TopicsUnavailable: Kafka does not answer.
    """
    specs = specs_of(prefix, partitions, replication, session_timeout_ms)
    return await _within(bootstrap, specs, create=False)


async def _within(bootstrap: str, specs: tuple[TopicSpec, ...], *, create: bool) -> Report:
    client = admin_of(bootstrap, request_timeout_ms=_REQUEST_TIMEOUT_MS)
    try:
        await client.start()
        try:
            return await _reported(client, bootstrap, specs, create=create)
        finally:
            await client.close()
    except KafkaError as error:
        raise TopicsUnavailable(f"Kafka at {bootstrap} does not do as asked: {error!r}") from error


async def _reported(
    client: AIOKafkaAdminClient, bootstrap: str, specs: tuple[TopicSpec, ...], *, create: bool
) -> Report:
    existing = await _existing(client, specs)
    absent = [spec for spec in specs if spec.name not in existing]
    created: tuple[str, ...] = ()
    if create and absent:
        created = await _create(client, absent)
        existing = await _settled(client, specs)
        absent = []
    present = [spec for spec in specs if spec.name in existing]
    configs = await configs_of(client, [spec.name for spec in present])
    differences = [
        difference
        for spec in present
        for difference in compare(
            spec,
            Existing(
                partitions=existing[spec.name][0],
                replication=existing[spec.name][1],
                config=configs.get(spec.name, {}),
            ),
            bootstrap,
        )
    ]
    different = {difference.topic for difference in differences}
    return Report(
        created=created,
        missing=tuple(spec.name for spec in absent),
        differences=tuple(differences),
        verified=sum(spec.name not in different for spec in present),
    )


async def _create(client: AIOKafkaAdminClient, absent: Iterable[TopicSpec]) -> tuple[str, ...]:
    answer = await client.create_topics(
        [
            NewTopic(spec.name, spec.partitions, spec.replication, topic_configs=dict(spec.config))
            for spec in absent
        ]
    )
    created = []
    for name, code, *rest in answer.topic_errors:
        error = for_code(code)
        # Two workers that start at once may both create; whoever comes second finds it done.
        if error.__name__ == "TopicAlreadyExistsError":
            continue
        if code != 0:
            detail = rest[0] if rest and rest[0] else error.__name__
            raise TopicsUnavailable(f"Kafka did not create the topic {name}: {detail}")
        created.append(str(name))
    return tuple(created)


async def _settled(client: AIOKafkaAdminClient, specs: tuple[TopicSpec, ...]) -> dict[str, tuple[int, int]]:
    deadline = asyncio.get_running_loop().time() + _SETTLE_S
    while True:
        existing = await _existing(client, specs)
        missing = [spec.name for spec in specs if spec.name not in existing]
        if not missing:
            return existing
        if asyncio.get_running_loop().time() > deadline:
            raise TopicsUnavailable(f"topics were created and do not appear: {', '.join(missing)}")
        await asyncio.sleep(0.1)


async def _existing(client: AIOKafkaAdminClient, specs: tuple[TopicSpec, ...]) -> dict[str, tuple[int, int]]:
    """Return how many partitions and replicas each topic has that is there."""
    wanted = {spec.name for spec in specs}
    # Asked for all topics, as a question for one by name could create it.
    return {
        str(topic["topic"]): (
            len(topic["partitions"]),
            min((len(one["replicas"]) for one in topic["partitions"]), default=0),
        )
        for topic in await client.describe_topics()
        if topic["topic"] in wanted and topic["error_code"] == 0
    }


async def configs_of(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """Return by topic, with its full name, the settings that it has, Kafka's defaults included."""
    if not names:
        return {}
    answers = await client.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    )
    return {
        str(resource[3]): {str(entry[0]): str(entry[1]) for entry in resource[4]}
        for answer in answers
        for resource in answer.resources
    }
