"""What a schedule says when it is due: inputs like any other's, in its owner's name."""

from typing import Final

import orjson

from processors.schedules.state import OpenFiring, ScheduleState
from processors.schedules.times import Due
from schemas.envelope import Envelope, Fact
from schemas.events.inputs import MessageReceived, SessionClosed, SessionOpened
from schemas.events.schedules import ScheduleFired
from schemas.frozen import replace
from schemas.ids import derived_id

CLOSED_BECAUSE: Final = "a schedule opened it for one answer"


def firing_id_of(schedule_id: str, due_at_ms: int) -> str:
    """Return the id of what begins at a due time; by it what was begun is known, so never change it."""
    return derived_id(schedule_id, "firing", str(due_at_ms))


def fired(
    state: ScheduleState, event: Envelope, due: Due, producer: str
) -> tuple[ScheduleState, ScheduleFired, tuple[Envelope, ...]]:
    """Begin what is due.

    Args:
        state: how the schedule stands.
        event: the record that says so; its time is now.
        due: with a `fire_at_ms`.
        producer: of what is said.

    Returns:
        The new state, what is told of it, and what is said on `user.inputs`, in order.
    """
    plan = state.plan
    assert plan is not None
    assert due.fire_at_ms is not None
    firing_id = firing_id_of(state.schedule_id, due.fire_at_ms)
    goes_on = plan.one_session or plan.session_id is not None
    session_id = plan.session_id or (
        derived_id(state.schedule_id, "session") if goes_on else derived_id(firing_id, "session")
    )
    metadata = orjson.dumps({"schedule_id": state.schedule_id, "due_at_ms": due.fire_at_ms}).decode()
    opened = SessionOpened(
        title=plan.name,
        budget_tokens=plan.budget_tokens,
        budget_nanodollars=plan.budget_nanodollars,
        metadata_json=metadata,
    )
    message = MessageReceived(text=plan.text, agent=plan.agent, metadata_json=metadata)
    said: list[tuple[str, Fact]] = [(firing_id, message)]
    if not goes_on:
        said.insert(0, (derived_id(firing_id, "opened"), opened))
        said.append((derived_id(firing_id, "closed"), SessionClosed(reason=CLOSED_BECAUSE)))
    elif plan.session_id is None and not state.session_opened:
        said.insert(0, (derived_id(session_id, "opened"), opened))
    begun = OpenFiring(firing_id=firing_id, due_at_ms=due.fire_at_ms, fired_at_ms=event.occurred_at_ms)
    after = replace(state, open=(*state.open, begun), session_opened=state.session_opened or goes_on)
    fact = ScheduleFired(
        firing_id=firing_id,
        due_at_ms=due.fire_at_ms,
        target_session_id=session_id,
        missed=due.missed,
        next_at_ms=due.next_at_ms,
    )
    return after, fact, tuple(_said(state, event, producer, session_id, *one) for one in said)


def _said(
    state: ScheduleState, event: Envelope, producer: str, session_id: str, event_id: str, fact: Fact
) -> Envelope:
    return Envelope(
        event_id=event_id,
        type=type(fact).__name__,
        session_id=session_id,
        tenant_id=state.tenant_id,
        user_id=state.user_id,
        occurred_at_ms=event.occurred_at_ms,
        producer=producer,
        body=fact,
    )
