"""How useful searches were: known when the task that searched has ended."""

import re
from typing import Final

from processors.snapshots import json_text
from processors.state import RetrievalPending, Task, TaskStatus
from processors.transition import Transition
from schemas.events.retrieval import RetrievalMeasured
from schemas.events.tools import ToolCallCompleted
from schemas.frozen import replace

LATE: Final = "ended before the search"
"""Status of the task of a search whose result came too late."""
_CITATION: Final = re.compile(r"\[([^\[\]\n]{1,300}#\d+)\]")


def pending(outcome: ToolCallCompleted, event_id: str) -> RetrievalPending | None:
    """Keep of a search what its measurement needs; the embedding stays on the log."""
    if outcome.retrieval is None:
        return None
    return RetrievalPending(
        call_id=outcome.call_id,
        event_id=event_id,
        retrieval=replace(outcome.retrieval, query_embedding=()),
    )


def measure(transition: Transition, task: Task, answer: str, status: TaskStatus) -> None:
    """Tell of each search of a task how much of what it found the task's answer cites."""
    cited = set(_CITATION.findall(answer))
    for search in task.retrievals:
        _tell(transition, search, task.task_id, cited, status)


def measure_late(transition: Transition, outcome: ToolCallCompleted) -> None:
    """Tell of a search that found what it found when nobody waited for it any more."""
    search = pending(outcome, transition.event.event_id)
    if search is not None:
        _tell(transition, search, outcome.task_id, set(), LATE)


def _tell(
    transition: Transition, search: RetrievalPending, task_id: str, cited: set[str], status: str
) -> None:
    found = search.retrieval
    given = [document.document for document in found.documents if document.used]
    useful = [name for name in given if name in cited]
    transition.emit(
        RetrievalMeasured(
            call_id=search.call_id,
            task_id=task_id,
            query=found.query,
            k_initial=found.k_initial,
            k_rerank=found.k_rerank,
            retrieval_latency_ms=found.retrieval_latency_ms,
            rerank_latency_ms=found.rerank_latency_ms,
            usefulness_score=len(useful) / len(given) if given else 0.0,
            feedback_json=json_text({"cited": useful, "task_status": status}),
            context_tokens_before=found.context_tokens_before,
            context_tokens_after=found.context_tokens_after,
            documents=found.documents,
        ),
        (search.event_id,),
    )
