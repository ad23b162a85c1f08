"""Asks Kafka for the ids of topics: one that was deleted and made anew has the same name and another id.

aiokafka speaks the Metadata request only up to version 5; ids came with version 10, so that this is version
12, as Kafka 3.1 and later know it.
"""

import uuid
from collections.abc import Iterable
from io import BytesIO
from typing import ClassVar

from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # it ships no types
from aiokafka.protocol.abstract import AbstractType  # type: ignore[import-untyped]  # it ships no types
from aiokafka.protocol.api import Request, RequestStruct, Response  # type: ignore[import-untyped]  # it ships no types
from aiokafka.protocol.types import (  # type: ignore[import-untyped]  # it ships no types
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_NO_ID = uuid.UUID(int=0)


class _Uuid(AbstractType[uuid.UUID]):  # type: ignore[misc]  # as above
    """Sixteen bytes."""

    @classmethod
    def encode(cls, value: uuid.UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> uuid.UUID:
        return uuid.UUID(bytes=data.read(16))


class _Response12(Response):  # type: ignore[misc]  # as above
    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Request12(RequestStruct):  # type: ignore[misc]  # as above
    API_KEY = 3
    API_VERSION = 12
    FLEXIBLE_VERSION: ClassVar[bool] = True
    RESPONSE_TYPE = _Response12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid),
                ("name", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicIdsRequest(Request[_Request12]):  # type: ignore[misc]  # as above
    API_KEY = 3

    def __init__(self, names: tuple[str, ...]) -> None:
        self._names = names

    def build(self, request_struct_class: type[_Request12]) -> _Request12:
        return request_struct_class([(_NO_ID, name, {}) for name in self._names], False, False, {})


async def topic_ids(client: AIOKafkaClient, names: Iterable[str]) -> dict[str, uuid.UUID]:
    """Return the ids of the topics that exist; `client` has been bootstrapped.

    Raises:
        aiokafka.errors.KafkaError: no answer.
    """
    response = await client.send(client.get_random_node(), _TopicIdsRequest(tuple(names)))
    return {topic[1]: topic[2] for topic in response.topics if topic[0] == 0}
