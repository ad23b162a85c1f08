"""One life of one shell's process: every await on the outside is a gate that the scheduler opens."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final, Generic, TypeVar, cast

from processors.accounts import AccountDecider
from processors.decider import Decider, Step, Timer
from processors.restraints import Restraints
from processors.schedules.decider import ScheduleDecider
from processors.session import SessionDecider
from schemas.configuration import Configuration
from schemas.envelope import Envelope
from schemas.events.inputs import ImportedText, SessionForked, SessionImported
from schemas.ids import derived_id
from schemas.references import RecordReference
from streams.effects.recall import OnTheLog
from streams.effects.shell import EffectShell
from streams.process.ending import ExitCode, ShellStopped
from streams.records.delivery import Delivery, Entry, Log, Outgoing, OwnershipLost
from streams.records.floors import FloorsFound
from streams.shells.fork import ForkShell
from streams.shells.forwarding import ForwardingShell
from streams.shells.ingress import CALENDAR, IngressShell
from streams.shells.pasts import told_before
from streams.shells.stateful import ACCOUNT_SPEC, SCHEDULE_SPEC, SESSION_SPEC
from streams.stateful.shell import StatefulShell
from streams.stateful.stored_record import StoredRecord
from tests.simulation.broker import PARTITIONS, Applied, Broker, Place
from tests.simulation.forks import folded
from tests.simulation.loop import VirtualLoop
from tests.simulation.provider import Provider, ProviderExecutor
from tests.simulation.users import STRANGER
from tests.streams.twin import CODEC, Crash, metrics
from topics.catalog import (
    read_by,
)
from topics.shells import ACCOUNT, FORK, INGRESS, MODEL, SCHEDULE, SESSION, TOOL

SOURCES: Final[Mapping[str, tuple[str, ...]]] = {
    shell: tuple(topic.name for topic in read_by(shell))
    for shell in (INGRESS, FORK, SESSION, ACCOUNT, MODEL, TOOL, SCHEDULE)
}
PLACES: Final = 3
"""Calls that an effect shell runs at once."""
_SPECS: Final = {SESSION: SESSION_SPEC, ACCOUNT: ACCOUNT_SPEC, SCHEDULE: SCHEDULE_SPEC}
_METRICS: Final = {name: metrics(name) for name in SOURCES}

State = TypeVar("State")
Shell = ForwardingShell | EffectShell | StatefulShell[object]


@dataclass(slots=True, kw_only=True, eq=False)
class Gate:
    """A place at which a process waits for the outside."""

    kind: str
    future: "asyncio.Future[object]"


@dataclass(slots=True, kw_only=True)
class Kinds:
    """The classes of which processes are made; mutants replace one."""

    stateful: type[StatefulShell[object]] = StatefulShell
    fenced: bool = True


class Life:
    """A process from its start to its end."""

    def __init__(
        self,
        name: str,
        *,
        broker: Broker,
        loop: VirtualLoop,
        random: Random,
        provider: Provider,
        configuration: Configuration,
        kinds: Kinds,
        reach: Callable[[str], None],
    ) -> None:
        """Build the shell; `reach` is told of each place that may end the process."""
        self.name = name
        self.broker = broker
        self.dead = False
        self.zombie = False
        self.gates: list[Gate] = []
        self.paused_until = 0
        self.held_until: dict[Place, int] = {}
        self.crash_in = 0
        """After so many failpoints more it ends; 0: it does not."""
        self.batches: list[asyncio.Task[None]] = []
        """Under way, oldest first."""
        self.tick: asyncio.Task[None] | None = None
        self.errors: list[BaseException] = []
        self.read: dict[Place, int] = {}
        self.places = broker.places(name)
        self.restraints = Restraints()
        self.restraints_read = 0
        # Before anything runs, and no group tells how far it was read.
        for event in broker.restraints if name == TOOL else ():
            self.restraints.apply(event)
            self.restraints_read += 1
        self._loop = loop
        self.log = GatedLog(self, loop, random, reach, fenced=kinds.fenced)
        self.shell = self._shell(provider, configuration, kinds)

    @property
    def where(self) -> str:
        """Name the place at which the process stands."""
        return f"{self.name}.{self.gates[0].kind if self.gates else 'idle'}"

    def own(self) -> None:
        """Recover the table and begin where the group has committed."""
        self.log.table.clear()
        self.log.table.update(self.broker.tables.get(self.name, {}))
        self.log.pending.clear()
        self.read = {place: self.broker.committed.get((self.name, place), 0) for place in self.places}
        owning = self._loop.start(self.shell.own(self.broker.ends(), self.read))
        self._loop.drain()
        self.take(owning)

    def heed(self) -> bool:
        """Read the next restraint of tools; false: there is none."""
        if self.name != TOOL or self.restraints_read == len(self.broker.restraints):
            return False
        event = self.broker.restraints[self.restraints_read]
        self.restraints_read += 1
        if self.restraints.apply(event):
            self._loop.start(self._restrain())
        return True

    async def _restrain(self) -> None:
        assert isinstance(self.shell, EffectShell)
        self.shell.restrain()

    def begin(self, deliveries: Sequence[Delivery]) -> None:
        """Give the shell a batch."""
        self.batches.append(self._loop.start(self.shell.process(deliveries)))

    def fire(self) -> None:
        """Let the ticker look at the clock."""
        assert isinstance(self.shell, StatefulShell)
        self.tick = self._loop.start(self.shell.ticker.fire_due())

    def timer_at_ms(self) -> int | None:
        """Return when the ticker has something to do."""
        if not isinstance(self.shell, StatefulShell) or not self.shell.ticker._heap:
            return None
        return self.shell.ticker._heap[0][0]

    def kill(self) -> None:
        """End without another byte written."""
        self.dead = True
        tasks = {*self.batches, *([self.tick] if self.tick is not None else [])}
        if isinstance(self.shell, EffectShell):
            tasks |= self.shell._tasks
        for task in tasks:
            task.cancel()
        self._loop.drain()
        for task in tasks:
            if task.done() and not task.cancelled():
                task.exception()
        self.gates.clear()

    async def gate(self, kind: str) -> None:
        """Wait until the scheduler lets the process go on."""
        if self.dead:
            raise Crash
        gate = Gate(kind=kind, future=self._loop.create_future())
        self.gates.append(gate)
        try:
            await gate.future
        finally:
            if gate in self.gates:
                self.gates.remove(gate)
        if self.dead:
            raise Crash

    def collect(self) -> None:
        """Take note of batches that have ended."""
        for batch in [batch for batch in self.batches if batch.done()]:
            self.take(batch)
            self.batches.remove(batch)
        if self.tick is not None and self.tick.done():
            self.take(self.tick)
            self.tick = None

    def take(self, task: "asyncio.Task[object] | asyncio.Task[None]") -> None:
        """Keep what ended a task, unless it ended well."""
        if not task.done() or task.cancelled():
            return
        error = task.exception()
        if error is not None and not isinstance(error, OwnershipLost):
            self.errors.append(error)

    def _shell(self, provider: Provider, configuration: Configuration, kinds: Kinds) -> Shell:
        log: Log = self.log
        if self.name == "ingress":
            return IngressShell(
                codec=CODEC,
                log=log,
                floors=self._floors,
                tokenizer=len,
                limits=configuration.limits,
                policy=configuration.policy,
                topic_prefix="",
                metrics=_METRICS["ingress"],
                now_ms=self._now_ms,
                pasts=_CameOver(),
            )
        if self.name == "fork":

            async def fold(wanted: Envelope) -> SessionForked:
                await self.gate("fold")
                return await folded(wanted)

            return ForkShell(
                fold,
                codec=CODEC,
                log=log,
                floors=self._floors,
                topic_prefix="",
                metrics=_METRICS["fork"],
                now_ms=self._now_ms,
            )
        if self.name in _SPECS:
            return kinds.stateful(
                self._decider(configuration),
                name=self.name,
                codec=CODEC,
                log=log,
                table=self.log.table,
                changelog="changelog",
                partitions=PARTITIONS,
                topic_prefix="",
                metrics=_METRICS[self.name],
                now_ms=self._now_ms,
                retention_ms=configuration.limits.session_retention_ms if self.name != ACCOUNT else None,
                topic_for=_SPECS[self.name].topic_for,
                timer_told_as=_SPECS[self.name].timer_told_as,
            )

        async def wait() -> None:
            await self.gate("run")

        return EffectShell(
            ProviderExecutor(provider, wait=wait, now_ms=self._now_ms, stop_of=self.restraints.stop_of),
            name=self.name,
            source=SOURCES[self.name][0],
            codec=CODEC,
            log=log,
            table=self.log.table,
            changelog="changelog",
            topic_prefix="",
            metrics=_METRICS[self.name],
            now_ms=self._now_ms,
            owner="me",
            places=PLACES,
            calls=_NothingDamaged(),
            fatal=lambda error, _: self.errors.append(error),
        )

    def _decider(self, configuration: Configuration) -> Decider[object]:
        decider: object = AccountDecider(configuration)
        if self.name == SESSION:
            decider = Recording(SessionDecider(configuration), self.log.pending)
        elif self.name == SCHEDULE:
            decider = ScheduleDecider(CALENDAR)
        # Each decider meets only states of its own making.
        return cast("Decider[object]", decider)

    async def _floors(self) -> FloorsFound:
        """Read the floors as Kafka has them."""
        ids = dict.fromkeys(SOURCES[self.name], "1")
        return FloorsFound(records=self.broker.tables.get(self.name, {}), topic_ids=ids)

    def _now_ms(self) -> int:
        return self._loop.now_ms


class _CameOver:
    """One session in four came over from V1."""

    async def past_of(self, message: Envelope) -> Envelope | None:
        if message.session_id[-1] not in "048c" or message.user_id == STRANGER:
            return None
        earlier = derived_id(message.session_id, "earlier")
        text = ImportedText(role="user", partition=0, offset=1, event_id=earlier, tokens=40, characters=160)
        return told_before(
            message, SessionImported(origin="old", messages=3, told=(text,)), caused_by=earlier
        )


class _NothingDamaged:
    """No table is damaged here."""

    async def find(self, partition: int, call_ids: Collection[str]) -> OnTheLog:
        raise AssertionError(f"{call_ids} on {partition} were lost")


class GatedLog:
    """The log of one process: each record that it writes is a step, in an order that Kafka allows."""

    def __init__(
        self, life: Life, loop: VirtualLoop, random: Random, reach: Callable[[str], None], *, fenced: bool
    ) -> None:
        """Take the process and what decides for it."""
        self._life = life
        self._loop = loop
        self._random = random
        self._reach = reach
        self._fenced = fenced
        self.table: dict[bytes, bytes] = {}
        self.pending: dict[bytes, list[Applied]] = {}
        """By key, what was applied since its last record."""

    async def store(self, entries: Sequence[Entry]) -> None:
        """Write to the changelog, where the broker refuses who was replaced."""
        life, broker = self._life, self._life.broker
        for entry in entries:
            await life.gate("store")
            if self._fenced and broker.owners[life.name] is not life:
                raise ShellStopped(ExitCode.REFUSED, "the changelog is another's now")
            broker.change(life.name, entry)
            self._note_applied(entry)
        await life.gate("stored")
        for entry in entries:
            if entry.value is None:
                self.table.pop(entry.key, None)
            else:
                self.table[entry.key] = entry.value

    def _note_applied(self, entry: Entry) -> None:
        if entry.value is None or entry.key not in self.pending:
            return
        # The next batch may have decided already; what it applied is not in this record.
        positions = StoredRecord.decode(entry.value).positions
        held: list[Applied] = []
        for event, source in self.pending.pop(entry.key):
            if source.offset <= positions.get(source.topic, -1):
                self._life.broker.applied.setdefault(entry.key, []).append((event, source))
            else:
                held.append((event, source))
        if held:
            self.pending[entry.key] = held

    async def publish(self, records: Sequence[Outgoing]) -> None:
        """Write records: in order within a topic, in any order between topics."""
        by_topic: dict[str, list[Outgoing]] = {}
        for record in records:
            by_topic.setdefault(record.topic.name, []).append(record)
        waiting = [list(reversed(of_topic)) for of_topic in by_topic.values()]
        while waiting:
            await self._life.gate("publish")
            index = self._random.randrange(len(waiting))
            self._life.broker.write(waiting[index].pop(), self._loop.now_ms)
            if not waiting[index]:
                del waiting[index]
        if records:
            await self._life.gate("published")

    def acknowledge(self, deliveries: Sequence[Delivery]) -> None:
        """Commit; the group does not hear who was replaced."""
        self._reach("acknowledge")
        life = self._life
        if life.dead or life.broker.owners[life.name] is not life:
            return
        for delivery in deliveries:
            life.broker.committed[life.name, (delivery.topic, delivery.partition)] = delivery.offset + 1


class Recording(Generic[State]):
    """The session decider, which also keeps what it applied until that is stored."""

    def __init__(self, decider: Decider[State], pending: dict[bytes, list[Applied]]) -> None:
        """Take the decider, and where to keep it."""
        self._decider = decider
        self._pending = pending
        self.initial = decider.initial
        self.mark = decider.mark
        self.ended_at_ms = decider.ended_at_ms
        self.encode = decider.encode
        self.decode = decider.decode

    def advance(self, state: State, event: Envelope, source: RecordReference) -> Step[State]:
        """Decide, and keep the input."""
        step = self._decider.advance(state, event, source)
        self._pending.setdefault(event.session_id.encode(), []).append((event, source))
        return step

    def timers(self, state: State) -> tuple[Timer, ...]:
        """Return the timers."""
        return self._decider.timers(state)
