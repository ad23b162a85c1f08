"""The Faust app of one shell, with every setting that keeps it from losing records."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faust
from faust.types import TP
from faust.types.transports import TransportT

from streams.engine.assignor import ShellAssignor
from streams.engine.heartbeat import Heartbeat
from streams.engine.recovery_fix import RepairedTableManager, check_version
from streams.engine.shared_producer import SharedProducer
from streams.engine.transport import ShellTransport
from topics.catalog import RECORD_BYTES_MAX

PRODUCE_BYTES_MAX = RECORD_BYTES_MAX + 131_072
"""Dead letters carry a whole record and their own fields."""
PRODUCE_BATCH_BYTES = 131_072
"""What one batch of a shell writes to one partition goes in as few requests as this allows."""
FETCH_RECORDS_MAX = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSettings:
    """What the Faust app of one shell is told."""

    group_id: str
    """The consumer group; one per shell, so that any mix of shells per process has one owner each."""
    kafka_bootstrap: str
    """host:port, several by commas."""
    data_directory: Path
    session_timeout_ms: int
    heartbeat_interval_ms: int
    rebalance_timeout_ms: int
    produce_timeout_ms: int
    commit_interval_ms: int
    producer: SharedProducer
    """Of all shells of the process."""
    partitions: int | None = None
    """How many partitions of each topic count; None: all that there are."""
    group_instance_id: str | None = None
    """The static identity; only for a process that proves its predecessor gone."""


class ShellApp(faust.App):
    """One shell's app; tells its shell when partitions come and go, early enough to drop its queue."""

    def __init__(self, settings: AppSettings) -> None:
        """Configure Faust; nothing connects yet."""
        check_version()
        self.heartbeat = Heartbeat()
        self.producer_of_process = settings.producer
        self.partitions_counted = settings.partitions
        self.revoked: Callable[[], Awaitable[None]] = _nothing
        self.recovered: Callable[[set[TP]], Awaitable[set[TP]]] = _nothing_of
        brokers = ";".join(f"kafka://{address.strip()}" for address in settings.kafka_bootstrap.split(","))
        super().__init__(
            settings.group_id,
            broker=brokers,
            datadir=settings.data_directory / settings.group_id,
            TableManager=RepairedTableManager,
            PartitionAssignor=ShellAssignor,
            # At least once, made exactly once by the shell's own protocol.
            processing_guarantee="at_least_once",
            store="memory://",
            table_standby_replicas=0,
            key_serializer="raw",
            value_serializer="raw",
            topic_allow_declare=False,
            topic_disable_leader=True,
            consumer_auto_offset_reset="earliest",
            consumer_group_instance_id=settings.group_instance_id,
            broker_session_timeout=settings.session_timeout_ms / 1_000,
            broker_heartbeat_interval=settings.heartbeat_interval_ms / 1_000,
            broker_rebalance_timeout=settings.rebalance_timeout_ms / 1_000,
            broker_request_timeout=max(90.0, settings.session_timeout_ms / 1_000),
            broker_commit_interval=settings.commit_interval_ms / 1_000,
            broker_max_poll_records=FETCH_RECORDS_MAX,
            # In batches, one for each partition of a fetch.
            stream_buffer_maxsize=2,
            stream_recovery_delay=0.0,
            stream_wait_empty=True,
            stream_publish_on_commit=False,
            producer_acks=-1,
            producer_request_timeout=settings.produce_timeout_ms / 1_000,
            producer_max_request_size=PRODUCE_BYTES_MAX,
            producer_max_batch_size=PRODUCE_BATCH_BYTES,
            producer_threaded=False,
            recovery_consistency_check=True,
            web_enabled=False,
            web_bind="127.0.0.1",
            web_tables_enabled=False,
            web_router_enabled=False,
            worker_redirect_stdouts=False,
            autodiscover=False,
        )

    def _new_transport(self) -> TransportT:
        return ShellTransport(self.conf.broker_consumer, self, loop=self.loop)

    def _new_producer_transport(self) -> TransportT:
        return ShellTransport(self.conf.broker_producer, self)

    async def on_partitions_recovered(self, assigned: set[TP]) -> set[TP]:
        """Hand over to the shell: tables are recovered, and nothing flows yet; return what must not flow."""
        return await self.recovered(assigned)

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        await self.revoked()
        await super()._on_partitions_revoked(revoked)

    async def _stop_consumer(self) -> None:
        await self.revoked()
        await super()._stop_consumer()

    def raw_topic(self, names: Iterable[str], *, acks: bool = True, **options: Any) -> faust.TopicT:
        """Declare topics whose keys and values stay bytes; whoever reads them decodes.

        Args:
            names: full names, with the configured prefix.
            acks: False for changelogs, whose offsets are never committed.
            options: passed on to Faust (Any: its keyword arguments).
        """
        return self.topic(
            *names,
            key_type=bytes,
            value_type=bytes,
            key_serializer="raw",
            value_serializer="raw",
            allow_empty=True,
            acks=acks,
            **options,
        )


async def _nothing() -> None:
    await asyncio.sleep(0)


async def _nothing_of(_assigned: set[TP]) -> set[TP]:
    await asyncio.sleep(0)
    return set()
