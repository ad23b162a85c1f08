"""The system call filter for foreign programs: what no tool server needs and what reaches past its tier.

A program may start processes and use most of the kernel's everyday calls, so this is a list of what is
refused, unlike the filter for foreign code, which names what is allowed.
"""

from __future__ import annotations

import errno

from connectors.sandbox.child import seccomp
from connectors.sandbox.child.seccomp import Instruction
from connectors.sandbox.child.syscalls import TABLES

X86_64 = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "unshare": 272, "setns": 308, "ptrace": 101,
    "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438, "kexec_load": 246,
    "kexec_file_load": 320, "init_module": 175, "finit_module": 313, "delete_module": 176, "bpf": 321,
    "perf_event_open": 298, "userfaultfd": 323, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "keyctl": 250, "add_key": 248, "request_key": 249, "open_by_handle_at": 304,
    "name_to_handle_at": 303, "swapon": 167, "swapoff": 168, "reboot": 169, "sethostname": 170,
    "setdomainname": 171, "acct": 163, "settimeofday": 164, "clock_settime": 227, "adjtimex": 159,
    "clock_adjtime": 305, "iopl": 172, "ioperm": 173, "lookup_dcookie": 212, "quotactl": 179,
    "syslog": 103, "vhangup": 153, "fanotify_init": 300, "chroot": 161, "open_tree": 428,
    "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442,
    "personality": 135, "move_pages": 279, "migrate_pages": 256, "mbind": 237, "set_mempolicy": 238,
    "process_madvise": 440, "mq_open": 240, "shmget": 29, "semget": 64, "msgget": 68, "setpriority": 141,
    "ioprio_set": 251, "sched_setscheduler": 144, "sched_setattr": 314, "sched_setparam": 142,
    "sched_setaffinity": 203, "socket": 41, "clone3": 435,
    "setsid": 112, "setpgid": 109,
}  # fmt: skip

AARCH64 = {
    "mount": 40, "umount2": 39, "pivot_root": 41, "unshare": 97, "setns": 268, "ptrace": 117,
    "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "pidfd_getfd": 438, "kexec_load": 104,
    "kexec_file_load": 294, "init_module": 105, "finit_module": 273, "delete_module": 106, "bpf": 280,
    "perf_event_open": 241, "userfaultfd": 282, "io_uring_setup": 425, "io_uring_enter": 426,
    "io_uring_register": 427, "keyctl": 219, "add_key": 217, "request_key": 218, "open_by_handle_at": 265,
    "name_to_handle_at": 264, "swapon": 224, "swapoff": 225, "reboot": 142, "sethostname": 161,
    "setdomainname": 162, "acct": 89, "settimeofday": 170, "clock_settime": 112, "adjtimex": 171,
    "clock_adjtime": 266, "lookup_dcookie": 18, "quotactl": 60, "syslog": 116, "vhangup": 58,
    "fanotify_init": 262, "chroot": 51, "open_tree": 428, "move_mount": 429, "fsopen": 430,
    "fsconfig": 431, "fsmount": 432, "fspick": 433, "mount_setattr": 442, "personality": 92,
    "move_pages": 239, "migrate_pages": 238, "mbind": 235, "set_mempolicy": 237, "process_madvise": 440,
    "mq_open": 180, "shmget": 194, "semget": 190, "msgget": 186, "setpriority": 140, "ioprio_set": 30,
    "sched_setscheduler": 119, "sched_setattr": 274, "sched_setparam": 118, "sched_setaffinity": 122,
    "socket": 198, "clone3": 435,
    "setsid": 157, "setpgid": 154,
}  # fmt: skip

_NUMBERS = {"x86_64": X86_64, "aarch64": AARCH64}
_WITH_ARGUMENTS = frozenset({"socket", "clone3", "setsid", "setpgid"})
# Namespaces: NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET.
_CLONE_NAMESPACES = 0x7E020000
_AF_UNIX, _AF_INET, _AF_INET6 = 1, 2, 10
_SOCK_STREAM, _SOCK_TYPE_MASK = 1, 0xF
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
# Landlock does not govern these, so that where it is the border they appear to work and change nothing.
_ATTRIBUTE_NAMES = """
    chmod chown fchmod fchmodat fchmodat2 fchown fchownat futimesat lchown utime utimensat utimes
"""
_ATTRIBUTES = frozenset(_ATTRIBUTE_NAMES.split())


def filter_program(machine: str, *, in_namespace: bool) -> list[Instruction]:
    """Return the filter for `machine`, "x86_64" or "aarch64".

    Args:
        machine: as os.uname() gives it.
        in_namespace: True where mounts and network are the program's own; else no socket is made at all, and
            no attribute of a file is changed.
    """
    numbers = {**TABLES[machine], **_NUMBERS[machine]}
    refuse, fake = seccomp.ERRNO | errno.EPERM, seccomp.ERRNO
    program = seccomp.beginning(machine)
    for name in sorted(_NUMBERS[machine].keys() - _WITH_ARGUMENTS):
        program += seccomp.block(numbers[name], [seccomp.answer(refuse)])
    # glibc falls back to clone, whose flags a filter can read.
    program += seccomp.block(numbers["clone3"], [seccomp.answer(seccomp.ERRNO | errno.ENOSYS)])
    checks = {
        "clone": [
            *seccomp.allow_if_no_bit(0, _CLONE_NAMESPACES),
            seccomp.answer(refuse),
        ],
        "ioctl": [
            seccomp.load(seccomp.argument(1)),
            seccomp.jump_equal(_TIOCSTI, 1, 0),
            seccomp.jump_equal(_TIOCLINUX, 0, 1),
            seccomp.answer(refuse),
            seccomp.answer(seccomp.ALLOW),
        ],
        # Limits of its own processes only, which it names by nothing.
        "prlimit64": [*seccomp.allow_if_argument_in(0, (0,)), seccomp.answer(refuse)],
        "socket": [seccomp.answer(refuse)],
        # A datagram pair could send to any socket by path.
        "socketpair": [
            seccomp.load(seccomp.argument(1)),
            (0x54, 0, 0, _SOCK_TYPE_MASK),
            seccomp.jump_equal(_SOCK_STREAM, 0, 1),
            seccomp.answer(seccomp.ALLOW),
            seccomp.answer(refuse),
        ],
    }
    if in_namespace:
        del checks["socketpair"]
        families = (_AF_UNIX, _AF_INET, _AF_INET6)
        checks["socket"] = [*seccomp.allow_if_argument_in(0, families), seccomp.answer(refuse)]
    else:
        for name in sorted(_ATTRIBUTES & numbers.keys()):
            program += seccomp.block(numbers[name], [seccomp.answer(fake)])
        # Where no namespace ends with the program, what it starts must stay in its group, which is ended.
        for name in ("setsid", "setpgid"):
            program += seccomp.block(numbers[name], [seccomp.answer(refuse)])
        for name in sorted(seccomp.NOT_SUPPORTED & numbers.keys() - {"fallocate"}):
            program += seccomp.block(numbers[name], [seccomp.answer(seccomp.ERRNO | errno.ENOTSUP)])
    for name, body in checks.items():
        program += seccomp.block(numbers[name], body)
    program.append(seccomp.answer(seccomp.ALLOW))
    return program
