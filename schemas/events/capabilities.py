"""How well each tool does: the facts of `tool.capabilities`."""

from dataclasses import dataclass

from schemas.events.tools import ResourceIntensity, SafetyLevel
from schemas.privacy import Impersonal


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCapabilityMeasured:
    """Statistics of one version of a tool over the 30 days that end with its newest outcome."""

    tool: Impersonal
    tool_version: Impersonal
    category: Impersonal
    safety_level: SafetyLevel
    complexity_score: int
    resource_intensity: ResourceIntensity
    success_rate_30d: float
    """0 to 100."""
    avg_latency_ms: float
    avg_cost_tokens: float
    call_count_30d: int
    last_success_ms: int | None
    last_failure_ms: int | None
    measured_at_ms: int


CapabilityFact = ToolCapabilityMeasured
