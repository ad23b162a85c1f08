"""Who may ask for what to be tried again, and what may be changed of a record that was put aside."""

import json

import pytest

from processors.inputs import InputInvalid
from processors.redrives import (
    EDIT_BYTES_MAX,
    LETTERS_MAX,
    RECORDS_PER_S_MAX,
    checked_redrive,
    edit_of,
    edited,
    is_wanted,
    is_whole,
    reason_in_common,
    schema_id_of,
    topic_named,
)
from processors.rejections import Refused, rejected
from schemas.envelope import Envelope, Fact
from schemas.events.dead_letters import RecordRejected, RejectionCode
from schemas.events.inputs import (
    ApprovalReceived,
    Attachment,
    ForkRequested,
    MessageReceived,
    SessionBudgetSet,
    SessionClosed,
)
from schemas.events.redrives import LetterGroup, RedriveRequested
from schemas.frozen import replace
from schemas.ids import derived_id
from topics.catalog import RECORD_BYTES_MAX

ID = derived_id("redrive")
LETTER = derived_id("letter")
SESSION = derived_id("session")
GROUP = LetterGroup(code="invalid_input", topic="user.inputs", schema_id=7, reason="text is empty")


def asked(acts_for: object = "acme", **fields: object) -> Envelope:
    body = RedriveRequested(**{"letters": (LETTER,), "tenant": "acme", "records_per_s_max": 100, **fields})  # type: ignore[arg-type]  # tests give what they like
    return Envelope(event_id=ID, tenant_id=str(acts_for), user_id="olga", body=body)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"letters": ()}, "one of the two"),
        ({"group": GROUP}, "one of the two"),
        ({"letters": ("nonsense",)}, "UUID"),
        ({"letters": tuple(derived_id(str(n)) for n in range(LETTERS_MAX + 1))}, "1,001"),
        ({"letters": (), "group": replace(GROUP, reason="r" * 2_001)}, "2,000"),
        ({"records_per_s_max": 0}, "1 to 1,000"),
        ({"records_per_s_max": RECORDS_PER_S_MAX + 1}, "1 to 1,000"),
        ({"tenant": "other"}, "that tenant alone"),
        ({"tenant": None}, "that tenant alone"),
        ({"edit_json": "{"}, "no JSON object"),
        ({"edit_json": "[1]"}, "no JSON object"),
        ({"edit_json": "{}"}, "no JSON object"),
        ({"edit_json": '{"text": ' + "[" * 5_000 + "]" * 5_000 + "}"}, "no JSON object|nested deeper"),
        ({"edit_json": json.dumps({"text": "x" * EDIT_BYTES_MAX})}, "65,536 bytes"),
        ({"edit_json": '{"text": {"a": ' * 20 + "1" + "}}" * 20}, "nested deeper"),
        (
            {"letters": (), "group": replace(GROUP, topic="tool.results"), "edit_json": '{"text": "x"}'},
            "only",
        ),
    ],
)
def test_a_redrive_that_says_nothing_clear_or_wants_too_much_is_refused(
    fields: dict[str, object], told: str
) -> None:
    with pytest.raises(InputInvalid, match=told):
        checked_redrive(asked(**fields), taken_at_ms=5)


@pytest.mark.parametrize("tenant", ["acme", "*"])
def test_a_redrive_that_is_clear_is_passed_on_with_the_time_of_kafka(tenant: str) -> None:
    event = replace(asked(tenant), occurred_at_ms=1, session_id=SESSION)

    taken = checked_redrive(event, taken_at_ms=5)

    assert (taken.event_id, taken.user_id, taken.body) == (ID, "olga", event.body)
    assert (taken.occurred_at_ms, taken.session_id) == (5, "")


@pytest.mark.parametrize(
    "name",
    ["tenant", "tenant_id", "user_id", "session_id", "origin_session_id", "approval_id", "Approval", "type"],
)
def test_whose_a_record_is_is_never_changed(name: str) -> None:
    with pytest.raises(InputInvalid, match="never changed"):
        edit_of(json.dumps({name: "x"}))


def said(body: Fact, **fields: str) -> Envelope:
    return Envelope(
        event_id=derived_id("said"), session_id=SESSION, tenant_id="acme", user_id="ann", body=body
    )


def test_an_edited_copy_says_something_else_for_the_same_person_under_an_id_of_its_own() -> None:
    before = said(
        MessageReceived(
            text="", attachments=(Attachment(name="a", media_type="t", text="x"),), budget_tokens=5
        )
    )

    after = edited(before, {"text": "hello", "budget_tokens": None}, ID, LETTER)

    assert isinstance(after.body, MessageReceived)
    assert (after.body.text, after.body.budget_tokens, len(after.body.attachments)) == ("hello", None, 1)
    assert (after.session_id, after.tenant_id, after.user_id) == (SESSION, "acme", "ann")
    assert after.event_id == edited(before, {"text": "hi"}, ID, LETTER).event_id
    assert after.event_id not in (before.event_id, edited(before, {"text": "hi"}, LETTER, LETTER).event_id)


