"""The questions that are ready for analysts: views of Postgres, what their columns mean, and their answers.

What a question and a column mean stands in the database, as comments, so that every tool that reads views
shows it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Final
from uuid import UUID

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import TupleRow, class_row


class Question(StrEnum):
    """A question; its view has the same name."""

    COST_BY_AGENT = "cost_by_agent"
    SLOWEST_HOPS = "slowest_hops"
    BUDGET_HIT_RATE = "budget_hit_rate"
    TOOL_RELIABILITY = "tool_reliability"
    RETRIEVAL_USEFULNESS = "retrieval_usefulness"
    POLICY_OUTCOMES = "policy_outcomes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """A column of an answer."""

    name: str
    """With its unit."""
    type: str
    """As Postgres names it."""
    meaning: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """A question in words."""

    name: Question
    text: str
    columns: tuple[Column, ...]

    @property
    def asked(self) -> str:
        """Return the question alone, without what its answer leaves out."""
        return self.text.partition("?")[0] + "?"


class TakesTooLong(Exception):
    """Postgres was given so much time to answer, and has not."""


Cell = str | int | float | datetime | UUID | Decimal | None
"""One value of an answer."""

_TEXT: Final = "SELECT COALESCE(obj_description(to_regclass(%s), 'pg_class'), '')"
_COLUMNS: Final = """
    SELECT attname AS name, format_type(atttypid, NULL) AS type,
           COALESCE(col_description(attrelid, attnum), '') AS meaning
    FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_PERIOD: Final = """
    SELECT set_config('cartrita.since', %s, true), set_config('cartrita.until', %s, true),
           set_config('statement_timeout', %s, true)
"""
_ANSWER: Final = """
    SELECT * FROM {view} WHERE %(tenant)s::text IS NULL OR tenant_id = %(tenant)s
    ORDER BY {order} LIMIT %(limit)s
"""
# What needs a look first.
_ORDER: Final = {
    Question.COST_BY_AGENT: "cost_dollars DESC, tokens DESC, tenant_id, agent",
    Question.SLOWEST_HOPS: "duration_ms_p95 DESC NULLS LAST, tenant_id, hop, name, purpose",
    Question.BUDGET_HIT_RATE: "hit_rate DESC NULLS LAST, tenant_id, kind",
    Question.TOOL_RELIABILITY: "success_rate NULLS LAST, calls DESC, tenant_id, tool, version",
    Question.RETRIEVAL_USEFULNESS: "usefulness_mean NULLS LAST, tenant_id, tool, imported_from",
    Question.POLICY_OUTCOMES: "decisions DESC, tenant_id, rule, tool",
}


async def explained(connection: AsyncConnection[TupleRow], question: Question) -> Explained:
    """Return what a question and its columns mean, as the database says it."""
    cursor = await connection.execute(_TEXT, [question.value])
    [(text,)] = await cursor.fetchall()
    async with connection.cursor(row_factory=class_row(Column)) as columns:
        await columns.execute(_COLUMNS, [question.value])
        return Explained(name=question, text=text, columns=tuple(await columns.fetchall()))


async def answer(
    connection: AsyncConnection[TupleRow],
    question: Question,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tenant: str | None = None,
    limit: int,
    within_ms: int = 0,
) -> list[Sequence[Cell]]:
    """Return the rows of a question's view, in the order of its columns, what needs a look first.

    Args:
        connection: to Postgres; what its role may see of the log is counted.
        question: which.
        since: count from this moment on; None: from the beginning.
        until: count what was before this moment; None: to the end.
        tenant: tell of this tenant alone.
        limit: return at most so many.
        within_ms: let Postgres take so long at most; 0: as long as it takes.

    Raises:
        TakesTooLong: it took longer.
    """
    query = sql.SQL(_ANSWER).format(view=sql.Identifier(question.value), order=sql.SQL(_ORDER[question]))
    try:
        async with connection.transaction():
            await connection.execute(_PERIOD, [_written(since), _written(until), str(within_ms)])
            cursor = await connection.execute(query, {"tenant": tenant, "limit": limit})
            return [tuple(map(_exact, row)) for row in await cursor.fetchall()]
    except psycopg.errors.QueryCanceled as error:
        raise TakesTooLong(f"{question} takes Postgres longer than {within_ms} ms") from error


def plain(value: Cell) -> int | float | str | None:
    """Return a value as JSON has it; of a fraction what a float holds of it."""
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, UUID) else value


def _written(moment: datetime | None) -> str:
    return "" if moment is None else moment.isoformat()


def _exact(value: Cell) -> Cell:
    """Return a whole number as one: Postgres adds up more than its own whole numbers hold."""
    return int(value) if isinstance(value, Decimal) and value.as_tuple().exponent == 0 else value
