"""Rows of `session_schedules` and `schedule_firings`."""

from processors.projections.rows import Cell, RowChange
from processors.projections.values import as_uuid, clean, json_of, moment
from schemas.envelope import Envelope
from schemas.events.schedules import FiringEnded, FiringsSkipped, ScheduleFact, ScheduleFired, ScheduleStood
from schemas.plain import to_plain

BIGINT_MAX = 2**63 - 1


def of_schedule(envelope: Envelope, fact: ScheduleFact) -> tuple[RowChange, ...]:
    """How the schedule stands, and what of it began."""
    schedule_id = as_uuid(envelope.session_id)
    if schedule_id is None:
        return ()
    owner: dict[str, Cell] = {"tenant_id": clean(envelope.tenant_id), "user_id": clean(envelope.user_id)}
    match fact:
        case ScheduleStood():
            return (RowChange("session_schedules", schedule_id, owner | _standing(envelope, fact)),)
        case ScheduleFired():
            firing: dict[str, Cell] = {
                "schedule_id": schedule_id,
                "due_at": moment(fact.due_at_ms),
                "fired_at": moment(envelope.occurred_at_ms),
                "missed": fact.missed,
                "target_session_id": as_uuid(fact.target_session_id),
            }
            return (
                RowChange("session_schedules", schedule_id, owner | {"fired": 1} | _next(fact.next_at_ms)),
                *_firing(fact.firing_id, owner | firing),
            )
        case FiringsSkipped():
            count = min(max(fact.count, 0), BIGINT_MAX)
            return (
                RowChange(
                    "session_schedules", schedule_id, owner | {"skipped": count} | _next(fact.next_at_ms)
                ),
            )
        case FiringEnded():
            ended: dict[str, Cell] = {
                "schedule_id": schedule_id,
                "outcome": clean(fact.outcome),
                "detail": clean(fact.detail),
                "ended_at": moment(envelope.occurred_at_ms),
            }
            return (
                RowChange("session_schedules", schedule_id, owner),
                *_firing(fact.firing_id, owner | ended),
            )


def _standing(envelope: Envelope, fact: ScheduleStood) -> dict[str, Cell]:
    plan, at = fact.plan, moment(envelope.occurred_at_ms)
    return {
        "name": clean(plan.name),
        "message": clean(plan.text),
        "cron": None if plan.cron is None else clean(plan.cron),
        "zone": clean(plan.zone),
        "every_ms": plan.every_ms,
        "at": None if plan.at_ms is None else moment(plan.at_ms),
        "plan": json_of(to_plain(plan)),
        "status": clean(fact.status),
        "created_at": at,
        "created_by": clean(fact.by),
        "changed_at": at,
        "changed_by": clean(fact.by),
        "reason": clean(fact.reason or ""),
    } | _next(fact.next_at_ms)


def _next(at_ms: int | None) -> dict[str, Cell]:
    return {} if at_ms is None else {"next_at": moment(at_ms)}


def _firing(firing_id: str, values: dict[str, Cell]) -> tuple[RowChange, ...]:
    key = as_uuid(firing_id)
    return () if key is None else (RowChange("schedule_firings", key, values),)
