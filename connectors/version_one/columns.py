"""Finds V1's columns: by the names that its owner gives, or by those that are common."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow

SESSIONS, MESSAGES, INVOCATIONS = "sessions", "conversation_messages", "tool_invocations"
_NAMES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = MappingProxyType(
    {
        SESSIONS: {
            "id": ("id", "session_id", "uuid"),
            "created_at": ("created_at", "createdAt", "started_at", "started", "inserted_at", "timestamp"),
            "ended_at": ("ended_at", "endedAt", "closed_at", "completed_at", "finished_at"),
            "status": ("status", "state"),
            "title": ("title", "name", "subject", "topic"),
            "owner": ("user_id", "owner_id", "userId", "user", "owner", "username"),
        },
        MESSAGES: {
            "id": ("id", "message_id", "uuid"),
            "session_id": (
                "session_id",
                "sessionId",
                "conversation_id",
                "conversation",
                "thread_id",
                "chat_id",
            ),
            "role": ("role", "sender", "author", "from", "speaker", "type"),
            "content": ("content", "body", "text", "message"),
            "created_at": ("created_at", "createdAt", "timestamp", "sent_at", "inserted_at", "at", "ts"),
            "metadata": ("metadata", "meta", "extra", "data"),
            "cost_tokens": ("tokens", "token_count", "total_tokens", "tokens_used"),
        },
        INVOCATIONS: {
            "id": ("id", "invocation_id", "uuid"),
            "session_id": ("session_id", "sessionId", "conversation_id", "thread_id", "chat_id"),
            "tool_name": ("tool_name", "toolName", "tool", "name"),
            "category": ("category", "tool_category", "kind"),
            "output_json": ("output_json", "output", "result", "response"),
            "latency_ms": ("latency_ms", "duration_ms", "latency", "elapsed_ms"),
            "cost_tokens": ("cost_tokens", "tokens", "token_count"),
            "created_at": ("created_at", "createdAt", "timestamp", "called_at", "inserted_at", "started_at"),
        },
    }
)
_NEEDED: Final = MappingProxyType(
    {SESSIONS: ("id",), MESSAGES: ("session_id", "role", "content"), INVOCATIONS: ("session_id",)}
)
_COLUMNS: Final = """
    SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a
    WHERE a.attrelid = to_regclass(%s) AND a.attnum > 0 AND NOT a.attisdropped
    ORDER BY a.attnum
"""
_IDS_REPEAT: Final = """
    SELECT NOT EXISTS (
        SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
        WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid
          AND i.indnkeyatts = 1 AND i.indpred IS NULL AND i.indexprs IS NULL AND a.attname = %s
    )
