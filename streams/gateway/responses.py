"""/v1/responses: OpenAI's responses in front of sessions and of models by their own names.

A response is the event that asked for it and what the log tells of it since, so any gateway has it: whole, as
a stream from any of its events on, and as what the next request goes on from.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import Final
from uuid import UUID

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from schemas.events.access import Scope
from schemas.events.client_calls import ClientCallAnswered, ClientCallReceived, ClientMessage
from schemas.events.inputs import MessageReceived, SessionCancelled
from schemas.frozen import replace
from schemas.plain import from_plain
from sinks import responses
from streams.gateway.access import Principal
from streams.gateway.completions import PING_S
from streams.gateway.door import IDEMPOTENCY_CHARACTERS_MAX, Owner, require
from streams.gateway.front import Front
from streams.gateway.governed_calls import Calls
from streams.gateway.governed_chat import Streamed
from streams.gateway.governed_requests import invalid
from streams.gateway.problems import Problem, response_of
from streams.gateway.recent import remember
from streams.gateway.response_calls import CallAnswering, fact_of
from streams.gateway.response_events import Json
from streams.gateway.response_forms import Placed, input_items, messages_in, messages_of_item, own_messages
from streams.gateway.response_requests import (
    Asked,
    asked_of,
    event_id_of,
    item_place,
    no_previous,
    no_response,
    references_in,
)
from streams.gateway.response_streams import Answering, sent, until_cancelled, until_end
from streams.gateway.response_turns import TurnAnswering, message_of
from streams.gateway.retries import Retries, json_of
from streams.gateway.turns import MODEL, SESSION_HEADER, agent_of, is_planned

FIND_S: Final = 2.0
"""How long a response is looked for that another gateway may have begun just now."""
LATEST_MAX: Final = 1_000
LATEST_BYTES_MAX: Final = 16_384
ITEMS_MAX: Final = 100
OPEN: Final = ("queued", "in_progress")
_ITEMS_USUAL: Final = 20


class Responses:
    """Answers requests for responses."""

    def __init__(self, front: Front) -> None:
        """Note the gateway's parts."""
        self._front = front
        self._calls = Calls(front)
        self._retries = Retries()
        self._latest: OrderedDict[str, Placed] = OrderedDict()
        """By event what this gateway has put on the log lately, which the sink may not have read yet."""

    async def create(self, request: Request) -> Response:
        """Make a response."""
        bearer: Principal = request.state.principal
        try:
            require(bearer, Scope.SEND)
            require(bearer, Scope.READ)
            body = json_of(raw := await request.body())
            asked = await self._asked(bearer, body)
            header = request.headers.get(SESSION_HEADER)
            key, is_new = self._retries.key_of(bearer, raw, request, header or "")
            with self._retries.asking(key):
                if is_planned(asked.model):
                    asked = _in_session(asked, header)
                    return await self._told(await self._turn(bearer, asked, body, key), asked)
                call = await self._call(bearer, asked, body, key, is_new=is_new)
                return await self._told(call, asked)
        except Problem as problem:
            return response_of(problem, request)

    async def retrieve(self, request: Request) -> Response:
        """Tell a response as it stands, or as it comes from one of its events on."""
        bearer: Principal = request.state.principal
        try:
            require(bearer, Scope.READ)
            answering = self._answering(bearer, await self._named(bearer, request))
            if request.query_params.get("stream") in ("true", "True", "1"):
                events = sent(answering, answering.events(), _number(request, "starting_after", -1))
                return EventSourceResponse(events, ping=PING_S, sep="\n", headers=_headers(answering))
            await answering.stand()
            return JSONResponse(answering.telling.response(), headers=_headers(answering))
        except Problem as problem:
            return response_of(problem, request)

    async def cancel(self, request: Request) -> Response:
        """Stop what makes a response, and tell what becomes of it; of one that has ended, nothing changes."""
        bearer: Principal = request.state.principal
        try:
            require(bearer, Scope.SEND)
            require(bearer, Scope.READ)
            placed = await self._named(bearer, request)
            answering = self._answering(bearer, placed)
            await answering.stand()
            if answering.telling.status in OPEN or answering.telling.is_waiting:
                if isinstance(placed.body, ClientCallReceived):
                    owner = placed.owner
                    await self._calls.cancel(owner.tenant, owner.user, placed.session_id, placed.event_id)
                else:
                    why = SessionCancelled(reason="the response was cancelled")
                    await self._front.door.say(bearer, placed.session_id, why)
                answering = self._answering(bearer, placed)
                await until_cancelled(answering)
            return JSONResponse(answering.telling.response(), headers=_headers(answering))
        except Problem as problem:
            return response_of(problem, request)

    async def items(self, request: Request) -> Response:
        """List what a response was asked with."""
        bearer: Principal = request.state.principal
        try:
            require(bearer, Scope.READ)
            items = input_items(await self._named(bearer, request))
            query = request.query_params
            limit = _number(request, "limit", _ITEMS_USUAL)
            if not 1 <= limit <= ITEMS_MAX:
                raise invalid(f"limit is a number from 1 to {ITEMS_MAX}", "limit")
            if query.get("order", "desc") != "asc":
                items.reverse()
            return JSONResponse(_page(items, query.get("after"), limit))
        except Problem as problem:
            return response_of(problem, request)

    async def _asked(self, bearer: Principal, body: Mapping[str, object]) -> Asked:
        """Read a request, and what it refers to.

        Raises:
            Problem: it cannot be answered.
        """
        referred: dict[str, tuple[ClientMessage, ...]] = {}
        known: dict[str, Sequence[Mapping[str, object]]] = {}
        for name in references_in(body):
            place = item_place(name)
            if place is None:
                continue
            event_id, number = place
            if event_id not in known:
                known[event_id] = await self._output(bearer, event_id)
            if number < len(known[event_id]):
                referred[name] = messages_of_item(known[event_id][number])
        asked = asked_of(body, referred)
        if asked.background and asked.echo.get("store") is False:
            raise invalid("what runs in the background is stored", "store")
        return asked

    async def _turn(
        self, bearer: Principal, asked: Asked, body: Mapping[str, object], key: str
    ) -> TurnAnswering:
        if not 0 < len(key) <= IDEMPOTENCY_CHARACTERS_MAX:
            raise invalid(
                f"Idempotency-Key has 1 to {IDEMPOTENCY_CHARACTERS_MAX} characters",
                "Idempotency-Key",
                code="idempotency_key_invalid",
            )
        session_id = asked.session_id
        if asked.previous_id is not None:
            previous = await self._previous(bearer, asked)
            if isinstance(previous.body, ClientCallReceived):
                raise invalid(
                    f"the response before is not one of {MODEL}: tell what was said as input",
                    "previous_response_id",
                )
            session_id = previous.session_id
        agent = agent_of(self._front, asked.model)
        message = message_of(asked, body, in_session=session_id is not None, agent=agent)
        # Keys count within the route, and messages come by others as well.
        key = sha256(f"responses\0{key}".encode()).hexdigest()
        return await TurnAnswering.asked(self._front, bearer, session_id, message, key)

    async def _call(
        self, bearer: Principal, asked: Asked, body: Mapping[str, object], key: str, *, is_new: bool
    ) -> CallAnswering:
        history: tuple[ClientMessage, ...] = ()
        if asked.previous_id is not None:
            history = await self._history(bearer, await self._previous(bearer, asked))
        fact = fact_of(asked, body, history, self._front)
        return await CallAnswering.asked(self._calls, self._front, bearer, fact, key, is_new=is_new)

    async def _history(self, bearer: Principal, previous: Placed) -> tuple[ClientMessage, ...]:
        """Return what was said up to a response's end.

        Raises:
            Problem: it has no end yet, or no answer.
        """
        body = previous.body
        if not isinstance(body, ClientCallReceived):
            raise invalid(
                f"the response before is one of {MODEL}: tell what was said as input", "previous_response_id"
            )
        answering = CallAnswering(self._front, bearer, previous)
        try:
            answered = await answering.answered()
        finally:
            answering.close()
        if not isinstance(answered, ClientCallAnswered):
            raise invalid(
                "the response before has no answer that could be gone on from", "previous_response_id"
            )
        return (*own_messages(body, previous.echo or {}), *messages_in(answered))

    async def _told(self, answering: Answering, asked: Asked) -> Response:
        """Answer a request that is on the log.

        Raises:
            Problem: there is no answer.
        """
        placed = answering.placed
        if placed.echo is not None and placed.size <= LATEST_BYTES_MAX:
            remember(self._latest, placed.event_id, placed, LATEST_MAX)
        headers = _headers(answering)
        if asked.stream and isinstance(answering, CallAnswering):
            begun = await answering.begun()
            return Streamed(begun, sent(answering, answering.events(begun), -1), headers)
        if asked.stream:
            return EventSourceResponse(
                sent(answering, answering.events(), -1), ping=PING_S, sep="\n", headers=headers
            )
        try:
            if not asked.background:
                await until_end(answering)
        finally:
            answering.close()
        if answering.failure is not None and answering.telling.status == "failed":
            raise answering.failure
        return JSONResponse(answering.telling.response(), headers=headers)

    async def _output(self, bearer: Principal, event_id: str) -> Sequence[Mapping[str, object]]:
        placed = await self._found(bearer, event_id)
        if placed is None:
            return ()
        answering = self._answering(bearer, placed)
        await answering.stand()
        return answering.telling.output

    def _answering(self, bearer: Principal, placed: Placed) -> Answering:
        if isinstance(placed.body, ClientCallReceived):
            return CallAnswering(self._front, bearer, placed)
        return TurnAnswering(self._front, placed)

    async def _previous(self, bearer: Principal, asked: Asked) -> Placed:
        assert asked.previous_id is not None
        placed = await self._found(bearer, asked.previous_id)
        if placed is None:
            raise no_previous(asked.echo.get("previous_response_id"))
        return placed

    async def _named(self, bearer: Principal, request: Request) -> Placed:
        """Return the response that a path names.

        Raises:
            Problem: it is not there, or somebody else's, which is the same to whoever asks.
        """
        name = request.path_params["response_id"]
        event_id = event_id_of(name)
        placed = None if event_id is None else await self._found(bearer, event_id)
        if placed is None:
            raise no_response(name)
        return placed

    async def _found(self, bearer: Principal, event_id: str) -> Placed | None:
        """Return what asked for a response, if it is one that is kept and the bearer may know of it."""
        latest = self._latest.get(event_id)
        if latest is not None and bearer.may_see(latest.owner.tenant, latest.owner.user):
            return _kept(replace(latest, is_new=False))
        asked = partial(responses.request_of, event_id=UUID(event_id), tenant=bearer.tenant, user=bearer.user)
        known = await self._front.door.lately(bearer, asked, FIND_S)
        if known is None:
            return None
        body: ClientCallReceived | MessageReceived
        if known.type == ClientCallReceived.__name__:
            body = from_plain(ClientCallReceived, known.body)
        else:
            body = from_plain(MessageReceived, known.body)
        return _kept(
            Placed(
                event_id=event_id,
                session_id=str(known.session_id),
                owner=Owner(tenant=known.tenant_id, user=known.user_id),
                asked_at_ms=round(known.occurred_at.timestamp() * 1_000),
                body=body,
            )
        )


