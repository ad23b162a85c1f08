"""What was said, as the attributes of spans have it: for whoever asks for it alone."""

import json
from collections.abc import Mapping
from typing import Final, Protocol
from uuid import UUID

TEXT_CHARACTERS_MAX: Final = 20_000
"""Of one message; of a longer one the beginning is told."""
_TEXTS: Final = ("text", "result_json", "message")
"""Fields in which an event that a prompt refers to has its text, in this order."""


class Said(Protocol):
    """An event, as far as it says something."""

    @property
    def type(self) -> str:
        """Return the name of its fact."""
        ...

    @property
    def body(self) -> Mapping[str, object]:
        """Return what it says."""
        ...


def told(event: Said, field: str, events: Mapping[UUID, Said]) -> str:
    """Return a field's content: JSON by the conventions' forms for messages, else the text itself.

    Args:
        event: whose field it is.
        field: of its body.
        events: by id, those to which messages of a prompt refer.
    """
    value = event.body.get(field)
    if field == "messages":
        return _json(
            [_prompt(one, events) for one in value if isinstance(one, Mapping)]
            if isinstance(value, list)
            else []
        )
    if event.type == "MessageReceived":
        return _json([_message("user", [_part(value)])])
    if event.type == "AnswerGiven":
        return _json([{**_message("assistant", [_part(value)]), "finish_reason": "stop"}])
    if event.type == "ModelCallCompleted":
        calls = event.body.get("tool_calls")
        parts = [_part(value)] if value else []
        parts += [_call(one) for one in calls if isinstance(one, Mapping)] if isinstance(calls, list) else []
        return _json(
            [{**_message("assistant", parts), "finish_reason": str(event.body.get("finish_reason"))}]
        )
    return _cut(value)


def _prompt(message: Mapping[str, object], events: Mapping[UUID, Said]) -> dict[str, object]:
    texts = [message.get("text")]
    source = message.get("source")
    if isinstance(source, Mapping):
        referred = events.get(UUID(str(source.get("event_id"))))
        texts.append(None if referred is None else _text_of(referred))
    return _message(str(message.get("role")), [_part("".join(one for one in texts if isinstance(one, str)))])


def _text_of(event: Said) -> object:
    return next((event.body[name] for name in _TEXTS if event.body.get(name)), None)


def _message(role: str, parts: list[dict[str, object]]) -> dict[str, object]:
    return {"role": role, "parts": parts}


def _part(text: object) -> dict[str, object]:
    return {"type": "text", "content": _cut(text)}


def _call(call: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "tool_call",
        "id": call.get("tool_call_id"),
        "name": call.get("name"),
        "arguments": _cut(call.get("arguments_json")),
    }


def _cut(text: object) -> str:
    whole = text if isinstance(text, str) else ""
    return whole if len(whole) <= TEXT_CHARACTERS_MAX else whole[:TEXT_CHARACTERS_MAX] + "…"


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
