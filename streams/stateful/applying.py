"""Applying: what one input makes of one key, in memory; or why it is put aside."""

from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import structlog

from processors.decider import Decider
from schemas.envelope import Envelope, Fact
from schemas.wire.codec import Codec
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Delivery, outgoing
from streams.records.intake import Intake, RecordRefused
from streams.records.reference import reference_to
from streams.stateful.batch import Batch
from streams.stateful.known_inputs import KnownInputs
from streams.stateful.loaded import Loaded, outbox_bytes_of, redriven_place, too_large
from streams.stateful.loaded_keys import LoadedKeys
from streams.stateful.retirement import Retirement
from topics.catalog import Topic

State = TypeVar("State")
_log = structlog.get_logger()


class Applier(Generic[State]):
    """Of one shell."""

    def __init__(
        self,
        decider: Decider[State],
        *,
        name: str,
        codec: Codec,
        intake: Intake,
        loaded: LoadedKeys[State],
        known: KnownInputs,
        retirement: Retirement[State],
        metrics: ShellMetrics,
        topic_for: Callable[[Fact], Topic],
    ) -> None:
        """Take the decider, and what the shell knows beside its keys."""
        self._decider = decider
        self._name = name
        self._codec = codec
        self._intake = intake
        self._loaded = loaded
        self._known = known
        self._retirement = retirement
        self._metrics = metrics
        self._topic_for = topic_for

    async def apply(
        self,
        loaded: Loaded[State],
        delivery: Delivery,
        event: Envelope,
        batch: Batch[State],
        commit: Callable[[], Awaitable[None]],
    ) -> None:
        """Apply an input to its key.

        Args:
            loaded: the key.
            delivery: the input's record.
            event: the input.
            batch: takes what becomes of it.
            commit: makes durable what the batch has come to so far.

        Raises:
            OwnershipLost: by `commit`.
        """
        parked = loaded.stored.parked
        place = (delivery.topic, delivery.offset)
        redriven = redriven_place(delivery)
        if redriven in parked:
            place = redriven
        elif parked:
            reason = "an earlier input of this key cannot be applied; redrive both in order"
            self._park(loaded, delivery, RecordRefused("quarantined", reason, event), batch)
            return
        try:
            if self._is_repeat(loaded, event):
                self._pass_over(loaded, delivery, place)
                self._metrics.input(delivery.topic, "repeated")
                return
            step = self._decider.advance(loaded.state, event, reference_to(delivery, event))
            caused = [outgoing(self._codec, one, self._topic_for(one.body)) for one in step.events]
            state = self._decider.encode(step.state) if step.encoded is None else step.encoded
            due_at_ms = self._retirement.next_at_ms(step.state)
        except Exception as error:
            # A decider is pure: what raises once raises for ever. The key is put aside, the others go on.
            _log.exception("decider_raised", shell=self._name, place=delivery.coordinates)
            reason = f"the decider raised {type(error).__name__}: {error}"[:2_000]
            self._park(loaded, delivery, RecordRefused("quarantined", reason, event), batch, place)
            return
        if step.refused is not None:
            # A key that was never told anything stays unknown.
            if loaded.stored.positions:
                self._pass_over(loaded, delivery, place)
            batch.refused[loaded.key] = loaded
            self.put_aside(delivery, RecordRefused(*step.refused, event), batch, "rejected")
            return
        if step.let_go:
            # Known for ever must be only what was applied for good: what a crash undoes comes again.
            await commit()
        candidate = loaded.after(delivery, event, state, due_at_ms)
        caused_bytes = outbox_bytes_of(caused)
        problem = too_large(candidate, loaded.outbox_bytes + caused_bytes, caused)
        if problem is not None:
            self._park(loaded, delivery, RecordRefused("too_large", problem, event), batch, place)
            return
        if candidate.unpark(place):
            self._metrics.quarantined_keys.dec()
        self._known.add(loaded.key, loaded.partition, step.let_go)
        self._loaded.grow(len(state) - len(loaded.stored.state))
        loaded.state, loaded.stored, loaded.changed = step.state, candidate, True
        loaded.cause(caused, caused_bytes)
        batch.applied[delivery.topic] += 1

    def put_aside(
        self, delivery: Delivery, refused: RecordRefused, batch: Batch[State], outcome: str
    ) -> None:
        """Write a dead letter with the batch."""
        self._metrics.input(delivery.topic, outcome)
        self._metrics.dead_letter(refused.code)
        batch.letters.append(self._intake.letter(delivery, refused))

    def _is_repeat(self, loaded: Loaded[State], event: Envelope) -> bool:
        """Tell whether the state has let go of the same input; what it still knows is its own to tell."""
        mark = self._decider.mark(loaded.state, event) if self._known else None
        return mark is not None and self._known.is_known(loaded.key, mark)

    def _pass_over(self, loaded: Loaded[State], delivery: Delivery, place: tuple[str, int]) -> None:
        """Leave the state as it is; if this was put aside before, it waits no longer."""
        if loaded.stored.unpark(place):
            self._metrics.quarantined_keys.dec()
            loaded.stored.due_at_ms = self._retirement.next_at_ms(loaded.state)
        loaded.pass_over(delivery)

    def _park(
        self,
        loaded: Loaded[State],
        delivery: Delivery,
        refused: RecordRefused,
        batch: Batch[State],
        place: tuple[str, int] | None = None,
    ) -> None:
        if not loaded.stored.parked:
            self._metrics.quarantined_keys.inc()
        loaded.park(delivery, instead_of=place)
        batch.refused[loaded.key] = loaded
        self.put_aside(delivery, refused, batch, "parked")
