"""What the host sees of an attack: bait that is laid out before it, and looked at after it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from connectors.sandbox.attacks.attack import Outcome
from connectors.sandbox.interpreter import find_interpreter

_WAIT = "import sys, time; print('up', flush=True); time.sleep(3600)"


# Which of them the host's own is, an attack must be able to tell.
_DIRECTORIES = ("/", "/etc", "/root", "/home", "/var", "/dev", "/run")


@dataclass(frozen=True, slots=True)
class _Seen:
    """What may not change while an attack runs."""

    names: tuple[str, ...]
    secret: bytes
    """Empty if the file is gone."""
    modes: tuple[int, ...]
    times_ns: tuple[int, ...]
    owners: tuple[int, ...]
    niceness: int
    affinity: tuple[int, ...]


class Witness:
    """Bait on this host: a secret, files open to everyone, listening sockets, a process of this user.

    The files lie in a directory that anyone may enter and write to, so that nothing but the sandbox protects
    them; what an attack is told of them is in `target`.
    """

    def __init__(self, directory: Path) -> None:
        """Lay everything out below `directory`, which must be open to everyone."""
        self.token = secrets.token_hex(16)
        self._directory = directory / "bait"
        self._directory.mkdir(mode=0o777)
        self._directory.chmod(0o777)
        self._secret = self._directory / "secret.txt"
        self._secret.write_text(self.token)
        self._secret.chmod(0o666)
        self._listeners = self._listen()
        self._victim = subprocess.Popen(
            [find_interpreter().executable, "-I", "-S", "-c", _WAIT],
            env={},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=directory,
        )
        assert self._victim.stdout is not None
        self._victim.stdout.readline()
        self._before = self._look()

    @property
    def target(self) -> dict[str, object]:
        """What the attacks are told; JSON values."""
        tcp, udp, stream, datagram, _ = self._listeners
        return {
            "secret": str(self._secret),
            "directory": str(self._directory),
            "token_length": len(self.token),
            "tcp_port": tcp.getsockname()[1],
            "udp_port": udp.getsockname()[1],
            "stream_path": stream.getsockname(),
            "datagram_path": datagram.getsockname(),
            "abstract_name": self.token,
            "parent": os.getpid(),
            "victim": self._victim.pid,
            "directories": {path: _identity(path) for path in _DIRECTORIES if os.path.isdir(path)},
            "source": str(Path(__file__).parent.parent / "sandbox.py"),
        }

    def damage(self) -> tuple[Outcome, ...]:
        """Return one outcome per thing that changed or was reached since the last call."""
        found = []
        after = self._look()
        for name in _Seen.__slots__:
            before, now = getattr(self._before, name), getattr(after, name)
            if before != now:
                found.append(f"{name} of the bait: {before!r} became {now!r}"[:200])
        self._before = after
        for listener in self._listeners:
            if self._was_reached(listener):
                found.append(f"the listener at {listener.getsockname()!r} was reached")
        if self._victim.poll() is not None:
            found.append(f"the other process was ended: {self._victim.returncode}")
        return tuple(Outcome(name="witness", group="host", stopped=False, detail=text) for text in found)

    def close(self) -> None:
        """Take everything away again."""
        for listener in self._listeners:
            listener.close()
        self._victim.kill()
        self._victim.wait()
        assert self._victim.stdout is not None
        self._victim.stdout.close()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _listen(self) -> tuple[socket.socket, ...]:
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.bind(("127.0.0.1", 0))
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        stream = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        stream.bind(str(self._directory / "stream.sock"))
        datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        datagram.bind(str(self._directory / "datagram.sock"))
        abstract = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        abstract.bind("\0" + self.token)
        for path in ("stream.sock", "datagram.sock"):
            (self._directory / path).chmod(0o777)
        for listener in (tcp, stream, abstract):
            listener.listen(16)
        listeners = (tcp, udp, stream, datagram, abstract)
        for listener in listeners:
            listener.setblocking(False)
        return listeners

    @staticmethod
    def _was_reached(listener: socket.socket) -> bool:
        reached = False
        with contextlib.suppress(BlockingIOError):
            while True:
                if listener.type == socket.SOCK_DGRAM:
                    listener.recv(1)
                else:
                    listener.accept()[0].close()
                reached = True
        return reached

    def _look(self) -> _Seen:
        paths = [path for path in (self._directory, self._secret) if os.path.lexists(path)]
        statuses = [path.lstat() for path in paths]
        alive = self._victim.poll() is None
        return _Seen(
            tuple(sorted(os.listdir(self._directory))),
            self._secret.read_bytes() if self._secret.is_file() else b"",
            tuple(status.st_mode for status in statuses),
            tuple(status.st_mtime_ns for status in statuses),
            tuple(status.st_uid for status in statuses),
            os.getpriority(os.PRIO_PROCESS, self._victim.pid) if alive else 0,
            tuple(sorted(os.sched_getaffinity(self._victim.pid))) if alive else (),
        )


def _identity(path: str) -> list[int]:
    status = os.stat(path)
    return [status.st_dev, status.st_ino]


@contextlib.contextmanager
def witness() -> Iterator[Witness]:
    """Lay out bait in a new directory of the system's temporary space, and take it away at the end."""
    with tempfile.TemporaryDirectory(prefix="cartrita-bait-") as name:
        directory = Path(name)
        directory.chmod(0o755)
        seen = Witness(directory)
        try:
            yield seen
        finally:
            seen.close()
