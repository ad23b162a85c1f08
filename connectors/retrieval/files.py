"""What text files a folder has, and what each says, with a reason for all that is left out."""

import errno
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from connectors.retrieval.naming import citable, document_names
from connectors.text.decoding import NotText, decoded

SUFFIXES: Final = frozenset({".md", ".markdown", ".txt", ".rst"})
MARKDOWN_SUFFIXES: Final = frozenset({".md", ".markdown"})
FILE_BYTES_MAX: Final = 2_000_000
FILES_MAX: Final = 5_000
FOLDERS_MAX: Final = 50_000


class FolderInvalid(Exception):
    """The folder is not one, or cannot be read at all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """What a file says, or why it was left out."""

    text: str = ""
    note: str = ""
    """What a person should know of how it was read."""
    skipped: str | None = None
    """Why the file was left out."""
    is_seen: bool = True
    """False when the file may well be there as it was: what is stored of it is kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundFile:
    """A text file by the name of its suffix."""

    path: Path
    document: str
    """Its name as a document: collection/path/below/it.md."""
    is_beyond_limit: bool = False
    """True when there were too many files before it."""

    @property
    def is_markdown(self) -> bool:
        """Whether `#` begins a heading in it."""
        return self.path.suffix.lower() in MARKDOWN_SUFFIXES


@dataclass(slots=True, kw_only=True)
class Survey:
    """What a folder has, before any file is opened."""

    root: Path
    """The folder itself, free of links."""
    files: list[FoundFile] = field(default_factory=list)
    """In the order of their names."""
    unseen: dict[str, str] = field(default_factory=dict)
    """Folders that could not be looked into, as documents' names begin with them, and why."""
    empty: list[str] = field(default_factory=list)
    """Folders without any entry: an unmounted disk looks so. As documents' names begin with them."""
    mounts: list[str] = field(default_factory=list)
    """Folders on another disk than the folder above them, likewise."""
    left_out: dict[str, str] = field(default_factory=dict)
    """Links to folders, and why they are not followed."""
    passed_over: Counter[str] = field(default_factory=Counter)
    """How many files have another suffix, by suffix; `hidden` for names that begin with a dot."""


def survey(folder: Path, collection: str) -> Survey:
    """Look through a folder and all below it, without opening a file.

    Raises:
        FolderInvalid: it is not a folder, or cannot be looked into.
    """
    try:
        root = folder.resolve(strict=True)
        if not root.is_dir():
            raise FolderInvalid(f"{folder} is not a folder")
    except (OSError, RuntimeError) as error:
        raise FolderInvalid(f"{folder} cannot be read: {_reason(error)}") from error
    found = Survey(root=root)
    if os.path.ismount(root):
        found.mounts.append(f"{collection}/")
    paths: list[str] = []
    # A stack of our own: folders may be nested deeper than calls.
    waiting = [""]
    looked_into = 0
    while waiting:
        below = waiting.pop()
        name = f"{collection}/{citable(below)}"
        looked_into += 1
        if looked_into > FOLDERS_MAX:
            found.unseen[name] = f"more than {FOLDERS_MAX:,} folders before it"
            continue
        try:
            folders = _look_into(found, collection, below, paths)
        except OSError as error:
            found.unseen[name] = f"cannot be read: {_reason(error)}"
            continue
        waiting += reversed(folders)
    if f"{collection}/" in found.unseen:
        raise FolderInvalid(f"{folder} {found.unseen[f'{collection}/']}")
    found.files = [
        FoundFile(path=root / path, document=document, is_beyond_limit=number >= FILES_MAX)
        for number, (path, document) in enumerate(zip(paths, document_names(collection, paths), strict=True))
    ]
    return found


def _look_into(found: Survey, collection: str, below: str, paths: list[str]) -> list[str]:
    """Note the entries of one folder, and return those that are folders to look into, in order."""
    directory = found.root / below
    device = directory.stat().st_dev
    with os.scandir(directory) as scanned:
        entries = sorted(scanned, key=lambda entry: entry.name)
    if not entries:
        found.empty.append(f"{collection}/{citable(below)}")
    folders: list[str] = []
    for entry in entries:
        path = below + entry.name
        suffix = os.path.splitext(entry.name)[1].lower()
        if entry.name.startswith("."):
            found.passed_over["hidden"] += 1
        elif entry.is_dir(follow_symlinks=False):
            folders.append(f"{path}/")
            if _device(entry) != device:
                found.mounts.append(f"{collection}/{citable(path)}/")
        elif _leads_to_folder(entry):
            found.left_out[f"{collection}/{citable(path)}"] = "a link to a folder, which is not followed"
        elif suffix in SUFFIXES:
            paths.append(path)
        else:
            found.passed_over[suffix or "no suffix"] += 1
    return folders


def _device(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat(follow_symlinks=False).st_dev
    except OSError:
        return None


def _leads_to_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_symlink() and entry.is_dir()
    except OSError:
        return False


def read_file(file: FoundFile, root: Path) -> SourceFile:
    """Read one file of a survey; whatever is wrong with it is told, and never raised."""
    if file.is_beyond_limit:
        return SourceFile(skipped=f"more than {FILES_MAX:,} files before it", is_seen=False)
    try:
        target = file.path.resolve(strict=True)
        if not target.is_relative_to(root):
            return SourceFile(skipped="a link to outside the folder")
        if not stat.S_ISREG(target.stat().st_mode):
            return SourceFile(skipped="not a regular file")
        # Not to wait for a writer, should it have become a pipe meanwhile.
        with os.fdopen(
            os.open(target, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC), "rb"
        ) as opened:
            data = opened.read(FILE_BYTES_MAX + 1)
    except (OSError, RuntimeError, ValueError) as error:
        return SourceFile(skipped=f"cannot be read: {_reason(error)}", is_seen=False)
    if len(data) > FILE_BYTES_MAX:
        return SourceFile(skipped=f"larger than {FILE_BYTES_MAX:,} bytes", is_seen=False)
    try:
        read = decoded(data)
    except NotText as error:
        return SourceFile(skipped=str(error))
    return SourceFile(text=read.text, note=read.note)


def _reason(error: Exception) -> str:
    # Before Python 3.13 a loop of links is a RuntimeError.
    if isinstance(error, RuntimeError) or (isinstance(error, OSError) and error.errno == errno.ELOOP):
        return "a loop of links"
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__
