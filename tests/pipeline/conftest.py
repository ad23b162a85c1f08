"""One deployment for all tests of this folder: stack, model, worker and sink in processes of their own."""

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.embedded.progress import Silent
from connectors.embedded.stack import Ports
from streams.cli.deployment import bring_up
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.pipeline.outsider import Outsider

PROJECT_DIRECTORY = Path(__file__).parents[2]
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A folder for the deployment, below which the project's downloads are found."""
    # Postgres, which root runs as another account, must be able to enter: pytest's own folders are closed.
    directory = Path(tempfile.mkdtemp(prefix="cartrita-pipeline-"))
    directory.chmod(0o755)
    artifacts = PROJECT_DIRECTORY / ".cartrita" / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    (directory / "artifacts").symlink_to(artifacts)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture(scope="session")
def deployed(home: Path, request: pytest.FixtureRequest) -> Iterator[Deployment]:
    """The running deployment."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    deployment = Deployment(home, environment, ports=Ports.free())
    try:
        asyncio.run(bring_up(deployment, 1, Silent()))
        yield deployment
    finally:
        deployment.stop(Silent())
        if request.session.testsfailed:
            _show_logs(home)


def _show_logs(home: Path) -> None:
    """Print the ends of the parts' logs, for whoever looks into a failure."""
    for path in sorted((home / "parts").glob("*.log")):
        text = path.read_text(encoding="utf-8", errors="replace")
        print(f"---- {path.name}\n{text[-6_000:]}")  # noqa: T201  # pytest shows it with the failure


@pytest.fixture
def deployment(deployed: Deployment) -> Deployment:
    """The deployment, after making sure that all of it runs."""
    asyncio.run(bring_up(deployed, 1, Silent()))
    return deployed


@pytest.fixture
def settings(deployment: Deployment) -> Settings:
    """How to reach it."""
    return Settings.from_environment(deployment.settings())


@pytest.fixture
def command_environment(home: Path) -> dict[str, str]:
    """The environment in which the command line finds the deployment."""
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    return {**environment, "CARTRITA_HOME": str(home)}


@pytest.fixture
def outsider(settings: Settings) -> Iterator[Outsider]:
    """Somebody who knows only Kafka, the registry and the documentation."""
    outsider = Outsider(settings.kafka_bootstrap, settings.registry_url)
    yield outsider
    outsider.close()
