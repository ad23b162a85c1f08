"""What a decider is to the shell that drives it."""

from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from schemas.envelope import Envelope
from schemas.events.dead_letters import RejectionCode
from schemas.events.timers import TimerKind
from schemas.references import RecordReference

State = TypeVar("State")


class Refused(NamedTuple):
    """Why an input was not applied."""

    code: RejectionCode
    reason: str
    """One sentence for whoever sent it."""


@dataclass(frozen=True, kw_only=True)
class Step(Generic[State]):
    """The outcome of one input: the new state, and what it caused, in order."""

    state: State
    events: tuple[Envelope, ...]
    encoded: bytes | None = None
    """The state as `encode` writes it, where the decider had to write it anyway."""
    let_go: tuple[str, ...] = ()
    """Marks of inputs that the state no longer knows, and the shell knows from now on in its place."""
    refused: Refused | None = None
    """The input was not applied: the state is as before, and nothing is caused. The shell puts it aside."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """Something to be reminded of; the shell publishes a TimerFired when it is due."""

    timer_id: str
    """UUID; the same timer has the same id when it is decided again."""
    kind: TimerKind
    due_at_ms: int


class Decider(Protocol[State]):
    """A pure state machine for one key; all of its methods are total and free of I/O."""

    def initial(self, key: str) -> State:
        """Return the state before the first input."""
        ...

    def advance(self, state: State, event: Envelope, source: RecordReference) -> Step[State]:
        """Apply one input that stands at `source`, and tell what it causes."""
        ...

    def mark(self, state: State, event: Envelope) -> str | None:
        """Return by what an input is known if the state has let go of it.

        None: the state knows it, or it is known by nothing, or it is refused whether it is a repeat or not.
        """
        ...

    def timers(self, state: State) -> tuple[Timer, ...]:
        """Return the timers that wait, in any order."""
        ...

    def ended_at_ms(self, state: State) -> int | None:
        """Return when the key's work ended for good, or None while it goes on."""
        ...

    def encode(self, state: State) -> bytes:
        """Write a state for the table."""
        ...

    def decode(self, data: bytes) -> State:
        """Read a state that `encode` of this or an earlier version wrote."""
        ...
