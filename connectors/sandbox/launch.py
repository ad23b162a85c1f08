"""Turns a request into the command, the environment and the plan of one child process, tier by tier."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from connectors.sandbox.bundle import BOOTSTRAP
from connectors.sandbox.child.plan import Confinement, Plan, WasmPlan
from connectors.sandbox.interpreter import DEVICES, Interpreter
from connectors.sandbox.limits import MIB, Limits
from connectors.sandbox.packages import PackagePlaces
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.tier import Tier

SCRATCH_IN_NAMESPACE = "/scratch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What this machine and this sandbox offer to every run."""

    interpreter: Interpreter
    bubblewrap: str | None
    limits: Limits
    mounts: bool = False
    """Whether a child of tier LSM or WASM can mount its scratch space, of fixed size, for itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One child process, ready to be started."""

    tier: Tier
    arguments: tuple[str, ...]
    """Command line up to the numbers of the control and result descriptors, which the supervisor appends."""
    environment: Mapping[str, str]
    plan: Plan
    user_id: int
    """The user that the foreign code must turn out to run as."""


def native_launch(
    host: Host,
    tier: Tier,
    request: ExecutionRequest,
    packages: PackagePlaces,
    user_id: int | None,
    scratch: Path | None,
) -> Launch:
    """Return the launch of tier NS, whose scratch space is made inside, or LSM, which needs `scratch`.

    Args:
        host: this machine.
        tier: NS or LSM.
        request: what to run.
        packages: where the request's packages are.
        user_id: the user to become, when this process is root; None keeps this process's.
        scratch: the run's directory on the host, in tier LSM.
    """
    place = SCRATCH_IN_NAMESPACE if scratch is None else str(scratch)
    confinement: Confinement = {
        "user_id": user_id,
        "parent_process_id": None if tier is Tier.NS else os.getpid(),
        "landlock_required": tier is Tier.LSM,
        "seccomp_required": True,
        "read_paths": (
            *host.interpreter.read_paths,
            *packages.read_paths,
            *sorted(packages.libraries),
        ),
        "library_path": host.interpreter.library_path,
        "device_paths": DEVICES,
        "scratch_path": place,
        "scratch_bytes": _scratch_bytes(host.limits) if tier is Tier.LSM and host.mounts else 0,
        "scratch_inodes": _scratch_inodes(host.limits),
        "memory_bytes": host.limits.memory_bytes,
        "data_bytes": 0,
        "cpu_s": math.ceil(host.limits.cpu_ms / 1000),
        "file_bytes": host.limits.disk_bytes,
        "threads": _threads(host, tier, user_id),
    }
    environment = _environment(place)
    python = _python_command(host.interpreter)
    if tier is Tier.NS:
        assert host.bubblewrap is not None
        python = [*_bubblewrap_command(host, packages, environment, user_id), *python]
        environment = {}
    return Launch(
        tier=tier,
        arguments=tuple(python),
        environment=environment,
        plan=_plan(request, confinement, dict(packages.imports), None, first_process=tier is Tier.NS),
        user_id=os.getuid() if user_id is None else user_id,
    )


def wasm_launch(
    host: Host, request: ExecutionRequest, wasm: WasmPlan, user_id: int | None, scratch: Path
) -> Launch:
    """Return the launch of the process that hosts CPython on WebAssembly."""
    confinement: Confinement = {
        "user_id": user_id,
        "parent_process_id": os.getpid(),
        "landlock_required": False,
        "seccomp_required": False,
        "read_paths": (
            *host.interpreter.read_paths,
            wasm["engine_path"] + "/wasmtime",
            *wasm["packages"].values(),
        ),
        "library_path": host.interpreter.library_path,
        "device_paths": DEVICES,
        "scratch_path": str(scratch),
        "scratch_bytes": _scratch_bytes(host.limits) if host.mounts else 0,
        "scratch_inodes": _scratch_inodes(host.limits),
        "memory_bytes": 0,
        # The guest's memory, what the engine needs, and what a guest makes the engine allocate.
        "data_bytes": host.limits.memory_bytes + 384 * MIB,
        "cpu_s": math.ceil(host.limits.cpu_ms / 1000),
        "file_bytes": host.limits.disk_bytes,
        "threads": _threads(host, Tier.WASM, user_id),
    }
    return Launch(
        tier=Tier.WASM,
        arguments=tuple(_python_command(host.interpreter)),
        environment=_environment(str(scratch)),
        plan=_plan(request, confinement, {}, wasm, first_process=False),
        user_id=os.getuid() if user_id is None else user_id,
    )


