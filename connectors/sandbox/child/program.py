"""Confines this process, makes sure that it holds, and becomes a foreign program."""

from __future__ import annotations

import _socket
import os
import resource

from connectors.sandbox.child import landlock, program_filter, seccomp
from connectors.sandbox.child.confinement import (
    ConfinementFailed,
    become,
    die_with,
    no_new_privileges,
    set_limits,
)
from connectors.sandbox.child.evaluation import json_text
from connectors.sandbox.child.syscalls import TABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from connectors.sandbox.child.plan import ProgramPlan

EXIT_REFUSED = 70
_SIGNALS_SCOPED_FROM = 6
"""The version of Landlock from which on no signal leaves the tier."""


def main(report: int, plan: ProgramPlan) -> None:
    """Become the program; never returns.

    Args:
        report: descriptor that takes a line of JSON, and closes when the program has begun.
        plan: what the parent's launch module encoded.
    """
    os.set_inheritable(report, False)
    try:
        _confine(plan)
        _attack(plan)
        os.chdir(plan["directory"])
        _tell(report, {"holds": True})
        os.execve(plan["command"][0], list(plan["command"]), plan["environment"])  # noqa: S606  no shell is wanted
    except (ConfinementFailed, OSError) as error:
        _tell(report, {"refused": str(error)[:1000]})
    os._exit(EXIT_REFUSED)


def _tell(report: int, message: object) -> None:
    os.write(report, json_text(message).encode() + b"\n")


def _confine(plan: ProgramPlan) -> None:
    os.umask(0o022)
    in_namespace = plan["parent_process_id"] is None
    version = landlock.version()
    if not in_namespace and version < (1 if plan["user_id"] is not None else _SIGNALS_SCOPED_FROM):
        raise ConfinementFailed(
            f"landlock: version {version} of this kernel is too old without a user of its own"
        )
    handles = {
        path: os.open(path, os.O_PATH | os.O_CLOEXEC) for path in _paths(plan) if os.path.lexists(path)
    }
    missing = [path for path in (*plan["write_paths"], plan["scratch_path"]) if path not in handles]
    if missing:
        raise ConfinementFailed(f"{missing[0]}: there is no such folder")
    become(plan["user_id"])
    no_new_privileges()
    die_with(plan["parent_process_id"])
    if version > 0:
        rules = [
            *(landlock.read_rule(handles[path]) for path in plan["read_paths"] if path in handles),
            *(landlock.device_rule(handles[path]) for path in plan["device_paths"] if path in handles),
            *(landlock.folder_rule(handles[path]) for path in (*plan["write_paths"], plan["scratch_path"])),
        ]
        landlock.restrict(rules)
    for handle in handles.values():
        os.close(handle)
    set_limits(
        {
            resource.RLIMIT_NOFILE: (1_024, 1_024),
            # See confinement: a core limit of 1 starts no program that a pattern names.
            resource.RLIMIT_CORE: (1, 1),
            resource.RLIMIT_MEMLOCK: (0, 0),
            resource.RLIMIT_DATA: (plan["data_bytes"], plan["data_bytes"]),
            **({resource.RLIMIT_NPROC: (plan["processes"], plan["processes"])} if plan["processes"] else {}),
        }
    )
    machine = os.uname().machine
    if machine not in TABLES:
        raise ConfinementFailed(f"seccomp: no table of system calls for {machine}")
    seccomp.install(program_filter.filter_program(machine, in_namespace=in_namespace))


def _paths(plan: ProgramPlan) -> tuple[str, ...]:
    return (*plan["read_paths"], *plan["device_paths"], *plan["write_paths"], plan["scratch_path"])


def _attack(plan: ProgramPlan) -> None:
    """Try what the tier must stop; versions and flags lie.

    Raises:
        ConfinementFailed: something got through.
    """
    for path in plan["hidden_paths"]:
        try:
            os.close(os.open(path, os.O_RDONLY))
        except OSError:
            continue
        raise ConfinementFailed(f"the tier does not hold: {path} can be read")
    try:
        channel = _socket.socket(_socket.AF_INET, _socket.SOCK_STREAM)
        channel.settimeout(1)
        channel.connect(("127.0.0.1", plan["hidden_port"]))
    except OSError:
        pass
    else:
        raise ConfinementFailed("the tier does not hold: a port of this machine can be reached")
    parent = plan["parent_process_id"]
    if parent is not None:
        try:
            os.kill(parent, 0)
        except OSError:
            pass
        else:
            raise ConfinementFailed("the tier does not hold: the worker can be signalled")
    if os.getuid() == 0:
        raise ConfinementFailed("the tier does not hold: the program would run as root")
