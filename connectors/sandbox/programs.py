"""The tier for foreign programs: confined like foreign code, but free to start processes and to stay.

A program sees the system's programs and libraries, the folders that are listed for it, and a scratch space of
its own; no network, no port, no process and no other file of this machine. As with foreign code, versions and
flags are not believed: each start tries what the tier must stop, and begins the program if that was stopped.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.sandbox.bundle import PROGRAM_BOOTSTRAP, program_file
from connectors.sandbox.child.plan import ProgramPlan
from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.interpreter import DEVICES, Interpreter, find_bubblewrap, find_interpreter
from connectors.sandbox.launch import by_depth, parents_of
from connectors.sandbox.tier import Tier, TierDemand, candidates
from connectors.sandbox.users import USER_ID_COUNT, USER_ID_FIRST, UserPool

MEMORY_BYTES = 4 << 30
"""Writable memory of each process of a program."""
PROCESSES_MAX = 256
SCRATCH_BYTES = 256 << 20
"""Of the scratch space, where it is a file system of its own."""
START_S = 15.0
_SCRATCH = "/tmp"  # noqa: S108  the program's own, not this machine's
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SYSTEM_FILES = (
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/ssl",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramRequest:
    """A foreign program, and what it may have."""

    command: tuple[str, ...]
    """An absolute path first."""
    environment: Mapping[str, str]
    """All of it; HOME and TMPDIR are the scratch space's."""
    read: tuple[Path, ...] = ()
    """Files and folders that it may read and run, besides the system's."""
    write: tuple[Path, ...] = ()
    """Folders that it may read and write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramLaunch:
    """A program ready to be started: by whom is up to the caller."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    descriptors: tuple[int, ...]
    """What it must inherit."""
    report: int
    """Descriptor from which `begun` reads."""
    tier: Tier


class ProgramSandbox:
    """Confines programs in the first tier that holds on this machine, of those that are accepted."""

    def __init__(self, state_path: Path, demand: TierDemand) -> None:
        """Try nothing yet.

        Args:
            state_path: a folder of this user's own, made if missing, for scratch space.
            demand: what is accepted; wasm and refuse mean that no program is started.
        """
        self._state_path, self._demand = state_path, demand
        self._tier: Tier | None = None

    def tier(self) -> Tier:
        """Return the tier that holds; blocks for the time of a trial the first time.

        Raises:
            SandboxUnavailable: none does; the message says why of each.
        """
        if self._tier is None:
            reasons = []
            for tier in candidates(self._demand):
                if tier is Tier.WASM:
                    reasons.append("wasm: it runs no programs")
                    continue
                fault = self._trial(tier)
                if not fault:
                    self._tier = tier
                    break
                reasons.append(f"{tier}: {fault}")
            else:
                raise SandboxUnavailable("; ".join(reasons) or "foreign programs are switched off")
        return self._tier

    @contextlib.contextmanager
    def launch(self, request: ProgramRequest) -> Iterator[ProgramLaunch]:
        """Prepare a start; what it needs lasts as long as the block, which must outlast the program.

        Raises:
            SandboxUnavailable: no tier holds.
        """
        with self._launch(self.tier(), request) as launch:
            yield launch

    @contextlib.contextmanager
    def _launch(self, tier: Tier, request: ProgramRequest) -> Iterator[ProgramLaunch]:
        interpreter = find_interpreter()
        with contextlib.ExitStack() as stack:
            user_id = self._user(request, stack)
            scratch = Path(_SCRATCH) if tier is Tier.NS else self._scratch(user_id, stack)
            port, canary = self._bait(stack)
            plan = _plan(tier, request, interpreter, user_id, str(scratch), canary, port)
            file = os.memfd_create("plan")
            stack.callback(os.close, file)
            os.write(file, program_file(plan))
            os.lseek(file, 0, os.SEEK_SET)
            reader, writer = os.pipe()
            stack.callback(os.close, reader)
            stack.callback(os.close, writer)
            child = [interpreter.executable, "-I", "-S", "-B", "-X", "utf8", "-c", PROGRAM_BOOTSTRAP]
            command = [*child, str(file), str(writer)]
            if tier is Tier.NS:
                command = [*_bubblewrap(request, interpreter, user_id), *command]
            yield ProgramLaunch(
                command=tuple(command),
                environment={"LANG": "C.UTF-8"},
                descriptors=(file, writer),
                report=reader,
                tier=tier,
            )

    def _trial(self, tier: Tier) -> str:
        """Start a program that does nothing; return why that failed, or nothing."""
        if tier is Tier.NS and find_bubblewrap() is None:
            return "there is no bubblewrap"
        request = ProgramRequest(command=("/bin/sh", "-c", "exit 0"), environment={})
        try:
            with self._launch(tier, request) as launch:
                done = subprocess.run(
                    launch.command,
                    env=dict(launch.environment),
                    pass_fds=launch.descriptors,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    timeout=START_S,
                    cwd="/",
                    check=False,
                )
                fault = refusal_in(available(launch.report))
        except (OSError, SandboxUnavailable, subprocess.TimeoutExpired) as error:
            return str(error)
        if fault or done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()[-300:]
            return fault or said or f"it ended with exit code {done.returncode}"
        return ""

    def _user(self, request: ProgramRequest, stack: contextlib.ExitStack) -> int | None:
        """Return the user to become: whose the first writable folder is, or one that nobody is."""
        if os.geteuid() != 0:
            return None
        for path in request.write:
            owner = path.stat().st_uid
            if owner != 0:
                return owner
        users = UserPool(USER_ID_FIRST, USER_ID_COUNT, is_root=True)
        stack.callback(users.close)
        return stack.enter_context(users.lend())

    def _scratch(self, user_id: int | None, stack: contextlib.ExitStack) -> Path:
        self._state_path.mkdir(mode=0o711, parents=True, exist_ok=True)
        path = self._state_path / f"program-{secrets.token_hex(8)}"
        path.mkdir(mode=0o700)
        stack.callback(shutil.rmtree, path, ignore_errors=True)
        if user_id is not None:
            os.chown(path, user_id, user_id)
        return path

    def _bait(self, stack: contextlib.ExitStack) -> tuple[int, Path]:
        """Listen on a port, and lay out a file that everybody may read."""
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self._state_path.mkdir(mode=0o711, parents=True, exist_ok=True)
        canary = self._state_path / f"canary-{secrets.token_hex(8)}"
        canary.write_text("seen", encoding="utf-8")
        canary.chmod(0o644)
        stack.callback(canary.unlink, missing_ok=True)
        return int(listener.getsockname()[1]), canary


