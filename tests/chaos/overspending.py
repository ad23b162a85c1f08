"""Overspending: sessions ask for far more calls at once than their budgets hold, while workers are killed.

python -m tests.chaos.overspending [--sessions N] [--calls N] [--kills N] [--seed N] [--write]

The fake provider's own books are the truth. It bills some answers beyond the most that it was told to use;
that is shown, and is all by which a bill may exceed a budget.
"""

import argparse
import json
import os
import platform
import random
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Final

from schemas.configuration import ChatModel
from schemas.events.budgets import BudgetCharged, BudgetExhausted, BudgetGranted
from schemas.events.inputs import MessageReceived
from schemas.events.models import ModelCallRequested
from streams.configuration.loading import load_configuration
from tests.chaos.arena import Arena, arena
from tests.chaos.checker import check
from tests.chaos.evidence import Evidence
from tests.chaos.fake_servers import PROJECT_DIRECTORY, Behaviour
from tests.invariants.books import used
from tests.invariants.stories import Story, once, stories_of
from tests.invariants.violation import Violation
from tests.pipeline.outsider import Record, message
from tests.processors.world import plan_text, task
from topics.catalog import USER_INPUTS

LIMITS: Final = """
running_max = {calls}
tasks_max = {calls}
plan_output_tokens_max = 3_000
critique_score_min = 0.0
model_timeout_ms = 60_000
turn_deadline_ms = 1_800_000
stall_ms = 600_000
"""
WORKERS: Final = 2
LATENCY_MS: Final = 400
LONG_SHARE: Final = 0.02
REST_S: Final = 1_800.0
DOCUMENT: Final = PROJECT_DIRECTORY / "docs" / "faults.md"
RESULT: Final = PROJECT_DIRECTORY / "docs" / "overspending.json"
BEGIN: Final = "<!-- overspending -->"
END: Final = "<!-- /overspending -->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Balance:
    """One session's budget against the provider's books, in tokens or in nanodollars."""

    granted: int
    charged: int
    billed: int
    beyond: int
    """Of what was billed, what was beyond the most that the provider was told, each request by itself."""

    @property
    def overshoot(self) -> int:
        """Return by how much the bill exceeds the budget, but for what is the provider's doing."""
        return max(0, self.billed - self.beyond - self.granted)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a run came to."""

    sessions: int
    calls_wanted: int
    """By session, tasks of its plan; all could run at once."""
    calls_made: int
    calls_at_once_max: int
    """Reservations that one session held at the same time, at most."""
    billed_at_once_max: int
    """Requests that the provider worked on at the same time, at most."""
    requests: int
    requests_billed: int
    refused: int
    """Calls for which a budget had too little left."""
    kills: int
    tokens: Balance
    """Of the sessions that are short of tokens, together."""
    nanodollars: Balance
    """Of the others, together."""
    tokens_overshoot: int
    """Of all sessions, each by itself."""
    nanodollars_overshoot: int
    calls_beyond: int
    """Calls for which the provider billed more than it was told."""
    violations: int
    seconds: float


def run(sessions: int, calls: int, kills: int, seed: int) -> tuple[Outcome, tuple[Violation, ...]]:
    """Put a deployment through it, and hold its books against the provider's."""
    chance = random.Random(seed)
    environment = {"CARTRITA_CALLS_IN_FLIGHT_MAX": "256", "CARTRITA_SESSION_TIMEOUT_MS": "15000"}
    with arena(seed=seed, workers=WORKERS, limits=LIMITS.format(calls=calls), environment=environment) as one:
        one.up()
        plan = plan_text(*(task(f"t{n}", agent="writer") for n in range(calls)))
        one.servers.behave_as(Behaviour(plan=plan, long_share=LONG_SHARE, latency_ms=LATENCY_MS))
        began_s = time.monotonic()
        one.post(_messages(sessions, chance))
        for _ in range(kills):
            time.sleep(chance.uniform(1.0, 6.0))
            _kill_a_worker(one, chance)
        assert one.rest(REST_S), "the sessions do not end"
        seconds = time.monotonic() - began_s
        evidence = one.evidence(rebuild=False)
    violations = check(evidence)
    return outcome_of(evidence, calls, kills, len(violations), seconds), violations


