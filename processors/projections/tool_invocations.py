"""Rows of `tool_invocations`, the V1 table of tool calls."""

from processors.projections.parents import session_row
from processors.projections.rows import Cell, RowChange
from processors.projections.values import as_uuid, clean, int32, json_of, json_text, moment
from schemas.envelope import Envelope
from schemas.events.tools import ToolCallCompleted, ToolOutcomeObserved, ToolResultFact


def of_result(envelope: Envelope, fact: ToolResultFact) -> tuple[RowChange, ...]:
    """How a call ended, in V1's form: `output_json` says `success`, and the result or the error."""
    if isinstance(fact, ToolCallCompleted):
        output = f'{{"success":true,"result":{json_text(fact.result_json)}}}'
    else:
        output = json_of({"success": False, "error": fact.kind, "message": fact.message})
    values: dict[str, Cell] = {
        "tool_name": clean(fact.tool),
        "output_json": output,
        "latency_ms": int32(fact.latency_ms),
        "cost_tokens": int32(fact.used_tokens),
        "created_at": moment(envelope.occurred_at_ms),
    }
    return _row(envelope, fact.call_id, values)


def of_outcome(envelope: Envelope, fact: ToolOutcomeObserved) -> tuple[RowChange, ...]:
    """The tool's category, which its results do not say."""
    return _row(envelope, fact.call_id, {"category": clean(fact.category)})


def _row(envelope: Envelope, call_id: str, values: dict[str, Cell]) -> tuple[RowChange, ...]:
    session_id, key = as_uuid(envelope.session_id), as_uuid(call_id)
    if session_id is None or key is None:
        return ()
    values = {"session_id": session_id, **values}
    return (
        session_row(session_id),
        RowChange("tool_invocations", key, values),
    )
