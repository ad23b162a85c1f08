"""Clients' single calls: each is made once, within the budget, decided by policy, and answered once."""

from dataclasses import replace
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.client_calls import CALLS_MAX, MARGIN_TOKENS, OUTPUT_TOKENS_USUAL, WAIT_MS_MAX
from processors.client_failures import CLIENT
from processors.objections import objection
from processors.routing import price
from processors.state import SessionStatus
from processors.timers import CALLS_IDLE_MS
from schemas.configuration import Limits, Policy, PolicyRule
from schemas.envelope import Envelope
from schemas.events.accounts import LeaseGranted, LeaseRefused, LeaseRequested
from schemas.events.budgets import BudgetCharged, BudgetExhausted
from schemas.events.client_calls import (
    EMBEDDINGS,
    ClientCallAnswered,
    ClientCallCancelled,
    ClientCallFailed,
    ClientCallReceived,
)
from schemas.events.inputs import MessageReceived, SessionBudgetSet, SessionCancelled
from schemas.events.models import ModelCallCancelled, ModelCallRequested, ToolCallProposed
from schemas.events.outputs import SessionEnded
from schemas.events.policies import PolicyDecided
from tests.processors.calls import TOKEN, any_outcome, asked
from tests.processors.world import MODELS, ModelOutcome, World, completed, decided_again, failed, small

MINI = next(model for model in MODELS.chat if model.name == "gpt-4o-mini")


def answered(call: ModelCallRequested) -> ModelOutcome:
    return completed(call, "well")


def vectors(call: ModelCallRequested) -> ModelOutcome:
    return replace(
        completed(replace(call, model=MINI.name), ""),
        input_tokens=90,
        output_tokens=0,
        cost_nanodollars=90 * 130,
        vectors=b"\0" * 8,
    )


def world(limits: Limits | None = None) -> World:
    return World(answered, limits=limits or Limits())


def one_in_flight(made: World) -> Envelope:
    (call,) = made.open_calls
    made.open_calls.clear()
    return call


def test_a_call_reserves_its_maximum_is_made_charged_and_answered() -> None:
    made = world()
    event = made.post(asked())
    call = one_in_flight(made)
    requested = call.body
    assert isinstance(requested, ModelCallRequested)
    assert requested.input_tokens_max == 100 + 100 // 16 + MARGIN_TOKENS
    assert requested.output_tokens_max == 200
    assert requested.reserved_nanodollars == price(MINI, requested.input_tokens_max, 200)
    (told,) = requested.messages
    assert told.source is not None
    assert told.source.event_id == event.event_id
    assert (call.causation_id, call.correlation_id) == (event.event_id, event.event_id)

    made.reply(call)

    (answer,) = made.facts(ClientCallAnswered)
    (charge,) = made.facts(BudgetCharged)
    assert (answer.text, answer.input_id, answer.body_sha256) == ("well", event.event_id, "ab")
    assert answer.input_tokens + answer.output_tokens == charge.tokens == made.state.budget.tokens_used
    assert answer.cost_nanodollars == charge.nanodollars == made.state.budget.nanodollars_used
    assert not made.state.budget.reservations
    assert not made.state.calls


def test_vectors_reserve_their_texts_alone_and_are_named_by_the_answer() -> None:
    made = World(vectors)
    made.post(replace(asked("text-embedding-3-large", output=None), route=EMBEDDINGS))
    call = one_in_flight(made)
    requested = call.body
    assert isinstance(requested, ModelCallRequested)
    tokens = 100 + 100 // 16 + MARGIN_TOKENS
    assert (requested.input_tokens_max, requested.output_tokens_max) == (tokens, 0)
    assert (requested.reserved_tokens, requested.reserved_nanodollars) == (tokens, tokens * 130)

    made.reply(call)

    (answer,) = made.facts(ClientCallAnswered)
    (charge,) = made.facts(BudgetCharged)
    assert answer.vectors is not None
    assert answer.vectors.event_id == made.inputs[-1][0].event_id
    assert (answer.input_tokens, answer.output_tokens) == (90, 0)
    assert (charge.tokens, charge.nanodollars) == (90, 90 * 130)
    assert not made.state.calls


