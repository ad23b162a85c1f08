"""Only plain regular files of the run leave the working directory."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from connectors.sandbox.artefacts import collect
from connectors.sandbox.limits import Limits
from connectors.sandbox.result import Artefact, ArtefactRefused

LIMITS = Limits(artefacts_bytes=1000, artefacts_count=3, inodes=50)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    path = tmp_path / "work"
    path.mkdir()
    return path


def collected(
    work: Path, inputs: dict[str, bytes] | None = None, owner: int | None = None
) -> tuple[dict[str, Artefact], dict[str, ArtefactRefused]]:
    handle = os.open(work, os.O_RDONLY)
    try:
        found, refused = collect(handle, inputs or {}, LIMITS, os.getuid() if owner is None else owner)
    finally:
        os.close(handle)
    return {item.name: item for item in found}, {item.name: item for item in refused}


def test_regular_files_are_handed_on_with_their_hash(work: Path) -> None:
    (work / "sub").mkdir()
    (work / "sub" / "table.csv").write_bytes(b"1,2")

    found, refused = collected(work)

    assert found["sub/table.csv"].content == b"1,2"
    assert found["sub/table.csv"].sha256.startswith("17f8af97")
    assert refused == {}


def test_unchanged_inputs_are_left_out_and_changed_ones_are_not(work: Path) -> None:
    (work / "same").write_bytes(b"x")
    (work / "other").write_bytes(b"y")

    found, _ = collected(work, {"same": b"x", "other": b"x"})

    assert set(found) == {"other"}


def test_links_are_never_followed(work: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    (work / "link").symlink_to(tmp_path / "secret")
    (work / "directory").symlink_to(tmp_path)
    os.link(tmp_path / "secret", work / "hard")

    found, refused = collected(work)

    assert found == {}
    assert refused["link"].reason == refused["directory"].reason == "a symbolic link"
    assert "hard links" in refused["hard"].reason


def test_fifos_sockets_and_devices_are_refused_without_being_opened(work: Path) -> None:
    os.mkfifo(work / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(work / "socket"))

        found, refused = collected(work)

    assert found == {}
    assert {refused["fifo"].reason, refused["socket"].reason} == {"no regular file"}


def test_device_nodes_are_refused(work: Path) -> None:
    try:
        os.mknod(work / "zero", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        os.mknod(work / "disk", 0o666 | stat.S_IFBLK, os.makedev(254, 0))
    except PermissionError:
        pytest.skip("NOT TESTED HERE: only root can make device nodes")

    found, refused = collected(work)

    assert found == {}
    assert {refused["zero"].reason, refused["disk"].reason} == {"no regular file"}


@pytest.mark.parametrize(
    "name", [b"new\nline", b"esc\x1b[2J", b"\xff\xfe", "bidi\u202e".encode(), b" ", b" x", b"a" * 201]
)
def test_names_that_are_not_plain_are_refused(work: Path, name: bytes) -> None:
    with open(os.path.join(os.fsencode(work), name), "wb"):
        pass

    found, refused = collected(work)

    assert found == {}
    assert [item.reason for item in refused.values()] == ["the name is not plain"]
    assert all(shown.isprintable() for shown in refused)


def test_of_names_that_look_the_same_the_request_s_own_or_else_the_first_is_handed_on(work: Path) -> None:
    for name in ("\u00e9", "e\u0301", "fi", "\ufb01"):
        (work / name).write_bytes(b"new")

    found, refused = collected(work, {"\u00e9": b"old"})

    assert set(found) == {"\u00e9", "fi"}
    assert {refusal.reason for refusal in refused.values()} == {"the name looks like that of another file"}


def test_a_sparse_file_is_refused_by_the_size_that_it_claims(work: Path) -> None:
    with (work / "sparse").open("wb") as file:
        file.truncate(10**12)

    found, refused = collected(work)

    assert found == {}
    assert "more than may be handed on" in refused["sparse"].reason


def test_the_bounds_hold_for_all_files_together(work: Path) -> None:
    for index in range(5):
        (work / f"{index}").write_bytes(bytes(400))

    found, refused = collected(work)

    assert set(found) == {"0", "1"}
    assert len(refused) == 3


def test_files_of_another_user_are_refused(work: Path) -> None:
    (work / "file").write_text("x")

    found, refused = collected(work, owner=os.getuid() + 1)

    assert found == {}
    assert "does not belong" in refused["file"].reason


def test_a_flood_of_entries_is_not_looked_at_to_its_end(work: Path) -> None:
    for index in range(200):
        (work / f"link-{index}").symlink_to("x")

    found, refused = collected(work)

    assert found == {}
    assert len(refused) <= 35
    assert refused[""].reason == "more entries than are looked at"


def test_deep_directories_are_not_followed_for_ever(work: Path) -> None:
    deep = work
    for _ in range(30):
        deep = deep / "d"
    deep.mkdir(parents=True)
    (deep / "file").write_text("x")

    found, refused = collected(work)

    assert found == {}
    assert any(item.reason == "nested too deeply" for item in refused.values())
