"""The questions that are ready for analysts, asked of sessions that the real decider decided."""

import statistics
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from itertools import cycle
from typing import Final, TypeVar

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from processors.effects import NOT_THE_TOOLS_DOING
from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged, BudgetDownshifted, BudgetWarned
from schemas.events.client_calls import ClientCallFailed, ClientCallFailureKind
from schemas.events.imports import InvocationImported, RetrievalImported
from schemas.events.models import ModelCallCompleted, ModelCallFailed, ModelCallRequested
from schemas.events.outputs import AnswerGiven, ApprovalClosed, ApprovalRequested, EndReason, SessionEnded
from schemas.events.policies import PolicyDecided
from schemas.events.retrieval import RetrievalMeasured
from schemas.events.tools import ToolCallCompleted, ToolCallFailed, ToolCallRequested
from schemas.ids import derived_id
from sinks.questions import Cell, Question, TakesTooLong, answer, explained
from sinks.writer import Projected, Slot, Writer
from tests.builders import FOUND, SEARCHED
from tests.processors.world import (
    ToolOutcome,
    World,
    failed,
    obliging,
    plan_text,
    small,
    task,
    tool_completed,
    tool_failed,
)
from tests.projections.envelopes import event
from tests.sinks.conftest import rows
from tests.sinks.records import taken
from tests.sinks.whole_session import whole_session
from topics.catalog import TOPICS, topic_of

pytestmark = pytest.mark.stack

ROWS_MAX: Final = 1_000
Row = dict[str, Cell]
Hop = tuple[str, str | None, str | None]
T = TypeVar("T")


