"""Dead letters and redrives as Postgres tells of them, over a log of a few."""

import uuid

import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from processors.redrives import group_of
from processors.rejections import Refused, rejected
from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived
from schemas.events.redrives import LetterRedriven, LettersKept, RedriveEnded, RedriveFact, RedriveRequested
from schemas.frozen import replace
from schemas.ids import derived_id
from sinks import letters
from sinks.letters import Mine, Which
from tests.sinks.story import Log

pytestmark = pytest.mark.stack

REASONS = (
    "text is empty",
    "text has 1,234 bytes; the most is 5",
    "text has 7 bytes; the most is 500,000.5",
    f"no call {derived_id('a')} waits for 'it' or \"that 7\"",
    f"no call {derived_id('b')} waits for 'what' or \"so\"",
    f"X{derived_id('a')} and {derived_id('b').upper()}",
    "ends with 5. And 5,, or ٣ and 'open",
    "a\\b %_ é … '' \"\"",
    "r" * 2_500,
)
VALUES = (
    None,
    b"",
    b"\0\0\0\1",
    b"\0\0\0\0\7",
    b"\0\0\0\1\2and more",
    b"\0\xff\xff\xff\xff rest",
    b"\1\0\0\0\1",
    b"\x03abcdef",
)


def letter(number: int, reason: str = "text is empty", tenant: str = "acme", **fields: object) -> Envelope:
    refused = {
        "topic": "p.user.inputs",
        "partition": 0,
        "offset": number,
        "key": None,
        "value": b"\0\0\0\0\7",
        "headers": (("a", b"\x01"), ("b", None)),
        "code": "invalid_input",
        "reason": reason,
        "event": Envelope(tenant_id=tenant, user_id="ann", body=MessageReceived(text="")),
    }
    return rejected(Refused(**{**refused, **fields}), by="ingress", now_ms=1_000 + number)  # type: ignore[arg-type]  # tests give what they like


async def test_letters_are_listed_by_pages_and_shown_with_their_bytes(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    kept = [letter(number) for number in range(5)]
    for one in (*kept, letter(9, tenant="other"), letter(7, code="not_avro", value=b"\x00\xff")):
        await log.add(one)
    mine = Mine(tenant="acme")

    first = await letters.letters(connection, mine, Which(code="invalid_input"), limit=2)
    mark = (first[-1].occurred_at, first[-1].event_id)
    rest = await letters.letters(connection, mine, Which(code="invalid_input"), before=mark)

    assert [str(one.event_id) for one in (*first, *rest)] == [one.event_id for one in reversed(kept)]
    assert len(await letters.letters(connection, Mine(), Which())) == 7
    assert await letters.letters(connection, Mine(tenant="acme", user="bob"), Which()) == []
    assert await letters.letters(connection, mine, Which(code="other")) == []
    shown = await letters.letter(connection, mine, uuid.UUID(kept[0].event_id))
    assert shown is not None
    assert (shown.key, shown.value, shown.headers) == (None, b"\0\0\0\0\7", (("a", b"\x01"), ("b", None)))
    assert (shown.letter.topic, shown.letter.offset, shown.letter.shell) == ("p.user.inputs", 0, "ingress")
    assert await letters.letter(connection, Mine(tenant="other"), uuid.UUID(kept[0].event_id)) is None


async def test_postgres_groups_letters_as_redrives_do(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    kept = [letter(number, reason) for number, reason in enumerate(REASONS)]
    kept += [letter(100 + number, value=value) for number, value in enumerate(VALUES)]
    for one in kept:
        await log.add(one)

    groups = await letters.groups(connection, Mine(tenant="acme"), 100)
    rows = await letters.letters(connection, Mine(tenant="acme"), Which(), limit=100)

    told = {str(row.event_id): (row.common, row.schema_id) for row in rows}
    wanted: dict[tuple[str, int | None], int] = {}
    for one in kept:
        assert isinstance(one.body, RecordRejected)
        group = group_of(one.body, "p.")
        assert told[one.event_id] == (group.reason, group.schema_id)
        wanted[group.reason, group.schema_id] = wanted.get((group.reason, group.schema_id), 0) + 1
    assert {(one.reason, one.schema_id): one.letters for one in groups} == wanted
    (of_group,) = [one for one in groups if "waits" in one.reason]
    which = Which(
        code=of_group.code, topic=of_group.topic, reason=of_group.reason, schema_id=of_group.schema_id
    )
    assert len(await letters.letters(connection, Mine(tenant="acme"), which)) == of_group.letters == 2


async def test_what_was_tried_again_is_known_of_letters_groups_and_redrives(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    one, other = letter(0), letter(1)
    redrive = derived_id("redrive")

    async def tell(
        fact: RedriveFact, event_id: str, cause: str | None, evidence: tuple[str, ...] = ()
    ) -> None:
        await log.add(
            Envelope(
                event_id=event_id,
                tenant_id="acme",
                user_id="olga",
                occurred_at_ms=5_000,
                causation_id=cause,
                evidence_ids=evidence,
                body=fact,
            )
        )

    await log.add(one)
    await log.add(other)
    wanted = RedriveRequested(letters=(one.event_id, other.event_id), tenant="acme", records_per_s_max=9)
    await tell(wanted, redrive, None)
    again = LetterRedriven(
        redrive_id=redrive, letter_id=one.event_id, topic="user.inputs", partition=0, offset=7
    )
    await tell(again, derived_id("again"), redrive, (one.event_id,))

    (running,) = await letters.redrives(connection, Mine(tenant="acme"))
    assert (str(running.id), running.operator, running.redriven, running.ended_at) == (
        redrive,
        "olga",
        1,
        None,
    )
    (group,) = await letters.groups(connection, Mine(tenant="acme"), 10)
    assert (group.letters, group.redriven) == (2, 1)
    rows = await letters.letters(connection, Mine(), Which())
    assert {str(row.event_id): row.redriven_at is not None for row in rows} == {
        one.event_id: True,
        other.event_id: False,
    }
    kept = LettersKept(reason="no", letters=1, example_id=other.event_id)
    ended = RedriveEnded(redrive_id=redrive, redriven=1, redriven_before=0, kept=(kept,), kept_count=1)
    await tell(ended, derived_id("ended"), redrive)
    (told,) = await letters.redrives(connection, Mine(tenant="acme"), redrive_id=uuid.UUID(redrive))
    assert (told.ended_at is not None, told.kept, told.kept_count) == (True, (kept,), 1)
    assert await letters.redrives(connection, Mine(tenant="other")) == []


async def test_of_letters_of_one_moment_the_same_one_is_the_example_whoever_asks(
    log: Log, connection: AsyncConnection[TupleRow]
) -> None:
    at_once = [replace(letter(number), occurred_at_ms=5_000) for number in range(12)]
    for one in sorted(at_once, key=lambda one: one.event_id, reverse=True):
        await log.add(one)

    for mine in (Mine(), Mine(tenant="acme"), Mine(tenant="acme", user="ann")):
        (group,) = await letters.groups(connection, mine, 5)
        (newest, *_) = await letters.letters(connection, mine, Which(), limit=1)
        assert str(group.example) == max(one.event_id for one in at_once) == str(newest.event_id)
