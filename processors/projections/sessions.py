"""Rows of `sessions` and `session_summaries`, of inputs, outputs and budgets."""

from processors.projections.parents import session_row
from processors.projections.rows import Cell, Place, RowChange
from processors.projections.values import as_uuid, cut, moment, one_of
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged, BudgetGranted
from schemas.events.client_calls import ClientCallReceived
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.inputs import InputFact, MessageReceived, SessionForked, SessionOpened
from schemas.events.outputs import (
    AnswerGiven,
    ApprovalClosed,
    ApprovalRequested,
    EndReason,
    ErrorReported,
    NoticeGiven,
    OutcomeAsked,
    OutputFact,
    ProgressReported,
    SessionEnded,
    TurnStarted,
)

TITLE_CHARACTERS_MAX = 80
ANSWER_CHARACTERS_MAX = 1_000
ACCOUNT_CHARACTERS_MAX = 200
ENDS = tuple(reason.value for reason in EndReason)


def of_input(envelope: Envelope, fact: InputFact, place: Place) -> tuple[RowChange, ...]:
    """An input opens its session if nothing has."""
    session_id = as_uuid(envelope.session_id)
    if session_id is None:
        return ()
    taken_at = moment(envelope.occurred_at_ms or place.timestamp_ms)
    values: dict[str, Cell] = {"last_input_at": taken_at}
    if isinstance(fact, SessionOpened | MessageReceived | SessionForked):
        # Anybody may send the others, and they open nothing.
        values["tenant_id"] = cut(envelope.tenant_id, ACCOUNT_CHARACTERS_MAX)
        values["user_id"] = cut(envelope.user_id, ACCOUNT_CHARACTERS_MAX)
        values["opened_at"] = taken_at
    if isinstance(fact, SessionOpened):
        values["title"] = cut(fact.title, TITLE_CHARACTERS_MAX) if fact.title else None
    if isinstance(fact, MessageReceived):
        values["title"] = cut(" ".join(fact.text.split()), TITLE_CHARACTERS_MAX)
        values["messages"] = 1
    if isinstance(fact, SessionForked):
        values["forked_from"] = as_uuid(fact.origin_session_id)
        values["forked_at"] = as_uuid(fact.origin_event_id)
        said = fact.text if fact.text is not None and fact.call_id is None else None
        title = f"fork of {fact.origin_session_id}" if said is None else " ".join(said.split())
        values["title"] = cut(title, TITLE_CHARACTERS_MAX)
        values["messages"] = 0 if said is None else 1
    return (
        RowChange("sessions", session_id, {"created_at": taken_at}),
        RowChange("session_summaries", session_id, values),
    )


def of_budget(envelope: Envelope, fact: BudgetGranted | BudgetCharged) -> tuple[RowChange, ...]:
    """What the session may use and has used; a task's own budget is no money of its own."""
    if isinstance(fact, BudgetCharged):
        return _summary(envelope, {"tokens_used": fact.tokens, "nanodollars_used": fact.nanodollars})
    if fact.scope != "session":
        return ()
    return _summary(envelope, {"budget_tokens": fact.tokens, "budget_nanodollars": fact.nanodollars})


def of_output(envelope: Envelope, fact: OutputFact) -> tuple[RowChange, ...]:
    """Where the session stands."""
    at = moment(envelope.occurred_at_ms)
    match fact:
        case TurnStarted():
            return _summary(envelope, {"status": "running", "turns": fact.turn, "last_output_at": at})
        case ProgressReported():
            return _summary(envelope, {"status": "running", "last_output_at": at})
        case ApprovalRequested() | OutcomeAsked():
            return _summary(envelope, {"status": "waiting", "last_output_at": at})
        case AnswerGiven():
            answer: dict[str, Cell] = {
                # Without a model's text and without a result of any task it only says why there is none.
                "status": "answered" if fact.model or fact.citations else "unanswered",
                "last_output_at": at,
                "last_answer_id": as_uuid(envelope.event_id),
                "last_answer": cut(fact.text, ANSWER_CHARACTERS_MAX),
                "last_answer_at": at,
            }
            return _summary(envelope, answer)
        case ErrorReported() | NoticeGiven() | ApprovalClosed():
            return _summary(envelope, {"last_output_at": at})
        case SessionEnded():
            status = one_of(fact.reason, ENDS, "closed")
            return _summary(envelope, {"status": status, "ended_at": at, "last_output_at": at})


def of_call(envelope: Envelope, fact: ClientCallReceived) -> tuple[RowChange, ...]:
    """A session of clients' calls is no conversation."""
    return _summary(envelope, {"calls_of": as_uuid(fact.token_id)})


def of_rejected(envelope: Envelope, fact: RecordRejected, place: Place) -> tuple[RowChange, ...]:
    """A session that was set aside, since an input of it cannot be applied."""
    if fact.code != RejectionCode.QUARANTINED:
        return ()
    return _summary(envelope, {"put_aside_at": moment(envelope.occurred_at_ms or place.timestamp_ms)})


def _summary(envelope: Envelope, values: dict[str, Cell]) -> tuple[RowChange, ...]:
    session_id = as_uuid(envelope.session_id)
    if session_id is None:
        return ()
    return (
        session_row(session_id),
        RowChange("session_summaries", session_id, values),
    )
