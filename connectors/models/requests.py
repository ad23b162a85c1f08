"""What a request says, made by the parameters of its model."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Final

from connectors.models.tool_calls import arguments_of
from connectors.models.values import mapping_of
from schemas.configuration import EmbeddingModel, EmbeddingParameters, RequestParameters
from schemas.events.models import ToolCallProposed
from schemas.frozen import replace
from schemas.ports.chat import ChatMessage, ChatRequest, ToolOffered

NOTHING_SAID: Final = "(no text)"
"""Stands where a message would be empty, which many servers refuse."""
UNNAMED: Final = "unnamed"
BLANK: Final = " "
"""Stands for thoughts that were never kept; a text of nothing counts as missing."""
_STATE_FIELDS: Final = ("reasoning_content", "reasoning_details", "extra_content")
_TOO_MANY: Final = re.compile(
    r"\bbatch|too many (?:inputs|texts|items)|array.{0,40}(?:too long|at most)|inputs? (?:list|array)"
)
_NUMBERS: Final = re.compile(r"(?<![\w.])\d{1,5}(?![\w.]*\w)")


def prepared(request: ChatRequest, parameters: RequestParameters) -> ChatRequest:
    """Return the request with its messages as the model takes them; tokens are counted of these.

    No message is empty, no call has arguments that are no JSON (the server may read them), and neighbours of
    one role are one message where roles must alternate.
    """
    messages = [_sound(message) for message in request.messages if _says_something(message)]
    if parameters.system_role == "user":
        messages = [replace(m, role="user") if m.role == "system" else m for m in messages]
    if parameters.alternate_roles:
        messages = _alternating(messages)
    return replace(request, messages=tuple(messages))


def body_of(request: ChatRequest, parameters: RequestParameters) -> dict[str, object]:
    """Return the body of a request that is prepared; the limit of the answer always stands in it."""
    body: dict[str, object] = {
        "model": request.model,
        "messages": [message_of(message, parameters) for message in request.messages],
        "stream": parameters.stream,
        parameters.tokens_max_field: request.output_tokens_max,
    }
    asked = _asked(request, parameters)
    if parameters.temperature and asked is None:
        body["temperature"] = request.temperature
    if parameters.stream and parameters.stream_usage:
        body["stream_options"] = {"include_usage": True}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        if parameters.tool_choice:
            body["tool_choice"] = parameters.tool_choice
        if parameters.parallel_tool_calls is not None:
            body["parallel_tool_calls"] = parameters.parallel_tool_calls
    response_format = _response_format(request, parameters)
    if response_format is not None:
        body["response_format"] = response_format
    extra: dict[str, object] = json.loads(parameters.extra_body_json)
    return body | (asked or {}) | extra


def message_of(message: ChatMessage, parameters: RequestParameters) -> dict[str, object]:
    """Return a message as the API has it, with what the provider wants back."""
    if message.role == "tool":
        return {"role": "tool", "content": message.text, "tool_call_id": message.tool_call_id or ""}
    if message.role == "system":
        return {"role": parameters.system_role, "content": message.text}
    if message.role != "assistant":
        return {"role": message.role, "content": message.text}
    said: dict[str, object] = {
        **_state(message, parameters),
        "role": "assistant",
        "content": message.text or None,
    }
    if message.tool_calls:
        said["tool_calls"] = [_call(call, parameters) for call in message.tool_calls]
    return said


def changed(parameters: RequestParameters, told: str) -> RequestParameters | None:
    """Return how to ask instead, after a provider has refused a request for a parameter; None: it has not.

    Args:
        told: the provider's words, which name the parameter.
    """
    text = told.lower()
    for name, change in _CHANGES.items():
        if name in text:
            found = change(parameters, text)
            if found is not None and found != parameters:
                return found
    return None


def names_asked(request: ChatRequest, told: str) -> bool:
    """Tell whether a provider's words name something that a client asked for."""
    if request.asked_json is None:
        return False
    text = told.lower()
    return any(name in text for name in json.loads(request.asked_json))