"""
_KIND: Final = "SELECT relkind::text FROM pg_class WHERE oid = to_regclass(%s)"
_TIMES: Final = ("timestamp with time zone", "timestamp without time zone", "date")
_NUMBERS: Final = ("smallint", "integer", "bigint", "numeric", "real", "double precision")


class VersionOneUnreadable(Exception):
    """There is no V1 to read, or a column that is needed is not found; the text tells what to write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A column of V1."""

    name: str
    type: str

    @property
    def text(self) -> str:
        """Return it as text, in SQL."""
        return f"{self.quoted}::text"

    @property
    def quoted(self) -> str:
        """Return its name, in SQL."""
        return sql.Identifier(self.name).as_string(None)

    @property
    def time(self) -> str:
        """Return it as what `as_time` reads: microseconds since 1970 where it is a time, in SQL."""
        if self.type not in _TIMES:
            return self.text
        return (
            f"CASE WHEN isfinite({self.quoted}) "
            f"THEN (extract(epoch FROM {self.quoted}) * 1000000)::numeric(30, 0)::text || 'us' END"
        )

    @property
    def number(self) -> str:
        """Return it as a number of 64 bits, or NULL where it is none, in SQL."""
        if self.type not in _NUMBERS:
            return "NULL"
        least, most = -(2**63), 2**63 - 1
        return f"CASE WHEN {self.quoted}::numeric BETWEEN {least} AND {most} THEN {self.quoted}::bigint END"


@dataclass(frozen=True, slots=True, kw_only=True)
class PastTable:
    """A table of V1, and where in it is what."""

    name: str
    columns: Mapping[str, Found]
    """By what they hold; nothing of what V1 does not have."""
    has_versions: bool
    """True: its rows tell which transaction wrote them, as those of an ordinary table do."""
    ids_repeat: bool
    """True: nothing keeps two rows from having one id."""

    def text(self, column: str) -> str:
        """Return a column as text, in SQL; NULL where V1 has none."""
        return self.columns[column].text if column in self.columns else "NULL::text"

    def time(self, column: str) -> str:
        """Return a column as a time, in SQL, likewise."""
        return self.columns[column].time if column in self.columns else "NULL::text"

    def number(self, column: str) -> str:
        """Return a column as a number, in SQL, likewise."""
        return self.columns[column].number if column in self.columns else "NULL::bigint"

    @property
    def session(self) -> str:
        """Return the key of the session that a row belongs to, in the order of bytes, in SQL."""
        return f'{self.text("id" if self.name == SESSIONS else "session_id")} COLLATE "C"'

    @property
    def order(self) -> str:
        """Return the order of rows within a session, in SQL."""
        at = f"{self.columns['created_at'].quoted} NULLS LAST, " if "created_at" in self.columns else ""
        return f"{at}{self.text('id')}"


async def discover(
    connection: AsyncConnection[TupleRow], named: Mapping[str, Mapping[str, str]]
) -> dict[str, PastTable]:
    """Find V1's tables and their columns.

    Args:
        connection: with them on its search path.
        named: by table and our column what V1's owner calls it.

    Returns:
        By name; tool_invocations only where V1 has it.

    Raises:
        VersionOneUnreadable: sessions or messages, or columns that are needed, are not there.
    """
    found: dict[str, PastTable] = {}
    for table, names in _NAMES.items():
        cursor = await connection.execute(_COLUMNS, [table])
        there = {str(row[0]): str(row[1]) for row in await cursor.fetchall()}
        if not there:
            if table == INVOCATIONS:
                continue
            raise VersionOneUnreadable(f"the database has no table {table} that could be read")
        said = named.get(table, {})
        columns = {}
        for ours, common in _known_as(table, names, there).items():
            wanted = (said[ours],) if said.get(ours, ours) != ours else common
            name = next((one for one in wanted if one in there), None)
            if name is not None:
                columns[ours] = Found(name=name, type=there[name])
        lacking = [ours for ours in _NEEDED[table] if ours not in columns]
        if lacking:
            raise VersionOneUnreadable(
                f"{table} has no column that is known as {' or '.join(lacking)}; it has {', '.join(there)}. "
                f'Name it in the file of CARTRITA_VERSION_ONE_TABLES: [{table}.columns] {lacking[0]} = "…"'
            )
        cursor = await connection.execute(_KIND, [table])
        kind = await cursor.fetchone()
        ids_repeat = False
        if "id" in columns:
            cursor = await connection.execute(_IDS_REPEAT, [table, columns["id"].name])
            ids_repeat = await cursor.fetchone() == (True,)
        found[table] = PastTable(
            name=table, columns=columns, has_versions=kind == ("r",), ids_repeat=ids_repeat
        )
    return found


def _known_as(
    table: str, names: Mapping[str, tuple[str, ...]], there: Mapping[str, str]
) -> Mapping[str, tuple[str, ...]]:
    """Return the common names; of what a message cost V1's own column, and never the one that V2 adds."""
    order = list(there)
    if table != MESSAGES or "cost_tokens" not in there:
        return names
    if "graph_node" in there and order.index("graph_node") < order.index("cost_tokens"):
        return names
    return {**names, "cost_tokens": ("cost_tokens", *names["cost_tokens"])}
