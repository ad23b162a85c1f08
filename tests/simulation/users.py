"""What the users of a simulated life do, and the limits under which they do it."""

from collections import deque
from dataclasses import dataclass, replace
from random import Random
from typing import Final, NamedTuple

from processors.objections import EVERY_TENANT
from schemas.configuration import Limits
from schemas.envelope import Fact
from schemas.events.client_calls import CallBudget, ClientCallReceived, ClientMessage
from schemas.events.inputs import MessageReceived, SessionCancelled, SessionClosed
from schemas.events.models import ChatRole
from schemas.events.restraints import ToolsStarted, ToolsStopped
from schemas.ids import derived_id
from tests.simulation.forks import fork_of

STRANGER: Final = "stranger"
"""Tenant and user of whoever speaks in sessions of others."""


REPEATER: Final = "repeater"
"""Sends again what somebody has sent before, however long ago."""


_TALKATIVE: Final = 0.25
"""In so many lives somebody says _SAID things more in one session, which its state does not know for long."""
_SAID: Final = 7
_BUDGETED: Final = 0.7
"""Share of the tokens that have a budget of their own."""
START_MS: Final = 1_700_000_000_000
"""When every life begins."""


class Act(NamedTuple):
    """What somebody does in a session.

    None: an operator answers the oldest question, a stranger tells an outcome, or somebody
    repeats an input.
    """

    session_id: str
    body: Fact | None
    who: str = "default"
    """Their tenant, and their user."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What is given in place of what a seed would draw."""

    limits: Limits
    plan: str
    """What every planner answers."""
    acts: tuple[Act, ...]


def limits_of(random: Random, seed: int) -> Limits:
    """Draw the limits of a life: tight ones, loose ones, with accounts and without."""
    accounts = random.random() < 0.5
    # Drawn apart, so that a seed means the same whether its sessions sum up their turns or not.
    forgetful = Random(f"{seed} forgetful")
    return replace(
        Limits(),
        running_max=random.randint(1, 4),
        attempts_max=random.randint(1, 3),
        steps_max=random.randint(1, 4),
        failure_policy=random.choice(("prune", "fail")),
        turn_deadline_ms=random.choice((2_000, 900_000, 900_000, 900_000)),
        queue_max=2,
        session_idle_ms=random.choice((0, 5_000, 2_592_000_000)),
        session_retention_ms=random.choice((1_000, 60_000, 86_400_000)),
        account_tokens=random.choice((3_000, 150_000)) if accounts else 0,
        account_nanodollars=10**12 if accounts else 0,
        history_tokens_max=forgetful.choice((100, 2_000)),
        summary_output_tokens_max=forgetful.choice((0, 100, 400)),
    )


def acts_of(random: Random, seed: int) -> deque[Act]:
    """Draw what users do: messages above all, now and then a cancellation, an end, a fork, or a stranger."""
    acts: list[Act] = []
    for number in range(random.randint(1, 3)):
        session_id = derived_id("simulated", str(seed), "session", str(number))
        for _ in range(random.randint(1, 3)):
            kind = random.choice((*["say"] * 12, "cancel", "close"))
            body: Fact = MessageReceived(
                text="please do it",
                budget_tokens=random.choice((None, None, None, 600, 6_000, 50_000)),
                budget_nanodollars=random.choice((None, None, None, 500_000, 5_000_000)),
            )
            if kind == "cancel":
                body = SessionCancelled()
            elif kind == "close":
                body = SessionClosed()
            acts.append(Act(session_id, body))
    random.shuffle(acts)
    # Drawn apart, so that a seed means the same whether its users fork or not.
    others = Random(f"{seed} forks")
    for number in range(others.choice((0, 0, 1, 2))):
        place = others.randrange(len(acts) + 1)
        acts.insert(place, Act(derived_id("simulated", str(seed), "fork", str(number)), fork_of(others)))
    strangers = Random(f"{seed} strangers")
    for _ in range(strangers.choice((0, 0, 1, 2))):
        place = strangers.randrange(len(acts) + 1)
        said = strangers.choice((MessageReceived(text="let me in"), SessionCancelled(), SessionClosed()))
        acts.insert(place, Act(strangers.choice(acts).session_id, said, STRANGER))
    forgers = Random(f"{seed} forgers")
    for _ in range(forgers.choice((0, 0, 1, 3))):
        acts.insert(forgers.randrange(len(acts) + 1), Act("", None, STRANGER))
    repeaters = Random(f"{seed} repeaters")
    if repeaters.random() < _TALKATIVE:
        session_id = derived_id("simulated", str(seed), "session", "0")
        for _ in range(_SAID):
            said = MessageReceived(text="and another thing")
            acts.insert(repeaters.randrange(len(acts) + 1), Act(session_id, said))
    for _ in range(repeaters.choice((0, 0, 2, 8))):
        acts.insert(repeaters.randrange(len(acts) // 2, len(acts) + 1), Act("", None, REPEATER))
    _call(Random(f"{seed} callers"), acts, seed)
    _stop(Random(f"{seed} stoppers"), acts)
    return deque(acts)


def _stop(random: Random, acts: list[Act]) -> None:
    """Let an operator of every tenant stop tools for a while."""
    for _ in range(random.choice((0, 0, 1, 2))):
        name = random.choice(("*", "look", "buy"))
        begins = random.randrange(len(acts) + 1)
        ends = random.randrange(begins, len(acts) + 1)
        acts.insert(ends, Act("", ToolsStarted(name=name), EVERY_TENANT))
        acts.insert(begins, Act("", ToolsStopped(name=name), EVERY_TENANT))


def _call(random: Random, acts: list[Act], seed: int) -> None:
    """Let programs ask models for single answers: by one or two tokens, on one or two days at once."""
    for token in range(random.choice((0, 1, 1, 2))):
        token_id = derived_id("simulated", str(seed), "token", str(token))
        budget = None
        if random.random() < _BUDGETED:
            budget = CallBudget(
                account_id=f"token:{token_id}",
                tokens=random.choice((None, 1_500, 8_000)),
                nanodollars=random.choice((None, 400_000, 10**12)),
                ends_at_ms=random.choice((None, START_MS + 120_000)),
            )
        for number in range(random.randint(1, 8)):
            call = ClientCallReceived(
                token_id=token_id,
                route="chat.completions",
                model=random.choice(("gpt-4o-mini", "gpt-4o-mini", "gpt-4o", "no-such-model")),
                messages=(ClientMessage(role=ChatRole.USER, text="hello"),),
                output_tokens_max=random.choice((None, 50, 300, 300, 3_000)),
                prompt_tokens=random.choice((10, 200, 200_000)),
                body_sha256=f"{number:064x}",
                budget=budget,
            )
            session_id = derived_id(token_id, "day", str(random.randrange(2)))
            acts.insert(random.randrange(len(acts) + 1), Act(session_id, call))
