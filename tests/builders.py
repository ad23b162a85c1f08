"""Facts as tests need them, whole, with what a test does not name filled in."""

import uuid

from schemas.events.imports import ConversationImported, ImportedStatus
from schemas.events.tasks import (
    TaskCreated,
)
from schemas.events.tools import (
    Retrieval,
    RetrievedDocument,
    ToolCallCompleted,
)
from tests.projections.envelopes import (
    CALL,
    ROOT,
    TASK,
)


def task_created() -> TaskCreated:
    """Return a task of its own."""
    return TaskCreated(
        task_id=str(uuid.uuid4()),
        parent_id=None,
        plan_id=None,
        turn=1,
        intent="Find it",
        agent="researcher",
        priority=5,
        budget_tokens=500,
        estimated_tokens=30,
        spec_json="{}",
    )


EMBEDDING = (0.25,) * 1_536
FOUND = (
    RetrievedDocument(document="a#1", score=0.9, tokens=60, used=True),
    RetrievedDocument(document="b#2", score=0.4, tokens=40, used=False),
)
SEARCHED = ToolCallCompleted(
    call_id=CALL,
    task_id=TASK,
    tool_call_id="call_1",
    agent="researcher",
    tool="search_documents",
    tool_version="1.0.0",
    result_json='{"passages": []}',
    result_tokens=4,
    retrieval=Retrieval(
        query="sink",
        query_embedding=EMBEDDING,
        k_initial=20,
        k_rerank=5,
        retrieval_latency_ms=7,
        rerank_latency_ms=2,
        context_tokens_before=100,
        context_tokens_after=60,
        documents=FOUND,
    ),
    used_tokens=3,
    cost_nanodollars=390,
    attempts=1,
    latency_ms=12,
)
CAME_OVER = ConversationImported(
    origin="old",
    source_key="41",
    task_id=ROOT,
    status=ImportedStatus.RUNNING,
    title="About ferries",
    messages=7,
    created_at_us=None,
    began_at_us=1_700_000_000_000_000,
    newest_at_us=1_700_000_900_000_000,
    ended_at_us=None,
)
