"""What the calls of a tool in V1 came to, as statistics."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from processors.import_source import Source, event_of
from schemas.envelope import Envelope
from schemas.events.imports import ToolUseImported
from schemas.ports.version_one import PastInvocation


@dataclass(slots=True)
class ToolUse:
    """What the calls of a tool in V1 came to; told one after another."""

    calls: int = 0
    succeeded: int = 0
    said: int = 0
    """Of how many V1 says whether they succeeded."""
    latency_ms: int = 0
    timed: int = 0
    cost_tokens: int = 0
    succeeded_at_us: int | None = None
    failed_at_us: int | None = None
    categories: dict[str, int] = field(default_factory=dict)

    def add(self, one: PastInvocation) -> None:
        """Count a call."""
        self.calls += 1
        category = one.category or "uncategorized"
        self.categories[category] = self.categories.get(category, 0) + 1
        self.cost_tokens += one.cost_tokens or 0
        if one.latency_ms is not None:
            self.latency_ms += one.latency_ms
            self.timed += 1
        outcome = one.output.get("success") if isinstance(one.output, Mapping) else None
        if outcome is None:
            return
        self.said += 1
        if outcome is True or (isinstance(outcome, str) and outcome.lower() == "true"):
            self.succeeded += 1
            self.succeeded_at_us = max(self.succeeded_at_us or 0, one.called_at_us or 0) or None
        else:
            self.failed_at_us = max(self.failed_at_us or 0, one.called_at_us or 0) or None

    def event(self, source: Source, tool: str) -> Envelope:
        """Return the event of the statistics, which is about no session."""
        measured_at_ms = source.as_of_us // 1_000
        fact = ToolUseImported(
            origin=source.origin,
            tool=tool,
            category=max(sorted(self.categories), key=lambda name: self.categories[name]),
            calls=self.calls,
            success_rate=100.0 * self.succeeded / self.said if self.said else None,
            latency_ms_mean=self.latency_ms / self.timed if self.timed else None,
            cost_tokens_mean=self.cost_tokens / self.calls,
            succeeded_at_us=self.succeeded_at_us,
            failed_at_us=self.failed_at_us,
            measured_at_ms=measured_at_ms,
        )
        return event_of(source, fact, tool, measured_at_ms)
