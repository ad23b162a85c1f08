"""Room on the disk: an `up` that could not be finished is not begun, and says which disk wants how much."""

import errno
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from streams.worker.deployment import DeploymentError

DOWNLOAD_BYTES: Final = 600_000_000
"""What the first start downloads, and unpacks beside it."""
SERVERS_BYTES: Final = 300_000_000
"""What Kafka, Postgres and the registry write before anything is asked: segments made in advance, logs."""
_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


def demand_room(home: Path, free_bytes_of: Callable[[Path], int] | None = None) -> None:
    """Refuse to start where the disk has no room for it.

    Args:
        home: folder of the deployment, which need not be there yet.
        free_bytes_of: tells how much is free on the disk of a folder that is there.

    Raises:
        DeploymentError: it has not; the message names the disk, what needs room, and how much.
    """
    folder = home.absolute()
    while not folder.exists():
        folder = folder.parent
    free_bytes = (free_bytes_of or _free_bytes)(folder)
    artifacts = home / "artifacts"
    has_artifacts = artifacts.is_dir() and any(artifacts.iterdir())
    needs_bytes = SERVERS_BYTES + (0 if has_artifacts else DOWNLOAD_BYTES)
    if free_bytes < needs_bytes:
        raise DeploymentError(
            f"the disk of {home.absolute()} is full: {free_bytes / 1e6:,.0f} MB are free, and a start needs "
            f"{needs_bytes / 1e6:,.0f} MB{_for_what(has_artifacts=has_artifacts)}. {_remedy()}"
        )


@contextmanager
def disk_named(home: Path) -> Iterator[None]:
    """Turn what a full disk raises into a sentence that names the disk.

    Raises:
        DeploymentError: the disk, or what the user may have of it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        name = error.filename or home.absolute()
        raise DeploymentError(f"the disk of {name} is full ({error.strerror}). {_remedy()}") from error


def _for_what(*, has_artifacts: bool) -> str:
    servers = "for Kafka's log, Postgres and the registry"
    return f" {servers}" if has_artifacts else f" {servers}, and for what it downloads once"


def _remedy() -> str:
    return (
        "Nothing is lost, and nothing that runs was stopped: free some room and repeat `cartrita up`, or let "
        "CARTRITA_HOME name a folder on another disk, to which this one was moved while all is down."
    )


def _free_bytes(folder: Path) -> int:
    return shutil.disk_usage(folder).free
