"""`schedule`: what is said by the clock, in whose name, and what became of it."""

import asyncio
import uuid
from datetime import datetime
from typing import Annotated, Final

import typer
from rich.table import Table

from connectors.calendar.moments import duration_ms, duration_told, moment_ms
from processors.inputs import AMOUNT_MAX, InputInvalid
from processors.objections import EVERY_TENANT
from processors.schedules.entrance import checked_schedule
from processors.schedules.times import MISSED_MAX
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.schedules import (
    MissedRule,
    RunningRule,
    ScheduleAct,
    ScheduleCreated,
    ScheduleDeleted,
    SchedulePaused,
    SchedulePlan,
    ScheduleResumed,
    ScheduleStood,
)
from schemas.ports.calendar import CalendarInvalid
from sinks import schedules
from sinks.schedules import Firing, Schedule
from streams.cli import output
from streams.cli.command import Code, command, fail, given_uuid
from streams.cli.context import database, settings
from streams.cli.messages import PRODUCER, nanodollars_of
from streams.cli.output import AsJson
from streams.client.client import Client
from streams.shells.ingress import CALENDAR
from topics.catalog import DEAD_LETTERS, OPERATOR_INPUTS, SCHEDULE_EVENTS

schedule = typer.Typer(help="What is said by the clock: create, list, show, pause, resume, delete.")
LATEST_MAX: Final = 20

ScheduleArgument = Annotated[str, typer.Argument(metavar="SCHEDULE", help="UUID of the schedule.")]
Reason = Annotated[str | None, typer.Option(help="Why, for the record.")]
Operator = Annotated[str, typer.Option(help="Which operator does it, for the record.")]
Timeout = Annotated[float, typer.Option("--timeout", min=1, help="Seconds to wait for the schedule's word.")]


@schedule.command("create")
@command
async def create(
    name: Annotated[str, typer.Argument(help="For people.")],
    text: Annotated[str, typer.Argument(help="What is said each time.")],
    cron: Annotated[
        str | None, typer.Option(help="Minute, hour, day of the month, month, day of the week.")
    ] = None,
    every: Annotated[str | None, typer.Option(help="Or: 30s, 15m, 2h, 1d; at least 10s.")] = None,
    at: Annotated[str | None, typer.Option(help="Or once: 2026-12-24T18:00, or with an offset.")] = None,
    zone: Annotated[str, typer.Option(help="Whose clocks are meant, such as Europe/Berlin.")] = "UTC",
    missed: Annotated[MissedRule, typer.Option(help="What becomes of times that were missed.")] = (
        MissedRule.SKIP
    ),
    missed_max: Annotated[
        int, typer.Option(min=1, max=MISSED_MAX, help="With --missed all: how many at most.")
    ] = 10,
    late: Annotated[str, typer.Option(help="What begins later than that was missed.")] = "5m",
    if_running: Annotated[
        RunningRule, typer.Option(help="What becomes of a time while the one before is worked on.")
    ] = RunningRule.START,
    one_session: Annotated[
        bool, typer.Option("--one-session", help="Say all in one session, which goes on.")
    ] = False,
    session: Annotated[str | None, typer.Option(help="Say all in this session, which is there.")] = None,
    agent: Annotated[str | None, typer.Option(help="Who does the work, as one task.")] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=1, max=AMOUNT_MAX, help="Tokens of each session that it opens.")
    ] = None,
    budget_dollars: Annotated[
        float | None, typer.Option(min=0.000000001, help="Money of each session that it opens.")
    ] = None,
    user: Annotated[str, typer.Option(help="In whose name it speaks.")] = "anonymous",
    tenant: Annotated[str, typer.Option(help="Of which tenant.")] = "default",
    operator: Operator = "operator",
    timeout_s: Timeout = 60,
    as_json: AsJson = False,
) -> None:
    """Have something said by the clock. Exit code 1: refused; 5: no word in time.

    Examples: cartrita schedule create news "What is new?" --cron "30 7 * * MON-FRI" --zone Europe/Berlin
    cartrita schedule create check "Is all well?" --every 15m --if-running skip --budget-tokens 20000
    """
    try:
        plan = SchedulePlan(
            name=name,
            text=text,
            agent=agent,
            cron=cron,
            zone=zone,
            every_ms=None if every is None else duration_ms(every),
            at_ms=None if at is None else moment_ms(at, zone),
            missed=missed,
            missed_max=missed_max,
            late_ms_max=duration_ms(late),
            if_running=if_running,
            one_session=one_session or session is not None,
            session_id=None if session is None else str(given_uuid(session)),
            budget_tokens=budget_tokens,
            budget_nanodollars=nanodollars_of(budget_dollars),
        )
    except CalendarInvalid as error:
        fail(Code.USAGE, str(error))
    fact = ScheduleCreated(plan=plan, created_by=operator)
    await _act(str(uuid.uuid4()), fact, (tenant, user), timeout_s, as_json=as_json)


@schedule.command("pause")
@command
async def pause(
    schedule_id: ScheduleArgument,
    reason: Reason = None,
    operator: Operator = "operator",
    timeout_s: Timeout = 60,
    as_json: AsJson = False,
) -> None:
    """Let nothing of a schedule begin until it is resumed. Exit code 1: refused; 5: no word in time."""
    fact = SchedulePaused(reason=reason)
    await _act(schedule_id, fact, (EVERY_TENANT, operator), timeout_s, as_json=as_json)


