"""`budget`: what an operator lets a session use."""

import asyncio
from typing import Annotated

import typer

from processors.inputs import AMOUNT_MAX
from processors.objections import EVERY_TENANT
from schemas.events.inputs import SessionBudgetSet
from schemas.events.outputs import NoticeGiven
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.messages import SessionArgument, envelope_of, nanodollars_of, show
from streams.cli.output import AsJson
from streams.client.client import Client
from streams.client.conversation import ask
from topics.catalog import OPERATOR_INPUTS


@command
async def budget(
    session: SessionArgument,
    tokens: Annotated[
        int | None, typer.Option(min=0, max=AMOUNT_MAX, help="Tokens that it may use in all.")
    ] = None,
    dollars: Annotated[float | None, typer.Option(min=0, help="Money that it may use in all.")] = None,
    reason: Annotated[str | None, typer.Option(help="Why, for the record.")] = None,
    timeout_s: Annotated[
        float, typer.Option("--timeout", min=1, help="Seconds to wait for the session's word.")
    ] = 60,
    user: Annotated[str, typer.Option(help="Which operator sets it, for the record.")] = "operator",
    tenant: Annotated[
        str, typer.Option(help="Only of a session of this tenant; by default of whosever it is.")
    ] = EVERY_TENANT,
    as_json: AsJson = False,
) -> None:
    """Raise or lower what a session may use in all. Exit code 1: refused; 5: no word in time.

    An operator's act. A raise asks the session's account for more, where accounts are limited. What is used
    or reserved already is the least that a budget can be: with 0 nothing new is begun.

    Example: cartrita budget SESSION --tokens 200000 --dollars 2
    """
    if tokens is None and dollars is None:
        fail(Code.USAGE, "no budget is given", "Name --tokens, --dollars, or both.")
    fact = SessionBudgetSet(tokens=tokens, nanodollars=nanodollars_of(dollars, least=0), reason=reason)
    message = envelope_of(fact, session, user, tenant)
    told: object = None
    try:
        async with asyncio.timeout(timeout_s), Client(settings()) as client:
            told = await show(ask(client, message, OPERATOR_INPUTS), as_json=as_json, until=NoticeGiven)
    except TimeoutError:
        fail(
            Code.TIMED_OUT,
            f"no word from the session within {timeout_s:.0f} s; the budget is set as soon as it is read",
            f"Look later with: cartrita sessions {session}",
        )
    if not isinstance(told, NoticeGiven):
        raise typer.Exit(Code.FAILED)
