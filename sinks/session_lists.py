"""Lists of sessions: what is searched for, in which order, a page at a time; and which have changed."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from uuid import UUID

from psycopg.rows import class_row

from sinks.connection import Connection
from sinks.conversations import IMPORTED, STANDINGS, STATUS, SessionStanding
from sinks.patterns import literal_of

_ACTIVITY: Final = "greatest(last_input_at, last_output_at, ended_at)"
# Whose they are, and what is wanted of them; sessions of single calls have no tenant here, so are in no list.
_WANTED: Final = f"""
    tenant_id = %(tenant)s AND (%(user)s::text IS NULL OR user_id = %(user)s)
    AND (%(statuses)s::text[] IS NULL OR status = ANY(%(stored)s) AND {STATUS} = ANY(%(statuses)s))
    AND (%(pattern)s::text IS NULL
         OR title ILIKE %(pattern)s OR last_answer ILIKE %(pattern)s OR user_id ILIKE %(pattern)s
         OR id::text LIKE %(beginning)s)
"""
_COUNT: Final = f"SELECT count(*) FROM session_summaries WHERE {_WANTED}"  # noqa: S608  # a text of our own
_CHANGED: Final = f"""
    SELECT id, ({_ACTIVITY}, {STATUS}, tokens_used, nanodollars_used, title, put_aside_at)::text
    FROM session_summaries
    WHERE tenant_id = %(tenant)s AND (%(user)s::text IS NULL OR user_id = %(user)s)
      AND greatest({_ACTIVITY}, put_aside_at, imported_at) > %(since)s
    ORDER BY {_ACTIVITY} DESC NULLS LAST
    LIMIT %(limit)s
"""  # noqa: S608  # as above
_TITLES: Final = "SELECT id::text, title FROM session_summaries WHERE id = ANY(%s) AND title IS NOT NULL"
_MOVED: Final = "SELECT COALESCE(sum(next_offset), 0), now() FROM sink_offsets"


class Order(StrEnum):
    """By what a list is sorted."""

    OPENED = "opened"
    ACTIVITY = "activity"
    COST = "cost"
    TOKENS = "tokens"


# What stands under a null in an order comes last; the times have an index in just this order.
_KEYS: Final = MappingProxyType(
    {
        Order.OPENED: ("opened_at", "timestamptz"),
        Order.ACTIVITY: (_ACTIVITY, "timestamptz"),
        Order.COST: ("nanodollars_used", "bigint"),
        Order.TOKENS: ("tokens_used", "bigint"),
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which sessions are wanted."""

    tenant: str
    user: str | None
    """None: of every user."""
    statuses: tuple[str, ...] = ()
    """None of them: in every status."""
    search: str = ""
    """A part of the title, of the newest answer or of the user's name, or the beginning of the id."""

    def given(self) -> dict[str, object]:
        """Return the values of the query's names."""
        literal = literal_of(self.search)
        return {
            "tenant": self.tenant,
            "user": self.user,
            "statuses": list(self.statuses) or None,
            "stored": ["open" if one == IMPORTED else one for one in self.statuses],
            "pattern": f"%{literal}%" if literal else None,
            "beginning": f"{literal.lower()}%",
        }


async def sessions_of(
    connection: Connection,
    wanted: Wanted,
    *,
    order: Order = Order.OPENED,
    ascending: bool = False,
    before: tuple[str, UUID] | None = None,
    limit: int,
) -> list[SessionStanding]:
    """Return a page of sessions.

    Args:
        connection: to Postgres.
        wanted: which ones.
        order: by what they are sorted.
        ascending: the oldest, or the least, first.
        before: what `key_of` says of the last session of the page before, and its id.
        limit: how many at most.
    """
    key, kind = _KEYS[order]
    direction, nulls, beyond = ("ASC", "FIRST", ">") if ascending else ("DESC", "LAST", "<")
    mark = "" if before is None else f"AND ({key}, id) {beyond} (%(at)s::{kind}, %(id)s)"
    query = f"""
        {STANDINGS} WHERE {_WANTED} {mark}
        ORDER BY {key} {direction} NULLS {nulls}, id {direction} LIMIT %(limit)s
    """
    at, session_id = before or (None, None)
    async with connection.cursor(row_factory=class_row(SessionStanding)) as cursor:
        await cursor.execute(query, wanted.given() | {"at": at, "id": session_id, "limit": limit})
        return await cursor.fetchall()


def key_of(order: Order, one: SessionStanding) -> str | None:
    """Return by what a session stands where it does, as text; None: by nothing, and so at the end."""
    key: datetime | int | None
    match order:
        case Order.OPENED:
            key = one.opened_at
        case Order.ACTIVITY:
            key = one.last_activity
        case Order.COST:
            key = one.nanodollars_used
        case Order.TOKENS:
            key = one.tokens_used
    return key.isoformat() if isinstance(key, datetime) else None if key is None else str(key)


async def count_of(connection: Connection, wanted: Wanted) -> int:
    """Return how many sessions there are of what is wanted."""
    cursor = await connection.execute(_COUNT, wanted.given())
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0])


async def titles_of(connection: Connection, ids: list[UUID]) -> dict[str, str]:
    """Return the titles of sessions that have one, by their ids as text."""
    cursor = await connection.execute(_TITLES, [ids])
    return dict(await cursor.fetchall())


async def moved(connection: Connection) -> tuple[int, datetime]:
    """Return how many records the sink has read, without which nothing can have changed; and now."""
    cursor = await connection.execute(_MOVED)
    row = await cursor.fetchone()
    assert row is not None
    return int(row[0]), row[1]


async def changed(connection: Connection, wanted: Wanted, since: datetime, limit: int) -> dict[UUID, str]:
    """Return the sessions that something happened to since a time, each with a text that changes with it.

    Times are those of events, whose rows come later: look back further than to the last look.
    """
    given = {"tenant": wanted.tenant, "user": wanted.user, "since": since, "limit": limit}
    cursor = await connection.execute(_CHANGED, given)
    return dict(await cursor.fetchall())


LOOK_BACK: Final = timedelta(minutes=2)
"""By how much an event's row may come later than its time says, so that it is still told of."""