def _kept(placed: Placed) -> Placed | None:
    """Return a request if a response was asked for that is kept."""
    echo = placed.echo
    return None if echo is None or echo.get("store") is False else placed


def _in_session(asked: Asked, header: str | None) -> Asked:
    """Return a request with the session that it names by other means than OpenAI's."""
    if asked.previous_id is not None or asked.session_id is not None:
        return asked
    metadata = asked.echo.get("metadata")
    named = metadata.get("session_id") if isinstance(metadata, Mapping) else None
    return replace(asked, session_id=header or named)


def _headers(answering: Answering) -> dict[str, str]:
    session_id = answering.session_id
    return {} if session_id is None else {SESSION_HEADER: session_id}


def _number(request: Request, name: str, usual: int) -> int:
    given = request.query_params.get(name)
    if given is None:
        return usual
    if not given.isascii() or not given.isdecimal() or len(given) > 9:
        raise invalid(f"{name} is a number", name)
    return int(given)


def _page(items: Sequence[Json], after: str | None, limit: int) -> Json:
    ids = [item["id"] for item in items]
    if after is not None and after not in ids:
        raise invalid("after names an item of the list", "after")
    begin = 0 if after is None else ids.index(after) + 1
    page = items[begin : begin + limit]
    return {
        "object": "list",
        "data": page,
        "first_id": page[0]["id"] if page else None,
        "last_id": page[-1]["id"] if page else None,
        "has_more": begin + limit < len(items),
    }
