"""A whole deployment among fake servers, for whoever puts it under faults."""

import asyncio
import os
import shutil
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Final

from connectors.embedded.progress import Silent
from streams.cli.running import bring_up
from streams.deployment import Deployment
from streams.settings import Settings
from tests.chaos.evidence import Evidence
from tests.chaos.fake_servers import PROJECT_DIRECTORY, TOOLS, FakeServers
from tests.chaos.gathering import gather, is_at_rest
from tests.pipeline.outsider import Outsider, Record

LIMITS: Final = """
model_timeout_ms = 6_000
model_attempts_max = 4
retry_delay_ms = 200
retry_delay_ms_max = 2_000
turn_deadline_ms = 120_000
stall_ms = 30_000
"""
"""Short enough that a fault does not hold a campaign up for minutes."""
_PROGRAM: Final = (
    f"import sys; sys.path.insert(0, {str(PROJECT_DIRECTORY)!r}); "
    "from tests.chaos.program import main; main()"
)
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(slots=True, kw_only=True)
class Arena:
    """Everything that a run needs; made by `arena`."""

    deployment: Deployment
    servers: FakeServers
    workers: int
    sent: dict[str, str] = field(default_factory=dict)
    """Session by event id, of each input that Kafka acknowledged."""

    @property
    def settings(self) -> Settings:
        """How to reach the deployment."""
        return Settings.from_environment(self.deployment.settings())

    def up(self) -> None:
        """Start whatever does not run."""
        self.deployment.start_services(Silent())
        self.servers.start()
        asyncio.run(bring_up(self.deployment, self.workers, Silent()))

    def post(self, messages: Iterable[Record]) -> None:
        """Post messages, and return when Kafka has acknowledged them."""
        posted = list(messages)
        settings = self.settings
        outsider = Outsider(settings.kafka_bootstrap, settings.registry_url)
        try:
            outsider.post(posted)
        finally:
            outsider.close()
        self.sent |= {one["event_id"]: one["session_id"] for one in posted}

    def rest(self, seconds_max: float) -> bool:
        """Wait until every message has its end and nobody has anything left to read; False: in vain."""
        deadline_s = time.monotonic() + seconds_max
        while time.monotonic() < deadline_s:
            if asyncio.run(is_at_rest(self.settings, self.sent)):
                return True
            time.sleep(0.5)
        return False

    def evidence(self) -> Evidence:
        """Return what there is to check."""
        return asyncio.run(gather(self.settings, self.servers, self.sent))


@contextmanager
def arena(
    *,
    seed: int,
    mutant: str = "none",
    workers: int = 1,
    limits: str = LIMITS,
    environment: Mapping[str, str] | None = None,
) -> Iterator[Arena]:
    """Make an arena in a folder of its own; at the end all of it is stopped and removed.

    Args:
        seed: of the fake servers' misbehaviour.
        mutant: `none` or a name of tests.chaos.mutants.
        workers: worker processes.
        limits: TOML, in place of the default limits.
        environment: settings.
    """
    # Postgres, which root runs as another account, must be able to enter: pytest's own folders are closed.
    directory = Path(tempfile.mkdtemp(prefix="cartrita-chaos-"))
    directory.chmod(0o755)
    artifacts = PROJECT_DIRECTORY / ".cartrita" / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    (directory / "artifacts").symlink_to(artifacts)
    servers = FakeServers(directory / "servers", seed)
    deployment = Deployment(
        directory,
        {
            **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            "OPENAI_BASE_URL": servers.base_url,
            "OPENAI_API_KEY": "fake",
            "CARTRITA_CONFIGURATION_DIRECTORY": str(write_configuration(directory / "configuration", limits)),
            "CARTRITA_PARTITIONS": "4",
            **(environment or {}),
        },
        program=("-c", _PROGRAM, mutant),
    )
    try:
        yield Arena(deployment=deployment, servers=servers, workers=workers)
    finally:
        deployment.stop(Silent())
        servers.stop()
        shutil.rmtree(directory)


def write_configuration(directory: Path, limits: str = LIMITS) -> Path:
    """Write a configuration in which every agent may use the fake servers' tools; return the folder."""
    directory.mkdir(parents=True, exist_ok=True)
    text = resources.files("streams.defaults").joinpath("agents.toml").read_text(encoding="utf-8")
    for agent in tomllib.loads(text).values():
        listed = ", ".join(f'"{tool}"' for tool in agent["tools"])
        more = ", ".join(f'"{tool}"' for tool in (*agent["tools"], *TOOLS))
        text = text.replace(f"tools = [{listed}]", f"tools = [{more}]")
    (directory / "agents.toml").write_text(text, encoding="utf-8")
    (directory / "limits.toml").write_text(limits, encoding="utf-8")
    return directory
