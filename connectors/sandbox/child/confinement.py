"""Takes away, in order, everything that the process does not need, before a line of foreign code runs.

The order matters: directories are opened while the process may still reach them, the user is dropped before
the filter forbids it, and the filter comes last because it forbids all the rest.
"""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from _frozen_importlib_external import FileFinder, SourceFileLoader, SourcelessFileLoader

from connectors.sandbox.child import landlock, seccomp
from connectors.sandbox.child.syscalls import TABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectors.sandbox.child.plan import Confinement, Report

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_SIGKILL = 9


class ConfinementFailed(Exception):
    """A layer that the tier needs could not be put in force; no foreign code may run."""


def confine(plan: Confinement) -> tuple[Report, dict[str, str]]:
    """Put every layer in force; irreversible.

    Returns:
        What is in force; and the read paths that the user can't reach by name, such as an interpreter below
        root's home, with the place where it reaches each: a directory that is held open.

    Raises:
        ConfinementFailed: a required layer could not be had; the process must end at once.
    """
    os.umask(0o077)
    with_landlock = landlock.version() > 0
    if plan["landlock_required"] and not with_landlock:
        raise ConfinementFailed("landlock: this kernel has none")
    handles = {
        path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in _paths(plan) if os.path.lexists(path)
    }
    if plan["scratch_path"] not in handles:
        raise ConfinementFailed("scratch: the directory is missing")
    try:
        become(plan["user_id"])
        no_new_privileges()
        die_with(plan["parent_process_id"])
        relocations = _relocate(plan, handles)
        _pin_names(plan["library_path"], relocations)
        version = landlock.restrict(_rules(plan, handles)) if with_landlock else 0
        for path, handle in handles.items():
            if path not in relocations:
                os.close(handle)
        _limit_resources(plan)
        filtered = _filter(plan)
    except OSError as error:
        raise ConfinementFailed(str(error)) from error
    report: Report = {"landlock_version": version, "seccomp": filtered, "user_id": os.getuid()}
    return report, relocations


def end_with_parent() -> None:
    """Let the kernel end this process when the one that made it ends."""
    _prctl(_PR_SET_PDEATHSIG, _SIGKILL)


def _paths(plan: Confinement) -> tuple[str, ...]:
    return (*plan["read_paths"], plan["library_path"], *plan["device_paths"], plan["scratch_path"])


def become(user_id: int | None) -> None:
    """Become a user and group without any other; None keeps this process's, which then is not root.

    Raises:
        ConfinementFailed: the process would be root, or could become it again.
    """
    if user_id is None:
        if 0 in (os.getuid(), os.geteuid()):
            raise ConfinementFailed("user: foreign code must not run as root")
        return
    os.setgroups([])
    os.setresgid(user_id, user_id, user_id)
    os.setresuid(user_id, user_id, user_id)
    try:
        os.setresuid(0, 0, 0)
    except PermissionError:
        return
    raise ConfinementFailed("user: the drop from root did not hold")


def no_new_privileges() -> None:
    """Let no program that this process starts have more rights than it has."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def die_with(parent_process_id: int | None) -> None:
    """End with the parent; None where a namespace sees to it.

    Raises:
        ConfinementFailed: the parent has ended already.
    """
    # Set after the change of user, which clears it; the check closes the gap in which the parent died.
    if parent_process_id is None:
        return
    end_with_parent()
    if os.getppid() != parent_process_id:
        raise ConfinementFailed("parent: it ended before the run began")


def _relocate(plan: Confinement, handles: Mapping[str, int]) -> dict[str, str]:
    """Find what the user cannot reach by name, such as an interpreter below root's home."""
    relocations: dict[str, str] = {}
    # The library's directory comes first: what lies in it is reached through it, by one descriptor.
    for path in (plan["library_path"], *plan["read_paths"]):
        inside = relocated(path, relocations) != path
        if path in handles and not inside and not os.access(path, os.R_OK):
            relocations[path] = f"/proc/self/fd/{handles[path]}"
    if relocations:
        _rewrite_import_paths(relocations)
    return relocations