def outcome_of(evidence: Evidence, calls: int, kills: int, violations: int, seconds: float) -> Outcome:
    """Hold the log's budgets against the provider's books."""
    events = [r.event for r in evidence.records if r.event and r.place.topic != USER_INPUTS.name]
    stories = list(stories_of(once(events)).values())
    bills = _bills(evidence)
    tokens = [_balance(story, bills, 0) for story in stories]
    nanodollars = [_balance(story, bills, 1) for story in stories]
    short = _short_of_tokens(evidence)
    made = [fact for story in stories for fact in story.facts(ModelCallRequested)]
    return Outcome(
        sessions=len(stories),
        calls_wanted=calls,
        calls_made=len(made),
        calls_at_once_max=max(_held_at_once(story) for story in stories),
        billed_at_once_max=_at_once((entry.started_ms, entry.ended_ms) for entry in evidence.model_ledger),
        requests=len(evidence.model_ledger),
        requests_billed=sum(entry.billed for entry in evidence.model_ledger),
        refused=sum(len(story.facts(BudgetExhausted)) for story in stories),
        kills=kills,
        tokens=_sum(b for b, one in zip(tokens, stories, strict=True) if one.session_id in short),
        nanodollars=_sum(
            b for b, story in zip(nanodollars, stories, strict=True) if story.session_id not in short
        ),
        tokens_overshoot=sum(balance.overshoot for balance in tokens),
        nanodollars_overshoot=sum(balance.overshoot for balance in nanodollars),
        calls_beyond=sum(
            any(tokens > fact.reserved_tokens for tokens, _ in bills.get(fact.call_id, ())) for fact in made
        ),
        violations=violations,
        seconds=round(seconds, 1),
    )


def _messages(sessions: int, chance: random.Random) -> list[Record]:
    """Half of the sessions are short of tokens, the others of money; none can hold all of its calls."""
    return [
        message("Write many lines.", budget_tokens=chance.randint(5_000, 14_000))
        if number % 2
        else message("Write many lines.", budget_nanodollars=chance.randint(2_500_000, 6_000_000))
        for number in range(sessions)
    ]


def _kill_a_worker(one: Arena, chance: random.Random) -> None:
    name = f"worker-{chance.randint(1, WORKERS)}"
    one.deployment.stop_part(name, hard=True)
    one.deployment.start_part(name, "worker")


def _short_of_tokens(evidence: Evidence) -> set[str]:
    events = [record.event for record in evidence.records if record.event]
    return {
        event.session_id
        for event in events
        if isinstance(event.body, MessageReceived) and event.body.budget_tokens is not None
    }


def _bills(evidence: Evidence) -> dict[str, list[tuple[int, int]]]:
    """Return by call what the provider billed for each request, in tokens and in nanodollars."""
    prices: Mapping[str, ChatModel] = {model.name: model for model in load_configuration(()).models.chat}
    bills: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for entry in evidence.model_ledger:
        if entry.billed:
            price = prices[entry.model]
            tokens = entry.prompt_tokens + entry.completion_tokens
            nanodollars = (
                entry.prompt_tokens * price.input_nanodollars
                + entry.completion_tokens * price.output_nanodollars
            )
            bills[entry.client_request_id].append((tokens, nanodollars))
    return bills


def _balance(story: Story, bills: Mapping[str, Sequence[tuple[int, int]]], unit: int) -> Balance:
    granted = [fact for fact in story.facts(BudgetGranted) if fact.scope == "session"]
    billed = beyond = 0
    for fact in story.facts(ModelCallRequested):
        most = (fact.reserved_tokens, fact.reserved_nanodollars)[unit]
        for bill in bills.get(fact.call_id, ()):
            billed += bill[unit]
            # A second bill for one call is our doing, however small.
            beyond += max(0, bill[unit] - most)
    return Balance(
        granted=sum((fact.tokens, fact.nanodollars)[unit] for fact in granted),
        charged=used(story)[unit],
        billed=billed,
        beyond=beyond,
    )


