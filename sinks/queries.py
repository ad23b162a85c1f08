"""What the command line and the console ask of Postgres: sessions, their tasks and steps."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from psycopg import AsyncConnection
from psycopg.rows import TupleRow, class_row

from sinks.conversations import STATUS

_STATUS: Final = f"""
    CASE WHEN s.put_aside_at >= COALESCE(s.last_output_at, s.put_aside_at) THEN 'quarantined'
         WHEN s.opened_at IS NULL AND s.status = 'open' THEN 'unopened'
         ELSE {STATUS} END
"""
_SESSION_COLUMNS: Final = f"""
    s.id, {_STATUS} AS status, s.title, s.tenant_id, s.user_id, s.messages, s.turns, s.budget_tokens,
    s.budget_nanodollars, s.tokens_used, s.nanodollars_used, s.opened_at, s.last_input_at,
    s.last_answer_id, s.last_answer, s.last_answer_at, s.ended_at, s.forked_from, s.forked_at,
    s.imported_from, s.imported_at, s.imported_messages
"""
_SESSIONS: Final = f"""
    SELECT {_SESSION_COLUMNS} FROM session_summaries s
    WHERE s.calls_of IS NULL AND (%(status)s::text IS NULL OR {_STATUS} = %(status)s)
      AND (%(tenant)s::text IS NULL OR s.tenant_id = %(tenant)s)
      AND (%(before)s::timestamptz IS NULL OR (s.opened_at, s.id) < (%(before)s, %(before_id)s::uuid))
    ORDER BY s.opened_at DESC NULLS LAST, s.id DESC
    LIMIT %(limit)s
"""  # noqa: S608  # names of our own columns
_SESSION: Final = f"SELECT {_SESSION_COLUMNS} FROM session_summaries s WHERE s.id = %s"  # noqa: S608  # as above
_TASKS: Final = """
    SELECT id, parent_id, intent, agent_assigned AS agent, status, priority, cost_budget_tokens,
           estimated_cost_tokens, actual_cost_tokens, retry_count, error_message,
           created_at, completed_at
    FROM tasks_v2 WHERE session_id = %s
    ORDER BY created_at NULLS LAST, priority DESC, id
"""
_EDGES: Final = """
    SELECT e.from_task_id, e.to_task_id, e.relation_type AS relation, e.weight::float8 AS weight
    FROM task_edges e JOIN tasks_v2 t ON t.id = e.from_task_id
    WHERE t.session_id = %s ORDER BY e.created_at, e.id
"""
# The tier is the one of the model in the configuration that decided; a model that it does not name has none.
_STEPS: Final = """
    SELECT r.event_id, r.body ->> 'task_id' AS task_id, r.body ->> 'purpose' AS purpose,
           r.body ->> 'agent' AS agent, r.body ->> 'model' AS model,
           COALESCE((SELECT m.chat ->> 'tier'
                     FROM event_log c
                     CROSS JOIN LATERAL jsonb_array_elements(
                         (c.body ->> 'content_json')::jsonb -> 'chat') AS m(chat)
                     WHERE c.topic = 'configuration' AND c.body ->> 'kind' = 'models'
                       AND c.body ->> 'content_hash' = q.versions ->> 'models'
                       AND m.chat ->> 'name' = q.body ->> 'model'
                     LIMIT 1), '') AS tier,
           r.type = 'ModelCallCompleted' AS succeeded,
           COALESCE((r.body ->> 'local')::boolean, false) AS local,
           (r.body ->> 'input_tokens')::bigint AS input_tokens,
           (r.body ->> 'output_tokens')::bigint AS output_tokens,
           (r.body ->> 'cost_nanodollars')::bigint AS cost_nanodollars,
           (r.body ->> 'attempts')::bigint AS attempts,
           (r.body ->> 'latency_ms')::bigint AS latency_ms,
           r.occurred_at
    FROM event_log r
    LEFT JOIN LATERAL (
        SELECT * FROM event_log q
        WHERE q.subject_id = r.subject_id AND q.topic = 'model.calls' AND q.type = 'ModelCallRequested'
        LIMIT 1
    ) q ON true
    WHERE r.session_id = %s AND r.topic = 'model.results'
    ORDER BY r.occurred_at, r.partition, r."offset"
"""
# What needed no attention is left out.
_DECISIONS: Final = """
    SELECT decision, policy_rule AS rule, reason, agent_name AS agent, tool_name AS tool, created_at
    FROM policy_decisions WHERE session_id = %s AND decision <> 'allow'
    ORDER BY created_at, id
