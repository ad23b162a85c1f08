"""The schedule decider: what is due begins, once for each due time, as something that its owner says.

A due time is decided upon once: the state's `next_at_ms` moves past it in the same record that holds what it
caused. What is said has an id made of the schedule and the due time, so that it is taken in once, however
often it is published. The time is Kafka's: that of the record which says that a time has come.
"""

from typing import Final

import orjson

from processors.decider import Refused, Step, Timer
from processors.inputs import InputInvalid
from processors.objections import EVERY_TENANT
from processors.schedules.entrance import checked_plan
from processors.schedules.firing import fired
from processors.schedules.state import ACTS_MAX, OpenFiring, ScheduleState
from processors.schedules.times import Times
from schemas.envelope import Envelope, Fact
from schemas.events.dead_letters import RejectionCode
from schemas.events.schedules import (
    FiringEnded,
    FiringOutcome,
    FiringSeen,
    FiringsSkipped,
    RunningRule,
    ScheduleAct,
    ScheduleCreated,
    ScheduleDeleted,
    ScheduleDue,
    ScheduleFired,
    SchedulePaused,
    ScheduleResumed,
    ScheduleStatus,
    ScheduleStood,
    SkipReason,
)
from schemas.events.timers import TimerKind
from schemas.frozen import replace
from schemas.ids import derived_id, event_id_of
from schemas.plain import encoded, from_plain
from schemas.ports.calendar import Calendar
from schemas.references import RecordReference

PRODUCER: Final = "schedule-shell"
EARLY_MS_MAX: Final = 5_000
"""By so much a worker's clock may be ahead; the fence of its changelog ends one that is further."""
EARLY_DELAY_MS: Final = 1_000
OPEN_MAX: Final = 50
WATCH_MS: Final = 7 * 86_400_000
"""So long the end of what was begun is looked for; approvals may take days."""
_OVER: Final = (ScheduleStatus.ENDED, ScheduleStatus.DELETED)

Caused = tuple[ScheduleState, list[Envelope]]


