"""Schedules in a simulated life: who wants them, who sees what became of them, and what must hold of each."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from typing import Final

from connectors.calendar.cron import CronCalendar
from processors.schedules.decider import EARLY_MS_MAX
from processors.schedules.times import Times
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived
from schemas.events.outputs import AnswerGiven, ErrorReported, SessionEnded
from schemas.events.schedules import (
    FiringEnded,
    FiringOutcome,
    FiringSeen,
    FiringsSkipped,
    MissedRule,
    RunningRule,
    ScheduleAct,
    ScheduleCreated,
    ScheduleDeleted,
    ScheduleFired,
    SchedulePaused,
    SchedulePlan,
    ScheduleResumed,
    ScheduleStatus,
    ScheduleStood,
)
from schemas.ids import derived_id
from tests.invariants.violation import Violation
from tests.simulation.users import START_MS, STRANGER, Act

SHARE: Final = 0.3
"""Of the lives that have schedules."""
OWNER: Final = "default"
_INVARIANT: Final = "schedules"


def has_schedules(seed: int) -> bool:
    """Tell whether a life has any; drawn apart, so that a seed without means what it always meant."""
    return Random(f"{seed} schedules").random() < SHARE


class Schedules:
    """Of one life."""

    def __init__(self, seed: int) -> None:
        """Draw what is wanted."""
        self._random = random = Random(f"{seed} wanted by the clock")
        self.wanted: dict[str, int] = {}
        """By schedule how often it begins something before somebody deletes it."""
        self.acts: list[Act] = []
        for number in range(random.choice((1, 1, 2))):
            schedule_id = derived_id("simulated", str(seed), "schedule", str(number))
            self.wanted[schedule_id] = random.randint(1, 4)
            plan = _plan(random)
            self.acts.append(Act(schedule_id, ScheduleCreated(plan=plan, created_by="olga")))
            strange = random.choice((None, SchedulePaused(), ScheduleDeleted()))
            if strange is not None:
                self.acts.append(Act(schedule_id, strange, STRANGER))
        self._read = 0
        self._fired: dict[str, tuple[str, str]] = {}
        """By what was begun and of which nobody has seen the end: schedule and session."""
        self._times: dict[str, int] = {}
        self.begun: dict[str, str] = {}
        """By what was begun the session in which it was said."""

    def look(self, published: Sequence[Envelope]) -> Iterator[Act]:
        """See what happened since; gives what somebody does about it, or tells a schedule."""
        for event in published[self._read :]:
            body = event.body
            if isinstance(body, ScheduleFired) and body.firing_id not in self.begun:
                self.begun[body.firing_id] = body.target_session_id
                self._fired[body.firing_id] = (event.session_id, body.target_session_id)
                yield from self._count(event.session_id)
            elif isinstance(body, FiringsSkipped):
                # So that what is always late or running comes to an end as well.
                yield from self._count(event.session_id)
            elif isinstance(body, AnswerGiven | ErrorReported) and body.input_id in self._fired:
                yield from self._seen(body.input_id, FiringOutcome.ANSWERED)
            elif isinstance(body, RecordRejected) and event.causation_id in self._fired:
                yield from self._seen(event.causation_id, FiringOutcome.REFUSED)
            elif isinstance(body, SessionEnded):
                for firing_id, (_, session_id) in list(self._fired.items()):
                    if session_id == event.session_id:
                        yield from self._seen(firing_id, FiringOutcome.ENDED)
        self._read = len(published)

    def _seen(self, firing_id: str, outcome: FiringOutcome) -> Iterator[Act]:
        schedule_id, _ = self._fired.pop(firing_id)
        for _ in range(self._random.choice((1, 1, 2))):
            yield Act(schedule_id, FiringSeen(firing_id=firing_id, outcome=outcome))

    def _count(self, schedule_id: str) -> Iterator[Act]:
        times = self._times[schedule_id] = self._times.get(schedule_id, 0) + 1
        if times == 1 and self._random.random() < 0.3:
            yield Act(schedule_id, SchedulePaused())
            yield Act(schedule_id, ScheduleResumed())
        if times == self.wanted[schedule_id]:
            yield Act(schedule_id, ScheduleDeleted())


def _plan(random: Random) -> SchedulePlan:
    when = random.choice(
        (
            {"every_ms": 10_000},
            {"every_ms": 60_000},
            {"cron": "* * * * *"},
            {"cron": "*/5 * * * *", "zone": "Europe/Berlin"},
            {"at_ms": START_MS + 45_000},
            {"at_ms": START_MS - 400_000},
        )
    )
    return SchedulePlan(
        name="by the clock",
        text="please do it",
        missed=random.choice(tuple(MissedRule)),
        missed_max=random.randint(1, 3),
        late_ms_max=random.choice((1_000, 20_000, 300_000)),
        if_running=random.choice(tuple(RunningRule)),
        one_session=random.random() < 0.4,
        budget_tokens=random.choice((None, 6_000)),
        **when,
    )


def check_schedules(events: Mapping[str, Envelope], wanted: Iterable[str]) -> Iterator[Violation]:
    """Hold of each schedule what must be so, whatever happened.

    Args:
        events: all that was published, by id.
        wanted: the schedules that were created.
    """
    taken = {event.event_id: event for event in events.values() if isinstance(event.body, MessageReceived)}
    for schedule_id in wanted:
        own = [event for event in events.values() if event.session_id == schedule_id]
        told = [event for event in own if not isinstance(event.body, ScheduleAct)]
        for message in (*_decided(told), *_overlaps(told), *_said(told, taken)):
            yield Violation(invariant=_INVARIANT, subject=schedule_id, message=message)


def _decided(told: Sequence[Envelope]) -> Iterator[str]:
    """Each due time up to the last one was decided upon once, and none before it had come."""
    created = next((one for one in told if isinstance(one.body, ScheduleStood)), None)
    if created is None:
        yield "nobody was told how it stands"
        return
    assert isinstance(created.body, ScheduleStood)
    times = Times(created.body.plan, CronCalendar(), created.occurred_at_ms)
    paused = [(one.occurred_at_ms, one.body.status) for one in told if isinstance(one.body, ScheduleStood)]
    decided: list[int] = []
    for event in told:
        if isinstance(event.body, ScheduleFired):
            decided.append(event.body.due_at_ms)
            if event.occurred_at_ms < event.body.due_at_ms - EARLY_MS_MAX:
                yield f"what was due at {event.body.due_at_ms} began at {event.occurred_at_ms}"
        elif isinstance(event.body, FiringsSkipped):
            at_ms: int | None = event.body.first_due_at_ms
            while at_ms is not None and at_ms <= event.body.last_due_at_ms:
                decided.append(at_ms)
                at_ms = times.next_after_ms(at_ms)
    if len(set(decided)) != len(decided):
        yield f"a due time was decided upon twice: {sorted(decided)}"
    expected, at_ms = [], times.plan.at_ms or times.next_after_ms(created.occurred_at_ms)
    while at_ms is not None and decided and at_ms <= max(decided):
        expected.append(at_ms)
        at_ms = times.next_after_ms(at_ms)
    if lost := [one for one in expected if one not in decided and not _is_paused(one, paused)]:
        yield f"nothing was decided about what was due at {lost}"


def _is_paused(at_ms: int, changes: Sequence[tuple[int, ScheduleStatus]]) -> bool:
    """Tell whether a time passed while it was paused, or by the moment at which it was resumed."""
    since_ms: int | None = None
    for changed_at_ms, status in changes:
        if status is ScheduleStatus.PAUSED:
            since_ms = changed_at_ms
        elif since_ms is not None:
            # What had come just before, and was not told yet, was not begun either.
            if at_ms <= changed_at_ms:
                return True
            since_ms = None
    return since_ms is not None


def _overlaps(told: Sequence[Envelope]) -> Iterator[str]:
    """Where nothing may overlap, nothing began before the end of what began before was seen."""
    first = next((one.body for one in told if isinstance(one.body, ScheduleStood)), None)
    if first is None or first.plan.if_running is not RunningRule.SKIP:
        return
    running = ""
    for event in told:
        if isinstance(event.body, ScheduleFired):
            if running:
                yield f"{event.body.firing_id} began while {running} was worked on"
            running = event.body.firing_id
        elif isinstance(event.body, FiringEnded) and event.body.firing_id == running:
            running = ""


def _said(told: Sequence[Envelope], taken: Mapping[str, Envelope]) -> Iterator[str]:
    """What began was taken in, in its owner's name, in its session."""
    for event in told:
        if not isinstance(event.body, ScheduleFired):
            continue
        message = taken.get(event.body.firing_id)
        if message is None:
            yield f"{event.body.firing_id} was said, and never taken in"
        elif (message.session_id, message.tenant_id, message.user_id) != (
            event.body.target_session_id,
            event.tenant_id,
            event.user_id,
        ):
            yield f"{event.body.firing_id} was said in another's name, or elsewhere"
