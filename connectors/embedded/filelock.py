"""A lock between processes that the kernel releases when its holder dies."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from connectors.embedded.errors import EmbeddedError


@contextmanager
def file_lock(path: Path, *, timeout_s: float, what: str) -> Iterator[None]:
    """Hold an exclusive lock on `path`, made if missing.

    Raises:
        EmbeddedError: another process (or thread) holds it for longer than `timeout_s`; `what` says what for.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A lock that the kernel does not hold would outlive a holder that is killed.
    lock = FileLock(path, timeout=timeout_s, mode=0o600, fallback_to_soft=False)
    try:
        lock.acquire()
    except Timeout:
        raise EmbeddedError(f"{what}: another process held {path} for more than {timeout_s:.0f} s") from None
    try:
        yield
    finally:
        lock.release()
