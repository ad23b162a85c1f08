"""A server that outlives whoever started it, found again through its pid file."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.embedded import launch
from connectors.embedded.account import Account
from connectors.embedded.errors import ServerError
from connectors.embedded.launch import process_identity

LAUNCH_TIMEOUT_S = 30
KILL_TIMEOUT_S = 10.0
POLL_INTERVAL_S = 0.02
LOG_BYTES_MAX = 10 * 1024 * 1024
"""A log larger than this is moved aside at the next start; the one moved aside before it is dropped."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What to run, and as whom."""

    arguments: tuple[str, ...]
    """The program's absolute path first."""
    environment: Mapping[str, str]
    """All of it: nothing is inherited."""
    directory: Path
    """The server's working directory."""
    account: Account | None = None
    """Whom to become; None to stay who we are."""


def tail_of(log_path: Path, *, lines: int = 15) -> str:
    """Return the last lines of a log; it may not exist."""
    try:
        with log_path.open("rb") as file:
            file.seek(max(0, log_path.stat().st_size - 16_384))
            text = file.read().decode("utf-8", errors="replace")
    except FileNotFoundError:
        return "(no log)"
    return "\n".join(text.splitlines()[-lines:])


class ServerProcess:
    """One named server in one directory. Any process may hold one; they all see the same server."""

    def __init__(self, name: str, *, pid_path: Path, log_path: Path) -> None:
        """Start nothing yet.

        Args:
            name: for messages.
            pid_path: where the pid and the process's identity are kept.
            log_path: where standard output and error go.
        """
        self.name = name
        self.pid_path = pid_path
        self.log_path = log_path

    @property
    def pid(self) -> int | None:
        """The server's pid while it lives. A pid that now belongs to another process is not it."""
        noted = self._noted()
        return None if noted is None or process_identity(noted[0]) != noted[1] else noted[0]

    def _noted(self) -> tuple[int, str] | None:
        """Return pid and identity of the process that was launched last, whether or not it lives."""
        try:
            document = json.loads(self.pid_path.read_text(encoding="utf-8"))
            return int(document["pid"]), str(document["identity"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None

    def alive(self) -> bool:
        """Tell whether the server's process exists (a zombie does not)."""
        return self.pid is not None

    def start(self, command: Command) -> int:
        """Start the server, or keep the one that runs. Return its pid.

        Raises:
            ServerError: it could not be launched at all. A server that starts and then fails, be it at
                once, is for the caller's readiness check to find.
        """
        running = self.pid
        if running is not None:
            return running
        self.pid_path.unlink(missing_ok=True)
        self._rotate_log()
        order = {
            "arguments": list(command.arguments),
            "environment": dict(command.environment),
            "directory": str(command.directory),
            "log_path": str(self.log_path),
            "pid_path": str(self.pid_path),
            "user_id": command.account.user_id if command.account else None,
            "group_id": command.account.group_id if command.account else None,
        }
        launcher = subprocess.run(
            [sys.executable, "-I", "-S", str(Path(launch.__file__))],
            input=json.dumps(order),
            capture_output=True,
            text=True,
            timeout=LAUNCH_TIMEOUT_S,
            check=False,
        )
        if launcher.returncode != 0:
            raise ServerError(f"{self.name}: cannot launch: {launcher.stderr.strip()[-500:]}")
        return self._await_pid()

    def stop(self, *, timeout_s: float, polite: signal.Signals = signal.SIGTERM) -> None:
        """Ask the server to end, and kill it when it has not ended within `timeout_s`. Idempotent."""
        self._signal(polite)
        if not self._await_end(timeout_s):
            self.kill()
        self.pid_path.unlink(missing_ok=True)

    def kill(self) -> None:
        """Kill the server as a power cut would, and return when it is gone. Its pid file stays behind.

        Raises:
            ServerError: the kernel did not end it within KILL_TIMEOUT_S.
        """
        self._signal(signal.SIGKILL)
        if not self._await_end(KILL_TIMEOUT_S):
            raise ServerError(f"{self.name}: pid {self.pid} does not die")

    def log_tail(self) -> str:
        """Return the log's last lines, for an error message."""
        return tail_of(self.log_path)

    def _signal(self, number: signal.Signals) -> None:
        pid = self.pid
        if pid is not None:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return

    def _await_pid(self) -> int:
        # The launcher ends as soon as it has forked; the pid file follows within milliseconds.
        deadline_s = time.monotonic() + LAUNCH_TIMEOUT_S
        while time.monotonic() < deadline_s:
            noted = self._noted()
            if noted is not None:
                return noted[0]
            time.sleep(POLL_INTERVAL_S)
        raise ServerError(f"{self.name}: was not launched within {LAUNCH_TIMEOUT_S} s:\n{self.log_tail()}")

    def _await_end(self, timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() >= deadline_s:
                return False
            time.sleep(POLL_INTERVAL_S)
        return True

    def _rotate_log(self) -> None:
        try:
            if self.log_path.stat().st_size > LOG_BYTES_MAX:
                self.log_path.replace(self.log_path.with_suffix(".log.1"))
        except FileNotFoundError:
            self.log_path.parent.mkdir(parents=True, exist_ok=True)
