"""The filter for foreign programs: its numbers are the kernel's, on both architectures."""

import re
from pathlib import Path

import pytest

from connectors.sandbox.child import program_filter

HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+)\s+(\d+)\n"),
    "aarch64": ("/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+)\s+(\d+)\n"),
}
TABLES = {"x86_64": program_filter.X86_64, "aarch64": program_filter.AARCH64}


@pytest.mark.parametrize("machine", sorted(HEADERS))
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    path, pattern = HEADERS[machine]
    if not Path(path).exists():
        pytest.skip("the kernel's headers are not installed")
    known = dict(re.findall(pattern, Path(path).read_text(encoding="utf-8")))

    assert {name: str(number) for name, number in TABLES[machine].items()} == {
        name: known[name] for name in TABLES[machine]
    }


@pytest.mark.parametrize("machine", sorted(HEADERS))
@pytest.mark.parametrize("in_namespace", [True, False])
def test_the_filter_is_one_that_the_kernel_takes(*, machine: str, in_namespace: bool) -> None:
    program = program_filter.filter_program(machine, in_namespace=in_namespace)

    assert len(program) < 4_096
    assert all(0 <= true < 256 and 0 <= false < 256 for _, true, false, _ in program)
