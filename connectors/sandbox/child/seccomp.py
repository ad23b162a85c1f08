"""The system call filter: an allow-list, assembled to classic BPF and installed for the whole process.

Whatever is not named here fails with EPERM. What the list holds is what CPython, numpy, sqlite3, threads,
asyncio, tempfile, shutil and zipfile were seen to need; nothing that starts a process, opens a socket to
anywhere, changes another process, tells whether the host had to read a page from its disk (getrusage does) or
reaches a seldom-used part of the kernel.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import struct
import termios

from connectors.sandbox.child.syscalls import AUDIT_ARCHITECTURES, TABLES, X32_BIT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Calls that need no look at their arguments.
_ALLOWED_NAMES = """
    access alarm brk chdir close copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl
    epoll_pwait epoll_wait eventfd2 exit exit_group faccessat faccessat2 fchdir fstat ftruncate
    getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername
    getpgrp getpid getppid getrandom getresgid getresuid getrlimit getsockname
    gettid gettimeofday getuid link linkat lseek lstat mprotect
    mremap munmap nanosleep newfstatat pause pipe poll ppoll pread64 preadv
    pselect6 pwrite64 pwritev read readlink readlinkat readv rename renameat
    restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend
    rt_sigtimedwait sched_yield select sendfile setitimer shutdown
    sigaltstack stat statx symlink symlinkat time times uname unlink unlinkat write writev
"""
ALLOWED = frozenset(_ALLOWED_NAMES.split())

# shutil.copy and tarfile call these and give up when they fail, so they appear to work and change nothing:
# Landlock does not govern them, and on a host file they must never have an effect. The last two sqlite calls;
# the scratch space ends with the run, so that flushing it to disk would only slow down the host.
# A lock needs no right to write: one on a shared library would make the host's processes wait, and two runs
# could talk by it. Within one process it means nothing. Advice could push the host's files out of its cache.
# The mask of modes stays what it is, so that the parent may list every directory that a run makes.
_FAKE_SUCCESS_NAMES = """
    chmod chown fchmod fchmodat fchmodat2 fchown fchownat futimesat lchown utime utimensat utimes
    fdatasync fsync msync fadvise64 flock umask
