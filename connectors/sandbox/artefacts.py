"""Collects what the foreign code left in its working directory, after its process has ended.

Only regular files with a plain name, one link and the run's owner are handed on; links are never followed,
devices and FIFOs never opened. Whatever is refused is named with its reason.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from connectors.sandbox.cleaning import clean_line
from connectors.sandbox.limits import NAME_BYTES_MAX, Limits
from connectors.sandbox.request import is_relative_name, look
from connectors.sandbox.result import Artefact, ArtefactRefused

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_DEPTH_MAX = 8
_REFUSALS_MAX = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    name: str
    directory: int
    base: str
    status: os.stat_result


def collect(
    work: int, inputs: Mapping[str, bytes], limits: Limits, owner: int
) -> tuple[tuple[Artefact, ...], tuple[ArtefactRefused, ...]]:
    """Return the new and changed files below the directory `work`, and what was refused, by name.

    Args:
        work: descriptor of the working directory; stays open.
        inputs: the request's files; one that is unchanged is no artefact.
        limits: how many files and bytes are handed on, how many entries are looked at.
        owner: the user id that the run had; a file of anyone else is refused.
    """
    artefacts: list[Artefact] = []
    refused: list[ArtefactRefused] = []
    looks = {look(name): name for name in inputs}
    bytes_left = limits.artefacts_bytes
    for count, entry in enumerate(_entries(work, "", 0)):
        if count > limits.inodes or len(refused) >= _REFUSALS_MAX:
            refused.append(ArtefactRefused(name="", reason="more entries than are looked at"))
            break
        try:
            content = _content(entry, owner, bytes_left, len(artefacts) < limits.artefacts_count)
        except _Refusal as refusal:
            shown = clean_line(entry.name.encode("utf-8", "replace").decode(), NAME_BYTES_MAX)
            refused.append(ArtefactRefused(name=shown, reason=str(refusal)))
            continue
        if content is None or inputs.get(entry.name) == content:
            continue
        if looks.setdefault(look(entry.name), entry.name) != entry.name:
            refused.append(
                ArtefactRefused(name=entry.name, reason="the name looks like that of another file")
            )
            continue
        bytes_left -= len(content)
        digest = hashlib.sha256(content).hexdigest()
        artefacts.append(Artefact(name=entry.name, content=content, sha256=digest))
    return tuple(artefacts), tuple(refused)


class _Refusal(Exception):
    """Why an entry is not handed on."""


def _content(entry: _Entry, owner: int, bytes_left: int, count_left: bool) -> bytes | None:
    mode = entry.status.st_mode
    if stat.S_ISDIR(mode):
        if entry.name.count("/") >= _DEPTH_MAX:
            raise _Refusal("nested too deeply")
        return None
    if not stat.S_ISREG(mode):
        raise _Refusal("a symbolic link" if stat.S_ISLNK(mode) else "no regular file")
    if not is_relative_name(entry.name):
        raise _Refusal("the name is not plain")
    try:
        descriptor = os.open(entry.base, _FILE, dir_fd=entry.directory)
    except OSError as error:
        raise _Refusal(f"it can't be opened: {error.strerror}") from error
    try:
        # Asked again of what was really opened: the name may have changed hands since.
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != owner:
            raise _Refusal("it does not belong to the run")
        if status.st_nlink != 1:
            raise _Refusal("it has further names (hard links)")
        if not count_left:
            raise _Refusal("more files than are handed on")
        if status.st_size > bytes_left:
            raise _Refusal(f"{status.st_size} bytes are more than may be handed on")
        return _read(descriptor, status.st_size)
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    pieces = []
    while size > 0 and (piece := os.read(descriptor, min(size, 1 << 20))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _entries(directory: int, prefix: str, depth: int) -> Iterator[_Entry]:
    try:
        names = sorted(os.listdir(directory))
    except OSError:
        return
    for base in names:
        try:
            status = os.stat(base, dir_fd=directory, follow_symlinks=False)
        except OSError:
            continue
        yield _Entry(name=prefix + base, directory=directory, base=base, status=status)
        if not stat.S_ISDIR(status.st_mode) or depth >= _DEPTH_MAX:
            continue
        try:
            child = os.open(base, _DIRECTORY, dir_fd=directory)
        except OSError:
            continue
        try:
            yield from _entries(child, f"{prefix}{base}/", depth + 1)
        finally:
            os.close(child)
