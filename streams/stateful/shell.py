"""The protocol of a shell with state, free of Faust: gather, decide, store, publish, acknowledge.

Per key there is ONE record: state, positions and outbox. For a batch of inputs over many keys:

1. load; an input at or below its key's position is a replay and is not applied again;
2. decide, in the order in which the inputs came;
3. put aside what cannot be applied (dead.letters, awaited), if Kafka still takes this process for the owner;
4. store what states let go of, then each changed record with the new outbox behind entries not known to be
   published, and wait;
5. publish the outbox, and wait;
6. acknowledge.

While a batch is at 3 to 6, the next one is at 1 and 2. What a batch writes is sealed before the next one
decides, and batches write one after the other; so the log looks as if each had waited for the one before.

A crash between any two of these repeats the input; the position stops a second application and the outbox
is published again, with the same event ids, so that readers drop what they have.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, Generic, TypeVar

import structlog

from processors.decider import Decider, Timer
from schemas.envelope import Fact
from schemas.frozen import replace
from schemas.wire.codec import Codec, UnknownFactError
from streams.process import failpoints
from streams.process.metrics import ShellMetrics
from streams.records.delivery import NOWHERE, Delivery, Log, Outgoing, OwnershipLost, Place
from streams.records.framing import RecordDamaged
from streams.records.intake import Intake, RecordRefused
from streams.records.known import only_known
from streams.stateful.applying import Applier
from streams.stateful.batch import Batch, Sealed
from streams.stateful.damage import refusal, tell_damage
from streams.stateful.known_inputs import KnownInputs
from streams.stateful.loaded import Loaded
from streams.stateful.loaded_keys import LoadedKeys
from streams.stateful.loading import Loader
from streams.stateful.positions import survey_of
from streams.stateful.retirement import Retirement
from streams.stateful.stored_record import NEVER
from streams.stateful.ticker import Ticker, timer_fired
from topics.catalog import BY_NAME, Topic, topic_of

State = TypeVar("State")

OUTBOX_BYTES_MAX: Final = 131_072
"""A key with more unpublished publishes it before its next input, lest its record grow too large."""
_YIELD_EVERY: Final = 50
"""After so many inputs others may run: those that send what the batch before has written."""

_log = structlog.get_logger()


class StatefulShell(Generic[State]):
    """Drives one decider; knows the partitions that it owns only through `own` and `disown`."""

    def __init__(
        self,
        decider: Decider[State],
        *,
        name: str,
        codec: Codec,
        log: Log,
        table: Mapping[bytes, bytes],
        changelog: str,
        partitions: int,
        topic_prefix: str,
        metrics: ShellMetrics,
        now_ms: Callable[[], int],
        retention_ms: int | None = None,
        topic_for: Callable[[Fact], Topic] = topic_of,
        timer_told_as: Callable[[Timer], Fact] = timer_fired,
    ) -> None:
        """Take the decider and its surroundings.

        Args:
            decider: what decides.
            name: of the shell, for dead letters and logs.
            codec: reads and writes events.
            log: what is written to.
            table: stored records by key; `log.store` changes it.
            changelog: full name of the table's topic, to name damaged records.
            partitions: of each source topic and of the changelog.
            topic_prefix: before topic names in dead letters.
            metrics: counts.
            now_ms: the clock, for dead letters, latencies and timers; a decider never sees it.
            retention_ms: how long after its end a key's state stays; None: for ever.
            topic_for: where what is caused goes to.
            timer_told_as: makes the fact that tells the decider of a timer; it goes to a source of the shell.
        """
        self.name = name
        self.decider = decider
        self.intake = Intake(
            codec, shell=name, topic_prefix=topic_prefix, is_owner=self.is_owner, now_ms=now_ms
        )
        self._codec = codec
        self._out = log
        self._table, self._changelog = table, changelog
        self._partitions = partitions
        self._metrics = metrics
        self._now_ms = now_ms
        self._retirement = Retirement(decider, log, name=name, retention_ms=retention_ms, now_ms=now_ms)
        self._generation = 0
        # Both wake whoever waits in order. A batch asks for the second before it lets go of the first, with
        # no await between, so that batches write in the order in which they decided.
        self._deciding = asyncio.Lock()
        self._writing = asyncio.Lock()
        self._owner = False
        self._loaded = LoadedKeys[State]()
        self._known = KnownInputs()
        self._applier = Applier(
            decider,
            name=name,
            codec=codec,
            intake=self.intake,
            loaded=self._loaded,
            known=self._known,
            retirement=self._retirement,
            metrics=metrics,
            topic_for=topic_for,
        )
        self._loader = Loader(decider, codec, table, partitions)
        self.ticker = Ticker(
            self, name=name, codec=codec, log=log, now_ms=now_ms, metrics=metrics, told_as=timer_told_as
        )

    async def own(
        self, positions: Mapping[Place, int], starts: Mapping[Place, int] = NOWHERE
    ) -> Collection[int]:
        """Begin to own partitions: the table is recovered, and nothing of before counts.

        Args:
            positions: where each source topic's partition ends now.
            starts: the first offset of each that is not known to be acknowledged.

        Returns:
            Partitions of which nothing may be taken in: the table does not tell who left them.

        Raises:
            ShellStopped: the table has seen more of a topic than there is.
            RecordNewer: a newer program wrote the table.
        """
        generation = self._forget()
        survey = await survey_of(self._table, self._partitions)
        if self._generation != generation:
            return ()  # revoked in the meantime
        tell_damage(survey, shell=self.name, changelog=self._changelog)
        self._known.begin(survey.inputs)
        floors = self._retirement.departures.begin(survey.departures, starts)
        for (topic, partition), offset in (*survey.applied.items(), *floors.items()):
            only_known(positions, topic, partition, offset)
        self._metrics.table_keys.set(len(self._table))
        self._metrics.quarantined_keys.set(survey.quarantined)
        self.ticker.begin(survey.due)
        self._owner = True
        return survey.stopped

    def disown(self) -> None:
        """Stop: what is on its way ends without acknowledgement at its next step."""
        self._forget()
        self._owner = False

    async def settle(self) -> None:
        """Wait until nothing is on its way."""
        await self.ticker.settle()
        async with self._deciding, self._writing:
            return

    def is_owner(self) -> bool:
        """Tell whether partitions are owned now."""
        return self._owner

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Take a batch of deliveries through the protocol.

        Raises:
            OwnershipLost: the partitions were revoked; nothing of the batch is acknowledged.
        """
        batch = Batch[State](generation=self._generation)
        async with self._deciding:
            self._check(batch.generation)
            for number, delivery in enumerate(deliveries, start=1):
                await self._take(delivery, batch)
                if number % _YIELD_EVERY == 0:
                    await asyncio.sleep(0)
            failpoints.reach("decided")
            for topic, count in batch.applied.items():
                self._metrics.input(topic, "applied", count)
            sealed = batch.seal(self._known.take_changed())
        async with self._writing:
            await self._write(sealed)
            self._out.acknowledge(deliveries)
            self._retirement.departures.applied(deliveries)
            self._observe(deliveries)
            failpoints.reach("acknowledged")

    async def load(self, key: bytes) -> Loaded[State]:
        """Return a key as it stands.

        Raises:
            OwnershipLost: the partitions were revoked in the meantime.
            RecordDamaged: its record cannot be read.
        """
        loaded = self._loaded.get(key)
        if loaded is not None:
            return loaded
        generation = self._generation
        loaded = await self._loader.load(key, with_outbox=not self._loaded.is_confirmed(key))
        self._check(generation)
        self._loaded.add(loaded)
        return loaded

    async def timers_of(self, key: bytes) -> tuple[tuple[Timer, ...], str, str]:
        """Return a key's timers, its tenant and its user; those of a quarantined or damaged key wait.

        Raises:
            OwnershipLost: the partitions were revoked in the meantime.
        """
        # A timer counts once the state that holds it is durable.
        async with self._deciding, self._writing:
            generation = self._generation
            self._check(generation)
            loaded = await self._found(key)
            self._check(generation)
            if loaded is None:
                return (), "", ""
            timers = () if loaded.stored.parked else self.decider.timers(loaded.state)
            return timers, loaded.stored.tenant_id, loaded.stored.user_id

    async def retire(self, keys: Sequence[bytes]) -> None:
        """Let those of the keys leave that ended long ago; what comes later is refused, never begun anew.

        Raises:
            OwnershipLost: the partitions were revoked in the meantime.
        """
        # Nothing is on its way while keys leave.
        async with self._deciding, self._writing:
            batch = Batch[State](generation=self._generation)
            self._check(batch.generation)
            for key in keys:
                loaded = await self._found(key)
                self._check(batch.generation)
                leaves_at_ms = NEVER if loaded is None else self._retirement.leaves_at_ms(loaded)
                if loaded is not None and NEVER != leaves_at_ms <= self._now_ms():
                    batch.touched[key] = loaded
                elif leaves_at_ms != NEVER:
                    self.ticker.note(leaves_at_ms, key)
            if not batch.touched:
                return
            await self._write(batch.seal())
            await self._retirement.write([*batch.touched.values()], partial(self._check, batch.generation))
            for key in batch.touched:
                self._loaded.forget(key)
            self._metrics.table_keys.set(len(self._table))

    async def _take(self, delivery: Delivery, batch: Batch[State]) -> None:
        try:
            event = await self.intake.read(delivery)
            if BY_NAME[delivery.topic].stamped_by_kafka:
                event = replace(event, occurred_at_ms=delivery.timestamp_ms)
            self._check(batch.generation)
            is_held = delivery.key in batch.touched or delivery.key in self._loaded
            fate = None if is_held else self._retirement.fate_of(delivery, event, self._table)
        except RecordRefused as refused:
            self._applier.put_aside(delivery, refused, batch, "rejected")
            return
        except UnknownFactError as unknown:
            # Sinks store it; a newer program that knows it is upgraded before its producers are.
            self._metrics.input(delivery.topic, "unknown_fact")
            _log.warning("unknown_fact", shell=self.name, fact=unknown.name, place=delivery.coordinates)
            return
        if fate is not None:
            self._metrics.input(delivery.topic, fate)
            return
        assert delivery.key is not None
        try:
            loaded = await self.load(delivery.key)
        except RecordDamaged as damaged:
            parked = refusal(event, delivery.key, damaged, changelog=self._changelog)
            self._applier.put_aside(delivery, parked, batch, "parked")
            return
        self._check(batch.generation)
        # Not what the batch touched before: an idle key may have been dropped from memory since.
        batch.touched[delivery.key] = loaded
        if loaded.outbox_bytes > OUTBOX_BYTES_MAX:
            await self._commit(batch)
        if loaded.stored.positions.get(delivery.topic, -1) >= delivery.offset:
            self._metrics.input(delivery.topic, "replayed")
            return
        await self._applier.apply(loaded, delivery, event, batch, partial(self._commit, batch))

    async def _found(self, key: bytes) -> Loaded[State] | None:
        """Return a key that is in the table and can be read."""
        with suppress(RecordDamaged):
            return await self.load(key) if key in self._table else None
        return None

    async def _commit(self, batch: Batch[State]) -> None:
        sealed = batch.seal(self._known.take_changed())
        async with self._writing:
            await self._write(sealed)

    async def _write(self, sealed: Sealed[State]) -> None:
        self._check(sealed.generation)
        if sealed.refused:
            # Who was replaced may know too little of a key, and would put aside what is good.
            await self._out.store(sealed.proofs(self._table))
            self._check(sealed.generation)
        # Letters first: once the record says that an input was put aside, nobody makes its letter again.
        await self._publish(sealed.letters, sealed.generation)
        await self._store(sealed)
        await self._publish([one for _, records in sealed.published for one in records], sealed.generation)
        for loaded, records in sealed.published:
            loaded.confirm(records)
        failpoints.reach("published")

    async def _store(self, sealed: Sealed[State]) -> None:
        if not sealed.stored:
            return
        if sealed.known:
            await self._out.store(sealed.known)
            self._check(sealed.generation)
            failpoints.reach("inputs_kept")
        await self._out.store([entry for _, entry, _ in sealed.stored])
        self._check(sealed.generation)
        for loaded, entry, due_at_ms in sealed.stored:
            loaded.storing -= 1
            if due_at_ms != NEVER:
                self.ticker.note(due_at_ms, entry.key)
        self._metrics.table_keys.set(len(self._table))
        failpoints.reach("stored")

    async def _publish(self, records: Sequence[Outgoing], generation: int) -> None:
        if not records:
            return
        self._metrics.outbox_records.set(len(records))
        await self._out.publish(records)
        self._metrics.outbox_records.set(0)
        self._check(generation)
        published = Counter((record.topic.name, type(record.event.body)) for record in records)
        for (topic, fact), count in published.items():
            self._metrics.output(topic, count, fact=fact)

    def _observe(self, batch: Sequence[Delivery]) -> None:
        now_ms = self._now_ms()
        self._metrics.batch_inputs.observe(len(batch))
        for delivery in batch:
            self._metrics.hop_latency_seconds.observe(max(now_ms - delivery.timestamp_ms, 0) / 1_000)

    def _check(self, generation: int) -> None:
        if not self._owner or self._generation != generation:
            raise OwnershipLost

    def _forget(self) -> int:
        self._generation += 1
        self._loaded.clear()
        self._metrics.outbox_records.set(0)
        return self._generation
