"""Recordings: one session's inputs, outputs and configuration in one file that needs nothing else.

The file is an Avro object container. Each record holds the bytes of one Kafka record; the schemas with
which they were written stand in the container's metadata, so that a later program reads them as well.
"""

import json
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar, cast

import fastavro

from schemas.envelope import Envelope
from schemas.events.inputs import InputFact
from schemas.wire.avro_schema import schema_text
from schemas.wire.codec import Codec, UndecodableError
from schemas.wire.registry import SchemaRegistry, SchemaUnknown
from topics.catalog import BY_NAME, TOPICS

_SESSION_KEY: Final = "cartrita.session"
_SCHEMA_KEY: Final = "cartrita.schema."
_SCHEMA: Final = fastavro.parse_schema(
    {
        "type": "record",
        "name": "cartrita.recordings.RecordedValue",
        "doc": "One Kafka record; its value is in Confluent's wire format, with the ids of the metadata.",
        "fields": [
            {"name": "role", "type": "string", "doc": "input, output or configuration"},
            {"name": "topic", "type": "string", "doc": "Without prefix."},
            {"name": "partition", "type": "int"},
            {"name": "offset", "type": "long"},
            {"name": "value", "type": "bytes"},
        ],
    }
)
T = TypeVar("T")


class RecordingInvalid(Exception):
    """A file is no recording that can be read; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """One event and where it stood."""

    topic: str
    """Without the configured prefix."""
    partition: int
    offset: int
    event: Envelope

    @property
    def place(self) -> str:
        """Name the place as events do: topic/partition/offset."""
        return f"{self.topic}/{self.partition}/{self.offset}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """All that a session was told and what it decided."""

    session_id: str
    inputs: tuple[Recorded, ...]
    """What the session's shell read and did not refuse, in any order."""
    outputs: tuple[Recorded, ...]
    """What it wrote, in any order; repeats are allowed."""
    configuration: tuple[Recorded, ...]
    """The parts that the outputs name by hash."""

    def repeats(self) -> frozenset[str]:
        """Return the places of what people and programs asked for under an id that was there before."""
        taken: set[str] = set()
        repeats: set[str] = set()
        for one in sorted(self.inputs, key=lambda one: one.offset):
            if isinstance(one.event.body, InputFact):
                if one.event.event_id in taken:
                    repeats.add(one.place)
                taken.add(one.event.event_id)
        return frozenset(repeats)


def write_recording(recording: Recording, path: Path) -> None:
    """Write a recording; what stood at `path` is replaced.

    Raises:
        OSError: the file cannot be written.
    """
    codec = Codec.offline(TOPICS)
    used = {one.topic for one in (*recording.inputs, *recording.outputs, *recording.configuration)}
    metadata = {_SESSION_KEY: recording.session_id}
    for number, topic in enumerate(TOPICS, start=1):
        if topic.name in used:
            metadata[f"{_SCHEMA_KEY}{number}"] = json.dumps(json.loads(schema_text(topic)))
    roles = (
        ("configuration", recording.configuration),
        ("input", recording.inputs),
        ("output", recording.outputs),
    )
    rows = [
        {
            "role": role,
            "topic": one.topic,
            "partition": one.partition,
            "offset": one.offset,
            "value": codec.encode(BY_NAME[one.topic], one.event),
        }
        for role, several in roles
        for one in several
    ]
    with path.open("wb") as file:
        fastavro.writer(file, _SCHEMA, rows, codec="deflate", metadata=metadata)


def read_recording(path: Path) -> Recording:
    """Read a recording; no network, no event loop.

    Raises:
        RecordingInvalid: the file is no recording, or says what this program cannot read.
        OSError: the file cannot be read.
    """
    by_role: dict[str, list[Recorded]] = {"input": [], "output": [], "configuration": []}
    try:
        with path.open("rb") as file:
            reader = fastavro.reader(file)
            metadata = reader.metadata
            session_id = metadata[_SESSION_KEY]
            codec = Codec(TOPICS, _FileRegistry(metadata), {})
            for row in cast("Iterable[dict[str, object]]", reader):
                by_role[str(row["role"])].append(_recorded(codec, row))
    except UndecodableError as error:
        raise RecordingInvalid(f"{path} has a record that cannot be read: {error.reason}") from error
    except (ValueError, KeyError, EOFError, TypeError, fastavro.read.SchemaResolutionError) as error:
        raise RecordingInvalid(f"{path} is no recording: {type(error).__name__}: {error}") from error
    return Recording(
        session_id=session_id,
        inputs=tuple(by_role["input"]),
        outputs=tuple(by_role["output"]),
        configuration=tuple(by_role["configuration"]),
    )


class _FileRegistry(SchemaRegistry):
    """Answers from a file's metadata."""

    def __init__(self, metadata: dict[str, str]) -> None:
        """Take the metadata; there is nothing to connect to."""
        self._metadata = metadata

    async def schema_of(self, schema_id: int) -> str:
        """Return the text of a schema."""
        try:
            return self._metadata[f"{_SCHEMA_KEY}{schema_id}"]
        except KeyError:
            raise SchemaUnknown(f"the file has no schema {schema_id}") from None


def _recorded(codec: Codec, row: dict[str, object]) -> Recorded:
    return Recorded(
        topic=str(row["topic"]),
        partition=cast("int", row["partition"]),
        offset=cast("int", row["offset"]),
        event=_finished(codec.decode(cast("bytes", row["value"]))),
    )


def _finished(work: Coroutine[object, None, T]) -> T:
    """Run a coroutine that never waits, since all of its answers come from the file."""
    try:
        work.send(None)
    except StopIteration as ended:
        return cast("T", ended.value)
    work.close()
    raise AssertionError("reading a recording waits for nothing")
