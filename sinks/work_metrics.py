"""What a sink tells of the work that the log records: decisions, budgets, answers, retries, approvals.

The sink counts, since it alone knows of a record that came again: what Postgres had before is not counted
anew. No label is a session, user or tenant, and each has a bound.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple

import orjson
from prometheus_client import CollectorRegistry

from processors.projections.event_log import LogRow
from sinks.described import Described

HISTORY_MS: Final = 86_400_000
"""An event of which the record is older is history, which a new database reads again; nobody counts it."""
VALUES_MAX: Final = 100
"""So many values has a label at most; further ones count as OTHER."""
OTHER: Final = "other"
MEETING_MAX: Final = 10_000
"""So many messages wait for their answers, and answers for their messages, which another topic brings."""
ANSWER_S: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300, 600, 1_800, 3_600)

WORK_METRICS: Final = (
    Described(
        name="cartrita_decisions_total",
        kind="counter",
        labels=("decision", "rule"),
        text="What rules said of calls: allow, deny, throttle, escalate or audit.",
    ),
    Described(
        name="cartrita_budget_tokens_granted_total",
        kind="counter",
        labels=(),
        text="Tokens that sessions were granted, and those by which grants were raised; none is taken off.",
    ),
    Described(
        name="cartrita_budget_tokens_charged_total",
        kind="counter",
        labels=("basis",),
        text="Tokens charged to sessions: by usage, or the whole reservation where the bill is not known.",
    ),
    Described(
        name="cartrita_budget_exhausted_total",
        kind="counter",
        labels=("scope",),
        text="Calls that were not made since the budget of the session or of the task was too small.",
    ),
    Described(
        name="cartrita_downshifts_total",
        kind="counter",
        labels=("cause",),
        text="Calls that went to another model than was wished for: for tokens, money or window.",
    ),
    Described(
        name="cartrita_answers_total",
        kind="counter",
        labels=("reason",),
        text="Turns that ended with an answer, by why they ended as they did.",
    ),
    Described(
        name="cartrita_answer_seconds",
        kind="histogram",
        labels=(),
        text="From a message's record on session.inputs to its answer's on session.outputs.",
    ),
    Described(
        name="cartrita_retries_total",
        kind="counter",
        labels=("what", "kind"),
        text="Attempts of tasks, and model calls, that failed and are made again, by kind of failure.",
    ),
    Described(
        name="cartrita_approvals_asked_total",
        kind="counter",
        labels=(),
        text="Requests to a person; with those that ended they tell how many came to wait.",
    ),
    Described(
        name="cartrita_approvals_ended_total",
        kind="counter",
        labels=("end",),
        text="Requests to a person that ended: approved, refused, edited, expired, renewed or withdrawn.",
    ),
)


class Recorded(NamedTuple):
    """An event that Postgres did not have before."""

    row: LogRow
    recorded_at_ms: int


class WorkMetrics:
    """The metrics of the work of all sessions, in the registry that the sink's process serves."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Register every metric."""
        self._counters = {one.name: one.counter(registry) for one in WORK_METRICS if one.kind == "counter"}
        (waited,) = (one for one in WORK_METRICS if one.kind == "histogram")
        self._answer_seconds = waited.histogram(registry, ANSWER_S)
        self._values: dict[tuple[str, str], set[str]] = {}
        self._said_at_ms: dict[str, int] = {}
        """By message that waits for its answer, when it was said."""
        self._answered_at_ms: dict[str, int] = {}
        """By message that was not seen yet, when it was answered."""

    def count(self, events: Iterable[Recorded], now_ms: int) -> None:
        """Count events, each of which is told once.

        Args:
            events: that Postgres did not have before.
            now_ms: what is older than HISTORY_MS by then does not count.
        """
        for row, recorded_at_ms in events:
            if recorded_at_ms >= now_ms - HISTORY_MS:
                self._count(row, recorded_at_ms)

    def _count(self, row: LogRow, at_ms: int) -> None:
        # Bodies are read of what counts alone: most events do not.
        match (row.topic, row.type):
            case ("policy.decisions", "PolicyDecided"):
                said = orjson.loads(row.body)
                self._add("cartrita_decisions_total", decision=said["decision"], rule=said["rule"])
            case ("budget.events", "BudgetGranted"):
                said = orjson.loads(row.body)
                more = max(0, said["tokens"] - said.get("tokens_before", 0))
                self._add("cartrita_budget_tokens_granted_total", more)
            case ("budget.events", "BudgetCharged"):
                said = orjson.loads(row.body)
                self._add("cartrita_budget_tokens_charged_total", max(0, said["tokens"]), basis=said["basis"])
            case ("budget.events", "BudgetExhausted"):
                self._add("cartrita_budget_exhausted_total", scope=orjson.loads(row.body)["scope"])
            case ("budget.events", "BudgetDownshifted"):
                cause = orjson.loads(row.body).get("limited_by") or OTHER
                self._add("cartrita_downshifts_total", cause=cause)
            case ("task.events", "TaskRetried"):
                self._add("cartrita_retries_total", what="task", kind=orjson.loads(row.body)["error_kind"])
            case ("task.events", "CallRetried"):
                self._add("cartrita_retries_total", what="call", kind=orjson.loads(row.body)["error_kind"])
            case ("session.inputs", "MessageReceived"):
                self._meet(row.event_id, self._said_at_ms, self._answered_at_ms, at_ms, sign=-1)
            case ("session.outputs", "AnswerGiven"):
                said = orjson.loads(row.body)
                self._add("cartrita_answers_total", reason=said["reason"])
                self._meet(said["input_id"], self._answered_at_ms, self._said_at_ms, at_ms, sign=1)
            case ("session.outputs", "ApprovalRequested"):
                self._add("cartrita_approvals_asked_total")
            case ("session.outputs", "ApprovalClosed"):
                self._add("cartrita_approvals_ended_total", end=orjson.loads(row.body)["end"])
            case _:
                pass

    def _add(self, name: str, amount: int = 1, **labels: str) -> None:
        counter = self._counters[name]
        if labels:
            bounded = {label: self._bounded(name, label, value) for label, value in labels.items()}
            counter = counter.labels(**bounded)
        counter.inc(amount)

    def _bounded(self, name: str, label: str, value: str) -> str:
        known = self._values.setdefault((name, label), set())
        if value not in known and len(known) >= VALUES_MAX:
            return OTHER
        known.add(value)
        return value

    def _meet(self, input_id: str, own: dict[str, int], other: dict[str, int], at_ms: int, sign: int) -> None:
        """Measure a message and its answer once both are here, whichever topic is read first."""
        there_ms = other.pop(input_id, None)
        if there_ms is not None:
            self._answer_seconds.observe(max(0, sign * (at_ms - there_ms)) / 1_000)
            return
        own[input_id] = at_ms
        if len(own) > MEETING_MAX:
            own.pop(next(iter(own)))
