"""How Postgres goes about what the gateway asks: policies keep it from no index that a large log needs."""

import re
import uuid
from datetime import UTC, datetime
from typing import Any, ClassVar, Final, Self

import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.abc import Params, Query
from psycopg.rows import TupleRow

from sinks import (
    approvals,
    client_calls,
    conversations,
    costs,
    letters,
    open_outcomes,
    owned_trace,
    queries,
    questions,
    responses,
    session_history,
    session_lists,
    system,
)
from sinks.connection import Connection
from sinks.letters import Mine, Which
from tests.sinks.conftest import rows
from tests.sinks.test_walls import Somebody, gateway

pytestmark = pytest.mark.stack

OWNER: Final = ("tenant-6", "user-6")
SESSION: Final = uuid.UUID("425db905-039f-7a65-59ce-1115efa7d397")
EVENT: Final = uuid.UUID("f38f5bf9-4ee2-de0b-42d1-829fbf66ea9c")
AT: Final = datetime(2026, 1, 1, tzinfo=UTC)
CITATIONS: Final = 6
"""Events of which each cites the one before, the first of them among them."""
PLACE: Final = (AT, 1, "session.inputs", 0, 1)


class Explaining(psycopg.AsyncCursor[TupleRow]):
    """Notes how Postgres goes about each query before it does."""

    plans: ClassVar[dict[str, str]] = {}

    async def execute(
        self, query: Query, params: Params | None = None, **more: Any
    ) -> Self:  # Any: as psycopg's
        """Ask for the plan, then execute."""
        if isinstance(query, bytes):
            return await super().execute(query, params, **more)
        text = query if isinstance(query, str) else sql.as_string(query, self.connection)
        if text.split()[0] in ("SELECT", "WITH"):
            plan = await self.connection.execute(b"EXPLAIN " + text.encode(), params)
            self.plans[f"{text} {params}"] = "\n".join(str(line) for (line,) in await plan.fetchall())
        return await super().execute(text.encode(), params, **more)