def _plan(
    request: ExecutionRequest,
    confinement: Confinement,
    packages: dict[str, str],
    wasm: WasmPlan | None,
    *,
    first_process: bool,
) -> Plan:
    return {
        "first_process": first_process,
        "confinement": confinement,
        "code": request.code,
        "files": sorted(request.files.items()),
        "packages": packages,
        "wasm": wasm,
    }


def _python_command(interpreter: Interpreter) -> list[str]:
    return [interpreter.executable, "-I", "-S", "-B", "-u", "-X", "utf8", "-c", BOOTSTRAP]


def _environment(scratch: str) -> dict[str, str]:
    """Return all that the code sees as its environment; nothing of this process's own is passed on."""
    return {
        "HOME": f"{scratch}/work",
        "TMPDIR": f"{scratch}/tmp",  # noqa: S108  below the run's own directory
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        # One thread each: more would eat the address space, which bounds the memory of a run.
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "2",
    }


def _bubblewrap_command(
    host: Host, packages: PackagePlaces, environment: Mapping[str, str], user_id: int | None
) -> list[str]:
    assert host.bubblewrap is not None
    command = [host.bubblewrap, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]
    command += [
        "--unshare-cgroup-try",
        # The child starts the code's process itself, and sees how that ends.
        "--as-pid-1",
        "--new-session",
        # Not --die-with-parent: bwrap may then be ended before it has let its own child run, which would wait
        # for that for ever. The child ends by itself as soon as this process is gone.
        "--hostname",
        "sandbox",
        "--clearenv",
    ]
    if user_id is None:
        command += ["--unshare-user", "--cap-drop", "ALL"]
    else:
        # A user namespace would leave the code root in the kernel's eyes, which may write to files of root.
        # So there is none, and the runner becomes a user of its own before it runs anything.
        command += ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    for name, value in environment.items():
        command += ["--setenv", name, value]
    libraries = {**host.interpreter.libraries, **packages.libraries}
    mounts = {path: path for path in (*host.interpreter.bind_paths, *packages.read_paths)} | libraries
    bound = sorted(mounts, key=by_depth)
    for path in parents_of(bound):
        # Made by name, because bwrap would copy the mode of a parent that only root may enter.
        command += ["--perms", "0755", "--dir", path]
    for path in bound:
        if path in host.interpreter.links:
            command += ["--symlink", os.readlink(path), path]
        else:
            command += ["--ro-bind", mounts[path], path]
    for path in host.interpreter.hidden_paths:
        command += ["--size", str(4096), "--tmpfs", path, "--remount-ro", path]
    for path in DEVICES:
        command += ["--dev-bind-try", path, path]
    # No /proc and no /sys: as root both could be written to through them.
    command += [
        "--perms",
        "0777",
        "--size",
        str(_scratch_bytes(host.limits)),
        "--tmpfs",
        SCRATCH_IN_NAMESPACE,
    ]
    for name in ("work", "tmp"):
        command += ["--perms", "0777", "--dir", f"{SCRATCH_IN_NAMESPACE}/{name}"]
    return [*command, "--remount-ro", "/", "--chdir", "/", "--"]


def _threads(host: Host, tier: Tier, user_id: int | None) -> int:
    """Return how many threads the kernel allows; 0 where it could only count all those of a shared user."""
    if user_id is not None:
        return host.limits.threads
    if tier is Tier.NS:
        # The namespace's first process is one of them.
        return host.limits.threads + 1
    # Whoever mounts without being root does it in a namespace of users, which counts its own.
    return host.limits.threads if host.mounts else 0


def _scratch_bytes(limits: Limits) -> int:
    # The watch reports the limit; the file system's own size is a wall just behind it.
    return limits.disk_bytes + 1 * MIB


def _scratch_inodes(limits: Limits) -> int:
    # Likewise; the directories that every run begins with are not its own.
    return limits.inodes + 16


def parents_of(paths: Iterable[str]) -> list[str]:
    """Return the directories above `paths`, without those that come with one of them."""
    whole = {path.rstrip("/") for path in paths}
    parents = {str(parent) for path in whole for parent in Path(path).parents if str(parent) != "/"}
    inside = {
        parent for parent in parents if any(parent == path or parent.startswith(path + "/") for path in whole)
    }
    return sorted(parents - inside, key=by_depth)


def by_depth(path: str) -> tuple[int, str]:
    """Return by what paths are sorted, so that each comes after those above it."""
    return path.count("/"), path
