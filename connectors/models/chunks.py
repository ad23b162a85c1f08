"""What a streamed answer says, read from its JSON.

The client library would build an object for each part of each piece, which costs more than all the rest of a
call. And servers that are only nearly compatible leave fields out or make them null: whatever is not of the
type that it should have counts as absent.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallPart:
    """A piece of a tool call that the model asks for."""

    index: int
    """Which call of the answer it belongs to."""
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """What one choice of one object of the stream adds."""

    text: str
    tool_calls: tuple[ToolCallPart, ...]
    finish_reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens as the provider bills them."""

    input_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """One object of the stream; texts are empty where it says nothing."""

    model: str
    fingerprint: str
    usage: Usage | None
    pieces: tuple[Piece, ...]


def read_chunk(data: object) -> Chunk:
    """Read one object of a stream of `chat.completion.chunk`."""
    chunk = _mapping(data)
    return Chunk(
        model=_text(chunk.get("model")),
        fingerprint=_text(chunk.get("system_fingerprint")),
        usage=_usage(chunk.get("usage")),
        pieces=tuple([_piece(_mapping(choice)) for choice in _list(chunk.get("choices"))]),
    )


def _piece(choice: Mapping[str, object]) -> Piece:
    delta = _mapping(choice.get("delta"))
    return Piece(
        text=_text(delta.get("content")) or _text(delta.get("refusal")),
        tool_calls=tuple(
            [_part(_mapping(call), number) for number, call in enumerate(_list(delta.get("tool_calls")))]
        ),
        finish_reason=_text(choice.get("finish_reason")),
    )


def _part(call: Mapping[str, object], number: int) -> ToolCallPart:
    function = _mapping(call.get("function"))
    index = call.get("index")
    return ToolCallPart(
        # Some servers send each call whole and without an index.
        index=index if isinstance(index, int) else number,
        id=_text(call.get("id")),
        name=_text(function.get("name")),
        arguments=_text(function.get("arguments")),
    )


def _usage(value: object) -> Usage | None:
    usage = _mapping(value)
    counts = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(counts[0], int) or not isinstance(counts[1], int):
        return None
    return Usage(input_tokens=counts[0], output_tokens=counts[1])


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> Iterable[object]:
    return value if isinstance(value, list) else ()
