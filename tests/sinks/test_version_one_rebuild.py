"""V1's tables made again from the log: compared, filled, and left where they refuse."""

from collections.abc import Sequence
from pathlib import Path
from uuid import uuid4

import pytest
from psycopg.rows import TupleRow

from sinks import shadow
from sinks.comparison import TableComparison, compare, compared_tables, put_right
from sinks.fitting import fitted
from sinks.mapping import read_mapping
from sinks.writer import Writer
from tests.sinks.test_version_one import ANSWERED, ASKED, NO_ANSWERS, PLAIN, SHAPES, V1, deliveries, migrated
from topics.catalog import TOPICS

pytestmark = pytest.mark.stack

CHAT = "SELECT id, session_id, role, content FROM conversation_messages ORDER BY id"
REFUSES_ANSWERS = """
    CREATE FUNCTION refuses() RETURNS TRIGGER AS $$
    BEGIN
        IF NEW.metadata ->> 'turn' IS NOT NULL THEN RAISE EXCEPTION 'no answers here'; END IF;
        RETURN NEW;
    END; $$ LANGUAGE plpgsql;
    CREATE TRIGGER refuses BEFORE INSERT ON conversation_messages FOR EACH ROW EXECUTE FUNCTION refuses();
"""


async def rebuilt(v1: V1) -> tuple[set[str], dict[str, int]]:
    """Project the log into a shadow and put the live tables right; returns which were wrong, and refusals."""
    found = await fitted(v1.connection, v1.mapping)
    await shadow.drop(v1.connection)
    await shadow.begin(v1.connection, "test", found)
    writer = await Writer.connect(v1.dsn, "test", schema=shadow.SCHEMA, mapping=v1.mapping)
    await writer.positions({(topic.name, 0): uuid4() for topic in TOPICS})
    await writer.write(
        [one.projected for one in await deliveries()], {(topic.name, 0): 0 for topic in TOPICS}
    )
    await writer.close()
    tables = compared_tables(found.targets)
    async with v1.connection.transaction():
        await v1.connection.execute("SET LOCAL cartrita.rebuild = 'on'")
        compared = await compare(v1.connection, tables)
        refused = await put_right(v1.connection, tables, compared)
    return wrong(compared), refused


def wrong(compared: Sequence[TableComparison]) -> set[str]:
    """Return the tables that differ."""
    return {table.table for table in compared if not table.is_equal}


async def chat(v1: V1) -> list[TupleRow]:
    """Return V1's chat."""
    return await v1.rows(CHAT)


async def test_a_rebuild_finds_the_same_numbers_again_and_leaves_v1_s_rows(
    empty_dsn: str, tmp_path: Path
) -> None:
    tables, mapping, *_ = SHAPES["serial ids"]
    async with migrated(empty_dsn, tables, mapping, tmp_path) as v1:
        await v1.write()
        right = await chat(v1)
        assert await rebuilt(v1) == (set(), {})
        await v1.connection.execute("DELETE FROM conversation_messages WHERE id > 1 AND role = 'user'")
        await v1.connection.execute(
            "UPDATE conversation_messages SET content = 'doctored' WHERE role = 'assistant'"
        )

        assert await rebuilt(v1) == ({"conversation_messages"}, {})

        assert await chat(v1) == right
        assert await rebuilt(v1) == (set(), {})


async def test_a_mapping_that_is_written_later_fills_v1_s_tables_from_the_beginning(
    empty_dsn: str, tmp_path: Path
) -> None:
    tables, mapping, query, expected = SHAPES["required columns"]
    async with migrated(empty_dsn, tables) as v1:
        await v1.write()
        assert await v1.rows(query) == []
        path = tmp_path / "version_one.toml"
        path.write_text(mapping)
        v1.mapping = read_mapping(path)

        assert await rebuilt(v1) == ({"sessions", "conversation_messages"}, {})

        assert await v1.rows(query) == expected
        assert await rebuilt(v1) == (set(), {})


@pytest.mark.parametrize("name", ["refuses", "no_answers"])
async def test_what_v1_refuses_stops_no_rebuild_and_is_put_right_when_it_takes_it(
    empty_dsn: str, name: str
) -> None:
    refuses = {"refuses": REFUSES_ANSWERS, "no_answers": NO_ANSWERS}[name]
    async with migrated(empty_dsn, PLAIN + refuses) as v1:
        await v1.write()
        [aside] = v1.put_aside
        assert aside.refusal is not None
        assert "V1's table conversation_messages refuses its row" in aside.refusal.reason
        await v1.connection.execute("DELETE FROM conversation_messages")

        assert await rebuilt(v1) == ({"conversation_messages"}, {"conversation_messages": 1})

        assert [row[3] for row in await chat(v1)] == [ASKED]
        await v1.connection.execute(f"DROP TRIGGER {name} ON conversation_messages".encode())
        assert await rebuilt(v1) == ({"conversation_messages"}, {})
        assert {row[3] for row in await chat(v1)} == {ASKED, ANSWERED}
