"""Attacks on other processes, and attempts to become or start one."""

# Every attack takes the target, whether it aims at it or not, and doing the unsafe thing is the purpose.
# ruff: noqa: ARG001, S103, S606

from __future__ import annotations

from connectors.sandbox.attacks.attack import IsolationAttack, Target, isolation


def signal_parent(target: Target) -> str | None:
    import os

    reached = []
    for process in (target["parent"], target["victim"], 1):
        # 0 asks only whether a signal could be sent.
        try:
            os.kill(int(str(process)), 0)
        except OSError:
            continue
        if int(str(process)) != os.getpid():
            reached.append(process)
    return f"may signal {reached}" if reached else None


def end_other_process(target: Target) -> str | None:
    import os

    os.kill(int(str(target["victim"])), 15)
    return "sent SIGTERM to another process"


def signal_everyone(target: Target) -> str | None:
    import os

    os.kill(-1, 0)
    return "may signal every process of this user"


def signal_group_of_parent(target: Target) -> str | None:
    import os

    reached = []
    for group in (0, -int(str(target["parent"]))):
        try:
            os.kill(group, 0)
        except OSError:
            continue
        reached.append(group)
    return f"may signal the groups {reached}" if reached else None


def signal_by_file_owner(target: Target) -> str | None:
    import fcntl
    import os

    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETOWN, int(str(target["victim"])))
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    os.write(writer, b"x")
    return "sent SIGIO to another process through a pipe"


def renice_other_process(target: Target) -> str | None:
    import os

    os.setpriority(os.PRIO_PROCESS, int(str(target["victim"])), 10)
    return "changed another process's priority"


def pin_other_process(target: Target) -> str | None:
    import os

    os.sched_setaffinity(int(str(target["victim"])), {0})
    return "changed another process's affinity"


def limit_other_process(target: Target) -> str | None:
    import resource

    found = resource.prlimit(int(str(target["victim"])), resource.RLIMIT_NOFILE)
    return f"read another process's limits: {found}"


def schedule_realtime(target: Target) -> str | None:
    import os

    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
    return "became a real-time process"


def trace_parent(target: Target) -> str | None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, ctypes.c_int(int(str(target["victim"]))), None, None) == 0:
        return "attached to another process"
    return None


def trace_itself(target: Target) -> str | None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    return "ptrace is open" if libc.ptrace(0, 0, None, None) == 0 else None


def start_process(target: Target) -> str | None:
    import os

    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    return "started a process"


def spawn_process(target: Target) -> str | None:
    import os

    return f"spawned {os.posix_spawn('/bin/true', ['true'], {})}"


def run_shell(target: Target) -> str | None:
    import subprocess

    return f"ran a shell: {subprocess.run(['/bin/sh', '-c', 'id'], capture_output=True).stdout!r}"


def run_multiprocessing(target: Target) -> str | None:
    import multiprocessing

    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    return f"started {process.pid}"


def become_interpreter(target: Target) -> str | None:
    import os
    import sys

    os.execv(sys.executable, [sys.executable, "-c", "pass"])
    return "replaced itself"


def run_from_memory(target: Target) -> str | None:
    import os

    return f"made an anonymous file {os.memfd_create('x')} to run from"


def run_own_file(target: Target) -> str | None:
    import os

    with open("program", "wb") as file:
        file.write(b"#!/bin/sh\n")
    os.chmod("program", 0o755)
    os.execv("./program", ["program"])
    return "ran a file of its own"


def become_root(target: Target) -> str | None:
    import os

    for change in (os.setuid, os.seteuid, os.setgid, os.setegid):
        try:
            change(0)
        except OSError:
            continue
        return f"{change.__name__}(0) was allowed"
    return "runs as root" if 0 in (os.getuid(), os.geteuid(), os.getgid(), os.getegid()) else None


def keep_groups(target: Target) -> str | None:
    import os

    others = set(os.getgroups()) - {os.getgid()}
    return f"belongs to root's groups: {others}" if 0 in others else None


def has_capabilities(target: Target) -> str | None:
    import ctypes

    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.capget(header, data) != 0:
        return None
    return f"has capabilities {list(data)}" if data[0] or data[1] or data[3] or data[4] else None


def clear_death_signal(target: Target) -> str | None:
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    # PR_SET_PDEATHSIG: a process that outlives its parent would go on unwatched.
    return "cleared the signal that ends it with its parent" if libc.prctl(1, 0, 0, 0, 0) == 0 else None


def change_session(target: Target) -> str | None:
    import os

    os.setsid()
    return "made a session of its own"


def type_into_terminal(target: Target) -> str | None:
    import fcntl
    import termios

    for descriptor in range(3):
        try:
            fcntl.ioctl(descriptor, termios.TIOCSTI, b"x")
        except OSError as error:
            # ENOTTY says that the kernel looked at the request: the filter would have said EPERM.
            if error.errno != 1:
                return f"TIOCSTI reached the kernel: {error}"
            continue
        return "typed into a terminal"
    return None


def lift_own_limits(target: Target) -> str | None:
    import resource

    for name in (resource.RLIMIT_AS, resource.RLIMIT_FSIZE, resource.RLIMIT_CPU, resource.RLIMIT_NOFILE):
        soft, hard = resource.getrlimit(name)
        if hard == resource.RLIM_INFINITY:
            return f"has no limit {name}"
        try:
            resource.setrlimit(name, (soft, hard + 1))
        except (ValueError, OSError):
            continue
        return f"raised the limit {name}"
    return None


ATTACKS: tuple[IsolationAttack, ...] = (
    *isolation(
        "process", signal_parent, end_other_process, signal_everyone, canary=True, succeeds_outside=True
    ),
    *isolation("process", signal_by_file_owner, start_process, canary=True, succeeds_outside=True),
    *isolation("process", renice_other_process, pin_other_process, canary=True, succeeds_outside=True),
    *isolation("process", limit_other_process, trace_itself, canary=True),
    *isolation("process", signal_group_of_parent, trace_parent, schedule_realtime, spawn_process, run_shell),
    *isolation("process", run_multiprocessing, run_from_memory, keep_groups, has_capabilities),
    *isolation("process", become_root, clear_death_signal, canary=True),
    *isolation("process", change_session, type_into_terminal),
    *isolation("process", become_interpreter, run_own_file, alone=True),
    *isolation("process", lift_own_limits),
)
