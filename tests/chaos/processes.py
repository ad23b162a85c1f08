"""The processes of a deployment: to be killed, frozen and started, and kept running by a keeper."""

import os
import resource
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from connectors.embedded.errors import EmbeddedError, ServerError
from tests.chaos.arena import Arena
from tests.chaos.journal import Journal
from tests.chaos.kinds import SINK
from tests.chaos.program import failpoint_path

SERVICES: Final = ("kafka", "registry", "postgres")
MODEL: Final = "model"
_WATCH_S: Final = 0.3
_ENDS_S: Final = 20.0


class Processes:
    """Everything that runs, by name; a name is held while somebody does something to it."""

    def __init__(self, arena: Arena, journal: Journal) -> None:
        """Take what runs."""
        self._arena = arena
        self._journal = journal
        workers = [f"worker-{number}" for number in range(1, arena.workers + 1)]
        self.kept: Final = (*workers, SINK, MODEL)
        """Started again whenever they are found ended."""
        self._locks = {name: threading.RLock() for name in (*self.kept, *SERVICES, "worker-3")}
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="keeper", daemon=True)

    @contextmanager
    def held(self, *names: str) -> Iterator[None]:
        """Keep everybody else from these."""
        with ExitStack() as stack:
            for name in sorted(set(names) & self._locks.keys()):
                stack.enter_context(self._locks[name])
            yield

    def watch(self) -> None:
        """Begin to start again what ends."""
        self._keeper.start()

    def stop_watching(self) -> None:
        """Let what ends be."""
        self._stopping.set()
        self._keeper.join(2 * _ENDS_S)

    def pid(self, name: str) -> int | None:
        """Return the process, or None."""
        if name == MODEL:
            return self._arena.servers.pid
        return next((part.pid for part in self._arena.deployment.status() if part.name == name), None)

    def kill(self, name: str) -> None:
        """SIGKILL, and return when it is gone."""
        if name == MODEL:
            self._arena.servers.stop(hard=True)
        elif name in SERVICES:
            self._arena.deployment.stack().stop_service(name, hard=True)
        else:
            self._arena.deployment.stop_part(name, hard=True)

    def start(self, name: str, environment: dict[str, str] | None = None) -> None:
        """Start it; services and the model are awaited."""
        if name == MODEL:
            self._arena.servers.start()
        elif name in SERVICES:
            self._arena.deployment.stack().start_service(name)
        else:
            command = "sink" if name == SINK else "worker"
            self._arena.deployment.start_part(name, command, environment=environment)

    def signal(self, name: str, number: signal.Signals) -> None:
        """Send a signal to it if it runs; of Postgres, to all of its processes."""
        pid = self.pid(name)
        if pid is None:
            return
        for each in (pid, *(children(pid) if name == "postgres" else ())):
            send(each, number)

    def wait_for_ready(self, name: str, seconds_max: float) -> None:
        """Wait until it is ready, or has ended, or the time is up."""
        pause = threading.Event()
        deadline_s = time.monotonic() + seconds_max
        while time.monotonic() < deadline_s and self.pid(name) is not None:
            if self._arena.deployment.is_ready(name):
                return
            pause.wait(0.1)

    def arm(self, name: str, failpoint: str) -> None:
        """Arm a failpoint in a running process."""
        pid = self.pid(name)
        if pid is not None:
            path = failpoint_path(self._arena.settings.data_directory, pid)
            path.write_text(failpoint, encoding="ascii")
            send(pid, signal.SIGUSR2)

    def wait_for_end(self, name: str, seconds_max: float) -> str:
        """Wait until it has ended or was stopped; returns `ended`, `stopped` or `runs`."""
        pause = threading.Event()
        deadline_s = time.monotonic() + seconds_max
        while time.monotonic() < deadline_s:
            pid = self.pid(name)
            if pid is None:
                return "ended"
            if state(pid) in ("T", "t"):
                return "stopped"
            pause.wait(0.05)
        return "runs"

    @contextmanager
    def limited(self, name: str, limit: int, value: int) -> Iterator[bool]:
        """Lower one of its soft limits for a while; tells whether it ran."""
        pid = self.pid(name)
        if pid is None:
            yield False
            return
        before = resource.prlimit(pid, limit)
        resource.prlimit(pid, limit, (value, before[1]))
        try:
            yield True
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, limit, before)

    def _keep(self) -> None:
        while not self._stopping.wait(_WATCH_S):
            for name in self.kept:
                if not self._locks[name].acquire(blocking=False):
                    continue
                try:
                    if self.pid(name) is None:
                        self._journal.restarted(name, self._last_words(name))
                        self.start(name)
                except (EmbeddedError, ServerError, AssertionError) as error:
                    self._journal.note(f"{name} does not start: {error}")
                finally:
                    self._locks[name].release()

    def _last_words(self, name: str) -> str:
        """Return the last line of its log that says why it ended, if one does."""
        for part in self._arena.deployment.status():
            if part.name == name:
                lines = part.log_path.read_text(encoding="utf-8", errors="replace").splitlines()[-40:]
                told = [line for line in lines if "process_ends" in line or "_stopped" in line]
                return told[-1][:400] if told else ""
        return ""


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal to a process that may be gone."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def state(pid: int) -> str:
    """Return the letter that the kernel has for a process's state; empty: it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return text.rpartition(")")[2].split()[0]


def children(pid: int) -> tuple[int, ...]:
    """Return the children of a process."""
    with suppress(FileNotFoundError, ProcessLookupError):
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii")
        return tuple(int(child) for child in text.split())
    return ()
