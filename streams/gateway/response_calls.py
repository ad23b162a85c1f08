"""Responses of models by their own names: one governed call each."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Final
from uuid import UUID

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from schemas.envelope import Envelope
from schemas.events.client_calls import (
    ClientCallAnswered,
    ClientCallFailed,
    ClientCallReceived,
    ClientMessage,
)
from schemas.events.models import ChatRole
from sinks import responses
from streams.gateway.access import Principal
from streams.gateway.door import PRODUCER, Owner
from streams.gateway.front import Front
from streams.gateway.governed_calls import Call, Calls, Piece, Told
from streams.gateway.governed_chat import Begun, problem_of
from streams.gateway.governed_requests import counted, invalid, parameters_json_of, tools_of_client
from streams.gateway.problems import Problem
from streams.gateway.response_events import Event, Telling
from streams.gateway.response_forms import ROUTE, Placed, ending_of, head_of
from streams.gateway.response_requests import Asked, echo_json
from streams.gateway.turns import SINK_S
from topics.catalog import CLIENT_ANSWERS

_PASSED_ON: Final = ("temperature", "top_p", "parallel_tool_calls")


def fact_of(
    asked: Asked, body: Mapping[str, object], history: tuple[ClientMessage, ...], front: Front
) -> ClientCallReceived:
    """Return what goes on the log for a response.

    Args:
        asked: the request.
        body: as it came.
        history: what was said before it, by the response that it goes on from.
        front: with the models.

    Raises:
        Problem: it cannot be asked; `param` names the field.
    """
    if asked.session_id is not None:
        raise invalid(
            "conversations are those of cartrita; go on from a response by previous_response_id",
            "conversation",
            code="unsupported_parameter",
        )
    model = front.models.model(asked.model)
    instructions = () if asked.instructions is None else (_system(asked.instructions),)
    fact = ClientCallReceived(
        token_id="",
        route=ROUTE,
        model=model.name,
        messages=(*instructions, *history, *asked.said),
        tools=tools_of_client(body.get("tools")),
        parameters_json=parameters_json_of(_as_chat(asked, body)),
        output_tokens_max=asked.output_tokens_max,
        prompt_tokens=0,
        body_sha256="",
        echo_json=echo_json(asked),
    )
    return counted(fact, model, front.models.counter)


def _system(text: str) -> ClientMessage:
    return ClientMessage(role=ChatRole.SYSTEM, text=text)


def _as_chat(asked: Asked, body: Mapping[str, object]) -> dict[str, object]:
    """Return parameters by the names of chat completions."""
    told: dict[str, object] = {name: body.get(name) for name in _PASSED_ON}
    told["tools"] = body.get("tools")
    choice = body.get("tool_choice")
    if isinstance(choice, Mapping) and choice.get("type") == "function" and "function" not in choice:
        choice = {"type": "function", "function": {"name": choice.get("name")}}
    told["tool_choice"] = choice
    reasoning = body.get("reasoning")
    told["reasoning_effort"] = reasoning.get("effort") if isinstance(reasoning, Mapping) else None
    form = dict(asked.format)
    kind = form.pop("type")
    told["response_format"] = {"type": kind} | ({"json_schema": form} if kind == "json_schema" else {})
    return told


class CallAnswering:
    """What is told of a response that one call makes."""

    def __init__(self, front: Front, bearer: Principal, placed: Placed, call: Call | None = None) -> None:
        """Take the request, and the call that was just made for it."""
        assert isinstance(placed.body, ClientCallReceived)
        self._front = front
        self._bearer = bearer
        self.placed = placed
        self._call = call
        self.failure: Problem | None = None
        """Why there is no answer, once that is told."""
        self.telling = Telling(head_of(placed), placed.event_id)

    @classmethod
    async def asked(
        cls,
        calls: Calls,
        front: Front,
        bearer: Principal,
        fact: ClientCallReceived,
        key: str,
        *,
        is_new: bool,
    ) -> "CallAnswering":
        """Have a call made.

        Raises:
            Problem: it cannot be.
        """
        call = await calls.ask(bearer, fact, key, is_new=is_new)
        placed = Placed(
            event_id=call.input_id,
            session_id=call.session_id,
            owner=Owner(tenant=bearer.tenant, user=bearer.user or "anonymous"),
            asked_at_ms=call.asked_at_ms,
            body=call.asked,
        )
        return cls(front, bearer, placed, call)

    @property
    def session_id(self) -> str | None:
        """Return the session that clients may go on with; None: calls share one that is nobody's."""
        return None

    async def begun(self) -> Begun:
        """Wait for the first that is told, but not for long.

        Raises:
            Problem: the call has failed.
        """
        begun = Begun(self._followed())
        try:
            await begun.wait()
        except BaseException:
            await begun.close()
            raise
        return begun

    async def events(self, begun: Begun | None = None) -> AsyncGenerator[Event, None]:
        """Tell the response as it comes.

        Raises:
            Problem: it cannot be told here; the call goes on.
        """
        for event in self.telling.begin():
            yield event
        call = self._followed()
        try:
            async with aclosing(call.told() if begun is None else begun.all()) as told:
                async for one in told:
                    for event in self._events_of(one, call):
                        yield event
        finally:
            call.close()

    def _events_of(self, one: Told, call: Call) -> list[Event]:
        if isinstance(one, Piece):
            return self.telling.piece(one.text)
        if isinstance(one, ClientCallAnswered):
            return self.telling.end(one.text, ending_of(one, call.ended_at_ms))
        return self._failed(one)

    def _failed(self, failed: ClientCallFailed) -> list[Event]:
        self.failure = problem_of(failed)
        return self.telling.fail(self.failure, "cancelled" if self.failure.code == "cancelled" else "failed")

    async def stand(self) -> None:
        """Tell what the log's copy has of it."""
        self.telling.begin()
        call = self._followed()
        try:
            end = await self.answered()
            if end is not None:
                self._events_of(end, call)
                return
            async with self._front.door.database(self._bearer) as connection:
                reason = await responses.put_aside(
                    connection, UUID(self.placed.event_id), UUID(self.placed.session_id)
                )
            if reason is not None:
                self.failure = Problem(503, f"the call was put aside: {reason}", code="put_aside")
                self.telling.fail(self.failure)
        finally:
            call.close()

    async def answered(self) -> ClientCallAnswered | ClientCallFailed | None:
        """Return what the call came to; None: it has not ended, as far as the sink has read in time."""
        front = self._front
        try:
            async with asyncio.timeout(SINK_S):
                await front.door.read_up(CLIENT_ANSWERS, self.placed.session_id)
        except (TimeoutError, KafkaError, OSError):
            pass
        return await self._followed().answered()

    async def was_restarted(self) -> bool:
        """Tell whether an attempt failed of which something was told: such a call has ended."""
        return False

    def close(self) -> None:
        """Follow it no more; it goes on."""
        if self._call is not None:
            self._call.close()

    def _followed(self) -> Call:
        if self._call is None:
            placed = self.placed
            event = Envelope(
                event_id=placed.event_id,
                type=type(placed.body).__name__,
                session_id=placed.session_id,
                tenant_id=placed.owner.tenant,
                user_id=placed.owner.user,
                occurred_at_ms=placed.asked_at_ms,
                producer=PRODUCER,
                body=placed.body,
            )
            self._call = Call(self._front, self._bearer, event, keyed=True, repeated=True)
        return self._call
