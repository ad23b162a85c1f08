"""What operators ask of Postgres about a deployment: how far sinks are, and which configuration decides."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

_NEWEST: Final = """
    SELECT body ->> 'kind' AS kind, body ->> 'content_hash' AS hash, body ->> 'content_json' AS content,
           occurred_at AS at
    FROM (
        SELECT DISTINCT ON (body ->> 'kind') body, occurred_at FROM event_log
        WHERE topic = 'configuration' AND type = 'ConfigurationPublished'
        ORDER BY body ->> 'kind', "offset" DESC
    ) newest
    ORDER BY kind
"""
# Of calls, the newest; of what is older than a month, nothing.
_TOOLS: Final = """
    SELECT tool, count(*) AS calls, count(*) FILTER (WHERE failed) AS failed,
           avg(latency_ms)::float8 AS latency_ms, max(occurred_at) AS last_at
    FROM (
        SELECT body ->> 'tool' AS tool, type = 'ToolCallFailed' AS failed, occurred_at,
               (body ->> 'latency_ms')::bigint AS latency_ms
        FROM event_log
        WHERE type = ANY('{ToolCallCompleted,ToolCallFailed}') AND topic = 'tool.results'
          AND tenant_id = %(tenant)s AND occurred_at > now() - interval '30 days'
        ORDER BY occurred_at DESC LIMIT %(counted)s
    ) calls GROUP BY tool
"""
_AGENTS: Final = """
    SELECT agent, count(*) AS calls, count(*) FILTER (WHERE failed) AS failed,
           avg(latency_ms)::float8 AS latency_ms, max(ended_at) AS last_at
    FROM (
        SELECT t.agent_assigned AS agent, t.status = 'failed' AS failed, t.completed_at AS ended_at,
               extract(epoch FROM t.completed_at - t.created_at) * 1000 AS latency_ms
        FROM tasks_v2 t JOIN session_summaries s ON s.id = t.session_id
        WHERE s.tenant_id = %(tenant)s AND t.status IN ('complete', 'failed')
          AND t.agent_assigned IS NOT NULL AND t.completed_at > now() - interval '30 days'
        ORDER BY t.completed_at DESC LIMIT %(counted)s
    ) tasks GROUP BY agent
"""
COUNTED_MAX: Final = 50_000
"""Calls or tasks that statistics rest on, the newest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """How something did in a tenant's last 30 days."""

    calls: int
    failed: int
    latency_ms: float | None
    """On average."""
    last_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class PartInForce:
    """A part of the configuration, as a worker published it last."""

    kind: str
    hash: str
    content: str
    """JSON."""
    at: datetime

    def read(self) -> Mapping[str, object]:
        """Return what it says; nothing, if that is no object."""
        content = json.loads(self.content)
        return content if isinstance(content, Mapping) else {}


async def in_force(connection: AsyncConnection[TupleRow]) -> list[PartInForce]:
    """Return each part of the configuration as it was published last."""
    async with connection.cursor(row_factory=class_row(PartInForce)) as cursor:
        await cursor.execute(_NEWEST.encode())
        return await cursor.fetchall()


async def tools_used(connection: AsyncConnection[TupleRow], tenant: str) -> dict[str, Used]:
    """Return how a tenant's calls of each tool went."""
    return await _used(connection, _TOOLS, tenant)


async def agents_used(connection: AsyncConnection[TupleRow], tenant: str) -> dict[str, Used]:
    """Return how a tenant's tasks of each agent went."""
    return await _used(connection, _AGENTS, tenant)


async def _used(connection: AsyncConnection[TupleRow], query: str, tenant: str) -> dict[str, Used]:
    cursor = await connection.execute(query.encode(), {"tenant": tenant, "counted": COUNTED_MAX})
    return {
        str(name): Used(calls=calls, failed=failed, latency_ms=latency_ms, last_at=last_at)
        for name, calls, failed, latency_ms, last_at in await cursor.fetchall()
    }
