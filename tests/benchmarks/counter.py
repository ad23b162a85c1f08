"""What the measured shell decides: it counts, keeps 200 bytes a session, and causes one event per input."""

from dataclasses import dataclass
from typing import Final

from processors.decider import Step, Timer
from schemas.envelope import Envelope
from schemas.events.outputs import ProgressReported, Stage
from schemas.ids import event_id_of
from schemas.references import RecordReference

STATE_BYTES: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How many inputs a session had."""

    count: int = 0


class CountingDecider:
    """Counts, and does nothing else, so that what is measured is the shell around it."""

    def __init__(self) -> None:
        """Begin without having decided anything."""
        self.advanced = 0

    def initial(self, key: str) -> Count:  # every session begins alike
        """Begin at zero."""
        return Count()

    def advance(self, state: Count, event: Envelope, source: RecordReference) -> Step[Count]:
        """Count one input."""
        self.advanced += 1
        count = state.count + 1
        caused = Envelope(
            event_id=event_id_of(event.event_id, 0),
            type="ProgressReported",
            session_id=event.session_id,
            sequence=count,
            causation_id=event.event_id,
            occurred_at_ms=event.occurred_at_ms,
            producer="count",
            body=ProgressReported(
                turn=1, stage=Stage.EXECUTE, detail=source.topic, tasks_done=count, tasks_total=count
            ),
        )
        return Step(state=Count(count=count), events=(caused,))

    def timers(self, state: Count) -> tuple[Timer, ...]:
        """Return none."""
        return ()

    def mark(self, state: Count, event: Envelope) -> None:
        """Inputs have no marks."""

    def ended_at_ms(self, state: Count) -> int | None:
        """Tell that no session ends."""
        return None

    def encode(self, state: Count) -> bytes:
        """Write a state of 200 bytes."""
        return str(state.count).encode().ljust(STATE_BYTES)

    def decode(self, data: bytes) -> Count:
        """Read it."""
        return Count(count=int(data))
