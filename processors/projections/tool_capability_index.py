"""Rows of `tool_capability_index`."""

from processors.projections.rows import Cell, RowChange
from processors.projections.values import between, cut, cut_unique, decimal, int32, moment, one_of
from schemas.events.capabilities import ToolCapabilityMeasured
from schemas.ids import derived_id

SAFETY_LEVELS = ("safe", "caution", "restricted")
INTENSITIES = ("light", "medium", "heavy")
_DECIMAL_8_2_MAX = 999_999.99


def of_measured(fact: ToolCapabilityMeasured) -> tuple[RowChange, ...]:
    """The newest statistics of one version of a tool."""
    # Both are cut so that different tools never share a row: the table knows each pair once.
    tool, version = cut_unique(fact.tool, 100), cut_unique(fact.tool_version, 20)
    values: dict[str, Cell] = {
        "tool_name": tool,
        "category": cut(fact.category, 50),
        "version": version,
        "success_rate_30d": decimal(fact.success_rate_30d, 0.0, 100.0),
        "avg_latency_ms": decimal(fact.avg_latency_ms, 0.0, _DECIMAL_8_2_MAX),
        "avg_cost_tokens": decimal(fact.avg_cost_tokens, 0.0, _DECIMAL_8_2_MAX),
        "call_count_30d": int32(fact.call_count_30d),
        # What the table has no word for counts as the one that asks for most care.
        "safety_level": one_of(fact.safety_level, SAFETY_LEVELS, "restricted"),
        "complexity_score": between(fact.complexity_score, 1, 10),
        "resource_intensity": one_of(fact.resource_intensity, INTENSITIES, "heavy"),
        "last_updated": moment(fact.measured_at_ms),
        "last_success": None if fact.last_success_ms is None else moment(fact.last_success_ms),
        "last_failure": None if fact.last_failure_ms is None else moment(fact.last_failure_ms),
    }
    key = derived_id("tool_capability", tool, version)
    return (RowChange("tool_capability_index", key, values),)
