"""Known families of providers as they behave: what each takes, refuses and wants back, from public reports.

None of them is the real service. Each answers a question for JSON with JSON, an offer of tools with calls of
them, and their results with a text; and refuses a request, in its own words, for what it does not take.
"""

import json
import re
from collections.abc import Callable, Collection, Mapping
from itertools import pairwise
from typing import Any, Final, cast

from tests.connectors.quirks import Answer, Call, Sent, chunk, chunks_of, end_of, part, sound, stream, whole
from tests.connectors.quirky import Body

CALLS: Final = (
    Call(id="aB3dE6gH9", name="search_documents", arguments='{"query": "apples"}'),
    Call(id="bC4eF7hJ0", name="search_documents", arguments='{"query": "pears"}'),
)
JSON: Final = Answer(text='{"score": 0.9}')
TEXT: Final = Answer(text="There are 42.")
SIGNATURE: Final = {"google": {"thought_signature": "c2lnbmF0dXJl"}}
_DUMMY: Final = {"google": {"thought_signature": "skip_thought_signature_validator"}}
_MESSAGE_FIELDS: Final = frozenset({"role", "content", "tool_calls", "tool_call_id", "name", "prefix"})


def refused(message: str, status: int = 400, **more: object) -> Sent:
    """Refuse a request as OpenAI does."""
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None, **more}
    return Sent(body=json.dumps({"error": error}).encode(), status=status, content_type="application/json")


def _messages(body: Body) -> list[Mapping[str, Any]]:  # Any: JSON of any shape
    return cast("list[Mapping[str, Any]]", body["messages"])


def answer_of(body: Body) -> Answer:
    """Return what every family would answer."""
    last = _messages(body)[-1]
    if last["role"] == "tool":
        return TEXT
    if body.get("tools"):
        return Answer(calls=CALLS)
    asks_for_json = "json" in json.dumps(body["messages"]).lower()
    return JSON if asks_for_json else TEXT


def _sent(body: Body, answer: Answer) -> Sent:
    if body.get("stream"):
        return sound(answer)
    return Sent(body=json.dumps(whole(answer)).encode(), content_type="application/json")


def openai_reasoning(body: Body) -> Sent:
    """A model of OpenAI that thinks."""
    if "max_tokens" in body:
        return refused(
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
            "'max_completion_tokens' instead.",
            param="max_tokens",
            code="unsupported_parameter",
        )
    if body.get("temperature", 1) != 1:
        return refused("Unsupported value.", param="temperature", code="unsupported_value")
    return _sent(body, answer_of(body))


def azure(body: Body) -> Sent:
    """Azure, whose first object has no choice but what its filter found."""
    filtered = {"choices": [], "prompt_filter_results": [{"prompt_index": 0}], "model": ""}
    return stream([filtered, *chunks_of(answer_of(body))])


def gemini(body: Body) -> Sent:
    """Gemini, which wants its signatures back and knows no field but its own."""
    known = {"model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens"}
    known |= {"temperature", "tools", "tool_choice", "response_format", "reasoning_effort"}
    for name in body:
        if name not in known:
            return _google(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.')
    calls = [call for message in _messages(body) for call in message.get("tool_calls") or []]
    if any(call.get("extra_content") not in (SIGNATURE, _DUMMY) for call in calls):
        return _google("Function call is missing a thought_signature in functionCall parts.")
    answer = answer_of(body)
    if not answer.calls:
        return sound(answer)
    parts = [part(call, index=0, extra_content=SIGNATURE) for call in answer.calls]
    return stream([*[chunk({"tool_calls": [one]}) for one in parts], *end_of(answer, "stop")])


def _google(message: str) -> Sent:
    error = {"code": 400, "message": message, "status": "INVALID_ARGUMENT"}
    return Sent(body=json.dumps([{"error": error}]).encode(), status=400, content_type="application/json")


def mistral(body: Body) -> Sent:
    """Mistral, which refuses every field that it does not know, and ids of other than nine characters."""
    known = {"model", "messages", "stream", "max_tokens", "temperature", "tools", "tool_choice"}
    known |= {"parallel_tool_calls", "response_format"}
    extra: list[tuple[str, ...]] = [("body", name) for name in body if name not in known]
    for number, message in enumerate(_messages(body)):
        extra += [
            ("body", "messages", str(number), message["role"], name)
            for name in message
            if name not in _MESSAGE_FIELDS
        ]
        for call in message.get("tool_calls") or []:
            extra += [
                ("tool_calls", name) for name in call if name not in ("id", "type", "function", "index")
            ]
            if not re.fullmatch(r"[a-zA-Z0-9]{9}", call["id"]):
                return refused("Tool call id has to be defined and be 9 of a-z, A-Z, 0-9", code="3280")
    if extra:
        return _extra(extra)
    thought = {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}]}
    return stream([chunk(thought), *chunks_of(answer_of(body))[:-1], {**chunk({}, "stop"), "usage": {}}])


