"""What a request for a response says: OpenAI's JSON read into messages, and into what its answer repeats.

A response is known by the event that asked for it, and its items by the response and their place, so that
whatever a client names later is found on the log.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from schemas.events.client_calls import ClientMessage
from schemas.events.models import ChatRole, ToolCallProposed
from schemas.frozen import replace
from streams.gateway.governed_requests import ROLES, invalid, output_tokens_max_of, text_of
from streams.gateway.metadata import metadata_json
from streams.gateway.problems import Problem

ECHOED: Final = (
    "background",
    "max_output_tokens",
    "max_tool_calls",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "service_tier",
    "store",
    "temperature",
    "tool_choice",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
)
"""Parameters that an answer repeats as they were given."""
ECHO_BYTES_MAX: Final = 8_192
METADATA_MAX: Final = 16
_FORMATS: Final = ("text", "json_object", "json_schema")
_RESPONSE_ID: Final = re.compile(r"resp_([0-9a-f]{32})")
_ITEM_ID: Final = re.compile(r"(?:msg|fc|rs)_([0-9a-f]{32})_([0-9]{1,6})")
_CONVERSATION_ID: Final = re.compile(r"conv_([0-9a-f]{32})")
Json = Mapping[str, object]
Referred = Mapping[str, tuple[ClientMessage, ...]]
"""What the items of earlier responses that a request refers to say, by their ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for a response, as far as both kinds of models read it alike."""

    model: str
    said: tuple[ClientMessage, ...]
    instructions: str | None
    previous_id: str | None
    """Of the event that asked for the response that is gone on from."""
    session_id: str | None
    """Of the conversation that is gone on with."""
    output_tokens_max: int | None
    stream: bool
    background: bool
    format: Json
    """What is wanted of the answer's text."""
    echo: Json
    """What the answer repeats of the request."""


def response_id(event_id: str) -> str:
    """Return a response's id."""
    return "resp_" + UUID(event_id).hex


def conversation_id(session_id: str) -> str:
    """Return the id by which clients know a session."""
    return "conv_" + UUID(session_id).hex


def event_id_of(name: str) -> str | None:
    """Return the id of the event that asked for a response; None: it is no response's id."""
    found = _RESPONSE_ID.fullmatch(name)
    return None if found is None else str(UUID(found[1]))


def item_place(name: str) -> tuple[str, int] | None:
    """Return the response of an item, by its event, and its place there; None: it is no item's id."""
    found = _ITEM_ID.fullmatch(name)
    return None if found is None else (str(UUID(found[1])), int(found[2]))


def references_in(body: Json) -> Iterator[str]:
    """Name the items of earlier responses that a request refers to."""
    given = body.get("input")
    for item in given if isinstance(given, list) else ():
        if isinstance(item, Mapping) and item.get("type") == "item_reference":
            yield str(item.get("id"))


def asked_of(body: Json, referred: Referred) -> Asked:
    """Read the body of a request for a response; parameters that are not known are ignored.

    Raises:
        Problem: it cannot be answered; `param` names the field.
    """
    if body.get("prompt") is not None:
        raise invalid("prompts are not kept here", "prompt", code="unsupported_parameter")
    previous, conversation = body.get("previous_response_id"), _conversation(body.get("conversation"))
    if previous is not None and conversation is not None:
        raise invalid("a previous_response_id names its conversation by itself", "conversation")
    instructions = body.get("instructions")
    if instructions is not None and not isinstance(instructions, str):
        raise invalid("instructions is a text", "instructions")
    return Asked(
        model=str(body.get("model")),
        said=_said(body.get("input"), referred),
        instructions=instructions,
        previous_id=None if previous is None else _previous(previous),
        session_id=conversation,
        output_tokens_max=output_tokens_max_of(body, ("max_output_tokens",)),
        stream=body.get("stream") is True,
        background=body.get("background") is True,
        format=_format(body.get("text")),
        echo=_echo(body),
    )


def no_response(name: object) -> Problem:
    """Return what is said of a response that is not there, and of one that is somebody else's."""
    return Problem(404, f"there is no response {str(name)[:100]!r}", code="response_not_found")


def no_previous(name: object) -> Problem:
    """Return what is said of a response to go on from that is not there, or is somebody else's."""
    return Problem(
        404,
        f"there is no response {str(name)[:100]!r} to go on from",
        code="previous_response_not_found",
        param="previous_response_id",
    )


def _previous(given: object) -> str:
    found = event_id_of(given) if isinstance(given, str) else None
    if found is None:
        raise no_previous(given)
    return found


def _conversation(given: object) -> str | None:
    name = given.get("id") if isinstance(given, Mapping) else given
    if name is None:
        return None
    found = _CONVERSATION_ID.fullmatch(name) if isinstance(name, str) else None
    if found is None:
        raise Problem(
            404, "there is no such conversation", code="conversation_not_found", param="conversation"
        )
    return str(UUID(found[1]))