@pytest.mark.parametrize(
    ("body", "edit", "told"),
    [
        (
            ApprovalReceived(approval_id=ID, approved=False),
            {"approved": True},
            "nothing that anybody may say",
        ),
        (SessionBudgetSet(tokens=1), {"tokens": 9}, "nothing that anybody may say"),
        (MessageReceived(text=""), {"txet": "x"}, "no field txet"),
        (MessageReceived(text=""), {"text": None}, "KeyError"),
        (MessageReceived(text=""), {"attachments": [{"name": 1}]}, "cannot be changed"),
        (MessageReceived(text=""), {"attachments": "x"}, "cannot be changed"),
        (SessionClosed(), {"text": "x"}, "no field text"),
    ],
)
def test_what_cannot_be_changed_so_is_told(body: Fact, edit: dict[str, object], told: str) -> None:
    with pytest.raises(InputInvalid, match=told):
        edited(said(body), edit, ID, LETTER)


def test_a_fork_may_be_given_another_message_but_no_other_origin() -> None:
    fork = ForkRequested(origin_session_id=SESSION, origin_event_id=LETTER, text=" ")

    after = edited(said(fork), edit_of('{"text": "again"}'), ID, LETTER)

    assert after.body == replace(fork, text="again")


def letter(**fields: object) -> Envelope:
    body = RecordRejected(
        **{  # type: ignore[arg-type]  # as above
            "topic": "p.user.inputs",
            "partition": 0,
            "offset": 3,
            "key": None,
            "value": b"\0\0\0\0\x07rest",
            "headers": (),
            "code": RejectionCode.INVALID_INPUT,
            "reason": "text is empty",
            "shell": "ingress",
            **fields,
        }
    )
    return Envelope(event_id=LETTER, tenant_id="acme", user_id="ann", occurred_at_ms=100, body=body)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, True),
        ({"tenant": "other"}, False),
        ({"tenant": None}, True),
        ({"user": "ann"}, True),
        ({"user": "bob"}, False),
        ({"put_aside_until_ms": 100}, True),
        ({"put_aside_until_ms": 99}, False),
        ({"letters": (ID,)}, False),
        ({"letters": (), "group": GROUP}, True),
        ({"letters": (), "group": replace(GROUP, schema_id=8)}, False),
        ({"letters": (), "group": replace(GROUP, schema_id=None)}, False),
        ({"letters": (), "group": replace(GROUP, code="too_large")}, False),
        ({"letters": (), "group": replace(GROUP, topic="p.user.inputs")}, False),
        ({"letters": (), "group": replace(GROUP, reason="text")}, False),
        ({"letters": (), "group": GROUP, "tenant": "other"}, False),
    ],
)
def test_which_letters_a_redrive_is_about(wanted: dict[str, object], expected: bool) -> None:
    request = asked(**wanted).body
    assert isinstance(request, RedriveRequested)

    assert is_wanted(request, letter(), "p.") is expected


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("text has 1,234 bytes; the most is 5", "text has 9 bytes; the most is 5,000"),
        ("the name 'ann' is none", "the name 'bob 7' is none"),
        ("the name 'ann' is none", 'the name "it\'s" is none'),
        (f"no call {ID} waits", f"no call {LETTER} waits"),
    ],
)
def test_reasons_that_differ_in_ids_numbers_and_quotes_are_one(one: str, other: str) -> None:
    assert reason_in_common(one) == reason_in_common(other)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, None), (b"", None), (b"\0\0\0\1", None), (b"\1\0\0\0\1", None), (b"\0\0\0\1\2x", 258)],
)
def test_the_schema_of_a_value_is_read_from_its_head(value: bytes | None, expected: int | None) -> None:
    assert schema_id_of(value) == expected


def test_a_letter_that_holds_only_the_beginning_of_its_record_is_known() -> None:
    def put_aside(**fields: object) -> RecordRejected:
        refused = Refused(
            **{  # type: ignore[arg-type]  # as above
                "topic": "user.inputs",
                "partition": 0,
                "offset": 0,
                "key": b"k",
                "value": b"v",
                "headers": (),
                "code": "not_avro",
                "reason": "bad",
                **fields,
            }
        )
        body = rejected(refused, by="ingress", now_ms=1).body
        assert isinstance(body, RecordRejected)
        return body

    assert is_whole(put_aside())
    assert not is_whole(put_aside(value=b"v" * (RECORD_BYTES_MAX + 1)))
    assert not is_whole(put_aside(key=b"k" * 20_000))
    assert not is_whole(put_aside(headers=[("h", b"x" * 200_000)]))


@pytest.mark.parametrize(
    ("topic", "expected"),
    [("p.user.inputs", "user.inputs"), ("user.inputs", None), ("p.other", None), ("q.user.inputs", None)],
)
def test_a_topic_is_one_of_ours_or_none(topic: str, expected: str | None) -> None:
    body = letter(topic=topic).body
    assert isinstance(body, RecordRejected)

    assert topic_named(body, "p.") == expected
