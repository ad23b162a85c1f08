"""The filter is run on a small model of the kernel's machine, for both architectures."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sandbox.attacks import kernel
from connectors.sandbox.child import seccomp
from connectors.sandbox.child.syscalls import AARCH64, AUDIT_ARCHITECTURES, TABLES, X86_64

PROCESS = 4321
PERMISSION = seccomp.ERRNO | errno.EPERM
MACHINES = sorted(TABLES)
PROGRAMS = {machine: seccomp.filter_program(machine, PROCESS) for machine in MACHINES}
MEMORY_SIZE = 64
DEPENDS_ON_ARGUMENTS = {
    "clone", "socketpair", "sendto", "prlimit64", "kill", "tgkill", "fcntl", "ioctl", "prctl",
    "mmap", "madvise", "futex", "close_range", "recvfrom", "getsockopt", "open", "openat", "pipe2", "mkdir",
    "mkdirat", "preadv2", "pwritev2", "renameat2", "clock_gettime", "clock_getres", "clock_nanosleep",
    "getpgid", "getsid", "sched_getaffinity",
}  # fmt: skip


def run(machine: str, number: int, *arguments: int, architecture: int | None = None) -> int:
    """Return what the filter answers to one call."""
    words = [*arguments, 0, 0, 0, 0, 0, 0][:6]
    architecture = AUDIT_ARCHITECTURES[machine] if architecture is None else architecture
    data = number.to_bytes(4, "little") + architecture.to_bytes(4, "little") + bytes(8)
    data += b"".join(word.to_bytes(8, "little") for word in words)
    accumulator, place = 0, 0
    program = PROGRAMS[machine]
    while True:
        code, if_true, if_false, operand = program[place]
        place += 1
        match code:
            case 0x20:
                accumulator = int.from_bytes(data[operand : operand + 4], "little")
            case 0x15:
                place += if_true if accumulator == operand else if_false
            case 0x35:
                place += if_true if accumulator >= operand else if_false
            case 0x54:
                accumulator &= operand
            case 0x06:
                return operand
            case _:
                raise AssertionError(f"no instruction {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
def test_the_program_is_one_that_the_kernel_takes(machine: str) -> None:
    program = PROGRAMS[machine]

    assert len(program) <= 4096
    for place, (code, if_true, if_false, operand) in enumerate(program):
        assert 0 <= if_true <= 255
        assert 0 <= if_false <= 255
        assert 0 <= operand <= 0xFFFFFFFF
        if code in (0x15, 0x35):
            assert place + 1 + max(if_true, if_false) < len(program)
        if code == 0x20:
            assert operand % 4 == 0
            assert operand < MEMORY_SIZE
    assert program[-1] == (0x06, 0, 0, PERMISSION)


@pytest.mark.parametrize("machine", MACHINES)
def test_every_listed_call_gets_the_answer_of_its_list(machine: str) -> None:
    for name, number in TABLES[machine].items():
        if name in DEPENDS_ON_ARGUMENTS or name not in ANSWERS:
            continue
        assert run(machine, number) == ANSWERS[name], name


ANSWERS = {
    **dict.fromkeys(seccomp.ALLOWED, seccomp.ALLOW),
    **dict.fromkeys(seccomp.FAKE_SUCCESS, seccomp.ERRNO),
    **dict.fromkeys(seccomp.NOT_SUPPORTED, seccomp.ERRNO | errno.ENOTSUP),
    **dict.fromkeys(seccomp.NOT_IMPLEMENTED, seccomp.ERRNO | errno.ENOSYS),
}


def test_the_lists_do_not_overlap_and_every_name_exists_somewhere() -> None:
    lists = [seccomp.ALLOWED, seccomp.FAKE_SUCCESS, seccomp.NOT_SUPPORTED, seccomp.NOT_IMPLEMENTED]

    assert sum(map(len, lists)) == len(frozenset().union(*lists))
    assert frozenset().union(*lists) <= X86_64.keys() | AARCH64.keys()
    assert not DEPENDS_ON_ARGUMENTS & frozenset().union(*lists)


@pytest.mark.parametrize("machine", MACHINES)
@given(number=st.integers(min_value=0, max_value=0x3FFFFFFF))
def test_every_other_call_is_refused(machine: str, number: int) -> None:
    if number not in TABLES[machine].values():
        assert run(machine, number) == PERMISSION


@pytest.mark.parametrize("machine", MACHINES)
def test_another_architecture_ends_the_process(machine: str) -> None:
    for architecture in (0x40000003, 0xC000003E, 0xC00000B7, 0x40000028, 0):
        if architecture != AUDIT_ARCHITECTURES[machine]:
            answer = run(machine, TABLES[machine]["read"], architecture=architecture)
            assert answer == seccomp.KILL_PROCESS


def test_the_other_numbers_of_x86_64_end_the_process() -> None:
    assert run("x86_64", 0x40000000) == seccomp.KILL_PROCESS
    assert run("x86_64", 0x40000000 + 39) == seccomp.KILL_PROCESS
    assert run("x86_64", 0xFFFFFFFF) == seccomp.KILL_PROCESS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "allowed"),
    [
        ("clone", (0x3D0F00,), True),
        ("clone", (0x7D0F00,), True),
        ("clone", (0x3D0F00 & ~0x400,), False),
        ("clone", (0x3D0F00 & ~0x200,), False),
        ("clone", (0x3D0F00 | 0x80000000,), False),
        ("clone", (0x11,), False),
        ("close_range", (3, 9, 0), True),
        ("close_range", (3, 9, 4), True),
        ("close_range", (3, 9, 2), False),
        ("close_range", (3, 9, 6), False),
        ("recvfrom", (3, 0, 1, 0x42), True),
        ("recvfrom", (3, 0, 1, 1), False),
        ("recvfrom", (3, 0, 1, 0x2000), False),
        ("sendto", (3, 0, 1, 0x4040, 0, 0), True),
        ("sendto", (3, 0, 1, 1, 0, 0), False),
        ("sendto", (3, 0, 1, 0x4000000, 0, 0), False),
        ("getsockopt", (3, 1, 3), True),
        ("getsockopt", (3, 1, 39), True),
        ("getsockopt", (3, 1, 17), False),
        ("getsockopt", (3, 1, 77), False),
        ("getsockopt", (3, 6, 3), False),
        ("openat", (3, 0, 0x80241), True),
        ("openat", (3, 0, 0x1041), False),
        ("openat", (3, 0, 0x101041), False),
        ("openat", (3, 0, 0x410002), False),
        ("pipe2", (0, 0x80800), True),
        ("pipe2", (0, 0x80), False),
        ("pipe2", (0, 0x4000), False),
        ("mkdirat", (3, 0, 0o777), True),
        ("mkdirat", (3, 0, 0o1700), True),
        ("mkdirat", (3, 0, 0o300), False),
        ("mkdirat", (3, 0, 0), False),
        ("preadv2", (3, 0, 1, 0, 0, 0), True),
        ("preadv2", (3, 0, 1, 0, 0, 8), False),
        ("pwritev2", (3, 0, 1, 0, 0, 0), True),
        ("pwritev2", (3, 0, 1, 0, 0, 16), True),
        ("pwritev2", (3, 0, 1, 0, 0, 4), False),
        ("pwritev2", (3, 0, 1, 0, 0, 2), False),
        ("renameat2", (3, 0, 3, 0, 0), True),
        ("renameat2", (3, 0, 3, 0, 1), True),
        ("renameat2", (3, 0, 3, 0, 4), False),
        ("clock_gettime", (2,), True),
        ("clock_gettime", (11,), True),
        ("clock_gettime", (0xFFFFFFF2,), False),
        ("clock_nanosleep", (0xFFFFFFF2,), False),
        ("getsid", (0,), True),
        ("getsid", (PROCESS,), True),
        ("getpgid", (1,), False),
        ("sched_getaffinity", (1,), False),
        ("fcntl", (3, 4, 0x800), True),
        ("fcntl", (3, 4, 0x2000), False),
        ("mmap", (0, 4096, 3, 0x2022), False),
        ("mmap", (0, 4096, 3, 0x20022), True),
        ("clone", (0x01200011,), False),
        ("clone", (0x00010F00 | 0x10000000,), False),
        ("clone", (0x00010F00 | 0x00020000,), False),
        ("socketpair", (1, 1), True),
        ("socketpair", (1, 1 | 0x80000), True),
        ("socketpair", (1, 2), False),
        ("socketpair", (1, 5), False),
        ("socketpair", (2, 1), False),
        ("sendto", (3, 0, 1, 0, 0, 0), True),
        ("sendto", (3, 0, 1, 0, 4096, 16), False),
        ("sendto", (3, 0, 1, 0, 1 << 32, 16), False),
        ("prlimit64", (0, 7), True),
        ("prlimit64", (1, 7), False),
        ("prlimit64", (0, 7, 4096, 0), True),
        ("prlimit64", (0, 0, 0, 4096), True),
        ("prlimit64", (0, 0, 4096, 0), False),
        ("prlimit64", (0, 0, 1 << 32, 0), False),
        ("kill", (PROCESS, 24), False),
        ("tgkill", (PROCESS, PROCESS, 24), False),
        ("prlimit64", (PROCESS, 7), False),
        ("kill", (PROCESS, 9), True),
        ("kill", (0, 9), False),
        ("kill", (0xFFFFFFFF, 9), False),
        ("kill", (1, 0), False),
        ("tgkill", (PROCESS, PROCESS, 6), True),
        ("tgkill", (1, 1, 6), False),
        ("fcntl", (3, 4), True),
        ("fcntl", (3, 1030), True),
        ("fcntl", (3, 8), False),
        ("fcntl", (3, 10), False),
        ("fcntl", (3, 15), False),
        ("fcntl", (3, 1031), False),
        ("ioctl", (3, 0x541B), True),
        ("ioctl", (3, 0x5412), False),
        ("ioctl", (3, 0x5452), False),
        ("ioctl", (3, (1 << 32) | 0x5412), False),
        ("prctl", (16,), True),
        ("mmap", (0, 4096, 3, 0x22), True),
        ("mmap", (0, 4096, 3, 0x40022), False),
        ("mmap", (0, 4096, 3, (21 << 26) | 0x40022), False),
        ("madvise", (0, 4096, 4), True),
        ("madvise", (0, 4096, 12), False),
        ("madvise", (0, 4096, 21), False),
        ("futex", (4096, 128), True),
        ("futex", (4096, 128 | 256 | 9), True),
        ("futex", (4096, 256 | 9), True),
        ("futex", (4096, 129), True),
        ("futex", (4096, 1), False),
        ("futex", (4096, 10), False),
        ("futex", (4096, 128 | 6), False),
        ("futex", (4096, 128 | 12), False),
        ("futex", (4096, 512), False),
        ("prctl", (1,), False),
        ("prctl", (22,), False),
        ("prctl", (4,), False),
    ],
)
def test_arguments_decide_where_they_must(
    machine: str, name: str, arguments: tuple[int, ...], allowed: bool
) -> None:
    answer = run(machine, TABLES[machine][name], *arguments)

    assert answer == (seccomp.ALLOW if allowed else PERMISSION)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments"), [("prctl", (15,)), *(("fcntl", (3, n)) for n in (6, 7, 37, 38))]
)
def test_what_must_have_no_effect_appears_to_succeed(
    machine: str, name: str, arguments: tuple[int, ...]
) -> None:
    assert run(machine, TABLES[machine][name], *arguments) == seccomp.ERRNO


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("attack", kernel._CALLS, ids=str)
def test_every_call_of_the_attack_list_is_refused_on_both_machines(machine: str, attack: str) -> None:
    x86_64, aarch64, *arguments = kernel._CALLS[attack]
    number = {"x86_64": x86_64, "aarch64": aarch64}[machine]
    if number < 0:
        return

    answer = run(machine, number, *(argument & (2**64 - 1) for argument in arguments))

    assert answer in (PERMISSION, seccomp.ERRNO | errno.ENOSYS)


def header_numbers(path: str, pattern: str) -> dict[str, int]:
    file = Path(path)
    if not file.exists():
        pytest.skip(f"NOT TESTED HERE: the kernel's header {path} is not installed (linux-libc-dev)")
    return {name: int(number) for name, number in re.findall(pattern, file.read_text())}


def test_the_numbers_of_x86_64_are_those_of_the_kernel() -> None:
    known = header_numbers("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)\n")

    assert {name: known.get(name, number) for name, number in X86_64.items()} == X86_64
    assert len(X86_64.keys() & known.keys()) > 150


def test_the_numbers_of_aarch64_are_those_of_the_kernel() -> None:
    # The names of this header carry a 3264 where 32-bit machines have another call.
    known = header_numbers("/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)\n")
    known["newfstatat"] = known["fstatat"]

    assert {name: known.get(name, number) for name, number in AARCH64.items()} == AARCH64
    assert len(AARCH64.keys() & known.keys()) > 110


def test_the_attack_list_has_the_kernels_numbers() -> None:
    x86_64 = header_numbers("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)\n")
    aarch64 = header_numbers("/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)\n")

    for name, (on_x86_64, on_aarch64, *_) in kernel._CALLS.items():
        if name in x86_64:
            assert on_x86_64 == x86_64[name], name
        if name in aarch64 and on_aarch64 >= 0:
            assert on_aarch64 == aarch64[name], name