def test_vectors_wait_for_budget_and_are_not_shortened() -> None:
    made = World(vectors, limits=small(session_budget_tokens=150))
    for _ in range(2):
        made.post(replace(asked("text-embedding-3-large", prompt=110, output=None), route=EMBEDDINGS))

    made.reply(one_in_flight(made))

    (told,) = made.facts(ClientCallFailed)
    assert told.kind == "budget_spent"


@pytest.mark.parametrize(
    ("model", "route"), [("text-embedding-3-large", "chat.completions"), ("gpt-4o-mini", EMBEDDINGS)]
)
def test_a_model_does_what_it_is_for_alone(model: str, route: str) -> None:
    made = world()
    made.post(replace(asked(model), route=route))
    (told,) = made.facts(ClientCallFailed)
    assert told.kind == "unknown_model"


def test_a_call_that_waits_is_let_go_of_and_the_next_gets_its_turn() -> None:
    made = world(small(session_budget_tokens=500))
    first = made.post(asked(prompt=100, output=200))
    waiting = made.post(asked(prompt=100, output=300))
    small_one = made.post(asked(prompt=20, output=50))
    assert len(made.open_calls) == 1

    made.post(ClientCallCancelled(input_id=waiting.event_id))

    (told,) = made.facts(ClientCallFailed)
    assert (told.kind, told.input_id, told.tokens) == ("cancelled", waiting.event_id, 0)
    made.run()
    assert {one.input_id for one in made.facts(ClientCallAnswered)} == {first.event_id, small_one.event_id}


def test_a_call_that_is_being_made_is_stopped_and_charged_what_it_has_cost() -> None:
    made = world()
    event = made.post(asked())
    (call,) = made.open_calls
    assert isinstance(call.body, ModelCallRequested)

    cancel = made.post(ClientCallCancelled(input_id=event.event_id))

    (stopped,) = made.facts(ModelCallCancelled)
    assert stopped.call_id == call.body.call_id
    assert not made.facts(ClientCallFailed)
    (told,) = [one for one in made.events if isinstance(one.body, ModelCallCancelled)]
    assert (told.causation_id, told.correlation_id) == (cancel.event_id, event.event_id)
    made.answer = lambda one: failed(one, "cancelled", retryable=False, maybe_billed=True)
    made.run()
    (end,) = made.facts(ClientCallFailed)
    assert (end.kind, end.tokens) == ("cancelled", call.body.reserved_tokens)
    assert not made.state.calls


def test_what_has_ended_or_is_anothers_is_not_cancelled() -> None:
    made = world()
    event = made.post(asked())
    made.run()
    before = len(made.events)
    made.post(ClientCallCancelled(input_id=event.event_id))
    made.post(ClientCallCancelled(input_id=TOKEN))
    assert len(made.events) == before
    other = made.post(asked())
    stranger = replace(made.inputs[-1][0], body=ClientCallCancelled(input_id=other.event_id), tenant_id="t2")
    refused = objection(made.state, stranger)
    assert refused is not None
    assert refused.code == "not_owner"


def test_what_a_call_causes_belongs_to_it_however_many_run_at_once() -> None:
    made = world(small(session_budget_tokens=700))
    events = [made.post(asked()) for _ in range(5)]
    made.run()
    mine = {
        event.event_id: [one for one in made.events if one.correlation_id == event.event_id]
        for event in events
    }
    for input_id, caused in mine.items():
        (end,) = [one.body for one in caused if isinstance(one.body, ClientCallAnswered | ClientCallFailed)]
        assert end.input_id == input_id
        for one in caused:
            if isinstance(one.body, ModelCallRequested):
                assert input_id in one.evidence_ids


