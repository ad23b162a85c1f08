"""The OpenAI API on the wire: requests checked into typed values, answers and errors as JSON-able objects."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas.events.models import ToolCallProposed
from schemas.ports.chat import ChatMessage, ToolOffered

FINGERPRINT = "local-deterministic"
CREATED = 0
"""The API wants a time here; the same request must give the same bytes, so it is always 1970."""
MODEL_PREFIX = "local-deterministic/"
EMBEDDING_INPUTS_MAX = 2_048

_ROLES = ("system", "developer", "user", "assistant", "tool")
_CHAT_FIELDS_LISTED = """
model messages tools tool_choice response_format stream stream_options max_tokens max_completion_tokens
n temperature top_p frequency_penalty presence_penalty seed user metadata store parallel_tool_calls
service_tier safety_identifier prompt_cache_key
"""
_CHAT_FIELDS = frozenset(_CHAT_FIELDS_LISTED.split())
_PIECE = re.compile(r"\s*\S+(?:\s+\S+){0,3}\s*\Z|\s*\S+(?:\s+\S+){0,3}|\s+")


class BadRequest(Exception):
    """The request is refused with an OpenAI-style error body."""

    def __init__(
        self, message: str, *, status: int = 400, code: str | None = None, parameter: str | None = None
    ) -> None:
        """Note what the client is told."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.parameter = parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatCall:
    """A checked request for a chat completion."""

    model: str
    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolOffered, ...] = ()
    tool_choice: str = "auto"
    """auto, none, required, or the name of a tool after `function:`."""
    json_mode: bool = False
    stream: bool = False
    include_usage: bool = False
    tokens_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingCall:
    """A checked request for embeddings."""

    model: str
    texts: tuple[str, ...]
    dimensions: int | None
    base64: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the rules answer, before it is cut to size."""

    text: str
    tool_calls: tuple[ToolCallProposed, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """A whole answer, cut to size and counted."""

    id: str
    model: str
    reply: Reply
    finish_reason: str
    prompt_tokens: int
    completion_tokens: int


def parse_json(body: bytes) -> Mapping[str, object]:
    """Return the body's JSON object.

    Raises:
        BadRequest: it is none.
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"We could not parse the JSON body of your request: {error}") from error
    if not isinstance(value, dict):
        raise BadRequest("The body of your request must be a JSON object.")
    return value


def parse_chat(body: Mapping[str, object]) -> ChatCall:
    """Check a request for a chat completion.

    Raises:
        BadRequest: it is not one that this server can answer; the message says what is wrong.
    """
    unknown = sorted(set(body) - _CHAT_FIELDS)
    if unknown:
        raise BadRequest(f"Unrecognized request argument supplied: {unknown[0]}", parameter=unknown[0])
    if body.get("n") not in (None, 1):
        raise BadRequest("This server gives one choice: n must be 1.", parameter="n")
    messages = tuple(_message(message, index) for index, message in enumerate(_list(body, "messages")))
    if not messages:
        raise BadRequest("Invalid 'messages': empty array. Expected at least 1.", parameter="messages")
    tools = tuple(_tool(tool, index) for index, tool in enumerate(_list(body, "tools", required=False)))
    json_mode = _json_mode(body)
    if json_mode and not any("json" in message.text.lower() for message in messages):
        raise BadRequest(
            "'messages' must contain the word 'json' in some form, to use 'response_format' of type "
            "'json_object'.",
            parameter="messages",
        )
    options = body.get("stream_options") or {}
    return ChatCall(
        model=_model(body),
        messages=messages,
        tools=tools,
        tool_choice=_tool_choice(body.get("tool_choice"), tools),
        json_mode=json_mode,
        stream=body.get("stream") is True,
        include_usage=isinstance(options, dict) and options.get("include_usage") is True,
        tokens_max=_tokens_max(body),
    )


