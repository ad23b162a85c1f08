"""What a client asks of a model: OpenAI's JSON read into the fact that goes on the log.

Parameters that are not known are ignored, as OpenAI's clients expect; what cannot be done, such as images, is
refused by the name of its field.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from connectors.models.requests import prepared
from connectors.models.tokens import TokenCounter
from processors.redaction.redactor import PATTERNS_ALONE
from schemas.configuration import ChatModel
from schemas.events.client_calls import ClientCallReceived, ClientMessage, ClientTool
from schemas.events.models import ChatRole, ToolCallProposed
from schemas.frozen import replace
from schemas.plain import to_plain
from schemas.ports.chat import ChatRequest, messages_of, tools_of
from schemas.surrogates import mended
from streams.gateway.problems import Problem

PASSED_ON: Final = (
    "temperature",
    "top_p",
    "stop",
    "seed",
    "response_format",
    "tool_choice",
    "parallel_tool_calls",
    "presence_penalty",
    "frequency_penalty",
    "logit_bias",
    "reasoning_effort",
)
"""Parameters that reach the model as the client gave them, as far as its profile takes them."""
TOOLS_MAX: Final = 128
OUTPUT_TOKENS_MAX: Final = 2**31
NO_ARGUMENTS: Final = '{"type": "object", "properties": {}}'
ROLES: Final = {
    "system": ChatRole.SYSTEM,
    "developer": ChatRole.SYSTEM,
    "user": ChatRole.USER,
    "assistant": ChatRole.ASSISTANT,
    "tool": ChatRole.TOOL,
}
Json = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A request for one call, and how its answer is to be told."""

    fact: ClientCallReceived
    """Without the token, which the bearer brings."""
    stream: bool
    usage: bool
    """Whether a stream ends with a chunk of usage."""


def asked_of(body: Json, model: ChatModel, counter: TokenCounter) -> Asked:
    """Read the body of a chat completion.

    Raises:
        Problem: it cannot be answered; `param` names the field.
    """
    if body.get("n") not in (None, 1):
        raise invalid("n can only be 1", "n", code="unsupported_parameter")
    if body.get("functions"):
        raise invalid("functions are given as tools", "functions", code="unsupported_parameter")
    modalities = body.get("modalities")
    if modalities is not None and modalities != ["text"]:
        raise invalid("only text is answered", "modalities", code="unsupported_parameter")
    options = body.get("stream_options")
    fact = ClientCallReceived(
        token_id="",
        route="chat.completions",
        model=model.name,
        messages=_messages(body.get("messages")),
        tools=tools_of_client(body.get("tools")),
        parameters_json=parameters_json_of(body),
        output_tokens_max=output_tokens_max_of(body, ("max_completion_tokens", "max_tokens")),
        prompt_tokens=0,
        body_sha256="",
    )
    return Asked(
        fact=counted(fact, model, counter),
        stream=body.get("stream") is True,
        usage=isinstance(options, Mapping) and options.get("include_usage") is True,
    )


def counted(fact: ClientCallReceived, model: ChatModel, counter: TokenCounter) -> ClientCallReceived:
    """Return the fact with its tokens, counted as the model shell counts them, and its digest."""
    # JSON may escape halves of characters, which no record can hold.
    fact = PATTERNS_ALONE.fact(mended(fact))
    request = ChatRequest(
        call_id="",
        model=model.name,
        messages=messages_of(fact),
        tools=tools_of(fact),
        input_tokens_max=0,
        output_tokens_max=0,
        timeout_ms=0,
        attempts_max=0,
    )
    asked = prepared(request, model.parameters)
    form = json.loads(fact.parameters_json).get("response_format")
    schema = 0 if form is None else counter.count(json.dumps(form), model.name)
    said = json.dumps(to_plain(fact), sort_keys=True, ensure_ascii=False).encode()
    return replace(
        fact,
        prompt_tokens=counter.count_prompt(asked.messages, asked.tools, model.name) + schema,
        body_sha256=sha256(said).hexdigest(),
    )


def _messages(given: object) -> tuple[ClientMessage, ...]:
    if not isinstance(given, list) or not given:
        raise invalid("messages is a list of at least one", "messages")
    return tuple(_message(message, f"messages[{number}]") for number, message in enumerate(given))


