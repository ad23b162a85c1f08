"""Runs this project's Python as a user that nobody has, for what must also hold without root."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

PROJECT = Path(__file__).parent.parent.parent


def unused_user_id() -> int:
    """Return a user number that is not in the system's list, and not one that runs get."""
    taken = {entry.pw_uid for entry in pwd.getpwall()}
    return next(number for number in range(54_321, 60_000) if number not in taken)


def obstacle() -> str:
    """Return why this process can't start a Python of another user; empty if it can."""
    if os.geteuid() != 0:
        return "only root can start a process of another user"
    for path in (PROJECT, Path(sysconfig.get_path("purelib"))):
        if not _open_to_all(path):
            return f"{path} is closed to other users"
    return ""


def start_as_other_user(arguments: Sequence[str], place: Path) -> subprocess.Popen[str]:
    """Start `python *arguments` as another user, with this environment's packages, its output into files.

    The files are `out` and `err` in `place`.

    Args:
        arguments: after the interpreter.
        place: a directory open to everyone, for a copy of the interpreter if that is closed to others, as
            below root's home.
    """
    user = unused_user_id()
    environment = {
        "PYTHONPATH": f"{PROJECT}:{sysconfig.get_path('purelib')}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PATH": "/usr/bin:/bin",
    }
    base = Path(os.path.realpath(getattr(sys, "_base_executable", None) or sys.executable))
    executable = base if _open_to_all(base) else _reachable_copy(base, place)
    environment["LD_LIBRARY_PATH"] = str(executable.parent.parent / "lib")
    with (place / "out").open("w") as out, (place / "err").open("w") as err:
        return subprocess.Popen(
            [str(executable), *arguments],
            env=environment,
            cwd=PROJECT,
            user=user,
            group=user,
            extra_groups=[],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            text=True,
        )


def _open_to_all(path: Path) -> bool:
    return all(parent.stat().st_mode & stat.S_IXOTH for parent in path.parents)


def _reachable_copy(executable: Path, place: Path) -> Path:
    """Link the interpreter and its library into `place`; hard links where they can be made, else copies."""
    library = Path(sysconfig.get_path("stdlib", vars={"installed_base": sys.base_prefix}))
    target = place / "python"
    for directory in ("bin", "lib"):
        (target / directory).mkdir(parents=True)
    _link(str(executable), str(target / "bin" / executable.name))
    for shared in library.parent.glob("libpython*.so*"):
        _link(str(shared), str(target / "lib" / shared.name))
    unneeded = shutil.ignore_patterns(
        "site-packages", "test", "idlelib", "ensurepip", "config-*", "turtledemo"
    )
    shutil.copytree(library, target / "lib" / library.name, copy_function=_link, ignore=unneeded)
    return target / "bin" / executable.name


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
    return target