def _said(given: object, referred: Referred) -> tuple[ClientMessage, ...]:
    if isinstance(given, str):
        return (ClientMessage(role=ChatRole.USER, text=given),)
    if not isinstance(given, list) or not given:
        raise invalid("input is a text, or a list of at least one item", "input")
    messages: list[ClientMessage] = []
    for number, item in enumerate(given):
        for message in _messages(item, f"input[{number}]", referred):
            _add(messages, message)
    if not messages:
        raise invalid("input says nothing", "input")
    return tuple(messages)


def _add(messages: list[ClientMessage], message: ClientMessage) -> None:
    """Add a message; calls of an assistant belong to what it said just before."""
    last = messages[-1] if messages else None
    if last is not None and last.role is message.role is ChatRole.ASSISTANT and message.tool_calls:
        messages[-1] = replace(
            last, text=last.text + message.text, tool_calls=(*last.tool_calls, *message.tool_calls)
        )
    else:
        messages.append(message)


def _messages(item: object, place: str, referred: Referred) -> Sequence[ClientMessage]:
    """Return what an item says; reasoning says nothing to anybody."""
    if not isinstance(item, Mapping):
        raise invalid(f"{place} is no object", place)
    match item.get("type") or ("message" if "role" in item else None):
        case "message":
            return (_message(item, place),)
        case "function_call":
            return (_function_call(item, place),)
        case "function_call_output":
            return (_function_output(item, place),)
        case "reasoning":
            return ()
        case "item_reference":
            found = referred.get(str(item.get("id")))
            if found is None:
                raise Problem(404, f"there is no item {str(item.get('id'))[:100]!r}", param=f"{place}.id")
            return found
        case _:
            raise invalid(
                f"{place} is of a type that is not taken: it is a message, a function call or its output",
                f"{place}.type",
                code="unsupported_content",
            )


def _message(item: Json, place: str) -> ClientMessage:
    role = ROLES.get(str(item.get("role")))
    if role is None or role is ChatRole.TOOL:
        raise invalid(f"{place} has no role that is known", f"{place}.role")
    return ClientMessage(role=role, text=text_of(item.get("content"), f"{place}.content"))


def _function_call(item: Json, place: str) -> ClientMessage:
    told = [item.get(name) for name in ("call_id", "name", "arguments")]
    if not all(isinstance(one, str) for one in told):
        raise invalid(f"{place} is no function call with call_id, name and arguments", place)
    call = ToolCallProposed(tool_call_id=str(told[0]), name=str(told[1]), arguments_json=str(told[2]))
    return ClientMessage(role=ChatRole.ASSISTANT, text="", tool_calls=(call,))


def _function_output(item: Json, place: str) -> ClientMessage:
    call_id = item.get("call_id")
    if not isinstance(call_id, str):
        raise invalid(f"{place} does not say which call it answers", f"{place}.call_id")
    text = text_of(item.get("output"), f"{place}.output")
    return ClientMessage(role=ChatRole.TOOL, text=text, tool_call_id=call_id)


def _format(text: object) -> Json:
    if text is not None and not isinstance(text, Mapping):
        raise invalid("text is an object", "text")
    given = None if text is None else text.get("format")
    if given is None:
        return {"type": "text"}
    if not isinstance(given, Mapping) or given.get("type") not in _FORMATS:
        raise invalid(f"text.format is an object whose type is one of {', '.join(_FORMATS)}", "text.format")
    return given


def _echo(body: Json) -> Json:
    metadata = body.get("metadata")
    if metadata is not None and (
        not isinstance(metadata, Mapping)
        or len(metadata) > METADATA_MAX
        or not all(isinstance(value, str) for value in metadata.values())
    ):
        raise invalid(f"metadata is an object of at most {METADATA_MAX} texts", "metadata")
    reasoning = body.get("reasoning")
    if reasoning is not None and not isinstance(reasoning, Mapping):
        raise invalid("reasoning is an object", "reasoning")
    echo = {name: body[name] for name in ECHOED if body.get(name) is not None}
    echo |= {
        name: body[name]
        for name in ("model", "previous_response_id", "conversation")
        if body.get(name) is not None
    }
    for name, value in echo.items():
        if not _is_finite(value):
            raise invalid(f"{name} holds a number that is none", name)
    if len((metadata_json(echo) or "").encode("utf-8", "replace")) > ECHO_BYTES_MAX:
        raise invalid(f"metadata and settings have more than {ECHO_BYTES_MAX:,} bytes together", "metadata")
    return echo


def _is_finite(value: object) -> bool:
    """Tell whether JSON can be written as others read it."""
    try:
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return False
    return True


def echo_json(asked: Asked) -> str:
    """Return what a response repeats of its request, as the log keeps it."""
    return json.dumps(
        {**asked.echo, **({} if asked.instructions is None else {"instructed": True})}, ensure_ascii=False
    )