def _message(message: object, place: str) -> ClientMessage:
    if not isinstance(message, Mapping):
        raise invalid(f"{place} is no object", place)
    role = ROLES.get(str(message.get("role")))
    if role is None:
        raise invalid(f"{place} has no role that is known", f"{place}.role")
    tool_call_id = message.get("tool_call_id")
    if role is ChatRole.TOOL and not isinstance(tool_call_id, str):
        raise invalid(f"{place} does not say which call it answers", f"{place}.tool_call_id")
    calls = message.get("tool_calls") if role is ChatRole.ASSISTANT else None
    return ClientMessage(
        role=role,
        text=text_of(message.get("content"), f"{place}.content"),
        tool_calls=_calls(calls, f"{place}.tool_calls"),
        tool_call_id=tool_call_id if isinstance(tool_call_id, str) and role is ChatRole.TOOL else None,
    )


def text_of(content: object, place: str) -> str:
    """Return the text of a message's content: null, a text, or a list of parts.

    Raises:
        Problem: it holds something else than text.
    """
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise invalid(f"{place} is text, or a list of parts", place)
    texts = []
    for number, part in enumerate(content):
        text = part.get("text", part.get("refusal")) if isinstance(part, Mapping) else None
        if not isinstance(text, str):
            raise invalid(
                f"{place}[{number}] is no text; images, audio and files are not taken",
                f"{place}[{number}]",
                code="unsupported_content",
            )
        texts.append(text)
    return "".join(texts)


def _calls(given: object, place: str) -> tuple[ToolCallProposed, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise invalid(f"{place} is a list", place)
    calls = []
    for number, call in enumerate(given):
        function = call.get("function") if isinstance(call, Mapping) else None
        told = (
            [call.get("id"), function.get("name"), function.get("arguments")]
            if (isinstance(call, Mapping) and isinstance(function, Mapping))
            else []
        )
        if len(told) != 3 or not all(isinstance(one, str) for one in told):
            raise invalid(
                f"{place}[{number}] is no function call with id, name and arguments", f"{place}[{number}]"
            )
        calls.append(
            ToolCallProposed(tool_call_id=str(told[0]), name=str(told[1]), arguments_json=str(told[2]))
        )
    return tuple(calls)


def tools_of_client(given: object) -> tuple[ClientTool, ...]:
    """Read the functions that a client brings along, named as in chat completions or flat.

    Raises:
        Problem: one is something else.
    """
    if given is None:
        return ()
    if not isinstance(given, list) or len(given) > TOOLS_MAX:
        raise invalid(f"tools is a list of at most {TOOLS_MAX}", "tools")
    return tuple(_tool(tool, f"tools[{number}]") for number, tool in enumerate(given))


def _tool(tool: object, place: str) -> ClientTool:
    if not isinstance(tool, Mapping) or tool.get("type", "function") != "function":
        raise invalid(
            f"{place} is no function; other tools are not taken",
            f"{place}.type",
            code="unsupported_parameter",
        )
    function = tool.get("function", tool)
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(name, str) or not 0 < len(name) <= 200:
        raise invalid(f"{place} has no name", f"{place}.function.name")
    parameters = function.get("parameters")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise invalid(f"{place} has parameters that are no JSON Schema", f"{place}.function.parameters")
    strict = function.get("strict")
    return ClientTool(
        name=name,
        description=str(function.get("description") or ""),
        parameters_json=NO_ARGUMENTS if parameters is None else json_text(parameters),
        strict=strict if isinstance(strict, bool) else None,
    )


def parameters_json_of(body: Json) -> str:
    """Return what else a model is asked, by the names of chat completions.

    Raises:
        Problem: the form of the answer is none.
    """
    given = {name: body[name] for name in PASSED_ON if body.get(name) is not None}
    if not body.get("tools"):
        for name in ("tool_choice", "parallel_tool_calls"):
            given.pop(name, None)
    form = given.get("response_format")
    if form is not None and not (isinstance(form, Mapping) and isinstance(form.get("type"), str)):
        raise invalid("response_format is an object with a type", "response_format")
    if form is not None and form.get("type") == "text":
        del given["response_format"]
    return json_text(given)


def output_tokens_max_of(body: Json, names: Sequence[str]) -> int | None:
    """Return how long an answer may be by the first of these names that is given; None: it is left open.

    Raises:
        Problem: it is no number of tokens.
    """
    for name in names:
        value = body.get(name)
        if value is None:
            continue
        if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= OUTPUT_TOKENS_MAX:
            raise invalid(f"{name} is a number of tokens, from 1 on", name)
        return value
    return None


def invalid(detail: str, param: str, *, code: str = "invalid_value") -> Problem:
    """Return what is said of a field that cannot be taken."""
    return Problem(400, detail, code=code, param=param)


def json_text(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
