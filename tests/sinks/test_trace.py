"""Traces and lists on a real Postgres, over the log of one small session."""

import uuid
from dataclasses import replace

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.events.configurations import ConfigurationKind, ConfigurationPublished
from schemas.events.inputs import ApprovalReceived, MessageReceived
from sinks.queries import (
    TaskRow,
    session_detail,
    sessions,
    task_tree,
)
from sinks.trace import Node, trace
from tests.projections.envelopes import CALL, ROOT, SESSION, TASK, event, event_id
from tests.sinks.conftest import rows
from tests.sinks.story import ANSWER, ASKED, CONFIGURED, MESSAGE, SAID, Log, story
from topics.catalog import USER_INPUTS

pytestmark = pytest.mark.stack


def shape(node: Node) -> tuple[str, list[object]]:
    """Return a tree as names."""
    return (f"{node.link} {node.event.type}", [shape(child) for child in node.children])


CAUSES_OF_ANSWER: tuple[str, list[object]] = (
    "start AnswerGiven",
    [
        (
            "cause TaskCompleted",
            [("cause ModelCallCompleted", [("cause ModelCallRequested", [("cause TaskCreated", [])])])],
        ),
        ("evidence MessageReceived", []),
    ],
)


async def test_an_answer_leads_back_to_the_message_through_all_that_it_rests_on(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    found = await trace(connection, uuid.UUID(event_id(ANSWER)))

    assert found is not None
    assert shape(found.root) == CAUSES_OF_ANSWER
    assert (found.events, found.truncated) == (6, False)
    assert found.root.event.label == "It is one. [1]"
    assert found.root.children[0].event.causation_id == uuid.UUID(event_id(SAID))


@pytest.mark.parametrize(
    ("given", "start"),
    [
        (SESSION, "AnswerGiven"),
        (TASK, "TaskCompleted"),
        (CALL, "ModelCallCompleted"),
        (event_id(ASKED), "ModelCallRequested"),
    ],
)
async def test_a_trace_starts_from_a_session_task_call_or_event(
    log: Log, connection: AsyncConnection[TupleRow], given: str, start: str
) -> None:
    found = await trace(connection, uuid.UUID(given))

    assert found is not None
    assert found.root.event.type == start


@pytest.mark.parametrize(
    ("given", "start"),
    [(SESSION, "MessageReceived"), (TASK, "TaskCreated"), (CALL, "ModelCallRequested")],
)
async def test_effects_start_from_the_oldest(
    log: Log, connection: AsyncConnection[TupleRow], given: str, start: str
) -> None:
    found = await trace(connection, uuid.UUID(given), effects=True)

    assert found is not None
    assert found.root.event.type == start


async def test_a_message_s_effects_are_all_that_came_of_it(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    found = await trace(connection, uuid.UUID(event_id(MESSAGE)), effects=True)

    assert found is not None
    assert found.events == 7
    assert [child.event.type for child in found.root.children] == [
        "TurnStarted",
        "TaskCreated",
        "ModelCallRequested",
        "AnswerGiven",
    ]


async def test_an_unknown_id_has_no_trace(log: Log, connection: AsyncConnection[TupleRow]) -> None:
    assert await trace(connection, uuid.UUID(int=99)) is None


async def test_events_that_name_each_other_end(log: Log, connection: AsyncConnection[TupleRow]) -> None:
    ids = [str(uuid.UUID(int=number, version=4)) for number in (101, 102)]
    for own, other in (ids, ids[::-1]):
        await log.add(
            event(MessageReceived(text=own), event_id=own, causation_id=other, evidence_ids=(own, other))
        )

    found = await trace(connection, uuid.UUID(ids[0]))
    forward = await trace(connection, uuid.UUID(ids[0]), effects=True)

    assert found is not None
    assert forward is not None
    assert (found.events, forward.events) == (2, 2)


async def test_many_ways_through_dense_evidence_cost_no_more_than_the_events(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    """Of 30 layers of 3 events, each resting on all of the layer before, there are 3³⁰ ways."""

    def of(layer: int, index: int) -> str:
        return str(uuid.UUID(int=1_000 + 3 * layer + index, version=4))

    for layer in range(30):
        evidence = tuple(of(layer - 1, index) for index in range(3)) if layer else ()
        for index in range(3):
            await log.add(event(MessageReceived(text="x"), event_id=of(layer, index), evidence_ids=evidence))

    found = await trace(connection, uuid.UUID(of(29, 0)))
    bounded = await trace(connection, uuid.UUID(of(29, 0)), events_max=10)

    assert found is not None
    assert bounded is not None
    assert (found.events, found.truncated) == (1 + 29 * 3, False)
    assert (bounded.events, bounded.truncated) == (11, True)


async def test_a_cause_that_is_not_on_the_log_is_named(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    lost = uuid.uuid4()
    await log.add(event(MessageReceived(text="x"), 50, causation_id=str(lost)))

    found = await trace(connection, uuid.UUID(event_id(50)))

    assert found is not None
    assert found.root.missing == [lost]


async def test_a_trace_never_leads_into_another_tenant_s_session(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    other = story(str(uuid.uuid4()), "rival")
    await log.add(replace(other[MESSAGE], event_id=event_id(60)))
    await log.add(event(MessageReceived(text="Tell me"), 61, causation_id=event_id(60)))

    found = await trace(connection, uuid.UUID(event_id(61)))
    effects = await trace(connection, uuid.UUID(event_id(60)), effects=True)

    assert found is not None
    assert found.root.missing == [uuid.UUID(event_id(60))]
    assert effects is not None
    assert effects.root.children == []


async def test_an_act_of_an_operator_of_every_tenant_is_a_cause_in_its_session_alone(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    act = replace(
        event(ApprovalReceived(approval_id=str(uuid.UUID(int=9)), approved=True), 62), tenant_id="*"
    )
    await log.add(act)
    await log.add(event(MessageReceived(text="Go on"), 63, causation_id=event_id(62)))
    elsewhere = replace(
        event(MessageReceived(text="Mine"), 64, causation_id=event_id(62)), session_id=str(uuid.uuid4())
    )
    await log.add(replace(elsewhere, tenant_id="rival"))

    ours = await trace(connection, uuid.UUID(event_id(63)))
    theirs = await trace(connection, uuid.UUID(event_id(64)))
    effects = await trace(connection, uuid.UUID(event_id(62)), effects=True)

    assert ours is not None
    assert [str(child.event.event_id) for child in ours.root.children] == [event_id(62)]
    assert theirs is not None
    assert theirs.root.missing == [uuid.UUID(event_id(62))]
    assert effects is not None
    assert [str(child.event.event_id) for child in effects.root.children] == [event_id(63)]


async def test_where_two_sessions_used_one_message_id_each_trace_finds_its_own(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    other = story(str(uuid.uuid4()))
    await log.add(other[MESSAGE])
    await log.add(
        replace(other[ANSWER], event_id=event_id(70), causation_id=event_id(MESSAGE), evidence_ids=())
    )

    theirs = await trace(connection, uuid.UUID(event_id(70)))
    ours = await trace(connection, uuid.UUID(event_id(ANSWER)))

    assert theirs is not None
    assert ours is not None
    assert str(theirs.root.children[0].event.session_id) == other[MESSAGE].session_id
    assert all(str(child.event.session_id) == SESSION for child in ours.root.children)


async def test_what_people_wrote_is_found_by_the_id_under_which_it_was_taken_in(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    await log.add(story()[MESSAGE], USER_INPUTS)

    found = await trace(connection, uuid.UUID(event_id(MESSAGE)))
    written = await rows(
        connection, f"SELECT topic FROM event_log WHERE correlation_id = '{event_id(MESSAGE)}'"
    )

    assert found is not None
    assert found.root.event.topic == "session.inputs"
    assert written == [("user.inputs",)]


async def test_the_list_of_sessions_pages_and_filters(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    await log.add(event(MessageReceived(text="Later"), 80, session_id=ROOT))

    newest = await sessions(connection, limit=1)
    older = await sessions(connection, limit=5, after=newest[0])
    answered = await sessions(connection, status="answered")

    assert [one.title for one in newest] == ["Later"]
    assert [(str(one.id), one.status, one.turns) for one in older] == [(SESSION, "answered", 1)]
    assert older == answered
    assert older[0].last_answer == "It is one. [1]"
    assert await sessions(connection, tenant_id="rival") == []


async def test_a_session_s_detail_has_its_tasks_as_a_tree_with_cost_and_tier_of_each_step(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    content = '{"chat":[{"name":"gpt-4o","tier":"premium"},{"name":"gpt-4o-mini","tier":"standard"}]}'
    published = ConfigurationPublished(
        kind=ConfigurationKind.MODELS, content_hash="abc", content_json=content
    )
    await log.add(event(published, CONFIGURED, session_id=""))

    detail = await session_detail(connection, uuid.UUID(SESSION))

    assert detail is not None
    (root,) = detail.tasks
    (child,) = root.children
    (step,) = child.steps
    assert (str(root.task.id), str(child.task.id)) == (ROOT, TASK)
    assert (child.task.intent, child.task.status, child.cost_nanodollars) == ("Find it", "complete", 65)
    assert (step.model, step.tier, step.purpose) == ("gpt-4o-2024-08-06", "premium", "step")
    assert await session_detail(connection, uuid.uuid4()) is None


def test_tasks_whose_parents_lead_back_to_themselves_all_come_out_once() -> None:
    first, second = uuid.UUID(TASK), uuid.UUID(ROOT)

    def row(identity: uuid.UUID, parent: uuid.UUID) -> TaskRow:
        return TaskRow(
            id=identity,
            parent_id=parent,
            intent="",
            agent=None,
            status="pending",
            priority=5,
            cost_budget_tokens=None,
            estimated_cost_tokens=None,
            actual_cost_tokens=None,
            retry_count=None,
            error_message=None,
            created_at=None,
            completed_at=None,
        )

    (root,) = task_tree([row(first, second), row(second, first)], [])

    assert (root.task.id, [child.task.id for child in root.children]) == (first, [second])
