"""Downloads, against a Maven repository of our own that can be told to misbehave."""

import hashlib
import io
import tarfile
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from connectors.embedded.artifacts import ArtifactStore
from connectors.embedded.errors import ArtifactError
from connectors.embedded.lock import Lock, LockedArtifact
from connectors.models.vocabularies import Vocabulary

DRIPS = 500
"""How many parts a download that drips comes in, a fiftieth of a second apart."""
VOCABULARY_DATA = b"aGVsbG8= 0\n"
VOCABULARIES = {
    "tiny": Vocabulary(cache_name="cafe", sha256=hashlib.sha256(VOCABULARY_DATA).hexdigest()),
}


class Repository(ThreadingHTTPServer):
    """A Maven repository in memory."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.requests: Counter[str] = Counter()
        self.faults: dict[str, list[str]] = {}
        """By path: what goes wrong with the next requests, in order: truncate, corrupt, refuse, drip."""
        self.drips = 0

    @property
    def repositories(self) -> dict[str, str]:
        return {"test": f"http://127.0.0.1:{self.server_address[1]}"}

    def add(self, name: str, packaging: str, data: bytes) -> LockedArtifact:
        artifact = LockedArtifact(
            group="org.example",
            name=name,
            version="1.0",
            packaging=packaging,
            classifier="",
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
        )
        self.files[f"/{artifact.relative_path.as_posix()}"] = data
        return artifact

    def fail(self, artifact: LockedArtifact, *faults: str) -> None:
        self.faults[f"/{artifact.relative_path.as_posix()}"] = list(faults)

    def asked_for(self, artifact: LockedArtifact) -> int:
        return self.requests[f"/{artifact.relative_path.as_posix()}"]


class _Handler(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        self.server.requests[self.path] += 1
        data = self.server.files.get(self.path)
        faults = self.server.faults.get(self.path, [])
        fault = faults.pop(0) if faults else ""
        if data is None or fault == "refuse":
            self.send_error(503 if data is not None else 404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if fault == "truncate":
            self.wfile.write(data[: len(data) // 2])
            self.close_connection = True
        elif fault == "corrupt":
            self.wfile.write(bytes([data[0] ^ 1]) + data[1:])
        elif fault == "drip":
            self._drip(data)
        else:
            self.wfile.write(data)

    def _drip(self, data: bytes) -> None:
        size_bytes = len(data) // DRIPS
        for number in range(DRIPS):
            try:
                self.wfile.write(data[number * size_bytes : (number + 1) * size_bytes])
            except OSError:  # the client has gone
                return
            self.server.drips += 1
            time.sleep(0.02)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the name that the base class gives
        """Keep quiet."""


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(5)


@pytest.fixture
def lock(repository: Repository) -> Lock:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        member = tarfile.TarInfo("./lib/one.jar")
        member.size = 3
        tar.addfile(member, io.BytesIO(b"one"))
    jar = io.BytesIO()
    with zipfile.ZipFile(jar, "w") as written:
        written.writestr("org/example/tiny.tiktoken", VOCABULARY_DATA)
    return Lock(
        kafka=(
            repository.add("broker", "jar", b"b" * 3_000_000),
            repository.add("clients", "jar", b"c" * 1_000),
        ),
        registry=repository.add("registry", "tar.gz", archive.getvalue()),
        vocabularies=repository.add("vocabularies", "jar", jar.getvalue()),
    )


class Told:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.downloads: list[tuple[str, int, int]] = []
        self.stages: list[tuple[str, str]] = []

    def downloaded(self, name: str, bytes_done: int, bytes_total: int) -> None:
        self.downloads.append((name, bytes_done, bytes_total))

    def stage(self, name: str, text: str) -> None:
        self.stages.append((name, text))


def store(directory: Path, lock: Lock, repositories: dict[str, str]) -> ArtifactStore:
    return ArtifactStore(
        directory, lock=lock, vocabularies=VOCABULARIES, repositories=repositories, retry_delay_s=0.0
    )


def files_of(directory: Path) -> dict[str, bytes]:
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file() and path.name != ".lock"
    }


def test_an_empty_cache_is_filled_with_exactly_what_the_lock_says(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    artifacts = store(tmp_path / "cache", lock, repository.repositories).ensure()

    assert [path.read_bytes() for path in artifacts.kafka_class_path] == [b"b" * 3_000_000, b"c" * 1_000]
    assert (artifacts.registry_directory / "lib" / "one.jar").read_bytes() == b"one"
    assert (artifacts.tiktoken_cache_directory / "cafe").read_bytes() == VOCABULARY_DATA
    assert len(files_of(tmp_path / "cache")) == 4


def test_a_complete_cache_needs_no_network(tmp_path: Path, repository: Repository, lock: Lock) -> None:
    filled = store(tmp_path, lock, repository.repositories).ensure()

    again = store(tmp_path, lock, {"nowhere": "http://127.0.0.1:9"}).ensure()

    assert again == filled


def test_only_what_is_missing_is_downloaded(tmp_path: Path, repository: Repository, lock: Lock) -> None:
    artifacts = store(tmp_path, lock, repository.repositories).ensure()
    artifacts.kafka_class_path[1].unlink()

    store(tmp_path, lock, repository.repositories).ensure()

    assert artifacts.kafka_class_path[1].read_bytes() == b"c" * 1_000
    assert repository.asked_for(lock.kafka[0]) == 1
    assert repository.asked_for(lock.kafka[1]) == 2


@pytest.mark.parametrize("fault", ["truncate", "corrupt", "refuse"])
def test_a_download_that_fails_twice_is_made_good_by_the_third_try(
    tmp_path: Path, repository: Repository, lock: Lock, fault: str
) -> None:
    repository.fail(lock.kafka[0], fault, fault)

    artifacts = store(tmp_path, lock, repository.repositories).ensure()

    assert artifacts.kafka_class_path[0].read_bytes() == b"b" * 3_000_000
    assert repository.asked_for(lock.kafka[0]) == 3


@pytest.mark.parametrize("fault", ["truncate", "corrupt", "refuse"])
def test_a_download_that_keeps_failing_is_an_error_and_leaves_no_such_file(
    tmp_path: Path, repository: Repository, lock: Lock, fault: str
) -> None:
    repository.fail(lock.kafka[0], *[fault] * 9)
    broken = store(tmp_path, lock, repository.repositories)

    with pytest.raises(ArtifactError, match=r"org\.example:broker:1\.0:jar"):
        broken.ensure()

    assert not broken.artifacts.kafka_class_path[0].exists()
    assert not broken.complete()


def test_a_wrong_hash_is_told_with_both_hashes(tmp_path: Path, repository: Repository, lock: Lock) -> None:
    repository.fail(lock.kafka[1], *["corrupt"] * 9)

    with pytest.raises(ArtifactError) as raised:
        store(tmp_path, lock, repository.repositories).ensure()

    assert lock.kafka[1].sha256 in str(raised.value)
    assert hashlib.sha256(b"b" + b"c" * 999).hexdigest() in str(raised.value)


def test_a_file_of_the_wrong_size_is_replaced(tmp_path: Path, repository: Repository, lock: Lock) -> None:
    artifacts = store(tmp_path, lock, repository.repositories).ensure()
    artifacts.kafka_class_path[0].write_bytes(b"b" * 10)

    store(tmp_path, lock, repository.repositories).ensure()

    assert artifacts.kafka_class_path[0].read_bytes() == b"b" * 3_000_000


def test_what_an_interrupted_download_left_is_removed(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    leftover = tmp_path / ".partial" / "x" / "broker-1.0.jar"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"b" * 1_000_000)

    store(tmp_path, lock, repository.repositories).ensure()

    assert not (tmp_path / ".partial").exists()


def test_progress_is_told_from_the_first_to_the_last_byte(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    told = Told()

    store(tmp_path, lock, repository.repositories).ensure(told)

    broker = [(done, total) for name, done, total in told.downloads if name == "broker-1.0.jar"]
    assert broker[0] == (0, 3_000_000)
    assert broker[-1] == (3_000_000, 3_000_000)
    assert len(broker) == 4
    assert told.stages[-1] == ("artifacts", "complete")


def test_an_interrupt_stops_the_downloads_that_run(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    class Interrupting(Told):
        def downloaded(self, name: str, bytes_done: int, bytes_total: int) -> None:
            super().downloaded(name, bytes_done, bytes_total)
            if name == "clients-1.0.jar":
                raise KeyboardInterrupt

    repository.fail(lock.kafka[0], "drip")
    interrupting = Interrupting()
    interrupted = store(tmp_path, lock, repository.repositories)

    with pytest.raises(KeyboardInterrupt):
        interrupted.ensure(interrupting)

    assert repository.drips < DRIPS / 2
    assert not interrupted.complete()
    assert store(tmp_path, lock, repository.repositories).ensure() == interrupted.artifacts


def test_two_stores_fill_one_cache_with_one_download_of_each(
    tmp_path: Path, repository: Repository, lock: Lock
) -> None:
    failures: list[Exception] = []

    def fill() -> None:
        try:
            store(tmp_path, lock, repository.repositories).ensure()
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=fill) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert failures == []
    assert [repository.asked_for(jar) for jar in lock.kafka] == [1, 1]
