"""`cost`: what was spent on what, from the charges of the log."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.table import Table

from sinks.costs import By, Cost, costs
from streams.cli import output
from streams.cli.command import command, given_uuid
from streams.cli.context import database
from streams.cli.output import AsJson

_WITHOUT = {By.TOKEN: "(planned sessions)", By.TOOL: "(models)", By.AGENT: "(nobody)"}


@command
async def cost(
    by: Annotated[By, typer.Option(help="What to add up by.")] = By.MODEL,
    session: Annotated[str | None, typer.Option(help="Only this session, by its UUID.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    user: Annotated[str | None, typer.Option(help="Only this user.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Only the last so many days.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many lines at most.")] = 50,
    as_json: AsJson = False,
) -> None:
    """Show what was spent, by session, agent, model, tool, token, tenant or day.

    Each charge of a session's budget counts once, those of failed calls too, at the price that the
    configuration had then. A tool's own model calls stand under tool:NAME.
    """
    since = None if days is None else datetime.now(UTC) - timedelta(days=days)
    chosen = None if session is None else given_uuid(session)
    async with database() as connection:
        rows = await costs(connection, by, since=since, tenant=tenant, user=user, session=chosen)
    if as_json:
        output.emit_json({"by": by, "costs": rows[:limit], "total": _total(rows)})
        return
    output.show(_table(by, rows, limit))


def _total(rows: list[Cost]) -> Cost:
    return Cost(
        what="all",
        calls=sum(row.calls for row in rows),
        tokens=sum(row.tokens for row in rows),
        nanodollars=sum(row.nanodollars for row in rows),
    )


def _table(by: By, rows: list[Cost], limit: int) -> Table:
    total = _total(rows)
    table = Table(by.value, box=None, header_style="dim", show_footer=True, footer_style="bold")
    table.columns[0].footer = "all"
    for name, told in (
        ("calls", f"{total.calls:,}"),
        ("tokens", f"{total.tokens:,}"),
        ("cost", output.money(total.nanodollars)),
        ("share", ""),
    ):
        table.add_column(name, footer=told, justify="right")
    for row in rows[:limit]:
        what = _WITHOUT.get(by, "(none)") if row.what is None else row.what
        share = f"{100 * row.nanodollars / total.nanodollars:.0f} %" if total.nanodollars else ""
        table.add_row(
            output.styled("{what}", what=what),
            f"{row.calls:,}",
            f"{row.tokens:,}",
            output.money(row.nanodollars),
            share,
        )
    if len(rows) > limit:
        table.add_row(f"… {len(rows) - limit:,} more")
    return table
