"""Snapshots that a newer one makes useless: it reaches as far in every partition, and is whole."""

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sinks.snapshot import Member, SnapshotInvalid, manifest_in, pieces_of

_OFFSETS: Final = "sink_offsets"
_Position = tuple[str, str, str, str]
"""Sink, topic, partition and id of the topic: offsets of another log are no offsets of this one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Superseded:
    """A snapshot that may go."""

    path: Path
    bytes: int
    modified_ns: int
    by: Path
    """The one that stays and reaches at least as far."""

    def remove(self) -> None:
        """Delete the file; one that went meanwhile is no error.

        Raises:
            OSError: it was replaced meanwhile, or cannot be deleted.
        """
        try:
            status = self.path.lstat()
        except FileNotFoundError:
            return
        if (status.st_size, status.st_mtime_ns) != (self.bytes, self.modified_ns) or not self.by.is_file():
            raise OSError(f"{self.path} or {self.by} was replaced meanwhile")
        self.path.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Looked:
    path: Path
    bytes: int
    modified_ns: int
    tables: frozenset[str]
    reached: Mapping[_Position, int]

    def covers(self, other: "_Looked") -> bool:
        """Tell whether all that `other` has is in this one, too."""
        return (
            self.tables >= other.tables
            and self.modified_ns >= other.modified_ns
            and all(self.reached.get(place, -1) >= offset for place, offset in other.reached.items())
        )


def superseded(folder: Path) -> tuple[Superseded, ...]:
    """Return which snapshots in a folder another one in it makes useless.

    Files that are no snapshots are passed over. The checksums of one that makes others useless are compared,
    so that no damaged one is all that is left.

    Raises:
        OSError: the folder cannot be read.
    """
    looked = []
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.is_symlink() and zipfile.is_zipfile(path):
            try:
                looked.append(_looked(path))
            except SnapshotInvalid:
                continue
    # The furthest first; of two that reach equally far, the newer file.
    looked.sort(key=lambda one: (sum(one.reached.values()), one.modified_ns, str(one.path)), reverse=True)
    kept: list[_Looked] = []
    found = []
    whole: dict[Path, bool] = {}
    for one in looked:
        better = next((other for other in kept if other.covers(one) and _is_whole(other, whole)), None)
        if better is None:
            kept.append(one)
        else:
            found.append(
                Superseded(path=one.path, bytes=one.bytes, modified_ns=one.modified_ns, by=better.path)
            )
    return tuple(found)


def _looked(path: Path) -> _Looked:
    manifest = manifest_in(path)
    offsets = next((one for one in manifest.members if one.table == _OFFSETS), None)
    if offsets is None:
        raise SnapshotInvalid(f"{path} has no offsets")
    status = path.stat()
    return _Looked(
        path=path,
        bytes=status.st_size,
        modified_ns=status.st_mtime_ns,
        tables=frozenset(one.table for one in manifest.members),
        reached=_reached(path, offsets),
    )


def _reached(path: Path, member: Member) -> dict[_Position, int]:
    """Read the offsets, in Postgres' COPY text format; names of topics and ids have nothing to be escaped."""
    try:
        with zipfile.ZipFile(path) as archive:
            lines = archive.read(member.table).decode().splitlines()
        rows = [dict(zip(member.columns, line.split("\t"), strict=True)) for line in lines]
        return {
            (row["sink"], row["topic"], row["partition"], row["topic_id"]): int(row["next_offset"])
            for row in rows
        }
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise SnapshotInvalid(f"{path} has no offsets: {error}") from error


def _is_whole(one: _Looked, known: dict[Path, bool]) -> bool:
    if one.path not in known:
        known[one.path] = _sums_agree(one.path)
    return known[one.path]


def _sums_agree(path: Path) -> bool:
    try:
        manifest = manifest_in(path)
        with zipfile.ZipFile(path) as archive:
            for member in manifest.members:
                for _ in pieces_of(archive, member):
                    pass
    except (OSError, KeyError, zipfile.BadZipFile, zlib.error, SnapshotInvalid):
        return False
    return True
