"""Makes a realistic, messy V1: `python -m connectors.version_one.sample DSN --sessions 1000`.

The same seed and moment give the same rows. It makes V1's three tables where they are not there, in the form
that V1's own code shows, and adds rows; what else is in the database stays. Texts, tools, lengths and gaps
are as conversations have them: most short, a few very long, some running; and there are sessions of nobody,
metadata that is no object, results that say no success, times that are missing, and messages of no session.
"""

import argparse
import asyncio
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

TABLES: Final = """
    CREATE TABLE IF NOT EXISTS sessions (
        id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        user_id TEXT,
        title TEXT,
        status TEXT,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
    );
    CREATE TABLE IF NOT EXISTS conversation_messages (
        id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        session_id UUID NOT NULL,
        role VARCHAR(20) NOT NULL,
        content TEXT,
        metadata JSONB DEFAULT '{}',
        created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
    );
    CREATE TABLE IF NOT EXISTS tool_invocations (
        id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
        session_id UUID,
        tool_name TEXT,
        category TEXT,
        output_json JSONB,
        latency_ms INTEGER,
        cost_tokens INTEGER DEFAULT 0,
        created_at TIMESTAMP WITH TIME ZONE DEFAULT NOW()
    );
"""
TOOLS: Final = (
    ("search_documents", "retrieval"),
    ("web_search", "retrieval"),
    ("execute_python", "computation"),
    ("analyze_document", "analysis"),
    (None, None),
)
_WORDS: Final = [
    "the",
    "plan",
    "budget",
    "report",
    "of",
    "quarter",
    "numbers",
    "compare",
    "please",
    "draft",
    "email",
    "about",
    "meeting",
    "why",
    "does",
    "error",
    "table",
    "query",
    "index",
    "slow",
    "café",
    "naïve",
    "数据",
    "🚀",
    "and",
    "then",
    "we",
    "should",
    "check",
    "it",
    "again",
    "with",
    "more",
    "detail",
]
_COPIED_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What is made."""

    sessions: int
    messages_mean: int = 10
    seed: int = 1
    now: datetime = datetime(2026, 1, 31, tzinfo=UTC)
    """The newest messages are just before it."""
    days: int = 120
    """So far back the oldest conversations began."""
    orphans: int = 3
    """Messages of sessions that are not there."""


Row = tuple[object, ...]


def rows_of(sample: Sample) -> Iterator[tuple[Row, list[Row], list[Row]]]:
    """Give a session's row at a time, with its messages and its calls of tools."""
    chance = random.Random(sample.seed)  # noqa: S311  # data that repeat, and no secret
    for _ in range(sample.sessions):
        yield _conversation(sample, chance)


def orphans_of(sample: Sample) -> list[Row]:
    """Return messages whose session is not there."""
    chance = random.Random(-sample.seed - 1)  # noqa: S311  # as above
    return [
        (_id(chance), _id(chance), "user", "whose am I?", None, sample.now - timedelta(days=9))
        for _ in range(sample.orphans)
    ]


def _conversation(sample: Sample, chance: random.Random) -> tuple[Row, list[Row], list[Row]]:
    session_id = _id(chance)
    # Half of all is of the last days.
    age_days = sample.days * chance.random() ** 2
    at = sample.now - timedelta(days=age_days)
    length = max(0, min(200 * sample.messages_mean, round(chance.expovariate(1 / sample.messages_mean))))
    messages: list[Row] = []
    calls: list[Row] = []
    began = at
    for number in range(length):
        at = min(sample.now, at + timedelta(seconds=chance.expovariate(1 / 40)))
        if number % 2 == 0:
            messages.append(_message(chance, session_id, "user", _text(chance, 12), at))
            continue
        if chance.random() < 0.35:
            tool, category = chance.choice(TOOLS)
            calls.append(_call(chance, session_id, tool, category, at))
            told: object = {"tool_name": tool} if tool else {}
            messages.append(_message(chance, session_id, "tool", _text(chance, 30), at, told))
        messages.append(_message(chance, session_id, "assistant", _text(chance, 60), at, _details(chance)))
    owner = chance.choice(("ann", "bob", "carl", None))
    status = chance.choice((None, None, "closed", "active" if age_days < 2 else "archived"))
    title = chance.choice((None, _text(chance, 4)))
    return (session_id, owner, title, status, None if chance.random() < 0.01 else began), messages, calls