"""
_EVENT_AT: Final = 'SELECT event_id FROM event_log WHERE topic = %s AND partition = %s AND "offset" = %s'


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRow:
    """One session, as a list shows it."""

    id: UUID
    status: str
    title: str | None
    tenant_id: str | None
    user_id: str | None
    messages: int
    turns: int
    budget_tokens: int | None
    budget_nanodollars: int | None
    tokens_used: int
    nanodollars_used: int
    opened_at: datetime | None
    last_input_at: datetime | None
    last_answer_id: UUID | None
    last_answer: str | None
    last_answer_at: datetime | None
    ended_at: datetime | None
    forked_from: UUID | None
    """The session that it was forked from."""
    forked_at: UUID | None
    """Event id of the point in that session."""
    imported_from: str | None
    """Name of the V1 that it came over from."""
    imported_at: datetime | None
    imported_messages: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskRow:
    """One task."""

    id: UUID
    parent_id: UUID | None
    intent: str
    agent: str | None
    status: str
    priority: int | None
    cost_budget_tokens: int | None
    estimated_cost_tokens: int | None
    actual_cost_tokens: int | None
    retry_count: int | None
    error_message: str | None
    created_at: datetime | None
    completed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeRow:
    """One relation between tasks."""

    from_task_id: UUID
    to_task_id: UUID
    relation: str
    weight: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRow:
    """One model call with what it cost."""

    event_id: UUID
    task_id: str
    purpose: str
    agent: str
    model: str
    tier: str
    """Of the model that was asked for; empty when the configuration that decided is not known."""
    succeeded: bool
    local: bool
    """True when the deterministic local model answered."""
    input_tokens: int
    output_tokens: int
    cost_nanodollars: int
    attempts: int
    latency_ms: int
    occurred_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionRow:
    """One decision of policy or budget about a call."""

    decision: str
    rule: str
    reason: str | None
    agent: str | None
    tool: str | None
    """None for a model call."""
    created_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskNode:
    """One task with its steps and the tasks that are part of it."""

    task: TaskRow
    steps: tuple[StepRow, ...]
    children: tuple["TaskNode", ...]

    @property
    def cost_nanodollars(self) -> int:
        """Return the cost of its own model calls."""
        return sum(step.cost_nanodollars for step in self.steps)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionDetail:
    """One session with all its tasks."""

    session: SessionRow
    tasks: tuple[TaskNode, ...]
    """Those that are part of no other: one a turn."""
    edges: tuple[EdgeRow, ...]
    decisions: tuple[DecisionRow, ...]
    """What was not simply allowed, oldest first: denied, audited, escalated, or done by a cheaper model."""


async def sessions(
    connection: AsyncConnection[TupleRow],
    *,
    status: str | None = None,
    tenant_id: str | None = None,
    after: SessionRow | None = None,
    limit: int = 50,
) -> list[SessionRow]:
    """List sessions, the newest first; `after` is the last row of the page before."""
    async with connection.cursor(row_factory=class_row(SessionRow)) as cursor:
        await cursor.execute(
            _SESSIONS.encode(),
            {
                "status": status,
                "tenant": tenant_id,
                "before": after.opened_at if after else None,
                "before_id": after.id if after else None,
                "limit": limit,
            },
        )
        return await cursor.fetchall()


async def session_detail(connection: AsyncConnection[TupleRow], session_id: UUID) -> SessionDetail | None:
    """Return a session with its tree of tasks; None when it is not known."""
    async with connection.cursor(row_factory=class_row(SessionRow)) as cursor:
        await cursor.execute(_SESSION.encode(), [session_id])
        session = await cursor.fetchone()
    if session is None:
        return None
    async with connection.cursor(row_factory=class_row(TaskRow)) as cursor:
        tasks = await (await cursor.execute(_TASKS, [session_id])).fetchall()
    async with connection.cursor(row_factory=class_row(StepRow)) as cursor:
        steps = await (await cursor.execute(_STEPS, [session_id])).fetchall()
    async with connection.cursor(row_factory=class_row(EdgeRow)) as cursor:
        edges = await (await cursor.execute(_EDGES, [session_id])).fetchall()
    async with connection.cursor(row_factory=class_row(DecisionRow)) as cursor:
        decisions = await (await cursor.execute(_DECISIONS, [session_id])).fetchall()
    return SessionDetail(
        session=session,
        tasks=task_tree(tasks, steps),
        edges=tuple(edges),
        decisions=tuple(decisions),
    )


def task_tree(tasks: list[TaskRow], steps: list[StepRow]) -> tuple[TaskNode, ...]:
    """Hang tasks below their parents; those whose parents lead back to themselves stand alone."""
    steps_of: dict[str, list[StepRow]] = {}
    for step in steps:
        steps_of.setdefault(step.task_id, []).append(step)
    children_of: dict[UUID | None, list[TaskRow]] = {}
    known = {task.id for task in tasks}
    for task in tasks:
        parent = task.parent_id if task.parent_id in known else None
        children_of.setdefault(parent, []).append(task)
    placed: set[UUID] = set()

    def node(task: TaskRow) -> TaskNode:
        placed.add(task.id)
        below = [child for child in children_of.get(task.id, ()) if child.id not in placed]
        return TaskNode(
            task=task,
            steps=tuple(steps_of.get(str(task.id), ())),
            children=tuple(node(child) for child in below),
        )

    roots = [node(task) for task in children_of.get(None, ())]
    roots += [node(task) for task in tasks if task.id not in placed]
    return tuple(roots)


async def event_at(
    connection: AsyncConnection[TupleRow], topic: str, partition: int, offset: int
) -> UUID | None:
    """Return the id of the event at a place of the log; None when the event log has none there."""
    cursor = await connection.execute(_EVENT_AT, [topic, partition, offset])
    row = await cursor.fetchone()
    return None if row is None else row[0]
