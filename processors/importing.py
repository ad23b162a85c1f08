"""How a conversation of V1 becomes events: pure, so that the same rows always give the same events.

The design's own rule: the conversation is a root task; each of a tool's messages, and each answer of more
than 200 characters, is a subtask of it. What V1 does not say is left empty.
"""

from collections.abc import Mapping
from typing import Final

from processors.import_source import NOTHING, Kept, LeftBehind, Source, event_of, id_of, session_id_of
from processors.projections.imports import (
    ROOT_INTENT,
    ROOT_PRIORITY,
    SUBTASK_PRIORITY,
)
from processors.projections.values import json_of, moment_us
from schemas.envelope import Envelope
from schemas.events.imports import (
    BaselineImported,
    ConversationImported,
    ImportedStatus,
    ImportedTask,
    ImportFact,
    InvocationImported,
    MessageImported,
    RetrievalImported,
)
from schemas.ids import derived_id
from schemas.plain import is_number
from schemas.ports.version_one import PastInvocation, PastMessage, PastSession

ANSWER_CHARACTERS_MIN: Final = 201
"""From so many on an answer is a subtask."""
PREVIEW_CHARACTERS: Final = 100
NAME_CHARACTERS_MAX: Final = 200
"""Of the names of tools, categories and roles."""
BASELINE_TASKS_MAX: Final = 1_000
"""So many of a conversation's tasks, the oldest, stand in its snapshot."""
SNAPSHOT_CHARACTERS_MAX: Final = 240_000
"""A longer one gets fewer of the tasks; a character has at most 4 bytes, and a record holds 1,000,000."""
BASELINE_DAYS: Final = 7
"""A conversation whose newest task is older than that gets no snapshot."""
TEXT_BYTES_MAX: Final = 600_000
"""A record holds 1,000,000 bytes; a longer text is cut, and ends in …"""
METADATA_BYTES_MAX: Final = 200_000
DAY_US: Final = 86_400_000_000
_ROLES: Final = {
    "human": "user",
    "ai": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "agent": "assistant",
    "function": "tool",
}
_RUNNING: Final = frozenset(
    ("active", "running", "open", "in_progress", "in progress", "pending", "started", "live", "ongoing")
)
_FAILED: Final = frozenset(("failed", "failure", "error", "errored", "crashed"))
_ABORTED: Final = frozenset(("aborted", "cancelled", "canceled", "abandoned"))
_ENDED: Final = frozenset(
    ("complete", "completed", "done", "closed", "ended", "finished", "archived", "inactive", "deleted")
)
_RETRIEVALS: Final = ("retrieval", "retrieval_metrics", "rag")
_COUNTS: Final = (
    "k_initial",
    "k_rerank",
    "retrieval_latency_ms",
    "rerank_latency_ms",
    "context_tokens_before",
    "context_tokens_after",
    "documents_retrieved",
    "documents_used",
)
_INT64_MAX: Final = 2**63 - 1


