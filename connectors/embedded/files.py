"""Files that are either as they were or as they shall be."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FRESH_PREFIX = "fresh-"


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace the file's content in one step that also survives a power cut."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def fresh_directory(parent: Path) -> Iterator[Path]:
    """Make a directory to build something in, from where what is done is renamed to its place.

    It has a name of its own each time, because a program that a killed starter had begun may still be
    writing into the one before, which is removed here. The caller must be the only one in `parent`.
    """
    for leftover in parent.glob(f"{FRESH_PREFIX}*"):
        shutil.rmtree(leftover, ignore_errors=True)
    directory = Path(tempfile.mkdtemp(dir=parent, prefix=FRESH_PREFIX))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
