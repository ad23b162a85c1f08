"""Responses of `cartrita`: a planned, durable session behind each, whose progress is told as reasoning."""

import json
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from datetime import datetime
from typing import Final
from uuid import UUID

from schemas.events.inputs import MessageReceived
from schemas.events.models import ChatRole
from schemas.events.outputs import Stage
from sinks import responses
from streams.gateway.access import Principal
from streams.gateway.door import Owner, Posted
from streams.gateway.frames import Frame
from streams.gateway.front import Front
from streams.gateway.governed_requests import invalid
from streams.gateway.problems import Problem
from streams.gateway.response_events import OUTCOME_REQUIRED, Ending, Event, Telling
from streams.gateway.response_forms import ECHO, Placed, head_of, usage_of
from streams.gateway.response_requests import Asked
from streams.gateway.turns import MODEL, Turn, final_text, problem_of, tokens_of, trust_of, with_history

INSTRUCTIONS_CHARACTERS_MAX: Final = 1_000
"""Longer ones are told to the session as well, but not repeated by its responses."""


def message_of(
    asked: Asked, body: Mapping[str, object], *, in_session: bool, agent: str | None = None
) -> MessageReceived:
    """Return what a session is told for a response.

    Raises:
        Problem: it cannot be asked; `param` names the field.
    """
    if body.get("tools"):
        raise invalid(
            f"{MODEL} uses the tools of its own agents, and takes none of the client's",
            "tools",
            code="unsupported_parameter",
        )
    if asked.format["type"] != "text":
        raise invalid(f"{MODEL} answers in text alone", "text.format", code="unsupported_parameter")
    if any(one.tool_calls or one.role is ChatRole.TOOL for one in asked.said):
        raise invalid(f"{MODEL} takes no calls of functions", "input", code="unsupported_parameter")
    last = asked.said[-1]
    if last.role is not ChatRole.USER or not last.text.strip():
        raise invalid("the last item is not a user's text", "input")
    said = [(str(one.role), one.text) for one in asked.said]
    echo = dict(asked.echo)
    if asked.instructions is not None:
        said.insert(0, ("developer", asked.instructions))
        if len(asked.instructions) <= INSTRUCTIONS_CHARACTERS_MAX:
            echo["instructions"] = asked.instructions
    title = (
        "What the client says with this request"
        if in_session
        else ("The conversation before this request, as the client tells it")
    )
    return MessageReceived(
        text=with_history(said, title),
        metadata_json=json.dumps({ECHO: echo}, ensure_ascii=False),
        agent=agent,
        trust=trust_of(said),
    )


class TurnAnswering:
    """What is told of a response that a turn of a session makes."""

    def __init__(self, front: Front, placed: Placed) -> None:
        """Take the request."""
        self._front = front
        self.placed = placed
        self._turn = Turn(front, placed.owner, placed.session_id, placed.event_id)
        self._writes = False
        """Whether the answer is being written: its first pieces may overtake what is told before it."""
        self._held: list[str] = []
        self._attempt: tuple[object, object] | None = None
        self.failure: Problem | None = None
        """Why there is no answer, once that is told."""
        self.telling = Telling(head_of(placed), placed.event_id)

    @classmethod
    async def asked(
        cls, front: Front, bearer: Principal, session_id: str | None, body: MessageReceived, key: str
    ) -> "TurnAnswering":
        """Say it in a session, or in a new one.

        Raises:
            Problem: it cannot be said.
        """
        if session_id is None:
            posted = await front.door.begin(bearer, body, key)
        else:
            posted = await front.door.say(bearer, session_id, body, key)
        return cls(front, _placed(posted, body))

    @property
    def session_id(self) -> str | None:
        """Return the session that clients may go on with."""
        return self.placed.session_id

    async def events(self) -> AsyncGenerator[Event, None]:
        """Tell the response as it comes.

        Raises:
            Problem: it cannot be told here; the session goes on.
        """
        for event in self.telling.begin():
            yield event
        start = await self._turn.start(is_new=self.placed.is_new)
        async with aclosing(self._turn.told(start)) as told:
            async for frame in told:
                for event in self.events_of(frame):
                    yield event

    async def stand(self) -> None:
        """Tell what the log's copy has of it."""
        self.telling.begin()
        async with aclosing(self._turn.past()) as past:
            async for frame in past:
                self.events_of(frame)

    async def was_restarted(self) -> bool:
        """Tell whether an attempt to write the answer has failed, of which something may have been told.

        Raises:
            Problem: Postgres is away.
        """
        async with self._front.door.database(self.placed.owner) as connection:
            return await responses.has_failed_attempt(connection, UUID(self.placed.event_id))

    def close(self) -> None:
        """Hold nothing."""

    def events_of(self, frame: Frame) -> list[Event]:
        """Tell what a frame of the turn says."""
        self.failure = problem_of(frame)
        if self.failure is not None:
            is_cancelled = frame.body.get("reason") == "cancelled"
            return self.telling.fail(self.failure, "cancelled" if is_cancelled else "failed")
        match frame.type:
            case "progress":
                return self._progress(str(frame.body["detail"]), frame.body["stage"])
            case "delta":
                return self._piece(frame)
            case "approval_requested":
                return self.telling.waits(final_text(frame), str(frame.body["approvalId"]))
            case "outcome_asked":
                return self.telling.waits(final_text(frame), str(frame.body["callId"]), OUTCOME_REQUIRED)
            case "answer":
                ended = datetime.fromisoformat(str(frame.body["timestamp"]))
                ending = Ending(
                    status="completed",
                    usage=usage_of(*tokens_of(self._front, frame)),
                    ended_s=int(ended.timestamp()),
                )
                return self.telling.end(final_text(frame), ending)
            case _:
                return []

    def _progress(self, detail: str, stage: object) -> list[Event]:
        if self._writes:
            # What is told after the answer has begun has no place in it.
            return []
        self.telling.goes_on()
        events = self.telling.progress(detail)
        if stage == Stage.SYNTHESIZE:
            self._writes = True
            for text in self._held:
                events += self.telling.piece(text)
            self._held.clear()
        return events

    def _piece(self, frame: Frame) -> list[Event]:
        attempt = frame.body["callId"], frame.body["attempt"]
        if self._attempt not in (None, attempt):
            return []  # what was told is of an attempt that failed; the answer will tell
        self._attempt = attempt
        text = str(frame.body["text"])
        if not self._writes:
            self._held.append(text)
            return []
        return self.telling.piece(text)


def _placed(posted: Posted, body: MessageReceived) -> Placed:
    event = posted.event
    return Placed(
        event_id=event.event_id,
        session_id=event.session_id,
        owner=Owner(tenant=event.tenant_id, user=event.user_id),
        asked_at_ms=event.occurred_at_ms,
        body=body,
        is_new=not posted.repeated,
    )
