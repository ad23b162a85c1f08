"""Tries whether a table of V1 takes rows as V2 writes them, and takes back what it wrote.

Its form does not say all: checks, words of an enumeration, foreign keys, triggers and row-level security may
refuse a row as well. What they say of a row that is tried tells their owner what to write into the mapping.
"""

import uuid
from collections.abc import Mapping, Sequence
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from processors.projections.rows import Cell
from sinks.errors import is_passing
from sinks.forms import Obstacle, Target
from sinks.staging import Statements, statements

_COLUMNS_OF_CONSTRAINT: Final = """
    SELECT a.attname
    FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey)
    WHERE c.conrelid = to_regclass(%s) AND c.conname = %s
    ORDER BY a.attnum
"""
_SAMPLE: Final[Mapping[str, Cell]] = {
    "created_at": "2026-01-01T12:00:00.000+00:00",
    "content": "A question, or an answer to it.",
    "metadata": '{"event_id":"00000000-0000-4000-8000-000000000001"}',
    "graph_node": "intake",
    "cost_tokens": 1,
    "tool_name": "search_documents",
    "category": "retrieval",
    "output_json": '{"success":true,"result":{}}',
    "latency_ms": 1,
}
"""What is said of a row, by column. A task is not: the task would have to be there."""
_ROLES: Final = ("user", "assistant")


async def rehearse(
    connection: AsyncConnection[TupleRow], targets: Sequence[Target]
) -> dict[str, tuple[Obstacle, ...]]:
    """Return by table what refuses rows; nothing that was tried stays.

    Args:
        connection: with the tables on its search path, and no staging tables.
        targets: tables of V1, parents first.

    Raises:
        psycopg.Error: the server is away.
    """
    found: dict[str, tuple[Obstacle, ...]] = {}
    session_id = str(uuid.uuid4())
    async with connection.transaction(force_rollback=True):
        for target in targets:
            try:
                async with connection.transaction():
                    what = await _try(connection, statements(target), session_id)
                    await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
                if what:
                    found[target.name] = (Obstacle(table=target.name, column="", what=what),)
            except psycopg.Error as error:
                if is_passing(error):
                    raise
                found[target.name] = (await _obstacle(connection, target, error),)
    return found


async def _try(connection: AsyncConnection[TupleRow], made: Statements, session_id: str) -> str:
    """Write a row of which nothing is known yet, one of each kind, and then the rest of the first."""
    await connection.execute(made.create)
    bare, *whole = _rows(made.target, session_id)
    first = str(uuid.uuid4()) if made.target.table.name != "sessions" else session_id
    fresh = {first: bare, **{str(uuid.uuid4()): row for row in whole}}
    await _copy(connection, made, fresh)
    if made.number:
        await connection.execute(made.number)
    if (await connection.execute(made.insert)).rowcount != len(fresh):
        return "does not keep a row that is put there: a trigger drops it, or its id is taken"
    await _copy(connection, made, {first: whole[0]})
    await connection.execute(made.insert)
    if (await connection.execute(made.update)).rowcount != 1:
        return "does not let a row be changed that was put there: row-level security or a trigger hides it"
    return ""


def _rows(target: Target, session_id: str) -> list[dict[str, Cell]]:
    names = [one.column.name for one in target.columns]
    belongs = {"session_id": session_id} if "session_id" in names else {}
    whole = {**belongs, **{name: _SAMPLE[name] for name in names if name in _SAMPLE}}
    if "role" in names:
        return [dict(belongs), *({**whole, "role": role} for role in _ROLES)]
    return [dict(belongs), whole]


async def _copy(
    connection: AsyncConnection[TupleRow], made: Statements, rows: Mapping[str, Mapping[str, Cell]]
) -> None:
    async with connection.cursor() as cursor, cursor.copy(made.copy) as copy:
        await copy.write(made.text(rows))


async def _obstacle(connection: AsyncConnection[TupleRow], target: Target, error: psycopg.Error) -> Obstacle:
    """Turn what Postgres says into what is in the way, and what to write."""
    said = error.diag
    message = said.message_primary or str(error).strip()
    what = f"refuses a row as V2 writes it: {message}"
    if said.message_detail and not isinstance(
        error, psycopg.errors.CheckViolation | psycopg.errors.NotNullViolation
    ):
        what += f" ({said.message_detail})"
    column, section, line = said.column_name or "", "", ""
    if said.constraint_name and not column:
        cursor = await connection.execute(_COLUMNS_OF_CONSTRAINT, [target.name, said.constraint_name])
        columns = [str(row[0]) for row in await cursor.fetchall()]
        column = columns[0] if len(columns) == 1 else ""
    enum = next((one for one in target.columns if not one.is_alike and f"enum {one.type}:" in message), None)
    if enum is not None:
        word = message.rpartition(": ")[2].strip('"')
        column, section, line = enum.name, f"words.{enum.column.name}", f'{word or "user"} = "…"'
        if not word:
            section, line = "values", f'{enum.name} = "…"'
    elif column:
        ours = next((one.column.name for one in target.columns if one.name == column), None)
        section, line = "values", f"{column} = …"
        if ours == "role":
            section, line = "words.role", 'user = "…", assistant = "…"'
    elif isinstance(error, psycopg.errors.InsufficientPrivilege):
        what += "; grant it to the role of the sink (for row-level security: a policy, or BYPASSRLS)"
    elif error.sqlstate == "P0001" and said.context:
        what += f" ({said.context.splitlines()[0]})"
    return Obstacle(table=target.name, column=column, what=what, section=section, line=line)