MANY: Final = """
    INSERT INTO sessions (id) SELECT md5('s' || n)::uuid FROM generate_series(1, 20000) n;
    INSERT INTO session_summaries (id, tenant_id, user_id, opened_at)
    SELECT md5('s' || n)::uuid, 'tenant-' || n % 20, 'user-' || n % 400,
        '2026-01-01'::timestamptz + n * interval '1 s'
    FROM generate_series(1, 20000) n;
    INSERT INTO event_log (event_id, topic, partition, "offset", session_id, type, sequence, correlation_id,
        evidence_ids, occurred_at, recorded_at, tenant_id, user_id, producer, versions, body)
    SELECT md5('e' || n)::uuid,
        ('{session.inputs,session.outputs,model.calls,client.calls,client.answers}'::text[])[1 + n % 5],
        0, n, md5('s' || n % 20000)::uuid,
        (ARRAY['TurnStarted', 'AnswerGiven', 'MessageReceived'])[1 + n % 3], n / 20000,
        md5('c' || n % 60000)::uuid, ARRAY[md5('e' || n - 20000)::uuid],
        '2026-01-01'::timestamptz + n * interval '1 s', now(),
        'tenant-' || n % 20, 'user-' || n % 400, 'test', '{}', '{"task_id": "t"}'
    FROM generate_series(1, 120000) n;
    INSERT INTO event_log (event_id, topic, partition, "offset", session_id, type, sequence, correlation_id,
        evidence_ids, occurred_at, recorded_at, tenant_id, user_id, producer, versions, body)
    SELECT md5('b' || n)::uuid, 'budget.events', 0, n, md5('s' || n % 20000)::uuid,
        'BudgetCharged', n / 20000, md5('e' || n)::uuid, '{}', '2026-01-01'::timestamptz + n * interval '1 s',
        now(),
        'tenant-' || n % 20, 'user-' || n % 400, 'test', '{}',
        jsonb_build_object('reservation_id', 'c' || n, 'model', 'm', 'tokens', 1, 'nanodollars', 1)
    FROM generate_series(1, 4000) n;
    INSERT INTO event_log (event_id, topic, partition, "offset", type, sequence, causation_id, evidence_ids,
        occurred_at, recorded_at, tenant_id, user_id, producer, versions, body)
    SELECT md5(kind || n)::uuid, topic, 0, n * 10 + place, kind, 0,
        CASE WHEN topic = 'redrives' THEN md5('RedriveRequested' || 1 + n % 4000)::uuid END,
        CASE WHEN kind = 'LetterRedriven' THEN ARRAY[md5('RecordRejected' || n)::uuid] ELSE '{}' END,
        '2026-01-01'::timestamptz + n * interval '1 s', now(), 'tenant-' || n % 20, 'user-' || n % 400,
        'test', '{}',
        jsonb_build_object(
            'topic', 'user.inputs', 'partition', 0, 'offset', n, 'code', 'invalid_input', 'shell', 'ingress',
            'reason', 'text is empty', 'key', NULL, 'value', 'AAAAAAc=', 'headers', '[]'::jsonb,
            'letter_id', md5('RecordRejected' || n)::uuid, 'tenant', 'tenant-' || n % 20,
            'user', 'user-' || n % 400, 'kind', 'agents', 'content_hash', 'h' || n, 'content_json', '{}',
            'tool', 'search', 'latency_ms', 5)
    FROM generate_series(1, 4000) n,
        (VALUES ('dead.letters', 'RecordRejected', 1), ('redrives', 'RedriveRequested', 2),
                ('redrives', 'LetterRedriven', 3), ('redrives', 'RedriveEnded', 4),
                ('configuration', 'ConfigurationPublished', 5), ('tool.results', 'ToolCallCompleted', 6)
        ) AS facts(topic, kind, place)
    WHERE kind <> 'ConfigurationPublished' OR n <= 40;
    INSERT INTO event_log (event_id, topic, partition, "offset", session_id, type, sequence, evidence_ids,
        occurred_at, recorded_at, tenant_id, user_id, producer, versions, body)
    SELECT md5(kind || n)::uuid, 'session.outputs', 1, n * 2 + place, md5('s' || n)::uuid, kind, 100 + place,
        '{}', '2026-01-01'::timestamptz + n * interval '1 s', now(), 'tenant-' || n % 20, 'user-' || n % 400,
        'test', '{}',
        jsonb_build_object(
            'tool', 'search', 'approval_id', md5('a' || n)::uuid, 'end', 'approved', 'approver', 'ann',
            'reason', '', 'agent', 'a', 'arguments_json', '{}', 'digest', 'd')
    FROM generate_series(1, 4000) n,
        (VALUES ('ApprovalRequested', 1), ('ApprovalClosed', 2)) AS facts(kind, place);
    INSERT INTO tasks_v2 (id, session_id, intent, status)
    SELECT md5('t' || n)::uuid, md5('s' || 1 + n % 20000)::uuid, 'do', 'complete'
    FROM generate_series(1, 40000) n;
    INSERT INTO retrieval_metrics (id, session_id, query_text)
    SELECT md5('r' || n)::uuid, md5('s' || n)::uuid, 'sink' FROM generate_series(1, 20000) n;
    INSERT INTO task_edges (from_task_id, to_task_id, relation_type)
    SELECT md5('t' || n)::uuid, md5('t' || n + 20000)::uuid, 'enables' FROM generate_series(1, 20000) n;
    ANALYZE;
"""


