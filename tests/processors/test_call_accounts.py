"""Budgets of tokens: one account for all sessions of calls, never overspent and spent nearly whole."""

from collections import deque
from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.accounts import AccountDecider, AccountState
from schemas.envelope import Envelope, Fact
from schemas.events.accounts import LeaseGranted, LeaseRefused, LeaseRequested, LeaseReturned
from schemas.events.budgets import BudgetCharged
from schemas.events.client_calls import CallBudget, ClientCallAnswered, ClientCallFailed
from schemas.events.models import ModelCallRequested
from schemas.events.timers import TimerFired
from schemas.ids import derived_id
from tests.processors.calls import any_outcome, asked
from tests.processors.world import ModelOutcome, World, completed, configuration, decided_again

ACCOUNT = "token:one"
NOW_MS = 1_000_000


class Bank:
    """Sessions of one token, and its account, which answers when it is asked to."""

    def __init__(self, budget: CallBudget, sessions: int = 1, seed: int = 0) -> None:
        self.budget = budget
        self.random = Random(seed)
        self.account = AccountDecider(configuration())
        self.state: AccountState = self.account.initial(budget.account_id)
        self.worlds = [
            World(self.answer, seed=seed, session_id=derived_id("session", str(number)), now_ms=NOW_MS)
            for number in range(sessions)
        ]
        self.read = [0] * sessions
        self.on_way: deque[tuple[int, Fact]] = deque()
        self.answering = self.half

    def answer(self, call: ModelCallRequested) -> ModelOutcome:
        return self.answering(call)

    def half(self, call: ModelCallRequested) -> ModelOutcome:
        """Use between a tenth and a half of what is reserved."""
        share = self.random.uniform(0.1, 0.5)
        done = completed(call, "x")
        return replace(
            done,
            input_tokens=int(call.input_tokens_max * share),
            output_tokens=int(call.output_tokens_max * share),
            cost_nanodollars=int(call.reserved_nanodollars * share),
        )

    def ask(self, session: int = 0, *, prompt: int = 100, output: int | None = 300) -> Envelope:
        return self.worlds[session].post(replace(asked(prompt=prompt, output=output), budget=self.budget))

    def lend(self) -> bool:
        """Let the account answer what it was asked; tells whether it was."""
        for number, world in enumerate(self.worlds):
            for event in world.events[self.read[number] :]:
                if isinstance(event.body, LeaseRequested | LeaseReturned):
                    step = self.account.advance(self.state, event, world.inputs[-1][1])
                    decoded = self.account.decode(self.account.encode(step.state))
                    self.state = decoded
                    self.on_way += [(number, one.body) for one in step.events]
            self.read[number] = len(world.events)
        lent = bool(self.on_way)
        while self.on_way:
            number, fact = self.on_way.popleft()
            if isinstance(fact, LeaseGranted | LeaseRefused):
                self.worlds[number].post(fact)
        return lent

    def reply(self) -> bool:
        """Let one call be answered; tells whether any was on its way."""
        worlds = [world for world in self.worlds if world.open_calls]
        if not worlds:
            return False
        world = self.random.choice(worlds)
        world.reply(world.open_calls.pop(self.random.randrange(len(world.open_calls))))
        return True

    def wait(self) -> bool:
        """Let time pass to the next timer of any session; tells whether there was one."""
        timers = [
            (timer.due_at_ms, number, timer)
            for number, world in enumerate(self.worlds)
            for timer in world.decider.timers(world.state)
            if timer.kind != "idle"
        ]
        if not timers:
            return False
        at_ms, number, timer = min(timers, key=lambda one: (one[0], one[1], one[2].timer_id))
        for world in self.worlds:
            world.now_ms = max(world.now_ms, at_ms)
        fired = TimerFired(timer_id=timer.timer_id, kind=timer.kind, due_at_ms=at_ms)
        self.worlds[number].post(fired, input_id=derived_id(timer.timer_id, "fired"))
        return True

    def run(self, *, rest: bool = True) -> None:
        """Go on until nothing is left to do; without `rest`, until no call is on its way."""
        for _ in range(20_000):
            if not self.lend() and not self.reply() and not (rest and self.wait()):
                return
        raise AssertionError("the bank never comes to rest")

    @property
    def used(self) -> int:
        return sum(world.state.budget.tokens_used for world in self.worlds)

    @property
    def nanodollars_used(self) -> int:
        return sum(world.state.budget.nanodollars_used for world in self.worlds)

    def failures(self) -> list[ClientCallFailed]:
        return [one for world in self.worlds for one in world.facts(ClientCallFailed)]


def bank(
    tokens: int | None = 50_000, nanodollars: int | None = None, *, sessions: int = 1, seed: int = 0
) -> Bank:
    return Bank(
        CallBudget(account_id=ACCOUNT, tokens=tokens, nanodollars=nanodollars), sessions=sessions, seed=seed
    )


