"""One plain event of every fact of the truth, with what projections make of each."""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Final, get_args, get_origin, get_type_hints

from processors.projections.event_log import log_row
from processors.projections.project import project
from schemas.envelope import Envelope
from schemas.words import Word
from tests.projections.envelopes import CALL, NOON_MS, ROOT, SESSION, TASK, event, place_of
from topics.catalog import TOPICS

DIGESTS: Final = Path(__file__).parent / "rows_by_fact.txt"
"""The number of the projections, and by fact a digest of the rows that they make."""
_IDS: Final = {"session_id": SESSION, "task_id": TASK, "parent_id": ROOT, "call_id": CALL}


def plain_events() -> Iterator[Envelope]:
    """Make one event of each fact, the same every time."""
    facts = dict.fromkeys(fact for topic in TOPICS if topic.is_truth for fact in topic.facts)
    for number, fact in enumerate(sorted(facts, key=lambda one: one.__name__), start=1):
        yield event(_plain(fact.__name__, fact), number)  # type: ignore[arg-type]  # made by the fact's own type


def rows_by_fact() -> dict[str, str]:
    """Return by fact a digest of what stands in Postgres after its plain event."""
    found = {}
    for one in plain_events():
        place = place_of(one)
        rows = repr((log_row(one, place), project(one, place)))
        found[one.type] = hashlib.sha256(rows.encode()).hexdigest()[:16]
    return found


def _plain(name: str, hint: object) -> object:
    arguments = get_args(hint)
    if NoneType in arguments:
        return _plain(name, next(item for item in arguments if item is not NoneType))
    if get_origin(hint) is tuple:
        return (_plain(name, arguments[0]),)
    if get_origin(hint) in (dict, Mapping):
        return {"key": _plain(name, arguments[1])}
    if isinstance(hint, type) and is_dataclass(hint):
        hints = get_type_hints(hint)
        return hint(**{one.name: _plain(one.name, hints[one.name]) for one in fields(hint)})
    if isinstance(hint, type) and issubclass(hint, Word):
        return next(iter(hint))
    if hint is str:
        if name.endswith("_json"):
            return '{"key": "value"}'
        return _IDS.get(name, TASK) if name.endswith(("_id", "_ids")) else name
    if hint is int and name.endswith("_at_ms"):
        return NOON_MS
    return {int: 7, float: 0.5, bool: True, bytes: b"bytes"}[hint]  # type: ignore[index]  # no other is in a fact
