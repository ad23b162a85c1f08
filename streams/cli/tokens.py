"""`tokens`: who may come in by the front door, and with what."""

import asyncio
import time
from decimal import Decimal
from typing import Annotated, Final

import typer

from schemas.envelope import Envelope
from schemas.events.access import BudgetPeriod, Scope, TokenBudget, TokenCreated, TokenRevoked
from schemas.ids import derived_id, is_uuid
from schemas.plain import to_plain
from streams.cli import output
from streams.cli.command import Code, command, fail
from streams.cli.context import settings
from streams.cli.output import AsJson
from streams.client.client import Client
from streams.gateway.access import TokenBook, mint
from streams.process.settings import Settings
from topics.catalog import ACCESS_TOKENS

PRODUCER: Final = "cartrita-cli"
_READ_S: Final = 30.0

tokens = typer.Typer(help="Tokens of the front door: create, list, revoke.", no_args_is_help=True)


@tokens.command("create")
@command
async def create(
    name: Annotated[str, typer.Argument(help="What it is for.")],
    scope: Annotated[
        list[Scope] | None, typer.Option(help="What it may do; may be repeated. By default send and read.")
    ] = None,
    tenant: Annotated[str, typer.Option(help="The tenant for which it is good.")] = "default",
    user: Annotated[
        str | None, typer.Option(help="The one user for whom it is good; by default all.")
    ] = None,
    days: Annotated[
        float | None, typer.Option(min=0.001, help="How long it is good; by default for ever.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(min=0.000001, max=9_000_000, help="Dollars that its calls of models may use in all."),
    ] = None,
    budget_tokens: Annotated[
        int | None, typer.Option(min=1, max=2**53 - 1, help="Tokens that its calls of models may use in all.")
    ] = None,
    per: Annotated[
        BudgetPeriod, typer.Option(help="For how long that budget is; a day and a month are UTC's.")
    ] = BudgetPeriod.EVER,
    as_json: AsJson = False,
) -> None:
    """Make a token and print it, once: nobody can tell it again."""
    own = None
    if budget is not None or budget_tokens is not None:
        nanodollars = None if budget is None else round(budget * 1e9)
        own = TokenBudget(tokens=budget_tokens, nanodollars=nanodollars, period=per)
    token, created = mint(
        name=name,
        scopes=tuple(scope or (Scope.SEND, Scope.READ)),
        tenant=tenant,
        user=user,
        lifetime_s=None if days is None else round(days * 86_400),
        budget=own,
    )
    await write_token(settings(), created)
    if as_json:
        output.emit_json({"token": token, "token_id": created.token_id})
    else:
        output.note("[dim]token {token_id}; it is shown this once[/]", token_id=created.token_id)
        output.say("{token}", token=token)


@tokens.command("list")
@command
async def list_tokens(as_json: AsJson = False) -> None:
    """List the tokens that are good."""
    found = (await read_tokens(settings())).tokens()
    if as_json:
        output.emit_json({"tokens": [_plain(one) for one in found]})
        return
    for one in found:
        user = "all users" if one.user is None else f"user {one.user}"
        until = "for ever" if one.expires_at_ms is None else f"until {output.time(one.expires_at_ms)}"
        scopes = ", ".join(map(str, one.scopes))
        output.say(
            "{token_id}  {name}: {scopes}; tenant {tenant}, {user}; {until}{budget}",
            token_id=one.token_id,
            name=one.name,
            scopes=scopes,
            tenant=one.tenant,
            user=user,
            until=until,
            budget=_budget_in_words(one.budget),
        )


@tokens.command("revoke")
@command
async def revoke(
    token_id: Annotated[str, typer.Argument(help="The token's id, as `list` shows it.")],
) -> None:
    """Make a token useless; what it holds open is closed within two seconds."""
    if not is_uuid(token_id):
        fail(Code.USAGE, "this is not the id of a token; `cartrita tokens list` shows them")
    if token_id not in {one.token_id for one in (await read_tokens(settings())).tokens()}:
        fail(Code.NOT_FOUND, f"there is no token {token_id} that is good")
    await write_token(settings(), TokenRevoked(token_id=token_id))
    output.say("revoked {token_id}", token_id=token_id)


async def read_tokens(local: Settings) -> TokenBook:
    """Return all tokens that the log knows now."""
    book = TokenBook()
    async with Client(local) as client, asyncio.timeout(_READ_S):
        for event in await client.whole(ACCESS_TOKENS):
            book.apply(event)
    return book


async def write_token(local: Settings, fact: TokenCreated | TokenRevoked) -> None:
    """Put on the log that a token was made, or revoked."""
    event = Envelope(
        event_id=derived_id("access", fact.token_id, type(fact).__name__),
        type=type(fact).__name__,
        occurred_at_ms=time.time_ns() // 1_000_000,
        producer=PRODUCER,
        body=fact,
    )
    async with Client(local) as client:
        await client.write(ACCESS_TOKENS, event)


def _budget_in_words(budget: TokenBudget | None) -> str:
    if budget is None:
        return ""
    amounts = []
    if budget.nanodollars is not None:
        amounts.append(f"${(Decimal(budget.nanodollars) / 10**9).normalize():f}")
    if budget.tokens is not None:
        amounts.append(f"{budget.tokens:,} tokens")
    for_how_long = "in all" if budget.period == BudgetPeriod.EVER else f"a {budget.period}"
    return f"; {' and '.join(amounts)} {for_how_long}"


def _plain(one: TokenCreated) -> dict[str, object]:
    return {
        "token_id": one.token_id,
        "name": one.name,
        "scopes": [str(scope) for scope in one.scopes],
        "tenant": one.tenant,
        "user": one.user,
        "expires_at_ms": one.expires_at_ms,
        "budget": None if one.budget is None else to_plain(one.budget),
    }
