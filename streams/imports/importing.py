"""One pass over V1: each session's rows read, made into events, and put onto the log, every time the same.

Killed at any moment, it goes on behind the last session whose events Kafka has; what is told twice counts
once. A later pass reads the sessions in which anything was written since, and tells what Postgres lacks; so
it begins when the sink has written what was told before.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.version_one.columns import INVOCATIONS, MESSAGES, SESSIONS
from connectors.version_one.database import database_of, relations_of
from connectors.version_one.reader import Reader, Wanted, reading
from processors.import_source import NOTHING, LeftBehind, Source, again, session_id_of
from processors.import_tools import ToolUse
from processors.importing import DAY_US, Conversation
from processors.projections.event_log import subject_of
from schemas.envelope import Envelope
from schemas.events.imports import MessageImported
from schemas.frozen import replace
from schemas.ports.version_one import BadRow, PastInvocation, PastMessage, PastSession
from sinks import imports
from sinks.imports import Owner, Places, Progress
from sinks.mapping import VersionOne
from streams.imports.counting import Counts
from streams.imports.log import Log

EVENTS_AT_ONCE: Final = 4_000
LOOKED_UP_AT_ONCE: Final = 500
STATISTICS_DAYS: Final = 30
_AGE_MAX: Final = 2**31 - 1
"""Of a transaction, in transactions: of older ones Postgres does not tell which came first."""
_LOOKS_EVERY_S: Final = 0.2
_Row = TypeVar("_Row", PastMessage, PastInvocation)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportSettings:
    """What an import is told."""

    dsn: str = field(repr=False)
    """Of V2's Postgres."""
    source_dsn: str = field(repr=False)
    """Of V1's, which may be the same."""
    origin: str
    """Name of the source."""
    tenant_id: str
    user_id: str
    """Of sessions whose owner V1 does not say."""
    mapping: VersionOne
    """How V1's owner calls its columns."""
    running_within: timedelta
    """A conversation of which V1 says no end is running if it went on within so long."""
    whole: bool = False
    """True: every session is read, also of a source that was brought over before."""
    sink_patience_s: float = 60.0
    """So long the sink may write nothing while it is waited for."""


class SinkBehind(Exception):
    """The sink has not written what was told before, and does not go on."""


@dataclass(slots=True)
class _Standing:
    """What Postgres says of some sessions."""

    owners: dict[str, Owner]
    own_rows: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    """Keys of sessions that are V2's own."""
    left: dict[str, LeftBehind] = field(default_factory=dict)


async def bring_over(
    settings: ImportSettings,
    log: Log | None,
    counts: Counts,
    told: Callable[[Counts], None] = lambda _counts: None,
) -> Progress:
    """Make one pass, or go on with one that was interrupted.

    Args:
        settings: of the import.
        log: where events go; None: nothing is written anywhere, and only counted.
        counts: filled on the way.
        told: of each step.

    Returns:
        How far the source is brought over.

    Raises:
        VersionOneUnreadable: V1's tables are not there, or lack a column that is needed.
        ImportBusy, OriginTaken: see sinks.imports.
        SinkBehind: what an earlier pass told is not in Postgres, and nobody writes it; nothing was told.
        sinks.errors.DatabaseUnfit: V2's database is not migrated.
        psycopg.OperationalError, aiokafka.errors.KafkaError: one of them is away.
    """
    async with await AsyncConnection.connect(settings.dsn, autocommit=True, connect_timeout=10) as connection:
        await imports.hold(connection)
        progress = await imports.progress_of(connection, settings.origin, settings.tenant_id)
        named = {table: settings.mapping.of(table).columns for table in (SESSIONS, MESSAGES, INVOCATIONS)}
        async with reading(settings.source_dsn, named, counts.add_bad) as reader:
            one = _Pass(settings, connection, reader, log, counts, told, progress)
            await one.run()
    return progress


