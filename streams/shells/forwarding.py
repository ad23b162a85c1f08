"""What a shell without state does: for each record it writes another one, or puts it aside.

What it has dealt with it does not take in again, whatever has become of its group's offsets: once a batch is
published, the floors that say so are written, and only then the batch is acknowledged. A crash between the
first two publishes the batch again, with the same event ids.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

import structlog

from processors.inputs import InputInvalid
from schemas.envelope import Envelope
from schemas.wire.codec import Codec, UnknownFactError
from streams.engine.app import ShellApp
from streams.engine.context import ShellContext
from streams.engine.faust_shell import FaustShell
from streams.engine.floor_reader import FloorReader
from streams.engine.kafka_log import log_of
from streams.process import failpoints
from streams.process.metrics import ShellMetrics
from streams.records.delivery import NOWHERE, Delivery, Log, Outgoing, OwnershipLost, Place, outgoing
from streams.records.floors import Floors, FloorsFound
from streams.records.intake import Intake, RecordRefused
from topics.catalog import RECORD_BYTES_MAX, Topic, read_by
from topics.tables import FLOORS, changelog_of

_log = structlog.get_logger()


ReadFloors = Callable[[], Awaitable[FloorsFound]]
"""Returns the floors that Kafka has, and the ids of a shell's sources; raises OwnershipLost."""


class ForwardingShell(ABC):
    """Takes records, in whatever order they come; a repeat of one writes the same again."""

    def __init__(
        self,
        *,
        name: str,
        codec: Codec,
        log: Log,
        floors: ReadFloors,
        topic_prefix: str,
        metrics: ShellMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the surroundings.

        Args:
            name: of the shell, for dead letters.
            codec: reads and writes events.
            log: what is written to.
            floors: reads what was taken in before.
            topic_prefix: before topic names in dead letters.
            metrics: counts.
            now_ms: the clock, for the metrics of latency.
        """
        self._codec = codec
        self._out = log
        self._read_floors = floors
        self.floors = Floors(name)
        self._metrics = metrics
        self._now_ms = now_ms
        self._owner = False
        self._generation = 0
        # As in the shells with state: batches write in the order in which they came.
        self._checking = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._intake = Intake(
            codec, shell=name, topic_prefix=topic_prefix, is_owner=self.is_owner, now_ms=now_ms
        )

    @abstractmethod
    async def forwarded(self, event: Envelope, delivery: Delivery) -> tuple[Envelope, Topic]:
        """Return what is written in place of an event, and where; it hangs on the event and the log alone.

        Raises:
            InputInvalid: it cannot be used; the sentence is for the sender.
            OwnershipLost: the partitions were revoked in the meantime.
        """

    async def forerunner(self, event: Envelope) -> Envelope | None:
        """Return what is written to the same topic before what is forwarded; None: nothing.

        Raises:
            InputInvalid: the event cannot be used after all.
        """
        return None

    async def own(
        self, positions: Mapping[Place, int], starts: Mapping[Place, int] = NOWHERE
    ) -> Collection[int]:
        """Begin to own partitions, and know what of them was taken in before.

        Args:
            positions: where each source topic's partition ends now.
            starts: where reading begins.

        Raises:
            RecordNewer: a newer program wrote the floors.
        """
        self._generation += 1
        generation = self._generation
        self._owner = True
        try:
            found = await self._read_floors()
        except OwnershipLost:
            return ()
        if generation == self._generation:
            self.floors.begin(found, positions, starts)
        return ()

    def is_owner(self) -> bool:
        """Tell whether partitions are owned now."""
        return self._owner

    def disown(self) -> None:
        """Stop."""
        self._generation += 1
        self._owner = False

    async def settle(self) -> None:
        """Wait until nothing is on its way."""
        async with self._checking, self._writing:
            return

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Check, forward and acknowledge a batch; what is refused goes to dead.letters.

        Raises:
            OwnershipLost: the partitions were revoked; nothing of the batch is acknowledged.
        """
        generation = self._generation
        async with self._checking:
            self._check(generation)
            to_publish = [record for delivery in deliveries for record in await self._taken(delivery)]
            failpoints.reach("decided")
        async with self._writing:
            self._check(generation)
            await self._out.publish(to_publish)
            self._check(generation)
            failpoints.reach("published")
            if taken := self.floors.take(deliveries):
                await self._out.store(taken)
                self._check(generation)
            failpoints.reach("floors_stored")
            self._out.acknowledge(deliveries)
        self._metrics.batch_inputs.observe(len(deliveries))
        now_ms = self._now_ms()
        for delivery in deliveries:
            self._metrics.hop_latency_seconds.observe(max(now_ms - delivery.timestamp_ms, 0) / 1_000)
        for record in to_publish:
            self._metrics.output(record.topic.name)

    async def _taken(self, delivery: Delivery) -> list[Outgoing]:
        if self.floors.is_taken(delivery):
            self._metrics.input(delivery.topic, "replayed")
            return []
        event: Envelope | None = None
        try:
            event = await self._intake.read(delivery)
            forwarded, topic = await self.forwarded(event, delivery)
            record = outgoing(self._codec, forwarded, topic)
            if record.size_bytes > RECORD_BYTES_MAX:
                raise InputInvalid(f"it would be a record of {record.size_bytes:,} bytes")
            before = await self.forerunner(forwarded)
            records = [] if before is None else [outgoing(self._codec, before, topic)]
        except UnknownFactError as unknown:
            refused = RecordRefused("invalid_input", f"this program does not know the fact {unknown.name}")
        except InputInvalid as invalid:
            refused = RecordRefused("invalid_input", str(invalid), event)
        except RecordRefused as error:
            refused = error
        except OwnershipLost:
            raise
        except Exception as error:
            # The rules are pure: what raises on this input raises for ever.
            _log.exception("record_rules_raised", place=delivery.coordinates)
            refused = RecordRefused("invalid_input", f"it cannot be checked: {error!r}", event)
        else:
            self._metrics.input(delivery.topic, "applied")
            return [*records, record]
        self._metrics.input(delivery.topic, "rejected")
        self._metrics.dead_letter(refused.code)
        return [self._intake.letter(delivery, refused)]

    def _check(self, generation: int) -> None:
        if not self._owner or self._generation != generation:
            raise OwnershipLost


def build_forwarding(
    context: ShellContext, name: str, make: Callable[..., ForwardingShell], *, reads_all: bool = False
) -> FaustShell:
    """Build a shell without state; nothing connects until its app starts.

    Args:
        context: what the shells of this process share.
        name: of the shell.
        make: takes codec, log, floors, topic_prefix, metrics and now_ms.
        reads_all: as in `app_settings`.
    """
    app = ShellApp(context.app_settings(name, reads_all=reads_all))
    metrics = ShellMetrics(context.metrics, name)
    log = log_of(context, app)
    sources = [topic.name for topic in read_by(name)]
    floors = FloorReader(
        kafka_bootstrap=context.kafka_bootstrap, topic_prefix=context.topic_prefix, sources=sources
    )
    shell = make(
        codec=context.codec,
        log=log,
        floors=floors,
        topic_prefix=context.topic_prefix,
        metrics=metrics,
        now_ms=context.now_ms,
    )
    log.keep(changelog_of(context.topic_prefix, FLOORS), shell.floors)
    log.owned_by(shell.is_owner)
    floors.waits_while(shell.is_owner)
    return FaustShell(
        app,
        shell,
        name=name,
        sources=sources,
        topic_prefix=context.topic_prefix,
        metrics=metrics,
    )