@schedule.command("resume")
@command
async def resume(
    schedule_id: ScheduleArgument,
    reason: Reason = None,
    operator: Operator = "operator",
    timeout_s: Timeout = 60,
    as_json: AsJson = False,
) -> None:
    """Let a schedule go on with what is due from now on. Exit code 1: refused; 5: no word in time."""
    fact = ScheduleResumed(reason=reason)
    await _act(schedule_id, fact, (EVERY_TENANT, operator), timeout_s, as_json=as_json)


@schedule.command("delete")
@command
async def delete(
    schedule_id: ScheduleArgument,
    reason: Reason = None,
    operator: Operator = "operator",
    timeout_s: Timeout = 60,
    as_json: AsJson = False,
) -> None:
    """Let nothing of a schedule begin any more; what has begun goes on, and what it said stays."""
    fact = ScheduleDeleted(reason=reason)
    await _act(schedule_id, fact, (EVERY_TENANT, operator), timeout_s, as_json=as_json)


@schedule.command("list")
@command
async def list_schedules(
    tenant: Annotated[str | None, typer.Option(help="Only of this tenant.")] = None,
    user: Annotated[str | None, typer.Option(help="Only of this user.")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Those that were deleted, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List schedules, the newest first: when they are due next, and what became of the last."""
    async with database() as connection:
        found = await schedules.schedules_of(connection, tenant, user, deleted=deleted)
    if as_json:
        output.emit_json(found)
        return
    table = Table("schedule", "name", "when", "status", "next", "last", "begun", "skipped", "for", box=None)
    for one in found:
        table.add_row(
            str(one.id),
            one.name,
            when_told(one),
            one.status,
            _time(one.next_at),
            "" if one.last_outcome is None else f"{one.last_outcome} {_time(one.last_due_at)}",
            f"{one.fired:,}",
            f"{one.skipped:,}",
            f"{one.tenant_id}/{one.user_id}",
        )
    output.show(table)


@schedule.command("show")
@command
async def show(schedule_id: ScheduleArgument, as_json: AsJson = False) -> None:
    """Show one schedule, and the last 20 times that it was due, begun or not. Exit code 4: there is none."""
    wanted = given_uuid(schedule_id)
    async with database() as connection:
        found = await schedules.schedule_of(connection, wanted)
        latest = await schedules.latest_of(connection, wanted, LATEST_MAX)
    if found is None:
        fail(Code.NOT_FOUND, f"there is no schedule {schedule_id}")
    if as_json:
        output.emit_json({"schedule": found, "latest": latest})
        return
    output.say(
        "[bold]{name}[/] {when}, {status}", name=found.name, when=when_told(found), status=found.status
    )
    output.say(
        "for {user} of {tenant}: {text}", user=found.user_id, tenant=found.tenant_id, text=found.message
    )
    output.say("next {next}", next=_time(found.next_at) or "never, as it stands")
    _show_latest(latest)


def when_told(one: Schedule) -> str:
    """Tell when a schedule is due."""
    if one.cron is not None:
        return f"{one.cron} {one.zone}"
    if one.every_ms is not None:
        return f"every {duration_told(one.every_ms)}"
    return f"once {_time(one.at)}"


def _show_latest(latest: list[Firing]) -> None:
    table = Table("due", "what became of it", "began", "session", box=None, header_style="dim")
    for one in latest:
        told = one.outcome + (f": {one.detail}" if one.detail else "")
        if one.count > 1:
            told += f" ({one.count:,} times, the last {_time(one.until)})"
        if one.missed:
            told += ", made up for"
        table.add_row(_time(one.due_at), told, _time(one.at), str(one.session_id or ""))
    output.show(table)


async def _act(
    schedule_id: str, fact: ScheduleAct, who: tuple[str, str], timeout_s: float, *, as_json: bool
) -> None:
    """Write an act, and tell how the schedule stands after it."""
    event = Envelope(
        event_id=str(uuid.uuid4()),
        type=type(fact).__name__,
        session_id=str(given_uuid(schedule_id)),
        tenant_id=who[0],
        user_id=who[1],
        producer=PRODUCER,
        body=fact,
    )
    try:
        # What leaves here has no credentials any more.
        event = checked_schedule(event, taken_at_ms=0, calendar=CALENDAR)
    except InputInvalid as error:
        fail(Code.USAGE, str(error))
    stood = await _word(event, timeout_s)
    if as_json:
        output.emit_json({"schedule": event.session_id, "stands": stood})
    else:
        at_ms = stood.next_at_ms
        due = "" if at_ms is None else f", due {_time(datetime.fromtimestamp(at_ms / 1_000).astimezone())}"
        output.say("{id} is {status}{due}", id=event.session_id, status=stood.status, due=due)


async def _word(event: Envelope, timeout_s: float) -> ScheduleStood:
    """Write an act, and wait for what comes of it."""
    async with Client(settings()) as client:
        try:
            async with (
                asyncio.timeout(timeout_s),
                client.listening((SCHEDULE_EVENTS, DEAD_LETTERS)) as records,
            ):
                await client.write(OPERATOR_INPUTS, event)
                async for received in records:
                    told = received.event
                    if told is not None and told.causation_id == event.event_id:
                        if isinstance(told.body, RecordRejected):
                            fail(Code.FAILED, told.body.reason)
                        if isinstance(told.body, ScheduleStood):
                            return told.body
        except TimeoutError:
            fail(
                Code.TIMED_OUT,
                f"no word from the schedule within {timeout_s:.0f} s; it will do so as soon as it reads it",
                f"Is a worker running? Look later with: cartrita schedule show {event.session_id}",
            )
    raise AssertionError("records are read without end")


def _time(at: datetime | None) -> str:
    return "" if at is None else at.astimezone().isoformat(sep=" ", timespec="seconds")
