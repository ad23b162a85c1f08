"""One response as OpenAI tells it: the events of its stream, and the object that they come to.

Events are numbered from 0 without a gap, and follow from the log alone: the text is told word by word,
however it came. So whoever returns with the last number gets the rest, from any gateway, while the answer
is being written and for ever after.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from uuid import UUID

from sse_starlette import ServerSentEvent

from schemas.events.models import ToolCallProposed
from streams.gateway.problems import Problem

Json = dict[str, object]
# Which part is next follows from the text before it and one character behind it.
_WORD: Final = re.compile(r"\s{0,32}\S{1,32}|\s{1,32}")
_UNANSWERED: Final = ("failed", "cancelled")
DELTA: Final = "response.output_text.delta"
APPROVAL_REQUIRED: Final = "approval_required"
OUTCOME_REQUIRED: Final = "outcome_required"
ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a response's stream."""

    number: int
    name: str
    body: Json

    def sent(self) -> ServerSentEvent:
        """Return it as it is sent."""
        told = {"type": self.name, "sequence_number": self.number, **self.body}
        return ServerSentEvent(event=self.name, data=json.dumps(told, ensure_ascii=False), sep="\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a response ends, beside its text."""

    status: str
    """completed, incomplete, failed or cancelled."""
    calls: tuple[ToolCallProposed, ...] = ()
    refusal: str | None = None
    usage: Json | None = None
    error: Json | None = None
    reason: str | None = None
    """Why it is incomplete."""
    ended_s: int | None = None
    """Since 1970, UTC."""


class Words:
    """A text in pieces that are the same however it comes."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._text = ""
        self._told = 0

    @property
    def told(self) -> str:
        """Return the text that was given out."""
        return self._text[: self._told]

    def add(self, text: str) -> list[str]:
        """Return the pieces that are whole now."""
        self._text += text
        return self._taken(len(self._text) - 1)

    def end(self, text: str) -> list[str]:
        """Return the pieces that are left of the whole text."""
        self._text = text
        return self._taken(len(text))

    def _taken(self, end: int) -> list[str]:
        pieces = []
        for found in _WORD.finditer(self._text, self._told):
            # A word at the end may go on.
            if found.end() > end:
                break
            pieces.append(found[0])
            self._told = found.end()
        return pieces


class Telling:
    """What is told of one response, in order."""

    def __init__(self, head: Mapping[str, object], event_id: str) -> None:
        """Begin with nothing.

        Args:
            head: the response without what becomes of it.
            event_id: of the event that asked for it.
        """
        self._head = dict(head)
        self._key = UUID(event_id).hex
        self._number = 0
        self._output: list[Json] = []
        self._words = Words()
        self._message: Json | None = None
        """The answer, while it is being written."""
        self._reasoning: list[Json] | None = None
        """What is told of the progress, while nothing else is."""
        self.status = "queued" if self._head.get("background") is True else "in_progress"
        self._ending: Ending | None = None

    @property
    def output(self) -> Sequence[Json]:
        """Return the items that are whole."""
        return tuple(self._output)

    @property
    def is_waiting(self) -> bool:
        """Tell whether it goes on once a person has answered."""
        return self._ending is not None and self._ending.reason in (APPROVAL_REQUIRED, OUTCOME_REQUIRED)

    def response(self) -> Json:
        """Return the response as it stands."""
        ending = self._ending
        told = {**self._head, "status": self.status, "output": list(self._output)}
        if ending is not None:
            told |= {"usage": ending.usage, "error": ending.error, "completed_at": None}
            if ending.reason is not None:
                told["incomplete_details"] = {"reason": ending.reason}
            if ending.status == "completed":
                told["completed_at"] = ending.ended_s
        return told

    def begin(self) -> list[Event]:
        """Tell that it is on the log."""
        events = [self._of_response("response.created")]
        if self.status == "queued":
            events.append(self._of_response("response.queued"))
            self.status = "in_progress"
        return [*events, self._of_response("response.in_progress")]

    def progress(self, text: str) -> list[Event]:
        """Tell how far it is."""
        events: list[Event] = []
        if self._reasoning is None:
            self._reasoning = []
            events.append(self._item("added", self._reasoning_item("in_progress")))
        place: Json = {
            "item_id": self._id("rs"),
            "output_index": len(self._output),
            "summary_index": len(self._reasoning),
        }
        part: Json = {"type": "summary_text", "text": text}
        self._reasoning.append(part)
        return [
            *events,
            self._event("response.reasoning_summary_part.added", place, part={**part, "text": ""}),
            self._event("response.reasoning_summary_text.delta", place, delta=text),
            self._event("response.reasoning_summary_text.done", place, text=text),
            self._event("response.reasoning_summary_part.done", place, part=part),
        ]

    def piece(self, text: str) -> list[Event]:
        """Tell a piece of the answer."""
        return self._told(self._words.add(text))

    def waits(self, text: str, mark: str, reason: str = APPROVAL_REQUIRED) -> list[Event]:
        """Tell that it goes on only once a person has answered; what is told then takes the place of this.

        Args:
            text: what the person is told.
            mark: of what is asked.
            reason: APPROVAL_REQUIRED, or OUTCOME_REQUIRED.
        """
        events = self._end_reasoning()
        before = len(self._output)
        item_id = f"{self._id('msg')}_{UUID(mark).hex}"
        events += self._whole_message(item_id, text, "incomplete")
        self._ending = Ending(status="incomplete", reason=reason)
        self.status = "incomplete"
        events.append(self._of_response("response.incomplete"))
        del self._output[before:]
        return events

    def goes_on(self) -> None:
        """Note that a person has answered."""
        self.status, self._ending = "in_progress", None

    def end(self, text: str, ending: Ending) -> list[Event]:
        """Tell the rest of the text and how it ends.

        Raises:
            Problem: it is another text than what was told of it.
        """
        if not text.startswith(self._words.told):
            raise answer_restarted()
        events = self._told(self._words.end(text))
        events += self._end_reasoning()
        silent = bool(ending.calls) or ending.refusal is not None or ending.status in _UNANSWERED
        if text or not silent:
            events += self._begin_text()
        if self._message is not None or ending.refusal is not None:
            events += self._end_message(text, ending)
        for call in ending.calls:
            events += self._call(call)
        self._ending = ending
        self.status = ending.status
        name = "failed" if ending.status == "cancelled" else ending.status
        return [*events, self._of_response(f"response.{name}")]

    def fail(self, problem: Problem, status: str = "failed") -> list[Event]:
        """Tell that there will be no answer, or none beyond what was told of it."""
        error: Json = {"code": _code_of(problem), "message": problem.detail}
        ending = Ending(status=status, error=error if status == "failed" else None)
        return self.end(self._words.told, ending)

    def fault(self, problem: Problem) -> Event:
        """Return what tells that no more can be told here."""
        return self._event(
            "error", {}, code=problem.code or None, message=problem.detail, param=problem.param or None
        )

    def _told(self, words: list[str]) -> list[Event]:
        if not words:
            return []
        events = self._end_reasoning() + self._begin_text()
        return events + [self._event(DELTA, self._content(0), delta=word, logprobs=[]) for word in words]

    def _begin_text(self) -> list[Event]:
        if self._message is not None:
            return []
        return [
            self._begin_message(),
            self._event("response.content_part.added", self._content(0), part=_text("")),
        ]

    def _begin_message(self) -> Event:
        self._message = _message(self._id("msg"), [], "in_progress")
        return self._item("added", self._message)

    def _end_message(self, text: str, ending: Ending) -> list[Event]:
        parts: list[Json] = []
        events: list[Event] = []
        if self._message is None:
            events.append(self._begin_message())
        else:
            parts.append(_text(text))
            events += [
                self._event("response.output_text.done", self._content(0), text=text, logprobs=[]),
                self._event("response.content_part.done", self._content(0), part=parts[0]),
            ]
        if ending.refusal is not None:
            place = self._content(len(parts))
            part: Json = {"type": "refusal", "refusal": ending.refusal}
            parts.append(part)
            events += [
                self._event("response.content_part.added", place, part={**part, "refusal": ""}),
                self._event("response.refusal.delta", place, delta=ending.refusal),
                self._event("response.refusal.done", place, refusal=ending.refusal),
                self._event("response.content_part.done", place, part=part),
            ]
        status = "completed" if ending.status == "completed" else "incomplete"
        done = _message(self._id("msg"), parts, status)
        events.append(self._item("done", done))
        self._output.append(done)
        self._message = None
        return events

    def _whole_message(self, item_id: str, text: str, status: str) -> list[Event]:
        place = {**self._content(0), "item_id": item_id}
        done = _message(item_id, [_text(text)], status)
        events = [
            self._item("added", _message(item_id, [], "in_progress")),
            self._event("response.content_part.added", place, part=_text("")),
            self._event("response.output_text.delta", place, delta=text, logprobs=[]),
            self._event("response.output_text.done", place, text=text, logprobs=[]),
            self._event("response.content_part.done", place, part=_text(text)),
            self._item("done", done),
        ]
        self._output.append(done)
        return events

    def _end_reasoning(self) -> list[Event]:
        if self._reasoning is None:
            return []
        done = self._reasoning_item("completed")
        events = [self._item("done", done)]
        self._output.append(done)
        self._reasoning = None
        return events

    def _call(self, call: ToolCallProposed) -> list[Event]:
        item: Json = {
            "id": self._id("fc"),
            "type": "function_call",
            "call_id": call.tool_call_id,
            "name": call.name,
            "arguments": "",
            "status": "in_progress",
        }
        done = {**item, "arguments": call.arguments_json, "status": "completed"}
        place: Json = {"item_id": item["id"], "output_index": len(self._output)}
        arguments = call.arguments_json
        events = [
            self._item("added", item),
            self._event("response.function_call_arguments.delta", place, delta=arguments),
            self._event("response.function_call_arguments.done", place, arguments=arguments, name=call.name),
            self._item("done", done),
        ]
        self._output.append(done)
        return events

    def _reasoning_item(self, status: str) -> Json:
        summary = list(self._reasoning or ())
        return {"id": self._id("rs"), "type": "reasoning", "summary": summary, "status": status}

    def _id(self, kind: str) -> str:
        """Return the id of the item that is next."""
        return f"{kind}_{self._key}_{len(self._output)}"

    def _content(self, index: int) -> Json:
        return {"item_id": self._id("msg"), "output_index": len(self._output), "content_index": index}

    def _item(self, what: str, item: Json) -> Event:
        return self._event(f"response.output_item.{what}", {"output_index": len(self._output)}, item=item)

    def _of_response(self, name: str) -> Event:
        return self._event(name, {}, response=self.response())

    def _event(self, kind: str, place: Json, **more: object) -> Event:
        event = Event(number=self._number, name=kind, body={**place, **more})
        self._number += 1
        return event


def answer_restarted() -> Problem:
    """Return what is said to whoever was told some of an answer that another one has taken the place of."""
    return Problem(
        500, "the answer was begun anew; ask for the response to get it whole", code="answer_restarted"
    )


def _code_of(problem: Problem) -> str:
    """Return the one of OpenAI's words for errors of responses that fits best."""
    if problem.status == HTTPStatus.TOO_MANY_REQUESTS:
        return "rate_limit_exceeded"
    return "invalid_prompt" if problem.status == HTTPStatus.BAD_REQUEST else "server_error"


def _text(text: str) -> Json:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _message(item_id: str, content: list[Json], status: str) -> Json:
    return {"id": item_id, "type": "message", "role": "assistant", "content": content, "status": status}
