"""Accounts: they lend no more than they have, and answer each request once."""

from hypothesis import given
from hypothesis import strategies as st

from processors.accounts import AccountDecider, AccountState
from schemas.envelope import Envelope, Fact
from schemas.events.accounts import LeaseGranted, LeaseRefused, LeaseRequested, LeaseReturned, LeaseSettled
from schemas.events.inputs import SessionClosed
from schemas.events.outputs import EndReason, ErrorReported, SessionEnded
from schemas.references import RecordReference
from tests.processors.world import World, configuration, obliging, plan_text, small, task

ACCOUNT = "default/ada"
PLACE = RecordReference(topic="account.requests", partition=0, offset=0, event_id="", tokens=0)
DECIDER = AccountDecider(configuration(small(account_tokens=1_000, account_nanodollars=10_000)))


def asked(lease: str, tokens: int) -> LeaseRequested:
    return LeaseRequested(lease_id=lease, account_id=ACCOUNT, tokens=tokens, nanodollars=tokens)


def returned(lease: str, tokens: int) -> LeaseReturned:
    return LeaseReturned(lease_id=lease, account_id=ACCOUNT, tokens_used=tokens, nanodollars_used=tokens)


def run(*facts: Fact) -> tuple[AccountState, list[Fact]]:
    state, answers = DECIDER.initial(ACCOUNT), []
    for number, fact in enumerate(facts):
        step = DECIDER.advance(state, Envelope(event_id=f"e{number}", body=fact), PLACE)
        state = DECIDER.decode(DECIDER.encode(step.state))
        answers += [event.body for event in step.events]
    return state, answers


def test_a_lease_is_granted_as_far_as_the_account_reaches() -> None:
    _, answers = run(asked("a", 700), asked("b", 700), asked("c", 1))

    assert answers == [
        LeaseGranted(lease_id="a", account_id=ACCOUNT, tokens=700, nanodollars=700),
        LeaseGranted(lease_id="b", account_id=ACCOUNT, tokens=300, nanodollars=700),
        LeaseRefused(
            lease_id="c",
            account_id=ACCOUNT,
            reason=f"the account {ACCOUNT} has nothing left to lend",
            leases_out=2,
        ),
    ]


def test_what_a_session_did_not_use_can_be_lent_again() -> None:
    _, answers = run(asked("a", 1_000), returned("a", 100), asked("b", 2_000))

    assert answers[1] == LeaseSettled(
        lease_id="a", account_id=ACCOUNT, tokens_left=900, nanodollars_left=9_900
    )
    assert isinstance(answers[2], LeaseGranted)
    assert answers[2].tokens == 900


def test_a_repeated_request_is_answered_once_and_a_repeated_return_counts_once() -> None:
    state, answers = run(asked("a", 600), asked("a", 600), returned("a", 50), returned("a", 50))

    assert [type(answer).__name__ for answer in answers] == ["LeaseGranted", "LeaseSettled"]
    assert state.tokens_used == 50


def test_a_request_repeated_after_its_lease_was_returned_lends_nothing() -> None:
    state, _ = run(asked("a", 600), returned("a", 50), asked("a", 600))

    assert state.leases == {}


def test_a_request_repeated_after_it_was_refused_stays_refused() -> None:
    state, answers = run(asked("a", 1_000), asked("b", 1), returned("a", 0), asked("b", 1))

    assert [type(answer).__name__ for answer in answers] == ["LeaseGranted", "LeaseRefused", "LeaseSettled"]
    assert state.leases == {}


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), st.integers(0, 1_500))))
def test_no_account_ever_lends_more_than_it_has(acts: list[tuple[str, bool, int]]) -> None:
    state = DECIDER.initial(ACCOUNT)
    for number, (lease, is_return, tokens) in enumerate(acts):
        held = state.leases.get(lease)
        fact = returned(lease, min(tokens, held.tokens if held else 0)) if is_return else asked(lease, tokens)
        state = DECIDER.advance(state, Envelope(event_id=f"e{number}", body=fact), PLACE).state
        assert state.tokens_used + sum(lent.tokens for lent in state.leases.values()) <= 1_000


def test_a_session_waits_for_its_lease_and_returns_it_when_it_ends() -> None:
    world = World(obliging(plan_text(task("a"))), limits=small(account_tokens=50_000))
    world.say()
    assert world.state.turn is None
    (request,) = world.facts(LeaseRequested)

    world.post(
        LeaseGranted(
            lease_id=request.lease_id, account_id=request.account_id, tokens=9_000, nanodollars=10**9
        )
    )
    world.run()

    assert world.state.budget.tokens_granted == 9_000
    world.post(SessionClosed())
    (returned_lease,) = world.facts(LeaseReturned)
    assert returned_lease.tokens_used == world.state.budget.tokens_used > 0


def test_a_session_whose_account_is_empty_ends_and_says_why() -> None:
    world = World(obliging(plan_text(task("a"))), limits=small(account_tokens=50_000))
    world.say()
    (request,) = world.facts(LeaseRequested)

    world.post(LeaseRefused(lease_id=request.lease_id, account_id=request.account_id, reason="empty"))

    assert [fact.code for fact in world.facts(ErrorReported)] == ["lease_refused"]
    assert [fact.reason for fact in world.facts(SessionEnded)] == ["lease_refused"]


def test_facts_of_others_change_nothing() -> None:
    state, answers = run(SessionEnded(reason=EndReason.CLOSED, turns=0, tokens=0, cost_nanodollars=0))

    assert (state, answers) == (DECIDER.initial(ACCOUNT), [])
