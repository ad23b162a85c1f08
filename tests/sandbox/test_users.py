"""No two runs of a machine share a user, whichever workers they belong to."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.users import USER_ID_COUNT, USER_ID_FIRST, UserPool

SYSTEMD_DYNAMIC = range(61_184, 65_520)
FIRST = 900_000


def pool(tmp_path: Path, count: int = 3) -> UserPool:
    return UserPool(FIRST, count, is_root=True, lock_paths=(tmp_path / "users",))


@pytest.fixture(autouse=True)
def as_root() -> None:
    if os.geteuid() != 0:
        pytest.skip("NOT TESTED HERE: this process is not root, so that its runs keep its user")


def test_the_numbers_are_nobody_elses() -> None:
    numbers = range(USER_ID_FIRST, USER_ID_FIRST + USER_ID_COUNT)

    assert not set(numbers) & set(SYSTEMD_DYNAMIC)
    assert numbers[0] > 60_000
    assert numbers[-1] < 65_534


def test_two_pools_lend_different_numbers_at_a_time(tmp_path: Path) -> None:
    here, beside = pool(tmp_path), pool(tmp_path)
    with ExitStack() as stack:
        lent = [stack.enter_context(one.lend()) for one in (here, beside, here)]

        assert lent == [FIRST, FIRST + 1, FIRST + 2]
        with pytest.raises(SandboxUnavailable, match="is lent"):
            stack.enter_context(beside.lend())
    with beside.lend() as number:
        assert number == FIRST
    here.close()
    beside.close()


def test_another_process_has_its_numbers_for_as_long_as_it_lives(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom connectors.sandbox.users import UserPool\n"
        "pool = UserPool(900_000, 3, is_root=True, lock_paths=(Path(sys.argv[1]),))\n"
        "with pool.lend() as number:\n    print(number, flush=True)\n    sys.stdin.read()"
    )
    here = pool(tmp_path)
    command = [sys.executable, "-c", code, str(tmp_path / "users")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=os.getcwd()) as other:
        try:
            assert other.stdout is not None
            assert other.stdout.readline() == b"900000\n"
            with here.lend() as number:
                assert number == FIRST + 1
        finally:
            other.kill()
    with here.lend() as number:
        assert number == FIRST
    here.close()


def test_a_lock_that_others_could_hold_is_refused(tmp_path: Path) -> None:
    for name, mode in (("open", 0o666), ("link", 0)):
        path = tmp_path / name
        if mode:
            path.touch()
            path.chmod(mode)
        else:
            path.symlink_to(tmp_path / "elsewhere")

        with pytest.raises(SandboxUnavailable, match="no file for the lock"):
            UserPool(FIRST, 1, is_root=True, lock_paths=(path,))


def test_a_process_that_is_not_root_lends_nothing(tmp_path: Path) -> None:
    with UserPool(FIRST, 1, is_root=False, lock_paths=(tmp_path / "users",)).lend() as number:
        assert number is None
    assert not (tmp_path / "users").exists()
