"""What else than an import may send to `session.imports`, and what becomes of it."""

import uuid
from collections.abc import Sequence

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from connectors.version_one.sample import TABLES
from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived
from schemas.frozen import replace
from sinks.intake import take
from sinks.writer import Writer
from tests.projections.envelopes import event
from tests.sinks.conftest import rows
from tests.sinks.records import CODEC, delivery_of
from tests.sinks.test_imports import SinkLog, brought, settings_of, version_one, write
from topics.catalog import SESSION_IMPORTS, SESSION_INPUTS

pytestmark = pytest.mark.stack

Connection = AsyncConnection[TupleRow]
SESSION, MESSAGE = (str(uuid.uuid4()) for _ in range(2))
OLD = (
    TABLES,
    "ALTER TABLE conversation_messages ADD COLUMN tokens INTEGER",
    f"INSERT INTO sessions (id, user_id) VALUES ('{SESSION}', 'ann')",
    f"""
        INSERT INTO conversation_messages (id, session_id, role, content, tokens)
        VALUES ('{MESSAGE}', '{SESSION}', 'user', 'before', 5)
    """,
)
TOLD = "SELECT content, cost_tokens FROM conversation_messages"
OWNER = "SELECT tenant_id, user_id, imported_from FROM session_summaries"


async def imported(dsn: str, old_dsn: str) -> Sequence[Envelope]:
    """Bring over the V1 of one message, and once more after it was edited; returns all events."""
    async with version_one(old_dsn, *OLD) as old:
        await brought(settings_of(dsn, old_dsn), log := SinkLog(dsn))
        await old.execute("UPDATE conversation_messages SET content = 'after', tokens = 7")
        await brought(settings_of(dsn, old_dsn), log)
    return log.events


async def test_records_that_come_twice_or_late_change_nothing(
    dsn: str, empty_dsn: str, connection: Connection
) -> None:
    events = await imported(dsn, empty_dsn)
    assert await rows(connection, TOLD) == [("after", 7)]

    await write(dsn, events, 100)
    await write(dsn, events[:1], 200)

    assert await rows(connection, TOLD) == [("after", 7)]
    assert await rows(connection, "SELECT count(*) FROM event_log") == [(len(events),)]


async def test_what_does_not_belong_there_is_put_aside(
    dsn: str, empty_dsn: str, connection: Connection
) -> None:
    genuine = (await imported(dsn, empty_dsn))[0]
    before = [await rows(connection, query) for query in (TOLD, OWNER)]
    forged = replace(genuine, event_id=str(uuid.uuid4()))
    said = event(MessageReceived(text="let me in"), 1, session_id=SESSION)
    records = [
        delivery_of(forged, 300)._replace(key=str(uuid.uuid4()).encode()),
        delivery_of(forged, 301)._replace(key=None),
        delivery_of(forged, 302)._replace(value=b"not avro"),
        delivery_of(forged, 303)._replace(value=None),
        delivery_of(said, 304, SESSION_INPUTS)._replace(place=delivery_of(forged, 304).place),
    ]

    taken = [await take(one, CODEC) for one in records]
    writer = await Writer.connect(dsn, uuid.uuid4().hex)
    try:
        await writer.positions({(SESSION_IMPORTS.name, 0): uuid.uuid4()})
        await writer.write([one.projected for one in taken], {(SESSION_IMPORTS.name, 0): 0})
    finally:
        await writer.close()

    assert [one.refusal.code for one in taken if one.refusal is not None] == [
        *("key_mismatch", "key_mismatch", "not_avro", "no_value", "wrong_topic")
    ]
    assert [await rows(connection, query) for query in (TOLD, OWNER)] == before


async def test_another_tenant_cannot_import_what_one_has_imported(dsn: str, empty_dsn: str) -> None:
    async with version_one(empty_dsn, *OLD):
        await brought(settings_of(dsn, empty_dsn), SinkLog(dsn))

        counts = await brought(
            settings_of(dsn, empty_dsn, tenant_id="other", origin="theirs"), log := SinkLog(dsn)
        )

    assert log.events == []
    assert [(one.key, one.reason) for one in counts.bad_rows] == [
        (SESSION, "a session of acme/ann has its id")
    ]
