"""Takes V2 out of a database, so that V1's tables are as if it had never been there: as SQL, to read first.

What migrations made is found in their own text, so that none is forgotten.
"""

import re
from collections.abc import Sequence
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks.fitting import is_there
from sinks.forms import own_name
from sinks.mapping import V1_TABLES
from sinks.migrator import migrations

_MADE: Final = re.compile(
    r"^CREATE (?:OR REPLACE )?(TABLE|MATERIALIZED VIEW|VIEW|FUNCTION|SEQUENCE|TYPE)(?: IF NOT EXISTS)? (\w+)",
    re.MULTILINE,
)
_RETURNS: Final = re.compile(
    r"^CREATE (?:OR REPLACE )?FUNCTION (\w+)\([^)]*\)\s*RETURNS (?:SETOF )?(\w+)", re.MULTILINE
)
_COMMON: Final = "update_updated_at_column"
"""Of whoever had it before: migrations give it back."""
_HISTORY: Final = "cartrita_migrations"
_SESSIONS, _MESSAGES, _INVOCATIONS = V1_TABLES
# V2's are those that a migration added: in this order, and with a reference to V2's tasks.
_ADDED: Final = """
    SELECT a.attname FROM pg_attribute a
    JOIN pg_attribute first ON first.attrelid = a.attrelid AND first.attname = 'task_id'
    JOIN pg_constraint c ON c.conrelid = a.attrelid AND c.contype = 'f' AND c.conkey[1] = first.attnum
        AND c.confrelid = to_regclass('tasks_v2')
    WHERE a.attrelid = to_regclass('conversation_messages') AND NOT a.attisdropped
      AND a.attname IN ('task_id', 'graph_node', 'cost_tokens') AND a.attnum >= first.attnum
    ORDER BY a.attnum
"""
_BEGIN: Final = """\
BEGIN;
-- V1's programs wait for so long at most; if it does not come to its end, nothing is changed: run it again.
SET LOCAL lock_timeout = '5s';
"""
# Of tables that are V1's and V2's: V1's own rows name no event of V2's log.
_ROWS: Final = {
    _MESSAGES: """\
DELETE FROM conversation_messages m USING event_log e
WHERE e.session_id = m.session_id AND e.event_id::text = m.metadata ->> 'event_id'
  AND e.topic IN ('session.inputs', 'session.outputs');
DELETE FROM conversation_messages m USING session_summaries s
WHERE s.id = m.session_id AND m.created_at IS NULL AND m.metadata = '{}' AND m.content = '';
""",
    _INVOCATIONS: """\
DELETE FROM tool_invocations t USING event_log e
WHERE e.subject_id = t.id AND e.topic IN ('tool.calls', 'tool.results');
""",
    _SESSIONS: """\
DELETE FROM sessions s USING session_summaries v
WHERE v.id = s.id AND v.imported_from IS NULL
  AND NOT EXISTS (SELECT FROM conversation_messages m WHERE m.session_id = s.id)
  AND NOT EXISTS (SELECT FROM tool_invocations t WHERE t.session_id = s.id);
""",
}
_DROP_ORDER: Final = ("MATERIALIZED VIEW", "VIEW", "TABLE", "FUNCTION", "SEQUENCE", "TYPE")


async def way_back(connection: AsyncConnection[TupleRow]) -> str:
    """Return the SQL that takes V2 out of the database; nothing is changed.

    Tables of V1 that V2 shares lose the rows and the columns that are V2's. Where V2 has tables of its own
    beside them, they go, and V1's keep what a mapping wrote into them.
    """
    shared = [
        name
        for name in (_MESSAGES, _INVOCATIONS, _SESSIONS)
        if await is_there(connection, name) and not await is_there(connection, own_name(name))
    ]
    parts = [_BEGIN]
    if shared and await is_there(connection, "event_log"):
        parts.append("\n-- What V2 wrote into V1's tables; leave out of this part what V1 is to keep.\n")
        parts += [_ROWS[name] for name in shared]
    cursor = await connection.execute(_ADDED)
    if added := [str(row[0]) for row in await cursor.fetchall()]:
        parts.append("\n-- What V2 added to them.\n")
        parts.append(f"ALTER TABLE {_MESSAGES} {', '.join(f'DROP COLUMN {name}' for name in added)};\n")
    parts.append("\n-- What is V2's alone.\n")
    parts += [f"DROP {kind} IF EXISTS {', '.join(names)};\n" for kind, names in _made() if names]
    parts.append("\nCOMMIT;\n")
    return "".join(parts)


def _made() -> Sequence[tuple[str, Sequence[str]]]:
    """Return by kind, in the order in which they can be dropped, what migrations make."""
    found: dict[str, dict[str, None]] = {}
    returns: dict[str, str] = {}
    for step in migrations():
        returns.update(_RETURNS.findall(step.sql))
        for kind, name in _MADE.findall(step.sql):
            if name not in V1_TABLES and name != _COMMON:
                found.setdefault(kind, {})[name] = None
    for name in (*map(own_name, V1_TABLES), _HISTORY):
        found["TABLE"][name] = None
    # Rows of a table are what some functions return; of others triggers and policies of tables make use.
    of_rows = {name for name in found["FUNCTION"] if returns.get(name) in found["TABLE"]}
    for name in of_rows:
        del found["FUNCTION"][name]
    made = [(kind, tuple(found[kind])) for kind in _DROP_ORDER if kind in found]
    return [("FUNCTION", tuple(sorted(of_rows))), *made]
