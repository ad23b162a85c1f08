"""/api/v2: what is said by the clock, in the token's user's name or in that of a user of its tenant."""

import time
from datetime import datetime
from functools import partial
from typing import Annotated, Final
from uuid import UUID

from pydantic import Field, StrictBool

from connectors.calendar.cron import CronCalendar
from processors.amounts import NANODOLLARS, nanodollars_of
from processors.inputs import InputInvalid
from processors.schedules.entrance import (
    EVERY_MS_MAX,
    LATE_MS,
    TEXT_BYTES_MAX,
    checked_plan,
    checked_schedule,
)
from processors.schedules.times import MISSED_MAX
from schemas.envelope import Envelope
from schemas.events.access import Scope
from schemas.events.schedules import (
    MissedRule,
    RunningRule,
    ScheduleAct,
    ScheduleCreated,
    ScheduleDeleted,
    SchedulePaused,
    SchedulePlan,
    ScheduleResumed,
)
from schemas.ids import derived_id
from sinks import schedules
from sinks.connection import Connection
from streams.gateway.access import Principal
from streams.gateway.acts import post_act
from streams.gateway.bodies import Body, Budget, Moment, Reason
from streams.gateway.door import PRODUCER, demand_unbounded, id_of, require
from streams.gateway.front import Front
from streams.gateway.problems import Problem
from streams.gateway.sessions_api import Bearer, Doors, IdempotencyKey, Limit, make_router

SCHEDULES_MAX: Final = 200
"""Of one user; what ended or was deleted does not count."""
CALENDAR: Final = CronCalendar()
_check: Final = partial(checked_schedule, calendar=CALENDAR)

router: Final = make_router()


class NewSchedule(Body):
    """Something to be said by the clock: by `cron`, `everySeconds` or `at`, one of the three."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    """For people."""
    content: Annotated[str, Field(min_length=1, max_length=TEXT_BYTES_MAX)]
    """What is said each time; at most 32,768 bytes."""
    agent: str | None = None
    """Who does the work, as one task; null: a plan is made."""
    cron: str | None = None
    """Minute, hour, day of the month, month, day of the week."""
    zone: str = "UTC"
    """Whose clocks `cron` means, such as Europe/Berlin."""
    every_seconds: Annotated[int, Field(ge=10, le=EVERY_MS_MAX // 1_000, strict=True)] | None = None
    at: Moment | None = None
    missed: MissedRule = MissedRule.SKIP
    """What becomes of times that were missed, as no worker ran."""
    missed_max: Annotated[int, Field(ge=1, le=MISSED_MAX, strict=True)] = 10
    """With `all`: so many are made up for at most."""
    late_seconds: Annotated[int, Field(ge=LATE_MS[0] // 1_000, le=LATE_MS[1] // 1_000, strict=True)] = 300
    """What begins later than that was missed."""
    if_running: RunningRule = RunningRule.START
    """What becomes of a time while the one before is worked on."""
    one_session: StrictBool = False
    """true: all is said in one session, which goes on."""
    session_id: UUID | None = None
    """Of a session that is there, in which all is said."""
    budget: Budget = Budget()
    """Of each session that the schedule opens."""
    user_id: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class AskedSchedule(Body):
    """What was asked of a schedule, and is done as soon as a worker reads it."""

    schedule_id: UUID


class Schedule(Body):
    """A schedule, as it stands."""

    schedule_id: UUID
    user_id: str
    """In whose name it speaks."""
    name: str
    content: str
    agent: str | None
    cron: str | None
    zone: str
    every_seconds: float | None
    at: datetime | None
    missed: str
    missed_max: int
    late_seconds: float
    if_running: str
    one_session: bool
    session_id: UUID | None
    budget_tokens: int | None
    budget_dollars: float | None
    status: str
    """active, paused, ended or deleted."""
    next_at: datetime | None
    """When it is due next; null: it is not, as it stands."""
    created_at: datetime
    created_by: str
    changed_at: datetime
    changed_by: str
    """Empty: nothing came any more."""
    reason: str
    fired: int
    """Times that something began."""
    skipped: int
    """Due times of which nothing began."""
    last_outcomes: list[str]
    """What became of the last five that began, the newest first; running: it is worked on."""
    last_session_id: UUID | None


class ScheduleList(Body):
    """Schedules, the newest first."""

    schedules: list[Schedule]


class Firing(Body):
    """What began at a due time, or that nothing did."""

    due_at: datetime
    until: datetime | None
    """Of what was skipped: the last of those due times."""
    outcome: str
    """running, answered, incomplete, failed, refused, ended (the session, unanswered), unseen or skipped."""
    detail: str
    """Why."""
    session_id: UUID | None
    message_id: UUID | None
    at: datetime
    """When it began, or was skipped."""
    missed: bool
    """true: it was made up for, long behind its time."""
    count: int
    """Due times that were skipped together."""


class ScheduleDetail(Body):
    """A schedule, and the last times that it was due."""

    schedule: Schedule
    latest: list[Firing]


@router.get("/schedules")
async def list_schedules(front: Doors, bearer: Bearer, *, deleted: bool = False) -> ScheduleList:
    """List what is said by the clock in the name of whom the token may see."""
    require(bearer, Scope.READ)
    async with front.door.database(bearer) as connection:
        found = await schedules.schedules_of(connection, bearer.tenant, bearer.user, deleted=deleted)
    return ScheduleList(schedules=[_schedule(one) for one in found])


@router.post("/schedules", status_code=202)
async def create_schedule(
    new: NewSchedule, front: Doors, bearer: Bearer, idempotency_key: IdempotencyKey = None
) -> AskedSchedule:
    """Have something said by the clock, in the name of the token's user or of a user of its tenant."""
    require(bearer, Scope.SEND)
    demand_unbounded(bearer)
    if new.agent is not None and new.agent not in front.agents:
        raise Problem(422, f"there is no agent {new.agent[:100]!r}", code="invalid_request", param="agent")
    user = await _user(front, bearer, new)
    async with front.door.database(bearer) as connection:
        if await schedules.count_of(connection, bearer.tenant, user) >= SCHEDULES_MAX:
            raise Problem(
                409, f"{user} has {SCHEDULES_MAX} schedules, which is the most", code="schedules_too_many"
            )
    event_id = id_of(bearer, "schedules", idempotency_key)
    try:
        # What leaves here has no credentials any more.
        plan = checked_plan(_plan(new), CALENDAR)
    except InputInvalid as error:
        raise Problem(422, str(error), code="invalid_input") from error
    schedule_id = derived_id(event_id, "schedule")
    fact = ScheduleCreated(plan=plan, created_by=bearer.operator)
    await _post(front, event_id, schedule_id, (bearer.tenant, user), fact)
    return AskedSchedule(schedule_id=UUID(schedule_id))