"""
FAKE_SUCCESS = frozenset(_FAKE_SUCCESS_NAMES.split())

# shutil.copystat takes ENOTSUP for "this file system has no extended attributes". Preallocation would fill
# the host's disk faster than the parent looks; posix_fallocate then writes, which takes its time.
NOT_SUPPORTED = frozenset(
    f"{prefix}{verb}xattr" for prefix in ("", "f", "l") for verb in ("get", "list", "remove", "set")
) | {"fallocate"}

# glibc asks for clone3 first and falls back to clone, whose flags a filter can read, on ENOSYS alone. By a
# robust list the kernel would wake, at a thread's end, whoever waits on a page that runs have in common.
NOT_IMPLEMENTED = frozenset({"clone3", "set_robust_list"})

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000

OFFSET_NUMBER, OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_ALL_BITS = 0xFFFFFFFF
# The flags of a thread that shares all with its process, its table of descriptors too: what a thread opens is
# then bounded and seen with the rest. The second is musl's. Never a process, never a namespace.
_CLONE_THREAD = (0x003D0F00, 0x007D0F00)
_CLOSE_RANGE_FLAGS = (0, 4)  # CLOEXEC, but not UNSHARE
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK = 1, 1, 0xF
_SOL_SOCKET = 1
# REUSEADDR, TYPE, ERROR, SNDBUF, RCVBUF, KEEPALIVE, LINGER, RCVTIMEO, SNDTIMEO, ACCEPTCONN, PROTOCOL, DOMAIN;
# not those that make a descriptor of a process.
_SOCKET_OPTIONS = (2, 3, 4, 7, 8, 9, 13, 20, 21, 30, 38, 39)
# PEEK, TRUNC, DONTWAIT, WAITALL, NOSIGNAL, MORE; not OOB, ERRQUEUE, ZEROCOPY and what is still to come.
_MESSAGE_FLAGS = 0x2 | 0x20 | 0x40 | 0x100 | 0x4000 | 0x8000
_F_OFD_GETLK = 36
# What would make the host wait for its disk (DSYNC, SYNC, DIRECT), send signals (ASYNC), or make a file that
# no directory names (TMPFILE). O_DIRECT has a number of its own on aarch64.
_OPEN_REFUSED = {"x86_64": 0x507000, "aarch64": 0x513000}
_PIPE_FLAGS = 0x80800  # NONBLOCK, CLOEXEC
_OWNER_MODE = 0o700
_RENAME_FLAGS = (0, 1)  # NOREPLACE; WHITEOUT would leave a device
_APPEND = 0x10  # The engine of tier wasm appends by it.
_RLIMIT_CPU, _SIGXCPU = 0, 24
_CLOCKS_END = 16  # Numbers from here on are clocks of processes, other ones too.

# F_SETOWN and F_SETSIG are missing on purpose: with O_ASYNC they send signals to processes outside.
_FCNTL_COMMANDS = (
    fcntl.F_DUPFD, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_GETLK,
    fcntl.F_DUPFD_CLOEXEC, _F_OFD_GETLK,
)  # fmt: skip
# Locks, which appear to be had; see FAKE_SUCCESS.
_FCNTL_LOCKS = (fcntl.F_SETLK, fcntl.F_SETLKW, _F_OFD_GETLK + 1, _F_OFD_GETLK + 2)
_IOCTL_COMMANDS = (
    termios.FIONREAD, termios.FIONBIO, termios.FIOCLEX, termios.FIONCLEX, termios.TCGETS, termios.TIOCGWINSZ
)  # fmt: skip
_PR_GET_DUMPABLE, _PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 3, 15, 16, 0x53564D41
_PRCTL_COMMANDS = (_PR_GET_DUMPABLE, _PR_GET_NAME, _PR_SET_VMA)
# HUGETLB, SYNC, LOCKED, GROWSDOWN. Huge pages are a pool that the host has set aside for somebody.
_MAP_REFUSED = 0x00040000 | 0x00080000 | 0x2000 | 0x100
# MADV_NORMAL to MADV_DONTNEED, FREE, REMOVE, DONTFORK, DOFORK, HUGEPAGE, NOHUGEPAGE, DONTDUMP, DODUMP. Not
# MERGEABLE: what is merged with the pages of others tells, by its timing, what those hold.
_MADVISE_ADVICES = (0, 1, 2, 3, 4, 8, 9, 10, 11, 14, 15, 16, 17)
# WAIT, WAKE, REQUEUE, CMP_REQUEUE, WAKE_OP, WAIT_BITSET, WAKE_BITSET; not the seldom-used kind that inherits
# priorities. Waking goes to this process alone: by a page of a shared library two runs could talk.
_FUTEX_PRIVATE, _FUTEX_CLOCK_REALTIME = 128, 256
_FUTEX_WAITS, _FUTEX_WAKES = (0, 9), (1, 3, 4, 5, 10)

Instruction = tuple[int, int, int, int]


def filter_program(machine: str, process_id: int) -> list[Instruction]:
    """Return the filter as (code, jump if true, jump if false, operand) for `machine`.

    Args:
        machine: "x86_64" or "aarch64", as os.uname() gives it.
        process_id: the process's own id, the only one that it may signal.
    """
    numbers = TABLES[machine]
    program = beginning(machine)
    for name, checks in _argument_checks(machine, process_id).items():
        if name in numbers:
            program += block(numbers[name], [*checks, answer(ERRNO | errno.EPERM)])
    for names, action in (
        (ALLOWED, ALLOW),
        (FAKE_SUCCESS, ERRNO),
        (NOT_SUPPORTED, ERRNO | errno.ENOTSUP),
        (NOT_IMPLEMENTED, ERRNO | errno.ENOSYS),
    ):
        for name in sorted(names & numbers.keys(), key=numbers.__getitem__):
            program += block(numbers[name], [answer(action)])
    program.append(answer(ERRNO | errno.EPERM))
    return program


def beginning(machine: str) -> list[Instruction]:
    """Return how a filter begins: another architecture ends the process; then the call's number is read."""
    program = [
        load(OFFSET_ARCHITECTURE),
        jump_equal(AUDIT_ARCHITECTURES[machine], 1, 0),
        answer(KILL_PROCESS),
        load(OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        program += [(_JUMP_AT_LEAST, 0, 1, X32_BIT), answer(KILL_PROCESS)]
    return program


def install(program: Sequence[Instruction]) -> None:
    """Put `program` in force for this process, for good; needs no_new_privs to be set.

    Raises:
        OSError: the kernel refused the filter.
    """
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(packed, len(packed))

    class Program(ctypes.Structure):
        _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))

    header = Program(len(program), ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    pr_set_seccomp, mode_filter = 22, 2
    if libc.prctl(pr_set_seccomp, mode_filter, ctypes.byref(header), 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"seccomp: the kernel refused the filter (errno {number})")


def _argument_checks(machine: str, process_id: int) -> dict[str, list[Instruction]]:
    """Return the calls that depend on their arguments; what falls through a check is refused."""
    return _file_checks(_OPEN_REFUSED[machine]) | _process_checks(process_id) | _socket_checks()


def _file_checks(opening: int) -> dict[str, list[Instruction]]:
    """Return the checks of calls on files; `opening` are the flags with which none may be opened."""
    return {
        "open": allow_if_no_bit(1, opening),
        "openat": allow_if_no_bit(2, opening),
        "pipe2": allow_if_no_bit(1, _ALL_BITS ^ _PIPE_FLAGS),
        # A directory that its owner may not list would hide from the parent what is in it.
        "mkdir": _allow_if_all_bits(1, _OWNER_MODE),
        "mkdirat": _allow_if_all_bits(2, _OWNER_MODE),
        # One flag tells what the host has in its cache, others make it wait for its disk.
        "preadv2": allow_if_argument_in(5, (0,)),
        "pwritev2": allow_if_argument_in(5, (0, _APPEND)),
        "renameat2": allow_if_argument_in(4, _RENAME_FLAGS),
        "fcntl": [
            *allow_if_argument_in(1, _FCNTL_COMMANDS),
            *_fake_if_in(_FCNTL_LOCKS),
            jump_equal(fcntl.F_SETFL, 0, 4),
            *allow_if_no_bit(2, opening),
        ],
    }


def _socket_checks() -> dict[str, list[Instruction]]:
    return {
        # A datagram pair could send to any socket by path, so only streams, and never with an address.
        "socketpair": [
            *_go_on_if_equal(0, _AF_UNIX, 4),
            load(argument(1)),
            (_AND, 0, 0, _SOCK_TYPE_MASK),
            *_allow_if_equal(_SOCK_STREAM),
        ],
        "sendto": [
            *_go_on_if_equal(4, 0, 6),
            load(argument(4) + 4),
            jump_equal(0, 0, 4),
            *allow_if_no_bit(3, _ALL_BITS ^ _MESSAGE_FLAGS),
        ],
        "recvfrom": allow_if_no_bit(3, _ALL_BITS ^ _MESSAGE_FLAGS),
        "getsockopt": [
            *_go_on_if_equal(1, _SOL_SOCKET, 1 + 2 * len(_SOCKET_OPTIONS)),
            *allow_if_argument_in(2, _SOCKET_OPTIONS),
        ],
    }


def _process_checks(process_id: int) -> dict[str, list[Instruction]]:
    """Return the checks of calls on threads, memory, signals and clocks."""
    itself = allow_if_argument_in(0, (0, process_id))
    clock = [load(argument(0)), (_JUMP_AT_LEAST, 1, 0, _CLOCKS_END), answer(ALLOW)]
    return {
        "clone": allow_if_argument_in(0, _CLONE_THREAD),
        "close_range": allow_if_argument_in(2, _CLOSE_RANGE_FLAGS),
        "clock_gettime": clock,
        "clock_getres": clock,
        "clock_nanosleep": clock,
        # Of another process these tell whether it exists.
        "getpgid": itself,
        "getsid": itself,
        "sched_getaffinity": itself,
        # Of the process itself; its limit of processor time may be asked for, but not made smaller.
        "prlimit64": [
            *_go_on_if_equal(0, 0, 8),
            load(argument(1)),
            jump_equal(_RLIMIT_CPU, 1, 0),
            answer(ALLOW),
            load(argument(2)),
            jump_equal(0, 0, 3),
            load(argument(2) + 4),
            *_allow_if_equal(0),
        ],
        # To the process itself, and not the signal by which the kernel holds that limit.
        "kill": _signal(process_id, 1),
        "tgkill": _signal(process_id, 2),
        "ioctl": allow_if_argument_in(1, _IOCTL_COMMANDS),
        # A name of its own choice would be shown to whoever lists the host's processes.
        "prctl": [*allow_if_argument_in(0, _PRCTL_COMMANDS), *_fake_if_in((_PR_SET_NAME,))],
        "mmap": allow_if_no_bit(3, _MAP_REFUSED),
        "madvise": allow_if_argument_in(2, _MADVISE_ADVICES),
        "futex": [
            load(argument(1)),
            (_AND, 0, 0, _ALL_BITS ^ _FUTEX_CLOCK_REALTIME),
            *(
                instruction
                for operation in (
                    *_FUTEX_WAITS,
                    *(_FUTEX_PRIVATE | operation for operation in (*_FUTEX_WAITS, *_FUTEX_WAKES)),
                )
                for instruction in _allow_if_equal(operation)
            ),
        ],
    }


def _signal(process_id: int, index: int) -> list[Instruction]:
    return [
        *_go_on_if_equal(0, process_id, 3),
        load(argument(index)),
        jump_equal(_SIGXCPU, 1, 0),
        answer(ALLOW),
    ]


def _go_on_if_equal(index: int, value: int, otherwise: int) -> list[Instruction]:
    """Skip the next `otherwise` instructions where an argument is not `value`."""
    return [load(argument(index)), jump_equal(value, 0, otherwise)]


def allow_if_no_bit(index: int, mask: int) -> list[Instruction]:
    return [load(argument(index)), (_AND, 0, 0, mask), *_allow_if_equal(0)]


def _allow_if_all_bits(index: int, mask: int) -> list[Instruction]:
    return [load(argument(index)), (_AND, 0, 0, mask), *_allow_if_equal(mask)]


def allow_if_argument_in(index: int, values: Iterable[int]) -> list[Instruction]:
    instructions = [load(argument(index))]
    for value in sorted(set(values)):
        instructions += _allow_if_equal(value)
    return instructions


def _fake_if_in(values: Iterable[int]) -> list[Instruction]:
    """Answer success without doing anything, where the argument that was loaded before is one of `values`."""
    return [step for value in values for step in (jump_equal(value, 0, 1), answer(ERRNO))]


def _allow_if_equal(value: int) -> list[Instruction]:
    return [jump_equal(value, 0, 1), answer(ALLOW)]


def block(number: int, body: list[Instruction]) -> list[Instruction]:
    # The accumulator holds the call's number at the start of each block; a body may overwrite it, since
    # every body ends in a return.
    assert len(body) < 256, "a jump in classic BPF reaches 255 instructions"
    return [jump_equal(number, 0, len(body)), *body]


def argument(index: int) -> int:
    return _OFFSET_ARGUMENTS + 8 * index


def load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def jump_equal(value: int, if_true: int, if_false: int) -> Instruction:
    return (_JUMP_EQUAL, if_true, if_false, value & 0xFFFFFFFF)


def answer(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)
