"""Reads V1: one moment of its database, a session after another, and a few thousand rows at once.

It only reads, and needs no index: three cursors in the order of sessions, which Postgres sorts on its disk.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from psycopg import AsyncConnection, AsyncServerCursor
from psycopg.errors import InsufficientPrivilege
from psycopg.rows import TupleRow

from connectors.version_one.columns import INVOCATIONS, MESSAGES, SESSIONS, PastTable, discover
from connectors.version_one.database import database_of, relations_of
from connectors.version_one.values import NoTime, as_json, as_object, as_time
from schemas.ports.version_one import BadRow, PastInvocation, PastMessage, PastSession

FETCHED_ROWS: Final = 2_000
KEY_CHARACTERS_MAX: Final = 400
OWNER_CHARACTERS_MAX: Final = 200
TEXT_CHARACTERS_MAX: Final = 1_000_000
"""So much of a message is read: as much as a record holds, and no record holds as much."""
_BEGIN: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
_MOMENT: Final = """
    SELECT (extract(epoch FROM now()) * 1000000)::bigint,
           pg_snapshot_xmin(pg_current_snapshot())::text::bigint,
           pg_snapshot_xmax(pg_current_snapshot())::text::bigint
"""
_T = TypeVar("_T", bound=PastMessage | PastInvocation)


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What of V1 is seen."""

    at_us: int
    """By V1's own clock, in microseconds since 1970."""
    seen_before: int
    """Everything that transactions before this one wrote is seen."""
    following: int
    """The number that the next transaction gets, at least."""
    database: str
    """Which database it is; '' where it does not say."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which sessions are read."""

    after: str = ""
    """Only those behind this key, in the order of bytes."""
    changed_since: int | None = None
    """Only those of which a row was written by this transaction or a later one …"""
    also: Sequence[str] = ()
    """… and these, by their keys."""


