"""The codec's round trip of typed events, beside bare fastavro on dicts of the same records.

The bare side writes and reads what an Avro program without types would: a dict of the record's fields, in the
same wire format, with the same parsed schema. Processor time, since one thread does all of it.
"""

import gc
import io
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, cast

import fastavro
from fastavro.types import Schema

from schemas.plain import Dialect, to_plain
from schemas.wire.avro_schema import schema_text, without_logical_types
from tests.benchmarks.result import Row, row
from tests.sinks.records import CODEC
from tests.sinks.whole_session import whole_session
from topics.catalog import TOPICS, topic_of

ROUNDS: Final = 100
_HEAD: Final = b"\x00\x00\x00\x00\x01"


async def measure(runs: int) -> Sequence[Row]:
    """Write and read a real session's events over and over, in turns, `runs` times."""
    gc.freeze()  # as every process of ours does
    events = [(topic_of(event.body), event) for event in whole_session()]
    schemas = {topic.name: _parsed(schema_text(topic)) for topic in TOPICS}
    dicts = [(schemas[topic.name], to_plain(event, Dialect.AVRO)) for topic, event in events]

    async def typed() -> None:
        for topic, event in events:
            await CODEC.decode(CODEC.encode(topic, event))

    async def bare() -> None:
        for schema, record in dicts:
            buffer = io.BytesIO()
            buffer.write(_HEAD)
            fastavro.schemaless_writer(buffer, schema, record)
            buffer = io.BytesIO(buffer.getvalue())
            buffer.seek(len(_HEAD))
            fastavro.schemaless_reader(buffer, schema, None)

    samples = []
    for _ in range(runs):
        ours_us, bare_us = 0.0, 0.0
        for _ in range(ROUNDS):
            ours_us += await _us(typed) / len(events) / ROUNDS
            bare_us += await _us(bare) / len(events) / ROUNDS
        samples.append((ours_us, bare_us))
    return (
        row(
            "codec: round trip of an event",
            "µs",
            samples,
            target="ratio <= 1.5",
            note="peer: bare fastavro on dicts; processor time",
        ),
    )


async def _us(work: Callable[[], Awaitable[None]]) -> float:
    began_ns = time.process_time_ns()
    await work()
    return (time.process_time_ns() - began_ns) / 1_000


def _parsed(text: str) -> Schema:
    return fastavro.parse_schema(cast("dict[str, object]", without_logical_types(json.loads(text))))
