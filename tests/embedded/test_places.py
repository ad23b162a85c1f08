"""Ports, locks, files and accounts: what the stack does to the machine around it."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from connectors.embedded.account import let_through
from connectors.embedded.errors import EmbeddedError
from connectors.embedded.filelock import file_lock
from connectors.embedded.files import fresh_directory, write_atomically
from connectors.embedded.ports import PORTS, choose_port, port_answers, port_free
from connectors.embedded.stack import Ports, Stack

PROJECT_DIRECTORY = Path(__file__).parents[2]


@contextmanager
def listener() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_the_first_free_candidate_is_taken() -> None:
    with listener() as busy:
        free = choose_port(())

        assert choose_port((None, busy, free)) == free


def test_when_no_candidate_is_free_another_port_is_chosen_outside_the_ephemeral_range() -> None:
    with listener() as busy:
        chosen = choose_port((busy,))

    assert chosen in PORTS


def test_a_port_given_to_one_server_is_not_given_to_the_next() -> None:
    first = choose_port(())

    assert choose_port((first,), taken=frozenset({first})) != first


def test_a_port_is_busy_while_somebody_listens() -> None:
    with listener() as busy:
        assert not port_free(busy)
        assert port_answers(busy)

    assert port_free(busy)
    assert not port_answers(busy)


def test_a_lock_held_by_another_is_waited_for_only_so_long(tmp_path: Path) -> None:
    with (
        file_lock(tmp_path / "lock", timeout_s=1, what="first"),
        pytest.raises(EmbeddedError, match="second: another process held"),
        file_lock(tmp_path / "lock", timeout_s=0.1, what="second"),
    ):
        pytest.fail("two hold the lock")


def test_a_lock_is_released_when_its_holder_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from connectors.embedded.filelock import file_lock\n"
        "with file_lock(Path(sys.argv[1]), timeout_s=5, what='child'):\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "lock")],
        cwd=PROJECT_DIRECTORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"

        child.send_signal(signal.SIGKILL)

        with file_lock(tmp_path / "lock", timeout_s=5, what="parent"):
            pass


def test_a_file_is_replaced_whole_and_private(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("before")

    write_atomically(path, "after")

    assert path.read_text() == "after"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["state.json"]


def test_a_failed_write_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    path.write_text("before")

    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "\ud800")

    assert path.read_text() == "before"
    assert os.listdir(tmp_path) == ["state.json"]


def test_letting_an_account_through_gives_passage_and_nothing_else(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.mkdir(mode=0o700)
    (private / "data").mkdir(mode=0o700)

    let_through(private / "data")

    assert stat.S_IMODE(private.stat().st_mode) == 0o701
    assert stat.S_IMODE((private / "data").stat().st_mode) == 0o700


def test_a_stack_that_was_never_started_has_no_endpoints_and_nothing_running(tmp_path: Path) -> None:
    stack = Stack(tmp_path / "stack", artifacts=tmp_path / "artifacts")

    assert [service.running for service in stack.status()] == [False, False, False]
    with pytest.raises(EmbeddedError, match="no stack was ever started"):
        stack.endpoints()
    assert not (tmp_path / "stack").exists()


@pytest.mark.parametrize(
    "state", ["", "{", "[]", '{"ports": null}', '{"ports": {"kafka": "x"}}', '{"ports": {"unknown": 1}}']
)
def test_a_state_file_that_cannot_be_read_counts_as_none(tmp_path: Path, state: str) -> None:
    (tmp_path / "stack.json").write_text(state)
    stack = Stack(tmp_path, ports=Ports(kafka=20_001))

    assert stack.status()[0].address == "127.0.0.1:20001"
    assert stack.status()[0].pid is None


def test_the_ports_of_the_last_start_are_the_ones_reported(tmp_path: Path) -> None:
    ports = {"kafka": 20_101, "kafka_controller": 20_102, "registry": 20_103, "postgres": 20_104}
    (tmp_path / "stack.json").write_text(json.dumps({"ports": ports}))

    addresses = [service.address for service in Stack(tmp_path).status()]

    assert addresses == ["127.0.0.1:20101", "http://127.0.0.1:20103/apis/ccompat/v7", "127.0.0.1:20104"]


def test_an_unknown_service_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(EmbeddedError, match="kafka, registry, postgres"):
        Stack(tmp_path).stop_service("zookeeper")


def test_a_fresh_directory_never_is_one_that_an_abandoned_program_may_still_write_to(tmp_path: Path) -> None:
    abandoned = fresh_directory(tmp_path)
    first = abandoned.__enter__()
    (first / "half").write_text("done")

    with fresh_directory(tmp_path) as second:
        assert second != first
        assert not first.exists()
        assert list(second.iterdir()) == []

    assert list(tmp_path.iterdir()) == []


def test_what_was_renamed_out_of_a_fresh_directory_stays(tmp_path: Path) -> None:
    with fresh_directory(tmp_path) as fresh:
        (fresh / "data").mkdir()
        (fresh / "data").rename(tmp_path / "data")

    assert [path.name for path in tmp_path.iterdir()] == ["data"]
