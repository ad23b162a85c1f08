"""Governed calls: a client's single call of a model goes to the log, and what it comes to is told from there.

The call is a fact on `client.calls`, written by gateways alone; the session shell reserves, has the model
shell ask, charges and answers on `client.answers`. Whatever becomes of the client or of this gateway, the
call is finished and charged; who asks again under the same key is told the same.
"""

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack, aclosing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from schemas.envelope import Envelope
from schemas.events.access import BudgetPeriod, TokenBudget
from schemas.events.client_calls import (
    CallBudget,
    ClientAnswerFact,
    ClientCallAnswered,
    ClientCallCancelled,
    ClientCallFailed,
    ClientCallReceived,
)
from schemas.events.dead_letters import RecordRejected
from schemas.events.deltas import ModelDeltaReceived
from schemas.frozen import replace
from schemas.plain import from_plain
from sinks import client_calls
from sinks.client_calls import KnownCall
from streams.client.client import Received
from streams.gateway.access import Principal
from streams.gateway.door import PRODUCER, id_of
from streams.gateway.feed import FeedInterrupted, FollowerTooSlow, Subscription
from streams.gateway.front import GOOD_EVERY_S, Front
from streams.gateway.posting import confirmed
from streams.gateway.problems import Problem, away, key_reused
from streams.gateway.recent import remember
from streams.gateway.traced import traceparent
from topics.catalog import CLIENT_ANSWERS, CLIENT_CALLS, RECORD_BYTES_MAX, SESSION_DELTAS
from topics.routing import key_of

ANSWER_S_MAX: Final = 900.0
"""How long a client is kept waiting; the call itself goes on."""
KNOWN_MAX: Final = 10_000
DAY_S: Final = 86_400
_RECORD_BYTES: Final = 2_048
"""What a record has beside its value."""
_READY_S: Final = 10.0
_CLOCKS_MS: Final = 2_000
"""Clocks differ by less than this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of the answer's text, in order and without a gap."""

    text: str


Told = Piece | ClientAnswerFact