def _sum(balances: Iterable[Balance]) -> Balance:
    every = list(balances)
    return Balance(
        granted=sum(one.granted for one in every),
        charged=sum(one.charged for one in every),
        billed=sum(one.billed for one in every),
        beyond=sum(one.beyond for one in every),
    )


def _held_at_once(story: Story) -> int:
    """Return how many calls a session had open at the same time, at most."""
    held = most = 0
    for event in story.events:
        held += isinstance(event.body, ModelCallRequested)
        held -= isinstance(event.body, BudgetCharged)
        most = max(most, held)
    return most


def _at_once(spans: Iterable[tuple[int, int]]) -> int:
    edges = sorted(edge for begin, end in spans for edge in ((begin, 1), (end, -1)))
    running = most = 0
    for _, step in edges:
        running += step
        most = max(most, running)
    return most


def described(outcome: Outcome, seed: int) -> str:
    """Return the section of the document, without its heading."""
    one = outcome
    tokens, money = one.tokens, one.nanodollars
    tasks = one.sessions * one.calls_wanted
    rows = {
        "tasks, each with a call of its own": f"{tasks:,}",
        "model calls made (with those for plans, critiques and answers)": f"{one.calls_made:,}",
        "calls refused, for a budget had too little left": f"{one.refused:,}",
        "calls of one session at once, at most": f"{one.calls_at_once_max}",
        "requests at the provider at once, at most": f"{one.billed_at_once_max}",
        "requests at the provider; billed": f"{one.requests:,}; {one.requests_billed:,}",
        "granted, to those short of tokens; of money": _both(tokens.granted, money.granted),
        "billed": _both(tokens.billed, money.billed),
        "charged; where the bill is not known, in full": _both(tokens.charged, money.charged),
        "billed beyond the most that was reserved": (
            f"{_both(tokens.beyond, money.beyond)}, in {one.calls_beyond} calls"
        ),
        "**overshoot beyond that**, each session by itself": (
            f"**{one.tokens_overshoot:,} tokens, {one.nanodollars_overshoot:,} nanodollars**"
        ),
        "violations of any invariant (a rebuild was not made)": f"{one.violations}",
    }
    machine = f"{os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"
    return "\n".join(
        [
            f"`make overspend`: {one.sessions} sessions, each with a plan of {one.calls_wanted} independent",
            "tasks that may all run at once, and a budget that cannot hold them: half of the sessions are",
            f"short of tokens, half of money. {WORKERS} workers, {one.kills} `kill -9` of one in the middle.",
            f"The provider takes {LATENCY_MS} ms, and in {LONG_SHARE:.0%} of its answers ignores the length",
            "that it was told. Its own books, one line a request on disk, are the truth.",
            "",
            "| | |",
            "|---|---|",
            *(f"| {name} | {value} |" for name, value in rows.items()),
            "",
            f"Seed {seed}, {one.seconds:.0f} s on {machine}, {datetime.now(UTC).date().isoformat()};",
            "as JSON in [overspending.json](overspending.json).",
            "",
        ]
    )


def _both(tokens: int, nanodollars: int) -> str:
    return f"{tokens:,} tokens; {nanodollars / 1e9:.4f} dollars"


def write(outcome: Outcome, seed: int) -> None:
    """Put the result into the document and beside it."""
    text = DOCUMENT.read_text(encoding="utf-8")
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    DOCUMENT.write_text(f"{head}{BEGIN}\n{described(outcome, seed)}{END}{tail}", encoding="utf-8")
    RESULT.write_text(json.dumps({"seed": seed, **asdict(outcome)}, indent=1) + "\n", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it and tell; 1 when a budget was overshot or another promise broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.overspending")
    parser.add_argument("--sessions", type=int, default=100)
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="put the result into docs/faults.md")
    options = parser.parse_args(arguments)
    outcome, violations = run(options.sessions, options.calls, options.kills, options.seed)
    for violation in violations[:50]:
        print(violation)  # noqa: T201  # a program's output
    print(described(outcome, options.seed))  # noqa: T201  # as above
    if options.write:
        write(outcome, options.seed)
    return 1 if violations or outcome.tokens_overshoot or outcome.nanodollars_overshoot else 0


if __name__ == "__main__":
    sys.exit(main())
