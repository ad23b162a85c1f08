"""A decider that counts: one event per input, numbered without a gap; small enough to see every mistake."""

from dataclasses import dataclass, replace

from processors.decider import Refused, Step, Timer
from schemas.envelope import Envelope
from schemas.events.dead_letters import RejectionCode
from schemas.events.inputs import MessageReceived, SessionCancelled, SessionClosed, SessionOpened
from schemas.events.outputs import ProgressReported, Stage
from schemas.events.timers import TimerFired, TimerKind
from schemas.ids import derived_id, event_id_of
from schemas.references import RecordReference


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many inputs a session had."""

    count: int = 0
    timer_due_at_ms: int = -1
    ended_at_ms: int = -1


class CountingDecider:
    """Counts; raises on `poison`, refuses `refuse`, grows on `grow:N`, sets a timer on `timer:DUE_MS`."""

    def __init__(self, *, poison: bool = True) -> None:
        """Take whether the text `poison` raises, as a bug that a later version fixes."""
        self._poison = poison
        self.advanced = 0

    def initial(self, key: str) -> Count:  # every session begins alike
        """Begin at zero."""
        return Count()

    def advance(self, state: Count, event: Envelope, source: RecordReference) -> Step[Count]:
        """Count one input."""
        self.advanced += 1
        body = event.body
        detail = source.topic
        if isinstance(body, MessageReceived) and body.text == "refuse":
            return Step(state=state, events=(), refused=Refused(RejectionCode.NOT_OWNER, "it is not yours"))
        state = replace(state, count=state.count + 1)
        if isinstance(body, MessageReceived):
            if body.text == "poison" and self._poison:
                raise RuntimeError("this input cannot be decided")
            if body.text.startswith("grow:"):
                detail = "x" * int(body.text.removeprefix("grow:"))
            if body.text.startswith("timer:"):
                state = replace(state, timer_due_at_ms=int(body.text.removeprefix("timer:")))
        if isinstance(body, TimerFired):
            state = replace(state, timer_due_at_ms=-1)
        if isinstance(body, SessionClosed | SessionCancelled):
            state = replace(state, ended_at_ms=event.occurred_at_ms)
        if isinstance(body, SessionOpened):
            state = replace(state, ended_at_ms=-1)
        caused = Envelope(
            event_id=event_id_of(event.event_id, 0),
            type="ProgressReported",
            session_id=event.session_id,
            sequence=state.count,
            causation_id=event.event_id,
            occurred_at_ms=event.occurred_at_ms,
            producer="count",
            body=ProgressReported(
                turn=1, stage=Stage.EXECUTE, detail=detail, tasks_done=state.count, tasks_total=state.count
            ),
        )
        return Step(state=state, events=(caused,))

    def timers(self, state: Count) -> tuple[Timer, ...]:
        """Return the timer, if one is set."""
        if state.timer_due_at_ms < 0:
            return ()
        timer_id = derived_id("timer", str(state.timer_due_at_ms))
        return (Timer(timer_id=timer_id, kind=TimerKind.RETRY, due_at_ms=state.timer_due_at_ms),)

    def mark(self, state: Count, event: Envelope) -> None:
        """Inputs have no marks."""

    def ended_at_ms(self, state: Count) -> int | None:
        """Return when the session was closed."""
        return None if state.ended_at_ms < 0 else state.ended_at_ms

    def encode(self, state: Count) -> bytes:
        """Write a count."""
        return f"{state.count} {state.timer_due_at_ms} {state.ended_at_ms}".encode()

    def decode(self, data: bytes) -> Count:
        """Read a count."""
        count, due, ended = data.split()
        return Count(count=int(count), timer_due_at_ms=int(due), ended_at_ms=int(ended))