class ScheduleDecider:
    """Decides for schedules by one calendar."""

    def __init__(self, calendar: Calendar) -> None:
        """Take what knows due times."""
        self._calendar = calendar

    def initial(self, key: str) -> ScheduleState:
        """Return a schedule that nobody has created."""
        return ScheduleState(schedule_id=key)

    def advance(self, state: ScheduleState, event: Envelope, source: RecordReference) -> Step[ScheduleState]:
        """Apply an act, a time that came, or the end of what was begun."""
        body = event.body
        if isinstance(body, ScheduleAct):
            refused = _objection(state, event, self._calendar)
            if refused is not None:
                return Step(state=state, events=(), refused=refused)
            if event.event_id in state.acts:
                return Step(state=state, events=())
            state = replace(state, acts=(*state.acts, event.event_id)[-ACTS_MAX:])
        match body:
            case ScheduleCreated():
                state, events = self._created(state, event, body)
            case SchedulePaused() | ScheduleResumed() | ScheduleDeleted():
                state, events = self._changed(state, event, body)
            case ScheduleDue():
                state, events = self._due(state, event, body)
            case FiringSeen():
                state, events = self._seen(state, event, body)
            case _:
                return Step(state=state, events=())
        place = f"{source.topic}/{source.partition}/{source.offset}"
        return Step(state=state, events=tuple(replace(one, source=place) for one in events))

    def timers(self, state: ScheduleState) -> tuple[Timer, ...]:
        """Return the next due time of a schedule that is active."""
        if state.next_at_ms is None or state.status is not ScheduleStatus.ACTIVE:
            return ()
        timer = Timer(
            timer_id=_timer_id(state),
            kind=TimerKind.SCHEDULE,
            due_at_ms=state.next_at_ms + state.early * EARLY_DELAY_MS,
        )
        return (timer,)

    def mark(self, state: ScheduleState, event: Envelope) -> None:
        """Inputs are known by the state itself."""

    def ended_at_ms(self, state: ScheduleState) -> int | None:
        """Return when nothing came any more."""
        return state.ended_at_ms

    def encode(self, state: ScheduleState) -> bytes:
        """Write a state as JSON."""
        return encoded(state)

    def decode(self, data: bytes) -> ScheduleState:
        """Read a state."""
        return from_plain(ScheduleState, orjson.loads(data))

    def _created(self, state: ScheduleState, event: Envelope, body: ScheduleCreated) -> Caused:
        now_ms = event.occurred_at_ms
        plan = body.plan
        times = Times(plan, self._calendar, now_ms)
        # What is wanted once begins even if that moment has passed, by the rule for what was missed.
        next_at_ms = plan.at_ms if plan.at_ms is not None else times.next_after_ms(now_ms)
        state = replace(
            state,
            tenant_id=event.tenant_id,
            user_id=event.user_id,
            plan=plan,
            anchor_ms=now_ms,
            next_at_ms=next_at_ms,
        )
        return state, [_event(state, event, 0, _stood(state, body.created_by, None))]

    def _changed(
        self, state: ScheduleState, event: Envelope, body: SchedulePaused | ScheduleResumed | ScheduleDeleted
    ) -> Caused:
        plan, before = state.plan, state.status
        assert plan is not None
        now_ms = event.occurred_at_ms
        match body:
            case ScheduleDeleted() if before is not ScheduleStatus.DELETED:
                state = replace(state, status=ScheduleStatus.DELETED, next_at_ms=None, ended_at_ms=now_ms)
            case SchedulePaused() if before is ScheduleStatus.ACTIVE:
                state = replace(state, status=ScheduleStatus.PAUSED)
            case ScheduleResumed() if before is ScheduleStatus.PAUSED:
                next_at_ms = state.next_at_ms
                if plan.at_ms is None:
                    # What passed while it was paused was not missed: nobody wanted it.
                    times = Times(plan, self._calendar, state.anchor_ms)
                    next_at_ms = times.next_after_ms(now_ms)
                state = replace(state, status=ScheduleStatus.ACTIVE, next_at_ms=next_at_ms, early=0)
                state = _over(state, now_ms)
        # Told as well where it stood so already: somebody waits for the word.
        return state, [_event(state, event, 0, _stood(state, event.user_id, body.reason))]

    def _due(self, state: ScheduleState, event: Envelope, body: ScheduleDue) -> Caused:
        plan, now_ms = state.plan, event.occurred_at_ms
        if plan is None or state.next_at_ms is None or state.status is not ScheduleStatus.ACTIVE:
            return state, []
        if body.timer_id != _timer_id(state):
            return state, []
        if now_ms < state.next_at_ms - EARLY_MS_MAX:
            return replace(state, early=state.early + 1), []
        times = Times(plan, self._calendar, state.anchor_ms)
        due = times.due(state.next_at_ms, now_ms)
        facts: list[Fact] = []
        if due.skipped is not None:
            facts.append(
                FiringsSkipped(
                    reason=SkipReason.MISSED,
                    first_due_at_ms=due.skipped.first_ms,
                    last_due_at_ms=due.skipped.last_ms,
                    count=due.skipped.count,
                    more=due.skipped.more,
                    next_at_ms=due.next_at_ms,
                )
            )
        state, given_up = _without_old(replace(state, next_at_ms=due.next_at_ms, early=0), now_ms)
        facts += given_up
        said: tuple[Envelope, ...] = ()
        if due.fire_at_ms is not None and plan.if_running is RunningRule.SKIP and state.open:
            facts.append(_ran(due.fire_at_ms, due.next_at_ms))
        elif due.fire_at_ms is not None:
            state, fact, said = fired(state, event, due, PRODUCER)
            facts.append(fact)
        state = _over(state, now_ms)
        if state.status is ScheduleStatus.ENDED:
            facts.append(_stood(state, "", None))
        events = [_event(state, event, number, fact) for number, fact in enumerate(facts)]
        causes = [one.event_id for one in events if isinstance(one.body, ScheduleFired)]
        return state, [*events, *(replace(one, causation_id=causes[0]) for one in said)]

    def _seen(self, state: ScheduleState, event: Envelope, body: FiringSeen) -> Caused:
        firing = next((one for one in state.open if one.firing_id == body.firing_id), None)
        if firing is None:
            return state, []
        left = tuple(one for one in state.open if one is not firing)
        fact = FiringEnded(
            firing_id=firing.firing_id,
            due_at_ms=firing.due_at_ms,
            outcome=body.outcome,
            detail=body.detail,
        )
        return replace(state, open=left), [_event(state, event, 0, fact)]