@router.get("/schedules/{schedule_id}")
async def show_schedule(schedule_id: UUID, front: Doors, bearer: Bearer, limit: Limit = 50) -> ScheduleDetail:
    """Tell how a schedule stands, and of the last times that it was due, the newest first."""
    require(bearer, Scope.READ)
    found = await _found(front, bearer, schedule_id)
    async with front.door.database(bearer) as connection:
        latest = await schedules.latest_of(connection, schedule_id, limit)
    return ScheduleDetail(schedule=_schedule(found), latest=[_firing(one) for one in latest])


@router.post("/schedules/{schedule_id}/pause", status_code=202)
async def pause_schedule(
    schedule_id: UUID, front: Doors, bearer: Bearer, why: Reason | None = None
) -> AskedSchedule:
    """Let nothing of a schedule begin until it is resumed."""
    fact = SchedulePaused(user=bearer.user, reason=why.reason if why else None)
    return await _change(front, bearer, schedule_id, fact)


@router.post("/schedules/{schedule_id}/resume", status_code=202)
async def resume_schedule(
    schedule_id: UUID, front: Doors, bearer: Bearer, why: Reason | None = None
) -> AskedSchedule:
    """Let a schedule go on with what is due from now on."""
    fact = ScheduleResumed(user=bearer.user, reason=why.reason if why else None)
    return await _change(front, bearer, schedule_id, fact)


@router.post("/schedules/{schedule_id}/delete", status_code=202)
async def delete_schedule(
    schedule_id: UUID, front: Doors, bearer: Bearer, why: Reason | None = None
) -> AskedSchedule:
    """Let nothing of a schedule begin any more; what has begun goes on."""
    fact = ScheduleDeleted(user=bearer.user, reason=why.reason if why else None)
    return await _change(front, bearer, schedule_id, fact)