def parse_embedding(body: Mapping[str, object]) -> EmbeddingCall:
    """Check a request for embeddings.

    Raises:
        BadRequest: it is not one that this server can answer.
    """
    given = body.get("input")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise BadRequest("'input' must be a string or an array of strings, none empty.", parameter="input")
    if len(texts) > EMBEDDING_INPUTS_MAX:
        raise BadRequest(f"'input' may have at most {EMBEDDING_INPUTS_MAX} texts.", parameter="input")
    dimensions = body.get("dimensions")
    if dimensions is not None and (not _is_int(dimensions) or not 1 <= int(str(dimensions)) <= 3_072):
        raise BadRequest("'dimensions' must be an integer from 1 to 3072.", parameter="dimensions")
    encoding = body.get("encoding_format", "float")
    if encoding not in ("float", "base64"):
        raise BadRequest("'encoding_format' must be float or base64.", parameter="encoding_format")
    return EmbeddingCall(
        model=_model(body),
        texts=tuple(str(text) for text in texts),
        dimensions=int(str(dimensions)) if dimensions is not None else None,
        base64=encoding == "base64",
    )


def error_body(message: str, kind: str, code: str | None, parameter: str | None) -> dict[str, object]:
    """Return an error as the API words it."""
    return {"error": {"message": message, "type": kind, "param": parameter, "code": code}}


def completion_id(body: bytes) -> str:
    """Return the id of an answer: a hash of the request, so that the same request has the same."""
    return f"chatcmpl-local-{hashlib.sha256(body).hexdigest()[:24]}"


def completion_body(completion: Completion) -> dict[str, object]:
    """Return a whole answer as one object."""
    message: dict[str, object] = {
        "role": "assistant",
        "content": completion.reply.text or None,
        "refusal": None,
    }
    if completion.reply.tool_calls:
        message["tool_calls"] = [_tool_call(call) for call in completion.reply.tool_calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None,
        "finish_reason": completion.finish_reason,
    }
    return {**_head(completion, "chat.completion"), "choices": [choice], "usage": usage(completion)}


def completion_chunks(completion: Completion, *, include_usage: bool) -> Iterator[dict[str, object]]:
    """Return an answer as the objects of a stream, in order."""
    head = _head(completion, "chat.completion.chunk")
    if include_usage:
        head["usage"] = None
    yield {**head, "choices": [_delta({"role": "assistant", "content": "", "refusal": None})]}
    for piece in _pieces(completion.reply.text):
        yield {**head, "choices": [_delta({"content": piece})]}
    for index, call in enumerate(completion.reply.tool_calls):
        begin = {"index": index, **_tool_call(call), "function": {"name": call.name, "arguments": ""}}
        yield {**head, "choices": [_delta({"tool_calls": [begin]})]}
        for piece in _pieces(call.arguments_json):
            more = {"index": index, "function": {"arguments": piece}}
            yield {**head, "choices": [_delta({"tool_calls": [more]})]}
    yield {**head, "choices": [_delta({}, completion.finish_reason)]}
    if include_usage:
        yield {**head, "choices": [], "usage": usage(completion)}


def usage(completion: Completion) -> dict[str, int]:
    """Return the counts of an answer."""
    return {
        "prompt_tokens": completion.prompt_tokens,
        "completion_tokens": completion.completion_tokens,
        "total_tokens": completion.prompt_tokens + completion.completion_tokens,
    }


def _head(completion: Completion, kind: str) -> dict[str, object]:
    return {
        "id": completion.id,
        "object": kind,
        "created": CREATED,
        "model": MODEL_PREFIX + completion.model,
        "system_fingerprint": FINGERPRINT,
    }


def _delta(delta: Mapping[str, object], finish_reason: str | None = None) -> dict[str, object]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


def _tool_call(call: ToolCallProposed) -> dict[str, object]:
    function = {"name": call.name, "arguments": call.arguments_json}
    return {"id": call.tool_call_id, "type": "function", "function": function}


def _pieces(text: str) -> list[str]:
    return _PIECE.findall(text)


