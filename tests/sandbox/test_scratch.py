"""Hostile trees are counted and removed without following or exhausting anything."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
from pathlib import Path

import pytest

from connectors.sandbox.scratch import HostScratch, ScratchParent, _deleted_bytes, can_mount, remove_tree


def dig(directory: Path, levels: int) -> None:
    """Make `levels` nested directories, deeper than any path may be long."""
    here = os.open(directory, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("deep", dir_fd=here)
        below = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)


def test_a_tree_deeper_than_recursion_and_paths_allow_is_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    top.mkdir()
    dig(top, 1_500)

    remove_tree(top)

    assert not top.exists()


def test_removing_leaves_alone_what_links_point_to(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("x")
    top = tmp_path / "top"
    top.mkdir()
    (top / "link").symlink_to(outside)
    (top / "file").symlink_to(outside / "kept")

    remove_tree(top)

    assert (outside / "kept").read_text() == "x"


def test_directories_that_nobody_may_enter_are_removed(tmp_path: Path) -> None:
    top = tmp_path / "top"
    (top / "closed" / "inner").mkdir(parents=True)
    (top / "closed" / "inner" / "file").write_text("x")
    (top / "closed" / "inner").chmod(0)
    (top / "closed").chmod(0)

    remove_tree(top)

    assert not top.exists()


def test_usage_counts_files_bytes_and_what_is_deleted_but_open(tmp_path: Path) -> None:
    scratch = HostScratch(tmp_path, None)
    (scratch.path / "work" / "kept").write_bytes(bytes(100_000))
    with (scratch.path / "work" / "deleted").open("wb") as held:
        held.write(bytes(200_000))
        held.flush()
        (scratch.path / "work" / "deleted").unlink()

        usage = scratch.usage(os.getpid(), 100)

    assert usage.inodes == 1
    assert 300_000 <= usage.disk_bytes < 400_000
    scratch.close()
    assert not scratch.path.exists()


def test_a_process_that_has_just_ended_holds_nothing_for_whoever_may_not_look_at_it() -> None:
    user_id = os.geteuid()
    ended = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, ended.pid, os.WEXITED | os.WNOWAIT)
    try:
        os.seteuid(65_534 if user_id == 0 else user_id)
        with pytest.raises(PermissionError):
            os.listdir(f"/proc/{ended.pid}/fd")

        assert _deleted_bytes(ended.pid, "/anywhere") == 0
    finally:
        os.seteuid(user_id)
        ended.wait()


def test_usage_of_a_bottomless_tree_is_over_any_limit(tmp_path: Path) -> None:
    scratch = HostScratch(tmp_path, None)
    dig(scratch.path / "work", 500)

    assert scratch.usage(os.getpid(), 10_000).inodes > 10_000
    scratch.close()


def test_a_deleted_file_that_is_mapped_is_known_though_the_state_lies_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    parent = ScratchParent(tmp_path / "link")
    scratch = HostScratch(parent.path, None)
    libc = ctypes.CDLL(None)
    libc.mmap.restype = ctypes.c_void_p
    with (scratch.path / "work" / "mapped").open("w+b") as file:
        file.truncate(mmap.PAGESIZE)
        # Not by Python's own mapping, which keeps a descriptor.
        place = ctypes.c_void_p(libc.mmap(None, mmap.PAGESIZE, 1, 1, file.fileno(), ctypes.c_long(0)))
    (scratch.path / "work" / "mapped").unlink()

    usage = scratch.usage(os.getpid(), 100)

    libc.munmap(place, mmap.PAGESIZE)
    assert usage.disk_bytes == sys.maxsize
    scratch.close()
    parent.close()


def test_all_that_a_run_sees_is_read_only_but_its_own_space(tmp_path: Path) -> None:
    is_root = os.geteuid() == 0
    if not can_mount(sys.executable, tmp_path, is_root=is_root):
        pytest.skip("NOT TESTED HERE: this machine lets no process mount anything")
    (tmp_path / "space").mkdir()
    (tmp_path / "host").write_text("x")
    program = (
        f"from connectors.sandbox.child.scratch import mount\n"
        f"mount({str(tmp_path / 'space')!r}, 1 << 20, 16, {65_534 if is_root else None})\n"
        f"print(open('/proc/self/mountinfo').read())\n"
        f"open({str(tmp_path / 'space' / 'work' / 'new')!r}, 'w').close()\n"
        f"open({str(tmp_path / 'host')!r}, 'w')"
    )

    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=os.getcwd(), check=False
    )

    assert "Read-only file system" in finished.stderr
    # Identity, parent, device, root, place, options; a later one on the same place covers an earlier one.
    options = {line.split()[4]: line.split()[5].split(",") for line in finished.stdout.splitlines() if line}
    writable = {place for place, found in options.items() if "ro" not in found}
    assert writable == {str(tmp_path / "space")}
    assert (tmp_path / "host").read_text() == "x"


def test_what_a_killed_sandbox_left_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    root = tmp_path / "scratch"
    living = ScratchParent(root)
    code = (
        "import sys, os, signal\nfrom pathlib import Path\n"
        "from connectors.sandbox.scratch import ScratchParent\n"
        "parent = ScratchParent(Path(sys.argv[1])); (parent.path / 'run-x').mkdir()\n"
        "print(parent.path, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=30,
        cwd=os.getcwd(),
    )
    left = Path(killed.stdout.strip())
    assert left.is_dir()

    later = ScratchParent(root)

    assert not left.exists()
    assert living.path.is_dir()
    later.close()
    living.close()
    assert list(root.iterdir()) == []


def test_a_directory_that_others_may_write_to_is_refused(tmp_path: Path) -> None:
    root = tmp_path / "scratch"
    root.mkdir()
    root.chmod(0o777)

    with pytest.raises(PermissionError, match="nobody else may write"):
        ScratchParent(root)
