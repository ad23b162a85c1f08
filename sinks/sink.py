"""The sink: reads every topic of the truth and keeps Postgres in step, each event exactly once.

Kafka's group decides only who reads what; where to go on is what Postgres says, in the same transaction as
the rows. Whoever was left behind with partitions that are no longer its own cannot write: the offsets that it
expects have moved.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

import psycopg
import structlog
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types
from prometheus_client import CollectorRegistry

from schemas.wire.codec import Codec
from schemas.wire.registry import RegistryUnavailable
from sinks.dead_letters import DeadLetters
from sinks.errors import DatabaseUnfit, OffsetsMoved, RowRefused, is_of_the_row, is_passing, is_unfit
from sinks.fitting import ParentUnfit
from sinks.intake import SINK_ONLY_TOPICS, YIELD_RECORDS, Delivery, Taken, take
from sinks.mapping import AS_THEY_ARE, VersionOne
from sinks.metrics import SinkMetrics
from sinks.migrator import NotTheOwner, migrate
from sinks.reader import Reader
from sinks.storing import store
from sinks.work_metrics import Recorded
from sinks.writer import Slot, Writer, Written
from topics.catalog import DEAD_LETTERS, TOPICS

_log = structlog.get_logger()
_T = TypeVar("_T")
TRUTH: Final = tuple(topic.name for topic in TOPICS if topic.is_truth)
_LOOK_AGAIN_REFUSALS: Final = 100
"""After so many rows that V1's tables refuse it is seen anew whether they can be written at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkSettings:
    """What a sink is told."""

    bootstrap: str
    """Kafka's addresses, host:port, separated by commas."""
    dsn: str = field(repr=False)
    """Of Postgres; not shown, since it may hold a password."""
    topic_prefix: str = ""
    sink: str = "postgres"
    """Under this name the offsets are kept; another name begins from the start."""
    group: str = "cartrita-sink"
    """Kafka's consumer group; sinks of one group share the partitions."""
    batch_records_max: int = 2_000
    batch_wait_ms: int = 50
    """How long a batch that has begun may wait to fill."""
    retry_delay_ms: int = 250
    retry_delay_ms_max: int = 5_000
    session_timeout_ms: int = 10_000
    mapping: VersionOne = AS_THEY_ARE
    """What the owner of V1's tables says of them."""


def _pass(_step: str) -> None:
    """Take no notice of a step."""


async def run_sink(
    settings: SinkSettings,
    codec: Codec,
    stop: asyncio.Event,
    metrics: SinkMetrics | None = None,
    reach: Callable[[str], None] = _pass,
) -> None:
    """Keep Postgres in step until `stop` is set. Kafka, Postgres and the registry may come and go.

    Args:
        settings: of the sink.
        codec: reads events.
        stop: ends it.
        metrics: counts.
        reach: told of each step of the protocol as it is reached; a test may end the process there.

    Raises:
        SinkStopped: it cannot go on until a person has acted; the message says what is wrong.
    """
    await Sink(settings, codec, stop, metrics or SinkMetrics(CollectorRegistry()), reach).run()


class _Stopped(Exception):
    """`stop` was set during a wait."""