class Calls:
    """Asks models for clients."""

    def __init__(self, front: Front) -> None:
        """Note the gateway's parts."""
        self._front = front
        self._known: OrderedDict[str, KnownCall] = OrderedDict()
        """By event id what this gateway has written under a key."""

    async def ask(
        self, bearer: Principal, fact: ClientCallReceived, key: str, *, is_new: bool = False
    ) -> "Call":
        """Write a call to the log; from then on it is made, whatever becomes of this gateway.

        Args:
            bearer: on whose behalf.
            fact: what is asked, without the token.
            key: under which it is asked once.
            is_new: the key was made for this request, so that nobody has asked under it.

        Raises:
            Problem: Kafka is away, the call is too large, or the key was used for another.
        """
        front = self._front
        event_id = id_of(bearer, fact.route, key)
        now_s = int(time.time())
        budget = budget_at(bearer.token_id, bearer.budget, now_s)
        fact = replace(fact, token_id=bearer.token_id, budget=budget)
        known = None if is_new else await self._earlier(bearer, event_id)
        if known is None:
            asked_at = datetime.fromtimestamp(now_s, UTC)
            known = KnownCall(front.calls_session(bearer, now_s // DAY_S), fact.body_sha256, asked_at)
            repeated = False
        else:
            repeated = True
        if known.body_sha256 != fact.body_sha256:
            raise key_reused()
        event = Envelope(
            event_id=event_id,
            type=type(fact).__name__,
            session_id=known.session_id,
            tenant_id=bearer.tenant,
            user_id=bearer.user or "anonymous",
            correlation_id=event_id,
            occurred_at_ms=round(known.asked_at.timestamp() * 1_000),
            producer=PRODUCER,
            traceparent=traceparent(),
            body=fact,
        )
        call = Call(front, bearer, event, keyed=not is_new, repeated=repeated)
        try:
            await call.ready()
            if not repeated:
                await self._post(event, self._encoded(event))
        except BaseException:
            call.close()
            raise
        remember(self._known, event_id, known, KNOWN_MAX)
        return call

    async def _earlier(self, bearer: Principal, event_id: str) -> KnownCall | None:
        known = self._known.get(event_id)
        if known is not None:
            return known
        async with self._front.door.database(bearer) as connection:
            return await client_calls.known_call(connection, UUID(event_id))

    async def cancel(self, tenant: str, user: str, session_id: str, input_id: str) -> None:
        """Have a call stopped that somebody asked for; what it comes to tells whether it was in time.

        Raises:
            Problem: Kafka is away.
        """
        body = ClientCallCancelled(input_id=input_id)
        event = Envelope(
            event_id=str(uuid.uuid4()),
            type=type(body).__name__,
            session_id=session_id,
            tenant_id=tenant,
            user_id=user,
            correlation_id=input_id,
            occurred_at_ms=int(time.time()) * 1_000,
            producer=PRODUCER,
            body=body,
        )
        await self._post(event, self._encoded(event))

    def _encoded(self, event: Envelope) -> bytes:
        value = self._front.door.client.codec.encode(CLIENT_CALLS, event)
        if len(value) > RECORD_BYTES_MAX - _RECORD_BYTES:
            raise Problem(
                413,
                f"messages and tools have {len(value):,} bytes together; the most that one call may have is "
                f"{RECORD_BYTES_MAX - _RECORD_BYTES:,}",
                code="request_too_large",
                param="messages",
            )
        return value

    async def _post(self, event: Envelope, value: bytes) -> None:
        client = self._front.door.client
        async with confirmed():
            await client.append(
                CLIENT_CALLS,
                value,
                key=key_of(CLIENT_CALLS, event),
                headers=client.codec.headers(CLIENT_CALLS, event),
            )


class Call:
    """One call that is on its way; whoever has it closes it."""

    def __init__(
        self, front: Front, bearer: Principal, event: Envelope, *, keyed: bool, repeated: bool
    ) -> None:
        """Follow what the call causes, from now on."""
        assert isinstance(event.body, ClientCallReceived)
        self.asked = event.body
        self.input_id = event.event_id
        self.session_id = event.session_id
        self.asked_at_ms = event.occurred_at_ms
        self.ended_at_ms = 0
        """When it ended, once that is told."""
        self._front = front
        self._bearer = bearer
        self._keyed = keyed
        self._repeated = repeated
        self._held = ExitStack()
        self._heard: Subscription = self._held.enter_context(
            front.feed.subscribed(event.session_id, about=event.event_id)
        )

    async def ready(self) -> None:
        """Wait until nothing that the call causes can be missed.

        Raises:
            Problem: Kafka is away.
        """
        try:
            async with asyncio.timeout(_READY_S):
                await self._front.feed.ready.wait()
        except TimeoutError as error:
            raise away("Kafka") from error

    def close(self) -> None:
        """Follow no more; the call goes on."""
        self._held.close()

    async def told(self) -> AsyncGenerator[Told, None]:
        """Tell the pieces of the answer as they come, and last what the call came to.

        Pieces that follow a gap, or another attempt, are left out: what it came to has the whole text.

        Raises:
            Problem: it cannot be told here; the call goes on.
        """
        pieces = _Pieces()
        if self._repeated:
            ended = await self.answered()
            if ended is not None:
                yield self._checked(ended)
                return
            await self.ready()
            async with aclosing(self._past(pieces)) as past:
                async for early in past:
                    yield early
        looking: asyncio.Task[ClientAnswerFact] | None = None
        # Under a key another gateway may have asked a moment ago, and then the answer may be past.
        if self._keyed:
            looking = asyncio.create_task(self._looked_up())
        waiting = asyncio.create_task(self._heard.next())
        until_s = time.monotonic() + ANSWER_S_MAX
        try:
            while True:
                both = {waiting} if looking is None else {waiting, looking}
                await asyncio.wait(both, timeout=GOOD_EVERY_S, return_when=asyncio.FIRST_COMPLETED)
                self._demand_good(until_s)
                if looking is not None and looking.done():
                    yield self._checked(looking.result())
                    return
                if not waiting.done():
                    continue
                try:
                    received = waiting.result()
                    heard, body = received.event, _body_of(received)
                except FeedInterrupted:
                    pieces.lose()
                    if looking is None:
                        looking = asyncio.create_task(self._looked_up())
                    heard, body = None, None
                waiting = asyncio.create_task(self._heard.next())
                if isinstance(body, ModelDeltaReceived):
                    piece = pieces.take(body)
                    if piece is not None:
                        yield piece
                elif isinstance(body, RecordRejected):
                    raise Problem(503, f"the call was put aside: {body.reason}", code="put_aside")
                elif body is not None:
                    self.ended_at_ms = heard.occurred_at_ms if heard is not None else 0
                    yield self._checked(body)
                    return
        except FollowerTooSlow as error:
            raise away("this gateway") from error
        finally:
            for task in (waiting, looking):
                if task is not None:
                    task.cancel()
                    with suppress(asyncio.CancelledError, Exception):
                        await task

    def _demand_good(self, until_s: float) -> None:
        if self._front.book.holder(self._bearer.token_id) is None:
            raise Problem(401, "this token was revoked", code="invalid_api_key")
        if time.monotonic() > until_s:
            raise Problem(504, "there is no answer yet; the call goes on", code="timeout", retry_s=5)

    def _checked(self, fact: ClientAnswerFact) -> ClientAnswerFact:
        if fact.body_sha256 != self.asked.body_sha256:
            raise key_reused()
        return fact

    async def _past(self, pieces: "_Pieces") -> AsyncGenerator[Piece, None]:
        """Tell the pieces that came before this gateway was asked; live ones wait meanwhile."""
        client, since_ms = self._front.door.client, self.asked_at_ms - _CLOCKS_MS
        try:
            past = client.read_since(SESSION_DELTAS, self.session_id.encode(), since_ms)
            async with aclosing(past) as records:
                async for received in records:
                    body = _body_of(received)
                    mine = received.event is not None and received.event.correlation_id == self.input_id
                    piece = pieces.take(body) if mine and isinstance(body, ModelDeltaReceived) else None
                    if piece is not None:
                        yield piece
        except (KafkaError, OSError):
            pieces.lose()

    async def answered(self) -> ClientAnswerFact | None:
        """Return what the log's copy has of the call's end now."""
        async with self._front.door.database(self._bearer) as connection:
            found = await client_calls.answer_of(connection, UUID(self.input_id))
        if found is None:
            return None
        name, body, at = found
        self.ended_at_ms = round(at.timestamp() * 1_000)
        return answer_in(name, body)

    async def _looked_up(self) -> ClientAnswerFact:
        """Return what the log's copy has of the call's end; until the sink has read so far, wait."""
        front = self._front
        while True:
            try:
                await self.ready()
                await front.door.read_up(CLIENT_ANSWERS, self.session_id)
                found = await self.answered()
            except (Problem, KafkaError, OSError):
                found = None
                await asyncio.sleep(GOOD_EVERY_S)
            if found is not None:
                return found
            # It has not ended yet, or was put aside: what it comes to is heard, unless the feed breaks.
            await asyncio.sleep(GOOD_EVERY_S)


class _Pieces:
    """Which piece of a call's answer is next."""

    def __init__(self) -> None:
        self._attempt = self._index = 0
        self._lost = False

    def lose(self) -> None:
        """Tell no more pieces: some may have been missed, and the whole text will come."""
        self._lost = True

    def take(self, delta: ModelDeltaReceived) -> Piece | None:
        """Return a piece that is next; None: it was told before, or is one that nobody can follow."""
        if self._attempt in (0, delta.attempt) and delta.index == self._index and not self._lost:
            self._attempt, self._index = delta.attempt, self._index + 1
            return Piece(text=delta.text)
        if delta.attempt != self._attempt or delta.index >= self._index:
            self.lose()
        return None


def budget_at(token_id: str, budget: TokenBudget | None, now_s: int) -> CallBudget | None:
    """Return what a token's calls may use at a time; each day and month has an account of its own."""
    if budget is None:
        return None
    day = datetime.fromtimestamp(now_s, UTC).replace(hour=0, minute=0, second=0)
    account_id, ends = f"token:{token_id}", None
    if budget.period == BudgetPeriod.DAY:
        account_id, ends = f"{account_id}:{day:%Y-%m-%d}", day + timedelta(days=1)
    elif budget.period == BudgetPeriod.MONTH:
        first = day.replace(day=1)
        account_id, ends = f"{account_id}:{day:%Y-%m}", (first + timedelta(days=32)).replace(day=1)
    return CallBudget(
        account_id=account_id,
        tokens=budget.tokens,
        nanodollars=budget.nanodollars,
        ends_at_ms=None if ends is None else int(ends.timestamp()) * 1_000,
    )


def _body_of(received: Received) -> ModelDeltaReceived | RecordRejected | ClientAnswerFact | None:
    body = None if received.event is None else received.event.body
    known = ModelDeltaReceived | RecordRejected | ClientCallAnswered | ClientCallFailed
    return body if isinstance(body, known) else None


def answer_in(name: str, body: Mapping[str, object]) -> ClientAnswerFact:
    """Return what a call came to from its row of the event log."""
    if name == ClientCallAnswered.__name__:
        return from_plain(ClientCallAnswered, body)
    return from_plain(ClientCallFailed, body)