def _extra(places: Collection[tuple[str, ...]]) -> Sent:
    detail = [
        {"type": "extra_forbidden", "loc": list(place), "msg": "Extra inputs are not permitted"}
        for place in places
    ]
    said = {"object": "error", "message": {"detail": detail}, "type": "invalid_request_error", "code": None}
    return Sent(body=json.dumps(said).encode(), status=422, content_type="application/json")


def deepseek(body: Body) -> Sent:
    """DeepSeek while it thinks: it wants its thoughts back, and knows no schema."""
    format_ = cast("Mapping[str, object]", body.get("response_format") or {})
    if format_.get("type") == "json_schema":
        return refused("This response_format type is unavailable now")
    if any(m["role"] == "assistant" and not m.get("reasoning_content") for m in _messages(body)):
        return refused("The `reasoning_content` in the thinking mode must be passed back to the API.")
    answer = answer_of(body)
    thought = chunk({"role": "assistant", "content": None, "reasoning_content": "Let me see"})
    return stream([thought, *chunks_of(answer)[1:]])


def vllm(body: Body) -> Sent:
    """vLLM with a template in which roles alternate, after at most one of the system."""
    roles = [message["role"] for message in _messages(body) if message["role"] != "tool"]
    said = roles[1:] if roles[:1] == ["system"] else roles
    if any(role == "system" for role in said):
        return refused("Conversation roles must alternate user/assistant/user/assistant/...", object="error")
    if any(one == other == "user" for one, other in pairwise(said)):
        return refused("Conversation roles must alternate user/assistant/user/assistant/...", object="error")
    return sound(answer_of(body))


def ollama(body: Body) -> Sent:
    """Ollama, which numbers all calls alike, names each for itself and ends each by itself."""
    answer = answer_of(body)
    if not answer.calls:
        return sound(answer)
    parts = [part(call, index=0, id=f"call_{call.id.lower()}") for call in answer.calls]
    return stream(
        [chunk({"role": "assistant", "content": "", "tool_calls": [one]}, "tool_calls") for one in parts]
        + end_of(answer)[1:]
    )


def llama_cpp(body: Body) -> Sent:
    """llama-server, which ends each object with its timings."""
    answer = answer_of(body)
    calls = [
        chunk({"tool_calls": [one]})
        for index, call in enumerate(answer.calls)
        for one in (
            part(call, index=index, function={"name": call.name, "arguments": ""}),
            {"index": index, "function": {"arguments": call.arguments}},
        )
    ]
    begun = chunk({"role": "assistant", "content": None})
    text = [chunk({"content": answer.text})] if answer.text else []
    end = [{**one, "timings": {"prompt_n": 9}} for one in end_of(answer)]
    return stream([begun, *text, *calls, *end])


FAMILIES: Final[Mapping[str, Callable[[Body], Sent]]] = {
    "openai": lambda body: _sent(body, answer_of(body)),
    "openai-reasoning": openai_reasoning,
    "azure": azure,
    "azure-reasoning": openai_reasoning,
    "gemini": gemini,
    "mistral": mistral,
    "deepseek": deepseek,
    "openrouter": lambda body: _sent(body, answer_of(body)),
    "vllm": vllm,
    "ollama": ollama,
    "llama.cpp": llama_cpp,
}
"""By the name of the profile."""
