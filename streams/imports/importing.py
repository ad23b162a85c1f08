"""One pass over V1: each session's rows read, made into events, and put onto the log, every time the same.

Killed at any moment, it goes on behind the last session whose events Kafka has; what is told twice counts
once. A later pass reads the sessions in which anything was written since, and tells what Postgres lacks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.version_one.columns import INVOCATIONS, MESSAGES, SESSIONS
from connectors.version_one.reader import Reader, Wanted, reading
from processors.import_source import NOTHING, LeftBehind, Source, session_id_of
from processors.import_tools import ToolUse
from processors.importing import DAY_US, Conversation
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
STATISTICS_DAYS: Final = 30
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


@dataclass(slots=True)
class _Standing:
    """What Postgres says of some sessions."""

    owners: dict[str, Owner]
    own_rows: frozenset[str] = frozenset()
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
        self._numbers: dict[str, frozenset[str]] = {}
        self._whole: tuple[str, dict[str, int]] = (progress.reached, progress.counts)
        """The last session of which all rows were read, and what there was up to it."""
        self._places = Places(messages=False, invocations=False, has_own_messages=False)

    async def run(self) -> None:
        await self._look_around()
        wanted = self._begin()
        source = self._source()
        async for some in self._reader.sessions(wanted):
            standing = await self._standing([session_id_of(source.origin, one.key) for one in some])
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

    async def _look_around(self) -> None:
        database, relations = await imports.database_of(self._connection)
        moment = self._reader.moment
        self._is_same_database = bool(moment.database) and moment.database == database
        if not self._is_same_database:
            return
        theirs = await self._reader.relations()
        places = await imports.places(self._connection, self._settings.mapping)
        self._places = replace(
            places,
            messages=places.messages and relations.get(MESSAGES) == theirs.get(MESSAGES),
            invocations=places.invocations and relations.get(INVOCATIONS) == theirs.get(INVOCATIONS),
        )
        self._numbers = await imports.own_numbers(self._connection)

    def _begin(self) -> Wanted:
        progress, moment = self._progress, self._reader.moment
        is_same = progress.source == moment.database != ""
        if progress.began_at is None or not is_same or self._settings.whole:
            progress.began_at = _EPOCH + timedelta(microseconds=moment.at_us)
            progress.began_before, progress.reached, progress.counts = moment.seen_before, "", {}
        self._counts.restore(progress.counts)
        self._whole = (progress.reached, progress.counts)
        progress.source = moment.database
        since = progress.seen_before if progress.passes and is_same and not self._settings.whole else None
        if since is not None and (
            since > moment.following or not all(table.has_versions for table in self._reader.tables.values())
        ):
            since = None
        return Wanted(after=progress.reached, changed_since=since)

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

    async def _standing(self, ids: Sequence[str]) -> _Standing:
        standing = _Standing(owners=await imports.owners(self._connection, ids))
        if self._is_same_database:
            standing.own_rows = await imports.own_rows(
                self._connection, ids, has_own_messages=self._places.has_own_messages
            )
        standing.left = await imports.left_behind(self._connection, ids)
        return standing

    async def _bring(self, source: Source, session: PastSession, standing: _Standing) -> None:
        session_id = session_id_of(source.origin, session.key)
        conversation = Conversation(source, session, standing.left.get(session_id, NOTHING))
        owner = standing.owners.get(session_id)
        refusal = _refusal(source, session, owner)
        async for message in self._reader.messages_of(session.key):
            if self._is_own(message, MESSAGES, standing.own_rows):
                self._counts.own += 1
                continue
            found = conversation.message(message)
            if not refusal:
                self._events += found
            if len(self._events) >= EVENTS_AT_ONCE:
                await self._flush()
        async for call in self._reader.invocations_of(session.key):
            if self._is_own(call, INVOCATIONS, standing.own_rows):
                self._counts.own += 1
                continue
            found = conversation.invocation(call)
            if not refusal:
                self._events += found
            if len(self._events) >= EVENTS_AT_ONCE:
                await self._flush()
        is_empty = not (conversation.messages or conversation.invocations)
        is_of_v2 = owner is not None and owner.imported_from is None
        if is_empty and (is_of_v2 or session.key in self._numbers.get(SESSIONS, ())):
            self._counts.own += 1
        elif refusal:
            self._counts.add_bad(BadRow(table=SESSIONS, key=session.key, reason=refusal))
        else:
            self._events += conversation.end()
            self._count(conversation)

    def _is_own(self, row: PastMessage | PastInvocation, table: str, own_rows: frozenset[str]) -> bool:
        """Tell whether V2 wrote a row into V1's table."""
        if not self._is_same_database:
            return False
        if row.key.lower() in own_rows or row.key in self._numbers.get(table, ()):
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
        async for call in self._reader.invocations_since(source.as_of_us - STATISTICS_DAYS * DAY_US):
            if self._is_same_database and call.key in self._numbers.get(INVOCATIONS, ()):
                continue
            uses.setdefault(call.tool or "unknown_tool", ToolUse()).add(call)
        if self._log is not None:
            await imports.adopt_tools(self._connection, sorted(uses))
        self._events += [use.event(source, tool) for tool, use in sorted(uses.items())]
        self._counts.tools = len(uses)

    async def _flush(self) -> None:
        """Put what is there onto the log, and keep up to which session all is."""
        events, self._events = self._events, []
        if self._progress.passes and events:
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
        known = await imports.known(self._connection, [event.event_id for event in events])
        self._counts.unchanged += len(known)
        fresh = [event for event in events if event.event_id not in known]
        said = [event.body.message_id for event in fresh if isinstance(event.body, MessageImported)]
        costs = await imports.told_costs(self._connection, said) if said else {}
        return [_with_cost(event, costs) for event in fresh]

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


def _with_cost(event: Envelope, costs: dict[str, int]) -> Envelope:
    body = event.body
    if not isinstance(body, MessageImported) or not costs.get(body.message_id):
        return event
    return replace(event, body=replace(body, cost_tokens_before=costs[body.message_id]))
