"""A whole deployment among fake servers, for whoever puts it under faults."""

import asyncio
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from connectors.embedded.kafka import Listener
from connectors.embedded.progress import Silent
from connectors.embedded.stack import Ports
from streams.cli.deployment import bring_up
from streams.configuration.agents import SESSION_AGENTS, sources_of
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
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
approval_ms = 3_000
"""
"""Short enough that a fault does not hold a campaign up for minutes; nobody is there to be asked."""
_PROGRAM: Final = (
    f"import sys; sys.path.insert(0, {str(PROJECT_DIRECTORY)!r}); "
    "from tests.chaos.program import main; main()"
)
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "TMPDIR")


@dataclass(slots=True, kw_only=True)
class Arena:
    """Everything that a run needs; made by `arena`."""

    deployment: Deployment
    environment: dict[str, str]
    """Of the deployment; what is changed here holds for parts that start afterwards."""
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
            outsider.post(posted, topic_prefix=settings.topic_prefix)
        finally:
            outsider.close()
        self.sent |= {one["event_id"]: one["session_id"] for one in posted}

    def rest(self, seconds_max: float) -> bool:
        """Wait until every message has its end and nobody has anything left to read; False: in vain."""
        deadline_s = time.monotonic() + seconds_max
        while time.monotonic() < deadline_s:
            if asyncio.run(is_at_rest(self.settings, self.sent)):
                return True
            self._supervise()
            time.sleep(0.5)
        return False

    def evidence(self, *, rebuild: bool = True) -> Evidence:
        """Return what there is to check; without a rebuild, all but I15."""
        return asyncio.run(gather(self.settings, self.servers, self.sent, rebuild=rebuild))

    def worker_dies(self, failpoint: str, seconds_max: float) -> bool:
        """Start the first worker anew, to be killed at a failpoint; tells whether it got that far."""
        self.deployment.stop_part("worker-1", hard=True)
        self.environment["CARTRITA_FAILPOINT"] = failpoint
        try:
            self.deployment.start_part("worker-1", "worker")
        finally:
            del self.environment["CARTRITA_FAILPOINT"]
        deadline_s = time.monotonic() + seconds_max
        while time.monotonic() < deadline_s:
            running = {part.name: part.running for part in self.deployment.status()}
            if not running["worker-1"]:
                return True
            time.sleep(0.05)
        return False

    def _supervise(self) -> None:
        """Start again what has ended by itself: a process that Kafka has fenced, say."""
        running = {part.name: part.running for part in self.deployment.status()}
        for name in [f"worker-{number}" for number in range(1, self.workers + 1)]:
            if not running.get(name, False):
                self.deployment.start_part(name, "worker")
        if not running.get("sink-1", False):
            self.deployment.start_part("sink-1", "sink")

    @contextmanager
    def beside(self, name: str, mutant: str) -> "Iterator[Arena]":
        """Make another deployment on the same services: topics, database and servers of its own.

        Its worker and sink stand where this one's would; one of the two may run at a time.
        """
        settings = self.settings
        with psycopg.connect(settings.postgres_dsn, autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        servers = FakeServers(self.servers.directory.parent / name, self.servers.seed)
        environment = {
            **self.environment,
            "OPENAI_BASE_URL": servers.base_url,
            "CARTRITA_TOPIC_PREFIX": f"{name}.",
            "CARTRITA_POSTGRES_DSN": make_conninfo(settings.postgres_dsn, dbname=name),
        }
        deployment = Deployment(self.deployment.directory, environment, program=program_of(mutant))
        try:
            yield Arena(deployment=deployment, environment=environment, servers=servers, workers=1)
        finally:
            for part in ("worker-1", "sink-1"):
                deployment.stop_part(part, hard=True)
            servers.stop()


@contextmanager
def arena(
    *,
    seed: int,
    mutant: str = "none",
    workers: int = 1,
    limits: str = LIMITS,
    environment: Mapping[str, str] | None = None,
    kafka_link: Listener | None = None,
) -> Iterator[Arena]:
    """Make an arena in a folder of its own; at the end all of it is stopped and removed.

    Args:
        seed: of the fake servers' misbehaviour.
        mutant: `none` or a name of tests.chaos.mutants.
        workers: worker processes.
        limits: TOML, in place of the default limits.
        environment: settings.
        kafka_link: a second listener of Kafka's.
    """
    # Postgres, which root runs as another account, must be able to enter: pytest's own folders are closed.
    directory = Path(tempfile.mkdtemp(prefix="cartrita-chaos-"))
    directory.chmod(0o755)
    artifacts = PROJECT_DIRECTORY / ".cartrita" / "artifacts"
    artifacts.mkdir(parents=True, exist_ok=True)
    (directory / "artifacts").symlink_to(artifacts)
    servers = FakeServers(directory / "servers", seed)
    variables = {
        **{name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        "OPENAI_BASE_URL": servers.base_url,
        "OPENAI_API_KEY": "fake",
        "CARTRITA_CONFIGURATION_DIRECTORY": str(write_configuration(directory / "configuration", limits)),
        "CARTRITA_PARTITIONS": "4",
        **(environment or {}),
    }
    deployment = Deployment(
        directory, variables, program=program_of(mutant), kafka_link=kafka_link, ports=Ports.free()
    )
    try:
        yield Arena(deployment=deployment, environment=variables, servers=servers, workers=workers)
    finally:
        deployment.stop(Silent())
        servers.stop()
        shutil.rmtree(directory)


def program_of(mutant: str) -> tuple[str, ...]:
    """Return what a Python runs as workers and sinks: the command line with a promise taken out, or none."""
    return ("-c", _PROGRAM, mutant)


def write_configuration(directory: Path, limits: str = LIMITS) -> Path:
    """Write a configuration in which every agent may use the fake servers' tools; return the folder."""
    directory.mkdir(parents=True, exist_ok=True)
    folder = directory / "agents"
    folder.mkdir()
    for name, source in sources_of(None).items():
        if name not in SESSION_AGENTS:
            # A list of texts in JSON is one of TOML, too.
            tools = json.dumps([*source.file.tools, *TOOLS])
            (folder / f"{name}.toml").write_text(f'extends = "{name}"\ntools = {tools}\n', encoding="utf-8")
    (directory / "limits.toml").write_text(limits, encoding="utf-8")
    return directory