def _message(
    chance: random.Random, session_id: uuid.UUID, role: str, text: str, at: datetime, details: object = None
) -> Row:
    content = None if role == "assistant" and chance.random() < 0.01 else text
    moment = None if chance.random() < 0.001 else at
    metadata = None if details is None else orjson.dumps(details).decode()
    return (_id(chance), session_id, role, content, metadata, moment)


def _details(chance: random.Random) -> object:
    if chance.random() < 0.05:
        return {
            "retrieval": {
                "query": _text(chance, 5),
                "k_initial": 10,
                "retrieval_latency_ms": chance.randrange(5, 400),
                "documents_retrieved": 10,
                "documents_used": chance.randrange(0, 5),
            }
        }
    return chance.choice(({"model": "gpt-4", "usage": {"total_tokens": 123}}, {}, None, ["odd"], "text"))


def _call(
    chance: random.Random, session_id: uuid.UUID, tool: str | None, category: str | None, at: datetime
) -> Row:
    output = chance.choice(
        (
            {"success": True, "result": _text(chance, 8)},
            {"success": True, "result": {"rows": [1, 2, 3]}},
            {"success": False, "error": "timeout"},
            {"result": "does not say"},
        )
    )
    latency = None if chance.random() < 0.1 else int(chance.lognormvariate(5, 1))
    return (
        _id(chance),
        session_id,
        tool,
        category,
        orjson.dumps(output).decode(),
        latency,
        chance.randrange(0, 900),
        at,
    )


def _text(chance: random.Random, words_mean: int) -> str:
    count = max(1, round(chance.expovariate(1 / words_mean)))
    return " ".join(chance.choices(_WORDS, k=count))


def _id(chance: random.Random) -> uuid.UUID:
    return uuid.UUID(int=chance.getrandbits(128), version=4)


async def fill(dsn: str, sample: Sample) -> int:
    """Make V1's tables and rows; returns how many messages there are of it."""
    async with await AsyncConnection.connect(dsn) as connection:
        await connection.execute(TABLES.encode())
        await connection.commit()
        count = 0
        waiting: list[tuple[Row, list[Row], list[Row]]] = []
        for one in rows_of(sample):
            waiting.append(one)
            count += len(one[1])
            if len(waiting) >= _COPIED_AT_ONCE:
                await _copy_all(connection, waiting)
                waiting = []
        await _copy_all(connection, waiting)
        orphans = orphans_of(sample)
        await _copy(connection, _MESSAGES, orphans)
        await connection.commit()
        return count + len(orphans)


_SESSIONS: Final = b"COPY sessions (id, user_id, title, status, created_at) FROM STDIN"
_MESSAGES: Final = (
    b"COPY conversation_messages (id, session_id, role, content, metadata, created_at) FROM STDIN"
)
_CALLS: Final = (
    b"COPY tool_invocations (id, session_id, tool_name, category, output_json, latency_ms, cost_tokens, "
    b"created_at) FROM STDIN"
)


async def _copy_all(
    connection: AsyncConnection[TupleRow], some: list[tuple[Row, list[Row], list[Row]]]
) -> None:
    await _copy(connection, _SESSIONS, [session for session, _, _ in some])
    await _copy(connection, _MESSAGES, [row for _, messages, _ in some for row in messages])
    await _copy(connection, _CALLS, [row for _, _, calls in some for row in calls])
    await connection.commit()


async def _copy(connection: AsyncConnection[TupleRow], statement: bytes, rows: list[Row]) -> None:
    async with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in rows:
            await copy.write_row(row)


def main() -> None:
    """Read the arguments, and make the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dsn", help="of a Postgres, as libpq takes it")
    parser.add_argument("--sessions", type=int, default=1_000)
    parser.add_argument("--messages-mean", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    sample = Sample(
        sessions=given.sessions, messages_mean=given.messages_mean, seed=given.seed, now=datetime.now(UTC)
    )
    count = asyncio.run(fill(given.dsn, sample))
    print(f"{given.sessions:,} sessions and {count:,} messages were made")  # noqa: T201  # it is a command


if __name__ == "__main__":
    main()