class Sink:
    """One sink in one process."""

    def __init__(
        self,
        settings: SinkSettings,
        codec: Codec,
        stop: asyncio.Event,
        metrics: SinkMetrics,
        reach: Callable[[str], None] = _pass,
    ) -> None:
        """Connect nothing yet; see `run_sink`."""
        self._reach = reach
        self._settings = settings
        self._codec = codec
        self._stop = stop
        self._metrics = metrics
        self._writer: Writer | None = None
        self._reader = Reader(
            bootstrap=settings.bootstrap,
            group=settings.group,
            topic_prefix=settings.topic_prefix,
            topics=TRUTH,
            session_timeout_ms=settings.session_timeout_ms,
        )
        self._dead_letters = DeadLetters(
            bootstrap=settings.bootstrap, topic_prefix=settings.topic_prefix, codec=codec
        )
        self._positions: dict[Slot, int] = {}
        """By partition that is ours, the offset that Postgres expects next."""
        self._refusals = 0
        """Of rows by V1's tables."""
        self._storing: asyncio.Task[None] | None = None
        """The batch that is being written while the next one is fetched and decoded."""

    async def run(self) -> None:
        """Run until `stop` is set; see `run_sink`."""
        stopping = asyncio.create_task(self._stir_at_the_end())
        try:
            await self._on_kafka(self._reader.start)
            await self._on_postgres(_nothing)
            while not self._stop.is_set():
                await self._round()
            await self._stored()
        except _Stopped:
            pass
        finally:
            stopping.cancel()
            if self._storing is not None:
                self._storing.cancel()
            await asyncio.gather(stopping, *filter(None, (self._storing,)), return_exceptions=True)
            await self._reader.stop()
            await self._dead_letters.stop()
            if self._writer is not None:
                await self._writer.close()
            _log.info("sink_stopped", sink=self._settings.sink)

    async def _stir_at_the_end(self) -> None:
        await self._stop.wait()
        self._reader.stir()

    async def _round(self) -> None:
        if self._reader.moved:
            await self._stored()
            await self._locate()
        fetch = partial(
            self._reader.fetch,
            records_max=self._settings.batch_records_max,
            wait_ms=self._settings.batch_wait_ms,
        )
        deliveries = await self._on_kafka(fetch)
        batch = await self._taken(deliveries)
        await self._stored()
        # What was fetched before the newest assignment may not be ours, or may leave out what came before it.
        if self._reader.moved or not batch:
            return
        self._reach("sink_fetched")
        self._storing = asyncio.create_task(self._store(batch))

    async def _taken(self, deliveries: Sequence[Delivery]) -> list[Taken]:
        batch: list[Taken] = []
        for number, delivery in enumerate(deliveries):
            position = self._positions.get((delivery.place.topic, delivery.place.partition))
            if position is not None and delivery.place.offset >= position:
                try:
                    batch.append(await take(delivery, self._codec))
                except RegistryUnavailable:
                    batch.append(await self._on_registry(partial(take, delivery, self._codec)))
            if number % YIELD_RECORDS == 0:
                await asyncio.sleep(0)
        return batch

    async def _stored(self) -> None:
        """Wait until the batch that is being written is."""
        storing, self._storing = self._storing, None
        if storing is not None:
            await storing

    async def _store(self, batch: Sequence[Taken]) -> None:
        try:
            for taken in batch:
                if taken.refusal is not None:
                    await self._put_aside(taken)
            await store(batch, self._write, self._put_aside)
        except OffsetsMoved as error:
            self._metrics.retries.labels("offsets_moved").inc()
            _log.warning("sink_offsets_moved", sink=self._settings.sink, detail=str(error))
            self._reader.relocate()
        self._report_lag()

    async def _locate(self) -> None:
        self._positions.clear()
        located = await self._on_kafka(self._reader.locate)
        positions = await self._on_postgres(lambda writer: writer.positions(located.topic_ids))
        self._reader.seek(located, positions)
        self._positions = {slot: position.next_offset for slot, position in positions.items()}
        _log.info("sink_located", sink=self._settings.sink, partitions=len(positions))

    async def _write(self, part: Sequence[Taken]) -> None:
        began_s = time.monotonic()
        projected = [taken.projected for taken in part]
        written = await self._on_postgres(
            lambda writer: writer.write(
                projected, self._positions, before_commit=lambda: self._reach("sink_written")
            )
        )
        self._reach("sink_committed")
        for taken in part:
            place = taken.delivery.place
            self._positions[place.topic, place.partition] = place.offset + 1
        self._metrics.batch_seconds.observe(time.monotonic() - began_s)
        self._count(part, written)

    def _count(self, part: Sequence[Taken], written: Written) -> None:
        self._metrics.batch_records.observe(len(part))
        oldest_ms = min(taken.delivery.place.timestamp_ms for taken in part)
        self._metrics.latency_seconds.observe(max(0.0, time.time() - oldest_ms / 1_000))
        outcomes = [_outcome(taken, written) for taken in part]
        places = [taken.delivery.place for taken in part]
        for (topic, outcome), number in Counter(
            (place.topic, outcome) for place, outcome in zip(places, outcomes, strict=True)
        ).items():
            self._metrics.events.labels(topic, outcome).inc(number)
        fresh = [
            Recorded(taken.projected.log, place.timestamp_ms)
            for taken, place, outcome in zip(part, places, outcomes, strict=True)
            if taken.projected.log is not None and outcome == "applied"
        ]
        self._metrics.work.count(fresh, int(time.time() * 1_000))
        for table, rows in written.rows.items():
            self._metrics.rows.labels(table).inc(rows)
        for conflict in written.conflicts:
            self._metrics.sequence_conflicts.inc()
            _log.error(
                "session_sequence_conflict",
                session_id=conflict.session_id,
                sequence=conflict.sequence,
                events=conflict.events,
            )

    async def _put_aside(self, taken: Taken) -> None:
        place, refusal = taken.delivery.place, taken.refusal
        assert refusal is not None
        self._metrics.dead_letters.labels(place.topic, refusal.code).inc()
        _log.warning(
            "sink_record_put_aside",
            topic=place.topic,
            partition=place.partition,
            offset=place.offset,
            code=refusal.code,
            reason=refusal.reason,
        )
        ours = place.topic in SINK_ONLY_TOPICS or refusal.code in ("row_refused", "not_projectable")
        # A dead letter about a dead letter would hold it, be refused for the same, and so on for ever.
        if ours and place.topic != DEAD_LETTERS.name:
            await self._on_kafka(partial(self._dead_letters.put, taken.delivery, refusal))

    def _report_lag(self) -> None:
        for slot, end in self._reader.ends().items():
            if slot in self._positions:
                lag = max(0, end - self._positions[slot])
                self._metrics.lag_records.labels(slot[0], str(slot[1])).set(lag)

    async def _on_kafka(self, call: Callable[[], Awaitable[_T]]) -> _T:
        delay_ms = self._settings.retry_delay_ms
        while True:
            try:
                return await call()
            except KafkaError as error:
                delay_ms = await self._pause("kafka", error, delay_ms)

    async def _on_registry(self, call: Callable[[], Awaitable[_T]]) -> _T:
        delay_ms = self._settings.retry_delay_ms
        while True:
            try:
                return await call()
            except RegistryUnavailable as error:
                delay_ms = await self._pause("registry", error, delay_ms)

    async def _on_postgres(self, call: Callable[[Writer], Awaitable[_T]]) -> _T:
        delay_ms = self._settings.retry_delay_ms
        while True:
            try:
                if self._writer is None:
                    self._writer = await self._connected()
                return await call(self._writer)
            except RowRefused as error:
                self._refusals += 1
                if not error.of_v1 or self._refusals % _LOOK_AGAIN_REFUSALS != 1:
                    raise
                # Somebody may have changed V1's table: a new connection finds out whether it takes any row.
                await self._disconnect()
            except psycopg.Error as error:
                if is_of_the_row(error):
                    raise RowRefused(str(error).strip()) from error
                if is_unfit(error) or not is_passing(error):
                    raise DatabaseUnfit(f"Postgres refuses: {str(error).strip()}") from error
                # A new connection in any case: its staging tables are empty, whatever became of the old one.
                # Should the old one have committed after all, the offsets have moved, which is noticed.
                await self._disconnect()
                delay_ms = await self._pause("postgres", error, delay_ms)

    async def _connected(self) -> Writer:
        connect = partial(
            Writer.connect, self._settings.dsn, self._settings.sink, mapping=self._settings.mapping
        )
        # V1's tables may have been changed under V2's, which get their own then.
        try:
            writer = await connect()
        except ParentUnfit as unfit:
            if (fault := await self._separate(str(unfit))) is not None:
                raise DatabaseUnfit(f"{unfit}; {fault}") from unfit
            writer = await connect()
        if lacking := writer.fitted.lacking:
            await writer.close()
            await self._separate(
                f"V2 has no {' and no '.join(lacking)} of its own, and V1's cannot be written"
            )
            writer = await connect()
        _log.info("sink_connected", sink=self._settings.sink, tables=list(writer.fitted.names))
        for table, obstacles in writer.fitted.left_alone.items():
            for one in obstacles:
                _log.warning("sink_table_left_alone", table=table, reason=str(one), remedy=one.remedy)
        return writer

    async def _separate(self, reason: str) -> NotTheOwner | None:
        """Give V2 tables of its own beside V1's; returns why it cannot have them."""
        _log.warning("sink_separating_from_v1", sink=self._settings.sink, reason=reason)
        connection = await psycopg.AsyncConnection.connect(self._settings.dsn, autocommit=True)
        async with connection:
            try:
                await migrate(connection, mapping=self._settings.mapping)
            except NotTheOwner as error:
                _log.warning("sink_cannot_separate", sink=self._settings.sink, reason=str(error))
                return error
        return None

    async def _disconnect(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            await writer.close()

    async def _pause(self, reason: str, error: Exception, delay_ms: int) -> int:
        """Wait before another try, and return how long to wait after the next."""
        self._metrics.retries.labels(reason).inc()
        text = str(error).strip().split("\n")[0] or type(error).__name__
        _log.warning(f"{reason}_unavailable", sink=self._settings.sink, reason=text, retry_ms=delay_ms)
        try:
            await asyncio.wait_for(self._stop.wait(), delay_ms / 1_000)
        except TimeoutError:
            return min(2 * delay_ms, self._settings.retry_delay_ms_max)
        raise _Stopped


def _outcome(taken: Taken, written: Written) -> str:
    place = taken.delivery.place
    if taken.projected.log is None:
        return "put_aside"
    if (place.topic, place.partition, place.offset) not in written.fresh:
        return "repeated"
    return "applied" if taken.refusal is None or taken.projected.leaves_out else "not_applied"


async def _nothing(_writer: Writer) -> None:
    """Only connect."""
