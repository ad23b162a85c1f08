"""Where records go that belong to no session."""

from dataclasses import replace

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected, RejectionCode
from topics.catalog import DEAD_LETTERS
from topics.routing import key_of

LETTER = Envelope(
    event_id="4b1f4c7e-0000-5000-8000-000000000001",
    type="RecordRejected",
    body=RecordRejected(
        topic="model.results",
        partition=0,
        offset=3,
        key=None,
        value=None,
        headers=(),
        code=RejectionCode.NO_VALUE,
        reason="there is no value",
        shell="session",
    ),
)


def test_a_letter_about_no_session_that_is_written_twice_stands_twice_under_one_key() -> None:
    again = replace(LETTER, occurred_at_ms=LETTER.occurred_at_ms + 1)

    assert key_of(DEAD_LETTERS, LETTER) == key_of(DEAD_LETTERS, again) == LETTER.event_id.encode()


def test_a_letter_about_a_session_stands_under_it() -> None:
    letter = replace(LETTER, session_id="4b1f4c7e-0000-4000-8000-000000000002")

    assert key_of(DEAD_LETTERS, letter) == letter.session_id.encode()
