"""Creates the topics that are missing and compares those that exist; never changes or deletes one."""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # ships no types
from aiokafka.admin.config_resource import (  # type: ignore[import-untyped]  # ships no types
    ConfigResource,
    ConfigResourceType,
)
from aiokafka.errors import KafkaError, for_code  # type: ignore[import-untyped]  # ships no types

from topics.catalog import DEAD_LETTERS, HOUR_MS, RECORD_BYTES_MAX, TOPICS, Topic
from topics.clients import admin_of
from topics.tables import CLOCK_PROBE, TABLES, Fence, changelog_of

_REQUEST_TIMEOUT_MS: Final = 30_000
_SETTLE_S: Final = 20.0
DEAD_LETTER_BYTES_MAX: Final = RECORD_BYTES_MAX + 131_072
"""A dead letter carries a whole record and its own fields."""


class TopicsUnavailable(Exception):
    """Kafka does not answer, or refuses; the message says which."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """A topic as it has to be."""

    name: str
    """Full name, with the configured prefix."""
    partitions: int
    replication: int
    config: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """Something about a topic that is not as it has to be."""

    topic: str
    setting: str
    expected: str
    actual: str
    repair: str
    """The command that would repair it, or why none does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found, and what was made."""

    created: tuple[str, ...]
    missing: tuple[str, ...]
    """Only of `verify`, which makes nothing."""
    differences: tuple[Difference, ...]
    verified: int
    """Topics that are as they have to be."""

    @property
    def ok(self) -> bool:
        """Tell whether every topic is there as it has to be."""
        return not self.missing and not self.differences


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


def specs_of(
    prefix: str, partitions: int, replication: int, session_timeout_ms: int
) -> tuple[TopicSpec, ...]:
    """Return every topic of the system as it has to be."""
    durable = {"min.insync.replicas": str(max(1, replication - 1))}
    specs = [
        TopicSpec(
            name=prefix + topic.name,
            partitions=topic.partitions or partitions,
            replication=replication,
            config=MappingProxyType({**durable, **_event_config(topic)}),
        )
        for topic in TOPICS
    ]
    fence = Fence.of(session_timeout_ms)
    changelog = {
        **durable,
        "cleanup.policy": "compact",
        "max.message.bytes": str(RECORD_BYTES_MAX),
        "message.timestamp.type": "CreateTime",
        "message.timestamp.before.max.ms": str(fence.before_max_ms),
        "message.timestamp.after.max.ms": str(fence.after_max_ms),
        # Small segments and an early cleaner keep a start short: it reads what is not compacted yet.
        "segment.bytes": str(16 * 1_048_576),
        "segment.ms": str(HOUR_MS),
        "min.cleanable.dirty.ratio": "0.1",
    }
    specs += [
        TopicSpec(
            name=changelog_of(prefix, table),
            partitions=partitions,
            replication=replication,
            config=MappingProxyType(changelog),
        )
        for table in TABLES
    ]
    probe = {
        "cleanup.policy": "delete",
        "retention.ms": str(HOUR_MS),
        "message.timestamp.type": "LogAppendTime",
    }
    specs.append(
        TopicSpec(
            name=prefix + CLOCK_PROBE,
            partitions=1,
            replication=replication,
            config=MappingProxyType({**durable, **probe}),
        )
    )
    return tuple(specs)


def _event_config(topic: Topic) -> dict[str, str]:
    bytes_max = DEAD_LETTER_BYTES_MAX if topic is DEAD_LETTERS else RECORD_BYTES_MAX
    config = {
        "cleanup.policy": topic.cleanup,
        "max.message.bytes": str(bytes_max),
        "message.timestamp.type": "LogAppendTime" if topic.stamped_by_kafka else "CreateTime",
    }
    if topic.cleanup == "delete":
        config["retention.ms"] = str(topic.retention_ms)
    return config


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
    existing = await _partitions(client, specs)
    absent = [spec for spec in specs if spec.name not in existing]
    created: tuple[str, ...] = ()
    if create and absent:
        created = await _create(client, absent)
        existing = await _settled(client, specs)
        absent = []
    present = [spec for spec in specs if spec.name in existing]
    configs = await _configs(client, [spec.name for spec in present])
    differences = [
        difference
        for spec in present
        for difference in _compare(spec, existing[spec.name], configs.get(spec.name, {}), bootstrap)
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


async def _settled(client: AIOKafkaAdminClient, specs: tuple[TopicSpec, ...]) -> dict[str, int]:
    deadline = asyncio.get_running_loop().time() + _SETTLE_S
    while True:
        existing = await _partitions(client, specs)
        missing = [spec.name for spec in specs if spec.name not in existing]
        if not missing:
            return existing
        if asyncio.get_running_loop().time() > deadline:
            raise TopicsUnavailable(f"topics were created and do not appear: {', '.join(missing)}")
        await asyncio.sleep(0.1)


async def _partitions(client: AIOKafkaAdminClient, specs: tuple[TopicSpec, ...]) -> dict[str, int]:
    wanted = {spec.name for spec in specs}
    # Asked for all topics, as a question for one by name could create it.
    return {
        str(topic["topic"]): len(topic["partitions"])
        for topic in await client.describe_topics()
        if topic["topic"] in wanted and topic["error_code"] == 0
    }


async def _configs(client: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
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


def _compare(
    spec: TopicSpec, partitions: int, config: Mapping[str, str], bootstrap: str
) -> Iterable[Difference]:
    if partitions != spec.partitions:
        yield Difference(
            topic=spec.name,
            setting="partitions",
            expected=str(spec.partitions),
            actual=str(partitions),
            repair="none: keys would move to other partitions; configure this count, or another topic prefix",
        )
    for setting, expected in spec.config.items():
        actual = config.get(setting, "")
        if actual != expected:
            yield Difference(
                topic=spec.name,
                setting=setting,
                expected=expected,
                actual=actual,
                repair=(
                    f"kafka-configs.sh --bootstrap-server {bootstrap} --alter --entity-type topics "
                    f"--entity-name {spec.name} --add-config {setting}={expected}"
                ),
            )
