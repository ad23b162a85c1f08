"""Snapshots: one file with all rows that the log leads to, and how far it was read for them.

A snapshot is made of a shadow, never of live tables, so that nothing is in it that the log did not say. A
rebuild that begins with one reads the log only from there on; so it also works when what stood before is no
longer on the log. The file is a ZIP archive: `manifest.json`, and a member for each table in Postgres' COPY
text format.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from sinks.shadow import SCHEMA

_FORM: Final = 1
_MANIFEST: Final = "manifest.json"
_PIECE_BYTES: Final = 1_048_576
_COLUMNS: Final = """
    SELECT attname FROM pg_attribute
    WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
    ORDER BY attnum
"""
_FURTHEST: Final = f"SELECT topic, partition, next_offset FROM {SCHEMA}.sink_offsets"  # noqa: S608  # our own schema


class SnapshotInvalid(Exception):
    """A file is no snapshot that these tables can take; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One table in a snapshot."""

    table: str
    columns: tuple[str, ...]
    rows: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a snapshot says of itself."""

    form: int
    made_by: str
    """Digest of the projections and of the tables' form."""
    records: int
    """Read for it, all partitions together."""
    offsets: Mapping[str, int]
    """By `topic/partition`, the first offset that is not in it."""
    members: tuple[Member, ...]


async def write(
    connection: AsyncConnection[TupleRow], path: Path, made_by: str, tables: Sequence[str]
) -> Manifest:
    """Write the shadow into a file, which is there whole or not at all.

    Args:
        connection: autocommit.
        path: what stands there is replaced.
        made_by: digest of the program that filled the shadow.
        tables: that the shadow has.

    Raises:
        OSError: the file cannot be written.
    """
    unfinished = path.with_name(path.name + ".unfinished")
    try:
        async with connection.transaction():
            await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                members = [await _written(connection, archive, name) for name in tables]
                offsets = {f"{row[0]}/{row[1]}": int(row[2]) for row in await _furthest(connection)}
                manifest = Manifest(
                    form=_FORM,
                    made_by=made_by,
                    records=sum(offsets.values()),
                    offsets=offsets,
                    members=tuple(members),
                )
                archive.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=1))
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return manifest


def manifest_of(path: Path, tables: Sequence[str]) -> Manifest:
    """Return what a snapshot says of itself.

    Args:
        path: of the file.
        tables: that it must have.

    Raises:
        SnapshotInvalid: it is none, or has a newer form.
    """
    manifest = manifest_in(path)
    if manifest.form != _FORM or {one.table for one in manifest.members} != set(tables):
        raise SnapshotInvalid(
            f"{path} was written by another program, or of a database whose V1 tables have another form; "
            f"this program reads form {_FORM}"
        )
    return manifest


def manifest_in(path: Path) -> Manifest:
    """Return what a snapshot says of itself, of whichever tables it is.

    Raises:
        SnapshotInvalid: it is none.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            plain = json.loads(archive.read(_MANIFEST))
        members = tuple(Member(**{**one, "columns": tuple(one["columns"])}) for one in plain["members"])
        return Manifest(**{**plain, "members": members})
    except (OSError, zipfile.BadZipFile, KeyError, TypeError, ValueError) as error:
        raise SnapshotInvalid(f"{path} is no snapshot: {error}") from error


async def seed(connection: AsyncConnection[TupleRow], path: Path, tables: Sequence[str]) -> Manifest:
    """Fill an empty shadow with a snapshot, all of it or nothing.

    Raises:
        SnapshotInvalid: it is damaged, or the tables have another form now.
    """
    manifest = manifest_of(path, tables)
    try:
        with zipfile.ZipFile(path) as archive:
            async with connection.transaction():
                for member in manifest.members:
                    await connection.execute(f"TRUNCATE {SCHEMA}.{member.table}".encode())
                    await _read(connection, archive, member)
    except (zipfile.BadZipFile, KeyError, OSError) as error:
        raise SnapshotInvalid(f"{path} is damaged: {error}") from error
    except psycopg.Error as error:
        if isinstance(error, psycopg.OperationalError):
            raise
        raise SnapshotInvalid(f"{path} does not fit the tables: {str(error).strip()}") from error
    return manifest


async def _furthest(connection: AsyncConnection[TupleRow]) -> list[TupleRow]:
    cursor = await connection.execute(_FURTHEST.encode())
    return await cursor.fetchall()


async def _written(connection: AsyncConnection[TupleRow], archive: zipfile.ZipFile, table: str) -> Member:
    name = f"{SCHEMA}.{table}"
    found = await (await connection.execute(_COLUMNS, [name])).fetchall()
    columns = tuple(str(row[0]) for row in found)
    digest = hashlib.sha256()
    cursor = connection.cursor()
    with archive.open(table, "w", force_zip64=True) as member:
        async with cursor.copy(f"COPY {name} ({_listed(columns)}) TO STDOUT".encode()) as copy:
            async for piece in copy:
                digest.update(piece)
                member.write(piece)
    return Member(table=table, columns=columns, rows=cursor.rowcount, sha256=digest.hexdigest())


def pieces_of(archive: zipfile.ZipFile, member: Member) -> Iterator[bytes]:
    """Read the rows of a table, piece by piece.

    Raises:
        SnapshotInvalid: after the last piece; they are not those that were written.
    """
    digest = hashlib.sha256()
    with archive.open(member.table) as source:
        while piece := source.read(_PIECE_BYTES):
            digest.update(piece)
            yield piece
    if digest.hexdigest() != member.sha256:
        raise SnapshotInvalid(f"the rows of {member.table} are not those that were written")


async def _read(connection: AsyncConnection[TupleRow], archive: zipfile.ZipFile, member: Member) -> None:
    statement = f"COPY {SCHEMA}.{member.table} ({_listed(member.columns)}) FROM STDIN"
    async with connection.cursor().copy(statement.encode()) as copy:
        for piece in pieces_of(archive, member):
            await copy.write(piece)


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in columns)
