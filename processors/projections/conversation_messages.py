"""Rows of `conversation_messages`: the chat, one row a user's message and one an answer.

What a turn used stands on its answer. What no answer tells of stands on the turn's message: of a turn that is
in progress, that was cut off, or whose bill came late. So a session's sum is always what it was charged.
What models and tools said on the way is in the event log, and in the view `conversation_steps`.
"""

from collections.abc import Mapping

from processors.projections.parents import task_rows
from processors.projections.rows import Cell, Place, RowChange
from processors.projections.values import as_uuid, clean, int32, json_of, moment
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged
from schemas.events.inputs import MessageReceived, SessionForked
from schemas.events.outputs import AnswerGiven, TurnStarted
from schemas.ids import derived_id
from schemas.plain import to_plain


def of_message(envelope: Envelope, fact: MessageReceived, place: Place) -> tuple[RowChange, ...]:
    """A user's message, but for its task, which is known only when its turn starts."""
    attachments = [{"name": a.name, "tokens": a.tokens} for a in fact.attachments]
    values: dict[str, Cell] = {
        "role": "user",
        "content": clean(fact.text),
        "created_at": moment(envelope.occurred_at_ms or place.timestamp_ms),
        "metadata": json_of(
            {"event_id": envelope.event_id, "user_id": envelope.user_id, "attachments": attachments}
        ),
        "graph_node": "intake",
    }
    return _row(envelope, "input", envelope.event_id, None, values)


def of_fork(envelope: Envelope, fact: SessionForked, place: Place) -> tuple[RowChange, ...]:
    """What a fork says in the place of what its origin was told, or that it goes on with that."""
    said = fact.text if fact.text is not None and fact.call_id is None else ""
    if not said:
        what = " with another result of a tool" if fact.call_id is not None else ""
        said = f"(forked from session {fact.origin_session_id}{what})"
    values: dict[str, Cell] = {
        "role": "user",
        "content": clean(said),
        "created_at": moment(envelope.occurred_at_ms or place.timestamp_ms),
        "metadata": json_of(
            {
                "event_id": envelope.event_id,
                "user_id": envelope.user_id,
                "origin_session_id": fact.origin_session_id,
                "origin_event_id": fact.origin_event_id,
                "origin_sequence": fact.origin_sequence,
                "call_id": fact.call_id,
                "model": fact.model,
                "policy": fact.policy_json is not None,
            }
        ),
        "graph_node": "fork",
    }
    return _row(envelope, "input", envelope.event_id, None, values)


def of_turn(envelope: Envelope, fact: TurnStarted) -> tuple[RowChange, ...]:
    """The root task of the turn that a message began."""
    return _row(envelope, "input", fact.input_id, fact.task_id, {})


def of_charged(envelope: Envelope, fact: BudgetCharged) -> tuple[RowChange, ...]:
    """What a call used stands on its turn's message, until an answer tells of it.

    A client's single call has neither turn nor task.
    """
    if not fact.task_id:
        return ()
    return _row(envelope, "input", envelope.correlation_id, None, {"cost_tokens": int32(fact.tokens)})


def of_answer(envelope: Envelope, fact: AnswerGiven) -> tuple[RowChange, ...]:
    """What the user was answered."""
    values: dict[str, Cell] = {
        "role": "assistant",
        "content": clean(fact.text),
        "created_at": moment(envelope.occurred_at_ms),
        "metadata": json_of(
            {
                "event_id": envelope.event_id,
                "turn": fact.turn,
                "complete": fact.complete,
                "reason": fact.reason,
                "model": fact.model,
                "local": fact.local,
                "cost_nanodollars": fact.cost_nanodollars,
                "citations": [to_plain(citation) for citation in fact.citations],
            }
        ),
        "graph_node": "answer",
        "cost_tokens": int32(fact.tokens),
    }
    told = {"cost_tokens": -int32(fact.tokens)}
    return (
        *_row(envelope, "input", fact.input_id, None, told),
        *_row(envelope, "answer", envelope.event_id, fact.task_id, values),
    )


def _row(
    envelope: Envelope, kind: str, event_id: str | None, task_id: str | None, values: Mapping[str, Cell]
) -> tuple[RowChange, ...]:
    session_id, task = as_uuid(envelope.session_id), as_uuid(task_id)
    if session_id is None or not event_id:
        return ()
    # People choose the ids of their messages, and two sessions may have chosen the same one; what the system
    # says has ids of its own. The kind is part of the id, so that no two topics write one row.
    key = derived_id("message", kind, session_id, event_id)
    whole = {**values, "session_id": session_id, "task_id": task}
    return (
        *task_rows(session_id, task),
        RowChange("conversation_messages", key, whole),
    )
