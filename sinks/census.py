"""What waits and what is nearly used up, as Postgres has it now: gauges that every sink tells alike.

Counters tell what happened since a process began; these are of the whole deployment, so of several sinks the
greatest counts and not the sum. Where Postgres does not answer they are NaN, which is above no bound.
"""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from typing import Final

import psycopg
import structlog
from prometheus_client import CollectorRegistry
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks import approvals, open_outcomes
from sinks.connection import Connection
from sinks.described import Described
from sinks.writer import CONNECT_TIMEOUT_S

EVERY_S: Final = 15.0
APPLICATION: Final = "cartrita-census"
"""As Postgres names the connection."""
_WITHIN_MS: Final = 10_000
"""Longer Postgres does not look; the gauges are then NaN."""
_LOOKED_BACK: Final = timedelta(days=30)
"""Of requests and questions; what is older waits for nobody any more."""
SHARES: Final = ("under_half", "half", "four_fifths", "all")
"""How much of a token's budget is used: from 0, 50, 80 and 100 % on."""
IMPORTED: Final = ("sessions", "messages", "invocations", "events", "unchanged", "bad")
"""What is told of an import, by the names of `cartrita backfill`."""

CENSUS_METRICS: Final = (
    Described(
        name="cartrita_approvals_waiting",
        kind="gauge",
        labels=(),
        text="Requests to a person that nobody decided yet, of the last 30 days.",
    ),
    Described(
        name="cartrita_approvals_oldest_seconds",
        kind="gauge",
        labels=(),
        text="How long the oldest of them has waited; 0: none waits.",
    ),
    Described(
        name="cartrita_outcomes_waiting",
        kind="gauge",
        labels=(),
        text="Tool calls of which somebody has to find out whether they were carried out, of 30 days.",
    ),
    Described(
        name="cartrita_token_budgets",
        kind="gauge",
        labels=("used",),
        text="Tokens of the front door with a budget of their own, by how much is used: under_half, half, "
        "four_fifths or all.",
    ),
    Described(
        name="cartrita_imports_running",
        kind="gauge",
        labels=(),
        text="Sources of V1 of which a pass has begun and not ended; its program may have been killed.",
    ),
    Described(
        name="cartrita_imported",
        kind="gauge",
        labels=("what",),
        text="What the latest passes of all sources came to: sessions, messages, invocations, events, "
        "unchanged events and bad rows.",
    ),
)

_BUDGETS: Final = """
    WITH budgets AS (
        SELECT (c.body ->> 'token_id')::uuid AS token_id, c.body #>> '{budget,period}' AS period,
               (c.body #>> '{budget,tokens}')::numeric AS tokens,
               (c.body #>> '{budget,nanodollars}')::numeric AS nanodollars
        FROM event_log c
        WHERE c.type = 'TokenCreated' AND c.topic = 'access.tokens'
          AND jsonb_typeof(c.body -> 'budget') = 'object'
          AND COALESCE((c.body ->> 'expires_at_ms')::bigint, 9e15) > extract(epoch FROM now()) * 1000
          AND NOT EXISTS (
            SELECT FROM event_log r WHERE r.type = 'TokenRevoked' AND r.topic = 'access.tokens'
              AND r.body ->> 'token_id' = c.body ->> 'token_id'
          )
    ), used AS (
        SELECT GREATEST(
            COALESCE(sum(s.tokens_used) / NULLIF(b.tokens, 0), 0),
            COALESCE(sum(s.nanodollars_used) / NULLIF(b.nanodollars, 0), 0)
        ) AS share
        FROM budgets b
        LEFT JOIN session_summaries s ON s.calls_of = b.token_id AND (
            b.period = 'ever'
            -- A token has a session a day, and when it began its first event tells.
            OR (SELECT e.occurred_at FROM event_log e WHERE e.session_id = s.id ORDER BY e.sequence LIMIT 1)
               >= date_trunc(b.period, now() AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
        )
        GROUP BY b.token_id, b.tokens, b.nanodollars
    )
    SELECT CASE WHEN share >= 1 THEN 'all' WHEN share >= 0.8 THEN 'four_fifths'
                WHEN share >= 0.5 THEN 'half' ELSE 'under_half' END, count(*)
    FROM used GROUP BY 1
"""
_RUNNING: Final = "SELECT count(*) FROM imports WHERE began_at IS NOT NULL"
_IMPORTED: Final = """
    SELECT n.key, sum(n.value::numeric) FROM imports, jsonb_each_text(counts) AS n GROUP BY n.key
"""
_log = structlog.get_logger()


class Census:
    """The gauges, in the registry that the sink's process serves."""

    def __init__(self, registry: CollectorRegistry, every_s: float = EVERY_S) -> None:
        """Register every gauge; nothing is known yet."""
        self._every_s = every_s
        self._gauges = {one.name: one.gauge(registry) for one in CENSUS_METRICS}
        self._forget()

    async def keep(self, dsn: str) -> None:
        """Look again and again, until it is cancelled; Postgres may come and go."""
        while True:
            try:
                connection = await AsyncConnection[TupleRow].connect(
                    dsn,
                    autocommit=True,
                    connect_timeout=CONNECT_TIMEOUT_S,
                    application_name=APPLICATION,
                )
                async with connection:
                    await connection.execute(f"SET statement_timeout = {_WITHIN_MS}".encode())
                    while True:
                        await self.look(connection)
                        await asyncio.sleep(self._every_s)
            except psycopg.Error as error:
                self._forget()
                _log.warning("census_failed", reason=str(error).strip().split("\n")[0])
                await asyncio.sleep(self._every_s)

    async def look(self, connection: Connection) -> None:
        """Set every gauge to what Postgres has now.

        Raises:
            psycopg.Error: it does not answer.
        """
        now = datetime.now(UTC)
        waiting, oldest_s = await approvals.waiting(connection, now - _LOOKED_BACK)
        outcomes = await open_outcomes.waiting(connection, now, now - _LOOKED_BACK)
        shares: dict[str, int] = dict(await _rows(connection, _BUDGETS))
        [(running,)] = await _rows(connection, _RUNNING)
        imported: dict[str, int] = dict(await _rows(connection, _IMPORTED))
        self._gauges["cartrita_approvals_waiting"].set(waiting)
        self._gauges["cartrita_approvals_oldest_seconds"].set(oldest_s)
        self._gauges["cartrita_outcomes_waiting"].set(outcomes)
        self._gauges["cartrita_imports_running"].set(running)
        for share in SHARES:
            self._gauges["cartrita_token_budgets"].labels(share).set(shares.get(share, 0))
        for what in IMPORTED:
            self._gauges["cartrita_imported"].labels(what).set(float(imported.get(what, 0)))

    def _forget(self) -> None:
        labels = {"cartrita_token_budgets": SHARES, "cartrita_imported": IMPORTED}
        for name, gauge in self._gauges.items():
            for value in labels.get(name, ()):
                gauge.labels(value).set(math.nan)
            if name not in labels:
                gauge.set(math.nan)


async def _rows(connection: Connection, query: str) -> list[TupleRow]:
    cursor = await connection.execute(query.encode())
    return await cursor.fetchall()
