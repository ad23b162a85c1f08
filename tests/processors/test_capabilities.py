"""Capabilities: thirty days of outcomes in a state that stays small."""

from hypothesis import given
from hypothesis import strategies as st

from processors.capabilities import DAY_MS, CapabilityDecider, CapabilityState
from schemas.envelope import Envelope
from schemas.events.capabilities import ToolCapabilityMeasured
from schemas.events.tools import ResourceIntensity, SafetyLevel, ToolOutcomeObserved
from schemas.references import RecordReference

PLACE = RecordReference(topic="tool.outcomes", partition=0, offset=0, event_id="", tokens=0)
DECIDER = CapabilityDecider()


def outcome(
    day: int, *, succeeded: bool = True, latency_ms: int = 100, tokens: int = 10
) -> ToolOutcomeObserved:
    return ToolOutcomeObserved(
        call_id="c",
        tool="look",
        tool_version="1.0.0",
        category="test",
        safety_level=SafetyLevel.SAFE,
        complexity_score=3,
        resource_intensity=ResourceIntensity.LIGHT,
        succeeded=succeeded,
        latency_ms=latency_ms,
        used_tokens=tokens,
        ended_at_ms=day * DAY_MS + 5,
    )


def run(*outcomes: ToolOutcomeObserved) -> tuple[CapabilityState, ToolCapabilityMeasured]:
    state = DECIDER.initial("look@1.0.0")
    told: ToolCapabilityMeasured | None = None
    for number, fact in enumerate(outcomes):
        step = DECIDER.advance(state, Envelope(event_id=f"e{number}", body=fact), PLACE)
        state = DECIDER.decode(DECIDER.encode(step.state))
        (event,) = step.events
        assert isinstance(event.body, ToolCapabilityMeasured)
        told = event.body
    assert told is not None
    return state, told


def test_rates_and_averages_are_of_all_calls() -> None:
    _, told = run(
        outcome(100, latency_ms=100, tokens=10), outcome(101, succeeded=False, latency_ms=300, tokens=30)
    )

    assert (told.call_count_30d, told.success_rate_30d) == (2, 50.0)
    assert (told.avg_latency_ms, told.avg_cost_tokens) == (200.0, 20.0)
    assert (told.last_success_ms, told.last_failure_ms) == (100 * DAY_MS + 5, 101 * DAY_MS + 5)


def test_what_is_older_than_thirty_days_no_longer_counts() -> None:
    _, told = run(outcome(100, succeeded=False), outcome(129), outcome(130))

    assert (told.call_count_30d, told.success_rate_30d) == (2, 100.0)
    assert told.last_failure_ms == 100 * DAY_MS + 5


@given(st.lists(st.tuples(st.integers(0, 200), st.booleans()), min_size=1, max_size=80))
def test_bounds_hold_in_any_order_of_time(drawn: list[tuple[int, bool]]) -> None:
    state, told = run(*(outcome(day, succeeded=ok) for day, ok in drawn))

    newest = max(day for day, _ in drawn)
    assert len(state.days) <= 30
    assert 0.0 <= told.success_rate_30d <= 100.0
    assert told.call_count_30d <= sum(day > newest - 30 for day, _ in drawn)
