"""The one record that a shell with state keeps per key: state, positions and outbox, which cannot disagree.

Kafka writes one record atomically. Layout within its frame, all integers big endian: due (8 bytes), tenant,
user, positions, parked, outbox, state; texts have a length of 2 bytes before them, bytes one of 4.
"""

import struct
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from streams.records.framing import RecordDamaged, framed, unframed

_U16: Final = struct.Struct(">H")
_U32: Final = struct.Struct(">I")
_I64: Final = struct.Struct(">q")
_VERSION: Final = 3
_BARE_VERSION: Final = 2
_TORN: Final = "the record ends too early or too late"
NEVER: Final = -1
DUE_AT_MS_MAX: Final = 2**62
TEXT_CHARACTERS_MAX: Final = 16_000
"""Of a tenant's or user's name; its length takes 2 bytes."""


@dataclass(slots=True, kw_only=True)
class StoredRecord:
    """What the table holds of one key."""

    state: bytes
    positions: dict[str, int] = field(default_factory=dict)
    """By source topic, the last offset applied."""
    outbox: list[tuple[str, bytes]] = field(default_factory=list)
    """Caused events by topic, with their encoded values, which may not be published yet."""
    parked: list[tuple[str, int]] = field(default_factory=list)
    """Topic and offset of inputs put aside while the key is quarantined; empty when it is not."""
    due_at_ms: int = NEVER
    """When the earliest timer comes due, or when an ended key may leave; outside the state, so that no
    state is decoded only to know it."""
    tenant_id: str = ""
    user_id: str = ""

    @property
    def size_bytes(self) -> int:
        """Return an upper bound of the encoded size, cheaper than encoding."""
        size_bytes = 64 + len(self.state) + 4 * (len(self.tenant_id) + len(self.user_id))
        for topic in self.positions:
            size_bytes += 16 + len(topic)
        for topic, _ in self.parked:
            size_bytes += 16 + len(topic)
        for topic, value in self.outbox:
            size_bytes += 8 + len(topic) + len(value)
        return size_bytes

    def unpark(self, place: tuple[str, int]) -> bool:
        """Take an input out of those put aside; tell whether that ended the key's quarantine."""
        if place not in self.parked:
            return False
        self.parked.remove(place)
        return not self.parked

    def encode(self) -> bytes:
        """Write the record."""
        parts = [_I64.pack(self.due_at_ms)]
        add = parts.append
        add(_text(self.tenant_id))
        add(_text(self.user_id))
        add(_U16.pack(len(self.positions)))
        for topic, offset in self.positions.items():
            add(_text(topic))
            add(_I64.pack(offset))
        add(_U16.pack(len(self.parked)))
        for topic, offset in self.parked:
            add(_text(topic))
            add(_I64.pack(offset))
        add(_U16.pack(len(self.outbox)))
        for topic, value in self.outbox:
            add(_text(topic))
            add(_U32.pack(len(value)))
            add(value)
        add(_U32.pack(len(self.state)))
        add(self.state)
        return framed(_VERSION, b"".join(parts))

    @classmethod
    def decode(cls, data: bytes) -> "StoredRecord":
        """Read a record.

        Raises:
            RecordDamaged: no program wrote it.
            RecordNewer: a newer program did.
        """
        try:
            reader = _Reader(data)
            due_at_ms = reader.i64()
            tenant_id, user_id = reader.text(), reader.text()
            positions = {reader.text(): reader.i64() for _ in range(reader.u16())}
            parked = [(reader.text(), reader.i64()) for _ in range(reader.u16())]
            outbox = [(reader.text(), reader.data()) for _ in range(reader.u16())]
            state = reader.data()
            reader.end()
            return cls(
                state=state,
                positions=positions,
                outbox=outbox,
                parked=parked,
                due_at_ms=due_at_ms,
                tenant_id=tenant_id,
                user_id=user_id,
            )
        except (struct.error, UnicodeDecodeError) as error:
            raise RecordDamaged(_TORN) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Glance:
    """What a start needs to know of each record."""

    due_at_ms: int
    positions: dict[str, int]
    quarantined: bool


def peek(data: bytes) -> Glance:
    """Read only the beginning of a record; a start looks at every record so.

    Raises:
        RecordDamaged: no program wrote it.
        RecordNewer: a newer program did.
    """
    try:
        reader = _Reader(data)
        due_at_ms = reader.i64()
        reader.text()
        reader.text()
        positions = {reader.text(): reader.i64() for _ in range(reader.u16())}
        return Glance(due_at_ms=due_at_ms, positions=positions, quarantined=reader.u16() > 0)
    except (struct.error, UnicodeDecodeError) as error:
        raise RecordDamaged(_TORN) from error


@lru_cache(maxsize=4_096)
def _text(text: str) -> bytes:
    data = text.encode()
    return _U16.pack(len(data)) + data


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = unframed(data, _VERSION, bare=_BARE_VERSION)
        self._at = 0

    def end(self) -> None:
        if self._at != len(self._data):
            raise struct.error("too long")

    def u16(self) -> int:
        (number,) = _U16.unpack_from(self._data, self._at)
        self._at += 2
        return int(number)

    def i64(self) -> int:
        (number,) = _I64.unpack_from(self._data, self._at)
        self._at += 8
        return int(number)

    def text(self) -> str:
        return self._take(self.u16()).decode()

    def data(self) -> bytes:
        (length,) = _U32.unpack_from(self._data, self._at)
        self._at += 4
        return self._take(int(length))

    def _take(self, length: int) -> bytes:
        taken = self._data[self._at : self._at + length]
        if len(taken) != length:
            raise struct.error("too short")
        self._at += length
        return taken