def refusal_in(report: bytes) -> str:
    """Return why a program was not begun, by what its report says; empty if it was."""
    holds = False
    for line in report.splitlines():
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if "refused" in message:
            return str(message["refused"])
        holds = holds or message.get("holds") is True
    return "" if holds else "the program was not begun"


def available(descriptor: int) -> bytes:
    """Read what stands in a pipe of which all ends but ours may still be open."""
    os.set_blocking(descriptor, False)
    found = b""
    with contextlib.suppress(BlockingIOError):
        while piece := os.read(descriptor, 65_536):
            found += piece
    return found


def _plan(
    tier: Tier,
    request: ProgramRequest,
    interpreter: Interpreter,
    user_id: int | None,
    scratch: str,
    canary: Path,
    port: int,
) -> ProgramPlan:
    in_namespace = tier is Tier.NS
    return {
        "user_id": user_id,
        "parent_process_id": None if in_namespace else os.getpid(),
        "command": list(request.command),
        "environment": {**request.environment, "HOME": scratch, "TMPDIR": scratch},
        "directory": scratch,
        "read_paths": [
            *(path for path in (*_SYSTEM, *_SYSTEM_FILES) if os.path.exists(path)),
            *interpreter.bind_paths,
            *map(str, request.read),
            *(["/proc"] if in_namespace else []),
        ],
        "write_paths": [str(path) for path in request.write],
        "device_paths": list(DEVICES),
        "scratch_path": scratch,
        "data_bytes": MEMORY_BYTES,
        "processes": PROCESSES_MAX if user_id is not None else 0,
        "hidden_paths": [str(canary)],
        "hidden_port": port,
    }


def _bubblewrap(request: ProgramRequest, interpreter: Interpreter, user_id: int | None) -> list[str]:
    program = find_bubblewrap()
    assert program is not None, "the trial has found one"
    command = [program, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    command += ["--unshare-cgroup-try", "--new-session", "--die-with-parent", "--hostname", "program"]
    command += ["--clearenv"]
    if user_id is None:
        command += ["--unshare-user", "--cap-drop", "ALL"]
    else:
        # As for foreign code: no namespace of users, in which root would stay root in the kernel's eyes.
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    for path in _SYSTEM:
        if os.path.islink(path):
            command += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            command += ["--ro-bind", path, path]
    command += ["--proc", "/proc", "--dev", "/dev"]
    command += ["--perms", "1777", "--size", str(SCRATCH_BYTES), "--tmpfs", _SCRATCH]
    libraries = {path: file for path, file in interpreter.libraries.items() if not _in_system(path)}
    found = [path for path in interpreter.bind_paths if not _in_system(path)]
    found += [path for path in _SYSTEM_FILES if os.path.exists(path)]
    read = {path: path for path in (*found, *(str(one) for one in request.read))} | libraries
    write = {str(path) for path in request.write}
    places = sorted({*read, *write}, key=by_depth)
    for path in parents_of(places):
        if path != _SCRATCH and not _in_system(path):
            # Made by name, because bwrap would copy the mode of a parent that only root may enter.
            command += ["--perms", "0755", "--dir", path]
    for path in places:
        kind = "--bind" if path in write else "--ro-bind"
        command += [kind, read.get(path, path), path]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


def _in_system(path: str) -> bool:
    return any(path == one or path.startswith(one + "/") for one in _SYSTEM)
