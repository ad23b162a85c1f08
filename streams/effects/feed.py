"""Pieces of answers while they come: published without waiting, and no part of the truth."""

import asyncio
from collections.abc import Callable
from typing import Protocol

import structlog

from schemas.envelope import Envelope
from schemas.events.deltas import DeltaFact
from schemas.ids import derived_id
from schemas.wire.codec import Codec
from streams.process.metrics import ShellMetrics
from streams.records.delivery import Outgoing, outgoing

_log = structlog.get_logger()


class Offer(Protocol):
    """Publishes a record without waiting for it."""

    async def offer(self, record: Outgoing) -> "asyncio.Future[object]":
        """Return the future of the record's publication."""
        ...


class Feed:
    """Publishes deltas to session.deltas; one that fails is counted and gone."""

    def __init__(
        self, *, codec: Codec, log: Offer, metrics: ShellMetrics, now_ms: Callable[[], int], producer: str
    ) -> None:
        """Take where to publish."""
        self._codec = codec
        self._out = log
        self._metrics = metrics
        self._now_ms = now_ms
        self._producer = producer

    async def publish(self, cause: Envelope, body: DeltaFact, *place: str) -> None:
        """Publish a piece.

        Args:
            cause: the call.
            body: the piece.
            place: attempt, index and so on: what tells it from other pieces of the call.
        """
        event = Envelope(
            event_id=derived_id(body.call_id, "delta", *place),
            type=type(body).__name__,
            session_id=cause.session_id,
            tenant_id=cause.tenant_id,
            user_id=cause.user_id,
            causation_id=cause.event_id,
            correlation_id=cause.correlation_id,
            occurred_at_ms=self._now_ms(),
            producer=self._producer,
            traceparent=cause.traceparent,
            body=body,
        )
        try:
            future = await self._out.offer(outgoing(self._codec, event))
        except Exception as error:
            # A delta is a courtesy: whatever goes wrong with it must not touch the call.
            self._lost(error)
            return
        future.add_done_callback(self._on_done)

    def _on_done(self, future: "asyncio.Future[object]") -> None:
        if not future.cancelled() and future.exception() is not None:
            self._lost(future.exception())

    def _lost(self, error: BaseException | None) -> None:
        self._metrics.deltas_lost.inc()
        _log.debug("delta_lost", shell=self._producer, reason=repr(error))
