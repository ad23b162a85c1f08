"""What becomes of letters that are tried again: which go back, as what, how fast, and what is told."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from processors.rejections import Refused, rejected
from schemas.configuration import Limits
from schemas.envelope import Envelope, Fact
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import ApprovalReceived, MessageReceived, SessionClosed
from schemas.events.redrives import LetterGroup, LetterRedriven, RedriveEnded, RedriveRequested
from schemas.ids import derived_id
from streams.records.delivery import REDRIVEN_HEADER, Delivery
from streams.records.redriving import Again, Redriver
from tests.streams.twin import CODEC, Crash
from topics.catalog import OPERATOR_INPUTS, SESSION_INPUTS, USER_INPUTS, Topic

ID = derived_id("redrive")
SESSION = derived_id("session")
EMPTY = LetterGroup(
    code="invalid_input",
    topic="user.inputs",
    schema_id=int.from_bytes(CODEC.encode(USER_INPUTS, Envelope(body=SessionClosed()))[1:5]),
    reason="text is empty",
)


@dataclass(slots=True, kw_only=True)
class Shelf:
    """Letters and topics in lists; it survives whoever works on it."""

    kept: list[Envelope] = field(default_factory=list)
    told: list[Envelope] = field(default_factory=list)
    written: list[Again] = field(default_factory=list)
    records: dict[tuple[str, int, int], Delivery] = field(default_factory=dict)
    dies_after: int | None = None
    """So many writes succeed."""

    async def letters(self) -> AsyncIterator[Envelope]:
        for letter in list(self.kept):
            yield letter

    async def redriven(self) -> AsyncIterator[Envelope]:
        for event in list(self.told):
            yield event

    async def original(self, topic: Topic, partition: int, offset: int) -> Delivery | None:
        return self.records.get((topic.name, partition, offset))

    async def append(self, records: Sequence[Again]) -> Sequence[tuple[int, int]]:
        self._step()
        begin = len(self.written)
        self.written += records
        return [(0, 1_000 + begin + number) for number in range(len(records))]

    async def tell(self, events: Sequence[Envelope]) -> None:
        self._step()
        self.told += events

    def _step(self) -> None:
        if self.dies_after is not None:
            if self.dies_after == 0:
                raise Crash
            self.dies_after -= 1

    def put_aside(
        self,
        body: Fact | None = None,
        topic: Topic = USER_INPUTS,
        code: str = "invalid_input",
        **fields: object,
    ) -> Envelope:
        """Put a record of a topic aside, and leave it where it stood."""
        offset = len(self.kept)
        event = Envelope(
            event_id=derived_id("said", str(offset)),
            session_id=SESSION,
            tenant_id="acme",
            user_id="ann",
            body=body or MessageReceived(text=""),
        )
        record = Delivery(
            topic=topic.name,
            partition=0,
            offset=offset,
            key=SESSION.encode(),
            value=CODEC.encode(topic, event),
            headers=(("ce_id", b"x"), ("empty", None), (REDRIVEN_HEADER, b"user.inputs/0/77")),
            timestamp_ms=1,
        )._replace(**fields)  # type: ignore[arg-type]  # tests give what they like
        self.records[topic.name, 0, offset] = record
        letter = rejected(
            Refused(
                topic="p." + record.topic,
                partition=0,
                offset=offset,
                key=record.key,
                value=record.value,
                headers=record.headers,
                code=code,
                reason="text is empty",
                event=event,
            ),
            by="ingress",
            now_ms=100 + offset,
        )
        self.kept.append(letter)
        return letter


class Clock:
    """Time that passes only when somebody waits."""

    def __init__(self) -> None:
        self.now_s = 50.0

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds


def redriver(shelf: Shelf, clock: Clock | None = None) -> Redriver:
    clock = clock or Clock()
    return Redriver(
        shelf,
        CODEC,
        topic_prefix="p.",
        tokenizer=len,
        limits=Limits(text_bytes_max=1_000),
        now_ms=lambda: 9_000,
        now_s=lambda: clock.now_s,
        sleep=clock.sleep,
    )


async def carried_out(
    shelf: Shelf, clock: Clock | None = None, event_id: str = ID, **fields: object
) -> RedriveEnded:
    wanted = {"tenant": "acme", "records_per_s_max": 100, **fields}
    if "letters" not in wanted and "group" not in wanted:
        wanted["letters"] = tuple(one.event_id for one in shelf.kept)
    request = RedriveRequested(**wanted)  # type: ignore[arg-type]  # as above
    await redriver(shelf, clock).carry_out(
        Envelope(event_id=event_id, tenant_id="acme", user_id="olga", body=request)
    )
    ended = shelf.told[-1].body
    assert isinstance(ended, RedriveEnded)
    return ended


def redriven(shelf: Shelf) -> list[LetterRedriven]:
    return [one.body for one in shelf.told if isinstance(one.body, LetterRedriven)]


async def test_a_record_goes_back_byte_for_byte_with_a_mark_of_where_it_stood() -> None:
    shelf = Shelf()
    letter = shelf.put_aside(MessageReceived(text="now it may"))

    ended = await carried_out(shelf)

    (again,) = shelf.written
    body = letter.body
    assert isinstance(body, RecordRejected)
    assert (again.topic, again.key, again.value) == (USER_INPUTS, body.key, body.value)
    assert again.headers == [("ce_id", b"x"), ("empty", None), (REDRIVEN_HEADER, b"user.inputs/0/0")]
    (told,) = redriven(shelf)
    assert (told.letter_id, told.topic, told.offset, told.edited) == (
        letter.event_id,
        "user.inputs",
        1_000,
        False,
    )
    assert shelf.told[0].evidence_ids == (letter.event_id,)
    assert shelf.told[0].causation_id == ID
    assert (ended.redriven, ended.redriven_before, ended.kept, ended.more) == (1, 0, (), False)


async def test_what_would_be_put_aside_again_stays_and_is_told_why() -> None:
    shelf = Shelf()
    shelf.put_aside()
    example = shelf.put_aside(value=b"not avro", code="not_avro")
    shelf.put_aside(value=b"neither", code="not_avro")

    ended = await carried_out(shelf)

    assert shelf.written == []
    assert (ended.redriven, ended.kept_count) == (0, 3)
    assert (ended.kept[0].letters, ended.kept[0].example_id) == (2, example.event_id)
    assert "text is empty" in [one.reason for one in ended.kept]


async def test_a_dry_run_writes_nothing_and_tells_what_would_be() -> None:
    shelf = Shelf()
    shelf.put_aside()
    shelf.put_aside(MessageReceived(text="fine"))

    ended = await carried_out(shelf, dry=True)

    assert (ended.dry, ended.redriven, ended.kept_count) == (True, 1, 1)
    assert shelf.written == []
    assert redriven(shelf) == []


async def test_a_group_is_edited_and_passes_for_the_same_people() -> None:
    shelf = Shelf()
    for _ in range(3):
        shelf.put_aside()
    shelf.put_aside(SessionClosed(), code="ended")

    ended = await carried_out(shelf, group=EMPTY, edit_json='{"text": "mended"}')

    assert ended.redriven == 3
    events = [await CODEC.decode(one.value) for one in shelf.written]
    assert {(one.session_id, one.tenant_id, one.user_id) for one in events} == {(SESSION, "acme", "ann")}
    assert [one.body for one in events] == [MessageReceived(text="mended")] * 3
    assert len({one.event_id for one in events}) == 3
    assert all(one.edited for one in redriven(shelf))


@pytest.mark.parametrize(
    ("body", "topic", "told"),
    [
        (ApprovalReceived(approval_id=ID, approved=False), OPERATOR_INPUTS, "only records of user.inputs"),
        (MessageReceived(text="x"), SESSION_INPUTS, "only records of user.inputs"),
        (ApprovalReceived(approval_id=ID, approved=False), USER_INPUTS, "nothing that anybody may say"),
    ],
)
async def test_only_what_anybody_may_say_is_edited(body: Fact, topic: Topic, told: str) -> None:
    shelf = Shelf()
    shelf.put_aside(body, topic)

    ended = await carried_out(shelf, edit_json='{"reason": "x"}')

    assert shelf.written == []
    assert told in ended.kept[0].reason


async def test_what_only_shells_write_is_read_from_its_topic_again() -> None:
    shelf = Shelf()
    shelf.put_aside(MessageReceived(text="real"), SESSION_INPUTS, code="quarantined")

    ended = await carried_out(shelf)

    assert ended.redriven == 1
    assert shelf.written[0].value == shelf.records["session.inputs", 0, 0].value


@pytest.mark.parametrize("what", ["forged", "gone"])
async def test_a_letter_is_not_believed_what_only_shells_write(what: str) -> None:
    shelf = Shelf()
    shelf.put_aside(MessageReceived(text="real"), SESSION_INPUTS, code="quarantined")
    place = ("session.inputs", 0, 0)
    if what == "forged":
        real = Envelope(event_id=ID, session_id=SESSION, body=MessageReceived(text="another"))
        shelf.records[place] = shelf.records[place]._replace(value=CODEC.encode(SESSION_INPUTS, real))
    else:
        del shelf.records[place]

    ended = await carried_out(shelf)

    assert shelf.written == []
    assert ("another record" if what == "forged" else "not on its topic any more") in ended.kept[0].reason


async def test_a_letter_of_the_public_topic_goes_back_though_its_record_is_gone() -> None:
    shelf = Shelf()
    shelf.put_aside(MessageReceived(text="fine"))
    shelf.records.clear()

    assert (await carried_out(shelf)).redriven == 1


async def test_a_record_too_long_for_its_letter_is_read_from_its_topic() -> None:
    shelf = Shelf()
    long = CODEC.encode(USER_INPUTS, Envelope(session_id=SESSION, body=MessageReceived(text="x" * 1_100_000)))
    shelf.put_aside(value=long, code="too_large")

    ended = await carried_out(shelf)

    # It is as long as it was.
    assert shelf.written == []
    assert "bytes" in ended.kept[0].reason


@pytest.mark.parametrize("fields", [{"tenant": "other"}, {"user": "bob"}, {"put_aside_until_ms": 99}])
async def test_letters_that_the_operator_may_not_know_of_are_not_there(fields: dict[str, Any]) -> None:
    shelf = Shelf()
    shelf.put_aside(MessageReceived(text="fine"))

    ended = await carried_out(shelf, **fields)

    assert shelf.written == []
    assert "no such letter" in ended.kept[0].reason


async def test_a_letter_that_is_gone_is_told_of() -> None:
    ended = await carried_out(Shelf(), letters=(derived_id("gone"),))

    assert (ended.redriven, ended.kept_count, ended.kept[0].example_id) == (0, 1, derived_id("gone"))


async def test_what_was_redriven_before_is_not_again_by_whatever_redrive() -> None:
    shelf = Shelf()
    shelf.put_aside(MessageReceived(text="one"))
    await carried_out(shelf)
    shelf.put_aside(MessageReceived(text="two"))
    # Kafka may have a letter twice.
    shelf.kept.append(shelf.kept[-1])

    ended = await carried_out(shelf, event_id=derived_id("another"))

    assert (ended.redriven, ended.redriven_before) == (1, 1)
    assert len(shelf.written) == 2


@pytest.mark.parametrize("dies_after", range(8))
async def test_a_redrive_goes_on_where_it_died_and_loses_nothing(dies_after: int) -> None:
    shelf = Shelf()
    for number in range(30):
        shelf.put_aside(MessageReceived(text=f"number {number}"))
    shelf.dies_after = dies_after
    try:
        await carried_out(shelf)
    except Crash:
        shelf.dies_after = None
        await carried_out(shelf)

    ended = shelf.told[-1].body
    assert isinstance(ended, RedriveEnded)
    assert ended.redriven == 30
    assert {one.letter_id for one in redriven(shelf)} == {one.event_id for one in shelf.kept}
    # Of what was written and not yet told, one chunk is written again; whoever reads it knows it by its id.
    assert 30 <= len(shelf.written) <= 40


async def test_records_go_back_no_faster_than_is_wanted() -> None:
    shelf, clock = Shelf(), Clock()
    for number in range(200):
        shelf.put_aside(MessageReceived(text=f"number {number}"))

    await carried_out(shelf, clock, records_per_s_max=50)

    # The first chunk waits for nothing.
    assert clock.now_s == pytest.approx(50.0 + 195 / 50)


async def test_what_fails_in_the_program_itself_is_told_too() -> None:
    shelf = Shelf()
    wanted = Envelope(event_id=ID, body=RedriveRequested(letters=(ID,), records_per_s_max=1))

    await redriver(shelf).give_up(wanted, "this program failed on it")

    ended = shelf.told[-1].body
    assert isinstance(ended, RedriveEnded)
    assert (ended.redriven, ended.kept[0].reason) == (0, "this program failed on it")
