"""`estimate`: what a message would cost before it runs, and how far such estimates were off."""

from pathlib import Path
from statistics import median
from typing import Annotated

import typer
from rich.table import Table

from processors.foretelling import Estimate, Use
from processors.prompts import usual_tokens
from schemas.configuration import Configuration
from sinks import uses
from sinks.system import in_force as parts_in_force
from sinks.uses import Said
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import database
from streams.cli.output import AsJson
from streams.configuration.foresight import beside, errors, foretold, in_force, learnt


@command
async def estimate(
    text: Annotated[str | None, typer.Argument(help="The message, as `cartrita send` would post it.")] = None,
    agent: Annotated[str | None, typer.Option(help="The agent that it names, so that nobody plans.")] = None,
    attach: Annotated[
        list[Path] | None, typer.Option(help="A file that goes with it; more than once.")
    ] = None,
    tenant: Annotated[str | None, typer.Option(help="Learn from this tenant alone.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Tell how far estimates are off what ended turns used.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Tell what a message would cost, by agent and tool, before it runs; nothing is sent to any model.

    The tasks are foretold by plain rules. What each uses is what the configuration lets expect, set right by
    what such tasks used lately where at least three were seen.
    """
    if (text is None) != check:
        fail(Code.USAGE, "write a message, or --check")
    async with database() as connection:
        configuration = in_force(await parts_in_force(connection))
        found = await uses.uses(connection, tenant)
        turns = await uses.turns(connection, tenant)
    if configuration is None:
        fail(Code.FAILED, "no worker has published its configuration yet: `cartrita up` starts one")
    if text is None:
        _tell_errors(turns, found, configuration, as_json=as_json)
        return
    if agent is not None and agent not in configuration.agents:
        fail(
            Code.NOT_FOUND, f"there is no agent {agent}; there are {', '.join(sorted(configuration.agents))}"
        )
    told = foretold(_said(text, agent, attach or []), learnt(turns, found, configuration), configuration)
    if as_json:
        output.emit_json({"lines": told.lines, "tokens": told.tokens, "nanodollars": told.nanodollars})
        return
    output.show(_table(told))


def _said(text: str, agent: str | None, attached: list[Path]) -> Said:
    texts = [path.read_text(encoding="utf-8", errors="replace") for path in attached]
    return Said(
        text=text,
        agent=agent,
        tokens=usual_tokens(text),
        attached_tokens=sum(map(usual_tokens, texts)),
        attachments=[path.name for path in attached],
    )


def _tell_errors(turns: list[Said], found: list[Use], configuration: Configuration, *, as_json: bool) -> None:
    compared = beside(turns, found, configuration)
    tokens = errors(compared)
    money = errors(compared, lambda one: one.nanodollars)
    row = {
        "turns": len(tokens),
        "tokens_off_median": median(tokens) if tokens else None,
        "money_off_median": median(money) if money else None,
    }
    if as_json:
        output.emit_json(row)
        return
    if not tokens:
        output.say("No turn has ended that could be compared.")
        return
    output.say(
        "{turns} turns, each estimated from the other sessions: off by {tokens} of tokens "
        "and {money} of money in the median",
        turns=len(tokens),
        tokens=f"{median(tokens):.0%}",
        money=f"{median(money):.0%}" if money else "nothing",
    )


def _table(told: Estimate) -> Table:
    table = Table("", box=None, header_style="dim", show_footer=True, footer_style="bold")
    table.columns[0].footer = "all"
    for name, footer in (
        ("times", ""),
        ("tokens", f"{told.tokens:,}"),
        ("cost", output.money(told.nanodollars)),
        ("rests on", ""),
    ):
        table.add_column(name, footer=footer, justify="right")
    for line in told.lines:
        rests = f"{line.samples:,} seen" if line.samples else "the configuration"
        table.add_row(line.what, f"{line.times}", f"{line.tokens:,}", output.money(line.nanodollars), rests)
    return table
