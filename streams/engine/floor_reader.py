"""Reads floors: the whole of one small compacted topic, and the ids of the topics that they are about."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final

import structlog
from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # as above

from sinks.topic_ids import topic_ids
from streams.records.delivery import OwnershipLost
from streams.records.floors import FloorsFound
from topics.clients import consumer_of
from topics.tables import FLOORS, changelog_of

_AGAIN_S: Final = 0.5
_READ_S: Final = 30.0
"""A try that takes longer is begun again."""
_POLL_MS: Final = 200
_log = structlog.get_logger()


class FloorReader:
    """Of one shell's sources."""

    def __init__(self, *, kafka_bootstrap: str, topic_prefix: str, sources: Iterable[str]) -> None:
        """Take where to read, and the sources' names in the catalogue."""
        self._bootstrap = kafka_bootstrap
        self._prefix = topic_prefix
        self._sources = tuple(sources)
        self._is_owner: Callable[[], bool] = lambda: True

    def waits_while(self, is_owner: Callable[[], bool]) -> None:
        """Take what tells whether partitions are owned; False ends the wait for Kafka."""
        self._is_owner = is_owner

    async def __call__(self) -> FloorsFound:
        """Return what Kafka has now; while Kafka is away, it is asked again.

        Raises:
            OwnershipLost: the partitions were revoked in the meantime.
        """
        while True:
            try:
                async with asyncio.timeout(_READ_S):
                    return await self._found()
            except (KafkaError, TimeoutError) as error:
                _log.warning("floors_not_read", error=repr(error))
            await asyncio.sleep(_AGAIN_S)
            if not self._is_owner():
                raise OwnershipLost

    async def _found(self) -> FloorsFound:
        place = TopicPartition(changelog_of(self._prefix, FLOORS), 0)
        records: dict[bytes, bytes] = {}
        consumer = consumer_of(self._bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50)
        await consumer.start()
        try:
            ids = await topic_ids(consumer._client, [self._prefix + source for source in self._sources])
            consumer.assign([place])
            end = (await consumer.end_offsets([place]))[place]
            await consumer.seek_to_beginning(place)
            # What was compacted away or aborted has no record; the position passes it.
            while await consumer.position(place) < end:
                for record in (await consumer.getmany(place, timeout_ms=_POLL_MS)).get(place, []):
                    if record.key is None:
                        continue
                    if record.value is None:
                        records.pop(record.key, None)
                    else:
                        records[record.key] = record.value
        finally:
            await consumer.stop()
        named = {source: ids.get(self._prefix + source) for source in self._sources}
        return FloorsFound(
            records=records, topic_ids={source: one.hex for source, one in named.items() if one is not None}
        )
