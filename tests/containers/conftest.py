"""One embedded stack for all tests of this folder that run what compose.yaml says."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.embedded.stack import Ports, Stack
from tests.containers.composed import Composed
from tests.containers.composition import ROOT


@pytest.fixture(scope="package")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A running stack of this folder's own: Kafka, registry and Postgres in the places of the containers."""
    artifacts = ROOT / ".cartrita" / "artifacts"
    stack = Stack(tmp_path_factory.mktemp("stack"), artifacts=artifacts, ports=Ports.free())
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()


@pytest.fixture
def composed(servers: Stack, tmp_path: Path) -> Iterator[Composed]:
    """What runs our image, ready to be started as processes; none is left behind."""
    composed = Composed(servers.endpoints(), tmp_path)
    try:
        yield composed
    finally:
        composed.end()