def test_a_repeated_call_is_made_once() -> None:
    made = world()
    event = made.post(asked())
    made.apply(event)
    made.run()
    made.apply(event)
    assert len(made.facts(ModelCallRequested)) == len(made.facts(ClientCallAnswered)) == 1


def test_an_answer_whose_length_is_left_open_has_a_bound_and_fits_the_window() -> None:
    made = world()
    made.post(asked(output=None))
    made.post(asked("gpt-3.5-turbo", prompt=14_000, output=9_000))
    first, second = (one.body for one in made.open_calls)
    assert isinstance(first, ModelCallRequested)
    assert isinstance(second, ModelCallRequested)
    assert first.output_tokens_max == OUTPUT_TOKENS_USUAL
    assert second.input_tokens_max + second.output_tokens_max == 16_000


@pytest.mark.parametrize(
    ("body", "kind"),
    [(asked("no-such-model"), "unknown_model"), (asked("gpt-3.5-turbo", prompt=16_000), "prompt_too_long")],
)
def test_what_cannot_be_asked_is_told_and_costs_nothing(body: ClientCallReceived, kind: str) -> None:
    made = world()
    made.post(body)
    (told,) = made.facts(ClientCallFailed)
    assert (told.kind, told.call_id, told.tokens) == (kind, "", 0)
    assert not made.open_calls
    assert not made.state.calls


def test_calls_wait_for_what_others_hold_and_go_on_in_their_order() -> None:
    made = world(small(session_budget_tokens=1_000))
    events = [made.post(asked(prompt=100, output=300)) for _ in range(4)]
    assert len(made.open_calls) == 2
    made.run()
    made_for = [one.correlation_id for one in made.events if isinstance(one.body, ModelCallRequested)]
    assert made_for == [one.event_id for one in events]
    assert len(made.facts(ClientCallAnswered)) == 4
    assert not made.facts(ClientCallFailed)


def test_a_call_that_nothing_will_make_room_for_is_refused_at_once_and_told_as_an_event() -> None:
    made = world(small(session_budget_tokens=1_000))
    made.post(asked(output=5_000))
    (told,) = made.facts(ClientCallFailed)
    assert told.kind == "budget_spent"
    (exhausted,) = made.facts(BudgetExhausted)
    assert exhausted.needed_tokens > exhausted.tokens_left == 1_000
    (decided,) = made.facts(PolicyDecided)
    assert (decided.decision, decided.rule, decided.agent) == ("deny", "budget_exhausted", CLIENT)


def test_an_answer_of_open_length_is_shortened_to_what_is_left() -> None:
    made = world(small(session_budget_tokens=1_000))
    made.post(asked(output=None))
    (call,) = made.facts(ModelCallRequested)
    assert call.reserved_tokens == 1_000


def test_a_call_that_waited_too_long_is_given_up() -> None:
    made = world(small(session_budget_tokens=1_000))
    made.post(asked(output=800))
    made.post(asked(output=800))
    assert made.fire_next_timer()
    (told,) = made.facts(ClientCallFailed)
    assert (told.kind, told.tokens) == ("budget_busy", 0)
    assert made.now_ms == 1_000_000 + WAIT_MS_MAX
    made.run()
    assert len(made.facts(ClientCallAnswered)) == 1


def test_more_calls_than_may_wait_are_refused() -> None:
    made = world()
    for _ in range(CALLS_MAX + 1):
        made.post(asked())
    (told,) = made.facts(ClientCallFailed)
    assert told.kind == "too_many"


def test_a_prompt_that_was_counted_too_low_is_reserved_anew_once() -> None:
    made = world()
    made.answer = lambda call: (
        failed(call, "prompt_too_long", retryable=False, counted=900)
        if call.input_tokens_max < 900
        else completed(call, "well")
    )
    made.post(asked())
    made.run()
    assert [call.input_tokens_max for call in made.facts(ModelCallRequested)] == [114, 900]
    assert len(made.facts(ClientCallAnswered)) == 1
    made.answer = lambda call: failed(call, "prompt_too_long", retryable=False, counted=9_000)
    made.post(asked())
    made.run()
    (told,) = made.facts(ClientCallFailed)
    assert told.kind == "prompt_too_long"


