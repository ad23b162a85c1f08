"""The lock file and the names of the vocabularies."""

import hashlib
import inspect
import re
from pathlib import Path

import tiktoken_ext.openai_public as vocabularies_of_tiktoken  # type: ignore[import-untyped]  # ships no types

from connectors.embedded.lock import LOCK_PATH, read_lock, write_lock
from connectors.models.vocabularies import VOCABULARIES


def test_the_lock_file_names_no_host() -> None:
    text = LOCK_PATH.read_text(encoding="utf-8")

    assert "://" not in text
    assert re.search(r"\.(com|org|io|net)/", text) is None


def test_every_artifact_is_pinned_by_hash_and_size() -> None:
    lock = read_lock()

    for artifact in (*lock.kafka, lock.registry, lock.vocabularies):
        assert re.fullmatch(r"[0-9a-f]{64}", artifact.sha256), artifact
        assert artifact.size_bytes > 0
        assert not artifact.version.endswith("SNAPSHOT")


def test_all_of_kafkas_own_jars_have_one_version_and_it_can_log() -> None:
    lock = read_lock()

    versions = {jar.version for jar in lock.kafka if jar.group == "org.apache.kafka"}
    # The client's jars and the broker's must be of one release.
    assert len(versions) == 1
    assert any(jar.name == "log4j-slf4j-impl" for jar in lock.kafka)


def test_a_lock_file_reads_back_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "lock.json"

    write_lock(read_lock(), path)

    assert read_lock(path) == read_lock()
    assert path.read_text(encoding="utf-8") == LOCK_PATH.read_text(encoding="utf-8")


def test_the_vocabularies_are_the_ones_that_the_installed_tiktoken_asks_for() -> None:
    for name, vocabulary in VOCABULARIES.items():
        source = inspect.getsource(getattr(vocabularies_of_tiktoken, name))
        address, sha256 = re.findall(r'"(https://[^"]+|[0-9a-f]{64})"', source)[:2]

        assert vocabulary.cache_name == hashlib.sha1(address.encode()).hexdigest()
        assert vocabulary.sha256 == sha256