def embedding_body_of(
    model: EmbeddingModel, texts: Sequence[str], asked: EmbeddingParameters
) -> dict[str, object]:
    """Return the body of a request for vectors."""
    body: dict[str, object] = json.loads(asked.extra_body_json)
    body |= {"model": model.name, "input": list(texts)}
    if asked.dimensions_field:
        body.setdefault(asked.dimensions_field, model.dimensions)
    if asked.encoding_format:
        body.setdefault("encoding_format", asked.encoding_format)
    return body


def embedding_changed(parameters: EmbeddingParameters, told: str, texts: int) -> EmbeddingParameters | None:
    """Return how to ask for vectors instead; None: nothing else would help.

    Args:
        told: the provider's words, which name what it refuses.
        texts: how many the refused request had.
    """
    text = told.lower()
    field = parameters.dimensions_field
    if field and (field in text or "dimension" in text or "matryoshka" in text):
        return replace(parameters, dimensions_field="")
    if parameters.encoding_format and "encoding_format" in text:
        return replace(parameters, encoding_format="")
    if texts > 1 and _TOO_MANY.search(text):
        told_max = [int(number) for number in _NUMBERS.findall(text) if 0 < int(number) < texts]
        return replace(parameters, texts_max=max(told_max, default=texts // 2))
    return None


def difference(before: object, after: object) -> str:
    """Say which parameters differ, of two records of one kind, for logs."""
    names = [field.name for field in fields(before)]  # type: ignore[arg-type]  # records of parameters
    return ", ".join(f"{n}={getattr(after, n)!r}" for n in names if getattr(before, n) != getattr(after, n))


def _limit(parameters: RequestParameters, text: str) -> RequestParameters | None:
    field = parameters.tokens_max_field
    other = "max_completion_tokens" if field == "max_tokens" else "max_tokens"
    # A message that names the limit's size speaks of a value, and another name would not help.
    refused = any(
        word in text for word in ("unsupported", "not supported", "unknown", "unrecognized", "extra")
    )
    return replace(parameters, tokens_max_field=other) if refused and field in text else None


def _no_temperature(parameters: RequestParameters, _text: str) -> RequestParameters:
    return replace(parameters, temperature=False)


def _no_stream_usage(parameters: RequestParameters, _text: str) -> RequestParameters:
    return replace(parameters, stream_usage=False)


def _weaker_format(parameters: RequestParameters, _text: str) -> RequestParameters:
    weaker = "json_object" if parameters.response_format == "json_schema" else "none"
    return replace(parameters, response_format=weaker)


def _no_parallel(parameters: RequestParameters, _text: str) -> RequestParameters:
    return replace(parameters, parallel_tool_calls=None)


def _no_tool_choice(parameters: RequestParameters, _text: str) -> RequestParameters:
    return replace(parameters, tool_choice="")


def _no_system(parameters: RequestParameters, _text: str) -> RequestParameters:
    return replace(parameters, system_role="user", alternate_roles=True)


def _alternate(parameters: RequestParameters, _text: str) -> RequestParameters:
    return replace(parameters, alternate_roles=True)


def _other_state(parameters: RequestParameters, text: str) -> RequestParameters | None:
    named = tuple(name for name in _STATE_FIELDS if name in text)
    if "missing" not in text and "required" not in text and "must be" not in text:
        kept = tuple(name for name in parameters.state_fields if name not in named)
        return replace(parameters, state_fields=kept, call_state=False)
    # A provider that misses the field wants it, also with messages of which nothing was kept.
    if named[0] == "extra_content":
        return None
    fields = (named[0], *(name for name in parameters.state_fields if name != named[0]))
    return replace(parameters, state_fields=fields, state_always=True)


_CHANGES: Final = {
    "max_tokens": _limit,
    "max_completion_tokens": _limit,
    "temperature": _no_temperature,
    "stream_options": _no_stream_usage,
    "include_usage": _no_stream_usage,
    "response_format": _weaker_format,
    "json_schema": _weaker_format,
    "json_object": _weaker_format,
    "json mode": _weaker_format,
    "parallel_tool_calls": _no_parallel,
    "tool_choice": _no_tool_choice,
    "system role": _no_system,
    "role 'system'": _no_system,
    "developer instruction": _no_system,
    "must alternate": _alternate,
    "roles alternat": _alternate,
    **dict.fromkeys(_STATE_FIELDS, _other_state),
}


def _asked(request: ChatRequest, parameters: RequestParameters) -> dict[str, object] | None:
    """Return what a client asks for, without what the model does not take; None: the call is our own."""
    if request.asked_json is None:
        return None
    asked: dict[str, object] = json.loads(request.asked_json)
    if not parameters.temperature:
        asked.pop("temperature", None)
    if parameters.response_format == "none":
        asked.pop("response_format", None)
    if not request.tools:
        asked.pop("tool_choice", None)
        asked.pop("parallel_tool_calls", None)
    return asked


def _response_format(request: ChatRequest, parameters: RequestParameters) -> dict[str, object] | None:
    if not request.json_mode or parameters.response_format == "none":
        return None
    if parameters.response_format == "json_schema" and request.json_schema is not None:
        schema = {"name": "answer", "schema": json.loads(request.json_schema)}
        return {"type": "json_schema", "json_schema": schema}
    return {"type": "json_object"}


def _says_something(message: ChatMessage) -> bool:
    return message.role != "assistant" or bool(message.text.strip() or message.tool_calls)


def _sound(message: ChatMessage) -> ChatMessage:
    if not message.text.strip() and message.role in ("system", "user", "tool"):
        message = replace(message, text=NOTHING_SAID)
    if not message.tool_calls:
        return message
    return replace(message, tool_calls=tuple(map(_sound_call, message.tool_calls)))


def _sound_call(call: ToolCallProposed) -> ToolCallProposed:
    arguments = arguments_of([call.arguments_json])
    try:
        is_object = isinstance(json.loads(arguments), dict)
    except (ValueError, RecursionError):
        is_object = False
    if not is_object:
        arguments = json.dumps({"refused": call.arguments_json}, ensure_ascii=False)
    return replace(call, arguments_json=arguments, name=call.name or UNNAMED)


def _alternating(messages: list[ChatMessage]) -> list[ChatMessage]:
    joined: list[ChatMessage] = []
    for message in messages:
        last = joined[-1] if joined else None
        if last is not None and last.role == message.role and message.role in ("system", "user"):
            joined[-1] = replace(last, text=f"{last.text}\n\n{message.text}")
        elif last is not None and last.role == message.role == "assistant" and not last.tool_calls:
            joined[-1] = replace(message, text=f"{last.text}\n\n{message.text}".strip())
        else:
            joined.append(message)
    return joined


def _state(message: ChatMessage, parameters: RequestParameters) -> dict[str, object]:
    """Return the fields that the provider wants back with a message of the assistant."""
    kept = mapping_of(json.loads(message.provider_state_json or "{}"))
    state = {name: value for name, value in kept.items() if name in parameters.state_fields}
    if parameters.state_always and parameters.state_fields:
        state.setdefault(parameters.state_fields[0], BLANK)
    return state


def _call(call: ToolCallProposed, parameters: RequestParameters) -> dict[str, object]:
    kept = call.provider_state_json if parameters.call_state else None
    state: Mapping[str, object] = json.loads(kept or parameters.call_state_default_json)
    return {
        **state,
        "id": call.tool_call_id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments_json},
    }


def _tool(tool: ToolOffered) -> dict[str, object]:
    strict = {} if tool.strict is None else {"strict": tool.strict}
    return {
        "type": "function",
        "function": {
            "name": tool.name,
            "description": tool.description,
            "parameters": json.loads(tool.parameters_json),
            **strict,
        },
    }