class Told:
    """Writes events, each at the next place of its topic and at its own time."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._following: dict[Slot, int] = {(topic.name, 0): 0 for topic in TOPICS}

    async def tell(self, events: Sequence[Envelope]) -> None:
        before, batch = dict(self._following), list[Projected]()
        for one in events:
            topic = topic_of(one.body)
            place = self._following[topic.name, 0]
            batch.append((await taken(topic, one, place, one.occurred_at_ms)).projected)
            self._following[topic.name, 0] = place + 1
        await self._writer.write(batch, before)


@pytest.fixture
async def log(dsn: str) -> AsyncIterator[Told]:
    writer = await Writer.connect(dsn, "test")
    await writer.positions({(topic.name, 0): uuid.UUID(int=n) for n, topic in enumerate(TOPICS, start=1)})
    yield Told(writer)
    await writer.close()


async def ask(
    connection: AsyncConnection[TupleRow],
    question: Question,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    tenant: str | None = None,
) -> list[Row]:
    columns = [one.name for one in (await explained(connection, question)).columns]
    found = await answer(connection, question, since=since, until=until, tenant=tenant, limit=ROWS_MAX)
    return [dict(zip(columns, row, strict=True)) for row in found]


def told(world: World) -> list[Envelope]:
    """Return all that stands on the log of a session."""
    inputs = [one for one, _ in world.inputs]
    return sorted([*inputs, *world.events], key=lambda one: (one.occurred_at_ms, one.sequence))


def facts(events: Sequence[Envelope], kind: type[T]) -> list[T]:
    return [one.body for one in events if isinstance(one.body, kind)]


def requested(events: Sequence[Envelope]) -> list[ModelCallRequested | ToolCallRequested]:
    return [*facts(events, ModelCallRequested), *facts(events, ToolCallRequested)]


def session(number: int) -> str:
    return str(uuid.UUID(int=number, version=4))


def trying(*outcomes: str) -> World:
    """Run a session whose tools end in these ways, one after the other, and over again."""
    kinds = cycle(outcomes)

    def tool(call: ToolCallRequested) -> ToolOutcome:
        kind = next(kinds)
        if kind == "well":
            return replace(tool_completed(call), attempts=3, latency_ms=40)
        return replace(tool_failed(call, kind), latency_ms=900)

    tasks = [task(f"t{number}") for number in range(len(outcomes))]
    world = World(obliging(plan_text(*tasks), tools=["look"]), tool=tool, session_id=session(2))
    world.say()
    return world.run()


def asking() -> World:
    """Run a session in which a person is asked four times, of which one request is left open."""
    tasks = [task(f"t{number}") for number in range(4)]
    world = World(
        obliging(plan_text(*tasks), tools=["guarded"]),
        session_id=session(3),
        limits=small(running_max=4, approval_ms=60_000),
    )
    world.say()
    while len(world.facts(ApprovalRequested)) < 4:
        world.now_ms += 10
        world.reply(world.open_calls.pop(0))
    first, second, third, _ = world.facts(ApprovalRequested)
    for asked, approved, after_ms in ((first, True, 1_000), (second, False, 1_000), (third, True, 5_000)):
        world.now_ms += after_ms
        world.decide(asked, approved=approved)
    return world


def short_of_budget() -> World:
    """Run a session whose budget runs out on the way."""
    tasks = [task(f"t{number}") for number in range(6)]
    world = World(obliging(plan_text(*tasks), tools=["look"]), session_id=session(4))
    world.say(budget_tokens=1_500)
    return world.run()


async def test_costs_of_agents_are_what_they_asked_for_and_add_up_to_all_that_was_charged(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    obliged = obliging(plan_text(task("a"), task("b")), tools=["look", "analyze"])
    world = World(
        # Of the planner's first call nobody knows what it will be billed for.
        lambda call: (
            failed(call, "timeout", maybe_billed=True)
            if call.purpose == "plan" and not world.facts(BudgetCharged)
            else obliged(call)
        ),
    )
    world.say()
    events = told(world.run())
    await log.tell(events)
    agents = {one.call_id: one.agent for one in requested(events)}
    spent: Counter[str] = Counter()
    calls: Counter[str] = Counter()
    estimated: Counter[str] = Counter()
    for charge in facts(events, BudgetCharged):
        spent[agents[charge.reservation_id]] += charge.nanodollars
        calls[agents[charge.reservation_id]] += 1
        estimated[agents[charge.reservation_id]] += charge.basis == "reservation"

    found = await ask(connection, Question.COST_BY_AGENT)

    assert {one["agent"]: one["cost_dollars"] for one in found} == {
        agent: Decimal(nanodollars) / 10**9 for agent, nanodollars in spent.items()
    }
    assert {one["agent"]: (one["calls"], one["calls_estimated"]) for one in found} == {
        agent: (number, estimated[agent]) for agent, number in calls.items()
    }
    assert sum(estimated.values()) > 0
    assert {one["sessions"] for one in found} == {1}
    shares = [one["cost_share"] for one in found]
    assert shares == sorted(shares, reverse=True)  # type: ignore[type-var]  # they are numbers
    assert sum(shares) == pytest.approx(1, abs=0.001)  # type: ignore[arg-type]  # likewise


async def test_hops_take_as_long_as_their_records_lie_apart(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    world = asking()
    events = told(world)
    await log.tell(events)
    by_id = {one.event_id: one for one in events}
    taken_ms: dict[Hop, list[int]] = {}
    ends = {
        one.body.call_id: one
        for one in events
        if isinstance(one.body, ModelCallCompleted | ModelCallFailed | ToolCallCompleted | ToolCallFailed)
    }
    for one in events:
        if isinstance(one.body, ModelCallRequested) and one.body.call_id in ends:
            key: Hop = ("model", one.body.model, str(one.body.purpose.value))
            ended_ms = ends[one.body.call_id].occurred_at_ms
            taken_ms.setdefault(key, []).append(ended_ms - one.occurred_at_ms)

    found = {
        (one["hop"], one["name"], one["purpose"]): one for one in await ask(connection, Question.SLOWEST_HOPS)
    }

    models = {key: one for key, one in found.items() if key[0] == "model" and one["passes"]}
    assert models.keys() == taken_ms.keys()
    for key, durations in taken_ms.items():
        assert (found[key]["passes"], found[key]["duration_ms_max"]) == (len(durations), max(durations))
        assert found[key]["duration_ms_p50"] == round(statistics.median(durations))
        assert found[key]["seconds_in_all"] == Decimal(sum(durations)) / 1_000
    asked = found["approval", "guarded", None]
    assert (asked["passes"], asked["passes_unended"], asked["passes_failed"]) == (3, 1, None)
    slowest = by_id[str(asked["slowest_event_id"])]
    assert isinstance(slowest.body, ApprovalClosed)
    assert slowest.body.approval_id == world.facts(ApprovalRequested)[2].approval_id
    began = next(
        one
        for one in events
        if isinstance(one.body, ApprovalRequested) and one.body.approval_id == slowest.body.approval_id
    )
    assert asked["duration_ms_max"] == slowest.occurred_at_ms - began.occurred_at_ms >= 7_000
    assert asked["waiting_ms_p50"] is None
    assert found["model", "gpt-4o-mini", "step"]["waiting_ms_p50"] is not None
    turn = found["turn", None, None]
    assert (turn["passes"], turn["passes_unended"]) == (0, 1)
    assert turn["duration_ms_p50"] is None


async def test_a_tool_answers_for_its_own_failures_alone(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    kinds = ("well", "timeout", "execution_error", "timeout", *NOT_THE_TOOLS_DOING, "well")
    events = told(trying(*kinds))
    await log.tell(events)
    failures = Counter(str(one.kind.value) for one in facts(events, ToolCallFailed))
    succeeded = len(facts(events, ToolCallCompleted))
    blamed = sum(number for kind, number in failures.items() if kind not in NOT_THE_TOOLS_DOING)

    (found,) = await ask(connection, Question.TOOL_RELIABILITY)

    assert (found["tool"], found["calls"]) == ("look", len(facts(events, ToolCallRequested)))
    assert (found["calls_succeeded"], found["calls_failed"]) == (succeeded, blamed)
    assert found["calls_not_its_doing"] == sum(failures[kind] for kind in NOT_THE_TOOLS_DOING) > 0
    assert found["success_rate"] == round(Decimal(succeeded) / (succeeded + blamed), 4)
    assert (found["calls_timed_out"], found["failure_most"]) == (failures["timeout"], "timeout")
    assert found["retries"] == 2 * succeeded
    assert found["latency_ms_p95"] == 900


async def test_a_call_without_an_outcome_is_neither_good_nor_bad(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    world = World(obliging(plan_text(task("a")), tools=["look"]))
    world.say()
    while not isinstance(world.open_calls[0].body, ToolCallRequested):
        world.reply(world.open_calls.pop(0))
    await log.tell(told(world))

    (found,) = await ask(connection, Question.TOOL_RELIABILITY)

    assert (found["calls"], found["calls_unended"], found["success_rate"]) == (1, 1, None)


async def test_rules_are_told_with_what_came_of_their_decisions(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    events = [*told(asking()), *told(short_of_budget())]
    await log.tell(events)
    decided = facts(events, PolicyDecided)
    made = {one.call_id for one in requested(events)}

    found = {(one["rule"], one["tool"]): one for one in await ask(connection, Question.POLICY_OUTCOMES)}

    assert found.keys() == {(one.rule, one.tool or None) for one in decided}
    words = {"allow": "allowed", "deny": "denied", "escalate": "escalated", "audit": "allowed_for_review"}
    for (rule, tool), row in found.items():
        theirs = [one for one in decided if (one.rule, one.tool or None) == (rule, tool)]
        assert row["decisions"] == len(theirs)
        assert row["calls_made"] == sum(one.call_id in made for one in theirs)
        for word, column in words.items():
            assert row[column] == sum(one.decision == word for one in theirs), (rule, column)
    asked = found["ask", "guarded"]
    ends = ("approved", "refused", "edited", "expired", "void", "waiting")
    assert [asked[f"requests_{end}"] for end in ends] == [2, 1, 0, 0, 0, 1]
    assert (asked["escalated"], asked["calls_made"], asked["decided_by"]) == (4, 2, "policy")
    budgets = [one for (rule, _), one in found.items() if str(rule).startswith("budget_")]
    assert budgets
    assert {one["decided_by"] for one in budgets} == {"budget"}


async def test_a_budget_that_ran_out_counts_once_a_request_and_a_refusal_too(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    short, plenty = told(short_of_budget()), whole_session()
    (cut,) = facts(short, AnswerGiven)
    assert cut.reason == "budget_exhausted"
    refused = event(
        SessionEnded(reason=EndReason.LEASE_REFUSED, turns=0, tokens=0, cost_nanodollars=0),
        900,
        session_id=session(9),
        tenant_id="default",
    )
    idle = event(
        SessionEnded(reason=EndReason.IDLE, turns=0, tokens=0, cost_nanodollars=0),
        901,
        session_id=session(10),
        tenant_id="default",
    )
    await log.tell([*short, *plenty, refused, idle])

    (found,) = await ask(connection, Question.BUDGET_HIT_RATE)

    assert found["kind"] == "conversation"
    answers = len(facts(plenty, AnswerGiven))
    assert found["requests"] == answers + 2
    assert (found["requests_refused"], found["requests_cut_short"]) == (1, 1)
    assert found["hit_rate"] == round(Decimal(2) / (answers + 2), 4)
    assert (found["sessions"], found["sessions_hit"]) == (3, 2)
    assert found["sessions_warned"] == len(facts(short, BudgetWarned)) == 1
    assert found["calls_downshifted"] == len(facts(short, BudgetDownshifted)) == 1
    charged = facts([*short, *plenty], BudgetCharged)
    assert (found["calls"], found["tokens"]) == (len(charged), sum(one.tokens for one in charged))


async def test_calls_of_clients_stand_beside_conversations(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    theirs = session(11)

    def failed(number: int, kind: ClientCallFailureKind) -> Envelope:
        body = ClientCallFailed(
            call_id="", input_id=session(50 + number), body_sha256="", kind=kind, message=""
        )
        return event(body, 950 + number, session_id=theirs, correlation_id=session(50 + number))

    await log.tell([failed(1, ClientCallFailureKind.BUDGET_BUSY), failed(2, ClientCallFailureKind.TIMEOUT)])
    await connection.execute("INSERT INTO sessions (id) VALUES (%s) ON CONFLICT DO NOTHING", [theirs])
    await connection.execute(
        "INSERT INTO session_summaries (id, calls_of) VALUES (%s, %s) "
        "ON CONFLICT (id) DO UPDATE SET calls_of = excluded.calls_of",
        [theirs, theirs],
    )

    (found,) = await ask(connection, Question.BUDGET_HIT_RATE)

    assert (found["kind"], found["requests"], found["requests_refused"]) == ("client", 2, 1)


async def test_a_search_helps_by_what_is_cited_of_it_and_a_failed_task_says_nothing(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    def searched(number: int, status: str, cited: str, used: bool) -> list[Envelope]:
        call_id = derived_id("search", str(number))
        found = SEARCHED.retrieval
        assert found is not None
        documents = tuple(replace(one, used=used and one.used) for one in FOUND)
        measured = RetrievalMeasured(
            call_id=call_id,
            task_id=session(60),
            query="sink",
            k_initial=20,
            k_rerank=5,
            retrieval_latency_ms=number,
            rerank_latency_ms=1,
            usefulness_score=1.0 if cited != "[]" else 0.0,
            feedback_json=f'{{"cited": {cited}, "task_status": "{status}"}}',
            context_tokens_before=100,
            context_tokens_after=60,
            documents=documents,
        )
        return [
            event(replace(SEARCHED, call_id=call_id), 700 + number),
            event(measured, 800 + number),
        ]

    imported = RetrievalImported(
        origin="legacy",
        source_key="1",
        retrieval_id=session(70),
        query="old",
        k_initial=None,
        k_rerank=None,
        retrieval_latency_ms=None,
        rerank_latency_ms=None,
        usefulness_score=None,
        context_tokens_before=None,
        context_tokens_after=None,
        documents_retrieved=None,
        documents_used=None,
    )
    await log.tell(
        [
            *searched(1, "complete", '["a#1"]', used=True),
            *searched(2, "complete", "[]", used=True),
            *searched(3, "failed", "[]", used=True),
            *searched(4, "complete", "[]", used=False),
            event(imported, 890),
            # A second pass of the import tells it again, and knows more.
            event(replace(imported, usefulness_score=0.25), 891),
        ]
    )

    own, theirs = sorted(
        await ask(connection, Question.RETRIEVAL_USEFULNESS), key=lambda one: one["tool"] is None
    )

    assert (own["tool"], own["searches"], own["searches_judged"]) == ("search_documents", 4, 2)
    assert (own["searches_useless"], own["usefulness_mean"]) == (1, Decimal("0.5"))
    assert (own["passages_found"], own["passages_given"], own["passages_cited"]) == (8, 3, 1)
    assert own["latency_ms_p50"] == round(statistics.median([2, 3, 4, 5]))
    assert (theirs["imported_from"], theirs["searches"], theirs["usefulness_mean"]) == (
        "legacy",
        1,
        Decimal("0.25"),
    )
    assert (theirs["passages_cited"], theirs["latency_ms_p50"]) == (None, None)


async def test_nothing_of_version_one_counts_as_a_call_of_a_tool(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    called = InvocationImported(
        origin="legacy",
        source_key="1",
        invocation_id=session(80),
        in_place=False,
        tool="look",
        category="c",
        output_json='{"success": false}',
        latency_ms=5,
        cost_tokens=7,
        called_at_us=None,
    )
    await log.tell([event(called, 895)])

    for question in Question:
        assert await ask(connection, question) == []


async def test_a_record_that_comes_again_and_a_fork_count_nothing_twice(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    events = whole_session()
    await log.tell(events)
    before = {question: await ask(connection, question) for question in Question}

    # Whoever publishes again does so at new places.
    await log.tell([one for one in events if one.sequence])

    assert {question: await ask(connection, question) for question in Question} == before
    assert all(before[one] for one in Question if one is not Question.RETRIEVAL_USEFULNESS)


async def test_a_period_and_a_tenant_leave_out_the_rest(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    events = told(asking())
    later = [replace(one, tenant_id="later") for one in told(trying("well", "timeout"))]
    shift_ms = 10 * 24 * 3_600_000
    await log.tell([*events, *(replace(one, occurred_at_ms=one.occurred_at_ms + shift_ms) for one in later)])
    between = datetime.fromtimestamp((min(one.occurred_at_ms for one in later) + shift_ms) / 1_000, UTC)
    questions = [one for one in Question if one is not Question.RETRIEVAL_USEFULNESS]

    for question in questions:
        both = await ask(connection, question)
        assert {one["tenant_id"] for one in both} == {"default", "later"}, question
        for rest in (
            await ask(connection, question, since=between),
            await ask(connection, question, tenant="later"),
        ):
            assert rest == [one for one in both if one["tenant_id"] == "later"] != [], question
        assert await ask(connection, question, until=between) == [
            one for one in both if one["tenant_id"] == "default"
        ]
    assert await ask(connection, Question.COST_BY_AGENT, since=datetime(2100, 1, 1, tzinfo=UTC)) == []


async def test_the_period_is_one_of_a_connection_too(
    log: Told, connection: AsyncConnection[TupleRow]
) -> None:
    await log.tell(whole_session())
    assert await rows(connection, "SELECT 1 FROM cost_by_agent")
    await connection.execute("SET cartrita.until = '1970-01-01'")

    assert await rows(connection, "SELECT 1 FROM cost_by_agent") == []


async def test_an_answer_may_have_a_bound_in_time(dsn: str, connection: AsyncConnection[TupleRow]) -> None:
    async with await AsyncConnection.connect(dsn) as obstacle:
        await obstacle.execute("LOCK TABLE event_log IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(TakesTooLong, match="cost_by_agent takes Postgres longer than 50 ms"):
            await answer(connection, Question.COST_BY_AGENT, limit=1, within_ms=50)
        await obstacle.rollback()

    assert await answer(connection, Question.COST_BY_AGENT, limit=1) == []


async def test_every_question_and_every_column_says_what_it_means(
    connection: AsyncConnection[TupleRow],
) -> None:
    for question in Question:
        told = await explained(connection, question)
        assert told.asked.endswith("?")
        assert len(told.asked) < len(told.text)
        assert told.columns[0].name == "tenant_id"
        for column in told.columns:
            assert column.meaning.endswith("."), (question, column)