class _Pass:
    """One pass."""

    def __init__(
        self,
        settings: ImportSettings,
        connection: AsyncConnection[TupleRow],
        reader: Reader,
        log: Log | None,
        counts: Counts,
        told: Callable[[Counts], None],
        progress: Progress,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._reader = reader
        self._log = log
        self._counts = counts
        self._told = told
        self._progress = progress
        self._events: list[Envelope] = []
        self._is_same_database = False
        self._has_told = False
        """True: something of V1 is on the log already."""
        self._numbered: frozenset[str] = frozenset()
        """Tables of V1 in which rows of V2 have numbers."""
        self._whole: tuple[str, dict[str, int]] = (progress.reached, progress.counts)
        """The last session of which all rows were read, and what there was up to it."""
        self._places = Places(messages=False, invocations=False, has_own_messages=False)

    async def run(self) -> None:
        await self._look_around()
        if not await self._caught_up():
            raise SinkBehind(f"{self._counts.waiting:,} records of an earlier import are not in Postgres")
        self._has_told = await imports.has_events(self._connection)
        wanted = await self._begin()
        source = self._source()
        async with aclosing(self._reader.sessions(wanted)) as sessions:
            async for some in sessions:
                standing = await self._standing(source.origin, [one.key for one in some])
                for session in some:
                    await self._bring(source, session, standing)
                    self._whole = (session.key, self._counts.numbers())
                    if len(self._events) >= EVENTS_AT_ONCE:
                        await self._flush()
                await self._flush()
        await self._measure_tools(source)
        await self._flush()
        self._end()
        if self._log is not None:
            await imports.keep(self._connection, self._progress)
        await self._caught_up()

    async def _caught_up(self) -> bool:
        """Wait until the sink has written all that the topic has; False if it does not go on."""
        if self._log is None:
            return True
        ends = await self._log.ends()
        clock = asyncio.get_running_loop().time
        least, moved_s = None, clock()
        while waiting := await imports.lag(self._connection, ends):
            if least is None or waiting < least:
                least, moved_s = waiting, clock()
            elif clock() - moved_s > self._settings.sink_patience_s:
                break
            self._counts.waiting = waiting
            self._told(self._counts)
            await asyncio.sleep(_LOOKS_EVERY_S)
        self._counts.waiting = waiting
        return not waiting

    async def _look_around(self) -> None:
        moment = self._reader.moment
        database = await database_of(self._connection)
        self._is_same_database = bool(moment.database) and moment.database == database
        if not self._is_same_database:
            return
        theirs = await self._reader.relations()
        relations = await relations_of(self._connection, theirs)
        places = await imports.places(self._connection, self._settings.mapping)
        self._places = replace(
            places,
            messages=places.messages and relations.get(MESSAGES) == theirs.get(MESSAGES),
            invocations=places.invocations and relations.get(INVOCATIONS) == theirs.get(INVOCATIONS),
        )
        self._numbered = await imports.numbered(self._connection)

    async def _begin(self) -> Wanted:
        progress, moment = self._progress, self._reader.moment
        is_same = progress.source == moment.database != ""
        if progress.began_at is None or not is_same or self._settings.whole:
            progress.began_at = _EPOCH + timedelta(microseconds=moment.at_us)
            progress.began_before, progress.reached, progress.counts = moment.seen_before, "", {}
        self._counts.restore(progress.counts)
        self._whole = (progress.reached, progress.counts)
        progress.source = moment.database
        since = progress.seen_before if progress.passes and is_same and not self._settings.whole else None
        if since is not None and not (
            0 <= moment.following - since < _AGE_MAX
            and all(table.has_versions for table in self._reader.tables.values())
        ):
            since = None
        if since is None:
            return Wanted(after=progress.reached)
        # Nobody writes to V1 when a conversation has ended by not going on.
        also = await imports.running(self._connection, progress.origin)
        return Wanted(after=progress.reached, changed_since=since, also=also)

    def _source(self) -> Source:
        began_at = self._progress.began_at
        assert began_at is not None
        return Source(
            origin=self._settings.origin,
            tenant_id=self._settings.tenant_id,
            user_id=self._settings.user_id,
            as_of_us=(began_at - _EPOCH) // timedelta(microseconds=1),
            running_within_us=self._settings.running_within // timedelta(microseconds=1),
            messages_in_place=self._places.messages,
            invocations_in_place=self._places.invocations,
        )

    async def _standing(self, origin: str, keys: Sequence[str]) -> _Standing:
        ids = [session_id_of(origin, key) for key in keys]
        standing = _Standing(owners=await imports.owners(self._connection, ids))
        if self._is_same_database:
            standing.own_rows = await imports.own_rows(
                self._connection, ids, has_own_messages=self._places.has_own_messages
            )
        if SESSIONS in self._numbered:
            standing.numbers = await imports.own_numbers(self._connection, SESSIONS, keys)
        standing.left = await imports.left_behind(self._connection, ids)
        return standing

    async def _bring(self, source: Source, session: PastSession, standing: _Standing) -> None:
        session_id = session_id_of(source.origin, session.key)
        conversation = Conversation(source, session, standing.left.get(session_id, NOTHING))
        owner = standing.owners.get(session_id)
        refusal = _refusal(source, session, owner)

        async def take(rows: AsyncIterator[_Row], table: str, made: Callable[[_Row], list[Envelope]]) -> None:
            async for row, is_numbered in self._looked_up(rows, table):
                if is_numbered or self._is_own(row, standing.own_rows):
                    self._counts.own += 1
                    continue
                found = made(row)
                if not refusal:
                    self._events += found
                if len(self._events) >= EVENTS_AT_ONCE:
                    await self._flush()

        await take(self._reader.messages_of(session.key), MESSAGES, conversation.message)
        await take(self._reader.invocations_of(session.key), INVOCATIONS, conversation.invocation)
        is_empty = not (conversation.messages or conversation.invocations)
        is_of_v2 = owner is not None and owner.imported_from is None
        if is_empty and (is_of_v2 or session.key in standing.numbers):
            self._counts.own += 1
        elif refusal:
            self._counts.add_bad(BadRow(table=SESSIONS, key=session.key, reason=refusal))
        else:
            self._events += conversation.end()
            self._count(conversation)

    async def _looked_up(self, rows: AsyncIterator[_Row], table: str) -> AsyncIterator[tuple[_Row, bool]]:
        """Tell of each row whether its id is a number of V2's; some at once are asked for."""
        some: list[_Row] = []

        async def told() -> list[tuple[_Row, bool]]:
            taken = some.copy()
            some.clear()
            own = await imports.own_numbers(self._connection, table, [row.key for row in taken])
            return [(row, row.key in own) for row in taken]

        async for row in rows:
            if table not in self._numbered:
                yield row, False
                continue
            some.append(row)
            if len(some) >= LOOKED_UP_AT_ONCE:
                for one in await told():
                    yield one
        for one in await told() if some else ():
            yield one

    def _is_own(self, row: PastMessage | PastInvocation, own_rows: frozenset[str]) -> bool:
        """Tell whether V2 wrote a row into V1's table under an id that is no number."""
        if not self._is_same_database:
            return False
        if row.key.lower() in own_rows:
            return True
        return isinstance(row, PastMessage) and row.metadata.get("event_id") in own_rows

    def _count(self, conversation: Conversation) -> None:
        self._counts.sessions += 1
        self._counts.messages += conversation.messages
        self._counts.invocations += conversation.invocations
        self._counts.tasks += conversation.tasks
        self._counts.edges += conversation.edges

    async def _measure_tools(self, source: Source) -> None:
        uses: dict[str, ToolUse] = {}
        calls = self._reader.invocations_since(source.as_of_us - STATISTICS_DAYS * DAY_US)
        async for call, is_numbered in self._looked_up(calls, INVOCATIONS):
            if is_numbered:
                continue
            uses.setdefault(call.tool or "unknown_tool", ToolUse()).add(call)
        if self._log is not None:
            await imports.adopt_tools(self._connection, sorted(uses))
        self._events += [use.event(source, tool) for tool, use in sorted(uses.items())]
        self._counts.tools = len(uses)

    async def _flush(self) -> None:
        """Put what is there onto the log, and keep up to which session all is."""
        events, self._events = self._events, []
        if self._has_told and events:
            events = await self._fresh(events)
        self._counts.events += len(events)
        if self._log is not None:
            if events:
                await self._log.put(events)
            self._progress.reached, self._progress.counts = self._whole
            await imports.keep(self._connection, self._progress)
        self._told(self._counts)

    async def _fresh(self, events: Sequence[Envelope]) -> list[Envelope]:
        """Return what Postgres does not have, with what it was told before of what messages cost."""
        subjects = {event.event_id: subject_of(event.body) for event in events}
        told = await imports.told(self._connection, [one for one in subjects.values() if one])
        fresh = []
        for event in events:
            before = told.get((subjects[event.event_id] or "", event.type))
            found = event if before is None else again(event, before.event_ids)
            if found is None:
                self._counts.unchanged += 1
            else:
                fresh.append(found if before is None else _with_cost(found, before.cost_tokens))
        return fresh

    def _end(self) -> None:
        progress = self._progress
        progress.passes += 1
        progress.seen_before, progress.began_before = progress.began_before, None
        progress.began_at, progress.reached, progress.counts = None, "", {}


def _refusal(source: Source, session: PastSession, owner: Owner | None) -> str:
    """Tell why a session of V1 cannot have the id that it would have; '' where it can."""
    if owner is None:
        return ""
    user_id = session.owner or source.user_id
    if (owner.tenant_id, owner.user_id) != (
        source.tenant_id,
        user_id,
    ) and owner.imported_from != source.origin:
        return f"a session of {owner.tenant_id}/{owner.user_id} has its id"
    if owner.imported_from not in (None, source.origin):
        return f"it was brought over from {owner.imported_from}"
    return ""


def _with_cost(event: Envelope, told: int) -> Envelope:
    body = event.body
    if not isinstance(body, MessageImported):
        return event
    return replace(event, body=replace(body, cost_tokens_before=told))
