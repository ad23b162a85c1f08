"""What people may want of schedules: the same rules for whatever takes their acts in."""

from typing import Final

from processors.inputs import (
    ACCOUNT_CHARACTERS_MAX,
    AGENT_CHARACTERS_MAX,
    AMOUNT_MAX,
    NAME_CHARACTERS_MAX,
    REASON_CHARACTERS_MAX,
    InputInvalid,
)
from processors.objections import EVERY_TENANT
from processors.redaction.redactor import PATTERNS_ALONE
from processors.schedules.times import MISSED_MAX
from schemas.envelope import Envelope
from schemas.events.schedules import MissedRule, RunningRule, ScheduleAct, ScheduleCreated, SchedulePlan
from schemas.frozen import replace
from schemas.ids import is_uuid
from schemas.ports.calendar import Calendar, CalendarInvalid

TEXT_BYTES_MAX: Final = 32_768
"""Of what is said each time: it stands in the schedule's state."""
EVERY_MS_MIN: Final = 10_000
EVERY_MS_MAX: Final = 366 * 86_400_000
AT_MS_MAX: Final = 253_402_300_799_000
"""The end of the year 9999."""
LATE_MS: Final = (1_000, 86_400_000)
CRON_CHARACTERS_MAX: Final = 200
ZONE_CHARACTERS_MAX: Final = 100


def checked_schedule(event: Envelope, *, taken_at_ms: int, calendar: Calendar) -> Envelope:
    """Return somebody's act on a schedule as the shell that owns it gets it.

    Args:
        event: as it was sent to the topic of operators' acts.
        taken_at_ms: when Kafka took it.
        calendar: knows zones and expressions.

    Raises:
        InputInvalid: it cannot be used; the sentence is for the sender.
    """
    body = event.body
    assert isinstance(body, ScheduleAct)
    for field, value in (("event_id", event.event_id), ("session_id, the schedule's id,", event.session_id)):
        if not is_uuid(value):
            raise InputInvalid(f"{field} is not a UUID in canonical form")
    for field, value in (("tenant_id", event.tenant_id), ("user_id", event.user_id)):
        _name(field, value, ACCOUNT_CHARACTERS_MAX)
    if isinstance(body, ScheduleCreated):
        if event.tenant_id == EVERY_TENANT:
            raise InputInvalid("a schedule belongs to one tenant, and speaks for it")
        _name("created_by", body.created_by, ACCOUNT_CHARACTERS_MAX)
        body = replace(body, plan=checked_plan(body.plan, calendar))
    else:
        if body.reason is not None and len(body.reason) > REASON_CHARACTERS_MAX:
            raise InputInvalid(f"reason has more than {REASON_CHARACTERS_MAX:,} characters")
        body = PATTERNS_ALONE.fact(body)
    return Envelope(
        event_id=event.event_id,
        type=type(body).__name__,
        session_id=event.session_id,
        tenant_id=event.tenant_id,
        user_id=event.user_id,
        occurred_at_ms=taken_at_ms,
        producer=event.producer,
        traceparent=event.traceparent,
        body=body,
    )


def checked_plan(plan: SchedulePlan, calendar: Calendar) -> SchedulePlan:
    """Return what a schedule is to do, without credentials.

    Raises:
        InputInvalid: it cannot be done; the sentence is for whoever wants it.
    """
    _name("name", plan.name, NAME_CHARACTERS_MAX)
    if not plan.text.strip():
        raise InputInvalid("text is empty")
    size_bytes = len(plan.text.encode(errors="replace"))
    if size_bytes > TEXT_BYTES_MAX:
        raise InputInvalid(f"text has {size_bytes:,} bytes; the most is {TEXT_BYTES_MAX:,}")
    if plan.agent is not None:
        _name("agent", plan.agent, AGENT_CHARACTERS_MAX)
    _checked_times(plan, calendar)
    if plan.missed not in tuple(MissedRule):
        raise InputInvalid(f"missed is one of {', '.join(MissedRule)}")
    if plan.if_running not in tuple(RunningRule):
        raise InputInvalid(f"if_running is one of {', '.join(RunningRule)}")
    _between("missed_max", plan.missed_max, 1, MISSED_MAX)
    _between("late_ms_max", plan.late_ms_max, *LATE_MS)
    for field, amount in (
        ("budget_tokens", plan.budget_tokens),
        ("budget_nanodollars", plan.budget_nanodollars),
    ):
        if amount is not None:
            _between(field, amount, 1, AMOUNT_MAX)
    if plan.session_id is not None:
        if not is_uuid(plan.session_id):
            raise InputInvalid("session_id is not a UUID in canonical form")
        if plan.budget_tokens is not None or plan.budget_nanodollars is not None:
            raise InputInvalid("a session that is there has a budget already: `cartrita budget` changes it")
    return PATTERNS_ALONE.fact(plan)


def _checked_times(plan: SchedulePlan, calendar: Calendar) -> None:
    given = [name for name in ("cron", "every_ms", "at_ms") if getattr(plan, name) is not None]
    if len(given) != 1:
        raise InputInvalid("a schedule says when by one of cron, every_ms and at_ms")
    if plan.every_ms is not None:
        _between("every_ms", plan.every_ms, EVERY_MS_MIN, EVERY_MS_MAX)
    if plan.at_ms is not None:
        _between("at_ms", plan.at_ms, 0, AT_MS_MAX)
    if len(plan.zone) > ZONE_CHARACTERS_MAX or len(plan.cron or "") > CRON_CHARACTERS_MAX:
        raise InputInvalid(
            f"cron has at most {CRON_CHARACTERS_MAX} characters, and zone {ZONE_CHARACTERS_MAX}"
        )
    try:
        calendar.check(plan.cron or "0 0 * * *", plan.zone)
    except CalendarInvalid as error:
        raise InputInvalid(str(error)) from error


def _name(field: str, text: str, characters_max: int) -> None:
    if not text.strip() or len(text) > characters_max or any(ord(one) < ord(" ") for one in text):
        raise InputInvalid(f"{field} has 1 to {characters_max} characters, none of them a control character")


def _between(field: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise InputInvalid(f"{field} is {number}; it is {least:,} to {most:,}")
