"""The one place that makes Kafka clients, so that what all of them must know of a cluster is said once.

The shells' own consumers and their producer are Faust's, made in streams/engine; all others are made here.
"""

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from aiokafka import (  # type: ignore[import-untyped]  # it ships no types
    AIOKafkaConsumer,
    AIOKafkaProducer,
    TopicPartition,
)
from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # as above
from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # as above
from aiokafka.errors import KafkaConnectionError  # type: ignore[import-untyped]  # as above
from aiokafka.protocol.admin import (  # type: ignore[import-untyped]  # as above
    DescribeGroupsRequest_v3,
    DescribeGroupsResponse_v3,
)

from topics import header_names
from topics.catalog import RECORD_BYTES_MAX

# It demands the one version of aiokafka of which both repairs are.
header_names.repair()
# It reads descriptions of groups, which today's brokers give in version 3, by the form of version 2.
DescribeGroupsRequest_v3.RESPONSE_TYPE = DescribeGroupsResponse_v3

ISOLATION_LEVEL = "read_committed"
"""Of every consumer: what a transactional producer aborts was never said."""
REQUEST_TIMEOUT_MS_DEFAULT = 40_000
_FETCHER_WAKES_S: Final = 1.0
_TOLD_S: Final = 15.0
"""So long a broker that has just started may know neither itself nor its topics."""
_ASKED_AGAIN_S: Final = 0.2
_REQUEST_BYTES_MAX = 2 * RECORD_BYTES_MAX
"""A record's key and headers stand beside its value; Kafka alone judges what is too large."""


def consumer_of(bootstrap: str, *, group: str | None = None, **settings: object) -> AIOKafkaConsumer:
    """Return a consumer that commits nothing by itself; it is not started.

    Args:
        bootstrap: host:port, several by commas.
        group: its consumer group; None: it is told what to read.
        settings: of aiokafka's, beyond these.
    """
    return AIOKafkaConsumer(
        bootstrap_servers=bootstrap,
        group_id=group,
        # Kafka names a group's members by it, and so do the pages and commands that list them.
        client_id=group or "cartrita",
        enable_auto_commit=False,
        isolation_level=ISOLATION_LEVEL,
        **settings,
    )


def calm(consumer: AIOKafkaConsumer) -> None:
    """Let a consumer that has started look for work once a second, and not five times.

    Whatever makes work wakes it: answers, assignments, seeks, records taken out. aiokafka has no setting.
    """
    consumer._fetcher._fetcher_timeout = _FETCHER_WAKES_S


def producer_of(bootstrap: str) -> AIOKafkaProducer:
    """Return a producer whose records are written once and to all replicas; it is not started."""
    return AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True, max_request_size=_REQUEST_BYTES_MAX
    )


def admin_of(bootstrap: str, *, request_timeout_ms: int = REQUEST_TIMEOUT_MS_DEFAULT) -> AIOKafkaAdminClient:
    """Return a client that creates and describes topics; it is not started."""
    return AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=request_timeout_ms)


def client_of(bootstrap: str, **settings: object) -> AIOKafkaClient:
    """Return a client for single requests; it is not connected."""
    return AIOKafkaClient(bootstrap_servers=bootstrap, **settings)


async def partitions_of(consumer: AIOKafkaConsumer, names: Iterable[str]) -> list[TopicPartition]:
    """Return the partitions of topics, by full name, in order; none of a topic that does not exist.

    A consumer without partitions knows all topics, one with partitions only theirs: ask before assigning.

    Raises:
        KafkaConnectionError: no broker told which topics there are.
    """
    deadline_s = time.monotonic() + _TOLD_S
    # The first metadata may come before a topic is known; aiokafka has no public call that renews them.
    while not await consumer._client.force_metadata_update():
        if time.monotonic() >= deadline_s:
            raise KafkaConnectionError("no broker tells which topics there are")
        await asyncio.sleep(_ASKED_AGAIN_S)
    return [
        TopicPartition(name, number)
        for name in names
        for number in sorted(consumer.partitions_for_topic(name) or ())
    ]
