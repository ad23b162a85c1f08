"""Starts one server detached from whoever asked for it. Run as a script of its own, not imported to launch.

A process of its own in between gives three things that a plain child would not have: the server belongs to
no parent that must wait for it, its pid file exists before its first instruction (so no starter, killed at
whatever moment, leaves a server that nobody can find), and dropping to another account happens in a process
without threads. It reads one JSON object from its standard input:

    arguments, environment, directory, log_path, pid_path, user_id, group_id (null: keep)

and imports nothing from the project, because `python -I -S` finds none of it.
"""

import json
import os
import subprocess
import sys
from pathlib import Path


def process_identity(pid: int) -> str | None:
    """Return what tells this process from any other that ever had or will have its pid; None if it is gone.

    A zombie counts as gone once its last thread is: until then it may hold its sockets. On Linux this is
    the boot and the clock tick of the start, which no change of the wall clock moves; elsewhere the start
    time in seconds.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self/stat").exists() else _identity_by_ps(pid)
    # The command, in parentheses, may itself hold spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    state, threads, start_ticks = fields[0], int(fields[17]), fields[19]
    if state in ("X", "x") or (state == "Z" and threads <= 1):
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{start_ticks}"


def _identity_by_ps(pid: int) -> str | None:
    answer = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    state, _, started = answer.stdout.strip().partition(" ")
    return None if answer.returncode != 0 or state.startswith("Z") else f"ps/{started.strip()}"


def _launch(order: dict[str, object]) -> None:
    arguments = order["arguments"]
    assert isinstance(arguments, list)
    if not os.access(arguments[0], os.X_OK):
        sys.exit(f"{arguments[0]} is not a program that can be run")
    os.setsid()
    os.umask(0o077)
    log = os.open(str(order["log_path"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    if os.fork() != 0:
        os._exit(0)
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    try:
        _become(order)
    except OSError as error:
        os.write(2, f"launch: {order['arguments']}: {error}\n".encode())
    os._exit(127)


def _become(order: dict[str, object]) -> None:
    arguments, environment = order["arguments"], order["environment"]
    assert isinstance(arguments, list)
    assert isinstance(environment, dict)
    os.chdir(str(order["directory"]))
    pid_path = Path(str(order["pid_path"]))
    temporary = pid_path.with_suffix(".new")
    temporary.write_text(json.dumps({"pid": os.getpid(), "identity": process_identity(os.getpid())}))
    temporary.replace(pid_path)
    user_id, group_id = order["user_id"], order["group_id"]
    if isinstance(user_id, int) and isinstance(group_id, int):
        os.setgroups([])
        os.setgid(group_id)
        os.setuid(user_id)
    os.execve(arguments[0], arguments, environment)  # noqa: S606 - a list of arguments, never a shell string


if __name__ == "__main__":
    _launch(json.load(sys.stdin))