def test_a_failure_that_may_be_billed_is_charged_in_full() -> None:
    made = world()
    made.answer = lambda call: failed(call, "interrupted", maybe_billed=True)
    made.post(asked())
    made.run()
    (told,) = made.facts(ClientCallFailed)
    (call,) = made.facts(ModelCallRequested)
    assert (told.kind, told.tokens, told.cost_nanodollars) == (
        "interrupted",
        call.reserved_tokens,
        call.reserved_nanodollars,
    )


def with_policy(*rules: PolicyRule) -> World:
    made = world()
    made.decider.configuration = replace(made.decider.configuration, policy=Policy(rules=rules))
    made.answer = lambda call: completed(
        call,
        "",
        ToolCallProposed(tool_call_id="1", name="read", arguments_json="{}"),
        ToolCallProposed(tool_call_id="2", name="drop", arguments_json='{"table": "t"}'),
    )
    made.post(asked())
    return made.run()


def test_tools_that_no_rule_names_for_clients_are_the_clients_own() -> None:
    others = PolicyRule(name="all", decision="deny", reason="no", unless_listed=True)
    agents = PolicyRule(name="workers", decision="deny", reason="no", agents=("worker",))
    made = with_policy(others, agents)
    (answer,) = made.facts(ClientCallAnswered)
    assert [call.name for call in answer.tool_calls] == ["read", "drop"]
    assert {one.rule for one in made.facts(PolicyDecided)} == {"client_tool"}


@pytest.mark.parametrize("decision", ["deny", "escalate", "throttle"])
def test_a_tool_call_that_policy_does_not_allow_comes_back_as_a_refusal(decision: str) -> None:
    made = with_policy(
        PolicyRule(name="no_drop", decision=decision, reason="never", agents=(CLIENT,), tools=("drop",))
    )
    (answer,) = made.facts(ClientCallAnswered)
    assert [call.name for call in answer.tool_calls] == ["read"]
    assert [(one.name, one.rule, one.reason) for one in answer.denied] == [("drop", "no_drop", "never")]
    assert answer.finish_reason == "tool_calls"
    decided = {one.tool: one.decision for one in made.facts(PolicyDecided)}
    assert decided == {"read": "allow", "drop": decision}
    ends = [event for event in made.events if isinstance(event.body, ClientCallAnswered)]
    assert len(ends[0].evidence_ids) >= 3


def test_where_all_calls_are_denied_the_answer_has_stopped() -> None:
    made = with_policy(PolicyRule(name="none", decision="deny", reason="never", agents=(CLIENT,)))
    (answer,) = made.facts(ClientCallAnswered)
    assert (answer.tool_calls, answer.finish_reason) == ((), "stop")


def test_nobody_speaks_in_a_session_of_calls_and_no_other_token_calls_in_it() -> None:
    made = world()
    made.post(asked())
    before = made.state
    for body in (
        MessageReceived(text="hi"),
        SessionCancelled(),
        SessionBudgetSet(tokens=1),
        asked(token="x"),
    ):
        event = Envelope(
            event_id="00000000-0000-4000-8000-00000000beef",
            session_id=made.session_id,
            occurred_at_ms=made.now_ms,
            body=body,
        )
        step = made.decider.advance(made.state, event, made.inputs[-1][1])
        assert step.refused is not None
        assert step.state == before
    talk = world()
    talk.say()
    event = Envelope(
        event_id="00000000-0000-4000-8000-00000000beef", session_id=talk.session_id, body=asked()
    )
    assert talk.decider.advance(talk.state, event, talk.inputs[-1][1]).refused is not None


def test_a_session_of_calls_ends_when_its_day_is_over() -> None:
    made = world(small(session_idle_ms=0))
    made.post(asked())
    made.run()
    (timer,) = made.decider.timers(made.state)
    assert timer.due_at_ms == made.now_ms + CALLS_IDLE_MS


