"""The capability decider: how well each version of a tool did over the last 30 days.

Outcomes are counted by day, so that a state has at most 31 small entries however often a tool is called. A
tool shell that was killed publishes its last outcomes again; each counts once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import orjson

from processors.behaviour import BEHAVIOUR
from processors.decider import Step, Timer
from processors.repeats import has_seen, mark_of, with_mark
from schemas.envelope import Envelope, Versions
from schemas.events.capabilities import ToolCapabilityMeasured
from schemas.events.tools import ToolOutcomeObserved
from schemas.frozen import replace
from schemas.ids import event_id_of
from schemas.plain import encoded, from_plain
from schemas.references import RecordReference

DAY_MS: Final = 86_400_000
WINDOW_DAYS: Final = 30
OUTCOMES_SEEN_MAX: Final = 2_048
"""Outcomes of a version by which repeats are known."""
PRODUCER: Final = "capability-shell"
_VERSIONS: Final = Versions(behaviour=BEHAVIOUR)


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """The outcomes of one day, UTC."""

    calls: int = 0
    successes: int = 0
    latency_ms: int = 0
    """Of all calls together."""
    tokens: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityState:
    """One version of a tool."""

    key: str
    days: Mapping[str, Day] = field(default_factory=dict)
    """By the number of the day since 1970."""
    last_success_ms: int | None = None
    last_failure_ms: int | None = None
    newest_ms: int = 0
    seen: str = ""
    """Marks of the latest outcomes that were counted (`processors/repeats.py`)."""


class CapabilityDecider:
    """Measures tools."""

    def initial(self, key: str) -> CapabilityState:
        """Return a tool that was never called."""
        return CapabilityState(key=key)

    def advance(
        self, state: CapabilityState, event: Envelope, source: RecordReference
    ) -> Step[CapabilityState]:
        """Count one outcome, and tell the statistics anew."""
        body = event.body
        if not isinstance(body, ToolOutcomeObserved):
            return Step(state=state, events=())
        mark = mark_of(event.event_id)
        if has_seen(state.seen, mark):
            return Step(state=state, events=())
        state = replace(_counted(state, body), seen=with_mark(state.seen, mark, marks_max=OUTCOMES_SEEN_MAX))
        fact = _measured(state, body)
        measured = Envelope(
            event_id=event_id_of(event.event_id, 0),
            type=type(fact).__name__,
            tenant_id=event.tenant_id,
            causation_id=event.event_id,
            correlation_id=event.correlation_id,
            occurred_at_ms=event.occurred_at_ms,
            producer=PRODUCER,
            versions=_VERSIONS,
            source=f"{source.topic}/{source.partition}/{source.offset}",
            body=fact,
        )
        return Step(state=state, events=(measured,))

    def timers(self, state: CapabilityState) -> tuple[Timer, ...]:
        """Statistics wait for nothing: they are as of the newest outcome."""
        return ()

    def mark(self, state: CapabilityState, event: Envelope) -> None:
        """What the state has let go of is known no longer: only the latest outcomes are ever told again."""

    def ended_at_ms(self, state: CapabilityState) -> int | None:
        """Tools do not end."""
        return None

    def encode(self, state: CapabilityState) -> bytes:
        """Write a state as JSON."""
        return encoded(state)

    def decode(self, data: bytes) -> CapabilityState:
        """Read a state."""
        return from_plain(CapabilityState, orjson.loads(data))


def _counted(state: CapabilityState, body: ToolOutcomeObserved) -> CapabilityState:
    newest_ms = max(state.newest_ms, body.ended_at_ms)
    number = str(body.ended_at_ms // DAY_MS)
    day = state.days.get(number, Day())
    day = Day(
        calls=day.calls + 1,
        successes=day.successes + body.succeeded,
        latency_ms=day.latency_ms + body.latency_ms,
        tokens=day.tokens + body.used_tokens,
    )
    oldest = newest_ms // DAY_MS - WINDOW_DAYS
    days = {key: kept for key, kept in {**state.days, number: day}.items() if int(key) > oldest}
    state = replace(state, days=days, newest_ms=newest_ms)
    if body.succeeded:
        return replace(state, last_success_ms=max(state.last_success_ms or 0, body.ended_at_ms))
    return replace(state, last_failure_ms=max(state.last_failure_ms or 0, body.ended_at_ms))


def _measured(state: CapabilityState, body: ToolOutcomeObserved) -> ToolCapabilityMeasured:
    days = state.days.values()
    calls = sum(day.calls for day in days)
    divisor = max(1, calls)
    return ToolCapabilityMeasured(
        tool=body.tool,
        tool_version=body.tool_version,
        category=body.category,
        safety_level=body.safety_level,
        complexity_score=body.complexity_score,
        resource_intensity=body.resource_intensity,
        success_rate_30d=100 * sum(day.successes for day in days) / divisor,
        avg_latency_ms=sum(day.latency_ms for day in days) / divisor,
        avg_cost_tokens=sum(day.tokens for day in days) / divisor,
        call_count_30d=calls,
        last_success_ms=state.last_success_ms,
        last_failure_ms=state.last_failure_ms,
        measured_at_ms=state.newest_ms,
    )
