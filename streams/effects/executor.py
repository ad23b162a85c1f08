"""What an effect shell needs to know of the calls that it runs."""

from dataclasses import dataclass
from typing import Protocol

from processors.effects import Outcome
from schemas.envelope import Envelope


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancellation:
    """A call whose outcome is no longer wanted."""

    call_id: str
    reason: str


class Executor(Protocol):
    """Runs one kind of call; everything but `run` is free of I/O."""

    def call_id(self, event: Envelope) -> str | None:
        """Return the id of the call that `event` asks for; None when it asks for none."""
        ...

    def cancellation(self, event: Envelope) -> Cancellation | None:
        """Return what `event` cancels."""
        ...

    def name(self, event: Envelope) -> str:
        """Return the model or tool, for metrics."""
        ...

    def reserved_tokens(self, event: Envelope) -> int:
        """Return the tokens that were reserved for the call."""
        ...

    def duration_ms_max(self, event: Envelope) -> int:
        """Return how long the call may take in all, attempts and waits included."""
        ...

    def refusal(self, event: Envelope) -> str | None:
        """Return why the call must not run now, or must end if it runs; None: it may."""
        ...

    async def run(self, event: Envelope, attempt: int) -> Outcome:
        """Run the call; a failure of it is an outcome. Ends by cancellation without an outcome."""
        ...

    def interrupted(self, event: Envelope, latency_ms: int) -> Outcome | None:
        """Return the outcome of a call whose process died while it may have run; None: run it again."""
        ...

    async def reconciled(self, event: Envelope, outcome: Outcome) -> Outcome:
        """Return the outcome, or what is found out about a call that may have been carried out."""
        ...

    def cancelled(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a cancelled call."""
        ...

    def stopped(self, event: Envelope, reason: str, *, dispatched: bool, latency_ms: int) -> Outcome:
        """Return the outcome of a call that was refused, or ended for it; its session still waits."""
        ...

    def broken(self, event: Envelope, message: str, latency_ms: int) -> Outcome:
        """Return the outcome of a call that ended in a way that nobody foresaw: too late, or too large."""
        ...
