"""What an effect shell's table holds: an entry per call, and per partition how far calls are noted.

Layout of an entry within its frame, integers big endian: status (1 byte), partition (4), offset (8),
attempt (4), deadline (8), owner, call, outbox; texts have a length of 2 bytes before them, bytes one of 4.
"""

import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from processors.lifecycles import LEDGER_ENTRY
from streams.records.framing import RecordDamaged, framed, unframed

_HEAD: Final = struct.Struct(">BIqIq")
_LENGTH16: Final = struct.Struct(">H")
_LENGTH32: Final = struct.Struct(">I")
_OFFSET: Final = struct.Struct(">q")
_VERSION: Final = 2
_BARE_VERSION: Final = 1
_POSITION_VERSION: Final = 1
_CALL: Final = b"call/"
_POSITION: Final = b"position/"


class Status(IntEnum):
    """How far a call has come; `processors/lifecycles.py` has its moves."""

    ACCEPTED = 1
    """It will run; it certainly has not."""
    DISPATCHED = 2
    """It may have run, in part or whole."""
    ENDED = 3
    """Its outcome is in the outbox."""
    DONE = 4
    """Its outcome is published. The entry stays for a while, because the session shell repeats calls of an
    outbox that it does not know to be published, even long after they ended."""


@dataclass(slots=True, kw_only=True)
class LedgerEntry:
    """One call."""

    status: Status
    partition: int
    offset: int
    """Where the call stands in the source topic."""
    call: bytes
    """The encoded call; empty once it has ended."""
    owner: str = ""
    """Which process dispatched it."""
    attempt: int = 0
    deadline_at_ms: int = 0
    """By when it ends, one way or another; for one that is done, when that was."""
    outbox: list[tuple[str, bytes]] = field(default_factory=list)

    def move_to(self, status: Status) -> None:
        """Come to `status`, which must be a legal move from where it is, or the same."""
        if status is not self.status:
            LEDGER_ENTRY.move(self.status.name.lower(), status.name.lower())
        self.status = status

    def encode(self) -> bytes:
        """Write the entry."""
        head = _HEAD.pack(self.status, self.partition, self.offset, self.attempt, self.deadline_at_ms)
        parts = [head, _short(self.owner), _LENGTH32.pack(len(self.call)), self.call]
        parts.append(_LENGTH16.pack(len(self.outbox)))
        for topic, value in self.outbox:
            parts += [_short(topic), _LENGTH32.pack(len(value)), value]
        return framed(_VERSION, b"".join(parts))

    @classmethod
    def decode(cls, data: bytes) -> "LedgerEntry":
        """Read an entry.

        Raises:
            RecordDamaged: no program wrote it.
            RecordNewer: a newer program did.
        """
        data = unframed(data, _VERSION, bare=_BARE_VERSION)
        try:
            status, partition, offset, attempt, deadline_at_ms = _HEAD.unpack_from(data)
            owner, at = _read_short(data, _HEAD.size)
            call, at = _read_long(data, at)
            (count,) = _LENGTH16.unpack_from(data, at)
            at += _LENGTH16.size
            outbox = []
            for _ in range(count):
                topic, at = _read_short(data, at)
                value, at = _read_long(data, at)
                outbox.append((topic, value))
            if at != len(data):
                raise struct.error("too long")
            return cls(
                status=Status(status),
                partition=partition,
                offset=offset,
                call=call,
                owner=owner,
                attempt=attempt,
                deadline_at_ms=deadline_at_ms,
                outbox=outbox,
            )
        except (struct.error, UnicodeDecodeError, ValueError) as error:
            raise RecordDamaged("the ledger's entry ends too early or too late") from error


def call_key(call_id: str) -> bytes:
    """Return the table's key of a call."""
    return _CALL + call_id.encode()


def call_id_of(key: bytes) -> str | None:
    """Return the call whose key this is; None for a position's."""
    return key.removeprefix(_CALL).decode(errors="replace") if key.startswith(_CALL) else None


def position_key(topic: str, partition: int) -> bytes:
    """Return the table's key of a partition's position."""
    return _POSITION + f"{topic}/{partition}".encode()


def position_place(key: bytes) -> tuple[str, int] | None:
    """Return topic and partition of a position's key; None for any other key."""
    topic, _, partition = key.removeprefix(_POSITION).decode(errors="replace").rpartition("/")
    return (topic, int(partition)) if key.startswith(_POSITION) and partition.isdecimal() else None


def encode_position(offset: int) -> bytes:
    """Write up to which offset every call is noted."""
    return framed(_POSITION_VERSION, _OFFSET.pack(offset))


def is_bare_position(data: bytes) -> bool:
    """Tell whether an earlier program wrote it, as the offset alone; whatever has 8 bytes looks like one."""
    # No offset is so high that its first bytes are not 0.
    return len(data) == _OFFSET.size and data.startswith(b"\0\0")


def decode_position(data: bytes) -> int:
    """Read it.

    Raises:
        RecordDamaged: no program wrote it.
        RecordNewer: a newer program did.
    """
    payload = data if is_bare_position(data) else unframed(data, _POSITION_VERSION)
    try:
        (offset,) = _OFFSET.unpack(payload)
    except struct.error as error:
        raise RecordDamaged("the position ends too early or too late") from error
    if offset < 0:
        raise RecordDamaged("the position is negative")
    return int(offset)


def _short(text: str) -> bytes:
    data = text.encode()
    return _LENGTH16.pack(len(data)) + data


def _read_short(data: bytes, at: int) -> tuple[str, int]:
    (length,) = _LENGTH16.unpack_from(data, at)
    end = at + _LENGTH16.size + int(length)
    if end > len(data):
        raise struct.error("too short")
    return data[at + _LENGTH16.size : end].decode(), end


def _read_long(data: bytes, at: int) -> tuple[bytes, int]:
    (length,) = _LENGTH32.unpack_from(data, at)
    end = at + _LENGTH32.size + int(length)
    if end > len(data):
        raise struct.error("too short")
    return data[at + _LENGTH32.size : end], end
