"""Requests for responses as the log has them, and what is told of them in OpenAI's form."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from schemas.events.client_calls import ClientCallAnswered, ClientCallReceived, ClientMessage, ClientTool
from schemas.events.inputs import MessageReceived
from schemas.events.models import ChatRole, FinishReason, ToolCallProposed
from streams.gateway.door import Owner
from streams.gateway.governed_chat import refusal_of
from streams.gateway.response_events import Ending, Json
from streams.gateway.response_requests import conversation_id, response_id

ROUTE: Final = "responses"
ECHO: Final = "response"
"""Under this name a message's metadata have what its response repeats of the request."""
_INCOMPLETE: Final = {
    FinishReason.LENGTH: "max_output_tokens",
    FinishReason.CONTENT_FILTER: "content_filter",
}
_USUAL: Final[Mapping[str, object]] = {
    "background": False,
    "frequency_penalty": 0.0,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "presence_penalty": 0.0,
    "previous_response_id": None,
    "prompt_cache_key": None,
    "safety_identifier": None,
    "service_tier": "default",
    "store": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "top_logprobs": 0,
    "top_p": 1.0,
    "truncation": "disabled",
    "user": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """A request for a response that is on the log."""

    event_id: str
    session_id: str
    owner: Owner
    asked_at_ms: int
    body: ClientCallReceived | MessageReceived
    is_new: bool = False
    """True: this gateway has put it there just now."""

    @property
    def size(self) -> int:
        """Return about how many characters it has."""
        return _size_of(self.body)

    @property
    def echo(self) -> Mapping[str, object] | None:
        """Return what the response repeats of the request; None: no response was asked for."""
        if isinstance(self.body, ClientCallReceived):
            return None if self.body.echo_json is None else _object(json.loads(self.body.echo_json))
        metadata = json.loads(self.body.metadata_json or "{}")
        return _object(metadata.get(ECHO)) if isinstance(metadata, Mapping) else None


def _size_of(body: ClientCallReceived | MessageReceived) -> int:
    if isinstance(body, MessageReceived):
        return len(body.text)
    texts = (*(one.text for one in body.messages), *(one.parameters_json for one in body.tools))
    return sum(map(len, texts)) + len(body.parameters_json)


def _object(value: object) -> Mapping[str, object] | None:
    return value if isinstance(value, Mapping) else None


def head_of(placed: Placed) -> Json:
    """Return a response without what becomes of it."""
    echo = placed.echo or {}
    body = placed.body
    is_call = isinstance(body, ClientCallReceived)
    reasoning = echo.get("reasoning")
    return {
        "id": response_id(placed.event_id),
        "object": "response",
        "created_at": placed.asked_at_ms // 1_000,
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": _instructions(placed),
        "model": echo.get("model"),
        "conversation": None if is_call else {"id": conversation_id(placed.session_id)},
        "reasoning": {
            "effort": None,
            "summary": None,
            **(reasoning if isinstance(reasoning, Mapping) else {}),
        },
        "text": {"format": _format(body) if isinstance(body, ClientCallReceived) else {"type": "text"}},
        "tools": [_tool(tool) for tool in body.tools] if isinstance(body, ClientCallReceived) else [],
        "usage": None,
        **{name: echo.get(name, usual) for name, usual in _USUAL.items()},
    }


def own_messages(body: ClientCallReceived, echo: Mapping[str, object]) -> tuple[ClientMessage, ...]:
    """Return the messages of a call without the instructions, which are each request's own."""
    return body.messages[1:] if echo.get("instructed") is True else body.messages


def _instructions(placed: Placed) -> str | None:
    echo = placed.echo or {}
    if isinstance(placed.body, ClientCallReceived) and echo.get("instructed") is True:
        return placed.body.messages[0].text
    told = echo.get("instructions")
    return told if isinstance(told, str) else None


def _format(body: ClientCallReceived) -> Json:
    form = json.loads(body.parameters_json).get("response_format")
    if form is None:
        return {"type": "text"}
    return {"type": form["type"], **form.get("json_schema", {})}


def _tool(tool: ClientTool) -> Json:
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description or None,
        "parameters": json.loads(tool.parameters_json),
        "strict": tool.strict,
    }


def ending_of(answered: ClientCallAnswered, ended_at_ms: int) -> Ending:
    """Return how a response ends whose call was answered."""
    reason = _INCOMPLETE.get(answered.finish_reason)
    return Ending(
        status="completed" if reason is None else "incomplete",
        calls=answered.tool_calls,
        refusal=refusal_of(answered.denied),
        usage=usage_of(answered.input_tokens, answered.output_tokens),
        reason=reason,
        ended_s=ended_at_ms // 1_000 or None,
    )


def usage_of(input_tokens: int, output_tokens: int) -> Json:
    """Return what the ledger charged, in the form of responses."""
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": input_tokens + output_tokens,
    }


def messages_in(answered: ClientCallAnswered) -> tuple[ClientMessage, ...]:
    """Return what a model has answered, as the next request tells it."""
    text = answered.text or (refusal_of(answered.denied) or "")
    if not text and not answered.tool_calls:
        return ()
    return (ClientMessage(role=ChatRole.ASSISTANT, text=text, tool_calls=answered.tool_calls),)


def messages_of_item(item: Mapping[str, object]) -> tuple[ClientMessage, ...]:
    """Return what an item of a response's output says, as the next request tells it."""
    if item["type"] == "function_call":
        call = ToolCallProposed(
            tool_call_id=str(item["call_id"]), name=str(item["name"]), arguments_json=str(item["arguments"])
        )
        return (ClientMessage(role=ChatRole.ASSISTANT, text="", tool_calls=(call,)),)
    content = item.get("content")
    if item["type"] != "message" or not isinstance(content, Sequence):
        return ()
    text = "".join(str(part.get("text") or part.get("refusal") or "") for part in content)
    return (ClientMessage(role=ChatRole.ASSISTANT, text=text),)


def input_items(placed: Placed) -> list[Json]:
    """Return what a response was asked with, in order."""
    body = placed.body
    key = UUID(placed.event_id).hex
    if isinstance(body, ClientCallReceived):
        messages: Iterable[ClientMessage] = own_messages(body, placed.echo or {})
    else:
        messages = (ClientMessage(role=ChatRole.USER, text=body.text),)
    items: list[Json] = []
    for message in messages:
        for told in _items_of(message):
            items.append({"id": f"{_KINDS[str(told['type'])]}_{key}_in{len(items)}", **told})
    return items


_KINDS: Final = {"message": "msg", "function_call": "fc", "function_call_output": "fco"}


def _items_of(message: ClientMessage) -> Iterable[Json]:
    if message.role is ChatRole.TOOL:
        yield {
            "type": "function_call_output",
            "call_id": message.tool_call_id,
            "output": message.text,
            "status": "completed",
        }
        return
    if message.text or not message.tool_calls:
        part: Json = {"type": "input_text", "text": message.text}
        if message.role is ChatRole.ASSISTANT:
            part = {"type": "output_text", "text": message.text, "annotations": []}
        yield {"type": "message", "role": str(message.role), "content": [part], "status": "completed"}
    for call in message.tool_calls:
        yield {
            "type": "function_call",
            "call_id": call.tool_call_id,
            "name": call.name,
            "arguments": call.arguments_json,
            "status": "completed",
        }
