"""What Kafka Connect runs on: pinned like the stack's own jars, but only who measures it downloads it.

`python -m tests.benchmarks.connect_jars` resolves the versions below anew and writes the lock file.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Final

from connectors.embedded.artifacts import ArtifactStore
from connectors.embedded.lock import LockedArtifact, read_lock
from connectors.embedded.progress import SILENT, Progress

LOCK_PATH: Final = Path(__file__).with_name("connect.lock.json")
ROOTS: Final = {
    "worker": "org.apache.kafka:connect-runtime:4.3.1",
    "sink": "io.debezium:debezium-connector-jdbc:3.5.0.Final",
    "converter": "io.apicurio:apicurio-registry-utils-converter:2.6.13.Final",
}
"""The converter has the registry's version; the others are the newest that could be had in full."""
EXCLUDED: Final = frozenset(
    {
        # The worker gives these to its plugins. A Jackson of their own would meet modules of the worker's.
        "com.fasterxml.jackson.core:jackson-annotations",
        "com.fasterxml.jackson.core:jackson-core",
        "com.fasterxml.jackson.core:jackson-databind",
        "org.apache.kafka:connect-api",
        "org.apache.kafka:connect-json",
        "org.apache.kafka:kafka-clients",
        "org.slf4j:slf4j-api",
        # Compression, which is its clients' business.
        "at.yawk.lz4:lz4-java",
        "com.github.luben:zstd-jni",
        "org.lz4:lz4-java",
        "org.xerial.snappy:snappy-java",
        # Of other databases.
        "com.microsoft.sqlserver:mssql-jdbc",
        "com.mysql:mysql-connector-j",
        "com.oracle.database.jdbc:ojdbc11",
        "org.mariadb.jdbc:mariadb-java-client",
    }
)
"""What the plugins depend on and do not need."""
HTTP_TIMEOUT_S: Final = 120

Jars = Mapping[str, tuple[LockedArtifact, ...]]
"""By the names of ROOTS."""


def ensure(directory: Path, progress: Progress = SILENT) -> dict[str, tuple[Path, ...]]:
    """Download what is missing, and return the class path of each of ROOTS.

    The worker's has the broker's behind it: for one's own logging, and since half of it is the same.

    Args:
        directory: the cache of the stack's artifacts.
        progress: told of downloads.

    Raises:
        ArtifactError: an artifact could not be downloaded, or is not what the lock file says.
    """
    jars, stack = read(), read_lock()
    paths = {}
    for name, own in jars.items():
        wanted = (*own, *(stack.kafka if name == "worker" else ()))
        # Given as Kafka's class path, they are verified and kept as that is.
        store = ArtifactStore(directory, lock=replace(stack, kafka=tuple(dict.fromkeys(wanted))))
        paths[name] = store.ensure(progress).kafka_class_path
    return paths


def read(path: Path = LOCK_PATH) -> dict[str, tuple[LockedArtifact, ...]]:
    """Return the lock file's content."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return {name: tuple(LockedArtifact(**entry) for entry in jars) for name, jars in document.items()}


def write(jars: Jars, path: Path = LOCK_PATH) -> None:
    """Write the lock file, one artifact a line."""
    parts = (
        f'  "{name}": [\n' + ",\n".join(f"    {json.dumps(asdict(jar))}" for jar in own) + "\n  ]"
        for name, own in jars.items()
    )
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def relock() -> Jars:
    """Resolve ROOTS, and download every artifact once to hash it."""
    # Imported here: only a maintainer resolves.
    from jgo.maven import MavenContext

    from connectors.embedded.relock import class_path

    with tempfile.TemporaryDirectory(prefix="relock-") as directory:
        context = MavenContext(repo_cache=Path(directory), timeout=HTTP_TIMEOUT_S)
        return {
            name: class_path(context, root, frozenset() if name == "worker" else EXCLUDED)
            for name, root in ROOTS.items()
        }


if __name__ == "__main__":
    write(relock())
