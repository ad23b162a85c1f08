"""Opening a session, and taking up messages one after the other."""

from typing import Final

from processors import cancellation, leases, planning, snapshots
from processors.provenance import of_message
from processors.state import (
    AttachmentName,
    Draft,
    MessageTaken,
    Phase,
    SessionStatus,
    Turn,
)
from processors.transition import Transition
from schemas.events.inputs import MessageReceived, SessionOpened
from schemas.events.outputs import ErrorCode, TurnStarted
from schemas.events.snapshots import Node
from schemas.events.tasks import TaskCreated
from schemas.frozen import replace
from schemas.ids import derived_id

ROOT_INTENT: Final = "answer the message"
"""Of a turn that was taken up before messages had an excerpt."""
EXCERPT_CHARACTERS_MAX: Final = 500
INTENT_AGENT: Final = "session"


def session_opened(transition: Transition, body: SessionOpened) -> None:
    """Open the session with settings of its own; an open one keeps its settings."""
    if transition.state.status is SessionStatus.NEW:
        leases.open_session(transition, body.budget_tokens, body.budget_nanodollars)
    else:
        leases.ignore_budget(transition, body.budget_tokens, body.budget_nanodollars)


def message_received(transition: Transition, body: MessageReceived) -> None:
    """Open the session if it is new, and queue the message; a full queue refuses it."""
    if transition.state.status is SessionStatus.NEW:
        leases.open_session(transition, body.budget_tokens, body.budget_nanodollars)
    else:
        leases.ignore_budget(transition, body.budget_tokens, body.budget_nanodollars)
    state = transition.state
    limits = transition.configuration.limits
    if state.status is SessionStatus.CLOSING:
        transition.refuse(ErrorCode.SESSION_CLOSED, "the session is closing and takes no more messages")
        return
    if len(state.queue) >= limits.queue_max:
        transition.refuse(ErrorCode.QUEUE_FULL, f"{limits.queue_max} messages wait already")
        return
    taken = MessageTaken(
        reference=transition.reference(body.tokens),
        excerpt=excerpt_of(body.text),
        attachments=tuple(
            AttachmentName(name=attachment.name, tokens=attachment.tokens) for attachment in body.attachments
        ),
        received_at_ms=transition.now_ms,
        traceparent=transition.event.traceparent,
        agent=body.agent,
        characters=len(body.text),
        made_from=of_message(body.trust, attachments=bool(body.attachments)),
    )
    transition.state = replace(state, queue=(*state.queue, taken))


def excerpt_of(text: str) -> str:
    """Return the beginning of a message, by which its turn is known; the whole stands on the log."""
    return text if len(text) <= EXCERPT_CHARACTERS_MAX else text[: EXCERPT_CHARACTERS_MAX - 1] + "…"


def begin_turn(
    transition: Transition, number: int, message: MessageTaken, phase: Phase, draft: Draft
) -> None:
    """Make a turn the one in progress, with its root task and its times counted from now."""
    limits = transition.configuration.limits
    state = transition.state
    input_id = message.input_id
    root_task_id = derived_id(state.session_id, "task", str(number), "root")
    transition.correlate(input_id)
    transition.turn = Turn(
        number=number,
        message=message,
        root_task_id=root_task_id,
        phase=phase,
        started_at_ms=state.now_ms,
        deadline_at_ms=state.now_ms + limits.turn_deadline_ms,
        stall_check_at_ms=state.now_ms + limits.stall_ms,
        synthesis_tokens=int(max(0, state.budget.tokens_left) * limits.synthesis_share),
        synthesis_nanodollars=int(max(0, state.budget.nanodollars_left) * limits.synthesis_share),
        draft=draft,
    )
    past = state.imported
    evidence = (input_id,) if past is None else (input_id, past.event_id)
    transition.emit(TurnStarted(turn=number, input_id=input_id, task_id=root_task_id), evidence)
    transition.emit(
        TaskCreated(
            task_id=root_task_id,
            parent_id=None,
            plan_id=None,
            turn=number,
            intent=message.excerpt or ROOT_INTENT,
            agent=INTENT_AGENT,
            priority=5,
            budget_tokens=max(1, state.budget.tokens_left),
            estimated_tokens=0,
            spec_json=snapshots.json_text({"input_id": input_id, "turn": number}),
            started=True,
        ),
        evidence,
    )


def start_next_turn(transition: Transition) -> None:
    """Take up waiting messages while no turn is in progress; end a closing session that has none left."""
    while (
        transition.state.turn is None
        and transition.state.queue
        and transition.state.status in (SessionStatus.OPEN, SessionStatus.CLOSING)
    ):
        message, *rest = transition.state.queue
        transition.state = replace(transition.state, queue=tuple(rest))
        _start_turn(transition, message)
    cancellation.end_if_closing(transition)


def _start_turn(transition: Transition, message: MessageTaken) -> None:
    state = transition.state
    number = state.turns + 1
    transition.state = replace(state, turns=number)
    plan_id = derived_id(state.session_id, "plan", str(number))
    draft = Draft(plan_id=plan_id, made_from=message.made_from)
    begin_turn(transition, number, message, Phase.PLAN, draft)
    snapshots.take(transition, Node.INTAKE)
    planning.begin(transition)
