"""What requests do: the same inputs that any producer may write, checked by the same rules as at ingress."""

import asyncio
import time
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Final, TypeVar
from uuid import UUID

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # it ships no types

from processors.inputs import InputInvalid, checked_input, cleaned
from schemas.configuration import Limits
from schemas.envelope import Envelope, Fact
from schemas.events.access import Scope
from schemas.events.inputs import (
    ApprovalEdited,
    ApprovalReceived,
    ForkRequested,
    InputFact,
    MessageReceived,
    OperatorFact,
    OutcomeTold,
    SentFact,
    SessionBudgetSet,
    SessionOpened,
)
from schemas.frozen import replace
from schemas.ids import derived_id, is_uuid
from schemas.plain import to_plain
from sinks import conversations
from sinks.connection import Connection
from sinks.conversations import SessionStanding
from streams.client.client import Client
from streams.gateway.access import Principal
from streams.gateway.database import Database, Sight
from streams.gateway.posting import confirmed
from streams.gateway.problems import Problem, key_reused, not_found
from streams.gateway.recent import remember
from streams.gateway.sink_progress import SinkProgress
from streams.gateway.traced import traceparent
from topics.catalog import OPERATOR_INPUTS, USER_INPUTS, Topic

T = TypeVar("T")
PRODUCER: Final = "gateway"
OPENED_MAX: Final = 100_000
IDEMPOTENCY_CHARACTERS_MAX: Final = 255
_OURS: Final = frozenset({"tokens", "trust"})
"""What ingress counts, and what we say of a message by itself; earlier programs said less."""
_SCOPES: Final[Mapping[type, Scope]] = MappingProxyType(
    {SessionBudgetSet: Scope.ADMINISTER}
    | dict.fromkeys((ApprovalReceived, ApprovalEdited, OutcomeTold), Scope.APPROVE)
)
"""What a token needs for an operator's act; for all else, to send."""
_SINK_S: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a session is."""

    tenant: str
    user: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted:
    """An input that Kafka has."""

    event: Envelope
    place: tuple[int, int]
    """Partition and offset on its topic."""
    repeated: bool = False
    """True: it was sent before under the same Idempotency-Key, and was not written again."""


def require(principal: Principal, scope: Scope) -> None:
    """See that a token is good for what is asked.

    Raises:
        Problem: it is not.
    """
    if scope not in principal.scopes:
        raise Problem(403, f"this token lacks the scope {scope}", code="scope_missing")


def demand_unbounded(principal: Principal) -> None:
    """See that a token has no budget of its own, which a planned session would not keep.

    Raises:
        Problem: it has one.
    """
    if principal.budget is not None:
        raise Problem(
            403,
            "this token has a budget of its own, which bounds single calls of models alone: planned sessions "
            "need a token without one, and a budget of the session",
            code="budget_of_calls_alone",
        )


class Door:
    """Takes in what requests ask for."""

    def __init__(self, client: Client, database: Database, limits: Limits) -> None:
        """Take what it writes and reads with; both are open already."""
        self.client = client
        self._database = database
        self._limits = limits
        self._sink = SinkProgress(self._read_up_to)
        self._owners: OrderedDict[str, Owner] = OrderedDict()
        self._keys: OrderedDict[str, Posted] = OrderedDict()

    def database(self, sight: Sight | None) -> AbstractAsyncContextManager[Connection]:
        """Lend a connection to Postgres that shows what `sight` may see; None: what belongs to nobody.

        Raises:
            Problem: Postgres is away.
        """
        return self._database.lent(sight)

    async def lately(
        self, sight: Sight, look: Callable[[Connection], Awaitable[T | None]], within_s: float = _SINK_S
    ) -> T | None:
        """Return what a look finds, and look again for a moment; see `Database.lately`."""
        return await self._database.lately(sight, look, within_s)

    async def read_up(self, topic: Topic, session_id: str) -> None:
        """Wait until the sink has read all that the session's partition of a topic has now.

        Raises:
            Problem: Postgres does not answer.
            KafkaError: Kafka does not, or OSError.
        """
        partition, end = await self.client.end_of(topic, session_id.encode())
        await self._sink.reached(topic.name, partition, end)

    async def _read_up_to(self) -> dict[tuple[str, int], int]:
        async with self.database(None) as connection:
            return await conversations.read_up_to(connection)

    async def owner(self, principal: Principal, session_id: str, *, wait: bool = False) -> Owner:
        """Return whose a session is, if the bearer may know of it.

        Args:
            principal: who asks.
            session_id: of the session.
            wait: for a moment, since another gateway may have opened it just now.

        Raises:
            Problem: it is not there, or somebody else's, which is the same to whoever asks.
        """
        known = self._owners.get(session_id)
        if known is not None and principal.may_see(known.tenant, known.user):
            return known
        if not is_uuid(session_id):
            raise not_found()
        # What is somebody else's is looked for as long as what is not there.
        look = partial(conversations.session_of, session_id=UUID(session_id))
        standing = await self.lately(principal, look, _SINK_S if wait else 0.0)
        if standing is None:
            raise not_found()
        found = Owner(tenant=standing.tenant_id or "", user=standing.user_id or "")
        if not principal.may_see(found.tenant, found.user):
            raise not_found()
        self._remember_owner(session_id, found)
        return found

    async def standing(self, principal: Principal, session_id: str) -> SessionStanding | None:
        """Return how a session stands; None: it is so new that the sink has not read of it.

        Raises:
            Problem: it is not there, or somebody else's.
        """
        await self.owner(principal, session_id)
        return await self._standing(principal, session_id)

    async def open(
        self, principal: Principal, user: str | None, opened: SessionOpened, idempotency_key: str | None
    ) -> Posted:
        """Open a session for the bearer, or for a user of its tenant.

        Raises:
            Problem: it may not, or Kafka is away.
        """
        require(principal, Scope.SEND)
        demand_unbounded(principal)
        user = self._user(principal, user)
        event_id = id_of(principal, "sessions", idempotency_key)
        session_id = derived_id(event_id, "session")
        posted = await self._post(
            principal,
            self._event(event_id, session_id, principal.tenant, user, opened),
            keyed=idempotency_key is not None,
        )
        self._remember_owner(session_id, Owner(tenant=principal.tenant, user=posted.event.user_id))
        return posted

    async def say(
        self,
        principal: Principal,
        session_id: str,
        body: InputFact,
        idempotency_key: str | None = None,
    ) -> Posted:
        """Write an input to a session that is there, on behalf of whom it belongs to.

        Raises:
            Problem: the bearer may not, the input is invalid, or Kafka is away.
        """
        require(principal, _SCOPES.get(type(body), Scope.SEND))
        owner = await self.owner(principal, session_id, wait=True)
        if isinstance(body, MessageReceived):
            demand_unbounded(principal)
        event_id = id_of(principal, session_id, idempotency_key)
        # An operator's act names the operator; all else is said by whom the session belongs to.
        user = principal.operator if isinstance(body, OperatorFact) else owner.user
        event = self._event(event_id, session_id, owner.tenant, user, body)
        return await self._post(principal, event, keyed=idempotency_key is not None)

    async def begin(self, principal: Principal, body: MessageReceived, idempotency_key: str | None) -> Posted:
        """Write the first message of a new session, which opens it.

        Raises:
            Problem: as `say`.
        """
        require(principal, Scope.SEND)
        demand_unbounded(principal)
        event_id = id_of(principal, "begin", idempotency_key)
        session_id = derived_id(event_id, "session")
        user = self._user(principal, None)
        event = self._event(event_id, session_id, principal.tenant, user, body)
        posted = await self._post(principal, event, keyed=idempotency_key is not None)
        self._remember_owner(session_id, Owner(tenant=principal.tenant, user=user))
        return posted

    async def fork(self, principal: Principal, wanted: ForkRequested, idempotency_key: str | None) -> Posted:
        """Ask for a new session that goes on from a past point of one that is there.

        Raises:
            Problem: as `say`; whether the point is one, the session that is asked for tells.
        """
        require(principal, Scope.SEND)
        owner = await self.owner(principal, wanted.origin_session_id, wait=True)
        event_id = id_of(principal, f"{wanted.origin_session_id}/fork", idempotency_key)
        session_id = derived_id(event_id, "session")
        event = self._event(event_id, session_id, owner.tenant, owner.user, wanted)
        posted = await self._post(principal, event, keyed=idempotency_key is not None)
        self._remember_owner(session_id, owner)
        return posted

    async def check(self) -> dict[str, str]:
        """Tell of each component that requests need whether it answers: "connected", or why not."""
        told = {"kafka": "connected", "postgres": "connected"}
        try:
            async with asyncio.timeout(3.0):
                await self.client.end_of(USER_INPUTS, b"")
        except (KafkaError, OSError, TimeoutError):
            told["kafka"] = "disconnected"
        try:
            async with asyncio.timeout(3.0), self.database(None):
                pass
        except (Problem, TimeoutError):
            told["postgres"] = "disconnected"
        return told

    async def _standing(self, principal: Principal, session_id: str) -> SessionStanding | None:
        async with self.database(principal) as connection:
            return await conversations.session_of(connection, UUID(session_id))

    def _user(self, principal: Principal, user: str | None) -> str:
        if principal.user is not None and user not in (None, principal.user):
            raise Problem(403, "this token is another user's", code="user_mismatch", param="userId")
        return principal.user or user or "anonymous"

    def _event(
        self, event_id: str, session_id: str, tenant: str, user: str, body: SentFact | InputFact
    ) -> Envelope:
        topic = _entrance_of(body)
        try:
            event = Envelope(
                event_id=event_id,
                type=type(body).__name__,
                session_id=session_id,
                tenant_id=tenant,
                user_id=user,
                producer=PRODUCER,
                traceparent=traceparent(),
                body=cleaned(body),
            )
            # What ingress would put aside is refused here, by the same rules; only it counts tokens.
            checked = checked_input(
                event,
                (topic.name, 0, 0),
                taken_at_ms=0,
                producer=PRODUCER,
                tokenizer=lambda _text: 0,
                limits=self._limits,
            )
        except InputInvalid as error:
            raise Problem(422, str(error), code="invalid_input") from error
        now_ms = time.time_ns() // 1_000_000
        return replace(event, tenant_id=checked.tenant_id, user_id=checked.user_id, occurred_at_ms=now_ms)

    async def _post(self, principal: Principal, event: Envelope, *, keyed: bool) -> Posted:
        """Write an input once, whatever is asked how often under its key."""
        if keyed and (earlier := await self._earlier(principal, event)) is not None:
            return earlier
        async with confirmed():
            place = await self.client.post(event, _entrance_of(event.body))
        posted = Posted(event=event, place=place)
        if keyed:
            remember(self._keys, event.event_id, posted, OPENED_MAX)
        return posted

    async def _earlier(self, principal: Principal, event: Envelope) -> Posted | None:
        """Return what was sent under the same key, here or at another gateway.

        Raises:
            Problem: it was something else.
        """
        earlier = self._keys.get(event.event_id)
        if earlier is not None:
            same = earlier.event.body == event.body
            place, at_ms = earlier.place, earlier.event.occurred_at_ms
        else:
            async with self.database(principal) as connection:
                known = await conversations.known_input(connection, UUID(event.event_id), event.tenant_id)
            if known is None:
                return None
            same = known.type == event.type and says_the_same(known.body, event.body)
            place, at_ms = (-1, -1), round(known.occurred_at.timestamp() * 1_000)
        if not same:
            raise key_reused()
        return Posted(event=replace(event, occurred_at_ms=at_ms), place=place, repeated=True)

    def _remember_owner(self, session_id: str, owner: Owner) -> None:
        remember(self._owners, session_id, owner, OPENED_MAX)


def _entrance_of(body: Fact) -> Topic:
    """Return the topic by which an input enters: operators' acts have one of their own."""
    return OPERATOR_INPUTS if isinstance(body, OperatorFact) else USER_INPUTS


def id_of(principal: Principal, route: str, idempotency_key: str | None) -> str:
    """Return the id of an input: what is asked again under one key gets the same, and is taken in once."""
    if idempotency_key is None:
        return str(uuid.uuid4())
    if not 0 < len(idempotency_key) <= IDEMPOTENCY_CHARACTERS_MAX:
        raise Problem(
            400,
            f"Idempotency-Key has 1 to {IDEMPOTENCY_CHARACTERS_MAX} characters",
            code="idempotency_key_invalid",
        )
    return derived_id(principal.token_id, "idempotency", route, idempotency_key)


def says_the_same(known: Mapping[str, object], body: Fact) -> bool:
    """Compare an input on the log with one that was just sent, but for what we tell of it ourselves."""
    return _as_sent(known) == _as_sent(to_plain(body))


def _as_sent(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _as_sent(item) for key, item in value.items() if key not in _OURS and item is not None}
    if isinstance(value, list | tuple):
        return [_as_sent(item) for item in value]
    return value