def test_calls_wait_for_their_accounts_lease_and_are_told_when_there_is_none() -> None:
    for lent in (True, False):
        made = world(small(account_tokens=50_000, account_nanodollars=10**12))
        made.post(asked())
        assert not made.open_calls
        (lease,) = made.facts(LeaseRequested)
        if lent:
            made.post(
                LeaseGranted(
                    lease_id=lease.lease_id,
                    account_id=lease.account_id,
                    tokens=lease.tokens,
                    nanodollars=lease.nanodollars,
                )
            )
            made.run()
            assert made.facts(ClientCallAnswered)
        else:
            made.post(LeaseRefused(lease_id=lease.lease_id, account_id=lease.account_id, reason="empty"))
            made.post(asked())
            assert [one.kind for one in made.facts(ClientCallFailed)] == ["budget_spent"] * 2
            assert made.facts(SessionEnded)
            assert made.state.status is SessionStatus.ENDED


@settings(max_examples=60, deadline=None)
@given(st.integers(), st.integers(500, 20_000), st.integers(1, 40))
def test_whatever_happens_each_call_ends_once_and_nothing_is_overspent(
    seed: int, tokens: int, count: int
) -> None:
    random = Random(seed)
    made = world(small(session_budget_tokens=tokens))
    made.seed, made.random = seed, Random(seed)
    made.answer = lambda call: any_outcome(random, call)
    events = []
    for _ in range(count):
        output = random.choice((None, random.randint(1, 2_000)))
        events.append(made.post(asked(prompt=random.randint(1, 500), output=output)))
        assert made.state.budget.tokens_left >= 0
        while made.open_calls and random.random() < 0.4:
            made.reply(made.open_calls.pop(random.randrange(len(made.open_calls))))
            assert made.state.budget.tokens_left >= 0
        if random.random() < 0.1:
            made.now_ms += random.choice((10, 40_000))
            made.fire_next_timer()
    made.run()
    ended = [one.input_id for one in made.facts(ClientCallAnswered)]
    ended += [one.input_id for one in made.facts(ClientCallFailed)]
    assert sorted(ended) == sorted(one.event_id for one in events)
    charged = sum(one.tokens for one in made.facts(BudgetCharged))
    told = sum(one.input_tokens + one.output_tokens for one in made.facts(ClientCallAnswered))
    told += sum(one.tokens for one in made.facts(ClientCallFailed))
    assert charged == told == made.state.budget.tokens_used <= tokens
    assert not made.state.budget.reservations
    assert not made.state.calls
    assert decided_again(made) == made.events


def test_a_hundred_calls_at_once_spend_a_small_budget_and_not_more() -> None:
    """Each reserves at most a fiftieth of the budget, and uses between a tenth and a half of that."""
    for seed in range(20):
        random = Random(seed)
        budget = 50_000
        made = world(small(session_budget_tokens=budget))
        made.random = Random(seed)

        def half(call: ModelCallRequested, random: Random = random) -> ModelOutcome:
            share = random.uniform(0.1, 0.5)
            done = completed(call, "x")
            return replace(
                done,
                input_tokens=int(call.input_tokens_max * share),
                output_tokens=int(call.output_tokens_max * share),
            )

        made.answer = half
        for _ in range(10):
            for _ in range(100):
                made.post(asked(prompt=100, output=random.randint(400, 880)))
            while made.open_calls:
                made.reply(made.open_calls.pop(made.random.randrange(len(made.open_calls))))
        used = made.state.budget.tokens_used
        assert 0.95 * budget <= used <= budget
        refused = made.facts(ClientCallFailed)
        # Whoever was refused would not have fitted: nothing was on its way any more.
        assert {one.kind for one in refused} == {"budget_spent"}
        for one in made.facts(BudgetExhausted):
            assert one.needed_tokens > one.tokens_left
