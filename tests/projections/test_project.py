"""What each event changes, table by table: given events, these rows."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.projections.event_log import log_row, unknown_log_row
from processors.projections.project import project
from processors.projections.rows import Cell, Place, fold
from processors.projections.tables import BY_NAME, TABLES
from schemas.envelope import Envelope, Fact
from schemas.events.budgets import BudgetCharged, BudgetGranted, BudgetScope, ChargeBasis
from schemas.events.capabilities import ToolCapabilityMeasured
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.inputs import Attachment, MessageReceived, SessionCancelled, SessionForked, SessionOpened
from schemas.events.models import CallPurpose, FinishReason, ModelCallCompleted, UsageSource
from schemas.events.outputs import (
    AnswerGiven,
    AnswerReason,
    ApprovalRequested,
    Citation,
    EndReason,
    ErrorCode,
    ErrorReported,
    ProgressReported,
    SessionEnded,
    Stage,
    TurnStarted,
)
from schemas.events.plans import Relation
from schemas.events.policies import Decision, PolicyDecided
from schemas.events.retrieval import RetrievalMeasured
from schemas.events.snapshots import GraphSnapshotTaken, Node
from schemas.events.tasks import (
    PruneReason,
    TaskAborted,
    TaskCompleted,
    TaskEdge,
    TaskErrorKind,
    TaskFailed,
    TaskPruned,
    TaskReady,
    TaskRetried,
    TaskStalled,
    TaskStarted,
)
from schemas.events.tools import (
    ResourceIntensity,
    SafetyLevel,
    ToolCallFailed,
    ToolFailureKind,
    ToolOutcomeObserved,
)
from schemas.ids import derived_id
from tests.builders import FOUND, SEARCHED, task_created
from tests.projections.envelopes import (
    CALL,
    NOON_MS,
    ROOT,
    SESSION,
    TASK,
    any_event,
    event,
    event_id,
    place_of,
)
from topics.catalog import USER_INPUTS, Topic

NOON = "2026-01-01T12:00:00.000+00:00"

MESSAGE = MessageReceived(
    text="What is\n a sink?", tokens=5, attachments=(Attachment(name="a.txt", text="abc", tokens=1),)
)
CREATED = replace(
    task_created(),
    task_id=TASK,
    parent_id=ROOT,
    priority=7,
    budget_tokens=5_000,
    estimated_tokens=300,
    spec_json='{"key": "t1"}',
    edges=(
        TaskEdge(edge_id="e1", from_task_id=TASK, to_task_id=ROOT, relation=Relation.REFINES, weight=0.5),
    ),
)
THOUGHT = ModelCallCompleted(
    call_id=CALL,
    task_id=TASK,
    purpose=CallPurpose.STEP,
    agent="researcher",
    model="gpt-4o",
    text="I look it up.",
    finish_reason=FinishReason.TOOL_CALLS,
    input_tokens=10,
    output_tokens=4,
    usage_source=UsageSource.PROVIDER,
    cost_nanodollars=65,
    attempts=1,
    latency_ms=5,
)
MEASURED = RetrievalMeasured(
    call_id=CALL,
    task_id=TASK,
    query="sink",
    k_initial=20,
    k_rerank=5,
    retrieval_latency_ms=7,
    rerank_latency_ms=2,
    usefulness_score=0.5,
    feedback_json='{"cited": ["a#1"]}',
    context_tokens_before=100,
    context_tokens_after=60,
    documents=FOUND,
)


def rows_of(*events: Envelope) -> dict[str, list[dict[str, Cell]]]:
    """Project events in their order and return the rows of each table."""
    changes = [change for one in events for change in project(one, place_of(one))]
    return {table: list(by_key.values()) for table, by_key in fold(changes).items()}


def row_of(table: str, key: str, events: Sequence[Envelope]) -> dict[str, Cell]:
    """Project events in their order and return one row."""
    changes = [change for one in events for change in project(one, place_of(one))]
    return fold(changes)[table][key]


def seconds(number: int) -> str:
    """Return when the event of that number happened."""
    return (datetime(2026, 1, 1, 12, tzinfo=UTC) + timedelta(seconds=number)).isoformat(
        timespec="milliseconds"
    )


def test_a_message_opens_its_session_under_the_beginning_of_its_text() -> None:
    rows = rows_of(event(MESSAGE, 1), event(MessageReceived(text="And then?"), 2))

    assert rows["sessions"] == [{"created_at": seconds(1)}]
    assert rows["session_summaries"] == [
        {
            "tenant_id": "acme",
            "user_id": "ann",
            "title": "What is a sink?",
            "opened_at": seconds(1),
            "last_input_at": seconds(2),
            "messages": 2,
        }
    ]


def test_the_title_that_a_session_was_opened_with_stays() -> None:
    rows = rows_of(event(SessionOpened(title="Sinks"), 1), event(MESSAGE, 2))

    assert rows["session_summaries"][0]["title"] == "Sinks"


def test_a_fork_names_its_origin_and_says_what_it_puts_in_its_place() -> None:
    fork = SessionForked(
        origin_session_id=CALL,
        origin_event_id=TASK,
        origin_sequence=12,
        origin_digest="0" * 16,
        state_json="{}",
        text="What is a source?",
        tokens=5,
    )

    rows = rows_of(event(fork, 1))

    (summary,) = rows["session_summaries"]
    assert (str(summary["forked_from"]), str(summary["forked_at"])) == (CALL, TASK)
    assert (summary["title"], summary["messages"]) == ("What is a source?", 1)
    (said,) = rows["conversation_messages"]
    assert (said["role"], said["content"], said["graph_node"]) == ("user", "What is a source?", "fork")

    (said,) = rows_of(event(replace(fork, call_id=TASK), 1))["conversation_messages"]
    assert (said["role"], said["graph_node"]) == ("user", "fork")
    assert said["content"] == f"(forked from session {CALL} with another result of a tool)"
    (summary,) = rows_of(event(replace(fork, text=None), 1))["session_summaries"]
    assert (summary["title"], summary["messages"]) == (f"fork of {CALL}", 0)


def test_an_input_without_a_time_counts_from_when_its_record_was_written() -> None:
    rows = rows_of(event(MESSAGE, 1, occurred_at_ms=0))

    assert rows["sessions"] == [{"created_at": NOON}]
    assert rows["conversation_messages"][0]["created_at"] == NOON


def test_charges_of_a_session_add_up_and_a_task_s_budget_is_not_the_session_s() -> None:
    rows = rows_of(
        event(BudgetGranted(scope=BudgetScope.SESSION, scope_id=SESSION, tokens=100, nanodollars=1_000), 1),
        event(BudgetGranted(scope=BudgetScope.TASK, scope_id=TASK, tokens=9, nanodollars=9), 2),
        event(charge(10), 3),
        event(charge(10), 4),
    )

    assert rows["session_summaries"] == [
        {"budget_tokens": 100, "budget_nanodollars": 1_000, "tokens_used": 20, "nanodollars_used": 140}
    ]


def test_a_session_runs_answers_and_ends() -> None:
    started = event(TurnStarted(turn=2, input_id=event_id(1), task_id=ROOT), 2)
    answered = event(answer(), 3)
    ended = event(SessionEnded(reason=EndReason.CLOSED, turns=2, tokens=9, cost_nanodollars=9), 4)

    running = row_of("session_summaries", SESSION, [started])
    done = row_of("session_summaries", SESSION, [started, answered])
    closed = row_of("session_summaries", SESSION, [started, answered, ended])

    assert (running["status"], running["turns"]) == ("running", 2)
    assert done["status"] == "answered"
    assert (done["last_answer"], done["last_answer_id"]) == ("It is one. [1]", event_id(3))
    assert (closed["status"], closed["ended_at"]) == ("closed", seconds(4))


def test_a_cancelled_session_is_cancelled_only_once_it_has_ended() -> None:
    asked = event(SessionCancelled(), 1)
    ended = event(SessionEnded(reason=EndReason.CANCELLED, turns=0, tokens=0, cost_nanodollars=0), 2)

    assert "status" not in row_of("session_summaries", SESSION, [asked])
    assert row_of("session_summaries", SESSION, [asked, ended])["status"] == "cancelled"


def test_an_error_changes_no_status_and_a_quarantine_is_noted_with_its_time() -> None:
    refused = rows_of(event(ErrorReported(code=ErrorCode.QUEUE_FULL, message="full")))
    assert refused["session_summaries"] == [{"last_output_at": seconds(1)}]

    rejected = RecordRejected(
        topic="session.inputs",
        partition=0,
        offset=7,
        key=None,
        value=None,
        headers=(),
        code=RejectionCode.QUARANTINED,
        reason="the decider raised",
        shell="session",
    )
    assert rows_of(event(rejected))["session_summaries"] == [{"put_aside_at": seconds(1)}]
    assert rows_of(event(replace(rejected, code=RejectionCode.NOT_AVRO))) == {}


def test_a_turn_without_any_result_is_not_answered() -> None:
    nothing = replace(answer(), model="", citations=(), complete=False, reason=AnswerReason.MODEL_FAILED)

    assert row_of("session_summaries", SESSION, [event(nothing)])["status"] == "unanswered"
    assert row_of("session_summaries", SESSION, [event(replace(nothing, model="m"))])["status"] == "answered"


@pytest.mark.parametrize("reason", list(EndReason))
def test_the_status_of_an_ended_session_says_why_it_ended(reason: EndReason) -> None:
    ended = event(SessionEnded(reason=reason, turns=0, tokens=0, cost_nanodollars=0))

    assert row_of("session_summaries", SESSION, [ended])["status"] == reason.value


def test_a_session_waits_while_a_person_is_asked() -> None:
    asked = ApprovalRequested(
        approval_id=CALL,
        call_id=CALL,
        task_id=TASK,
        agent="coder",
        tool="guarded",
        arguments_json="{}",
        arguments_sha256="0" * 64,
        reason="restricted",
        expires_at_ms=0,
    )
    goes_on = ProgressReported(turn=1, stage=Stage.EXECUTE, detail="on", tasks_done=0, tasks_total=1)

    assert row_of("session_summaries", SESSION, [event(asked)])["status"] == "waiting"
    assert row_of("session_summaries", SESSION, [event(asked), event(goes_on, 2)])["status"] == "running"


def test_a_created_task_has_every_column_of_its_plan_and_a_parent_that_exists() -> None:
    rows = fold(project(event(CREATED, 1), place_of(event(CREATED, 1))))

    assert set(rows["tasks_v2"]) == {ROOT, TASK}
    assert next(iter(rows["tasks_v2"])) == ROOT
    assert rows["tasks_v2"][TASK] == {
        "session_id": SESSION,
        "parent_id": ROOT,
        "intent": "Find it",
        "spec_json": '{"key":"t1"}',
        "cost_budget_tokens": 5_000,
        "priority": 7,
        "status": "pending",
        "created_at": seconds(1),
        "updated_at": seconds(1),
        "estimated_cost_tokens": 300,
        "agent_assigned": "researcher",
    }
    assert list(rows["task_edges"].values()) == [
        {
            "from_task_id": TASK,
            "to_task_id": ROOT,
            "relation_type": "refines",
            "weight": 0.5,
            "created_at": seconds(1),
        }
    ]


def test_an_edge_that_is_stated_twice_is_one_row() -> None:
    again = replace(CREATED.edges[0], edge_id="e2", weight=0.75)

    rows = rows_of(event(replace(CREATED, edges=(*CREATED.edges, again))))

    assert [row["weight"] for row in rows["task_edges"]] == [0.75]


def test_a_task_that_names_itself_as_parent_has_none() -> None:
    row = row_of("tasks_v2", TASK, [event(replace(CREATED, parent_id=TASK))])

    assert "parent_id" not in row


def test_a_task_that_is_started_at_once_runs() -> None:
    assert row_of("tasks_v2", TASK, [event(CREATED)])["status"] == "pending"
    assert row_of("tasks_v2", TASK, [event(replace(CREATED, started=True))])["status"] == "running"


def test_a_retried_task_counts_its_retries_and_keeps_its_newest_error() -> None:
    retried = TaskRetried(
        task_id=TASK,
        attempt=1,
        delay_ms=500,
        error_kind=TaskErrorKind.TIMEOUT,
        error="too slow",
        actual_tokens=40,
    )
    events = [event(CREATED, 1), event(TaskStarted(task_id=TASK, attempt=1), 2), event(retried, 3)]

    waiting = row_of("tasks_v2", TASK, events)
    running = row_of("tasks_v2", TASK, [*events, event(TaskStarted(task_id=TASK, attempt=2), 4)])

    assert (waiting["status"], waiting["retry_count"]) == ("pending", 1)
    assert (waiting["error_message"], waiting["actual_cost_tokens"]) == ("timeout: too slow", 40)
    assert (running["status"], running["retry_count"]) == ("running", 1)


@pytest.mark.parametrize(
    ("end", "status", "error"),
    [
        (
            TaskCompleted(task_id=TASK, actual_tokens=50, cost_nanodollars=1, steps=1, excerpt="ok"),
            "complete",
            None,
        ),
        (
            TaskFailed(
                task_id=TASK,
                attempt=3,
                error_kind=TaskErrorKind("tool"),
                error="broke",
                actual_tokens=50,
                cost_nanodollars=1,
            ),
            "failed",
            "tool: broke",
        ),
        (
            TaskPruned(
                task_id=TASK,
                reason=PruneReason.BUDGET_EXHAUSTED,
                detail="no money",
                actual_tokens=50,
                cost_nanodollars=1,
            ),
            "pruned",
            "budget_exhausted: no money",
        ),
        (
            TaskAborted(task_id=TASK, reason="cancelled", actual_tokens=50, cost_nanodollars=1),
            "aborted",
            "cancelled",
        ),
    ],
)
def test_a_task_ends_with_status_time_cost_and_reason(
    end: TaskCompleted | TaskFailed | TaskPruned | TaskAborted, status: str, error: str | None
) -> None:
    row = row_of("tasks_v2", TASK, [event(CREATED, 1), event(end, 9)])

    assert (row["status"], row["completed_at"], row["updated_at"]) == (status, seconds(9), seconds(9))
    assert row["actual_cost_tokens"] == 50
    assert row.get("error_message") == error


def test_a_ready_or_stalled_task_has_only_moved_on() -> None:
    ready = row_of("tasks_v2", TASK, [event(TaskReady(task_id=TASK), 2)])
    stalled = row_of("tasks_v2", TASK, [event(TaskStalled(task_id=TASK, silent_ms=1), 2)])

    assert ready == {"session_id": SESSION, "status": "pending", "updated_at": seconds(2)}
    assert stalled == {"session_id": SESSION, "updated_at": seconds(2)}


def test_a_snapshot_fills_every_column() -> None:
    taken = GraphSnapshotTaken(
        snapshot_id=CALL,
        turn=1,
        node=Node.PLAN,
        snapshot_json='{"tasks":[]}',
        agent_state_json='{"a":1}',
        cost_summary_json='{"b":2}',
        performance_json='{"c":3}',
    )

    row = row_of("graph_snapshots", CALL, [event(taken)])

    assert set(row) == set(BY_NAME["graph_snapshots"].by_name)
    assert (row["node_name"], row["agent_state"]) == ("plan", '{"a":1}')


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_retrieval_comes_out_the_same_whether_its_result_or_its_measurement_is_read_first(
    order: tuple[int, int],
) -> None:
    events = [event(SEARCHED, 1), event(MEASURED, 2)]

    row = row_of("retrieval_metrics", CALL, [events[index] for index in order])

    assert set(row) == set(BY_NAME["retrieval_metrics"].by_name)
    assert row["query_embedding"] == "[" + ",".join(["0.25"] * 1_536) + "]"
    assert (row["compression_ratio"], row["documents_retrieved"], row["documents_used"]) == (0.6, 2, 1)
    assert row["created_at"] == seconds(2)


def test_an_embedding_of_other_dimensions_is_left_out() -> None:
    assert SEARCHED.retrieval is not None
    short = replace(SEARCHED, retrieval=replace(SEARCHED.retrieval, query_embedding=(1.0, 2.0)))

    row = row_of("retrieval_metrics", CALL, [event(short)])

    assert row == {"session_id": SESSION}


def test_a_capability_fills_every_column_and_a_newer_measurement_replaces_it() -> None:
    measured = ToolCapabilityMeasured(
        tool="search_documents",
        tool_version="1.0.0",
        category="retrieval",
        safety_level=SafetyLevel.SAFE,
        complexity_score=3,
        resource_intensity=ResourceIntensity.LIGHT,
        success_rate_30d=98.765,
        avg_latency_ms=12.344,
        avg_cost_tokens=1e9,
        call_count_30d=7,
        last_success_ms=NOON_MS,
        last_failure_ms=NOON_MS,
        measured_at_ms=NOON_MS,
    )

    rows = rows_of(event(measured), event(replace(measured, call_count_30d=8), 2))["tool_capability_index"]

    assert len(rows) == 1
    assert set(rows[0]) == set(BY_NAME["tool_capability_index"].by_name)
    assert (rows[0]["success_rate_30d"], rows[0]["avg_latency_ms"]) == (98.77, 12.34)
    assert (rows[0]["avg_cost_tokens"], rows[0]["call_count_30d"]) == (999_999.99, 8)


def test_tools_whose_long_names_begin_alike_keep_rows_of_their_own() -> None:
    def measured(name: str) -> Envelope:
        return event(
            ToolCapabilityMeasured(
                tool=name,
                tool_version="1",
                category="c",
                safety_level=SafetyLevel("unheard of"),
                complexity_score=99,
                resource_intensity=ResourceIntensity("unheard of"),
                success_rate_30d=1.0,
                avg_latency_ms=1.0,
                avg_cost_tokens=1.0,
                call_count_30d=1,
                last_success_ms=None,
                last_failure_ms=None,
                measured_at_ms=NOON_MS,
            )
        )

    rows = rows_of(measured("t" * 120 + "1"), measured("t" * 120 + "2"))["tool_capability_index"]

    assert len({str(row["tool_name"]) for row in rows}) == 2
    assert all(len(str(row["tool_name"])) == 100 for row in rows)
    # What the table has no word for counts as what asks for most care.
    assert {(row["safety_level"], row["resource_intensity"], row["complexity_score"]) for row in rows} == {
        ("restricted", "heavy", 10)
    }


def test_a_decision_fills_every_column() -> None:
    row = row_of("policy_decisions", CALL, [event(decided("deny"))])

    assert set(row) == set(BY_NAME["policy_decisions"].by_name)
    assert (row["decision"], row["policy_rule"], row["reason"]) == ("deny", "listed", "not on the list")


def test_a_decision_that_the_table_has_no_word_for_is_marked_for_review() -> None:
    row = row_of("policy_decisions", CALL, [event(decided("postpone"))])

    assert (row["decision"], row["reason"]) == ("audit", "[postpone] not on the list")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_user_s_message_gets_its_task_when_its_turn_starts(order: tuple[int, int]) -> None:
    events = [event(MESSAGE, 1), event(TurnStarted(turn=1, input_id=event_id(1), task_id=ROOT), 2)]

    rows = rows_of(*(events[index] for index in order))["conversation_messages"]

    assert len(rows) == 1
    assert (rows[0]["role"], rows[0]["graph_node"]) == ("user", "intake")
    assert (rows[0]["content"], rows[0]["task_id"]) == (MESSAGE.text, ROOT)
    assert rows[0]["created_at"] == seconds(1)


def test_the_chat_has_what_people_said_and_the_answers_and_nothing_in_between() -> None:
    plan = replace(THOUGHT, purpose=CallPurpose.PLAN, text='{"tasks": []}')
    draft = replace(THOUGHT, purpose=CallPurpose.SYNTHESIZE)

    events: list[Fact] = [MESSAGE, plan, SEARCHED, draft, answer()]
    rows = rows_of(*(event(fact, number) for number, fact in enumerate(events, start=1)))

    said = [row for row in rows["conversation_messages"] if "role" in row]
    assert [(row["role"], row["graph_node"], row["content"]) for row in said] == [
        ("user", "intake", MESSAGE.text),
        ("assistant", "answer", "It is one. [1]"),
    ]


@given(st.permutations(range(5)))
def test_the_costs_in_the_chat_sum_to_what_was_charged_in_whatever_order(order: list[int]) -> None:
    """Two calls of a turn that was answered for 77, one bill that came late, of an answered turn."""
    told = replace(answer(), input_id=event_id(1))
    charges = [
        event(charge(tokens), n, correlation_id=event_id(1)) for n, tokens in ((2, 50), (3, 27), (5, 9))
    ]
    events = [event(MESSAGE, 1), *charges[:2], event(told, 4), charges[2]]

    rows = rows_of(*(events[index] for index in order))["conversation_messages"]

    costs = {row["role"]: row["cost_tokens"] for row in rows}
    assert costs == {"user": 9, "assistant": 77}


def test_two_sessions_may_use_one_id_for_their_messages() -> None:
    other = event(MESSAGE, 1, session_id=ROOT)

    assert len(rows_of(event(MESSAGE, 1), other)["conversation_messages"]) == 2


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_a_tool_invocation_has_its_category_from_the_observed_outcome(order: tuple[int, int]) -> None:
    observed = ToolOutcomeObserved(
        call_id=CALL,
        tool="search_documents",
        tool_version="1.0.0",
        category="retrieval",
        safety_level=SafetyLevel.SAFE,
        complexity_score=3,
        resource_intensity=ResourceIntensity.LIGHT,
        succeeded=True,
        latency_ms=12,
        used_tokens=3,
        ended_at_ms=NOON_MS,
    )
    events = [event(SEARCHED, 1), event(observed, 2)]

    row = row_of("tool_invocations", CALL, [events[index] for index in order])

    assert set(row) == set(BY_NAME["tool_invocations"].by_name)
    assert json.loads(str(row["output_json"])) == {"success": True, "result": {"passages": []}}


def test_a_failed_tool_call_says_why() -> None:
    failed = ToolCallFailed(
        call_id=CALL,
        task_id=TASK,
        tool_call_id="call_1",
        agent="researcher",
        tool="search_documents",
        tool_version="1.0.0",
        kind=ToolFailureKind.TIMEOUT,
        message="took too long",
        retryable=True,
        maybe_effected=False,
        attempts=1,
        latency_ms=9,
    )

    rows = rows_of(event(failed))

    assert json.loads(str(rows["tool_invocations"][0]["output_json"])) == {
        "success": False,
        "error": "timeout",
        "message": "took too long",
    }
    assert "retrieval_metrics" not in rows


def test_what_people_wrote_to_the_public_topic_is_logged_by_its_place_and_changes_nothing_else() -> None:
    said = event(MESSAGE, 1)
    place = Place(topic=USER_INPUTS.name, partition=3, offset=8, timestamp_ms=NOON_MS)

    row = log_row(said, place)

    assert project(said, place) == ()
    assert row.event_id == derived_id("log", "user.inputs", "3", "8")
    assert row.correlation_id == said.event_id


def test_the_log_keeps_an_event_whole_and_knows_what_it_is_about() -> None:
    created = event(
        CREATED,
        1,
        sequence=4,
        causation_id=event_id(2),
        correlation_id=event_id(3),
        evidence_ids=(event_id(5), "not a uuid"),
        source="model.results/0/7",
        state_digest="00ff",
    )

    row = log_row(created, place_of(created, 6))

    assert (row.event_id, row.topic, row.offset, row.sequence) == (event_id(1), "task.events", 6, 4)
    assert (row.causation_id, row.correlation_id) == (event_id(2), event_id(3))
    assert row.evidence_ids == [event_id(5), derived_id("foreign", "not a uuid")]
    assert (row.subject_id, row.source, row.state_digest) == (TASK, "model.results/0/7", "00ff")
    assert json.loads(row.body)["edges"][0]["weight"] == 0.5


def test_a_fact_of_a_newer_program_is_logged() -> None:
    plain = {
        "event_id": event_id(1),
        "session_id": SESSION,
        "type": "TaskDreamt",
        "sequence": 3,
        "occurred_at_ms": NOON_MS,
        "evidence_ids": [event_id(2)],
        "versions": {"agents": "abc", "tools": None},
        "body": {"task_id": TASK, "nested": ("cartrita.events.Dream", {"depth": 2, "raw": b"\x00"})},
    }

    row = unknown_log_row(plain, Place(topic="task.events", partition=0, offset=1, timestamp_ms=1))

    assert (row.type, row.sequence, row.occurred_at, row.evidence_ids) == (
        "TaskDreamt",
        3,
        NOON,
        [event_id(2)],
    )
    assert json.loads(row.body) == {"task_id": TASK, "nested": {"depth": 2, "raw": "AA=="}}
    assert json.loads(row.versions) == {"agents": "abc"}


@settings(max_examples=60)
@given(st.lists(any_event(), max_size=8))
def test_no_column_of_a_row_is_set_from_two_topics(events: list[tuple[Topic, Envelope]]) -> None:
    said: dict[tuple[str, str, str], str] = {}
    for topic, envelope in events:
        for change in project(envelope, Place(topic=topic.name, partition=0, offset=0)):
            for name, value in change.values.items():
                column = BY_NAME[change.table].by_name[name]
                if value is None or column.belongs:
                    continue
                assert topic.name in column.topics, f"{change.table}.{name} does not list {topic.name}"
                assert said.setdefault((change.table, change.key, name), topic.name) == topic.name


@settings(max_examples=60)
@given(any_event())
def test_parents_come_before_their_children(one: tuple[Topic, Envelope]) -> None:
    order = [table.name for table in TABLES]
    for change in project(one[1], Place(topic=one[0].name, partition=0, offset=0)):
        assert change.table in order
    sessions = fold(project(one[1], Place(topic=one[0].name, partition=0, offset=0)))
    for rows in sessions.values():
        for row in rows.values():
            if row.get("session_id") is not None:
                assert row["session_id"] in sessions["sessions"]


def charge(tokens: int) -> BudgetCharged:
    return BudgetCharged(
        reservation_id=CALL,
        task_id=TASK,
        model="gpt-4o",
        tokens=tokens,
        nanodollars=7 * tokens,
        tokens_released=5,
        nanodollars_released=5,
        basis=ChargeBasis.USAGE,
        session_tokens_left=0,
        session_nanodollars_left=0,
        task_tokens_left=0,
    )


def answer() -> AnswerGiven:
    """Return an answer to the first message."""
    return AnswerGiven(
        turn=1,
        input_id=event_id(1),
        task_id=ROOT,
        text="It is one. [1]",
        citations=(Citation(task_id=TASK, intent="Find it", number=1),),
        complete=True,
        reason=AnswerReason.ANSWERED,
        model="gpt-4o",
        local=False,
        tokens=77,
        cost_nanodollars=400,
    )


def decided(decision: str) -> PolicyDecided:
    """Return a decision on a call."""
    return PolicyDecided(
        decision_id=CALL,
        call_id=CALL,
        task_id=TASK,
        agent="researcher",
        tool="search_documents",
        decision=Decision(decision),
        rule="listed",
        reason="not on the list",
        tokens_left_before=100,
        tokens_left_after=90,
        usage_before_json='{"used":1}',
        usage_after_json='{"used":2}',
        request_json='{"tool":"search_documents"}',
        user_json='{"user":"ann"}',
    )
