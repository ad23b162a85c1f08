"""Intake: what every shell asks of a record before it believes it, and how it puts one aside."""

import asyncio
from collections.abc import Callable
from typing import Final

import structlog

from processors.rejections import Refused, rejected
from schemas.envelope import Envelope
from schemas.ids import is_uuid
from schemas.wire.codec import Codec, UndecodableError, UnknownFactError
from schemas.wire.registry import RegistryUnavailable
from streams.records.delivery import Delivery, Outgoing, OwnershipLost, outgoing
from topics.catalog import BY_NAME, Keying
from topics.routing import key_of

_log = structlog.get_logger()
RESERVED_KEYS: Final = b"\0"
"""With this begin the keys under which a table keeps what belongs to no key of its shell."""
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
        retry_delay_s: float = _RETRY_DELAY_S,
    ) -> None:
        """Take what reading needs.

        Args:
            codec: reads values.
            shell: name for dead letters and logs.
            topic_prefix: put before topic names in dead letters.
            is_owner: False ends waits for the registry.
            now_ms: the clock, for dead letters.
            retry_delay_s: the first wait for a registry that is away; each next is twice as long, up to 5 s.
        """
        self._codec = codec
        self._shell = shell
        self._prefix = topic_prefix
        self._is_owner = is_owner
        self._now_ms = now_ms
        self._retry_delay_s = retry_delay_s

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
        if delivery.key.startswith(RESERVED_KEYS):
            raise RecordRefused("key_mismatch", "keys that begin with a zero byte are the shells' own", event)
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
        delay_s = self._retry_delay_s
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

    def letter(self, delivery: Delivery, refused: RecordRefused) -> Outgoing:
        """Make the dead letter of a record, as it is published, and log it."""
        _log.warning(
            "record_refused",
            shell=self._shell,
            code=refused.code,
            reason=refused.reason,
            place=delivery.coordinates,
        )
        return outgoing(self._codec, self.dead_letter(delivery, refused))

    def dead_letter(self, delivery: Delivery, refused: RecordRefused) -> Envelope:
        """Make the event that puts a record aside; the same record, refused again, gives the same id."""
        return rejected(
            Refused(
                topic=self._prefix + delivery.topic,
                partition=delivery.partition,
                offset=delivery.offset,
                key=delivery.key,
                value=delivery.value,
                headers=delivery.headers,
                code=refused.code,
                reason=refused.reason,
                event=refused.event,
            ),
            by=self._shell,
            now_ms=self._now_ms(),
        )
