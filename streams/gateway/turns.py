"""One message in a session, and what is told until it is answered, for clients of OpenAI's API."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Final, cast
from uuid import UUID

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from processors.provenance import of_roles
from schemas.events.trust import Trust
from sinks import conversations
from streams.gateway import frames
from streams.gateway.door import Owner
from streams.gateway.feed import FollowerTooSlow
from streams.gateway.frames import Cursor, Frame
from streams.gateway.front import Front
from streams.gateway.problems import Problem
from topics.catalog import SESSION_OUTPUTS

MODEL: Final = "cartrita"
SESSION_HEADER: Final = "x-cartrita-session"
SINK_S: Final = 10.0
"""How long the sink may take to read what was told, before somebody who asks is told what there is."""
_STATUS: Final = {"queue_full": 429, "lease_refused": 429, "session_closed": 409, "unknown_session": 404}
_PAGE: Final = 500
WAITS: Final = ("approval_requested", "outcome_asked")
"""What ends a wait for an answer: a person is asked, and may take hours."""
_OF_TURN: Final = ("turn_started", "progress", "delta", "answer", *WAITS)


def is_planned(model: object) -> bool:
    """Tell whether a model's name is that of sessions, or of an agent in them."""
    return isinstance(model, str) and (model == MODEL or model.startswith(MODEL + "/"))


def agent_of(front: Front, model: str) -> str | None:
    """Return the agent that a name of sessions asks for; None: a plan is made.

    Raises:
        Problem: there is no such agent.
    """
    agent = model.removeprefix(MODEL).removeprefix("/")
    if model == MODEL or agent in front.agents:
        return agent or None
    raise Problem(
        404,
        f"there is no agent {agent[:100]!r} here; each has a file in CARTRITA_CONFIGURATION_DIRECTORY/agents",
        code="model_not_found",
        param="model",
    )


class Turn:
    """A message that is on the log, and its session."""

    def __init__(self, front: Front, owner: Owner, session_id: str, input_id: str) -> None:
        """Take whose session it is in, and the event of the message."""
        self._front = front
        self._owner = owner
        self.session_id = session_id
        self.input_id = input_id

    async def told(self, start: Cursor) -> AsyncGenerator[Frame, None]:
        """Tell what belongs to the turn, from a cursor before it on, until it has ended.

        Raises:
            Problem: it cannot be told here; the turn goes on.
        """
        following = self._front.following(self._owner, self.session_id)
        async with (
            aclosing(following.frames(start)) as all_told,
            aclosing(self._mine(_unhurried(all_told))) as mine,
        ):
            async for frame in mine:
                yield frame

    async def past(self) -> AsyncGenerator[Frame, None]:
        """Tell what the log's copy has of the turn.

        Raises:
            Problem: Postgres is away.
        """
        await self._await_sink()
        async with aclosing(self._mine(self._logged(await self.start(is_new=False)))) as mine:
            async for frame in mine:
                yield frame

    async def start(self, *, is_new: bool) -> Cursor:
        """Return a cursor before all that the message causes.

        Args:
            is_new: it was sent just now, so that what the sink has read is no answer to it.
        """
        async with self._front.door.database(self._owner) as connection:
            session_id = UUID(self.session_id)
            told = await conversations.told_up_to(connection, session_id) if is_new else 0
            begun = await conversations.turn_of(connection, session_id, self.input_id)
        return Cursor(sequence=told if begun is None else begun - 1)

    async def _await_sink(self) -> None:
        try:
            async with asyncio.timeout(SINK_S):
                await self._front.door.read_up(SESSION_OUTPUTS, self.session_id)
        except (TimeoutError, KafkaError, OSError):
            return

    async def _logged(self, cursor: Cursor) -> AsyncGenerator[Frame, None]:
        more = True
        while more:
            async with self._front.door.database(self._owner) as connection:
                page = await conversations.outputs_after(
                    connection, UUID(self.session_id), cursor.sequence, _PAGE
                )
            for event in page:
                cursor = Cursor(sequence=event.sequence)
                frame = frames.of_output(
                    self.session_id, event.type, event.sequence, event.body, event.occurred_at
                )
                if frame is not None:
                    yield frame
            more = len(page) == _PAGE

    async def _mine(self, told: AsyncGenerator[Frame, None]) -> AsyncGenerator[Frame, None]:
        mine = False
        async for frame in told:
            if frame.type == "turn_started":
                if mine:
                    return
                mine = frame.body["messageId"] == self.input_id
            if frame.type == "session_ended" or (
                frame.type == "error" and frame.body.get("messageId") == self.input_id
            ):
                yield frame
                return
            if mine and frame.type in _OF_TURN:
                yield frame
                if frame.type == "answer":
                    return


async def _unhurried(told: AsyncGenerator[Frame, None]) -> AsyncGenerator[Frame, None]:
    """Tell frames, and turn what may happen to a follower into what a request can be told."""
    try:
        async for frame in told:
            yield frame
    except FollowerTooSlow as error:
        raise Problem(
            503, "the answer cannot be followed; ask again", code="unavailable", retry_s=2
        ) from error


def problem_of(frame: Frame) -> Problem | None:
    """Return why there will be no answer; None: the frame does not say that."""
    if frame.type == "error":
        code = str(frame.body["code"])
        return Problem(_STATUS.get(code, 400), str(frame.body["message"]), code=code)
    if frame.type == "session_ended":
        return Problem(409, f"the session has ended: {frame.body['reason']}", code="session_ended")
    return None


def final_text(frame: Frame) -> str:
    """Return the whole text that ends the wait: an answer's, or what a person is asked, and how to answer."""
    body = frame.body
    match frame.type:
        case "answer":
            return str(body["text"])
        case "outcome_asked":
            return (
                f"Nobody knows whether this was carried out: {body['tool']} with {body['argumentsJson']}. "
                f"Find out, and tell with `cartrita settle {body['sessionId']} {body['callId']}`, or at "
                f"/api/v2/sessions/{body['sessionId']}/outcomes/{body['callId']}; "
                "then ask again in the session."
            )
        case _:
            return (
                f"This waits for a person's approval: {body['tool']} with {body['argumentsJson']}. "
                f"Decide with `cartrita approvals show {body['approvalId']}` and "
                "`cartrita approvals approve`, or at "
                f"/api/v2/sessions/{body['sessionId']}/approvals/{body['approvalId']}; "
                "then ask again in the session."
            )


def tokens_of(front: Front, frame: Frame) -> tuple[int, int]:
    """Return what a turn used, all calls together: what is not the answer's own, and what is."""
    total = cast("int", frame.body.get("tokens", 0))
    answer = min(total, front.count_tokens(final_text(frame)))
    return total - answer, answer


def trust_of(said: Sequence[tuple[str, str]]) -> Trust:
    """Return whose word a message of `with_history` is: of other roles than the user's it is a claim."""
    return of_roles(role for role, text in said if text.strip()).trust


def with_history(said: Sequence[tuple[str, str]], title: str) -> str:
    """Return one message of what a client says last, and of what it tells under a title was said before.

    Roles of earlier texts are the caller's claims: all stands within the one message that it sends.
    """
    earlier = [(role, text) for role, text in said[:-1] if text.strip()]
    if not earlier:
        return said[-1][1]
    history = "\n\n".join(f"{role}: {text}" for role, text in earlier)
    return f"{said[-1][1]}\n\n--- {title} ---\n\n{history}"
