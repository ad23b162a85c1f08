"""Loading: a key's record out of its table, decoded."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from processors.decider import Decider
from schemas.wire.codec import Codec, UndecodableError
from streams.records.delivery import Outgoing, restored
from streams.records.framing import RecordDamaged
from streams.stateful.loaded import Loaded, outbox_bytes_of
from streams.stateful.stored_record import StoredRecord
from topics.catalog import BY_NAME
from topics.routing import partition_of

State = TypeVar("State")


class Loader(Generic[State]):
    """Of one shell's keys."""

    def __init__(
        self, decider: Decider[State], codec: Codec, table: Mapping[bytes, bytes], partitions: int
    ) -> None:
        """Take the decider, what reads events, the records by key and the count of partitions."""
        self._decider = decider
        self._codec = codec
        self._table = table
        self._partitions = partitions

    async def load(self, key: bytes, *, with_outbox: bool) -> Loaded[State]:
        """Return a key as the table has it, or as it begins.

        Args:
            key: of the table.
            with_outbox: False when all that its outbox holds is known to be published.

        Raises:
            RecordDamaged: there is a record, and it cannot be read.
        """
        data = self._table.get(key)
        stored = StoredRecord(state=b"") if data is None else StoredRecord.decode(data)
        loaded = Loaded(
            key=key,
            partition=partition_of(key, self._partitions),
            state=self._state(key, stored.state),
            stored=stored,
        )
        if with_outbox:
            kept = [await self._kept(topic, value) for topic, value in stored.outbox]
            loaded.cause(kept, outbox_bytes_of(kept))
        return loaded

    def _state(self, key: bytes, encoded: bytes) -> State:
        if not encoded:
            return self._decider.initial(key.decode())
        try:
            return self._decider.decode(encoded)
        except Exception as error:
            # Decoders raise whatever their formats do; none of it may touch another key.
            raise RecordDamaged(f"its state is none of this program's: {error!r}"[:500]) from error

    async def _kept(self, topic: str, value: bytes) -> Outgoing:
        if topic not in BY_NAME:
            raise RecordDamaged(f"its outbox has an event for {topic!r}, which is no topic")
        try:
            return await restored(self._codec, topic, value)
        except UndecodableError as error:
            raise RecordDamaged(f"its outbox has an event that cannot be read: {error.reason}") from error
