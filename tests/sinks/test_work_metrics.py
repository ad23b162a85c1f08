"""What a sink tells Prometheus of the work: every event once, and no label without a bound."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from prometheus_client import CollectorRegistry

from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged, BudgetDownshifted, BudgetExhausted, BudgetGranted
from schemas.events.outputs import AnswerGiven, AnswerReason, ApprovalRequested
from schemas.events.policies import Decision, PolicyDecided
from schemas.events.tasks import TaskRetried
from sinks.work_metrics import HISTORY_MS, MEETING_MAX, OTHER, VALUES_MAX, WORK_METRICS, Recorded, WorkMetrics
from tests.projections.envelopes import event
from tests.sinks.records import taken
from tests.sinks.test_questions import asking, facts, short_of_budget, told
from tests.sinks.whole_session import whole_session
from topics.catalog import topic_of

Samples = dict[str, dict[tuple[str, ...], float]]


class Counted:
    """Metrics, and what a scrape of them shows."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = WorkMetrics(self.registry)

    async def tell(self, events: Sequence[Envelope], now_ms: int | None = None) -> None:
        rows = []
        for offset, one in enumerate(events):
            log = (await taken(topic_of(one.body), one, offset)).projected.log
            assert log is not None
            rows.append(Recorded(log, one.occurred_at_ms))
        self.metrics.count(rows, max(one.occurred_at_ms for one in events) if now_ms is None else now_ms)

    def samples(self, name: str) -> dict[tuple[str, ...], float]:
        return {
            tuple(sample.labels.values()): sample.value
            for metric in self.registry.collect()
            for sample in metric.samples
            if sample.name == name
        }


async def test_decisions_budgets_downshifts_and_answers_are_those_of_the_log() -> None:
    events = [*told(short_of_budget()), *whole_session()]
    counted = Counted()

    await counted.tell(events)

    assert counted.samples("cartrita_decisions_total") == Counter(
        (one.decision.value, one.rule) for one in facts(events, PolicyDecided)
    )
    granted = sum(max(0, one.tokens - one.tokens_before) for one in facts(events, BudgetGranted))
    assert counted.samples("cartrita_budget_tokens_granted_total") == {(): granted}
    charged = sum(one.tokens for one in facts(events, BudgetCharged))
    assert counted.samples("cartrita_budget_tokens_charged_total") == {("usage",): charged}
    assert counted.samples("cartrita_budget_exhausted_total") == Counter(
        (one.scope.value,) for one in facts(events, BudgetExhausted)
    )
    assert counted.samples("cartrita_downshifts_total") == Counter(
        (one.limited_by.value,) for one in facts(events, BudgetDownshifted) if one.limited_by
    )
    assert counted.samples("cartrita_answers_total") == Counter(
        (one.reason.value,) for one in facts(events, AnswerGiven)
    )
    retried = Counter(("task", one.error_kind.value) for one in facts(events, TaskRetried))
    assert counted.samples("cartrita_retries_total") == retried
    assert retried


async def test_approvals_are_counted_as_they_are_asked_and_as_they_end() -> None:
    world = asking()
    counted = Counted()

    await counted.tell(told(world))

    assert counted.samples("cartrita_approvals_asked_total") == {(): len(world.facts(ApprovalRequested))}
    assert counted.samples("cartrita_approvals_ended_total") == {("approved",): 2, ("refused",): 1}


async def test_an_answer_takes_from_its_message_on_whichever_is_read_first() -> None:
    events = whole_session()
    (answer,) = (one for one in events if isinstance(one.body, AnswerGiven))
    (message,) = (one for one in events if one.type == "MessageReceived")

    for order in (events, events[::-1]):
        counted = Counted()
        await counted.tell(order)
        assert counted.samples("cartrita_answer_seconds_count") == {(): 1}
        waited_s = (answer.occurred_at_ms - message.occurred_at_ms) / 1_000
        assert counted.samples("cartrita_answer_seconds_sum") == {(): waited_s}


async def test_history_that_a_new_database_reads_counts_nothing() -> None:
    events = whole_session()
    newest_ms = max(one.occurred_at_ms for one in events)
    counted = Counted()

    await counted.tell(events, now_ms=newest_ms + HISTORY_MS + 1)

    for one in WORK_METRICS:
        name = one.name if one.kind == "counter" else f"{one.name}_count"
        assert sum(counted.samples(name).values()) == 0, name


async def test_a_label_has_a_bound_whatever_rules_are_called() -> None:
    (decided, *_) = facts(whole_session(), PolicyDecided)
    counted = Counted()

    await counted.tell(
        [
            event(replace(decided, rule=f"rule-{number}", decision=Decision.DENY))
            for number in range(2 * VALUES_MAX)
        ]
    )

    found = counted.samples("cartrita_decisions_total")
    assert len(found) == VALUES_MAX + 1
    assert found["deny", OTHER] == VALUES_MAX


async def test_answers_whose_message_never_comes_take_bounded_room() -> None:
    answer = next(one for one in whole_session() if isinstance(one.body, AnswerGiven))
    row = (await taken(topic_of(answer.body), answer, 0)).projected.log
    assert row is not None
    counted = Counted()
    assert isinstance(answer.body, AnswerGiven)

    counted.metrics.count(
        (
            Recorded(row._replace(body=row.body.replace(answer.body.input_id, str(number))), 1)
            for number in range(MEETING_MAX + 5)
        ),
        1,
    )

    assert len(counted.metrics._answered_at_ms) == MEETING_MAX
    assert counted.samples("cartrita_answers_total") == {(AnswerReason.ANSWERED.value,): MEETING_MAX + 5}


def test_no_label_names_a_session_a_user_or_a_tenant() -> None:
    labels = {label for one in WORK_METRICS for label in one.labels}

    assert labels <= {"decision", "rule", "basis", "scope", "cause", "reason", "what", "kind", "end"}


async def test_a_budget_that_is_lowered_takes_nothing_off() -> None:
    lower = BudgetGranted(scope="session", scope_id="s", tokens=5, nanodollars=5, tokens_before=9)  # type: ignore[arg-type]
    counted = Counted()

    await counted.tell([event(lower)])

    assert counted.samples("cartrita_budget_tokens_granted_total") == {(): 0}
