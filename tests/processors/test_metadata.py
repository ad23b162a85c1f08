"""What a producer may put beside a message: one JSON object, bounded."""

import pytest

from processors.inputs import METADATA_BYTES_MAX, InputInvalid, checked_input
from schemas.configuration import Limits
from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived, SessionOpened
from tests.processors.world import SESSION


def checked(body: MessageReceived | SessionOpened) -> Envelope:
    return checked_input(
        Envelope(session_id=SESSION, body=body),
        ("user.inputs", 0, 1),
        taken_at_ms=1,
        producer="test",
        tokenizer=len,
        limits=Limits(),
    )


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        "{}",
        '{"a": {"b": [1, 2.5, null]}}',
        '{"a": "\\u0000 \\ud800 \u00f6"}',
        '{"a": 1e999}',
        '{"a": 1, "a": 2}',
    ],
)
def test_an_object_goes_on_as_it_is(metadata: str | None) -> None:
    for body in (MessageReceived(text="hi", metadata_json=metadata), SessionOpened(metadata_json=metadata)):
        taken = checked(body).body
        assert isinstance(taken, type(body))
        assert taken.metadata_json == metadata


@pytest.mark.parametrize(
    "metadata", ["", "null", "1", '"text"', "[]", "{", "{}{}", "{'a': 1}", "[" * 10_000, '{"a":' * 5_000]
)
def test_what_is_no_object_is_refused_by_name(metadata: str) -> None:
    for body in (MessageReceived(text="hi", metadata_json=metadata), SessionOpened(metadata_json=metadata)):
        with pytest.raises(InputInvalid, match="metadata_json"):
            checked(body)


def test_its_size_is_bounded_in_bytes() -> None:
    within = '{"a": "' + "ö" * ((METADATA_BYTES_MAX - 9) // 2) + '"}'
    assert len(within.encode()) <= METADATA_BYTES_MAX
    assert checked(MessageReceived(text="hi", metadata_json=within))

    with pytest.raises(InputInvalid, match=f"more than {METADATA_BYTES_MAX:,} bytes"):
        checked(MessageReceived(text="hi", metadata_json=within + "  "))
