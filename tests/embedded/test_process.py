"""Servers as processes: who they are, how they start, how they end."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from connectors.embedded.errors import ServerError
from connectors.embedded.launch import process_identity
from connectors.embedded.process import LOG_BYTES_MAX, Command, ServerProcess, tail_of

WAIT_S = 60.0


def wait_until(condition: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline_s, "waited in vain"
        time.sleep(0.01)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ServerProcess]:
    process = ServerProcess("server", pid_path=tmp_path / "server.pid", log_path=tmp_path / "server.log")
    yield process
    process.kill()


def python(tmp_path: Path, code: str, *, environment: dict[str, str] | None = None) -> Command:
    return Command(
        arguments=(sys.executable, "-I", "-S", "-c", code),
        environment=environment or {},
        directory=tmp_path,
    )


SLEEP = "import time; print('up', flush=True); time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"


def test_a_started_server_runs_and_is_nobodys_child(server: ServerProcess, tmp_path: Path) -> None:
    pid = server.start(python(tmp_path, SLEEP))

    assert server.alive()
    assert server.pid == pid
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    assert os.getsid(pid) != os.getsid(0)


def test_a_running_server_is_kept(server: ServerProcess, tmp_path: Path) -> None:
    pid = server.start(python(tmp_path, SLEEP))

    assert server.start(python(tmp_path, SLEEP)) == pid


def test_one_that_ends_at_once_was_started_and_is_found_ended(server: ServerProcess, tmp_path: Path) -> None:
    order = Command(arguments=("/bin/true",), environment={}, directory=tmp_path)
    assert server.start(order) > 0
    wait_until(lambda: not server.alive())


def test_another_object_on_the_same_pid_file_means_the_same_server(
    server: ServerProcess, tmp_path: Path
) -> None:
    pid = server.start(python(tmp_path, SLEEP))
    other = ServerProcess("other", pid_path=server.pid_path, log_path=server.log_path)

    assert other.pid == pid
    other.stop(timeout_s=WAIT_S)

    assert not server.alive()


def test_a_server_gets_its_environment_and_nothing_of_ours(server: ServerProcess, tmp_path: Path) -> None:
    code = "import json, os; print(json.dumps([dict(os.environ), os.getcwd()]), flush=True)"
    server.start(python(tmp_path, code + "; import time; time.sleep(60)", environment={"GIVEN": "1"}))

    wait_until(lambda: server.log_path.read_text().endswith("\n"))

    environment, directory = json.loads(server.log_path.read_text())
    assert environment.pop("GIVEN") == "1"
    # The interpreter itself may settle its locale.
    assert set(environment) <= {"LC_CTYPE"}
    assert directory == str(tmp_path)


@pytest.mark.parametrize("document", [{"identity": "another boot/1"}, {}, [], "nonsense"])
def test_a_pid_that_now_is_another_process_is_neither_reported_nor_killed(
    server: ServerProcess, document: object
) -> None:
    with subprocess.Popen(["sleep", "60"]) as bystander:
        if isinstance(document, dict):
            document = document | {"pid": bystander.pid}
        server.pid_path.write_text(json.dumps(document))

        assert server.pid is None
        server.kill()
        server.stop(timeout_s=1)

        assert bystander.poll() is None
        bystander.kill()


def test_an_unreadable_pid_file_means_that_nothing_runs(server: ServerProcess, tmp_path: Path) -> None:
    server.pid_path.write_text('{"pid": 1')

    assert not server.alive()
    assert server.start(python(tmp_path, SLEEP)) == server.pid


def test_a_zombie_counts_as_gone() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert process_identity(child.pid) is not None

        child.kill()

        wait_until(lambda: process_identity(child.pid) is None)


def test_an_identity_does_not_change_while_a_process_lives_and_differs_between_processes() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        first = process_identity(child.pid)

        assert first == process_identity(child.pid)
        assert first != process_identity(os.getpid())
        child.kill()


def test_a_polite_stop_ends_a_server_and_forgets_it(server: ServerProcess, tmp_path: Path) -> None:
    server.start(python(tmp_path, SLEEP))

    server.stop(timeout_s=WAIT_S)

    assert not server.alive()
    assert not server.pid_path.exists()


def test_a_server_that_ignores_the_request_to_end_is_killed(server: ServerProcess, tmp_path: Path) -> None:
    pid = server.start(python(tmp_path, STUBBORN))
    wait_until(lambda: "up" in server.log_path.read_text())

    server.stop(timeout_s=0.2, polite=signal.SIGTERM)

    assert process_identity(pid) is None


def test_a_server_that_was_killed_can_be_started_again(server: ServerProcess, tmp_path: Path) -> None:
    first = server.start(python(tmp_path, SLEEP))
    server.kill()
    assert server.pid_path.exists()

    second = server.start(python(tmp_path, SLEEP))

    assert second != first
    assert server.alive()


def test_stopping_what_does_not_run_does_nothing(server: ServerProcess) -> None:
    server.stop(timeout_s=1)

    assert not server.alive()


def test_a_program_that_does_not_exist_is_named(server: ServerProcess, tmp_path: Path) -> None:
    command = Command(arguments=("/nonexistent/java",), environment={}, directory=tmp_path)

    with pytest.raises(ServerError, match="/nonexistent/java is not a program"):
        server.start(command)


def test_a_large_log_is_moved_aside_at_the_next_start(server: ServerProcess, tmp_path: Path) -> None:
    server.log_path.write_bytes(b"x" * (LOG_BYTES_MAX + 1))

    server.start(python(tmp_path, SLEEP))

    wait_until(lambda: server.log_path.read_text() == "up\n")
    assert (tmp_path / "server.log.1").stat().st_size == LOG_BYTES_MAX + 1


def test_a_small_log_is_continued(server: ServerProcess, tmp_path: Path) -> None:
    server.log_path.write_text("before\n")

    server.start(python(tmp_path, SLEEP))

    wait_until(lambda: server.log_path.read_text() == "before\nup\n")
    assert tail_of(server.log_path, lines=1) == "up"
