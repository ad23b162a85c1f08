"""What an import asks of Postgres: whose sessions are, what is V2's own or known, and how far it is."""

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from processors.import_source import Kept, LeftBehind
from processors.projections.imports import TOOL_VERSION
from schemas.events.imports import TaskColumns
from schemas.ids import derived_id
from sinks.fitting import fitted, is_there
from sinks.forms import own_name
from sinks.mapping import VersionOne

# Any number that nobody else takes for an advisory lock of the same database.
_LOCK: Final = 0x6361_7276
_TAKE: Final = "SELECT pg_try_advisory_lock(%s)"
_LET_GO_S: Final = 5.0
"""So long Postgres may hold the lock of an import that has just ended, or was killed."""
_ASKED_AGAIN_S: Final = 0.1
_MESSAGES, _INVOCATIONS = "conversation_messages", "tool_invocations"
_OWNERS: Final = """
    SELECT id::text, tenant_id, user_id, imported_from FROM session_summaries
    WHERE id = ANY(%s::uuid[]) AND tenant_id IS NOT NULL
"""
_OWN_EVENTS: Final = """
    SELECT event_id::text FROM event_log
    WHERE session_id = ANY(%(ids)s::uuid[]) AND topic IN ('session.inputs', 'session.outputs')
    UNION ALL
    SELECT subject_id::text FROM event_log
    WHERE session_id = ANY(%(ids)s::uuid[]) AND topic IN ('tool.calls', 'tool.results')
      AND subject_id IS NOT NULL
"""
_OWN_ROWS: Final = (
    "SELECT id::text FROM {table} WHERE session_id = ANY(%s::uuid[]) AND graph_node <> 'imported'"
)
_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]{0,17}")
"""As Postgres writes a bigint, but for the longest."""
_NUMBERS: Final = (
    "SELECT number::text FROM version_one_ids WHERE table_name = %s AND number = ANY(%s::bigint[])"
)
_TOLD: Final = """
    SELECT subject_id::text, type, array_agg(event_id::text ORDER BY recorded_at, "offset"),
           sum(CASE WHEN type = 'MessageImported'
               THEN (body ->> 'cost_tokens')::numeric - (body ->> 'cost_tokens_before')::numeric END)::bigint
    FROM event_log WHERE subject_id = ANY(%s::uuid[]) AND topic = 'session.imports'
    GROUP BY subject_id, type
"""
_RUNNING: Final = """
    SELECT DISTINCT ON (t.id) e.body ->> 'source_key'
    FROM tasks_v2 t JOIN event_log e ON e.subject_id = t.id
    WHERE t.status = 'running' AND t.intent = 'root_conversation_objective' AND t.spec_json ->> 'origin' = %s
      AND e.topic = 'session.imports' AND e.type = 'ConversationImported'
    ORDER BY t.id, e.recorded_at DESC, e."offset" DESC
"""
_HAS_EVENTS: Final = "SELECT EXISTS (SELECT FROM event_log WHERE topic = 'session.imports')"
_ITS_TASKS: Final = """
    SELECT t.session_id::text, t.id::text, t.parent_id IS NULL, t.intent,
           (extract(epoch FROM t.created_at) * 1000000)::bigint, t.cost_budget_tokens, t.estimated_cost_tokens
    FROM tasks_v2 t
    LEFT JOIN tasks_v2 p ON p.id = t.parent_id
    WHERE t.session_id = ANY(%s::uuid[]) AND substr(t.id::text, 15, 1) = '4'
      AND COALESCE(p.spec_json, t.spec_json) ->> 'inferred_from' = 'v1_backfill'
    ORDER BY t.session_id, t.created_at, t.id
"""
_ITS_SNAPSHOTS: Final = """
    SELECT DISTINCT ON (session_id) session_id::text, id::text FROM graph_snapshots
    WHERE session_id = ANY(%s::uuid[]) AND node_name = 'migration_baseline' AND substr(id::text, 15, 1) = '4'
    ORDER BY session_id, created_at DESC, id
"""
# Nobody measured what the script's defaults say of a tool: how safe, how complex, how intense.
_ADOPT_TOOL: Final = """
    UPDATE tool_capability_index
    SET id = %(id)s, version = %(version)s,
        safety_level = NULL, complexity_score = NULL, resource_intensity = NULL
    WHERE tool_name = %(tool)s AND version = '1.0.0' AND substr(id::text, 15, 1) = '4'
      AND NOT EXISTS (
          SELECT FROM tool_capability_index WHERE tool_name = %(tool)s AND version = %(version)s
      )
"""
_READ_UP_TO: Final = (
    "SELECT partition, next_offset FROM sink_offsets WHERE topic = 'session.imports' AND sink = %s"
)


