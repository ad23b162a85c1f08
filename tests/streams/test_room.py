"""`up` on a full disk: it is not begun, and the disk, the need and the remedy are named."""

import errno
from pathlib import Path

import pytest

from streams.worker.deployment import DeploymentError
from streams.worker.room import DOWNLOAD_BYTES, SERVERS_BYTES, demand_room, disk_named


def test_a_start_without_room_is_not_begun(tmp_path: Path) -> None:
    home = tmp_path / "not" / "there" / "yet"

    with pytest.raises(DeploymentError) as caught:
        demand_room(home, lambda folder: SERVERS_BYTES + DOWNLOAD_BYTES - 1 if folder == tmp_path else 0)

    for told in (
        str(home),
        "900 MB are free",
        "needs 900 MB",
        "downloads",
        "CARTRITA_HOME",
        "Nothing is lost",
    ):
        assert told in str(caught.value)
    assert not home.exists()


def test_what_is_downloaded_already_needs_no_room(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    (tmp_path / "artifacts" / "kafka").touch()

    demand_room(tmp_path, lambda _: SERVERS_BYTES)
    with pytest.raises(DeploymentError, match="300 MB for Kafka's log"):
        demand_room(tmp_path, lambda _: SERVERS_BYTES - 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_fills_up_in_the_meantime_is_named(tmp_path: Path, number: int) -> None:
    with (
        pytest.raises(DeploymentError, match=r"the disk of /data/deployment\.json is full"),
        disk_named(tmp_path),
    ):
        raise OSError(number, "No space left on device", "/data/deployment.json")


def test_any_other_fault_is_left_as_it_is(tmp_path: Path) -> None:
    with pytest.raises(PermissionError), disk_named(tmp_path):
        raise PermissionError(errno.EACCES, "Permission denied", "/data")
