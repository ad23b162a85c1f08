"""What a table takes of the records that its recovery reads."""

from collections.abc import Callable

import structlog
from faust.types import EventT

from streams.records.framing import RecordDamaged, RecordForeign, RecordNewer, damaged_mark

_log = structlog.get_logger()

Check = Callable[[bytes, bytes, int], None]
"""Of key, value and partition; raises RecordForeign, RecordDamaged or RecordNewer."""


def no_check(_key: bytes, _value: bytes, _partition: int) -> None:
    """Take every record."""


def held(event: EventT[object], check: Check) -> tuple[bytes, bytes | None] | None:
    """Return what a table holds of a changelog's record: key and value, None for a value that is removed.

    A damaged record is held as a mark that knows its place; one that is about nothing of the table is left
    out; one of a newer program is held as it is, and ends whoever reads it.
    """
    message = event.message
    key, value = message.key, message.value
    assert message.offset is not None, "it was fetched"
    if key is None:
        _left_out(event, "it has no key")
        return None
    if value is None:
        return key, None
    try:
        check(key, value, message.partition)
    except RecordForeign as foreign:
        _left_out(event, str(foreign))
        return None
    except RecordDamaged as damaged:
        return key, damaged_mark(message.partition, message.offset, damaged.reason)
    except RecordNewer:
        return key, value
    return key, value


def _left_out(event: EventT[object], reason: str) -> None:
    message = event.message
    _log.warning(
        "changelog_record_ignored",
        topic=message.topic,
        partition=message.partition,
        offset=message.offset,
        key=repr(message.key)[:200],
        reason=reason,
    )
