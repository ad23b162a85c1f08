"""The questions that are ready for analysts, asked by DuckDB as docs/ask.md tells."""

import asyncio
import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks.questions import Question, answer, explained, plain
from tests.sinks.test_questions import Told, asking, log, short_of_budget, told, trying

__all__ = ["log"]

PROJECT_DIRECTORY: Final = Path(__file__).parents[2]
PYTHON: Final = PROJECT_DIRECTORY / ".venv-duckdb" / "bin" / "python"

pytestmark = [
    pytest.mark.stack,
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON.exists(), reason="NOT TESTED HERE: DuckDB is not installed; `make test-duckdb` does that"
    ),
]


def example() -> str:
    """Return the program of the page, up to its question."""
    page = (PROJECT_DIRECTORY / "docs" / "ask.md").read_text(encoding="utf-8")
    program: str
    (program,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    return program


def run(program: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [PYTHON, "-c", program], capture_output=True, text=True, timeout=120, check=False, cwd="/"
    )


async def test_duckdb_gives_the_answers_of_postgres(
    dsn: str, log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    await log.tell([*told(asking()), *told(short_of_budget()), *told(trying("well", "timeout"))])
    asks = "".join(
        f"""
rows = connection.execute("SELECT * FROM cartrita.{question.value}")
print(json.dumps([[one[0] for one in rows.description], rows.fetchall()], default=str))
"""
        for question in Question
    )
    program = example().replace("postgresql://…", dsn) + "\nimport json\n" + asks

    ended = await asyncio.to_thread(run, program)

    assert ended.returncode == 0, ended.stderr
    answers = [json.loads(line) for line in ended.stdout.splitlines()[-len(Question) :]]
    for question, (columns, rows) in zip(Question, answers, strict=True):
        assert columns == [one.name for one in (await explained(connection, question)).columns]
        wanted = [[plain(one) for one in row] for row in await answer(connection, question, limit=1_000)]
        kept = [at for at, name in enumerate(columns) if not name.endswith("_last_at")]
        as_text = [
            sorted([str(_number(row[at])) for at in kept] for row in these) for these in (rows, wanted)
        ]
        assert as_text[0] == as_text[1], question
        assert wanted or question is Question.RETRIEVAL_USEFULNESS


def _number(value: object) -> object:
    """Return a number as a float, whichever way it was written."""
    try:
        return float(str(value))
    except ValueError:
        return value
