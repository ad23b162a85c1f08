"""The form of OpenAI's chat completions, whole and in chunks."""

import json
from dataclasses import dataclass
from typing import Final

from sse_starlette import ServerSentEvent

PING_S: Final = 15
"""How often a stream in which nothing happens says that it lives."""
Json = dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What all parts of one completion have in common."""

    input_id: str
    """Of the event by which it was asked for."""
    model: str
    """As the client named it."""
    created_s: int
    """Since 1970, UTC."""

    def whole(self, message: Json, finish: str, usage: Json) -> Json:
        """Return the completion."""
        choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
        return {**self._head("chat.completion"), "choices": [choice], "usage": usage}

    def chunk(self, delta: Json, *, finish: str | None = None) -> ServerSentEvent:
        """Return a piece of it."""
        choice = {"index": 0, "delta": delta, "finish_reason": finish, "logprobs": None}
        return event_of({**self._head("chat.completion.chunk"), "choices": [choice]})

    def usage_chunk(self, usage: Json) -> ServerSentEvent:
        """Return the piece that tells what it used, for who asked for that."""
        return event_of({**self._head("chat.completion.chunk"), "choices": [], "usage": usage})

    def _head(self, kind: str) -> Json:
        return {
            "id": "chatcmpl-" + self.input_id,
            "object": kind,
            "created": self.created_s,
            "model": self.model,
        }


def usage(prompt_tokens: int, completion_tokens: int) -> Json:
    """Return what a completion used."""
    return {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": completion_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
    }


def event_of(body: Json) -> ServerSentEvent:
    """Return a server-sent event with JSON."""
    return ServerSentEvent(data=json.dumps(body, ensure_ascii=False), sep="\n")
