"""V1's rows become the same events every time, and say what V1 says and no more."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.version_one.reader import KEY_CHARACTERS_MAX, OWNER_CHARACTERS_MAX
from processors.import_source import NOTHING, Kept, LeftBehind, Source, session_id_of
from processors.import_tools import ToolUse
from processors.importing import TEXT_BYTES_MAX, Conversation, status_of
from schemas.envelope import Envelope
from schemas.events.imports import (
    BaselineImported,
    ConversationImported,
    ImportedStatus,
    InvocationImported,
    MessageImported,
    RetrievalImported,
    TaskColumns,
    ToolUseImported,
)
from schemas.ids import is_uuid
from schemas.ports.version_one import PastInvocation, PastMessage, PastSession
from schemas.wire.codec import Codec
from topics.catalog import RECORD_BYTES_MAX, SESSION_IMPORTS

NOON_US = 1_767_268_800_000_000
HOUR_US = 3_600_000_000
SOURCE = Source(
    origin="old",
    tenant_id="acme",
    user_id="ann",
    as_of_us=NOON_US + 30 * 24 * HOUR_US,
    running_within_us=24 * HOUR_US,
)
SESSION = PastSession(key="57", created_at_us=NOON_US)
CODEC = Codec.offline([SESSION_IMPORTS])


def message(number: int, role: str, text: str = "short", **more: object) -> PastMessage:
    """Return the message of that minute after noon."""
    return PastMessage(
        key=str(number),
        session_key="57",
        role=role,
        text=text,
        said_at_us=NOON_US + number * 60_000_000,
        **more,  # type: ignore[arg-type]  # mypy cannot see the fields of a dict
    )


def events_of(
    *rows: PastMessage | PastInvocation,
    session: PastSession = SESSION,
    source: Source = SOURCE,
    left: LeftBehind = NOTHING,
) -> list[Envelope]:
    """Return all events of a conversation."""
    conversation = Conversation(source, session, left)
    found = []
    for row in rows:
        found += conversation.message(row) if isinstance(row, PastMessage) else conversation.invocation(row)
    return found + conversation.end()


def messages_in(events: list[Envelope]) -> list[MessageImported]:
    return [one.body for one in events if isinstance(one.body, MessageImported)]


def whole(events: list[Envelope]) -> ConversationImported:
    (found,) = [one.body for one in events if isinstance(one.body, ConversationImported)]
    return found


def test_long_answers_and_every_message_of_a_tool_are_subtasks_in_time_s_order() -> None:
    events = events_of(
        message(1, "user", "What is a sink?" * 30),
        message(2, "tool", "", metadata={"tool_name": "search"}),
        message(3, "tool", "no name"),
        message(4, "assistant", "x" * 200),
        message(5, "assistant", "x" * 201),
    )

    tasks = [one.task for one in messages_in(events)]
    root = whole(events).task_id
    assert [task and task.intent for task in tasks] == [
        None,
        "tool_search",
        "tool_unknown",
        None,
        "assistant_response",
    ]
    made = [task for task in tasks if task is not None]
    assert [task.after_task_id for task in made] == [None, made[0].task_id, made[1].task_id]
    assert made[2].preview == "x" * 100
    assert {one.root_task_id for one in messages_in(events)} == {root}
    assert len({root, *(task.task_id for task in made)}) == 4


def test_events_have_no_number_and_the_time_of_then_and_follow_from_the_source_s_name() -> None:
    rows = (message(1, "user"), message(2, "assistant", "x" * 300))

    first, again = events_of(*rows), events_of(*rows)
    elsewhere = events_of(*rows, source=replace(SOURCE, origin="other"))

    assert [one.event_id for one in first] == [one.event_id for one in again]
    assert not {one.event_id for one in first} & {one.event_id for one in elsewhere}
    assert {one.sequence for one in first} == {0}
    assert first[0].occurred_at_ms == NOON_US // 1_000 + 60_000
    assert {(one.tenant_id, one.user_id) for one in first} == {("acme", "ann")}
    assert {one.session_id for one in first} == {session_id_of("old", "57")}


def test_a_row_that_changed_is_another_event_of_the_same_row() -> None:
    before = events_of(message(1, "user", "one"))[0]
    after = events_of(message(1, "user", "two"))[0]
    assert isinstance(before.body, MessageImported)
    assert isinstance(after.body, MessageImported)

    assert before.event_id != after.event_id
    assert before.body.message_id == after.body.message_id


def test_what_was_told_of_a_cost_before_makes_no_other_event() -> None:
    row = message(1, "user", cost_tokens=7)
    first = Conversation(SOURCE, SESSION).message(row)[0]
    later = Conversation(SOURCE, SESSION).message(row, cost_before=7)[0]

    assert first.event_id == later.event_id


@pytest.mark.parametrize(
    "key", ["8D6C2F1E-0000-4000-8000-00000000000A", "8d6c2f1e-0000-4000-8000-00000000000a"]
)
def test_an_id_that_is_a_uuid_stays_it(key: str) -> None:
    assert session_id_of("old", key) == key.lower()


@pytest.mark.parametrize("key", ["57", "thread/ä", "", "8d6c2f1e"])
def test_any_other_id_gives_one(key: str) -> None:
    assert is_uuid(session_id_of("old", key))
    assert session_id_of("old", key) != session_id_of("new", key)


@pytest.mark.parametrize(
    ("word", "ended", "status"),
    [
        ("active", False, ImportedStatus.RUNNING),
        ("Active ", True, ImportedStatus.RUNNING),
        ("error", False, ImportedStatus.FAILED),
        ("cancelled", False, ImportedStatus.ABORTED),
        ("closed", False, ImportedStatus.COMPLETE),
        ("", True, ImportedStatus.COMPLETE),
        ("strange", False, ImportedStatus.COMPLETE),
        ("", False, ImportedStatus.COMPLETE),
    ],
)
def test_a_conversation_of_long_ago_stands_as_v1_says(word: str, ended: bool, status: ImportedStatus) -> None:
    session = replace(SESSION, status=word, ended_at_us=NOON_US if ended else None)

    assert status_of(session, NOON_US, SOURCE) is status


@pytest.mark.parametrize("word", ["", "strange"])
def test_one_that_went_on_until_just_now_is_not_called_complete(word: str) -> None:
    session = replace(SESSION, status=word)

    assert status_of(session, SOURCE.as_of_us - HOUR_US, SOURCE) is ImportedStatus.RUNNING
    assert status_of(session, SOURCE.as_of_us - 25 * HOUR_US, SOURCE) is ImportedStatus.COMPLETE


def test_a_recent_conversation_has_a_snapshot_in_the_design_s_shape() -> None:
    source = replace(SOURCE, as_of_us=NOON_US + HOUR_US)
    events = events_of(message(1, "tool"), message(2, "assistant", "x" * 999), source=source)

    (baseline,) = [one.body for one in events if isinstance(one.body, BaselineImported)]
    snapshot = json.loads(baseline.snapshot_json)
    assert [set(task) for task in snapshot["tasks"]] == [
        {"id", "parent_id", "intent", "status", "priority", "created_at"}
    ] * 3
    root = snapshot["tasks"][0]
    assert (root["intent"], root["parent_id"], root["status"]) == (
        "root_conversation_objective",
        None,
        "running",
    )
    assert {task["parent_id"] for task in snapshot["tasks"][1:]} == {root["id"]}
    assert snapshot["migration_info"]["task_count"] == 3
    assert snapshot["migration_info"]["backfilled_at"] == "2026-01-01T13:00:00.000000+00:00"


def test_one_of_long_ago_has_none() -> None:
    assert not [one for one in events_of(message(1, "tool")) if isinstance(one.body, BaselineImported)]


def test_tasks_of_an_earlier_backfill_keep_their_ids_and_each_stands_for_one_message() -> None:
    at_us = message(1, "tool").said_at_us
    assert at_us is not None
    kept = [
        Kept(task_id=f"kept-{n}", columns=TaskColumns(budget_tokens=5_000, estimated_tokens=0))
        for n in (1, 2)
    ]
    left = LeftBehind(
        root=replace(kept[0], task_id="root"),
        subtasks={("tool_unknown", at_us): tuple(kept)},
        snapshot_id="snapshot",
    )
    rows = [replace(message(1, "tool"), key=key) for key in ("a", "b", "c")]

    events = events_of(*rows, left=left, source=replace(SOURCE, as_of_us=NOON_US))

    tasks = [one.task for one in messages_in(events) if one.task is not None]
    assert [task.task_id for task in tasks[:2]] == ["kept-1", "kept-2"]
    assert tasks[2].task_id not in ("kept-1", "kept-2")
    assert [task.adopted is None for task in tasks] == [False, False, True]
    assert whole(events).task_id == "root"
    assert [one.body.snapshot_id for one in events if isinstance(one.body, BaselineImported)] == ["snapshot"]


def test_a_search_is_measured_only_where_v1_measured_it() -> None:
    told = {
        "retrieval": {"query": "sinks", "k_initial": 10, "usefulness_score": True, "documents_used": "two"}
    }
    none = {"retrieval": {"k_initial": 10}, "rag": "yes"}
    events = events_of(
        message(1, "user", "x" * 400),
        message(2, "assistant", metadata=told),
        message(3, "assistant", metadata=none),
    )

    (found,) = [one.body for one in events if isinstance(one.body, RetrievalImported)]
    assert (found.query, found.k_initial, found.k_rerank, found.documents_used) == ("sinks", 10, None, None)
    assert found.usefulness_score is None


def test_a_text_that_no_record_holds_is_cut_and_the_record_fits() -> None:
    event = events_of(message(1, "user", "é" * 1_000_000, metadata={"x": "y" * 1_000_000}))[0]

    assert isinstance(event.body, MessageImported)
    assert len(event.body.text.encode()) <= TEXT_BYTES_MAX
    assert event.body.text.endswith("…")
    assert len(CODEC.encode(SESSION_IMPORTS, event)) < 1_000_000


def test_the_statistics_of_a_tool_count_what_v1_says() -> None:
    use = ToolUse()
    call = PastInvocation(
        key="1", session_key="57", tool="search", category="retrieval", called_at_us=NOON_US
    )
    use.add(replace(call, output={"success": True}, latency_ms=10, cost_tokens=4))
    use.add(replace(call, output={"success": "false"}, latency_ms=30, called_at_us=NOON_US + 5))
    use.add(replace(call, output="no json", category="other"))

    event = use.event(SOURCE, "search")

    assert isinstance(event.body, ToolUseImported)
    assert (event.session_id, event.body.calls, event.body.category) == ("", 3, "retrieval")
    assert (event.body.success_rate, event.body.latency_ms_mean) == (50.0, 20.0)
    assert (event.body.succeeded_at_us, event.body.failed_at_us) == (NOON_US, NOON_US + 5)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
_DETAILS = st.dictionaries(
    st.sampled_from(["tool_name", "retrieval", "rag", "name", "success", "query"]) | st.text(max_size=5),
    _VALUES,
)
_TIMES = st.none() | st.integers(-(2**62), 2**62)


@given(
    st.builds(
        PastMessage,
        key=st.text(),
        session_key=st.just("57"),
        role=st.text(),
        text=st.text(),
        said_at_us=_TIMES,
        metadata=_DETAILS,
    ),
    st.builds(
        PastInvocation,
        key=st.text(),
        session_key=st.just("57"),
        tool=st.text(),
        output=_VALUES,
        called_at_us=_TIMES,
    ),
    st.builds(
        PastSession,
        key=st.text(),
        created_at_us=_TIMES,
        ended_at_us=_TIMES,
        status=st.text(),
        title=st.text(),
    ),
)
def test_whatever_v1_holds_becomes_events_that_can_be_written(
    said: PastMessage, called: PastInvocation, session: PastSession
) -> None:
    for event in events_of(said, called, session=session):
        assert CODEC.encode(SESSION_IMPORTS, event)
        assert isinstance(
            event.body,
            MessageImported
            | InvocationImported
            | ConversationImported
            | RetrievalImported
            | BaselineImported,
        )


@pytest.mark.parametrize("character", ["a", "🚀", "\x01", '"'])
def test_whatever_v1_has_fits_into_a_record(character: str) -> None:
    long, tool = character * 1_000_000, {"tool_name": character * 1_000}
    key, owner = character * KEY_CHARACTERS_MAX, character * OWNER_CHARACTERS_MAX
    session = PastSession(
        key=key, title=long, status=long, owner=owner, created_at_us=SOURCE.as_of_us - HOUR_US
    )
    rows: list[PastMessage | PastInvocation] = [
        PastMessage(key=key, session_key=key, role=long, text=long, metadata={"rag": {"query": long}}),
        PastInvocation(key=key, session_key=key, tool=long, category=long, output={"result": long}),
        PastInvocation(key=key, session_key=key, output=long),
        *(replace(message(number, "tool", metadata=tool), key=key) for number in range(1_500)),
    ]

    events = events_of(*rows, session=session)

    assert {one.type for one in events} >= {"BaselineImported", "RetrievalImported", "InvocationImported"}
    for one in {one.type: one for one in events}.values():
        headers = sum(len(name) + len(value) for name, value in CODEC.headers(SESSION_IMPORTS, one))
        assert len(CODEC.encode(SESSION_IMPORTS, one)) + headers < RECORD_BYTES_MAX
