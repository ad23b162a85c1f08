"""docs/postgres.md says what is so."""

import re
import uuid
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from processors.projections.event_log import COLUMNS
from sinks.documentation import between, metrics, tables, traced
from sinks.trace import CAUSES, events_of
from tests.projections.envelopes import event_id
from tests.sinks.story import ANSWER, Log

TEXT = (Path(__file__).parents[2] / "docs" / "postgres.md").read_text(encoding="utf-8")


def test_the_tables_and_their_sources_are_those_of_the_projections() -> None:
    assert between(TEXT, "tables") == tables()


def test_the_metrics_are_those_that_the_sink_serves() -> None:
    assert between(TEXT, "metrics") == metrics()


def test_every_column_of_the_event_log_is_explained() -> None:
    explained = re.findall(r"^\| `(\w+)` \|", between(TEXT, "event_log"), flags=re.MULTILINE)

    assert tuple(explained) == tuple(COLUMNS)


@pytest.mark.stack
async def test_the_trace_that_is_shown_is_what_the_query_gives(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    cursor = await connection.execute(
        CAUSES.encode() + b" ORDER BY occurred_at DESC", [uuid.UUID(event_id(ANSWER)), 100]
    )

    assert between(TEXT, "trace") == "```\n" + traced(events_of(await cursor.fetchall())) + "```\n"