async def _change(front: Front, bearer: Principal, schedule_id: UUID, fact: ScheduleAct) -> AskedSchedule:
    require(bearer, Scope.SEND)
    found = await _found(front, bearer, schedule_id)
    if found.status in ("ended", "deleted") and not isinstance(fact, ScheduleDeleted):
        raise Problem(409, f"the schedule is {found.status}", code="schedule_over")
    event_id = id_of(bearer, f"schedules/{schedule_id}", None)
    await _post(front, event_id, str(schedule_id), (bearer.tenant, bearer.operator), fact)
    return AskedSchedule(schedule_id=schedule_id)


async def _found(front: Front, bearer: Principal, schedule_id: UUID) -> schedules.Schedule:
    """Return a schedule; one that was asked for just now is waited for a moment."""

    async def look(connection: Connection) -> schedules.Schedule | None:
        return await schedules.schedule_of(connection, schedule_id, bearer.tenant, bearer.user)

    found = await front.door.lately(bearer, look)
    if found is None:
        raise Problem(404, "there is no such schedule", code="schedule_not_found")
    return found


async def _user(front: Front, bearer: Principal, new: NewSchedule) -> str:
    """Return in whose name a schedule is to speak: whose session it is, if there is one already."""
    if bearer.user is not None and new.user_id not in (None, bearer.user):
        raise Problem(403, "this token is another user's", code="user_mismatch", param="userId")
    if new.session_id is None:
        return bearer.user or new.user_id or "anonymous"
    owner = await front.door.owner(bearer, str(new.session_id), wait=True)
    if new.user_id not in (None, owner.user):
        raise Problem(422, "the session is another user's", code="invalid_request", param="userId")
    return owner.user


async def _post(
    front: Front, event_id: str, schedule_id: str, who: tuple[str, str], fact: ScheduleAct
) -> None:
    event = Envelope(
        event_id=event_id,
        type=type(fact).__name__,
        session_id=schedule_id,
        tenant_id=who[0],
        user_id=who[1],
        occurred_at_ms=time.time_ns() // 1_000_000,
        producer=PRODUCER,
        body=fact,
    )
    await post_act(front, event, _check)


def _plan(new: NewSchedule) -> SchedulePlan:
    dollars = new.budget.dollars
    return SchedulePlan(
        name=new.name,
        text=new.content,
        agent=new.agent,
        cron=new.cron,
        zone=new.zone,
        every_ms=None if new.every_seconds is None else new.every_seconds * 1_000,
        at_ms=None if new.at is None else round(new.at.timestamp() * 1_000),
        missed=new.missed,
        missed_max=new.missed_max,
        late_ms_max=new.late_seconds * 1_000,
        if_running=new.if_running,
        one_session=new.one_session or new.session_id is not None,
        session_id=None if new.session_id is None else str(new.session_id),
        budget_tokens=new.budget.tokens,
        budget_nanodollars=None if dollars is None else nanodollars_of(dollars),
    )


def _schedule(one: schedules.Schedule) -> Schedule:
    plan = one.wanted
    nanodollars = plan.budget_nanodollars
    return Schedule(
        schedule_id=one.id,
        user_id=one.user_id,
        name=one.name,
        content=one.message,
        agent=plan.agent,
        cron=one.cron,
        zone=one.zone,
        every_seconds=None if one.every_ms is None else one.every_ms / 1_000,
        at=one.at,
        missed=plan.missed,
        missed_max=plan.missed_max,
        late_seconds=plan.late_ms_max / 1_000,
        if_running=plan.if_running,
        one_session=plan.one_session,
        session_id=None if plan.session_id is None else UUID(plan.session_id),
        budget_tokens=plan.budget_tokens,
        budget_dollars=None if nanodollars is None else nanodollars / NANODOLLARS,
        status=one.status,
        next_at=one.next_at,
        created_at=one.created_at,
        created_by=one.created_by,
        changed_at=one.changed_at,
        changed_by=one.changed_by,
        reason=one.reason,
        fired=one.fired,
        skipped=one.skipped,
        last_outcomes=one.last_outcomes,
        last_session_id=one.last_session_id,
    )


def _firing(one: schedules.Firing) -> Firing:
    return Firing(
        due_at=one.due_at,
        until=one.until,
        outcome=one.outcome,
        detail=one.detail,
        session_id=one.session_id,
        message_id=one.message_id,
        at=one.at,
        missed=one.missed,
        count=one.count,
    )
