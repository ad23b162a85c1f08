"""What every shell asks of a record before it believes it."""

from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordRejected
from schemas.events.inputs import MessageReceived
from schemas.wire.codec import Codec, UnknownFactError
from schemas.wire.registry import RegistryUnavailable
from streams.records.delivery import Delivery, OwnershipLost, outgoing
from streams.records.intake import Intake, RecordRefused
from tests.streams.twin import CODEC, Kafka, event
from topics.catalog import MODEL_RESULTS, SESSION_INPUTS
from topics.specs import DEAD_LETTER_BYTES_MAX

MESSAGE = event(MessageReceived(text="hello"))


def intake(*, is_owner: bool = True) -> Intake:
    return Intake(CODEC, shell="session", topic_prefix="p.", is_owner=lambda: is_owner, now_ms=lambda: 7)


async def refused(delivery: Delivery) -> RecordRefused:
    with pytest.raises(RecordRefused) as caught:
        await intake().read(delivery)
    return caught.value


async def test_a_sound_record_is_read() -> None:
    assert await intake().read(Kafka().send(MESSAGE)) == MESSAGE


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b"", "not_avro"),
        (b"{}", "not_avro"),
        (b"plain text", "not_avro"),
        (b"\x00\x00\x00\x00\x02", "not_avro"),
        (b"\x00\x00\x00\x00\x02garbage garbage garbage", "not_avro"),
        (b"\x00\x00\x0f\x42\x3fgarbage", "unknown_schema"),
        (CODEC.encode(SESSION_INPUTS, MESSAGE) + b"more", "not_avro"),
        (CODEC.encode(SESSION_INPUTS, MESSAGE)[:-1], "not_avro"),
    ],
)
async def test_bytes_that_are_no_event_are_refused(value: bytes, code: str) -> None:
    assert (await refused(Kafka().send(MESSAGE, value=value))).code == code


async def test_a_record_without_a_value_is_refused() -> None:
    assert (await refused(Kafka().send(MESSAGE, valueless=True))).code == "no_value"


async def test_a_record_without_a_key_is_refused() -> None:
    assert (await refused(Kafka().send(MESSAGE, keyless=True))).code == "key_missing"


async def test_a_key_that_disagrees_with_the_value_is_refused() -> None:
    assert (await refused(Kafka().send(MESSAGE, key=b"another"))).code == "key_mismatch"


async def test_an_event_on_a_topic_that_does_not_carry_it_is_refused() -> None:
    value = CODEC.encode(SESSION_INPUTS, MESSAGE)
    delivery = Delivery(
        topic=MODEL_RESULTS.name,
        partition=0,
        offset=0,
        key=MESSAGE.session_id.encode(),
        value=value,
        headers=(),
        timestamp_ms=0,
    )

    assert (await refused(delivery)).code == "wrong_topic"


async def test_an_event_id_that_is_no_uuid_is_refused() -> None:
    nameless = replace(MESSAGE, event_id="not-a-uuid")

    assert (await refused(Kafka().send(nameless))).code == "invalid_input"


async def test_a_record_whose_schema_is_not_known_waits_for_the_registry_while_it_is_owned() -> None:
    codec = _AwayCodec(times=3)

    read = await patient(codec, is_owner=lambda: True).read(Kafka().send(MESSAGE))

    assert read == MESSAGE
    assert codec.asked == 4


async def test_the_wait_for_the_registry_ends_when_the_partition_is_taken_away() -> None:
    codec = _AwayCodec(times=100)

    with pytest.raises(OwnershipLost):
        await patient(codec, is_owner=lambda: codec.asked < 3).read(Kafka().send(MESSAGE))

    assert codec.asked == 3


def patient(codec: Codec, *, is_owner: Callable[[], bool]) -> Intake:
    return Intake(
        codec, shell="session", topic_prefix="p.", is_owner=is_owner, now_ms=lambda: 7, retry_delay_s=0.0
    )


