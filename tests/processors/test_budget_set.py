"""What a session may use is set at any time, by operators alone; its account is asked for what is more."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.accounts import AccountDecider, AccountState
from processors.inputs import AMOUNT_MAX, InputInvalid, checked_input
from processors.objections import EVERY_TENANT
from schemas.configuration import Limits
from schemas.envelope import Envelope, Fact
from schemas.events.accounts import LeaseGranted, LeaseRefused, LeaseRequested, LeaseReturned
from schemas.events.budgets import BudgetGranted, BudgetWarned
from schemas.events.dead_letters import RejectionCode
from schemas.events.inputs import MessageReceived, SessionBudgetSet, SessionClosed, SessionOpened
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import AnswerGiven, ErrorReported, NoticeGiven
from schemas.references import RecordReference
from tests.processors.world import (
    SESSION,
    World,
    configuration,
    decided_again,
    obliging,
    plan_text,
    small,
    task,
)

PLAN = plan_text(task("a"), task("b"), task("c", needs=["a", "b"]))


def opened(*, tokens: int = 50_000, nanodollars: int = 10**9) -> World:
    world = World(obliging(PLAN))
    world.post(SessionOpened(budget_tokens=tokens, budget_nanodollars=nanodollars))
    return world


def granted(world: World) -> tuple[int, int]:
    budget = world.state.budget
    return budget.tokens_granted, budget.nanodollars_granted


def notices(world: World) -> list[tuple[str, str]]:
    return [(fact.code.value, fact.message) for fact in world.facts(NoticeGiven)]


@dataclass
class Lender:
    """The account beside a session, which answers what the session asks of it."""

    world: World
    state: AccountState = field(init=False)
    answered: int = 0

    def __post_init__(self) -> None:
        self.decider = AccountDecider(configuration(self.world.limits))
        self.state = self.decider.initial("default/anonymous")

    def answer(self) -> list[Fact]:
        """Answer what was asked since the last time."""
        answers: list[Fact] = []
        place = RecordReference(topic="account.requests", partition=0, offset=0, event_id="", tokens=0)
        asked = [e for e in self.world.events if isinstance(e.body, LeaseRequested | LeaseReturned)]
        for event in asked[self.answered :]:
            step = self.decider.advance(self.state, event, place)
            self.state = self.decider.decode(self.decider.encode(step.state))
            for answer in step.events:
                answers.append(answer.body)
                self.world.post(answer.body)
        self.answered = len(asked)
        return answers


def leased(account_tokens: int, budget_tokens: int | None = None) -> tuple[World, Lender]:
    limits = small(account_tokens=account_tokens, account_nanodollars=10**12)
    world = World(obliging(PLAN), limits=limits)
    world.post(SessionOpened(budget_tokens=budget_tokens, budget_nanodollars=10**9))
    lender = Lender(world)
    lender.answer()
    return world, lender


@pytest.mark.parametrize(
    ("tokens", "nanodollars", "expected"),
    [
        (80_000, None, (80_000, 10**9)),
        (None, 5 * 10**9, (50_000, 5 * 10**9)),
        (20_000, 10**8, (20_000, 10**8)),
        (50_000, 10**9, (50_000, 10**9)),
        (0, 0, (0, 0)),
        (AMOUNT_MAX, AMOUNT_MAX, (AMOUNT_MAX, AMOUNT_MAX)),
        (-5, -(10**9), (0, 0)),
    ],
)
def test_a_budget_is_raised_and_lowered_at_any_time(
    tokens: int | None, nanodollars: int | None, expected: tuple[int, int]
) -> None:
    world = opened()

    said = world.post(SessionBudgetSet(tokens=tokens, nanodollars=nanodollars))

    assert granted(world) == expected
    [notice] = world.facts(NoticeGiven)
    assert (notice.code, notice.input_id) == ("budget_set", said.event_id)
    last = world.facts(BudgetGranted)[-1]
    assert (last.tokens, last.nanodollars) == expected


def test_a_budget_that_is_set_twice_by_one_input_is_set_once() -> None:
    world = opened()
    world.post(SessionBudgetSet(tokens=80_000), input_id="a5a5a5a5-0000-4000-8000-000000000001")
    world.post(SessionBudgetSet(tokens=60_000))

    world.post(SessionBudgetSet(tokens=80_000), input_id="a5a5a5a5-0000-4000-8000-000000000001")

    assert granted(world)[0] == 60_000
    assert len(notices(world)) == 2


def test_a_budget_below_what_is_used_and_reserved_counts_as_that_sum() -> None:
    world = World(obliging(PLAN))
    world.say(budget_tokens=50_000)
    [call] = world.facts(ModelCallRequested)

    world.post(SessionBudgetSet(tokens=1, nanodollars=1))

    assert granted(world) == (call.reserved_tokens, call.reserved_nanodollars)
    assert world.state.budget.tokens_left == world.state.budget.nanodollars_left == 0
    assert "least that it can be" in notices(world)[-1][1]


def test_what_a_lowered_budget_leaves_is_never_overspent() -> None:
    world = World(obliging(PLAN, tools=["look"]))
    world.say(budget_tokens=50_000)
    world.post(SessionBudgetSet(tokens=0))
    bound = world.state.budget.tokens_granted

    world.run()

    assert world.state.budget.tokens_used <= bound
    [answer] = world.facts(AnswerGiven)
    assert answer.reason == "budget_exhausted"


def test_an_answer_that_a_spent_budget_prevents_says_what_to_do_and_doing_it_helps() -> None:
    world = World(obliging(PLAN))
    world.say(budget_tokens=100)
    [answer] = world.facts(AnswerGiven)
    assert f"`cartrita budget {SESSION} --tokens 10000000`" in answer.text
    assert "100 tokens" in answer.text

    world.post(SessionBudgetSet(tokens=10_000_000))
    world.say("please do it now")
    world.run()

    assert [fact.complete for fact in world.facts(AnswerGiven)] == [False, True]


def test_where_money_is_short_the_answer_says_to_raise_the_money() -> None:
    world = World(obliging(PLAN))

    world.say(budget_nanodollars=2_000)

    [answer] = world.facts(AnswerGiven)
    assert f"`cartrita budget {SESSION} --dollars 10`" in answer.text


def test_an_answer_of_a_model_for_which_too_little_was_left_comes_with_a_notice() -> None:
    plan = plan_text(*(task(f"t{number}") for number in range(9)))
    world = World(obliging(plan), limits=small(synthesis_share=0.8))

    world.say(budget_tokens=2_500)
    world.run()

    [answer] = world.facts(AnswerGiven)
    assert answer.reason == "budget_exhausted"
    assert answer.model
    assert notices(world)[-1][0] == "budget_spent"
    assert "cartrita budget" in notices(world)[-1][1]


def test_work_that_waited_for_budget_goes_on_when_there_is_more() -> None:
    world = World(obliging(plan_text(*(task(f"t{number}") for number in range(4)))))
    world.say(budget_tokens=50_000)
    while world.state.turn is not None and not world.state.turn.tasks:
        world.reply(world.open_calls.pop(0))
    world.post(SessionBudgetSet(tokens=0))

    world.post(SessionBudgetSet(tokens=200_000))
    world.run()

    assert [fact.complete for fact in world.facts(AnswerGiven)] == [True]


def test_the_warning_comes_again_after_a_raise() -> None:
    world = World(obliging(PLAN), limits=small(warning_share=0.05))
    world.say(budget_tokens=8_000)
    world.run()
    assert len(world.facts(BudgetWarned)) == 1

    world.post(SessionBudgetSet(tokens=10**6, nanodollars=10**11))
    world.say()
    world.run()
    assert len(world.facts(BudgetWarned)) == 1
    world.post(SessionBudgetSet(tokens=20_000))
    world.say()

    assert len(world.facts(BudgetWarned)) == 2


@pytest.mark.parametrize("body", [SessionBudgetSet(tokens=5), SessionBudgetSet(nanodollars=5)])
def test_no_budget_opens_a_session(body: SessionBudgetSet) -> None:
    world = World(obliging(PLAN))

    world.post(body)

    assert world.state.status == "new"
    assert [fact.code for fact in world.facts(ErrorReported)] == ["unknown_session"]


def test_an_ended_session_takes_no_budget() -> None:
    world = opened()
    world.post(SessionClosed())

    world.post(SessionBudgetSet(tokens=5))

    assert granted(world)[0] == 50_000
    assert [fact.code for fact in world.facts(ErrorReported)] == ["session_closed"]


@pytest.mark.parametrize("tenant", ["evil", "", "**", "Default"])
def test_an_operator_of_another_tenant_sets_no_budget(tenant: str) -> None:
    world = opened()
    event = Envelope(
        event_id="b", session_id=SESSION, tenant_id=tenant, user_id="op", body=SessionBudgetSet(tokens=1)
    )
    place = RecordReference(topic="session.inputs", partition=0, offset=9, event_id="b", tokens=0)

    step = world.decider.advance(world.state, event, place)
    allowed = world.decider.advance(world.state, replace(event, tenant_id=EVERY_TENANT), place)

    assert step.state == world.state
    assert step.refused is not None
    assert step.refused.code == RejectionCode.NOT_OWNER
    assert allowed.refused is None


@pytest.mark.parametrize("body", [MessageReceived(text="a", budget_tokens=7), SessionOpened(budget_tokens=7)])
def test_a_budget_that_comes_too_late_is_told_to_be_ignored(body: Fact) -> None:
    world = opened()

    said = world.post(body)

    assert granted(world)[0] == 50_000
    [notice] = world.facts(NoticeGiven)
    assert (notice.code, notice.input_id) == ("budget_ignored", said.event_id)
    assert "50,000 tokens and $1.00" in notice.message


def test_a_message_that_repeats_the_session_s_budget_is_not_told_anything() -> None:
    world = opened()

    world.say(budget_tokens=50_000, budget_nanodollars=10**9)

    assert notices(world) == []


def test_a_raise_asks_the_account_and_is_granted_when_it_has_answered() -> None:
    world, lender = leased(100_000, budget_tokens=10_000)

    world.post(SessionBudgetSet(tokens=40_000))
    assert granted(world)[0] == 10_000
    [_, request] = world.facts(LeaseRequested)
    assert (request.tokens, request.nanodollars) == (30_000, 0)
    [answer] = lender.answer()

    assert isinstance(answer, LeaseGranted)
    assert granted(world)[0] == 40_000
    assert notices(world) == [("budget_set", "the session's budget is now 40,000 tokens and $1.00")]
    world.post(SessionClosed())
    lender.answer()
    assert lender.state.leases == {}


def test_an_account_lends_what_it_has_and_the_session_is_told() -> None:
    world, lender = leased(30_000, budget_tokens=10_000)

    world.post(SessionBudgetSet(tokens=40_000))
    lender.answer()

    assert granted(world)[0] == 30_000
    assert "no more to lend" in notices(world)[-1][1]
    assert len(world.facts(LeaseRequested)) == 2


def test_an_account_that_has_nothing_leaves_the_budget_as_it_is() -> None:
    world, lender = leased(10_000, budget_tokens=10_000)

    said = world.post(SessionBudgetSet(tokens=40_000))
    [answer] = lender.answer()

    assert isinstance(answer, LeaseRefused)
    assert granted(world)[0] == 10_000
    [error] = world.facts(ErrorReported)
    assert (error.code, error.input_id) == ("lease_refused", said.event_id)
    assert world.state.status == "open"


def test_what_is_set_while_the_account_is_asked_counts_last() -> None:
    world, lender = leased(100_000, budget_tokens=10_000)

    world.post(SessionBudgetSet(tokens=40_000))
    world.post(SessionBudgetSet(tokens=5_000))
    assert granted(world)[0] == 5_000
    world.post(SessionBudgetSet(tokens=60_000))
    for _ in range(3):
        lender.answer()

    assert granted(world)[0] == 60_000
    assert world.state.wish is None
    assert [lease.tokens for lease in lender.state.leases.values()] == [60_000]


def test_what_was_lowered_can_be_raised_again_without_asking() -> None:
    world, _ = leased(100_000, budget_tokens=10_000)

    world.post(SessionBudgetSet(tokens=2_000))
    world.post(SessionBudgetSet(tokens=9_000))

    assert granted(world)[0] == 9_000
    assert len(world.facts(LeaseRequested)) == 1


def test_a_budget_set_before_the_account_has_answered_counts_afterwards() -> None:
    limits = small(account_tokens=100_000, account_nanodollars=10**12)
    world = World(obliging(PLAN), limits=limits)
    world.post(SessionOpened(budget_tokens=10_000, budget_nanodollars=10**9))
    world.post(SessionBudgetSet(tokens=25_000))

    lender = Lender(world)
    lender.answer()
    lender.answer()

    assert granted(world) == (25_000, 10**9)


def test_a_raise_under_way_when_the_session_ends_lends_nothing_for_ever() -> None:
    world, lender = leased(100_000, budget_tokens=10_000)
    world.post(SessionBudgetSet(tokens=40_000))
    world.post(SessionClosed())

    lender.answer()

    assert lender.state.leases == {}
    assert lender.state.tokens_used == 0
    assert world.state.status == "ended"


def test_a_session_that_names_no_budget_leaves_others_something_of_their_account() -> None:
    world, _ = leased(1_000_000)

    assert granted(world)[0] == 100_000


@given(
    st.lists(st.tuples(st.integers(0, 60_000), st.booleans()), max_size=12),
    st.integers(1, 80_000),
)
def test_whatever_is_set_no_session_may_use_more_than_it_was_lent(
    sets: list[tuple[int, bool]], account: int
) -> None:
    world, lender = leased(account, budget_tokens=10_000)
    for tokens, answers in sets:
        world.post(SessionBudgetSet(tokens=tokens))
        if answers:
            lender.answer()
        lent = sum(lease.tokens for lease in lender.state.leases.values())
        assert world.state.budget.tokens_granted <= lent <= account
    lender.answer()
    lender.answer()

    assert world.state.wish is None
    if sets:
        assert world.state.budget.tokens_granted == min(sets[-1][0], account)
    assert decided_again(world) == world.events


def test_a_person_does_not_spend_the_default_budget_by_talking() -> None:
    world = World(obliging(PLAN, tools=["look"]))

    for _ in range(60):
        world.say()
        world.run()

    assert [fact.complete for fact in world.facts(AnswerGiven)] == [True] * 60
    assert world.facts(BudgetWarned) == []


def checked(body: Fact, topic: str = "operator.inputs") -> Envelope:
    return checked_input(
        Envelope(session_id=SESSION, user_id="op", tenant_id="*", body=body),
        (topic, 0, 1),
        taken_at_ms=1,
        producer="test",
        tokenizer=len,
        limits=Limits(),
    )


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (SessionBudgetSet(), "neither"),
        (SessionBudgetSet(tokens=-1), "tokens is -1"),
        (SessionBudgetSet(tokens=5, nanodollars=-1), "nanodollars is -1"),
        (SessionBudgetSet(tokens=AMOUNT_MAX + 1), "it is 0 to"),
        (SessionBudgetSet(tokens=1, reason="x" * 2_001), "reason"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(body: Fact, says: str) -> None:
    with pytest.raises(InputInvalid, match=says):
        checked(body)


@pytest.mark.parametrize("topic", ["user.inputs", "session.outputs"])
def test_a_budget_on_a_public_topic_is_refused_with_the_command_that_sets_it(topic: str) -> None:
    with pytest.raises(InputInvalid, match="cartrita budget"):
        checked(SessionBudgetSet(tokens=5), topic)


def test_a_budget_of_nothing_can_be_set() -> None:
    assert checked(SessionBudgetSet(tokens=0)).body == SessionBudgetSet(tokens=0)
