"""How the records of tables are framed, so that damage is told from what a newer program wrote.

A version (1 byte), the CRC-32 of what follows (4), and the payload. A record whose checksum holds and whose
version is unknown was written by a newer program, and this one must not go on from it. Everything else that
cannot be read is damage: somebody wrote to the changelog who should not, or a disk lost bits. That hurts what
the record is about, and nothing else. This frame never changes.

Version 0 is no program's: a table holds such a mark in place of a record that was damaged in its changelog.
"""

import struct
import zlib
from typing import Final

_HEAD: Final = struct.Struct(">BI")
_MARK: Final = struct.Struct(">BIq")
_DAMAGED: Final = 0


class RecordUnreadable(Exception):
    """A table's record cannot be read by this program."""


class RecordNewer(RecordUnreadable):
    """A newer program wrote it; this one must not go on."""


class RecordDamaged(RecordUnreadable):
    """It is not what any program wrote."""

    def __init__(self, reason: str, place: tuple[int, int] | None = None) -> None:
        """Note what is wrong, and the record's partition and offset in its changelog where they are known."""
        super().__init__(reason)
        self.reason = reason
        self.place = place


class RecordForeign(Exception):
    """A changelog's record is about nothing that its partition of the table holds."""


def framed(version: int, payload: bytes) -> bytes:
    """Return a payload in its frame."""
    return _HEAD.pack(version, zlib.crc32(payload)) + payload


def unframed(data: bytes, version: int, *, bare: int | None = None) -> bytes:
    """Return the payload of a record.

    Args:
        data: as the table holds it.
        version: of the payloads that the caller reads.
        bare: an older version that had no checksum and the same payload.

    Raises:
        RecordDamaged: it is not what any program wrote.
        RecordNewer: a newer program wrote it.
    """
    if len(data) >= _MARK.size and data[0] == _DAMAGED:
        _, partition, offset = _MARK.unpack_from(data)
        raise RecordDamaged(data[_MARK.size :].decode(errors="replace"), (partition, offset))
    if bare is not None and data[:1] == bytes([bare]):
        return data[1:]
    if len(data) < _HEAD.size:
        raise RecordDamaged("the record is too short")
    written_as, checksum = _HEAD.unpack_from(data)
    payload = data[_HEAD.size :]
    if zlib.crc32(payload) != checksum:
        raise RecordDamaged("the record's checksum does not hold")
    if written_as > version:
        raise RecordNewer(f"a newer program wrote version {written_as}; this one reads {version}")
    if written_as != version:
        raise RecordDamaged(f"no program wrote version {written_as} with a checksum")
    return payload


def damaged_mark(partition: int, offset: int, reason: str) -> bytes:
    """Return what a table holds in place of a record that is damaged at this place of its changelog."""
    return _MARK.pack(_DAMAGED, partition, offset) + reason.encode(errors="replace")
