"""What Postgres takes: tables with their indexes and what they keep out of line, dead rows, and documents."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

from processors.projections.tables import TABLES
from sinks.forms import own_name
from sinks.shadow import SCHEMA

EVENTS_MIN: Final = 10_000
"""Of fewer nothing is said of what the next one costs."""
_LOG: Final = "event_log"
_DOCUMENTS: Final = ("document_passages", "document_collections")
_FROM_THE_LOG: Final = (
    _LOG,
    "sink_offsets",
    *(table.name for table in TABLES),
    *(own_name(table.name) for table in TABLES if table.version_one),
)
# Whoever asks needs no right to read the tables. Counts of rows are Postgres's own estimates.
_TABLES: Final = """
    SELECT CASE WHEN n.nspname = current_schema() THEN '' ELSE n.nspname END AS schema, c.relname AS name,
           COALESCE(pg_relation_size(c.oid), 0) AS heap_bytes,
           COALESCE(pg_indexes_size(c.oid), 0) AS index_bytes,
           COALESCE(pg_total_relation_size(NULLIF(c.reltoastrelid, 0)), 0) AS toast_bytes,
           COALESCE(pg_total_relation_size(c.oid), 0) AS bytes,
           CASE WHEN c.reltuples >= 0 THEN c.reltuples::bigint ELSE NULLIF(s.n_live_tup, 0) END AS rows,
           COALESCE(s.n_dead_tup, 0) AS dead_rows,
           GREATEST(s.last_vacuum, s.last_autovacuum) AS vacuumed_at
    FROM pg_class c
    JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
    WHERE c.relkind IN ('r', 'm') AND n.nspname IN (current_schema(), %s)
    ORDER BY bytes DESC, 1, 2
"""
_DATABASE: Final = "SELECT current_database(), pg_database_size(current_database())"
_COLLECTIONS: Final = """
    SELECT tenant_id, source AS collection, count(DISTINCT document) AS documents, count(*) AS passages,
           min(ingested_at) AS oldest, max(ingested_at) AS newest
    FROM document_passages GROUP BY 1, 2 ORDER BY passages DESC, 1, 2
"""


class Origin(StrEnum):
    """Where a table's rows come from."""

    LOG = "log"
    """From events; they can be made again."""
    DOCUMENTS = "documents"
    """From `cartrita ingest`; they can be made again from the documents."""
    SHADOW = "shadow"
    """From a rebuild that was neither swapped in nor discarded."""
    OTHER = "other"
    """From neither: bookkeeping of our own, and tables of others in the same schema."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TableUsage:
    """One table."""

    schema: str
    """Empty: the one in which Cartrita's tables are."""
    name: str
    heap_bytes: int
    index_bytes: int
    toast_bytes: int
    """Of long values, which are kept beside the table, their index included."""
    bytes: int
    """All of it, the maps of free space included."""
    rows: int | None
    """As Postgres estimates; None: it was never analyzed."""
    dead_rows: int
    """As Postgres estimates: replaced or deleted, and not vacuumed yet."""
    vacuumed_at: datetime | None

    @property
    def origin(self) -> Origin:
        """Return where its rows come from."""
        if self.schema:
            return Origin.SHADOW
        if self.name in _FROM_THE_LOG:
            return Origin.LOG
        return Origin.DOCUMENTS if self.name in _DOCUMENTS else Origin.OTHER


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseUsage:
    """The database."""

    name: str
    bytes: int
    """All of it, other schemas and Postgres's own tables included."""
    tables: tuple[TableUsage, ...]
    """The largest first."""

    def growth(self, events_per_day: float | None) -> float | None:
        """Return how many bytes a day the rows from the log grow by.

        Each event has so far cost what these tables take, divided by the rows of the event log; so much does
        the next one. Of fewer than 10,000 events most is what empty tables take, so nothing is told.

        Args:
            events_per_day: as the log says; None: it does not.
        """
        of_log = [one for one in self.tables if one.origin is Origin.LOG]
        rows = next((one.rows for one in of_log if one.name == _LOG), None)
        if events_per_day is None or rows is None or rows < EVENTS_MIN:
            return None
        return events_per_day * sum(one.bytes for one in of_log) / rows


@dataclass(frozen=True, slots=True, kw_only=True)
class CollectionUsage:
    """The passages of one tenant's collection of documents."""

    tenant_id: str
    collection: str
    documents: int
    passages: int
    oldest: datetime
    """When the passage that was ingested first was; an ingest replaces those of documents that changed."""
    newest: datetime


async def database_usage(connection: AsyncConnection[TupleRow]) -> DatabaseUsage:
    """Return what the database takes, whatever whoever asks may read of it."""
    cursor = await connection.execute(_DATABASE)
    [(name, size)] = await cursor.fetchall()
    async with connection.cursor(row_factory=class_row(TableUsage)) as tables:
        await tables.execute(_TABLES, [SCHEMA])
        return DatabaseUsage(name=name, bytes=size, tables=tuple(await tables.fetchall()))


async def collections(connection: AsyncConnection[TupleRow]) -> tuple[CollectionUsage, ...]:
    """Return the collections of documents, those with the most passages first."""
    async with connection.cursor(row_factory=class_row(CollectionUsage)) as cursor:
        await cursor.execute(_COLLECTIONS)
        return tuple(await cursor.fetchall())
