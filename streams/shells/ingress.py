"""The ingress shell: checks what the world sends, counts its tokens, and puts it on its session's partition.

Two topics lead in: `user.inputs` for everybody, `operator.inputs` for operators. The first takes any key, and
both any partitioner; everything behind this shell writes with Java's murmur2, so that a session never has two
owners.
"""

import asyncio
from collections.abc import Callable, Collection, Sequence

import structlog

from processors.inputs import InputInvalid, Tokenizer, checked_input
from schemas.configuration import Limits
from schemas.envelope import Envelope
from schemas.wire.codec import Codec, UnknownFactError
from streams.engine.app import ShellApp
from streams.engine.context import ShellContext
from streams.engine.faust_shell import FaustShell
from streams.engine.kafka_log import KafkaLog
from streams.process import failpoints
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Delivery, Log, Outgoing, OwnershipLost, outgoing
from streams.records.intake import Intake, RecordRefused
from topics.catalog import RECORD_BYTES_MAX, SESSION_INPUTS, read_by
from topics.shells import INGRESS

_log = structlog.get_logger()


class IngressShell:
    """Takes inputs in, in whatever order they come."""

    def __init__(
        self,
        *,
        codec: Codec,
        log: Log,
        tokenizer: Tokenizer,
        limits: Limits,
        topic_prefix: str,
        metrics: ShellMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        """Take the surroundings.

        Args:
            codec: reads and writes events.
            log: what is written to.
            tokenizer: counts the tokens of a text.
            limits: bounds on texts.
            topic_prefix: before topic names in dead letters.
            metrics: counts.
            now_ms: the clock, for the metrics of latency.
        """
        self._codec = codec
        self._out = log
        self._tokenizer = tokenizer
        self._limits = limits
        self._metrics = metrics
        self._now_ms = now_ms
        self._owner = False
        self._generation = 0
        # As in the shells with state: batches write in the order in which they came.
        self._checking = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._intake = Intake(
            codec, shell=INGRESS, topic_prefix=topic_prefix, is_owner=lambda: self._owner, now_ms=now_ms
        )

    async def own(self, positions: object, starts: object = None) -> Collection[int]:
        """Begin to own partitions; without a table, where they begin and end does not matter."""
        self._generation += 1
        self._owner = True
        return ()

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
            records = [await self._taken(delivery) for delivery in deliveries]
            to_publish = [record for record in records if record is not None]
            failpoints.reach("decided")
        async with self._writing:
            self._check(generation)
            await self._out.publish(to_publish)
            self._check(generation)
            failpoints.reach("published")
            self._out.acknowledge(deliveries)
        self._metrics.batch_inputs.observe(len(deliveries))
        now_ms = self._now_ms()
        for delivery in deliveries:
            self._metrics.hop_latency_seconds.observe(max(now_ms - delivery.timestamp_ms, 0) / 1_000)
        for record in to_publish:
            self._metrics.output(record.topic.name)

    async def _taken(self, delivery: Delivery) -> Outgoing | None:
        event: Envelope | None = None
        try:
            event = await self._intake.read(delivery)
            record = outgoing(self._codec, self._checked(event, delivery), SESSION_INPUTS)
            if record.size_bytes > RECORD_BYTES_MAX:
                raise InputInvalid(f"the input would be a record of {record.size_bytes:,} bytes")
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
            _log.exception("input_rules_raised", place=delivery.coordinates)
            refused = RecordRefused("invalid_input", f"the input cannot be checked: {error!r}", event)
        else:
            self._metrics.input(delivery.topic, "applied")
            return record
        self._metrics.input(delivery.topic, "rejected")
        self._metrics.dead_letter(refused.code)
        return self._intake.letter(delivery, refused)

    def _checked(self, event: Envelope, delivery: Delivery) -> Envelope:
        return checked_input(
            event,
            (delivery.topic, delivery.partition, delivery.offset),
            taken_at_ms=delivery.timestamp_ms,
            producer=INGRESS,
            tokenizer=self._tokenizer,
            limits=self._limits,
        )

    def _check(self, generation: int) -> None:
        if not self._owner or self._generation != generation:
            raise OwnershipLost


def build_ingress(context: ShellContext, tokenizer: Tokenizer, limits: Limits) -> FaustShell:
    """Build the ingress shell; nothing connects until its app starts."""
    app = ShellApp(context.app_settings(INGRESS, reads_all=True))
    metrics = ShellMetrics(context.metrics, INGRESS)
    shell = IngressShell(
        codec=context.codec,
        log=KafkaLog(
            app,
            topic_prefix=context.topic_prefix,
            partitions=context.partitions,
            fence=context.fence,
            on_published=context.on_published,
        ),
        tokenizer=tokenizer,
        limits=limits,
        topic_prefix=context.topic_prefix,
        metrics=metrics,
        now_ms=context.now_ms,
    )
    return FaustShell(
        app,
        shell,
        name=INGRESS,
        sources=[topic.name for topic in read_by(INGRESS)],
        topic_prefix=context.topic_prefix,
        metrics=metrics,
    )
