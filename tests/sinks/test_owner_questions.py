"""What somebody who only reads the tables asks of a conversation, by the queries of docs/postgres.md."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.envelope import Envelope
from schemas.events.inputs import SessionBudgetSet, SessionOpened
from schemas.events.models import ModelCallRequested
from schemas.events.outputs import AnswerGiven
from schemas.events.tasks import TaskCreated
from schemas.events.tools import Retrieval, RetrievedDocument, ToolCallCompleted, ToolCallRequested
from sinks.queries import sessions
from sinks.writer import Writer
from tests.processors.world import (
    ModelOutcome,
    World,
    completed,
    failed,
    obliging,
    plan_text,
    small,
    task,
    tool_completed,
)
from tests.projections.envelopes import event
from tests.sinks.conftest import rows
from tests.sinks.test_whole_session import writer
from tests.sinks.whole_session import projected, write

__all__ = ["writer"]

pytestmark = pytest.mark.stack

DOCUMENT = Path(__file__).parents[2] / "docs" / "postgres.md"
SAID = "What does the guide say about refunds?"
PLAN = plan_text(task("find"), task("check"), task("tell", needs=["find"]), task("after", needs=["check"]))


def told(world: World) -> list[Envelope]:
    """Return all inputs and events of a session."""
    return [*(event for event, _ in world.inputs), *world.events]


def searched(call: ToolCallRequested) -> ToolCallCompleted:
    """Find two passages, of which one goes into the result."""
    found = tuple(
        RetrievedDocument(document=name, score=score, tokens=40, used=used)
        for name, score, used in (("guide.md#2", 0.9, True), ("terms.md#1", 0.3, False))
    )
    retrieval = Retrieval(
        query="refunds",
        query_embedding=(),
        k_initial=2,
        k_rerank=1,
        retrieval_latency_ms=4,
        rerank_latency_ms=1,
        context_tokens_before=80,
        context_tokens_after=40,
        documents=found,
    )
    return replace(tool_completed(call), retrieval=retrieval)


def conversation() -> World:
    """One turn: a search, a task tried twice, one that fails for good, one that so is not done; an answer."""
    answering = obliging(PLAN, tools=["look"])
    refused: list[str] = []
    intents: dict[str, str] = {}

    def answer(call: ModelCallRequested) -> ModelOutcome:
        if call.purpose == "step":
            intent = intents.setdefault(call.task_id, _intent(world, call.task_id))
            if intent == "do check":
                return failed(call, "provider_error", retryable=False, maybe_billed=True)
            if intent == "do tell" and not refused:
                refused.append(call.call_id)
                return failed(call, "rate_limited")
        if call.purpose == "synthesize":
            return completed(call, "Within 30 days. [1]")
        return answering(call)

    world = World(answer, tool=searched, limits=small(retry_delay_ms=10))
    world.say(SAID)
    return world.run()


def _intent(world: World, task_id: str) -> str:
    return next(created.intent for created in world.facts(TaskCreated) if created.task_id == task_id)


def asked(question: str) -> str:
    """Return the query of the document that stands behind this comment."""
    text = DOCUMENT.read_text(encoding="utf-8")
    found = re.search(rf"-- {re.escape(question)}\n(.*?;)", text, re.DOTALL)
    assert found is not None, f"docs/postgres.md has no query that says: {question}"
    return found[1]


async def answers(connection: AsyncConnection[TupleRow], question: str, session_id: str) -> list[TupleRow]:
    """Ask a question of the document about a session."""
    return await rows(connection, re.sub(r"'0{8}-[-0-9]+'", f"'{session_id}'", asked(question)))


async def test_the_tables_answer_what_an_owner_asks(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    world = conversation()
    await write(writer, [await projected(told(world))])
    used = world.state.budget.tokens_used
    session_id = world.session_id

    said = await answers(connection, "Who said what, and what it cost.", session_id)
    sums = await answers(connection, "What it used: three ways to ask, one answer.", session_id)
    wrong = await answers(connection, "What did not go well, and why; what was tried again.", session_id)
    documents = await answers(connection, "Which documents were used.", session_id)

    assert [(role, content) for role, content, _ in said] == [
        ("user", SAID),
        ("assistant", world.facts(AnswerGiven)[0].text),
    ]
    assert sums == [(used, used, used)]
    assert used > 0
    by_intent = {intent: (status, retries, why) for intent, status, retries, why in wrong}
    assert by_intent["do check"][0] == "failed"
    assert "provider_error" in by_intent["do check"][2]
    assert by_intent["do tell"][:2] == ("complete", 1)
    assert by_intent["do after"][0] in ("pruned", "aborted", "failed")
    assert all(why for _, _, why in by_intent.values())
    assert documents
    assert {(query, document, is_used) for query, document, is_used, _ in documents} >= {
        ("refunds", "guide.md#2", True),
        ("refunds", "terms.md#1", False),
    }


async def test_a_session_that_nobody_opened_is_not_listed_as_open(
    writer: Writer, connection: AsyncConnection[TupleRow]
) -> None:
    known, unknown = "00000000-0000-4000-8000-00000000000a", "00000000-0000-4000-8000-00000000000b"
    opened = event(SessionOpened(title="Refunds"), 1, session_id=known)
    budget = event(SessionBudgetSet(tokens=5), 2, session_id=unknown)
    await write(writer, [await projected([opened, budget])])

    listed = {str(one.id): one.status for one in await sessions(connection)}

    assert listed == {known: "open", unknown: "unopened"}
    assert [str(one.id) for one in await sessions(connection, status="open")] == [known]
