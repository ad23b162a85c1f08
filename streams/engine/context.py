"""What all shells of one process share."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from schemas.wire.codec import Codec
from streams.engine.app import AppSettings
from streams.engine.heartbeat import now_ms
from streams.engine.shared_producer import SharedProducer
from streams.process.metrics import Metrics
from streams.records.delivery import Outgoing
from topics.tables import Fence


@dataclass(frozen=True, slots=True, kw_only=True)
class ShellContext:
    """Settings and services from which a shell is built."""

    kafka_bootstrap: str
    topic_prefix: str
    app_id: str
    """Each shell's consumer group is this and its name."""
    partitions: int
    data_directory: Path
    session_timeout_ms: int
    heartbeat_interval_ms: int
    rebalance_timeout_ms: int
    produce_timeout_ms: int
    commit_interval_ms: int
    worker_identity: str | None
    """The static identity, when a lock proves the predecessor gone."""
    tables_on_disk: bool = False
    """Needs an identity, which no other process on the data directory has."""
    codec: Codec
    metrics: Metrics
    on_published: Callable[[Outgoing, int, int], None] | None = None
    """Told of each published record with its partition and offset."""
    now_ms: Callable[[], int] = now_ms
    producer: SharedProducer = field(default_factory=SharedProducer)

    @property
    def fence(self) -> Fence:
        """Return what the changelog topics were created with."""
        return Fence.of(self.session_timeout_ms)

    def table_directory(self, shell: str) -> Path | None:
        """Return where a shell's tables are on disk; None when they are in memory."""
        if not self.tables_on_disk or self.worker_identity is None:
            return None
        group = f"{self.topic_prefix}{self.app_id}-{shell}"
        return self.data_directory / "tables" / self.worker_identity / group

    def app_settings(self, shell: str, *, reads_all: bool = False) -> AppSettings:
        """Return the settings of one shell's Faust app.

        Args:
            shell: its name.
            reads_all: True when keys of its sources have no meaning, so that partitions may be added to them.
        """
        identity = self.worker_identity
        return AppSettings(
            group_id=f"{self.topic_prefix}{self.app_id}-{shell}",
            kafka_bootstrap=self.kafka_bootstrap,
            data_directory=self.data_directory,
            session_timeout_ms=self.session_timeout_ms,
            heartbeat_interval_ms=self.heartbeat_interval_ms,
            rebalance_timeout_ms=self.rebalance_timeout_ms,
            produce_timeout_ms=self.produce_timeout_ms,
            commit_interval_ms=self.commit_interval_ms,
            producer=self.producer,
            partitions=None if reads_all else self.partitions,
            group_instance_id=f"{identity}-{shell}" if identity else None,
        )
