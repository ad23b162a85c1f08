"""`policy what-if` and `policy shadow`: what other rules say of calls that were, or are being, decided."""

from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from processors.policy.hindsight import Reviewed, review
from schemas.configuration import Policy
from schemas.envelope import Envelope
from schemas.events.policies import PolicyDecided
from schemas.frozen import replace
from sinks.policy_log import Stretch, Usage, charged, decisions, usage_by_model
from streams.cli import output
from streams.cli.command import Code, command, fail, given_uuid
from streams.cli.context import database, settings
from streams.cli.output import AsJson
from streams.client.client import Client, Received
from streams.configuration.approvers import load_approvers
from streams.configuration.loading import load_models
from streams.configuration.policies import load_policy
from topics.catalog import POLICY_DECISIONS

CALLS_TOLD_MAX: Final = 1_000
Prices = dict[str, tuple[int, int]]
"""By model, billionths of a dollar per token of the prompt and of the answer."""
Other = Annotated[Path, typer.Argument(metavar="FILE", help="The other rules, in the form of policy.toml.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """How calls were decided, and how they would be."""

    tool: str
    agent: str
    decision: str
    rule: str
    other_decision: str
    other_rule: str


@dataclass(slots=True)
class Review:
    """What came of deciding calls again."""

    decided: int = 0
    unjudged: int = 0
    """What an earlier program told too little of, and what a session's own rules had a say in."""
    flips: Counter[Flip] = field(default_factory=Counter)
    calls: dict[tuple[str, str], Flip] = field(default_factory=dict)
    """By session and call: those that differ."""
    stopped: set[tuple[str, str]] = field(default_factory=set)
    """Those that were let pass, and would not be."""

    def take(self, event: Envelope, policy: Policy) -> None:
        """Decide one call again."""
        reviewed = review(event, policy)
        if reviewed is None:
            self.unjudged += 1
            return
        self.decided += 1
        if not reviewed.differs:
            return
        flip, call = _flip(reviewed), (event.session_id, reviewed.call_id)
        self.flips[flip] += 1
        self.calls[call] = flip
        if reviewed.is_stopped:
            self.stopped.add(call)


@command
async def what_if(
    file: Annotated[Path | None, typer.Argument(help="The other rules, in the form of policy.toml.")] = None,
    models: Annotated[Path | None, typer.Option(help="Other prices, in the form of models.toml.")] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Only the last so many days.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    session: Annotated[str | None, typer.Option(help="Only this session, by its UUID.")] = None,
    as_json: AsJson = False,
) -> None:
    """Hold other rules, other prices, or both, against the log: what would differ, and what it would cost.

    Nothing is called, and nothing is written. What a session would have done next is not known: a call that
    would have been stopped is told, and those that its agent would have made instead are not.
    """
    if file is None and models is None:
        fail(Code.USAGE, "there is nothing to hold against the log: name a file of rules, or --models")
    policy, prices = None if file is None else _rules(file), _prices(models)
    stretch = Stretch(
        since=None if days is None else datetime.now(UTC) - timedelta(days=days),
        tenant=tenant,
        session=None if session is None else given_uuid(session),
    )
    found = Review()
    async with database() as connection:
        if policy is not None:
            async with aclosing(decisions(connection, stretch)) as told:
                async for event in told:
                    found.take(event, policy)
        costs = await charged(connection, found.stopped)
        used = [] if prices is None else await usage_by_model(connection, stretch)
    priced = [(one, None if prices is None else _cost(one, prices)) for one in used]
    if as_json:
        output.emit_json(
            (_plain(found, costs) if policy is not None else {})
            | ({"models": [{"used": one, "nanodollars": cost} for one, cost in priced]} if models else {})
        )
        return
    if policy is not None:
        _show_review(found, costs)
    if models is not None:
        output.show(_price_table(priced))


def _show_review(found: Review, costs: dict[str, int]) -> None:
    output.show(_table(found, costs))
    output.say(
        "{differing} of {decided} calls would be decided otherwise; calls that would be stopped cost {cost}",
        differing=f"{len(found.calls):,}",
        decided=f"{found.decided:,}",
        cost=output.money(sum(costs.values())),
    )
    if found.unjudged:
        output.note("[dim]{count} others cannot be judged[/]", count=f"{found.unjudged:,}")


@command
async def shadow(
    file: Other,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after so many decisions.")] = None,
    as_json: AsJson = False,
) -> None:
    """Decide calls by other rules as they are decided by those in force, and tell each that differs.

    It reads the log: the other rules decide nothing, and count nothing.
    """
    policy = _rules(file)
    async with (
        Client(settings()) as client,
        aclosing(client.read((POLICY_DECISIONS,))) as records,
        aclosing(differing(records, policy, tenant=tenant, limit=limit)) as told,
    ):
        async for event, reviewed in told:
            _tell(event, reviewed, as_json=as_json)


async def differing(
    records: AsyncIterator[Received], policy: Policy, *, tenant: str | None, limit: int | None
) -> AsyncGenerator[tuple[Envelope, Reviewed], None]:
    """Tell each decision that other rules would have made otherwise, as it is read.

    Args:
        records: of policy.decisions.
        policy: the other rules.
        tenant: whose calls count; None: everybody's.
        limit: how many decisions are looked at; None: as long as there are records.
    """
    looked = 0
    async for received in records:
        event = received.event
        if event is None or not isinstance(event.body, PolicyDecided) or not event.body.tool:
            continue
        if tenant is not None and event.tenant_id != tenant:
            continue
        reviewed = review(event, policy)
        if reviewed is not None and reviewed.differs:
            yield event, reviewed
        looked += 1
        if looked == limit:
            return


def _prices(models: Path | None) -> Prices | None:
    """Read what a token of each model costs, of the prompt and of the answer."""
    if models is None:
        return None
    read = load_models(models, settings().configuration_directory)
    prices = {one.name: (one.input_nanodollars, one.output_nanodollars) for one in read.chat}
    return {**prices, read.embedding.name: (read.embedding.input_nanodollars, 0)}


def _cost(used: Usage, prices: Prices) -> int | None:
    price = prices.get(used.model)
    return None if price is None else used.input_tokens * price[0] + used.output_tokens * price[1]


def _price_table(priced: list[tuple[Usage, int | None]]) -> Table:
    table = Table("model", "calls", "cost", "would cost", box=None, header_style="dim", show_footer=True)
    for one, cost in priced:
        would = "no price" if cost is None else output.money(cost)
        table.add_row(one.model, f"{one.calls:,}", output.money(one.nanodollars), would)
    known = [(one, cost) for one, cost in priced if cost is not None]
    table.columns[0].footer = "all that have a price"
    table.columns[2].footer = output.money(sum(one.nanodollars for one, _ in known))
    table.columns[3].footer = output.money(sum(cost for _, cost in known))
    return table


def _rules(file: Path) -> Policy:
    return replace(load_policy(file), approvers=load_approvers(settings().approvers))


def _flip(reviewed: Reviewed) -> Flip:
    return Flip(
        tool=reviewed.tool,
        agent=reviewed.agent,
        decision=reviewed.decision,
        rule=reviewed.rule,
        other_decision=reviewed.other.decision,
        other_rule=reviewed.other.rule,
    )


def _tell(event: Envelope, reviewed: Reviewed, *, as_json: bool) -> None:
    if as_json:
        told = {"session_id": event.session_id, "call_id": reviewed.call_id, "flip": _flip(reviewed)}
        output.emit_json(told)
        return
    output.say(
        "{session} {tool} by {agent}: {decision} ({rule}), and would be "
        "[bold]{other}[/] ({other_rule}: {reason})",
        session=event.session_id,
        tool=reviewed.tool,
        agent=reviewed.agent,
        decision=reviewed.decision,
        rule=reviewed.rule,
        other=reviewed.other.decision,
        other_rule=reviewed.other.rule,
        reason=reviewed.other.reason,
    )


def _costs(found: Review, costs: dict[str, int]) -> Counter[Flip]:
    """Return what calls have cost that would be stopped."""
    spent: Counter[Flip] = Counter()
    for call in found.stopped:
        spent[found.calls[call]] += costs.get(call[1], 0)
    return spent


def _table(found: Review, costs: dict[str, int]) -> Table:
    spent = _costs(found, costs)
    table = Table("tool", "agent", "was", "would be", "calls", "cost", box=None, header_style="dim")
    for flip, count in found.flips.most_common():
        table.add_row(
            flip.tool,
            flip.agent,
            f"{flip.decision} ({flip.rule})",
            f"{flip.other_decision} ({flip.other_rule})",
            f"{count:,}",
            output.money(spent[flip]) if spent[flip] else "",
        )
    return table


def _plain(found: Review, costs: dict[str, int]) -> dict[str, object]:
    spent = _costs(found, costs)
    return {
        "decided": found.decided,
        "unjudged": found.unjudged,
        "differing": len(found.calls),
        "flips": [
            {"flip": flip, "calls": count, "nanodollars": spent[flip]}
            for flip, count in found.flips.most_common()
        ],
        "calls": [
            {"session_id": session, "call_id": call, "flip": flip}
            for (session, call), flip in list(found.calls.items())[:CALLS_TOLD_MAX]
        ],
    }
