"""Resolves the coordinates that we ask for into the lock file. Run by a maintainer, never at start."""

import dataclasses
import hashlib
import tempfile
from collections.abc import Container
from pathlib import Path

from jgo.maven import Artifact, Dependency, MavenContext
from jgo.parse import Coordinate

from connectors.embedded.lock import Lock, LockedArtifact

KAFKA_ROOT = "org.apache.kafka:kafka_2.13:4.4.0"
# Kafka's own POM leaves the choice of a logging backend to the distribution; without one it logs nothing.
# Taken alone: as a second root its POM would manage, and lower, the versions of Kafka's own libraries.
KAFKA_LOGGING = ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.5", "", "jar")
REGISTRY = ("io.apicurio", "apicurio-registry-app", "2.6.13.Final", "all", "tar.gz")
VOCABULARIES = ("com.knuddels", "jtokkit", "1.1.0", "", "jar")
HTTP_TIMEOUT_S = 120


def relock() -> Lock:
    """Resolve the roots, download every artifact once to hash it, and return the result.

    Only Kafka is resolved with what it depends on: the registry's archive brings its own libraries, and of
    the vocabularies' jar only its data is used.
    """
    with tempfile.TemporaryDirectory(prefix="relock-") as directory:
        context = MavenContext(repo_cache=Path(directory), timeout=HTTP_TIMEOUT_S)
        return Lock(
            kafka=(*class_path(context, KAFKA_ROOT), _pin(_artifact(context, *KAFKA_LOGGING))),
            registry=_pin(_artifact(context, *REGISTRY)),
            vocabularies=_pin(_artifact(context, *VOCABULARIES)),
        )


def class_path(
    context: MavenContext, root: str, excluded: Container[str] = frozenset()
) -> tuple[LockedArtifact, ...]:
    """Resolve what runs `root`, and download it to hash it.

    Args:
        context: where to resolve and to download.
        root: as `group:name:version`.
        excluded: `group:name` of what others give, or nobody needs.
    """
    roots, transitive = context.resolver.resolve([_dependency(context, root)])
    libraries = [dependency for dependency in transitive if dependency.scope in ("compile", "runtime")]
    jars = [dependency.artifact for dependency in [*roots, *libraries]]
    return tuple(_pin(jar) for jar in jars if f"{jar.groupId}:{jar.artifactId}" not in excluded)


def _dependency(context: MavenContext, coordinate: str) -> Dependency:
    parsed = Coordinate.parse(coordinate)
    return context.create_dependency(dataclasses.replace(parsed, scope="compile"))


def _artifact(
    context: MavenContext, group: str, name: str, version: str, classifier: str, packaging: str
) -> Artifact:
    return context.project(group, name).at_version(version).artifact(classifier, packaging)


def _pin(artifact: Artifact) -> LockedArtifact:
    path = artifact.resolve()
    return LockedArtifact(
        group=artifact.groupId,
        name=artifact.artifactId,
        version=artifact.version,
        packaging=artifact.packaging,
        classifier=artifact.classifier or "",
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size_bytes=path.stat().st_size,
    )