class Conversation:
    """One session of V1 on its way; told its rows in the order of time, it returns their events."""

    def __init__(self, source: Source, session: PastSession, left: LeftBehind = NOTHING) -> None:
        """Begin with the session's own row."""
        self._source = source
        self._session = session
        self._left = left
        self.session_id = session_id_of(source.origin, session.key)
        root = derived_id("import", source.origin, "root", session.key)
        self._root_id = root if left.root is None else left.root.task_id
        self._taken: set[str] = set()
        """Tasks of the earlier backfill that stand for a message already."""
        self._before_id: str | None = None
        self._tasks: list[dict[str, object]] = []
        self.messages = 0
        self.invocations = 0
        self.tasks = 0
        self.edges = 0
        self._first_us: int | None = None
        self._newest_us: int | None = None
        self._newest_task_us: int | None = None
        self._title = session.title

    def message(self, one: PastMessage, cost_before: int = 0) -> list[Envelope]:
        """Return a message's events.

        Args:
            one: the message.
            cost_before: what earlier events of it told of its cost.
        """
        role = one.role.strip().lower()
        role = _ROLES.get(role, role)
        self.messages += 1
        self._see(one.said_at_us)
        if not self._title and role == "user":
            self._title = " ".join(one.text[:400].split())
        metadata_json = json_of(one.metadata)
        if len(metadata_json.encode()) > METADATA_BYTES_MAX:
            metadata_json = json_of({"left_out_bytes": len(metadata_json.encode())})
        fact = MessageImported(
            origin=self._source.origin,
            source_key=one.key,
            message_id=id_of(self._source.origin, "message", one.key),
            in_place=self._source.messages_in_place,
            role=role[:NAME_CHARACTERS_MAX],
            text=_fitting(one.text),
            said_at_us=one.said_at_us,
            metadata_json=metadata_json,
            cost_tokens=one.cost_tokens,
            cost_tokens_before=cost_before,
            root_task_id=self._root_id,
            task=self._task(role, one),
        )
        at_us = one.said_at_us
        return [self._event(fact, one.key, at_us), *self._retrieval(one.key, one.metadata, at_us)]

    def invocation(self, one: PastInvocation) -> list[Envelope]:
        """Return the events of a tool's call."""
        self.invocations += 1
        output_json = json_of(one.output)
        if len(output_json.encode()) > TEXT_BYTES_MAX:
            output_json = json_of({"left_out_bytes": len(output_json.encode())})
        fact = InvocationImported(
            origin=self._source.origin,
            source_key=one.key,
            invocation_id=id_of(self._source.origin, "invocation", one.key),
            in_place=self._source.invocations_in_place,
            tool=one.tool[:NAME_CHARACTERS_MAX] or "unknown_tool",
            category=one.category[:NAME_CHARACTERS_MAX] or "uncategorized",
            output_json=output_json,
            latency_ms=one.latency_ms,
            cost_tokens=one.cost_tokens,
            called_at_us=one.called_at_us,
        )
        found = one.output if isinstance(one.output, Mapping) else {}
        at_us = one.called_at_us
        return [self._event(fact, one.key, at_us), *self._retrieval(one.key, found, at_us)]

    def end(self) -> list[Envelope]:
        """Return the events of the conversation itself, after all of its rows."""
        self.tasks += 1
        session = self._session
        began_us = session.created_at_us if session.created_at_us is not None else self._first_us
        status = status_of(session, self._newest_us, self._source)
        fact = ConversationImported(
            origin=self._source.origin,
            source_key=session.key,
            task_id=self._root_id,
            status=status,
            title=self._title[:400],
            messages=self.messages,
            created_at_us=session.created_at_us,
            began_at_us=began_us or 0,
            newest_at_us=self._newest_us,
            ended_at_us=session.ended_at_us,
            adopted=None if self._left.root is None else self._left.root.columns,
        )
        found = [self._event(fact, session.key, began_us)]
        if self._is_recent(began_us):
            found.append(self._baseline(status, began_us))
        return found

    def _see(self, at_us: int | None) -> None:
        if at_us is not None:
            self._first_us = at_us if self._first_us is None else min(self._first_us, at_us)
            self._newest_us = at_us if self._newest_us is None else max(self._newest_us, at_us)

    def _task(self, role: str, one: PastMessage) -> ImportedTask | None:
        if role == "assistant" and len(one.text) >= ANSWER_CHARACTERS_MIN:
            intent = "assistant_response"
        elif role == "tool":
            intent = f"tool_{_tool_of(one.metadata)}"
        else:
            return None
        kept = self._kept(intent, one.said_at_us)
        made = derived_id("import", self._source.origin, "task", one.key)
        task = ImportedTask(
            task_id=made if kept is None else kept.task_id,
            intent=intent,
            preview=one.text[:PREVIEW_CHARACTERS],
            after_task_id=self._before_id,
            adopted=None if kept is None else kept.columns,
        )
        self.tasks += 1
        self.edges += self._before_id is not None
        self._before_id = task.task_id
        if one.said_at_us is not None:
            self._newest_task_us = max(self._newest_task_us or 0, one.said_at_us)
        if len(self._tasks) < BASELINE_TASKS_MAX:
            self._tasks.append(
                _of_snapshot(
                    task.task_id, self._root_id, intent, "complete", SUBTASK_PRIORITY, one.said_at_us
                )
            )
        return task

    def _kept(self, intent: str, at_us: int | None) -> Kept | None:
        """Return the task that an earlier backfill had made of a message: each stands for one."""
        for kept in self._left.subtasks.get((intent, at_us), ()) if at_us is not None else ():
            if kept.task_id not in self._taken:
                self._taken.add(kept.task_id)
                return kept
        return None

    def _is_recent(self, began_us: int | None) -> bool:
        newest_us = max(self._newest_task_us or 0, began_us or 0)
        return newest_us >= self._source.as_of_us - BASELINE_DAYS * DAY_US

    def _baseline(self, status: ImportedStatus, began_us: int | None) -> Envelope:
        root = _of_snapshot(self._root_id, None, ROOT_INTENT, status, ROOT_PRIORITY, began_us)
        info = {
            "backfilled_at": moment_us(self._source.as_of_us),
            "task_count": self.tasks,
            "origin": self._source.origin,
        }
        tasks = [root, *self._tasks]
        while (
            len(snapshot_json := json_of({"tasks": tasks, "migration_info": info})) > SNAPSHOT_CHARACTERS_MAX
        ):
            tasks = tasks[: len(tasks) // 2]
        made = derived_id("import", self._source.origin, "snapshot", self._session.key)
        fact = BaselineImported(
            origin=self._source.origin,
            snapshot_id=self._left.snapshot_id or made,
            snapshot_json=snapshot_json,
        )
        return self._event(fact, self._session.key, self._source.as_of_us, [fact.snapshot_id, tasks])

    def _retrieval(self, key: str, found: Mapping[str, object], at_us: int | None) -> list[Envelope]:
        told = next((found[name] for name in _RETRIEVALS if isinstance(found.get(name), Mapping)), None)
        if not isinstance(told, Mapping):
            return []
        query = told.get("query", told.get("query_text"))
        if not isinstance(query, str) or not query:
            return []
        score = told.get("usefulness_score")
        fact = RetrievalImported(
            origin=self._source.origin,
            source_key=key,
            retrieval_id=derived_id("import", self._source.origin, "retrieval", key),
            query=query[:4_000],
            usefulness_score=float(score) if is_number(score) and 0 <= score <= 1 else None,
            **{name: _count(told.get(name)) for name in _COUNTS},
        )
        return [self._event(fact, key, at_us)]

    def _event(self, fact: ImportFact, key: str, at_us: int | None, identity: object = None) -> Envelope:
        owner = self._session.owner or self._source.user_id
        at_us = at_us if at_us is not None else self._session.created_at_us
        return event_of(self._source, fact, key, (at_us or 0) // 1_000, self.session_id, owner, identity)


def status_of(session: PastSession, newest_us: int | None, source: Source) -> ImportedStatus:
    """Return how a conversation stands: as V1 says; where it says nothing, by how long ago it went on."""
    word = session.status.strip().lower()
    if word in _RUNNING:
        return ImportedStatus.RUNNING
    if word in _FAILED:
        return ImportedStatus.FAILED
    if word in _ABORTED:
        return ImportedStatus.ABORTED
    if word in _ENDED or session.ended_at_us is not None:
        return ImportedStatus.COMPLETE
    newest_us = max(newest_us or 0, session.created_at_us or 0)
    goes_on = newest_us > source.as_of_us - source.running_within_us
    return ImportedStatus.RUNNING if goes_on else ImportedStatus.COMPLETE


def _tool_of(metadata: Mapping[str, object]) -> str:
    name = metadata.get("tool_name") or metadata.get("tool") or metadata.get("name")
    return name[:NAME_CHARACTERS_MAX] if isinstance(name, str) else "unknown"


def _fitting(text: str) -> str:
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= TEXT_BYTES_MAX:
        return text
    return encoded[: TEXT_BYTES_MAX - 3].decode("utf-8", "ignore") + "…"


def _of_snapshot(
    task_id: str, parent_id: str | None, intent: str, status: str, priority: int, at_us: int | None
) -> dict[str, object]:
    return {
        "id": task_id,
        "parent_id": parent_id,
        "intent": intent,
        "status": str(status),
        "priority": priority,
        "created_at": None if at_us is None else moment_us(at_us),
    }


def _count(value: object) -> int | None:
    if not is_number(value) or not -_INT64_MAX <= value <= _INT64_MAX:
        return None
    return int(value)
