"""What a streamed answer, or one that came whole, says, read from its JSON.

The client library would build an object for each part of each piece, which costs more than all the rest of a
call. And servers that are only nearly compatible leave fields out or make them null: whatever is not of the
type that it should have counts as absent.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from connectors.models.tool_calls import ToolCallPart
from connectors.models.usage import Usage, choices_of, read_usage_of
from connectors.models.values import index_of, list_of, mapping_of, name_of, text_of

_KNOWN_OF_CALL = frozenset({"index", "id", "type", "function"})
_THINKING = frozenset({"thinking", "reasoning", "thought"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one choice of one object of the stream adds."""

    index: int
    """Of the choice."""
    text: str
    thinking: str
    """What the model thinks before it answers; never shown, and never part of the text."""
    tool_calls: tuple[ToolCallPart, ...]
    finish_reason: str
    is_whole: bool
    """True when a whole message came, and not a delta."""
    message: Mapping[str, object]
    """The delta, or the whole message, for what a provider wants back."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One object of the stream; texts are empty where it says nothing."""

    model: str
    fingerprint: str
    usage: Usage | None
    pieces: tuple[Piece, ...]


def read_chunk(data: object) -> Chunk:
    """Read a `chat.completion.chunk`, or a whole `chat.completion`."""
    chunk = mapping_of(data)
    return Chunk(
        model=text_of(chunk.get("model")),
        fingerprint=text_of(chunk.get("system_fingerprint")),
        usage=read_usage_of(chunk),
        pieces=tuple([_piece(mapping_of(choice)) for choice in choices_of(chunk)]),
    )


def content_of(content: object) -> tuple[str, str]:
    """Return the text and the thinking of a content: a text, null, one part, or a list of parts."""
    if isinstance(content, str):
        return content, ""
    if isinstance(content, list):
        parts = [content_of(part) for part in content]
        return "".join(text for text, _ in parts), "".join(thinking for _, thinking in parts)
    part = mapping_of(content)
    if part.get("type") in _THINKING or part.get("thought") is True:
        said = "".join(content_of(part.get(name))[0] for name in ("thinking", "text", "reasoning", "summary"))
        return "", said
    # OpenAI writes a part's text as a text, others as an object with a value.
    text = part.get("text")
    inner = text_of(text) or text_of(mapping_of(text).get("value"))
    return inner or text_of(part.get("refusal")) or text_of(part.get("content")), ""


def _piece(choice: Mapping[str, object]) -> Piece:
    # Where both stand, the message is all that was said so far, and the delta what is new.
    is_whole = not isinstance(choice.get("delta"), dict) and isinstance(choice.get("message"), dict)
    message = mapping_of(choice.get("message" if is_whole else "delta"))
    text, thought = content_of(message.get("content"))
    calls = [_part(mapping_of(call)) for call in list_of(message.get("tool_calls"))]
    if isinstance(message.get("tool_calls"), dict):
        calls = [_part(mapping_of(message.get("tool_calls")))]
    old = mapping_of(message.get("function_call"))
    if old and not calls:
        calls = [_part({"function": old})]
    thinking = text_of(message.get("reasoning_content")) or text_of(message.get("reasoning"))
    return Piece(
        index=index_of(choice.get("index")) or 0,
        text=text or text_of(message.get("refusal")) or text_of(choice.get("text")),
        thinking=thinking or thought,
        tool_calls=tuple(calls),
        finish_reason=text_of(choice.get("finish_reason")),
        is_whole=is_whole,
        message=message,
    )


def _part(call: Mapping[str, object]) -> ToolCallPart:
    function = mapping_of(call.get("function")) or call
    arguments = function.get("arguments")
    if arguments is None:
        arguments = function.get("parameters", function.get("input"))
    state = {name: value for name, value in call.items() if name not in _KNOWN_OF_CALL and value is not None}
    return ToolCallPart(
        index=index_of(call.get("index")),
        id=name_of(call.get("id")),
        name=text_of(function.get("name")).strip(),
        arguments=_arguments(arguments),
        state=json.dumps(state) if state and function is not call else "{}",
    )


def _arguments(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
