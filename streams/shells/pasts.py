"""What a session was in V1, told to it before the first message that goes on with it.

It is read from Postgres, where an import has its rows, and named on the log, so that no replay reads it
again. Where Postgres is away, messages go on without it, and a later one brings it.
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol
from uuid import UUID

import psycopg
import structlog
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from processors.inputs import InputInvalid
from processors.memory.imported import TOLD_MAX
from schemas.envelope import Envelope
from schemas.events.inputs import ImportedText, SessionImported
from schemas.frozen import replace
from schemas.ids import derived_id
from sinks.imported_past import SaidThere, has_any_come, imported_session, said_there
from topics.shells import INGRESS

_log = structlog.get_logger()
WAIT_S: Final = 1.0
"""So long a message may wait for Postgres."""
AWAY_S: Final = 30.0
"""So long nothing is asked of a Postgres that did not answer."""
KNOWN_S: Final = 60.0
"""So long a session of V2's own is not asked about again."""
NOTHING_S: Final = 5.0
"""So long it is not asked again whether anything came over at all, which most deployments never have."""
KNOWN_MAX: Final = 10_000
TOLD_CHARACTERS_MAX: Final = 100_000
"""Of the messages told one by one, all but the latest; more would not fit a prompt."""


class Pasts(Protocol):
    """Knows what sessions were."""

    async def past_of(self, message: Envelope) -> Envelope | None:
        """Return what is to be told before a message of a session; None: nothing.

        Raises:
            InputInvalid: the session is another's.
        """
        ...


class ImportedPasts:
    """Reads what came over from V1."""

    def __init__(
        self,
        pool: AsyncConnectionPool[AsyncConnection],
        tokenizer: Callable[[str], int],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Note the pool, which its owner opens and closes, and what counts tokens."""
        self._pool = pool
        self._tokenizer = tokenizer
        self._clock = clock
        self._known_until_s: OrderedDict[str, float] = OrderedDict()
        self._away_until_s = 0.0
        self._nothing_until_s = 0.0
        self._has_any = False

    async def past_of(self, message: Envelope) -> Envelope | None:
        """Return what is to be told before a message; see `Pasts`."""
        session_id, now_s = message.session_id, self._clock()
        known_until_s = self._known_until_s.get(session_id, 0.0)
        if now_s < max(self._away_until_s, self._nothing_until_s, known_until_s):
            return None
        try:
            async with asyncio.timeout(WAIT_S), self._pool.connection(WAIT_S) as connection:
                self._has_any = self._has_any or await has_any_come(connection)
                if not self._has_any:
                    self._nothing_until_s = now_s + NOTHING_S
                    return None
                found = await imported_session(connection, UUID(session_id))
                if found is None:
                    self._note(session_id, now_s + KNOWN_S)
                    return None
                owner = (found.tenant_id, found.user_id)
                if owner != (message.tenant_id, message.user_id):
                    raise InputInvalid(
                        f"the session is not one of the user {message.user_id} of the tenant "
                        f"{message.tenant_id}: it came over from {found.origin} for somebody else"
                    )
                said = await said_there(connection, UUID(session_id), owner, TOLD_MAX)
        except (psycopg.Error, PoolTimeout, TimeoutError) as error:
            self._away_until_s = now_s + AWAY_S
            _log.warning("imported_past_not_read", session_id=session_id, reason=repr(error)[:300])
            return None
        body = SessionImported(
            origin=found.origin, title=found.title, messages=found.messages, told=self._told(said)
        )
        return told_before(message, body, caused_by=found.event_id)

    def _told(self, said: list[SaidThere]) -> tuple[ImportedText, ...]:
        """Return the latest that may fit, oldest first; `said` has the latest first."""
        told: list[ImportedText] = []
        left = TOLD_CHARACTERS_MAX
        for one in said:
            left -= len(one.text)
            if left < 0 and told:
                break
            # A token has at least one byte.
            is_whole = len(one.text) == one.characters
            text = ImportedText(
                role=one.role,
                partition=one.partition,
                offset=one.offset,
                event_id=one.event_id,
                tokens=self._tokenizer(one.text) if is_whole else one.size_bytes,
                characters=one.characters,
            )
            told.append(text)
        return tuple(reversed(told))

    def _note(self, session_id: str, until_s: float) -> None:
        self._known_until_s[session_id] = until_s
        self._known_until_s.move_to_end(session_id)
        while len(self._known_until_s) > KNOWN_MAX:
            self._known_until_s.popitem(last=False)


def told_before(message: Envelope, body: SessionImported, *, caused_by: str | None) -> Envelope:
    """Return the input that tells a session of its past; its id follows from what it tells.

    Args:
        message: that goes on with the session; its time counts.
        body: what is told.
        caused_by: the event that tells of the conversation.
    """
    said = tuple(one.event_id for one in body.told)
    event_id = derived_id(message.session_id, "imported", caused_by or "", *said)
    return replace(
        message,
        event_id=event_id,
        type=SessionImported.__name__,
        causation_id=caused_by,
        correlation_id=event_id,
        evidence_ids=said,
        producer=INGRESS,
        traceparent=None,
        body=body,
    )
