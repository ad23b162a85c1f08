"""What faults make of an answer."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from connectors.local_model.faults import Fault
from connectors.local_model.wire import ChatCall, Reply
from schemas.events.models import ToolCallProposed

LARGE_ANSWER_BYTES: Final = 1_000_000
LONG_ANSWER_BYTES: Final = 8_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpError:
    """A response that is an error from the start."""

    status: int
    type: str
    code: str | None
    message: str


HTTP_FAULTS: Final[Mapping[str, HttpError]] = {
    "rate_limited": HttpError(
        status=429,
        type="requests",
        code="rate_limit_exceeded",
        message="Rate limit reached; try again later.",
    ),
    "quota_exhausted": HttpError(
        status=429,
        type="insufficient_quota",
        code="insufficient_quota",
        message="You exceeded your current quota; check your plan and billing details.",
    ),
    "server_error": HttpError(
        status=500, type="server_error", code=None, message="The server had an error while processing."
    ),
    "not_found": HttpError(status=404, type="invalid_request_error", code=None, message="Not Found"),
    "unsupported": HttpError(
        status=501,
        type="not_supported_error",
        code=None,
        message="This server does not support embeddings.",
    ),
    "unavailable": HttpError(
        status=503, type="server_error", code=None, message="The engine is currently overloaded."
    ),
    "gateway_timeout": HttpError(status=504, type="server_error", code=None, message="Gateway timeout."),
    "unauthorized": HttpError(
        status=401,
        type="invalid_request_error",
        code="invalid_api_key",
        message="Incorrect API key provided.",
    ),
}


def faulty_reply(fault: Fault, reply: Reply, call: ChatCall) -> tuple[Reply, ChatCall, str | None]:
    """Return what `fault` makes of the reply, of the request's limits and of the finish reason."""
    if fault.kind == "truncated_json":
        text = reply.text or (reply.tool_calls[0].arguments_json if reply.tool_calls else "{")
        return Reply(text=text[: max(1, len(text) // 2)]), call, "stop"
    if fault.kind == "not_json":
        return Reply(text="I would rather explain my plan in a sentence than in JSON."), call, None
    if fault.kind == "cyclic_plan":
        return Reply(text=_cyclic_plan()), call, None
    if fault.kind == "wrong_tool":
        wrong = ToolCallProposed(tool_call_id="call_wrong", name="no_such_tool", arguments_json="{}")
        return Reply(text="", tool_calls=(wrong,)), call, None
    if fault.kind == "bad_arguments" and call.tools:
        bad = ToolCallProposed(
            tool_call_id="call_bad", name=call.tools[0].name, arguments_json='{"query": "unfinished'
        )
        return Reply(text="", tool_calls=(bad,)), call, None
    if fault.kind in ("large_answer", "long_answer"):
        size_bytes = LARGE_ANSWER_BYTES if fault.kind == "large_answer" else LONG_ANSWER_BYTES
        line = "This answer is far longer than it was allowed to be. "
        text = (line * (size_bytes // len(line) + 1))[:size_bytes]
        return Reply(text=text), replace(call, tokens_max=None), None
    if fault.kind == "content_filter":
        return Reply(text=""), call, "content_filter"
    if fault.kind == "text":
        return Reply(text=fault.text), call, None
    return reply, call, None


def faulty_chunks(
    fault: Fault | None, chunks: Iterable[Mapping[str, object]]
) -> Iterator[Mapping[str, object]]:
    """Yield the objects of a stream, all of them once more where the fault says so."""
    sent = []
    for chunk in chunks:
        sent.append(chunk)
        yield chunk
    if fault is not None and fault.kind == "duplicate_answer":
        yield from sent


def _cyclic_plan() -> str:
    tasks = [
        {
            "key": key,
            "intent": f"Wait for {other}",
            "agent": "researcher",
            "priority": 5,
            "parent": None,
            "edges": [{"relation": "depends_on", "task": other, "weight": 1.0}],
        }
        for key, other in (("t1", "t2"), ("t2", "t1"))
    ]
    return json.dumps({"tasks": tasks})
