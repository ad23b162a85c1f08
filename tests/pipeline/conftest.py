"""One deployment for all tests of this folder: stack, model, worker and sink in processes of their own."""

import asyncio
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from connectors.embedded.progress import Silent
from connectors.embedded.stack import Ports
from streams.cli.deployment import bring_up
from streams.cli.door import address_of, local_token
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.pipeline.console import browser, context, page, state, states, watched  # noqa: F401  # fixtures
from tests.pipeline.outsider import Outsider
from tests.pipeline.waiting import tries

PROJECT_DIRECTORY = Path(__file__).parents[2]
Make = Callable[..., str]
"""Makes a token by the options of `cartrita tokens create`."""
Bearing = Callable[[str, str], httpx.Client]
"""Makes a client of an address that bears a token."""
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option; it is known when this folder is named on the command line."""
    parser.addoption(
        "--open-responses", type=Path, default=None, help="a copy of Open Responses' public repository"
    )


@pytest.fixture(scope="package")
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


@pytest.fixture(scope="package")
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


@pytest.fixture
def address(deployment: Deployment) -> str:
    """Where the gateway is."""
    return address_of(deployment.settings())


@pytest.fixture
def token(settings: Settings, home: Path, address: str) -> str:
    """The token of this machine, good for all that the default tenant may do; the gateway knows it."""
    made = asyncio.run(local_token(settings, home / "token"))
    for _ in tries():
        with contextlib.suppress(httpx.TransportError):
            asked = httpx.get(f"{address}/v1/models", headers={"Authorization": f"Bearer {made}"}, timeout=60)
            if asked.status_code != 401:
                return made
    raise AssertionError("the gateway does not learn of the token")


@pytest.fixture
def http(address: str, token: str) -> Iterator[httpx.Client]:
    """A client that bears it."""
    headers = {"Authorization": f"Bearer {token}"}
    with httpx.Client(base_url=address, headers=headers, timeout=60) as client:
        yield client


@pytest.fixture
def bearing() -> Iterator[Bearing]:
    """Make clients that bear a token; all are closed at the end."""
    with contextlib.ExitStack() as held:

        def bear(address: str, token: str) -> httpx.Client:
            headers = {"Authorization": f"Bearer {token}"}
            return held.enter_context(httpx.Client(base_url=address, headers=headers, timeout=60))

        yield bear


@pytest.fixture
def make_token(
    deployment: Deployment, command_environment: dict[str, str], address: str, bearing: Bearing
) -> Make:
    """Make a token by the command line, and wait until the gateway knows it."""

    def make(*arguments: str) -> str:
        command = [sys.executable, "-m", "streams.main", "tokens", "create", "test", "--json", *arguments]
        ended = subprocess.run(command, capture_output=True, text=True, env=command_environment, check=True)
        made = json.loads(ended.stdout)
        client = bearing(address, made["token"])
        for _ in tries():
            if client.get("/v1/models").status_code == 200:
                return str(made["token"])
        raise AssertionError("the gateway does not learn of the token")

    return make
