"""Rows of `conversation_messages`: what users, models and tools said, and the answers."""

from processors.projections.parents import task_rows
from processors.projections.rows import Cell, Place, RowChange
from processors.projections.values import as_uuid, clean, cut, int32, json_of, moment
from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived, SessionForked
from schemas.events.models import ModelCallCompleted
from schemas.events.outputs import AnswerGiven, TurnStarted
from schemas.events.tools import ToolCallCompleted, ToolResultFact
from schemas.ids import derived_id
from schemas.plain import to_plain

NODE_OF_PURPOSE = {"plan": "plan", "critique": "critique", "step": "execute", "synthesize": "synthesize"}


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
        "cost_tokens": int32(fact.tokens),
    }
    return _row(envelope, "input", envelope.event_id, None, values)


def of_fork(envelope: Envelope, fact: SessionForked, place: Place) -> tuple[RowChange, ...]:
    """What a fork says in the place of what its origin was told, or that it goes on with that."""
    if fact.call_id is not None:
        said, role = fact.text or "", "tool"
    else:
        said, role = fact.text or f"(forked from session {fact.origin_session_id})", "user"
    values: dict[str, Cell] = {
        "role": role,
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
        "cost_tokens": int32(fact.tokens),
    }
    return _row(envelope, "input", envelope.event_id, None, values)


def of_turn(envelope: Envelope, fact: TurnStarted) -> tuple[RowChange, ...]:
    """The root task of the turn that a message began."""
    return _row(envelope, "input", fact.input_id, fact.task_id, {})


def of_model(envelope: Envelope, fact: ModelCallCompleted) -> tuple[RowChange, ...]:
    """What a model said."""
    values: dict[str, Cell] = {
        "role": "assistant",
        "content": clean(fact.text),
        "created_at": moment(envelope.occurred_at_ms),
        "metadata": json_of(
            {
                "event_id": envelope.event_id,
                "call_id": fact.call_id,
                "agent": fact.agent,
                "purpose": fact.purpose,
                "model": fact.model,
                "local": fact.local,
                "finish_reason": fact.finish_reason,
                "input_tokens": fact.input_tokens,
                "output_tokens": fact.output_tokens,
                "cost_nanodollars": fact.cost_nanodollars,
                "tool_calls": [to_plain(call) for call in fact.tool_calls],
            }
        ),
        "graph_node": cut(NODE_OF_PURPOSE.get(fact.purpose, fact.purpose), 50),
        "cost_tokens": int32(fact.input_tokens + fact.output_tokens),
    }
    return _row(envelope, "model", envelope.event_id, fact.task_id, values)


def of_tool(envelope: Envelope, fact: ToolResultFact) -> tuple[RowChange, ...]:
    """What a tool gave, or why it gave nothing."""
    succeeded = isinstance(fact, ToolCallCompleted)
    metadata: dict[str, object] = {
        "event_id": envelope.event_id,
        "call_id": fact.call_id,
        "agent": fact.agent,
        "tool_name": fact.tool,
        "tool_version": fact.tool_version,
        "tool_call_id": fact.tool_call_id,
        "success": succeeded,
        "cost_nanodollars": fact.cost_nanodollars,
    }
    if not isinstance(fact, ToolCallCompleted):
        metadata["error"] = fact.kind
    values: dict[str, Cell] = {
        "role": "tool",
        "content": clean(fact.result_json if isinstance(fact, ToolCallCompleted) else fact.message),
        "created_at": moment(envelope.occurred_at_ms),
        "metadata": json_of(metadata),
        "graph_node": "execute",
        "cost_tokens": int32(fact.used_tokens),
    }
    return _row(envelope, "tool", envelope.event_id, fact.task_id, values)


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
    return _row(envelope, "answer", envelope.event_id, fact.task_id, values)


def _row(
    envelope: Envelope, kind: str, event_id: str, task_id: str | None, values: dict[str, Cell]
) -> tuple[RowChange, ...]:
    session_id, task = as_uuid(envelope.session_id), as_uuid(task_id)
    if session_id is None or not event_id:
        return ()
    # People choose the ids of their messages, and two sessions may have chosen the same one; what the system
    # says has ids of its own. The kind is part of the id, so that no two topics write one row.
    key = derived_id("message", kind, session_id, event_id)
    values |= {"session_id": session_id, "task_id": task}
    return (
        *task_rows(session_id, task),
        RowChange("conversation_messages", key, values),
    )
