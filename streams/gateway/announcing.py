"""Tells a server that a person is asked: which call, of which tool, and where to look; no arguments.

Each gateway looks at what is open, and tells each question until it is taken: once where nothing fails, again
after a restart. Whoever is told drops repeats by their id.
"""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.webhook import WebhookFailed
from sinks import approvals, open_outcomes
from streams.gateway.database import EVERYBODY
from streams.gateway.door import Door
from streams.gateway.guard import SESSION_PAGE
from streams.gateway.problems import Problem

_log = structlog.get_logger()
LOOK_EVERY_S: Final = 2.0
OPEN_MAX: Final = 1_000
"""Questions that are looked at, the oldest first."""
ASKED_WITHIN: Final = timedelta(days=30)
"""What was asked before is looked at no more: a look must not take longer the longer the log is."""
PAUSE_S_MAX: Final = 300.0
"""Between two attempts to tell the same: 2 s, 4 s, 8 s … up to this."""
APPROVAL: Final = "approval.requested"
OUTCOME: Final = "outcome.asked"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a person is asked."""

    kind: str
    """APPROVAL or OUTCOME."""
    id: str
    """Of the request, or of the call."""
    session_id: str
    tenant_id: str
    tool: str
    asked_at: datetime
    expires_at: datetime

    def body(self, base_url: str) -> bytes:
        """Return what is told of it: nothing that a person or a model wrote."""
        named = "approval_id" if self.kind == APPROVAL else "call_id"
        told = {
            "type": self.kind,
            "timestamp": self.asked_at.astimezone(UTC).isoformat(),
            "data": {
                named: self.id,
                "session_id": self.session_id,
                "tenant_id": self.tenant_id,
                "tool": self.tool,
                "expires_at": self.expires_at.astimezone(UTC).isoformat(),
                "link": base_url + SESSION_PAGE + self.session_id,
            },
        }
        return json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()


Look = Callable[[], Awaitable[Iterable[Asked]]]
Send = Callable[[str, int, bytes], Awaitable[None]]
"""Of a webhook: tells by id, time and body; raises WebhookFailed."""


class Announcer:
    """Tells each question once, and what could not be told again and again."""

    def __init__(self, look: Look, send: Send, base_url: str, now_s: Callable[[], float] = time.time) -> None:
        """Take how to see what is open, how to tell it, and where links lead."""
        self._look, self._send, self._base_url, self._now_s = look, send, base_url, now_s
        self._told: set[str] = set()
        self._failed: dict[str, tuple[float, float]] = {}
        """By question that was not taken: when it is due again, and the pause before that."""

    async def run(self) -> None:
        """Look and tell without end."""
        while True:
            # Where Postgres is away, the gateway's health tells that.
            with suppress(Problem):
                await self.once()
            await asyncio.sleep(LOOK_EVERY_S)

    async def once(self) -> None:
        """Look once, and tell what is due.

        Raises:
            Problem: Postgres is away.
        """
        found = {one.id: one for one in await self._look()}
        # What is open no more needs no memory.
        self._told &= found.keys()
        self._failed = {key: due for key, due in self._failed.items() if key in found}
        for one in found.values():
            due_s, pause_s = self._failed.get(one.id, (0.0, LOOK_EVERY_S / 2))
            if one.id in self._told or due_s > self._now_s():
                continue
            try:
                await self._send(one.id, int(self._now_s()), one.body(self._base_url))
            except WebhookFailed as error:
                pause_s = min(2 * pause_s, PAUSE_S_MAX)
                self._failed[one.id] = self._now_s() + pause_s, pause_s
                _log.warning("webhook_failed", kind=one.kind, id=one.id, reason=str(error), retry_s=pause_s)
            else:
                self._told.add(one.id)
                self._failed.pop(one.id, None)


async def open_questions(door: Door) -> list[Asked]:
    """Return what persons are asked in all sessions.

    Raises:
        Problem: Postgres is away.
    """
    async with door.database(EVERYBODY) as connection:
        return await asked_now(connection, datetime.now(UTC))


async def asked_now(connection: AsyncConnection[TupleRow], now: datetime) -> list[Asked]:
    """Return what persons are asked at a time, and may still answer."""
    since = now - ASKED_WITHIN
    waiting = await approvals.open_requests(connection, tenant=None, user=None, limit=OPEN_MAX, since=since)
    unknown = await open_outcomes.open_questions(
        connection, tenant=None, user=None, limit=OPEN_MAX, now=now, since=since
    )
    found = [
        Asked(
            kind=APPROVAL,
            id=one.asked.approval_id,
            session_id=one.session_id,
            tenant_id=one.tenant_id,
            tool=one.asked.tool,
            asked_at=one.asked_at,
            expires_at=_moment(one.asked.expires_at_ms),
        )
        for one in waiting
    ]
    found += [
        Asked(
            kind=OUTCOME,
            id=one.asked.call_id,
            session_id=one.session_id,
            tenant_id=one.tenant_id,
            tool=one.asked.tool,
            asked_at=one.asked_at,
            expires_at=_moment(one.asked.expires_at_ms),
        )
        for one in unknown
    ]
    return [one for one in found if one.expires_at > now]


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)
