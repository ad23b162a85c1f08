"""One simulated life of the whole pipeline: a seed decides every step and every fault."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Final
from unittest.mock import patch

from processors import repeats
from processors.approvals.statements import key_id, public_key_of
from processors.objections import EVERY_TENANT
from schemas.envelope import Envelope
from schemas.events.client_calls import ClientCallReceived
from schemas.events.inputs import ApprovalEdited, ApprovalReceived, OutcomeTold
from schemas.events.outputs import ApprovalRequested, OutcomeAsked
from schemas.events.restraints import RestraintAct
from schemas.events.schedules import FiringSeen, ScheduleAct
from schemas.ids import derived_id
from streams.engine.faust_shell import BATCHES_MAX
from streams.process import failpoints
from streams.process.ending import ExitCode, ShellStopped
from streams.records.delivery import Delivery, outgoing
from tests.approving import decision, edit, private_key
from tests.invariants.reservations import CALLS
from tests.processors.world import configuration
from tests.simulation.broker import PARTITIONS, Broker, Place
from tests.simulation.coverage import FAULTS, Outcome
from tests.simulation.invariants import Violated, check, demand, distinct_of
from tests.simulation.life import SOURCES, Gate, Kinds, Life
from tests.simulation.loop import VirtualLoop
from tests.simulation.provider import Provider, forged_outcome
from tests.simulation.schedules import Schedules, check_schedules, has_schedules
from tests.simulation.users import REPEATER, START_MS, STRANGER, Act, Scenario, acts_of, limits_of
from tests.streams.twin import CODEC, Crash
from topics.catalog import CLIENT_CALLS, FORK_REQUESTS, OPERATOR_INPUTS, SESSION_INPUTS, USER_INPUTS, Topic
from topics.shells import SCHEDULE, TOOL

OPERATOR: Final = EVERY_TENANT
APPROVER: Final = "olga"
FORGER: Final = "mallory"
FORGED_KEY: Final = key_id(public_key_of(private_key(FORGER)))
REST_STEPS_MAX: Final = 60_000
"""Without faults, everything comes to rest in fewer steps than this."""
_BATCH_MAX: Final = 6
TRACE_MAX: Final = 100_000


class Simulation:
    """Five shells, one broker, one provider, some users, and one seeded scheduler."""

    def __init__(
        self,
        seed: int,
        *,
        kinds: Kinds | None = None,
        scenario: Scenario | None = None,
        traced: bool = False,
    ) -> None:
        """Draw all that is fixed for this life, but for what the scenario says."""
        self.outcome = Outcome(seed=seed)
        self.trace: deque[str] = deque(maxlen=TRACE_MAX)
        self._traced = traced
        self._random = random = Random(seed)
        self._kinds = kinds or Kinds()
        self._loop = VirtualLoop(START_MS)  # type: ignore[abstract]  # it has no outside, so no sockets
        self._configuration = configuration(limits_of(random, seed))
        self._provider = Provider(seed=seed, moody=random.choice((0.0, 0.1, 0.3)))
        self._fault_rate = random.choice((0.005, 0.02, 0.06))
        self._faulty_steps = random.randint(100, 2_000)
        self._broker = Broker(sources=SOURCES)
        self._lives: list[Life] = []
        self._restarts: dict[str, int] = {}
        """By shell that does not run, at which step it starts again."""
        self._clock = 0
        """Counts up while steps are taken and while everybody is held up; pauses end by it."""
        self._current: Life | None = None
        self._acts = acts_of(random, seed)
        if scenario is not None:
            self._configuration = configuration(scenario.limits)
            self._provider.plan = scenario.plan
            self._acts = deque(scenario.acts)
        self._sent: dict[str, str] = {}
        self._inputs: list[tuple[Envelope, Topic]] = []
        self._approvals_seen = 0
        self._approvals: list[ApprovalRequested | OutcomeAsked] = []
        self._schedules = Schedules(seed) if scenario is None and has_schedules(seed) else None
        if self._schedules is not None:
            self._acts.extend(self._schedules.acts)
        for name in SOURCES:
            if name != SCHEDULE or self._schedules is not None:
                self._start(name)

    @property
    def published(self) -> Sequence[Envelope]:
        """Return everything that was written, repeats included."""
        return self._broker.published

    @property
    def provider(self) -> Provider:
        """Return who has books of its own."""
        return self._provider

    def run(self) -> Outcome:
        """Take the steps with faults, then those without, and check; a violation is kept in the outcome."""
        with _hooked(self._reach), _few_known(self.outcome.seed):
            try:
                while self.outcome.steps < self._faulty_steps and self._clock < 3 * self._faulty_steps:
                    self._step()
                self._rest()
                self._read_again()
                if self._schedules is not None:
                    self._sent |= self._schedules.begun
                check(self._broker, self._configuration, self._provider, self._sent)
                if self._schedules is not None:
                    demand(check_schedules(distinct_of(self._broker.published), self._schedules.wanted))
            except Violated as violated:
                self.outcome.violation = str(violated)
        self.outcome.events = len(self._broker.published)
        return self.outcome

    def _step(self) -> None:
        self._clock += 1
        lot = self._random.random()
        if lot < self._fault_rate:
            self.outcome.steps += 1
            self._fault()
            return
        if lot < self._fault_rate + 0.02:
            if not self._act():
                self._pass(self._random.randrange(1, 50))
        elif not self._work() and not self._act() and not self._pass_to_next():
            return
        self.outcome.steps += 1

    def _rest(self) -> None:
        for life in list(self._lives):
            life.paused_until = life.crash_in = 0
            life.held_until.clear()
            if life.zombie:
                self._end(life)
        for name in list(self._restarts):
            self._start(name)
        until = self.outcome.steps + REST_STEPS_MAX
        while self._work() or self._act() or self._pass_to_next():
            self.outcome.steps += 1
            self._clock += 1
            if self.outcome.steps > until:
                raise Violated(f"nothing comes to rest in {REST_STEPS_MAX:,} steps without a fault")

    def _read_again(self) -> None:
        """Set the groups back to the beginning of what enters: nothing of it is news."""
        before = self._taken_in()
        for name in ("ingress", "fork"):
            (life,) = (life for life in self._lives if life.name == name)
            self._stop(life)
            for place in life.places:
                self._broker.committed[name, place] = 0
            life.own()
            self._look_after(life)
        self._rest()
        if self._taken_in() != before:
            raise Violated(f"{self._taken_in() - before} inputs were taken in again after a reset")

    def _taken_in(self) -> int:
        """Count what was written behind the entrances."""
        taken = (SESSION_INPUTS.name, FORK_REQUESTS.name)
        return sum(len(records) for (topic, _), records in self._broker.records.items() if topic in taken)

    # Ordinary steps.

    def _work(self) -> bool:
        """Let one process that can move do so."""
        if self._restarts:
            for name, at in list(self._restarts.items()):
                if at <= self._clock:
                    self._start(name)
                    return True
        first = self._random.randrange(len(self._lives)) if self._lives else 0
        return any(self._move(life) for life in (*self._lives[first:], *self._lives[:first]))

    def _move(self, life: Life) -> bool:
        if life.paused_until > self._clock:
            return False
        chances: list[Gate | str] = [*life.gates, "batch", "tick"]
        if life.restraints_read < len(self._broker.restraints) and life.name == TOOL:
            chances.append("restraint")
        first = self._random.randrange(len(chances))
        return any(self._go(life, chance) for chance in (*chances[first:], *chances[:first]))

    def _go(self, life: Life, chance: Gate | str) -> bool:
        if isinstance(chance, Gate):
            self._note(life, chance.kind)
            life.gates.remove(chance)
            if not chance.future.done():
                chance.future.set_result(None)
        elif chance == "restraint":
            self._note(life, "reads a restraint")
            life.heed()
        elif chance == "batch":
            deliveries = self._fetch(life) if len(life.batches) < BATCHES_MAX else []
            if not deliveries:
                return False
            self._note(life, "takes", *(delivery.coordinates for delivery in deliveries))
            life.begin(deliveries)
        else:
            due_at_ms = life.timer_at_ms()
            if life.tick is not None or due_at_ms is None or due_at_ms > self._loop.now_ms:
                return False
            self._note(life, "looks at its timers")
            life.fire()
        self._drain(life)
        return True

    def _fetch(self, life: Life) -> list[Delivery]:
        """Take a few records: each partition in order, mixed as Kafka may mix them."""
        records = self._broker.records
        now = self._clock
        left: list[Place] = [
            place
            for place in life.places
            if life.read[place] < len(records[place]) and life.held_until.get(place, 0) <= now
        ]
        if not left:
            return []
        taken = []
        for _ in range(self._random.randint(1, _BATCH_MAX)):
            if not left:
                break
            place = self._random.choice(left)
            taken.append(records[place][life.read[place]])
            life.read[place] += 1
            if life.read[place] >= len(records[place]):
                left.remove(place)
        return taken

    def _act(self) -> bool:
        """Let a user do something."""
        for event in self._broker.published[self._approvals_seen :]:
            if isinstance(event.body, ApprovalRequested | OutcomeAsked):
                self._approvals.append(event.body)
                self._acts.append(Act(event.session_id, None, OPERATOR))
        self._approvals_seen = len(self._broker.published)
        if self._schedules is not None:
            self._acts.extend(self._schedules.look(self._broker.published))
        if not self._acts:
            return False
        session_id, body, who = self._acts.popleft()
        if who == STRANGER and body is None:
            return self._forge()
        if who == REPEATER:
            return self._repeat()
        topic = _entrance(body)
        if body is None:
            topic = OPERATOR_INPUTS
            asked = self._approvals.pop(0)
            if isinstance(asked, ApprovalRequested):
                body = self._decision(asked)
            else:
                body = OutcomeTold(call_id=asked.call_id, carried_out=self._random.random() < 0.7)
        number = len(self._inputs)
        event_id = derived_id("simulated", str(self.outcome.seed), str(number))
        event = Envelope(
            event_id=event_id,
            type=type(body).__name__,
            session_id=session_id,
            tenant_id=who,
            user_id=APPROVER if who == OPERATOR else who,
            body=body,
        )
        if isinstance(body, FiringSeen):
            return self._see(session_id, body)
        if (
            session_id
            and not isinstance(body, ScheduleAct)
            and not (isinstance(body, ApprovalReceived) and body.key == FORGED_KEY)
        ):
            # What nobody signed who may ends where it enters.
            self._sent[event_id] = session_id
        self._inputs.append((event, topic))
        self._send(event, topic)
        self._note(None, f"{who} sends {event.type}")
        return True

    def _see(self, schedule_id: str, body: FiringSeen) -> bool:
        """Let whoever watches the log tell a schedule what became of something."""
        event = Envelope(
            event_id=derived_id(body.firing_id, "seen"),
            type=type(body).__name__,
            session_id=schedule_id,
            occurred_at_ms=self._loop.now_ms,
            body=body,
        )
        self._broker.write(outgoing(CODEC, event), self._loop.now_ms)
        self._note(None, f"{schedule_id} is told that {body.firing_id} is {body.outcome}")
        return True

    def _send(self, event: Envelope, topic: Topic) -> None:
        if topic is CLIENT_CALLS:
            # Gateways alone write it, as the shells write theirs.
            self._broker.write(outgoing(CODEC, event), self._loop.now_ms)
        else:
            # Producers use any partitioner.
            self._broker.send(event, topic, self._random.randrange(PARTITIONS), self._loop.now_ms)

    def _decision(self, asked: ApprovalRequested) -> ApprovalReceived | ApprovalEdited:
        """Let an approver approve, refuse or edit; now and then with a signature that is not theirs."""
        chance = self._random.random()
        if chance < 0.15:
            return edit(asked, json.dumps({"edited": self._random.randrange(9)}), by=APPROVER)
        by = FORGER if chance < 0.25 else APPROVER
        return decision(asked, approved=self._random.random() < 0.7, by=by, named=APPROVER)

    def _repeat(self) -> bool:
        """Let a producer send an input again, under the same id and on any partition."""
        if self._inputs:
            event, topic = self._random.choice(self._inputs)
            self._send(event, topic)
            self._note(None, f"{event.tenant_id} sends {event.type} again")
        return True

    def _forge(self) -> bool:
        """Let a stranger tell the outcome of a call: of any, for nothing or for far too much."""
        calls = [event for event in self._broker.published if isinstance(event.body, CALLS)]
        if not calls:
            return True
        call = self._random.choice(calls)
        number = sum(event.producer == STRANGER for event in self._broker.published)
        body = forged_outcome(self._random, call.body)
        event = Envelope(
            event_id=derived_id("simulated", str(self.outcome.seed), "forged", str(number)),
            type=type(body).__name__,
            session_id=call.session_id,
            causation_id=call.event_id,
            producer=STRANGER,
            occurred_at_ms=self._loop.now_ms,
            body=body,
        )
        self._broker.write(outgoing(CODEC, event), self._loop.now_ms)
        self._note(None, f"{STRANGER} tells {event.type}")
        return True

    def _pass_to_next(self) -> bool:
        """Let time pass to the next timer; false when nothing waits for any."""
        if self._restarts or any(life.paused_until > self._clock for life in self._lives):
            return False
        if any(at > self._clock for life in self._lives for at in life.held_until.values()):
            return False
        timers = [timer for life in self._lives if (timer := life.timer_at_ms()) is not None]
        if (timeout := self._loop.next_timer_ms()) is not None:
            timers.append(timeout)
        later = [timer for timer in timers if timer > self._loop.now_ms]
        if not later:
            return False
        self._pass(min(later) - self._loop.now_ms)
        return True

    def _pass(self, duration_ms: int) -> None:
        self._note(None, f"{duration_ms} ms pass")
        self._loop.now_ms += duration_ms
        self._drain(None)

    # Faults.

    def _fault(self) -> None:
        if not self._lives:
            return
        # Who waits in the middle of something is hit more often than who is idle.
        busy = [life for life in self._lives if life.gates]
        busy += 4 * [life for life in busy if life.name in ("account", "tool")]
        life = self._random.choice(busy if busy and self._random.random() < 0.8 else self._lives)
        fault = self._random.choice(FAULTS)
        kind = self._random.choice(life.gates).kind if life.gates else "idle"
        self.outcome.pairs[f"{life.name}.{kind}", fault] += 1
        self.outcome.faults += 1
        self._note(life, f"FAULT {fault} at {kind}")
        match fault:
            case "crash":
                self._crash(life)
            case "zombie":
                self._replace(life)
            case "revoke":
                self._revoke(life)
            case "rewind":
                self._rewind(life)
            case "duplicate":
                self._duplicate(life)
            case "reorder":
                life.held_until[self._random.choice(life.places)] = self._later()
            case "delay":
                life.paused_until = self._later()
            case _:
                self._pass(self._random.choice((1_000, 30_000, 300_000)))

    def _crash(self, life: Life) -> None:
        """Crash here, or at one of the next failpoints."""
        if self._random.random() < 0.5:
            life.crash_in = self._random.randint(1, 4)
        else:
            self._end(life)

    def _replace(self, life: Life) -> None:
        """Let another process take over while the old one believes that it still owns everything."""
        if life.zombie:
            return
        for other in [other for other in self._lives if other.zombie and other.name == life.name]:
            self._end(other)
        life.zombie = True
        self._start(life.name)

    def _revoke(self, life: Life) -> None:
        """Take the partitions away, let what is on its way end, and give them back."""
        if life.zombie:
            return
        self._stop(life)
        if life in self._lives:
            life.own()
            self._look_after(life)

    def _rewind(self, life: Life) -> None:
        """Set the group back to earlier offsets, as after a reset."""
        if life.zombie:
            return
        self._stop(life)
        for place in life.places:
            at = self._broker.committed.get((life.name, place), 0)
            self._broker.committed[life.name, place] = self._random.randint(0, at)
        if life in self._lives:
            life.own()
            self._look_after(life)

    def _duplicate(self, life: Life) -> None:
        places = [place for place in life.places if self._broker.records[place]]
        if places:
            place = self._random.choice(places)
            self._broker.repeat(place, self._random.randrange(len(self._broker.records[place])))

    def _stop(self, life: Life) -> None:
        life.shell.disown()
        self._drain(life)
        while life in self._lives and life.gates:
            gate = life.gates.pop(self._random.randrange(len(life.gates)))
            if not gate.future.done():
                gate.future.set_result(None)
            self._drain(life)

    def _later(self) -> int:
        return self._clock + self._random.randint(10, 120)

    # Processes.

    def _start(self, name: str) -> None:
        self._restarts.pop(name, None)
        life = Life(
            name,
            broker=self._broker,
            loop=self._loop,
            random=self._random,
            provider=self._provider,
            configuration=self._configuration,
            kinds=self._kinds,
            reach=self._reach,
        )
        self._broker.owners[name] = life
        self._lives.append(life)
        self._note(life, "starts")
        self._current = life
        life.own()
        self._look_after(life)

    def _end(self, life: Life) -> None:
        self._note(life, "ends")
        self._current = None
        life.kill()
        self._lives.remove(life)
        if self._broker.owners[life.name] is life:
            self._restarts[life.name] = self._clock + self._random.choice((0, 0, 20))

    def _drain(self, life: Life | None) -> None:
        self._current = life
        self._loop.drain()
        if life is None:
            for one in list(self._lives):
                self._look_after(one)
        else:
            self._look_after(life)

    def _look_after(self, life: Life) -> None:
        """End a process that crashed at a failpoint or was refused; any other end is a violation."""
        life.collect()
        if life.dead:
            self._end(life)
            return
        for error in life.errors:
            refused = isinstance(error, ShellStopped) and error.code is ExitCode.REFUSED
            if refused and life.zombie:
                self._end(life)
                return
            raise Violated(f"the {life.name} shell ended with {type(error).__name__}: {error}") from error

    def _reach(self, name: str) -> None:
        life = self._current
        if life is None or life.dead or life.crash_in == 0:
            return
        life.crash_in -= 1
        if life.crash_in == 0:
            self.outcome.crashes[f"{life.name}.{name}"] += 1
            self._note(life, f"crashes at {name}")
            life.dead = True
            raise Crash

    def _note(self, life: Life | None, *what: str) -> None:
        if self._traced:
            who = f"{life.name}{' (replaced)' if life.zombie else ''}" if life is not None else "world"
            self.trace.append(f"{self.outcome.steps:6d} {who}: {' '.join(what)}")


@contextmanager
def _hooked(reach: Callable[[str], None]) -> Iterator[None]:
    before = failpoints.reach
    failpoints.reach = reach  # type: ignore[assignment]  # any callable of a name will do
    try:
        yield
    finally:
        failpoints.reach = before


@contextmanager
def _few_known(seed: int) -> Iterator[None]:
    """Let the states of sessions know so few inputs that they let go of some."""
    random = Random(f"{seed} known")
    let_go = random.choice((1, 2))
    with patch.multiple(repeats, SEEN_MAX=let_go + random.choice((1, 2)), LET_GO=let_go):
        yield


def _entrance(body: object) -> Topic:
    """Return the topic by which something enters."""
    if isinstance(body, ClientCallReceived):
        return CLIENT_CALLS
    return OPERATOR_INPUTS if isinstance(body, RestraintAct | ScheduleAct) else USER_INPUTS
