"""Rows in one form, whether Postgres says them or the log's events folded."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from hashlib import blake2b

from processors.projections.columns import Column
from processors.projections.event_log import COLUMNS, LogRow, log_row
from processors.projections.project import project
from processors.projections.rows import fold
from processors.projections.tables import BY_NAME
from tests.chaos.evidence import LoggedRow, LogRecord, Row
from topics.catalog import BY_NAME as TOPIC_BY_NAME
from topics.catalog import USER_INPUTS, Keying
from topics.routing import key_of


def expected_rows(records: Iterable[LogRecord]) -> dict[str, dict[str, Row]]:
    """Fold the log: by table and id the rows that Postgres has to have, each event counted once."""
    changes = [
        change
        for record in first_of_each(records)
        if record.event is not None and in_its_place(record)
        for change in project(record.event, record.place)
    ]
    rows: dict[str, dict[str, Row]] = {}
    for name, folded in fold(changes).items():
        columns = BY_NAME[name].stored
        rows[name] = {
            key: {
                column.name: canonical(_or_initial(column, row.get(column.name)), column.type)
                for column in columns
            }
            for key, row in folded.items()
        }
    return rows


def first_of_each(records: Iterable[LogRecord]) -> list[LogRecord]:
    """Return the records of the truth without repeats, as the event log takes them."""
    seen: set[tuple[str, str, str | None]] = set()
    found = []
    for record in records:
        if record.event is None or not TOPIC_BY_NAME[record.place.topic].is_truth:
            continue
        row = log_row(record.event, record.place)
        identity = (row.topic, row.event_id, row.session_id)
        if identity not in seen:
            seen.add(identity)
            found.append(record)
    return found


def in_its_place(record: LogRecord) -> bool:
    """Tell whether a record stands on the topic and under the key that it belongs to."""
    topic, event = TOPIC_BY_NAME[record.place.topic], record.event
    if event is None or not isinstance(event.body, topic.facts):
        return False
    return topic.keying is Keying.ANY or (record.key or b"") == key_of(topic, event)


def logged_row(record: LogRecord) -> LoggedRow:
    """Return a record's row of the event log."""
    assert record.event is not None
    return logged_of({name: getattr(log_row(record.event, record.place), name) for name in COLUMNS})


def logged_of(row: Mapping[str, object]) -> LoggedRow:
    """Return a row of the event log as the checker compares it, from its columns."""
    said = {
        name: canonical(value, COLUMNS[name])
        for name, value in row.items()
        # The time of a record is its place's, and two repeats of one event have different ones.
        if name not in ("partition", "offset", "recorded_at", "event_id", "topic", "session_id")
    }
    if row["topic"] == USER_INPUTS.name:
        said |= {"partition": row["partition"], "offset": row["offset"]}
    session_id = row["session_id"]
    return LoggedRow(
        event_id=str(row["event_id"]),
        topic=str(row["topic"]),
        session_id=str(session_id) if session_id is not None else None,
        type=str(row["type"]),
        sequence=int(str(row["sequence"])),
        digest=blake2b(json.dumps(said, sort_keys=True).encode(), digest_size=8).hexdigest(),
    )


def canonical(value: object, kind: str) -> object:
    """Return a value as JSON could hold it, the same whether Postgres or a projection gave it."""
    if value is None:
        return None
    if kind == "jsonb":
        return json.loads(value) if isinstance(value, str) else value
    if kind == "timestamptz":
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
        return moment.astimezone(UTC).isoformat()
    if kind.startswith("decimal"):
        return round(float(str(value)), 2)
    if kind.startswith("vector"):
        # Postgres keeps 32 bits of each number.
        return [f"{number:.4g}" for number in json.loads(str(value))]
    if isinstance(value, list | tuple):
        return [str(item) for item in value]
    return value if isinstance(value, int | float | bool) else str(value)


def _or_initial(column: Column, value: object) -> object:
    if value is not None or column.initial == "NULL":
        return value
    text = column.initial
    return text[1:-1] if text.startswith("'") else int(text)


assert set(COLUMNS) == set(LogRow._fields)
