"""The system call filter: an allow-list, assembled to classic BPF and installed for the whole process.

Whatever is not named here fails with EPERM. What the list holds is what CPython, numpy, sqlite3, threads,
asyncio, tempfile, shutil and zipfile were seen to need; nothing that starts a process, opens a socket to
anywhere, changes another process or reaches a seldom-used part of the kernel.
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
    access alarm arch_prctl brk chdir clock_getres clock_gettime clock_nanosleep close close_range
    copy_file_range creat dup dup2 dup3 epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_wait eventfd2
    exit exit_group faccessat faccessat2 fchdir fstat ftruncate
    getcpu getcwd getdents getdents64 getegid geteuid getgid getgroups getitimer getpeername getpgid
    getpgrp getpid getppid getrandom getresgid getresuid getrlimit getrusage getsid getsockname getsockopt
    gettid gettimeofday getuid link linkat lseek lstat membarrier mkdir mkdirat mprotect
    mremap msync munmap nanosleep newfstatat open openat pause pipe pipe2 poll ppoll pread64 preadv preadv2
    pselect6 pwrite64 pwritev pwritev2 read readlink readlinkat readv recvfrom rename renameat renameat2
    restart_syscall rmdir rseq rt_sigaction rt_sigpending rt_sigprocmask rt_sigreturn rt_sigsuspend
    rt_sigtimedwait sched_getaffinity sched_yield select sendfile set_robust_list setitimer shutdown
    sigaltstack stat statx symlink symlinkat time times umask uname unlink unlinkat write writev
"""
ALLOWED = frozenset(_ALLOWED_NAMES.split())

# shutil.copy and tarfile call these and give up when they fail, so they appear to work and change nothing:
# Landlock does not govern them, and on a host file they must never have an effect. The last two sqlite calls;
# the scratch space ends with the run, so that flushing it to disk would only slow down the host.
# A lock needs no right to write: one on a shared library would make the host's processes wait, and two runs
# could talk by it. Within one process it means nothing. Advice could push the host's files out of its cache.
_FAKE_SUCCESS_NAMES = """
    chmod chown fchmod fchmodat fchmodat2 fchown fchownat futimesat lchown utime utimensat utimes
    fdatasync fsync fadvise64 flock
"""
FAKE_SUCCESS = frozenset(_FAKE_SUCCESS_NAMES.split())

# shutil.copystat takes ENOTSUP for "this file system has no extended attributes". Preallocation would fill
# the host's disk faster than the parent looks; posix_fallocate then writes, which takes its time.
NOT_SUPPORTED = frozenset(
    f"{prefix}{verb}xattr" for prefix in ("", "f", "l") for verb in ("get", "list", "remove", "set")
) | {"fallocate"}

# glibc asks for clone3 first and falls back to clone, whose flags a filter can read, on ENOSYS alone.
NOT_IMPLEMENTED = frozenset({"clone3"})

ALLOW = 0x7FFF0000
KILL_PROCESS = 0x80000000
ERRNO = 0x00050000

_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16
_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _AND, _RETURN = 0x20, 0x15, 0x35, 0x54, 0x06
_CLONE_THREAD = 0x00010000
_CLONE_NEW_NAMESPACES = 0x7E020000
_AF_UNIX, _SOCK_STREAM, _SOCK_TYPE_MASK = 1, 1, 0xF
_F_OFD_GETLK = 36

# F_SETOWN and F_SETSIG are missing on purpose: with O_ASYNC they send signals to processes outside.
_FCNTL_COMMANDS = (
    fcntl.F_DUPFD, fcntl.F_GETFD, fcntl.F_SETFD, fcntl.F_GETFL, fcntl.F_SETFL, fcntl.F_GETLK,
    fcntl.F_DUPFD_CLOEXEC, _F_OFD_GETLK,
)  # fmt: skip
# Locks, which appear to be had; see FAKE_SUCCESS.
_FCNTL_LOCKS = (fcntl.F_SETLK, fcntl.F_SETLKW, _F_OFD_GETLK + 1, _F_OFD_GETLK + 2)
_IOCTL_COMMANDS = (
    termios.FIONREAD, termios.FIONBIO, termios.FIOCLEX, termios.FIONCLEX, termios.TCGETS, termios.TIOCGWINSZ
)  # fmt: skip
_PR_GET_DUMPABLE, _PR_SET_NAME, _PR_GET_NAME, _PR_SET_VMA = 3, 15, 16, 0x53564D41
_PRCTL_COMMANDS = (_PR_GET_DUMPABLE, _PR_GET_NAME, _PR_SET_VMA)
_MAP_HUGETLB = 0x00040000
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
    program = [
        _load(_OFFSET_ARCHITECTURE),
        _jump_equal(AUDIT_ARCHITECTURES[machine], 1, 0),
        _return(KILL_PROCESS),
        _load(_OFFSET_NUMBER),
    ]
    if machine == "x86_64":
        program += [(_JUMP_AT_LEAST, 0, 1, X32_BIT), _return(KILL_PROCESS)]
    for name, checks in _argument_checks(process_id).items():
        if name in numbers:
            program += _block(numbers[name], [*checks, _return(ERRNO | errno.EPERM)])
    for names, action in (
        (ALLOWED, ALLOW),
        (FAKE_SUCCESS, ERRNO),
        (NOT_SUPPORTED, ERRNO | errno.ENOTSUP),
        (NOT_IMPLEMENTED, ERRNO | errno.ENOSYS),
    ):
        for name in sorted(names & numbers.keys(), key=numbers.__getitem__):
            program += _block(numbers[name], [_return(action)])
    program.append(_return(ERRNO | errno.EPERM))
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


