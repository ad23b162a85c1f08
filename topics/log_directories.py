"""Asks brokers what their disks hold: Kafka's request DescribeLogDirs, which aiokafka does not have.

Its form is told in Kafka's DescribeLogDirsRequest.json and DescribeLogDirsResponse.json. Version 4, with the
sizes of the volumes, is answered by every Kafka from 3.3 on; the oldest that Cartrita takes is 3.6.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from aiokafka.admin import AIOKafkaAdminClient  # type: ignore[import-untyped]  # it ships no types
from aiokafka.errors import for_code  # type: ignore[import-untyped]  # as above
from aiokafka.protocol.api import Request, RequestStruct, Response  # type: ignore[import-untyped]  # as above
from aiokafka.protocol.types import (  # type: ignore[import-untyped]  # as above
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogDirectory:
    """One directory of one broker."""

    broker: int
    path: str
    """As the broker's machine names it."""
    volume_bytes: int | None
    """Of the whole volume; None: the broker cannot tell."""
    free_bytes: int | None
    """That the broker may still use of it."""
    replicas: Mapping[tuple[str, int], int]
    """By full topic name and partition, the bytes of its log segments here."""


class _Response(Response):  # type: ignore[misc]  # it ships no types
    API_KEY = 35
    API_VERSION = 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "results",
            CompactArray(
                ("error_code", Int16),
                ("log_dir", CompactString("utf-8")),
                (
                    "topics",
                    CompactArray(
                        ("name", CompactString("utf-8")),
                        (
                            "partitions",
                            CompactArray(
                                ("partition_index", Int32),
                                ("partition_size", Int64),
                                ("offset_lag", Int64),
                                ("is_future_key", Boolean),
                                ("tags", TaggedFields),
                            ),
                        ),
                        ("tags", TaggedFields),
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _RequestOfVersion4(RequestStruct):  # type: ignore[misc]  # it ships no types
    API_KEY = 35
    API_VERSION = 4
    FLEXIBLE_VERSION = True
    RESPONSE_TYPE = _Response
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic", CompactString("utf-8")),
                ("partitions", CompactArray(Int32)),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _Request(Request[_RequestOfVersion4]):  # type: ignore[misc]  # it ships no types
    API_KEY = 35

    def build(self, request_struct_class: type[_RequestOfVersion4]) -> _RequestOfVersion4:
        """Ask for every topic."""
        return request_struct_class(None, {})


async def log_directories(admin: AIOKafkaAdminClient) -> tuple[LogDirectory, ...]:
    """Return what each broker that is known has in each of its directories.

    Args:
        admin: started.

    Raises:
        KafkaError: a broker does not answer, or does not let us see it.
    """
    await admin._client.force_metadata_update()
    found = []
    for broker in sorted(admin._client.cluster.brokers(), key=lambda one: int(one.nodeId)):
        answer = await admin._send_request(_Request(), broker.nodeId)
        if answer.error_code:
            raise for_code(answer.error_code)(f"broker {broker.nodeId} does not tell of its directories")
        found += [_directory(int(broker.nodeId), told) for told in answer.results]
    return tuple(found)


def _directory(broker: int, told: tuple[object, ...]) -> LogDirectory:
    code, path, topics, total, usable, _ = told
    if code:
        raise for_code(code)(f"broker {broker} cannot read its directory {path}")
    assert isinstance(topics, list)
    assert isinstance(total, int)
    assert isinstance(usable, int)
    return LogDirectory(
        broker=broker,
        path=str(path),
        volume_bytes=total if total >= 0 else None,
        free_bytes=usable if usable >= 0 else None,
        replicas={
            (str(name), int(number)): int(size)
            for name, partitions, _ in topics
            # A replica that is being moved to another directory is counted where it will be, too.
            for number, size, _, _, _ in partitions
        },
    )
