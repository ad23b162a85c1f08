"""Words of the contract: known ones are members, others are kept as text, however a record is read."""

import io
import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import get_args, get_type_hints

import fastavro
import orjson
import pytest

from processors.state import Phase
from schemas.envelope import Envelope
from schemas.events.models import ModelFailureKind
from schemas.events.outputs import AnswerReason, ErrorCode, ErrorReported, Stage
from schemas.events.plans import AcceptReason, PlanAccepted
from schemas.events.tasks import TaskErrorKind
from schemas.plain import from_plain, to_plain
from schemas.privacy import Impersonal, Personal, PersonalBytes, Privacy, privacy_of
from schemas.references import RecordReference
from schemas.wire.avro_schema import derived_schema, without_logical_types
from schemas.wire.codec import Codec
from schemas.words import Word, listed, meanings_of
from tests.aliens import FixedRegistry
from topics.catalog import PLANS, SESSION_OUTPUTS, TOPICS
from topics.documentation import events_markdown

NEWER = "told_by_a_newer_program"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A record with a text that says nothing of whose words it holds."""

    text: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Telling:
    """A record whose texts say it, however deep they stand."""

    name: Impersonal | None
    words: tuple[Personal, ...] = ()
    raw: PersonalBytes = b""
    code: ErrorCode = ErrorCode.QUEUE_FULL
    number: int = 0


def accepted(reason: AcceptReason) -> Envelope:
    body = PlanAccepted(plan_id="p", turn=1, revision=0, reason=reason)
    return Envelope(type="PlanAccepted", body=body)


def records_in(hint: object) -> Iterator[type]:
    """Find the record classes in a type, at any depth."""
    if isinstance(hint, type) and is_dataclass(hint):
        yield hint
        for inner in get_type_hints(hint).values():
            yield from records_in(inner)
    for inner in get_args(hint):
        yield from records_in(inner)


RECORDS = sorted({cls for topic in TOPICS for fact in topic.facts for cls in records_in(fact)}, key=str)


async def test_a_known_word_is_read_as_its_member() -> None:
    codec = Codec.offline(TOPICS)

    read = await codec.decode(codec.encode(PLANS, accepted(AcceptReason.CRITIC_FAILED)))

    assert isinstance(read.body, PlanAccepted)
    assert read.body.reason is AcceptReason.CRITIC_FAILED
    assert read.body.reason.is_known


async def test_a_word_of_a_newer_program_is_kept_as_text_and_written_as_it_was() -> None:
    codec = Codec.offline(TOPICS)
    value = codec.encode(PLANS, accepted(AcceptReason(NEWER)))

    read = await codec.decode(value)

    assert isinstance(read.body, PlanAccepted)
    assert read.body.reason == NEWER
    assert isinstance(read.body.reason, AcceptReason)
    assert not read.body.reason.is_known
    assert read.body.reason not in AcceptReason.__members__.values()
    assert codec.encode(PLANS, read) == value


async def test_so_it_is_where_another_schema_wrote_it() -> None:
    schema = without_logical_types(derived_schema(SESSION_OUTPUTS))
    assert isinstance(schema, dict)
    body = {"code": NEWER, "message": "m", "input_id": None}
    buffer = io.BytesIO(struct.pack(">bI", 0, 7))
    buffer.seek(0, io.SEEK_END)
    older = {**schema, "fields": [field for field in schema["fields"] if field["name"] != "traceparent"]}
    fastavro.schemaless_writer(
        buffer, fastavro.parse_schema(older), {"body": ("cartrita.events.ErrorReported", body)}
    )
    codec = Codec(TOPICS, FixedRegistry({7: older}), {})

    read = await codec.decode(buffer.getvalue())

    assert isinstance(read.body, ErrorReported)
    assert read.body.code == NEWER
    assert not read.body.code.is_known


@pytest.mark.parametrize("code", [ErrorCode.QUEUE_FULL, ErrorCode(NEWER)], ids=str)
def test_plain_values_and_json_hold_the_text_alone(code: ErrorCode) -> None:
    reported = ErrorReported(code=code, message="m")

    plain = to_plain(reported)

    assert type(plain["code"]) is str
    assert from_plain(ErrorReported, json.loads(json.dumps(plain))) == reported
    assert from_plain(ErrorReported, orjson.loads(orjson.dumps(reported))) == reported
    assert from_plain(ErrorReported, plain).code.is_known is code.is_known


def test_a_known_text_gives_the_member_and_no_second_one() -> None:
    assert AcceptReason("score_reached") is AcceptReason.SCORE_REACHED
    assert NEWER not in {word.value for word in AcceptReason}
    AcceptReason(NEWER)
    assert NEWER not in {word.value for word in AcceptReason}


def test_what_a_task_can_fail_of_includes_every_failure_of_a_model_call_and_end_of_a_turn() -> None:
    known = {kind.value for kind in TaskErrorKind}

    assert {kind.value for kind in ModelFailureKind} <= known
    assert {reason.value for reason in AnswerReason} - {"answered", "unplanned"} <= known


def test_the_stages_that_a_user_sees_are_the_phases_of_a_turn() -> None:
    assert [stage.value for stage in Stage] == [phase.value for phase in Phase]


def test_the_contract_and_the_catalogue_name_every_word() -> None:
    schema, page = json.dumps(derived_schema(PLANS)), events_markdown()

    assert listed(AcceptReason) in schema
    for word, meaning in meanings_of(AcceptReason).items():
        assert f"| `{word}` | {meaning} |" in page
    assert meanings_of(AcceptReason)["planner_failed"].startswith("The planner's model failed")


@pytest.mark.parametrize("cls", [Envelope, RecordReference, *RECORDS], ids=lambda cls: cls.__name__)
def test_every_text_says_whether_it_may_hold_a_persons_words(cls: type) -> None:
    told = privacy_of(cls)

    assert set(told) <= {field.name for field in fields(cls)}


def test_a_text_that_does_not_say_it_is_refused() -> None:
    with pytest.raises(TypeError, match=r"Silent\.text does not say"):
        privacy_of(Silent)


def test_what_a_record_says_of_its_texts_can_be_asked() -> None:
    assert privacy_of(Telling) == {
        "name": Privacy.IMPERSONAL,
        "words": Privacy.PERSONAL,
        "raw": Privacy.PERSONAL,
    }


def test_every_word_says_what_it_is_of() -> None:
    words = {
        hint
        for cls in RECORDS
        for hint in get_type_hints(cls).values()
        if isinstance(hint, type) and issubclass(hint, Word)
    }
    assert len(words) > 20
    for word in words:
        assert (word.__doc__ or "").strip()
        assert set(meanings_of(word)) == {member.value for member in word}
