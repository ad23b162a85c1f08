"""`cost`: what was spent on what, from the charges of the log."""

from datetime import UTC, datetime, timedelta
from typing import Annotated
from uuid import UUID

import typer
from rich.table import Table

from processors.counterfactual import Comparison, compare, fixed_model
from sinks.costs import By, Cost, costs
from sinks.routed import routed
from sinks.system import in_force as parts_in_force
from streams.cli import output
from streams.cli.command import Code, command, fail, given_uuid
from streams.cli.context import database
from streams.cli.output import AsJson
from streams.configuration.foresight import in_force

_WITHOUT = {By.TOKEN: "(planned sessions)", By.TOOL: "(models)", By.AGENT: "(nobody)"}


@command
async def cost(
    by: Annotated[By, typer.Option(help="What to add up by.")] = By.MODEL,
    session: Annotated[str | None, typer.Option(help="Only this session, by its UUID.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    user: Annotated[str | None, typer.Option(help="Only this user.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Only the last so many days.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="How many lines at most.")] = 50,
    fixed: Annotated[
        str | None,
        typer.Option(
            metavar="MODEL", help="Beside the same calls with this model for all: its name, or a tier."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what was spent, by session, agent, model, tool, token, tenant or day.

    Each charge of a session's budget counts once, those of failed calls too, at the price that the
    configuration had then. A tool's own model calls stand under tool:NAME. With --fixed, the answered calls
    of planned sessions alone, beside what the same tokens cost with one model for all, at today's prices.
    """
    since = None if days is None else datetime.now(UTC) - timedelta(days=days)
    chosen = None if session is None else given_uuid(session)
    if fixed is not None:
        await _show_fixed(fixed, since, tenant, user, chosen, as_json=as_json)
        return
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


async def _show_fixed(
    wanted: str,
    since: datetime | None,
    tenant: str | None,
    user: str | None,
    session: UUID | None,
    *,
    as_json: bool,
) -> None:
    async with database() as connection:
        configuration = in_force(await parts_in_force(connection))
        found = await routed(connection, since=since, tenant=tenant, user=user, session=session)
    if configuration is None:
        fail(Code.FAILED, "no worker has published its configuration yet: `cartrita up` starts one")
    models = configuration.models.chat
    model = fixed_model(models, wanted)
    if model is None:
        names = ", ".join(f"{one.name} ({one.tier})" for one in models)
        fail(Code.NOT_FOUND, f"there is no model and no tier {wanted}; there are {names}")
    compared = compare(found, model, models)
    if as_json:
        output.emit_json(
            {
                "model": compared.model,
                "lines": compared.lines,
                "as_routed": compared.as_routed,
                "fixed": compared.fixed,
                "share_saved": compared.share_saved,
            }
        )
        return
    output.show(_fixed_table(compared))
    if (saved := compared.share_saved) is not None:
        output.say(
            "Routed, these calls cost {share} {than} than with {model} for all: "
            "the same tokens at today's prices.",
            share=f"{abs(saved):.0%}",
            than="less" if saved >= 0 else "more",
            model=compared.model,
        )


def _fixed_table(compared: Comparison) -> Table:
    table = Table("agent", box=None, header_style="dim", show_footer=True, footer_style="bold")
    table.columns[0].footer = "all that have a price"
    table.add_column("model")
    table.add_column("because of")
    calls = sum(line.routed.calls for line in compared.priced)
    for name, footer in (
        ("calls", f"{calls:,}"),
        ("as routed", output.money(compared.as_routed)),
        (f"with {compared.model}", output.money(compared.fixed)),
    ):
        table.add_column(name, footer=footer, justify="right")
    for line in compared.lines:
        one = line.routed
        table.add_row(
            output.styled("{agent}", agent=one.agent),
            output.styled("{model}", model=one.model),
            one.cause or "not told",
            f"{one.calls:,}",
            "no price" if line.as_routed is None else output.money(line.as_routed),
            output.money(line.fixed),
        )
    return table
