"""Intake: what every shell asks of a record before it believes it, and how it puts one aside."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from schemas.envelope import Envelope
from schemas.events.dead_letters import RecordHeader, RecordRejected, RejectionCode
from schemas.ids import derived_id, is_uuid
from schemas.wire.codec import Codec, UndecodableError, UnknownFactError
from schemas.wire.registry import RegistryUnavailable
from streams.records.delivery import Delivery, OwnershipLost
from topics.catalog import BY_NAME, Keying
from topics.routing import key_of

_log = structlog.get_logger()
_RETRY_DELAY_S: Final = 0.25
_RETRY_DELAY_S_MAX: Final = 5.0


class RecordRefused(Exception):
    """A record cannot be used; it goes to dead.letters with this code and sentence."""

    def __init__(self, code: str, reason: str, event: Envelope | None = None) -> None:
        """Note why, and the event as far as it could be read."""
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.event = event


class Intake:
    """Reads deliveries for one shell."""

    def __init__(
        self,
        codec: Codec,
        *,
        shell: str,
        topic_prefix: str,
        is_owner: Callable[[], bool],
        now_ms: Callable[[], int],
    ) -> None:
        """Take what reading needs.

        Args:
            codec: reads values.
            shell: name for dead letters and logs.
            topic_prefix: put before topic names in dead letters.
            is_owner: False ends waits for the registry.
            now_ms: the clock, for dead letters.
        """
        self._codec = codec
        self._shell = shell
        self._prefix = topic_prefix
        self._is_owner = is_owner
        self._now_ms = now_ms

    async def read(self, delivery: Delivery) -> Envelope:
        """Read an event that stands on the topic it belongs to, under the key it belongs to.

        Raises:
            RecordRefused: it cannot be used, now or ever.
            UnknownFactError: it carries a fact that this program does not know: neither applied nor refused.
            OwnershipLost: the partitions were revoked while the registry was away.
        """
        event = await self.decode(delivery)
        topic = BY_NAME[delivery.topic]
        if not isinstance(event.body, topic.facts):
            name = type(event.body).__name__
            raise RecordRefused("wrong_topic", f"{topic.name} does not carry the fact {name}", event)
        if topic.keying is Keying.ANY:
            return event
        if not delivery.key:
            raise RecordRefused(
                "key_missing", f"records of {topic.name} have a key; this one has none", event
            )
        if delivery.key != key_of(topic, event):
            raise RecordRefused(
                "key_mismatch", f"the record's key is not the {topic.keying} that its value names", event
            )
        if not is_uuid(event.event_id):
            raise RecordRefused("invalid_input", "event_id is not a UUID in canonical form", event)
        return event

    async def decode(self, delivery: Delivery) -> Envelope:
        """Read an event; as long as the registry is away, try again, so that no record is refused for that.

        Raises:
            RecordRefused: it cannot be read.
            UnknownFactError: it carries a fact that this program does not know.
            OwnershipLost: the partitions were revoked in the meantime.
        """
        delay_s = _RETRY_DELAY_S
        while True:
            try:
                return await self._codec.decode(delivery.value, delivery.headers)
            except UnknownFactError:
                raise
            except UndecodableError as error:
                raise RecordRefused(error.code, error.reason) from error
            except RegistryUnavailable as error:
                _log.warning("registry_unavailable", shell=self._shell, reason=str(error), retry_s=delay_s)
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, _RETRY_DELAY_S_MAX)
            if not self._is_owner():
                raise OwnershipLost

    def dead_letter(self, delivery: Delivery, refused: RecordRefused) -> Envelope:
        """Make the event that puts a record aside; the same record, refused again, gives the same id."""
        full_name = self._prefix + delivery.topic
        event = refused.event
        return Envelope(
            event_id=derived_id(
                full_name, str(delivery.partition), str(delivery.offset), self._shell, refused.code
            ),
            type=RecordRejected.__name__,
            session_id=event.session_id if event is not None and is_uuid(event.session_id) else "",
            tenant_id=event.tenant_id if event is not None else "default",
            user_id=event.user_id if event is not None else "anonymous",
            causation_id=event.event_id if event is not None and is_uuid(event.event_id) else None,
            correlation_id=event.correlation_id if event is not None else None,
            occurred_at_ms=self._now_ms(),
            producer=self._shell,
            body=RecordRejected(
                topic=full_name,
                partition=delivery.partition,
                offset=delivery.offset,
                key=delivery.key,
                value=delivery.value,
                headers=tuple(RecordHeader(name=name, value=value) for name, value in delivery.headers),
                code=RejectionCode(refused.code),
                reason=refused.reason,
                shell=self._shell,
            ),
        )
