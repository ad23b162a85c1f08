"""Reading of a folder's text files, with a reason for each that is left out."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SUFFIXES: Final = frozenset({".md", ".markdown", ".txt", ".rst"})
FILE_BYTES_MAX: Final = 2_000_000
FILES_MAX: Final = 5_000
NAME_CHARACTERS_MAX: Final = 250


class FolderInvalid(Exception):
    """The folder is none, or cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceFile:
    """A file's name and text, or why it has none."""

    name: str
    """Path from the folder's own name on, with `/`: docs/guide.md."""
    text: str = ""
    skipped: str | None = None
    """Why the file was left out."""


def read_folder(folder: Path, name: str) -> Iterator[SourceFile]:
    """Yield the text files under `folder` in the order of their names; hidden ones are not looked at.

    Args:
        name: what the names of its documents begin with.

    Raises:
        FolderInvalid: `folder` is no directory.
    """
    if not folder.is_dir():
        raise FolderInvalid(f"{folder} is no directory")
    root = folder.resolve()
    seen = 0
    for directory, directories, files in os.walk(root, followlinks=False):
        directories[:] = sorted(entry for entry in directories if not entry.startswith("."))
        for entry in sorted(files):
            path = Path(directory) / entry
            if entry.startswith(".") or path.suffix.lower() not in SUFFIXES:
                continue
            seen += 1
            shown = f"{name}/{path.relative_to(root).as_posix()}"
            if seen > FILES_MAX:
                yield SourceFile(name=shown, skipped=f"more than {FILES_MAX} files")
                return
            yield _read(path, root, shown)


def _read(path: Path, root: Path, name: str) -> SourceFile:
    if (
        len(name) > NAME_CHARACTERS_MAX
        or any(character in name for character in "[]\n")
        or not name.isprintable()
    ):
        return SourceFile(name=name[:NAME_CHARACTERS_MAX], skipped="its name cannot be cited")
    try:
        target = path.resolve(strict=True)
        if not target.is_relative_to(root):
            return SourceFile(name=name, skipped="a link to outside the folder")
        if not target.is_file():
            return SourceFile(name=name, skipped="not a file")
        with target.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        return SourceFile(name=name, skipped=f"cannot be read: {error.strerror or error}")
    if len(data) > FILE_BYTES_MAX:
        return SourceFile(name=name, skipped=f"larger than {FILE_BYTES_MAX} bytes")
    if b"\x00" in data:
        return SourceFile(name=name, skipped="binary")
    try:
        return SourceFile(name=name, text=data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        return SourceFile(name=name, skipped=f"not UTF-8 at byte {error.start}")