async def ask_everything(connection: Connection, user: str | None) -> None:
    """Ask all that the gateway asks, about one session and about lists of many."""
    tenant = OWNER[0]
    await conversations.session_of(connection, SESSION)
    for after in (None, PLACE):
        await conversations.events_of(connection, SESSION, OWNER, after=after, limit=50)
    assert await conversations.outputs_after(connection, SESSION, 0, 50)
    assert await conversations.told_up_to(connection, SESSION) > 0
    await conversations.turn_of(connection, SESSION, str(EVENT))
    await conversations.is_answer(connection, SESSION, EVENT)
    await conversations.turn_at(connection, SESSION, 5)
    await conversations.read_up_to(connection)
    await conversations.known_input(connection, EVENT, tenant)
    await client_calls.known_call(connection, EVENT)
    await client_calls.answer_of(connection, EVENT)
    await responses.request_of(connection, EVENT, tenant, user)
    await responses.has_failed_attempt(connection, EVENT)
    await responses.put_aside(connection, EVENT, SESSION)
    for by in costs.By:
        assert await costs.costs(connection, by, since=AT, tenant=tenant, user=user, limit=10)
    for question in questions.Question:
        await questions.explained(connection, question)
        await questions.answer(connection, question, since=AT, tenant=tenant, limit=10)
    wanted = session_lists.Wanted(tenant=tenant, user=user)
    for order in session_lists.Order:
        page = await session_lists.sessions_of(connection, wanted, order=order, limit=50)
        key = session_lists.key_of(order, page[-1])
        before = None if key is None else (key, page[-1].id)
        await session_lists.sessions_of(connection, wanted, order=order, before=before, limit=50)
    assert await session_lists.count_of(connection, wanted) > 0
    await session_lists.titles_of(connection, [SESSION])
    await session_lists.moved(connection)
    await session_lists.changed(connection, wanted, AT, 500)
    events = session_history.WantedEvents(session_id=SESSION, owner=OWNER)
    for ascending in (True, False):
        for after in (None, PLACE):
            await session_history.timeline_of(connection, events, ascending=ascending, after=after, limit=50)
    assert await session_history.types_of(connection, events)
    assert await session_history.event_of(connection, SESSION, OWNER, EVENT)
    assert await session_history.tasks_of(connection, SESSION)
    await session_history.balance_of(connection, SESSION)
    await approvals.open_requests(connection, tenant=tenant, user=user, limit=50)
    await approvals.request_of(connection, str(EVENT), SESSION)
    await open_outcomes.open_questions(connection, tenant=tenant, user=user, limit=50, now=AT)
    await open_outcomes.question_of(connection, SESSION, str(EVENT), AT)
    past = await approvals.past_decisions(connection, tool="search", tenant=tenant, user=user, limit=10)
    assert len(past) == 10
    await ask_as_operator(connection, user)
    assert await owned_trace.session_of_event(connection, EVENT, tenant, user) == SESSION
    for effects, count in ((False, 1), (True, CITATIONS)):
        found = await owned_trace.owned_trace(
            connection, SESSION, OWNER, EVENT, effects=effects, events_max=200
        )
        assert found is not None
        assert found.events == count


async def ask_as_operator(connection: Connection, user: str | None) -> None:
    """Ask what the gateway asks about what was put aside, and about the deployment."""
    mine = Mine(tenant=OWNER[0], user=user)
    assert (await letters.groups(connection, mine, 50))[0].redriven > 0
    page = await letters.letters(connection, mine, Which(), limit=5)
    assert all(one.redriven_at for one in page)
    mark = page[-1].occurred_at, page[-1].event_id
    group = Which(code="invalid_input", topic="user.inputs", reason=page[0].common, schema_id=7)
    assert await letters.letters(connection, mine, group, before=mark, limit=5)
    assert await letters.letter(connection, mine, page[0].event_id) is not None
    listed = await letters.redrives(connection, mine, limit=5)
    assert len(await letters.redrives(connection, mine, redrive_id=listed[0].id, limit=1)) == 1
    assert await system.in_force(connection)
    await system.tools_used(connection, OWNER[0])
    await system.agents_used(connection, OWNER[0])
    await queries.sessions(connection, status="quarantined", tenant_id=OWNER[0], limit=50)


@pytest.mark.slow
async def test_nothing_that_the_gateway_reads_is_looked_for_row_by_row(
    dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Explaining, "plans", {})
    async with await AsyncConnection.connect(dsn, autocommit=True) as connection:
        await connection.execute(MANY.encode())
        assert await rows(connection, "SELECT md5('s6')::uuid, md5('e6')::uuid") == [(SESSION, EVENT)]
    async with gateway(dsn) as database:
        for user in (OWNER[1], None):
            async with database.lent(Somebody(OWNER[0], user)) as connection:
                connection.cursor_factory = Explaining
                try:
                    await ask_everything(connection, user)
                finally:
                    connection.cursor_factory = psycopg.AsyncCursor
    for query, plan in Explaining.plans.items():
        assert not re.search("Seq Scan on (?!sink_offsets)", plan), f"{query}\n{plan}"