class Reader:
    """V1 at one moment; `reading` makes it."""

    def __init__(
        self,
        connection: AsyncConnection[TupleRow],
        tables: Mapping[str, PastTable],
        moment: Moment,
        bad: Callable[[BadRow], None],
        cursors: AsyncExitStack,
    ) -> None:
        """Take a connection in a transaction that sees one moment, and what closes its cursors."""
        self._connection = connection
        self._cursors = cursors
        self.tables = tables
        self.moment = moment
        self._bad = bad
        self._repeated: dict[str, frozenset[str]] = {}
        self._last_key: str | None = None
        self._messages: _Rows[PastMessage] | None = None
        self._invocations: _Rows[PastInvocation] | None = None

    async def relations(self) -> dict[str, int]:
        """Return by name the tables' numbers in their database."""
        return await relations_of(self._connection, self.tables)

    async def sessions(self, wanted: Wanted) -> AsyncGenerator[Sequence[PastSession], None]:
        """Give sessions in the order of their keys, some at once.

        Of each, in that order, `messages_of` and `invocations_of` are asked before the next ones.
        """
        table = self.tables[SESSIONS]
        query = (
            f"SELECT {table.text('id')}, {table.time('created_at')}, {table.time('ended_at')}, "  # noqa: S608  # quoted
            f"{table.text('status')}, {table.text('title')}, {table.text('owner')} FROM {SESSIONS} "
            f"WHERE {self._where(table, wanted)} ORDER BY {table.session}, {table.order}"
        )
        self._repeated = {
            name: await self._repeating(one) for name, one in self.tables.items() if name != SESSIONS
        }
        self._messages = _Rows(await self._open(MESSAGES, wanted), self._message)
        if INVOCATIONS in self.tables:
            self._invocations = _Rows(await self._open(INVOCATIONS, wanted), self._invocation)
        cursor = await self._declare("past_sessions", query, wanted)
        while rows := await cursor.fetchmany(FETCHED_ROWS // 4):
            yield [one for row in rows if (one := self._session(row)) is not None]
        for left in (self._messages, self._invocations):
            if left is not None:
                await left.exhaust(self._orphan)

    async def messages_of(self, key: str) -> AsyncIterator[PastMessage]:
        """Give a session's messages; sessions come in the order of their keys."""
        assert self._messages is not None
        async for one in self._messages.of(key, self._orphan):
            yield one

    async def invocations_of(self, key: str) -> AsyncIterator[PastInvocation]:
        """Give a session's calls of tools, likewise."""
        if self._invocations is not None:
            async for one in self._invocations.of(key, self._orphan):
                yield one

    async def invocations_since(self, since_us: int) -> AsyncIterator[PastInvocation]:
        """Give all calls of tools since a time, in no order."""
        table = self.tables.get(INVOCATIONS)
        if table is None or "created_at" not in table.columns:
            return
        cursor = await self._declare("past_calls", self._select(table), Wanted())
        while rows := await cursor.fetchmany(FETCHED_ROWS):
            for row in rows:
                one = self._invocation(row, tells=False)
                if one is not None and one.called_at_us is not None and one.called_at_us >= since_us:
                    yield one

    async def _open(self, name: str, wanted: Wanted) -> AsyncServerCursor[TupleRow]:
        table = self.tables[name]
        where = self._where(table, wanted)
        query = f"{self._select(table)} WHERE {where} ORDER BY {table.session}, {table.order}"
        return await self._declare(f"past_{name}", query, wanted)

    async def _declare(self, name: str, query: str, wanted: Wanted) -> AsyncServerCursor[TupleRow]:
        cursor = await self._cursors.enter_async_context(self._connection.cursor(name=name))
        await cursor.execute(query.encode(), self._given(wanted))
        return cursor

    def _select(self, table: PastTable) -> str:
        if table.name == MESSAGES:
            content = f"left({table.text('content')}, {TEXT_CHARACTERS_MAX})"
            what = [table.text("role"), content, table.text("metadata")]
            numbers = ["cost_tokens"]
        else:
            what = [table.text(column) for column in ("tool_name", "category", "output_json")]
            numbers = ["latency_ms", "cost_tokens"]
        columns = (
            *map(table.text, ("session_id", "id")),
            *what,
            table.time("created_at"),
            *map(table.number, numbers),
        )
        return f"SELECT {', '.join(columns)} FROM {table.name}"  # noqa: S608  # quoted names

    def _where(self, table: PastTable, wanted: Wanted) -> str:
        conditions = [f"{table.session} > %(after)s"] if wanted.after else []
        if wanted.changed_since is not None:
            changed = [
                f"SELECT {one.session} FROM {one.name} WHERE age(xmin) <= age(%(since)s::text::xid)"  # noqa: S608  # as above
                for one in self.tables.values()
            ]
            also = "SELECT unnest(%(also)s::text[])"
            conditions.append(f"{table.session} IN ({' UNION ALL '.join((*changed, also))})")
        if not conditions:
            return "TRUE"
        return " AND ".join(conditions)

    def _given(self, wanted: Wanted) -> dict[str, object]:
        since = None if wanted.changed_since is None else str(wanted.changed_since % 2**32)
        return {"after": wanted.after, "since": since, "also": list(wanted.also)}

    def _session(self, row: TupleRow) -> PastSession | None:
        key, created, ended, status, title, owner = row
        reason = self._unfit(SESSIONS, key)
        if key == self._last_key:
            # The first of them has the messages.
            reason = reason or "has the id of another row"
        self._last_key = key
        if not reason and len(owner or "") > OWNER_CHARACTERS_MAX:
            reason = f"belongs to an owner of more than {OWNER_CHARACTERS_MAX} characters"
        if reason:
            self._bad(BadRow(table=SESSIONS, key=(key or "")[:KEY_CHARACTERS_MAX], reason=reason))
            return None
        try:
            return PastSession(
                key=key,
                created_at_us=as_time(created),
                ended_at_us=as_time(ended),
                status=status or "",
                title=title or "",
                owner=owner or "",
            )
        except NoTime as error:
            self._bad(BadRow(table=SESSIONS, key=key, reason=str(error)))
            return None

    def _message(self, row: TupleRow) -> PastMessage | None:
        session, key, role, content, metadata, at, tokens = row
        if not role or not role.strip():
            self._bad(BadRow(table=MESSAGES, key=key or "", reason="does not say who said it"))
            return None
        return self._checked(
            MESSAGES,
            key,
            session,
            lambda: PastMessage(
                key=key,
                session_key=session,
                role=role,
                text=content or "",
                said_at_us=as_time(at),
                metadata=as_object(metadata),
                cost_tokens=max(0, tokens or 0),
            ),
        )

    def _invocation(self, row: TupleRow, *, tells: bool = True) -> PastInvocation | None:
        session, key, tool, category, output, at, latency, cost = row
        return self._checked(
            INVOCATIONS,
            key,
            session,
            lambda: PastInvocation(
                key=key,
                session_key=session,
                tool=tool or "",
                category=category or "",
                output=as_json(output),
                latency_ms=latency,
                cost_tokens=cost,
                called_at_us=as_time(at),
            ),
            tells=tells,
        )

    def _checked(
        self, table: str, key: str | None, session: str | None, make: Callable[[], _T], *, tells: bool = True
    ) -> _T | None:
        reason = self._unfit(table, key)
        if not reason and not session:
            reason = "belongs to no session"
        if not reason:
            try:
                return make()
            except NoTime as error:
                reason = str(error)
        if tells:
            self._bad(BadRow(table=table, key=(key or "")[:KEY_CHARACTERS_MAX], reason=reason))
        return None

    def _unfit(self, table: str, key: str | None) -> str:
        """Tell why a row cannot be named by its id; '' where it can."""
        if not key:
            return "has no id"
        if len(key) > KEY_CHARACTERS_MAX:
            return f"has an id of more than {KEY_CHARACTERS_MAX} characters"
        return "has the id of another row" if key in self._repeated.get(table, ()) else ""

    async def _repeating(self, table: PastTable) -> frozenset[str]:
        """Return the ids that several rows have; nothing where the table keeps them apart."""
        if not table.ids_repeat:
            return frozenset()
        key = table.text("id")
        query = f"SELECT {key} FROM {table.name} GROUP BY 1 HAVING count(*) > 1"  # noqa: S608  # a quoted name
        cursor = await self._connection.execute(query.encode())
        return frozenset(str(row[0]) for row in await cursor.fetchall())

    def _orphan(self, one: PastMessage | PastInvocation) -> None:
        table = MESSAGES if isinstance(one, PastMessage) else INVOCATIONS
        session = one.session_key[:KEY_CHARACTERS_MAX]
        reason = f"belongs to the session {session}, which is not there or cannot be read"
        self._bad(BadRow(table=table, key=one.key, reason=reason))


class _Rows(Generic[_T]):
    """Rows in the order of their sessions' keys, handed out session by session."""

    def __init__(self, cursor: AsyncServerCursor[TupleRow], make: Callable[[TupleRow], _T | None]) -> None:
        self._cursor = cursor
        self._make = make
        self._fetched: list[TupleRow] = []
        self._next = 0

    async def of(self, key: str, orphan: Callable[[_T], None]) -> AsyncIterator[_T]:
        """Give the rows of a session; what comes before belongs to none that is there."""
        while await self._has():
            row = self._fetched[self._next]
            if row[0] is None or row[0] > key:
                return
            self._next += 1
            one = self._make(row)
            if one is None:
                continue
            if row[0] == key:
                yield one
            else:
                orphan(one)

    async def exhaust(self, orphan: Callable[[_T], None]) -> None:
        """Tell of all that is left: it belongs to no session that is there."""
        while await self._has():
            one = self._make(self._fetched[self._next])
            self._next += 1
            if one is not None:
                orphan(one)

    async def _has(self) -> bool:
        if self._next >= len(self._fetched):
            self._fetched, self._next = await self._cursor.fetchmany(FETCHED_ROWS), 0
        return bool(self._fetched)


@asynccontextmanager
async def reading(
    dsn: str, named: Mapping[str, Mapping[str, str]], bad: Callable[[BadRow], None]
) -> AsyncIterator[Reader]:
    """Connect to V1 and see one moment of it.

    Args:
        dsn: of its Postgres.
        named: by table and our column what V1's owner calls it.
        bad: told of each row that cannot be brought over.

    Raises:
        VersionOneUnreadable: its tables are not there, or lack a column that is needed.
        psycopg.OperationalError: it is away.
    """
    async with await AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=10, application_name="cartrita-backfill"
    ) as connection:
        database = ""
        with suppress(InsufficientPrivilege):
            database = await database_of(connection)
        await connection.execute("SET TIME ZONE 'UTC'")
        async with connection.transaction(), AsyncExitStack() as cursors:
            await connection.execute(_BEGIN)
            tables = await discover(connection, named)
            row = await (await connection.execute(_MOMENT)).fetchone()
            assert row is not None
            at_us, seen_before, following = row
            moment = Moment(at_us=at_us, seen_before=seen_before, following=following, database=database)
            yield Reader(connection, tables, moment, bad, cursors)