def test_a_session_is_lent_what_it_needs_and_a_share_and_gives_it_back_at_rest() -> None:
    made = bank()
    made.ask()
    (world,) = made.worlds
    (first,) = world.facts(LeaseRequested)
    assert (first.account_id, first.tops_up) == (ACCOUNT, None)
    assert first.tokens == 414 + 50_000 // 20
    assert first.limits is not None
    assert first.limits.tokens == 50_000
    assert not world.open_calls
    made.run(rest=False)
    assert len(world.facts(ClientCallAnswered)) == 1
    assert made.state.leases
    made.run()
    (back,) = world.facts(LeaseReturned)
    assert back.tokens_used == world.state.budget.tokens_used == made.state.tokens_used > 0
    assert not made.state.leases
    assert world.state.budget.tokens_left == 0
    # Then the next call begins anew.
    made.ask()
    made.run()
    assert len(world.facts(ClientCallAnswered)) == 2
    assert made.state.tokens_used == world.state.budget.tokens_used


def test_a_lease_is_made_larger_as_calls_need_it() -> None:
    made = bank()
    for _ in range(30):
        made.ask()
    made.run(rest=False)
    (world,) = made.worlds
    assert len(world.facts(ClientCallAnswered)) == 30
    requests = world.facts(LeaseRequested)
    assert requests[0].tops_up is None
    assert {one.tops_up for one in requests[1:]} == {requests[0].lease_id}
    assert sum(lease.tokens for lease in made.state.leases.values()) < 50_000


@pytest.mark.parametrize("sessions", [1, 3])
@pytest.mark.parametrize("seed", range(3))
def test_a_hundred_at_once_spend_the_budget_and_not_more(sessions: int, seed: int) -> None:
    """Each call reserves at most a fiftieth of the budget, and uses a tenth to a half of that."""
    made = bank(sessions=sessions, seed=seed)
    random = Random(seed)
    for _ in range(10):
        for _ in range(100):
            made.ask(random.randrange(sessions), output=random.randint(400, 880))
        made.run(rest=False)
    # What other sessions hold comes back while those that wait are still there.
    for number in range(sessions):
        for _ in range(30):
            made.ask(number, output=800)
    made.run()
    assert 0.95 * 50_000 <= made.used <= 50_000
    assert made.state.tokens_used == made.used
    assert {one.kind for one in made.failures()} <= {"budget_spent", "budget_busy"}


def test_money_alone_may_be_the_bound() -> None:
    made = bank(None, 10_000_000)
    for _ in range(200):
        made.ask()
        made.run(rest=False)
    made.run()
    assert 9_500_000 <= made.nanodollars_used <= 10_000_000
    assert {one.kind for one in made.failures()} == {"budget_spent"}


def test_a_spent_budget_is_told_at_once() -> None:
    made = bank(400)
    made.ask(output=280)
    made.run(rest=False)
    made.ask(output=280)
    made.run(rest=False)
    (world,) = made.worlds
    (told,) = world.facts(ClientCallFailed)
    assert told.kind == "budget_spent"
    assert world.now_ms == NOW_MS
    assert world.facts(LeaseRefused) == []


def test_calls_wait_for_what_another_session_gives_back() -> None:
    made = bank(1_000, sessions=2)
    made.ask(0, output=800)
    made.run(rest=False)
    made.ask(1, output=600)
    made.lend()
    assert not made.worlds[1].facts(ClientCallFailed)
    # The first session rests and gives back; while the second waits, its account is asked again.
    made.worlds[0].now_ms += 60_000
    for timer in made.worlds[0].decider.timers(made.worlds[0].state):
        if timer.kind == "lease":
            fired = TimerFired(timer_id=timer.timer_id, kind=timer.kind, due_at_ms=timer.due_at_ms)
            made.worlds[0].post(fired, input_id=derived_id(timer.timer_id, "fired"))
    made.run()
    assert made.worlds[1].facts(ClientCallAnswered)


def test_an_account_ends_when_its_day_is_over_and_all_came_back() -> None:
    made = bank()
    made.budget = replace(made.budget, ends_at_ms=NOW_MS + 10_000)
    made.ask()
    made.run(rest=False)
    assert made.account.ended_at_ms(made.state) is None
    made.run()
    assert made.account.ended_at_ms(made.state) == NOW_MS + 60_000


@settings(max_examples=25, deadline=None)
@given(st.integers(), st.integers(1_000, 30_000), st.integers(1, 40), st.integers(1, 3))
def test_whatever_happens_an_account_is_never_overspent(
    seed: int, tokens: int, count: int, sessions: int
) -> None:
    made = bank(tokens, sessions=sessions, seed=seed)
    random = Random(seed)
    made.answering = lambda call: any_outcome(random, call)
    asked_ids = []
    for _ in range(count):
        output = random.choice((None, random.randint(1, 2_000)))
        asked_ids.append(
            made.ask(random.randrange(sessions), prompt=random.randint(1, 500), output=output).event_id
        )
        if random.random() < 0.5:
            made.lend()
        while random.random() < 0.4 and made.reply():
            pass
        if random.random() < 0.1:
            made.wait()
        assert sum(world.state.budget.tokens_granted for world in made.worlds) <= tokens
    made.run()
    ended = [one.input_id for world in made.worlds for one in world.facts(ClientCallAnswered)]
    ended += [one.input_id for one in made.failures()]
    assert sorted(ended) == sorted(asked_ids)
    charged = sum(one.tokens for world in made.worlds for one in world.facts(BudgetCharged))
    assert charged == made.used == made.state.tokens_used <= tokens
    assert not made.state.leases
    for world in made.worlds:
        assert decided_again(world) == world.events
