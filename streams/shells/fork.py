"""The fork shell: reads on the log what another session was, and begins the fork that somebody wants.

It stands outside the deciding loop, for deciders read nothing, and nobody else is believed what a session
was. It checks that the session is one of whoever asks. In one process two sessions are never decided again at
once, and that is done in a thread, so that a long one holds up other forks alone.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

import structlog
from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types

from schemas.envelope import Envelope
from schemas.events.inputs import ForkRefused, ForkRequested, SessionForked
from schemas.frozen import replace
from schemas.wire.codec import Codec
from streams.engine.context import ShellContext
from streams.engine.faust_shell import FaustShell
from streams.history.configuration import ConfigurationMissing
from streams.history.fork import ForkImpossible, fork_wanted, no_session_of
from streams.history.recording_reader import RecordingReader, SessionCut, SessionMissing
from streams.history.replay import Diverged
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Delivery, Log, OwnershipLost, outgoing
from streams.shells.forwarding import ForwardingShell, ReadFloors, build_forwarding
from topics.catalog import RECORD_BYTES_MAX, SESSION_INPUTS, Topic
from topics.shells import FORK

_AGAIN_S: Final = 2.0
"""After so long the log is read again, while Kafka is away."""
_log = structlog.get_logger()


Fold = Callable[[Envelope], Awaitable[SessionForked]]
"""Returns how a fork begins for whoever asked; raises as `fork_wanted` and RecordingReader do."""


class ForkShell(ForwardingShell):
    """Writes, for each fork that somebody wants, how it begins or why it does not."""

    def __init__(
        self,
        fold: Fold,
        *,
        codec: Codec,
        log: Log,
        floors: ReadFloors,
        topic_prefix: str,
        metrics: ShellMetrics,
        now_ms: Callable[[], int],
    ) -> None:
        """Take what reads the log, and the surroundings, as in ForwardingShell."""
        super().__init__(
            name=FORK,
            codec=codec,
            log=log,
            floors=floors,
            topic_prefix=topic_prefix,
            metrics=metrics,
            now_ms=now_ms,
        )
        self._fold = fold
        self._folding: asyncio.Task[Envelope] | None = None

    def disown(self) -> None:
        """Stop, and give up the fork that is under way: whoever owns the partition now begins it again."""
        super().disown()
        if self._folding is not None:
            self._folding.cancel()

    async def forwarded(self, event: Envelope, delivery: Delivery) -> tuple[Envelope, Topic]:
        """Return how the fork begins, or why it does not, under the event id that the sender knows."""
        self._folding = asyncio.ensure_future(self._begun(event))
        try:
            return await self._folding, SESSION_INPUTS
        except asyncio.CancelledError:
            if self._owner:
                raise
            raise OwnershipLost from None
        finally:
            self._folding = None

    async def _begun(self, event: Envelope) -> Envelope:
        request = event.body
        assert isinstance(request, ForkRequested)
        try:
            # A trace of the fork leads on into its origin.
            begun = _told(event, await self._fold(event), caused_by=request.origin_event_id)
            if (size_bytes := outgoing(self._codec, begun, SESSION_INPUTS).size_bytes) <= RECORD_BYTES_MAX:
                return begun
            reason = f"what it goes on from would be a record of {size_bytes:,} bytes"
        except SessionMissing:
            reason = no_session_of(event, request.origin_session_id)
        except (ForkImpossible, SessionCut, ConfigurationMissing) as error:
            reason = str(error)
        except Diverged as error:
            reason = f"the session cannot be decided again up to there: {error}"
        refused = ForkRefused(
            origin_session_id=request.origin_session_id,
            origin_event_id=request.origin_event_id,
            reason=reason,
        )
        return _told(event, refused, caused_by=event.event_id)


def _told(event: Envelope, body: SessionForked | ForkRefused, caused_by: str) -> Envelope:
    return replace(
        event,
        event_id=event.correlation_id or event.event_id,
        type=type(body).__name__,
        producer=FORK,
        causation_id=caused_by,
        evidence_ids=(event.event_id,),
        body=body,
    )


def build_fork(context: ShellContext) -> FaustShell:
    """Build the fork shell; nothing connects until its app starts."""
    reader = RecordingReader(
        kafka_bootstrap=context.kafka_bootstrap,
        topic_prefix=context.topic_prefix,
        partitions=context.partitions,
        codec=context.codec,
    )

    async def fold(wanted: Envelope) -> SessionForked:
        assert isinstance(wanted.body, ForkRequested)
        while True:
            try:
                recording = await reader.recording(wanted.body.origin_session_id)
                break
            except KafkaError as error:
                _log.warning("log_not_read", session_id=wanted.body.origin_session_id, error=repr(error))
                await asyncio.sleep(_AGAIN_S)
        return await asyncio.to_thread(fork_wanted, recording, wanted)

    return build_forwarding(context, FORK, partial(ForkShell, fold))