_KEEP: Final = """
    INSERT INTO imports
        (origin, tenant_id, passes, source, seen_before, began_at, began_before, reached, counts)
    VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
    ON CONFLICT (origin) DO UPDATE
    SET passes = EXCLUDED.passes, source = EXCLUDED.source, seen_before = EXCLUDED.seen_before,
        began_at = EXCLUDED.began_at, began_before = EXCLUDED.began_before, reached = EXCLUDED.reached,
        counts = EXCLUDED.counts
"""


class ImportBusy(Exception):
    """Another process brings over V1 into this database."""


class OriginTaken(Exception):
    """The name of the source stands for another tenant already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Whose a session is, as V2 knows it."""

    tenant_id: str
    user_id: str
    imported_from: str | None
    """None: it is V2's own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What earlier events told of a row of V1."""

    event_ids: tuple[str, ...]
    """The newest last."""
    cost_tokens: int
    """Of a message, all of them together."""


@dataclass(slots=True, kw_only=True)
class Progress:
    """How far the sessions of a source were brought over."""

    origin: str
    tenant_id: str
    passes: int = 0
    source: str = ""
    """Which database it is."""
    seen_before: int | None = None
    """What transactions before this one wrote was read by a pass that came to its end."""
    began_at: datetime | None = None
    """When the pass began that is not at its end."""
    began_before: int | None = None
    reached: str = ""
    """The last session that it has brought over."""
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Which tables of V1 are V2's too."""

    messages: bool
    invocations: bool
    has_own_messages: bool
    """True: V2 keeps its messages in a table of its own, and writes V1's beside it."""


async def hold(connection: AsyncConnection[TupleRow]) -> None:
    """Be the only import, until the connection ends.

    Raises:
        ImportBusy: another one runs.
    """
    clock = asyncio.get_running_loop().time
    deadline_s = clock() + _LET_GO_S
    while await (await connection.execute(_TAKE, [_LOCK])).fetchone() != (True,):
        if clock() >= deadline_s:
            raise ImportBusy("another import into this database runs")
        await asyncio.sleep(_ASKED_AGAIN_S)


async def places(connection: AsyncConnection[TupleRow], mapping: VersionOne) -> Places:
    """Return which of V1's tables in this database are V2's as well."""
    names = (await fitted(connection, mapping)).names
    own = {name: await is_there(connection, own_name(name)) for name in (_MESSAGES, _INVOCATIONS)}
    return Places(
        messages=_MESSAGES in names and not own[_MESSAGES],
        invocations=_INVOCATIONS in names and not own[_INVOCATIONS],
        has_own_messages=own[_MESSAGES],
    )


async def owners(connection: AsyncConnection[TupleRow], ids: Sequence[str]) -> dict[str, Owner]:
    """Return the sessions that V2 knows the owner of."""
    cursor = await connection.execute(_OWNERS, [list(ids)])
    return {
        str(row[0]): Owner(tenant_id=row[1], user_id=row[2], imported_from=row[3])
        for row in await cursor.fetchall()
    }


async def own_rows(
    connection: AsyncConnection[TupleRow], ids: Sequence[str], *, has_own_messages: bool
) -> frozenset[str]:
    """Return what tells rows that V2 wrote into V1's tables: ids of events, calls and messages."""
    cursor = await connection.execute(_OWN_EVENTS, {"ids": list(ids)})
    found = {str(row[0]) for row in await cursor.fetchall()}
    if has_own_messages:
        query = _OWN_ROWS.format(table=own_name(_MESSAGES))
        cursor = await connection.execute(query.encode(), [list(ids)])
        found |= {str(row[0]) for row in await cursor.fetchall()}
    return frozenset(found)


async def numbered(connection: AsyncConnection[TupleRow]) -> frozenset[str]:
    """Return the tables of V1 in which rows of V2 have numbers."""
    cursor = await connection.execute("SELECT DISTINCT table_name FROM version_one_ids")
    return frozenset(str(row[0]) for row in await cursor.fetchall())


async def own_numbers(
    connection: AsyncConnection[TupleRow], table: str, keys: Sequence[str]
) -> frozenset[str]:
    """Return which of these keys in a table of V1 are numbers that rows of V2 have there."""
    cursor = await connection.execute(_NUMBERS, [table, [int(key) for key in keys if _NUMBER.fullmatch(key)]])
    return frozenset(str(row[0]) for row in await cursor.fetchall())


