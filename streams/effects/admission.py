"""What an effect shell asks of a record before a call of it may run."""

from collections.abc import Callable, Container, Sequence
from contextlib import suppress
from typing import Final

import structlog

from schemas.envelope import Envelope
from schemas.wire.codec import UnknownFactError
from streams.effects.calls import LEDGER_BYTES_MAX, Call, Intaken
from streams.effects.executor import Executor
from streams.effects.ledger import LedgerEntry, Status, call_key
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Delivery, Place
from streams.records.intake import Intake, RecordRefused

DURATION_MS_MAX: Final = 7 * 86_400_000
"""Longer than a week no call runs, whatever its record says."""

_log = structlog.get_logger()


class Admission:
    """Reads the records of one shell's source into a batch."""

    def __init__(
        self,
        executor: Executor,
        intake: Intake,
        *,
        shell: str,
        ledger: Container[bytes],
        metrics: ShellMetrics,
    ) -> None:
        """Take what reading needs; `ledger` is the table by key."""
        self._executor = executor
        self._intake = intake
        self._shell = shell
        self._ledger = ledger
        self._metrics = metrics

    async def take(
        self, delivery: Delivery, batch: Intaken, noted_to: Callable[[Place], int], check: Callable[[], None]
    ) -> None:
        """Read one record into the batch: a call, a cancellation, both, neither, or a dead letter.

        Args:
            delivery: the record.
            batch: what the deliveries have come to.
            noted_to: up to which offset of a partition the ledger knows every call.
            check: raises OwnershipLost when the partitions were revoked in the meantime.
        """
        try:
            event = await self._intake.read(delivery)
            check()
            place = (delivery.topic, delivery.partition)
            self._admit(delivery, event, batch, is_noted=delivery.offset <= noted_to(place))
        except RecordRefused as refused:
            self._metrics.dead_letter(refused.code)
            self._metrics.input(delivery.topic, "rejected")
            batch.letters.append(self._intake.letter(delivery, refused))
        except UnknownFactError as unknown:
            self._metrics.input(delivery.topic, "unknown_fact")
            _log.warning("unknown_fact", shell=self._shell, fact=unknown.name, place=delivery.coordinates)

    async def again(self, deliveries: Sequence[Delivery], call_id: str) -> Call | None:
        """Return the call of an id from the first record that may ask for it; None: none of these does."""
        for delivery in deliveries:
            with suppress(RecordRefused, UnknownFactError):
                event = await self._intake.read(delivery)
                if self._executor.call_id(event) == call_id:
                    return self._call(delivery, event, call_id)
        return None

    def _admit(self, delivery: Delivery, event: Envelope, batch: Intaken, *, is_noted: bool) -> None:
        cancellation = self._executor.cancellation(event)
        if cancellation is not None:
            # Whatever its position: for a call that is gone it does nothing.
            batch.cancellations.append(cancellation)
        if is_noted:
            self._metrics.input(delivery.topic, "replayed")
            return
        call_id = self._executor.call_id(event)
        if call_id is not None and not self._is_known(call_id, batch):
            batch.calls.append(self._call(delivery, event, call_id))
            self._metrics.input(delivery.topic, "applied")
            self._metrics.budget_tokens_reserved.inc(self._executor.reserved_tokens(event))
        elif call_id is not None:
            self._metrics.input(delivery.topic, "repeated")
        batch.positions[delivery.topic, delivery.partition] = delivery.offset

    def _is_known(self, call_id: str, batch: Intaken) -> bool:
        return call_key(call_id) in self._ledger or any(call_id == one.call_id for one in batch.calls)

    def _call(self, delivery: Delivery, event: Envelope, call_id: str) -> Call:
        assert delivery.value is not None
        size_bytes = len(delivery.value) + len(call_id.encode())
        if size_bytes > LEDGER_BYTES_MAX:
            reason = f"the ledger takes calls of at most {LEDGER_BYTES_MAX:,} bytes; this has {size_bytes:,}"
            raise RecordRefused("too_large", reason, event)
        if not 0 <= self._executor.duration_ms_max(event) <= DURATION_MS_MAX:
            raise RecordRefused("invalid_input", "the call may take no time, or more than a week", event)
        if self._executor.reserved_tokens(event) < 0:
            raise RecordRefused("invalid_input", "the call's reservation is negative", event)
        entry = LedgerEntry(
            status=Status.ACCEPTED,
            partition=delivery.partition,
            offset=delivery.offset,
            call=delivery.value,
        )
        return Call(call_id=call_id, entry=entry, event=event)