def _argument_checks(process_id: int) -> dict[str, list[Instruction]]:
    """Return the calls that depend on their arguments; what falls through a check is refused."""
    own_process = _allow_if_argument_in(0, (process_id,))
    return {
        # A new thread of this process, in no new namespace; never a new process.
        "clone": [
            _load(_argument(0)),
            (_AND, 0, 0, _CLONE_THREAD | _CLONE_NEW_NAMESPACES),
            *_allow_if_equal(_CLONE_THREAD),
        ],
        # A datagram pair could send to any socket by path, so only streams, and never with an address.
        "socketpair": [
            _load(_argument(0)),
            _jump_equal(_AF_UNIX, 0, 4),
            _load(_argument(1)),
            (_AND, 0, 0, _SOCK_TYPE_MASK),
            *_allow_if_equal(_SOCK_STREAM),
        ],
        "sendto": [
            _load(_argument(4)),
            _jump_equal(0, 0, 3),
            _load(_argument(4) + 4),
            *_allow_if_equal(0),
        ],
        "prlimit64": own_process[:1] + _allow_if_equal(0),
        "kill": own_process,
        "tgkill": own_process,
        "fcntl": [*_allow_if_argument_in(1, _FCNTL_COMMANDS), *_fake_if_in(_FCNTL_LOCKS)],
        "ioctl": _allow_if_argument_in(1, _IOCTL_COMMANDS),
        # A name of its own choice would be shown to whoever lists the host's processes.
        "prctl": [*_allow_if_argument_in(0, _PRCTL_COMMANDS), *_fake_if_in((_PR_SET_NAME,))],
        # Huge pages are a pool that the host has set aside for somebody.
        "mmap": [_load(_argument(3)), (_AND, 0, 0, _MAP_HUGETLB), *_allow_if_equal(0)],
        "madvise": _allow_if_argument_in(2, _MADVISE_ADVICES),
        "futex": [
            _load(_argument(1)),
            (_AND, 0, 0, 0xFFFFFFFF ^ _FUTEX_CLOCK_REALTIME),
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


def _allow_if_argument_in(index: int, values: Iterable[int]) -> list[Instruction]:
    instructions = [_load(_argument(index))]
    for value in sorted(set(values)):
        instructions += _allow_if_equal(value)
    return instructions


def _fake_if_in(values: Iterable[int]) -> list[Instruction]:
    """Answer success without doing anything, where the argument that was loaded before is one of `values`."""
    return [step for value in values for step in (_jump_equal(value, 0, 1), _return(ERRNO))]


def _allow_if_equal(value: int) -> list[Instruction]:
    return [_jump_equal(value, 0, 1), _return(ALLOW)]


def _block(number: int, body: list[Instruction]) -> list[Instruction]:
    # The accumulator holds the call's number at the start of each block; a body may overwrite it, since
    # every body ends in a return.
    assert len(body) < 256, "a jump in classic BPF reaches 255 instructions"
    return [_jump_equal(number, 0, len(body)), *body]


def _argument(index: int) -> int:
    return _OFFSET_ARGUMENTS + 8 * index


def _load(offset: int) -> Instruction:
    return (_LOAD, 0, 0, offset)


def _jump_equal(value: int, if_true: int, if_false: int) -> Instruction:
    return (_JUMP_EQUAL, if_true, if_false, value & 0xFFFFFFFF)


def _return(action: int) -> Instruction:
    return (_RETURN, 0, 0, action)