def _message(value: object, index: int) -> ChatMessage:
    where = f"messages[{index}]"
    if not isinstance(value, dict):
        raise BadRequest(f"Invalid type for '{where}': expected an object.", parameter=where)
    role = value.get("role")
    if role not in _ROLES:
        raise BadRequest(
            f"Invalid value for '{where}.role': {role!r}. Supported values are: {', '.join(_ROLES)}.",
            parameter=f"{where}.role",
        )
    calls = tuple(_called(call, where) for call in value.get("tool_calls") or ())
    tool_call_id = value.get("tool_call_id")
    if role == "tool" and not isinstance(tool_call_id, str):
        raise BadRequest(f"'{where}' of role tool must name its tool_call_id.", parameter=where)
    text = _text(value.get("content"), where, optional=bool(calls))
    return ChatMessage(
        role=str(role),
        text=text,
        tool_calls=calls,
        tool_call_id=tool_call_id if isinstance(tool_call_id, str) else None,
    )


def _text(content: object, where: str, *, optional: bool) -> str:
    if isinstance(content, str):
        return content
    if content is None and optional:
        return ""
    if isinstance(content, list) and all(
        isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)
        for part in content
    ):
        return "".join(part["text"] for part in content)
    raise BadRequest(
        f"Invalid value for '{where}.content': expected a string or an array of text parts.",
        parameter=f"{where}.content",
    )


def _called(value: object, where: str) -> ToolCallProposed:
    function = value.get("function") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(function, dict) or not isinstance(value.get("id"), str):
        raise BadRequest(f"'{where}.tool_calls' must have ids and functions.", parameter=where)
    return ToolCallProposed(
        tool_call_id=value["id"],
        name=str(function.get("name", "")),
        arguments_json=str(function.get("arguments", "")),
    )


def _tool(value: object, index: int) -> ToolOffered:
    function = value.get("function") if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not re.fullmatch(r"[\w-]{1,64}", name):
        raise BadRequest(f"Invalid 'tools[{index}]': a function with a name is expected.", parameter="tools")
    return ToolOffered(
        name=name,
        description=str(function.get("description") or ""),
        parameters_json=json.dumps(
            function.get("parameters") or {}, ensure_ascii=False, separators=(",", ":")
        ),
    )


def _tool_choice(value: object, tools: Sequence[ToolOffered]) -> str:
    if value is None:
        return "auto" if tools else "none"
    if not tools:
        raise BadRequest("'tool_choice' is only allowed when 'tools' are specified.", parameter="tool_choice")
    if value in ("auto", "none", "required"):
        return str(value)
    function = value.get("function") if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not any(tool.name == name for tool in tools):
        raise BadRequest(f"Tool choice {name!r} is not among 'tools'.", parameter="tool_choice")
    return f"function:{name}"


def _json_mode(body: Mapping[str, object]) -> bool:
    value = body.get("response_format")
    kind = value.get("type") if isinstance(value, dict) else None
    if value is not None and kind not in ("text", "json_object", "json_schema"):
        raise BadRequest(
            "'response_format' must be text, json_object or json_schema here.", parameter="response_format"
        )
    return kind in ("json_object", "json_schema")


def _tokens_max(body: Mapping[str, object]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens"):
        value = body.get(name)
        if value is None:
            continue
        if not _is_int(value) or int(str(value)) < 1:
            raise BadRequest(f"Invalid '{name}': expected an integer of at least 1.", parameter=name)
        return int(str(value))
    return None


def _model(body: Mapping[str, object]) -> str:
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise BadRequest("you must provide a model parameter", parameter="model")
    return model


def _list(body: Mapping[str, object], name: str, *, required: bool = True) -> list[object]:
    value = body.get(name)
    if value is None and not required:
        return []
    if not isinstance(value, list):
        raise BadRequest(f"Invalid type for '{name}': expected an array.", parameter=name)
    return value


def _is_int(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
