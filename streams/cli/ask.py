"""`ask`: the questions that are ready for analysts, answered from the log."""

import csv
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import Annotated, Final

import typer
from rich.table import Table

from sinks import questions
from sinks.questions import Cell, Column, Explained, Question
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import database
from streams.cli.output import AsJson

_RIGHT: Final = ("bigint", "numeric", "integer")


@command
async def ask(
    question: Annotated[Question | None, typer.Argument(help="Which; none: list them.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Only the last so many days.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many lines at most.")] = 50,
    explain: Annotated[bool, typer.Option("--explain", help="Tell what the columns mean instead.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print comma-separated values with a header.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Answer a question about all sessions: costs, delays, budgets, tools, searches, rules; or list them.

    Each is a view of Postgres of the same name, so every tool that speaks SQL can ask it too. What is counted
    and what is not stands with each column: --explain.
    """
    if as_csv and (as_json or explain or question is None):
        fail(Code.USAGE, "--csv prints the answer to one question, and nothing else with it")
    since = None if days is None else datetime.now(UTC) - timedelta(days=days)
    async with database() as connection:
        if question is None:
            _list([await questions.explained(connection, one) for one in Question], as_json=as_json)
            return
        asked = await questions.explained(connection, question)
        if explain:
            _explain(asked, as_json=as_json)
            return
        rows = await questions.answer(connection, question, since=since, tenant=tenant, limit=limit + 1)
    shown, is_cut = rows[:limit], len(rows) > limit
    if as_json:
        names = [one.name for one in asked.columns]
        told = [dict(zip(names, map(questions.plain, row), strict=True)) for row in shown]
        output.emit_json({"question": question, "since": since, "rows": told, "truncated": is_cut})
        return
    if as_csv:
        output.emit(_csv(asked.columns, shown))
    else:
        output.show(_table(asked.columns, shown))
        if not shown:
            output.say("nothing was counted: [dim]--explain tells what would be[/]")
    if is_cut:
        output.note("only the first {limit} lines; --limit shows more", limit=limit)


def _list(asked: Sequence[Explained], *, as_json: bool) -> None:
    if as_json:
        output.emit_json({"questions": [{"name": one.name, "question": one.text} for one in asked]})
        return
    table = Table("question", "asks", box=None, header_style="dim")
    for one in asked:
        table.add_row(one.name.value, one.asked)
    output.show(table)


def _explain(asked: Explained, *, as_json: bool) -> None:
    if as_json:
        output.emit_json(asked)
        return
    output.say("{said}", said=asked.text)
    table = Table("column", "type", "meaning", box=None, header_style="dim")
    for one in asked.columns:
        table.add_row(one.name, one.type, one.meaning)
    output.show(table)


def _table(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> Table:
    table = Table(box=None, header_style="dim")
    for one in columns:
        # In words, which a narrow terminal can put below one another.
        name, is_id = one.name.replace("_", " "), one.type == "uuid"
        table.add_column(
            name, justify="right" if one.type in _RIGHT else "left", overflow="fold", no_wrap=is_id
        )
    for row in rows:
        table.add_row(*(_shown(value) for value in row))
    return table


def _shown(value: Cell) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds")
    if isinstance(value, Decimal):
        return f"{value.normalize():,f}"
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _csv(columns: Sequence[Column], rows: Sequence[Sequence[Cell]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([one.name for one in columns])
    writer.writerows(
        [value.isoformat() if isinstance(value, datetime) else value for value in row] for row in rows
    )
    return text.getvalue()