async def told(connection: AsyncConnection[TupleRow], subjects: Sequence[str]) -> dict[tuple[str, str], Told]:
    """Return by subject and type of event what was told of them."""
    cursor = await connection.execute(_TOLD, [list(subjects)])
    return {
        (str(row[0]), str(row[1])): Told(event_ids=tuple(row[2]), cost_tokens=int(row[3] or 0))
        for row in await cursor.fetchall()
    }


async def has_events(connection: AsyncConnection[TupleRow]) -> bool:
    """Tell whether anything was brought over that the sink has written."""
    return await (await connection.execute(_HAS_EVENTS)).fetchone() == (True,)


async def running(connection: AsyncConnection[TupleRow], origin: str) -> tuple[str, ...]:
    """Return the sessions of a source, by their keys there, that were told to go on."""
    cursor = await connection.execute(_RUNNING, [origin])
    return tuple(str(row[0]) for row in await cursor.fetchall())


async def left_behind(connection: AsyncConnection[TupleRow], ids: Sequence[str]) -> dict[str, LeftBehind]:
    """Return by session what the design's own backfill script made of it."""
    roots: dict[str, Kept] = {}
    subtasks: dict[str, dict[tuple[str, int], tuple[Kept, ...]]] = {}
    cursor = await connection.execute(_ITS_TASKS, [list(ids)])
    for session, task_id, is_root, intent, at_us, budget, estimated in await cursor.fetchall():
        kept = Kept(task_id=task_id, columns=TaskColumns(budget_tokens=budget, estimated_tokens=estimated))
        if is_root:
            roots.setdefault(session, kept)
        elif at_us is not None:
            of_session = subtasks.setdefault(session, {})
            of_session[intent, at_us] = (*of_session.get((intent, at_us), ()), kept)
    cursor = await connection.execute(_ITS_SNAPSHOTS, [list(ids)])
    snapshots = {str(row[0]): str(row[1]) for row in await cursor.fetchall()}
    return {
        session: LeftBehind(
            root=roots.get(session), subtasks=subtasks.get(session, {}), snapshot_id=snapshots.get(session)
        )
        for session in {*roots, *subtasks, *snapshots}
    }


async def adopt_tools(connection: AsyncConnection[TupleRow], tools: Sequence[str]) -> None:
    """Give the statistics that the design's own script left the ids under which they are told again."""
    for tool in tools:
        made = derived_id("tool_capability", tool, TOOL_VERSION)
        await connection.execute(_ADOPT_TOOL, {"id": UUID(made), "tool": tool, "version": TOOL_VERSION})


async def progress_of(connection: AsyncConnection[TupleRow], origin: str, tenant_id: str) -> Progress:
    """Return how far a source was brought over.

    Raises:
        OriginTaken: it was brought over for another tenant.
    """
    cursor = await connection.execute(
        "SELECT tenant_id, passes, source, seen_before, began_at, began_before, reached, counts "
        "FROM imports WHERE origin = %s",
        [origin],
    )
    row = await cursor.fetchone()
    if row is None:
        return Progress(origin=origin, tenant_id=tenant_id)
    if row[0] != tenant_id:
        raise OriginTaken(f"{origin} was brought over for the tenant {row[0]}, and not for {tenant_id}")
    return Progress(
        origin=origin,
        tenant_id=tenant_id,
        passes=row[1],
        source=row[2],
        seen_before=row[3],
        began_at=row[4],
        began_before=row[5],
        reached=row[6] or "",
        counts=dict(row[7]),
    )


async def keep(connection: AsyncConnection[TupleRow], one: Progress) -> None:
    """Keep how far a source was brought over."""
    await connection.execute(
        _KEEP,
        [
            one.origin,
            one.tenant_id,
            one.passes,
            one.source,
            one.seen_before,
            one.began_at,
            one.began_before,
            one.reached or None,
            Jsonb(one.counts),
        ],
    )


async def lag(connection: AsyncConnection[TupleRow], ends: Mapping[int, int], sink: str = "postgres") -> int:
    """Return how many records of the imports' topic the sink has not read yet.

    Args:
        connection: to Postgres.
        ends: by partition where the topic ends.
        sink: which one.
    """
    cursor = await connection.execute(_READ_UP_TO, [sink])
    read = {int(row[0]): int(row[1]) for row in await cursor.fetchall()}
    return sum(max(0, end - read.get(partition, 0)) for partition, end in ends.items())