def _objection(state: ScheduleState, event: Envelope, calendar: Calendar) -> Refused | None:
    """Say why an act is not for this schedule; None: it is."""
    body = event.body
    if isinstance(body, ScheduleCreated):
        if state.plan is not None and event.event_id not in state.acts:
            return Refused(RejectionCode.INVALID_INPUT, "there is a schedule of this id already")
        try:
            checked_plan(body.plan, calendar)
        except InputInvalid as error:
            return Refused(RejectionCode.INVALID_INPUT, str(error))
        return None
    assert isinstance(body, SchedulePaused | ScheduleResumed | ScheduleDeleted)
    if state.plan is None or event.tenant_id not in (EVERY_TENANT, state.tenant_id):
        return Refused(RejectionCode.INVALID_INPUT, "there is no such schedule")
    if body.user not in (None, state.user_id):
        return Refused(RejectionCode.INVALID_INPUT, "there is no such schedule")
    if state.status in _OVER and not isinstance(body, ScheduleDeleted):
        return Refused(RejectionCode.ENDED, f"the schedule is {state.status}")
    return None


def _timer_id(state: ScheduleState) -> str:
    return derived_id(state.schedule_id, "timer", str(state.next_at_ms), str(state.early))


def _over(state: ScheduleState, now_ms: int) -> ScheduleState:
    """Let a schedule end of which nothing comes any more."""
    if state.status is not ScheduleStatus.ACTIVE or state.next_at_ms is not None:
        return state
    return replace(state, status=ScheduleStatus.ENDED, ended_at_ms=now_ms)


def _stood(state: ScheduleState, by: str, reason: str | None) -> ScheduleStood:
    assert state.plan is not None
    # While it is paused nobody knows what will be due when it is resumed.
    next_at_ms = state.next_at_ms if state.status is ScheduleStatus.ACTIVE else None
    return ScheduleStood(plan=state.plan, status=state.status, next_at_ms=next_at_ms, by=by, reason=reason)


def _ran(due_at_ms: int, next_at_ms: int | None) -> FiringsSkipped:
    return FiringsSkipped(
        reason=SkipReason.RUNNING,
        first_due_at_ms=due_at_ms,
        last_due_at_ms=due_at_ms,
        count=1,
        next_at_ms=next_at_ms,
    )


def _without_old(state: ScheduleState, now_ms: int) -> tuple[ScheduleState, list[Fact]]:
    """Give up looking for the end of what was begun long ago, and of too much."""
    kept = [one for one in state.open if now_ms - one.fired_at_ms <= WATCH_MS][-(OPEN_MAX - 1) :]
    given_up: list[Fact] = [
        FiringEnded(firing_id=one.firing_id, due_at_ms=one.due_at_ms, outcome=FiringOutcome.UNSEEN)
        for one in state.open
        if one not in kept
    ]
    return replace(state, open=tuple[OpenFiring, ...](kept)), given_up


def _event(state: ScheduleState, cause: Envelope, number: int, fact: Fact) -> Envelope:
    return Envelope(
        event_id=event_id_of(cause.event_id, number),
        type=type(fact).__name__,
        session_id=state.schedule_id,
        tenant_id=state.tenant_id,
        user_id=state.user_id,
        causation_id=cause.event_id,
        occurred_at_ms=cause.occurred_at_ms,
        producer=PRODUCER,
        traceparent=cause.traceparent,
        body=fact,
    )
