"""One embedded stack for all tests of this folder that need servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.embedded.stack import Ports, Stack

PROJECT_DIRECTORY = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def artifacts_directory() -> Path:
    """The project's own cache, so that tests download only what `cartrita up` would."""
    return PROJECT_DIRECTORY / ".cartrita" / "artifacts"


@pytest.fixture(scope="package")
def private_stack(tmp_path_factory: pytest.TempPathFactory, artifacts_directory: Path) -> Iterator[Stack]:
    """A running stack of this folder's own: its tests kill servers, which no other test should notice."""
    stack = Stack(tmp_path_factory.mktemp("stack"), artifacts=artifacts_directory, ports=Ports.free())
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