async def test_an_unknown_fact_of_a_newer_program_is_neither_applied_nor_refused() -> None:
    with pytest.raises(UnknownFactError):
        await Intake(
            _NewerCodec(), shell="session", topic_prefix="p.", is_owner=lambda: True, now_ms=lambda: 7
        ).read(Kafka().send(MESSAGE))


class _AwayCodec(Codec):
    """Finds the registry away so many times."""

    def __init__(self, times: int) -> None:
        super().__init__((), None, {})
        self._times = times
        self.asked = 0

    async def decode(self, value: bytes | None, headers: Iterable[tuple[str, bytes | None]] = ()) -> Envelope:
        self.asked += 1
        if self.asked <= self._times:
            raise RegistryUnavailable("the registry is away")
        return await CODEC.decode(value, headers)


class _NewerCodec(Codec):
    def __init__(self) -> None:
        super().__init__((), None, {})

    async def decode(self, value: bytes | None, headers: Iterable[tuple[str, bytes | None]] = ()) -> Envelope:
        raise UnknownFactError("MessageEdited", {})


async def test_a_dead_letter_keeps_the_bytes_the_place_and_the_reason() -> None:
    delivery = Kafka().send(MESSAGE, key=b"another", headers=(("name", b"value"),))
    error = await refused(delivery)

    letter = intake().dead_letter(delivery, error)

    assert isinstance(letter.body, RecordRejected)
    assert letter.body.topic == "p.session.inputs"
    assert (letter.body.partition, letter.body.offset) == (delivery.partition, delivery.offset)
    assert (letter.body.key, letter.body.value) == (b"another", delivery.value)
    assert letter.body.headers[0].name == "name"
    assert letter.session_id == MESSAGE.session_id
    assert letter.causation_id == MESSAGE.event_id


async def test_the_same_record_refused_twice_makes_the_same_dead_letter() -> None:
    delivery = Kafka().send(MESSAGE, key=b"another")
    error = await refused(delivery)

    assert intake().dead_letter(delivery, error).event_id == intake().dead_letter(delivery, error).event_id


@pytest.mark.parametrize(
    "changes",
    [
        {"value": b"x" * 5_000_000},
        {"key": b"k" * 2_000_000},
        {"headers": tuple((f"h{n}", b"x" * 1_000) for n in range(3_000))},
        {"headers": (("n" * 2_000_000, b""),)},
        {"headers": (("half a \ud83d", None),)},
    ],
    ids=["value", "key", "headers", "name", "surrogate"],
)
def test_a_letter_fits_its_topic_whatever_it_holds(changes: dict[str, object]) -> None:
    """Kafka bounds a record as it was compressed; what comes out of it may be any number of times larger."""
    delivery = Kafka().send(MESSAGE)._replace(**changes)  # type: ignore[arg-type]  # fields of a delivery
    named = replace(
        MESSAGE, tenant_id="t" * 1_000_000, user_id="u" * 1_000_000, correlation_id="c" * 1_000_000
    )
    error = RecordRefused("invalid_input", "why " * 1_000_000, named)

    letter = outgoing(CODEC, intake().dead_letter(delivery, error))

    assert letter.size_bytes <= DEAD_LETTER_BYTES_MAX
    assert isinstance(letter.event.body, RecordRejected)
    assert letter.event.body.reason.startswith("why ")


async def test_a_letter_keeps_whatever_its_topic_could_hold() -> None:
    value = b"x" * 999_000
    letter = intake().dead_letter(Kafka().send(MESSAGE, value=value), RecordRefused("not_avro", "why"))

    assert isinstance(letter.body, RecordRejected)
    assert letter.body.value == value
    assert letter.body.reason == "why"


async def test_a_key_of_the_shells_own_is_refused() -> None:
    session = "\0departed/0/0"
    error = await refused(Kafka().send(replace(MESSAGE, session_id=session)))
    assert (error.code, error.reason[:4]) == ("key_mismatch", "keys")
