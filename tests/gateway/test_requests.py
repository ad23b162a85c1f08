"""What requests say: cursors, marks of pages, and OpenAI's chat."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events.deltas import ModelDeltaReceived
from schemas.events.inputs import MessageReceived
from schemas.events.models import CallPurpose
from schemas.events.trust import Trust
from schemas.plain import to_plain
from streams.gateway.door import says_the_same
from streams.gateway.frames import Cursor
from streams.gateway.openai_chat import asked_of
from streams.gateway.pages import mark_of, moment_in, number_in, parts_of, uuid_in
from streams.gateway.problems import Problem

CALL = "9f2a1c34-0000-4000-8000-000000000001"
Json = dict[str, object]


def chat(*messages: Json, **more: object) -> Json:
    return {"model": "cartrita", "messages": list(messages), **more}


def session_mark(text: str) -> tuple[str, str]:
    at, session_id = parts_of(text, 2)
    return moment_in(at).isoformat(), str(uuid_in(session_id))


def said(text: object, role: str = "user") -> Json:
    return {"role": role, "content": text}


@pytest.mark.parametrize(
    "cursor", [Cursor(), Cursor(sequence=17), Cursor(sequence=3, call=CALL, attempt=2, index=40)]
)
def test_a_cursor_is_read_as_it_was_written(cursor: Cursor) -> None:
    assert Cursor.read(str(cursor)) == cursor


@given(st.text(max_size=60))
def test_what_is_no_cursor_is_none(text: str) -> None:
    read = Cursor.read(text)
    assert read is None or Cursor.read(str(read)) == read


@pytest.mark.parametrize("text", ["", "-1", "1.", "1.x.1.1", "9" * 30, "1.2.3", f"1.{CALL.upper()}.1.1", "١"])
def test_these_are_no_cursors(text: str) -> None:
    assert Cursor.read(text) is None


def test_a_cursor_has_passed_what_came_before_it_in_its_call() -> None:
    cursor = Cursor(sequence=3, call=CALL, attempt=2, index=4)

    def piece(attempt: int, index: int, call: str = CALL) -> ModelDeltaReceived:
        return ModelDeltaReceived(
            call_id=call, task_id="t", purpose=CallPurpose.SYNTHESIZE, attempt=attempt, index=index, text="x"
        )

    assert cursor.has_passed(piece(1, 99))
    assert cursor.has_passed(piece(2, 4))
    assert not cursor.has_passed(piece(2, 5))
    assert not cursor.has_passed(piece(3, 0))
    assert not cursor.has_passed(piece(1, 0, call="another"))


@given(st.text(max_size=80))
def test_a_mark_that_is_none_is_told_so(text: str) -> None:
    with pytest.raises(Problem, match="no mark of a page"):
        session_mark(text)


@pytest.mark.parametrize("parts", [("a",), ("\0", "b"), ("2026-01-01", CALL), ("2026-01-01T00:00:00Z", "x")])
def test_parts_that_no_page_has_are_refused(parts: tuple[str, ...]) -> None:
    with pytest.raises(Problem, match="no mark of a page"):
        session_mark(mark_of(*parts))


def test_a_mark_is_read_as_it_was_made() -> None:
    assert session_mark(mark_of("2026-01-01T00:00:00+00:00", CALL)) == ("2026-01-01T00:00:00+00:00", CALL)
    assert number_in("17") == 17
    with pytest.raises(Problem, match="no mark of a page"):
        number_in("²")


def test_one_message_is_said_as_it_is() -> None:
    assert asked_of(chat(said("Hello")), None).text == "Hello"
    parts = [{"type": "text", "text": "Hel"}, {"type": "text", "text": "lo"}]
    assert asked_of(chat(said(parts)), None).text == "Hello"


def test_history_is_told_as_the_clients_unless_the_session_has_it() -> None:
    messages: tuple[Json, ...] = (
        said("Be kind", "developer"),
        said("One?"),
        {"role": "assistant", "content": None},
        said("Yes", "assistant"),
        said("Two?"),
    )
    text = asked_of(chat(*messages), None).text
    assert text.startswith("Two?\n")
    assert [text.index(part) for part in ("developer: Be kind", "user: One?", "assistant: Yes")] == sorted(
        text.index(part) for part in ("developer: Be kind", "user: One?", "assistant: Yes")
    )
    asked = asked_of(chat(*messages), CALL)
    assert (asked.text, asked.session_id, asked.trust) == ("Two?", CALL, Trust.USER)
    assert asked_of(chat(*messages), None).trust is Trust.CLAIM
    assert asked_of(chat(said("One?"), said("Two?")), None).trust is Trust.USER
    assert asked_of(chat(*messages, metadata={"session_id": CALL}), None).session_id == CALL


def test_a_repeat_of_what_an_earlier_program_wrote_is_known_as_the_same() -> None:
    now = MessageReceived(text="Two?", trust=Trust.CLAIM)
    before = {key: value for key, value in to_plain(now).items() if key != "trust"}

    assert says_the_same({**before, "tokens": 3}, now)
    assert not says_the_same({**before, "text": "Three?"}, now)


def test_parameters_that_are_not_known_are_ignored() -> None:
    asked = asked_of(
        chat(said("x"), temperature=3, seed=1, n=1, tools=[], store=True, stream_options=None, logit_bias={}),
        None,
    )
    assert not asked.stream
    assert not asked.usage


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        (chat(said("x"), n=2), 400, "n"),
        (chat(said("x"), tools=[{"type": "function"}]), 400, "tools"),
        (chat(said("x"), functions=[{"name": "f"}]), 400, "functions"),
        (chat(), 400, "messages"),
        ({"model": "cartrita", "messages": "x"}, 400, "messages"),
        ({"model": "cartrita"}, 400, "messages"),
        ({"model": "cartrita", "messages": ["x"]}, 400, "messages[0].role"),
        (chat(said("x", "wizard")), 400, "messages[0].role"),
        (chat(said("x"), said("y", "assistant")), 400, "messages[1]"),
        (chat(said("  ")), 400, "messages[0]"),
        (chat(said(7)), 400, "messages[0].content"),
        (chat(said([{"type": "image_url", "image_url": {"url": "data:"}}])), 400, "messages[0].content"),
        (chat(said([{"type": "input_audio"}])), 400, "messages[0].content"),
    ],
)
def test_what_cannot_be_answered_is_told_with_its_field(body: Json, status: int, param: str) -> None:
    with pytest.raises(Problem) as told:
        asked_of(body, None)
    assert (told.value.status, told.value.param) == (status, param)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_answered_or_told_what_is_wrong(messages: object) -> None:
    body = json.loads(json.dumps({"model": "cartrita", "messages": messages}))
    with contextlib.suppress(Problem):
        assert asked_of(body, None).text
