"""The program of a server, pinned: a digest over all files that it is made of."""

import os
import stat
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Final

from connectors.mcp.server import Program
from connectors.mcp.stdio import ServerBroken

FILES_MAX: Final = 100_000
SCRIPTS: Final = (".js", ".mjs", ".cjs", ".ts", ".py", ".pyz", ".rb", ".jar", ".sh", ".pl", ".php", ".lua")
"""How arguments end that are part of the program; others may be data, which changes."""
_PIECE_BYTES: Final = 1 << 20


def program_sha256(program: Program) -> str:
    """Return the digest of what a program is made of: its command, scripts that it names, and its code.

    Blocks for as long as reading all of them takes.

    Raises:
        ServerBroken: something of it is missing or cannot be read.
    """
    digest = sha256()
    for argument in program.command:
        digest.update(len(argument.encode()).to_bytes(8, "big") + argument.encode())
    scripts = [Path(one) for one in program.command[1:] if one.endswith(SCRIPTS) and os.path.isfile(one)]
    named = [Path(program.command[0]), *scripts]
    try:
        for path in sorted({path for root in (*named, *program.code) for path in _files(root)}):
            digest.update(_entry(path))
    except OSError as error:
        raise ServerBroken(f"its program cannot be read: {error.filename}: {error.strerror}") from error
    return digest.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    """Name every file and link at or below a path."""
    if not root.is_dir():
        yield root
        return
    count = 0
    for folder, _, names in os.walk(root, onerror=_refuse):
        for name in (
            *names,
            *(one for one in os.listdir(folder) if os.path.islink(os.path.join(folder, one))),
        ):
            if "__pycache__" in folder:
                continue
            count += 1
            if count > FILES_MAX:
                raise ServerBroken(f"its program has more than {FILES_MAX:,} files below {root}")
            yield Path(folder, name)


def _entry(path: Path) -> bytes:
    """Return the digest of a file's name and content; of a link also where it leads."""
    entry = sha256()
    name = str(path).encode(errors="surrogateescape")
    entry.update(len(name).to_bytes(8, "big") + name)
    if path.is_symlink():
        target = os.readlink(path).encode(errors="surrogateescape")
        entry.update(b"link" + len(target).to_bytes(8, "big") + target)
        path = path.resolve()
        if path.is_dir():
            return entry.digest()
    if not stat.S_ISREG(path.stat().st_mode):
        return entry.digest()
    entry.update(b"file")
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            entry.update(piece)
    return entry.digest()


def _refuse(error: OSError) -> None:
    raise error