def _rewrite_import_paths(relocations: Mapping[str, str]) -> None:
    sys.path[:] = [relocated(path, relocations) for path in sys.path]
    sys.path_importer_cache.clear()
    for module in list(sys.modules.values()):
        paths = getattr(module, "__path__", None)
        if isinstance(paths, list):
            paths[:] = [relocated(path, relocations) for path in paths]


def _pin_names(library: str, relocations: Mapping[str, str]) -> None:
    """Let imports go by the names that the library has now: from here on its directory can't be listed."""
    place = relocated(library, relocations)
    for path in sys.path:
        if os.path.realpath(path) not in (library, os.path.realpath(place)):
            continue
        finder = FileFinder(path, (SourceFileLoader, [".py"]), (SourcelessFileLoader, [".pyc"]))
        finder.find_spec("json")
        # invalidate_caches() would make it ask for the names anew.
        vars(finder).update(_fill_cache=lambda: None, invalidate_caches=lambda: None)
        sys.path_importer_cache[path] = finder


def relocated(path: str, relocations: Mapping[str, str]) -> str:
    """Return where `path` can be reached: itself, or below the directory that is held open for it."""
    for original in sorted(relocations, key=len, reverse=True):
        if path == original or path.startswith(original + "/"):
            return relocations[original] + path[len(original) :]
    return path


def _rules(plan: Confinement, handles: Mapping[str, int]) -> list[landlock.PathRule]:
    # In a namespace the parent asks the file system itself how full it is.
    watched = plan["scratch_bytes"] == 0 and plan["parent_process_id"] is not None
    kinds = (
        (plan["read_paths"], landlock.read_rule),
        (plan["device_paths"], landlock.device_rule),
        ((plan["scratch_path"],), landlock.watched_scratch_rule if watched else landlock.scratch_rule),
    )
    return [rule(handles[path]) for paths, rule in kinds for path in paths if path in handles]


def _limit_resources(plan: Confinement) -> None:
    # A core limit of 1 keeps even a core_pattern that pipes to a program from being started; 0 would not.
    limits = {
        resource.RLIMIT_CPU: (plan["cpu_s"], plan["cpu_s"] + 1),
        resource.RLIMIT_FSIZE: (plan["file_bytes"], plan["file_bytes"]),
        resource.RLIMIT_NOFILE: (128, 128),
        resource.RLIMIT_CORE: (1, 1),
        resource.RLIMIT_MEMLOCK: (0, 0),
        resource.RLIMIT_MSGQUEUE: (0, 0),
        resource.RLIMIT_SIGPENDING: (128, 128),
        resource.RLIMIT_NICE: (0, 0),
        resource.RLIMIT_RTPRIO: (0, 0),
    }
    if plan["threads"] > 0:
        limits[resource.RLIMIT_NPROC] = (plan["threads"], plan["threads"])
    if plan["memory_bytes"] > 0:
        limits[resource.RLIMIT_AS] = (plan["memory_bytes"], plan["memory_bytes"])
    if plan["data_bytes"] > 0:
        limits[resource.RLIMIT_DATA] = (plan["data_bytes"], plan["data_bytes"])
    set_limits(limits)


def set_limits(limits: Mapping[int, tuple[int, int]]) -> None:
    """Set limits of resources, soft and hard, and never above what this process has."""
    for name, (soft, hard) in limits.items():
        _, hard_before = resource.getrlimit(name)
        ceiling = hard if hard_before == resource.RLIM_INFINITY else min(hard, hard_before)
        resource.setrlimit(name, (min(soft, ceiling), ceiling))


def _filter(plan: Confinement) -> bool:
    machine = os.uname().machine
    if machine not in TABLES:
        if plan["seccomp_required"]:
            raise ConfinementFailed(f"seccomp: no table of system calls for {machine}")
        return False
    seccomp.install(seccomp.filter_program(machine, os.getpid()))
    return True


def _prctl(operation: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(operation, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl {operation}: {os.strerror(number)}")
