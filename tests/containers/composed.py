"""Runs services of compose.yaml as plain processes, with commands, environments and health checks as written.

Only names that containers alone have are replaced: host:port of others, and ports and folders of their own.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

import pytest

from connectors.embedded.ports import choose_port
from connectors.embedded.stack import Endpoints
from tests.containers.composition import Service, service

COMMAND_S: Final = 120
_POLL_S: Final = 0.1
_MACHINE: Final = ("HOME", "LANG", "TMPDIR")


@dataclass(slots=True, kw_only=True)
class Container:
    """One process in the place of a container."""

    name: str
    service: Service
    names: Mapping[str, str]
    """What to replace in commands and environment, longest first."""
    log_path: Path
    process: subprocess.Popen[bytes] | None = None

    def adapted(self, text: str) -> str:
        """Replace what only containers have."""
        for name, own in self.names.items():
            text = text.replace(name, own)
        return text

    @property
    def metrics_address(self) -> str:
        """Where it serves metrics, host:port."""
        environment = self.service.environment
        return self.adapted(f"{environment['CARTRITA_METRICS_HOST']}:{environment['CARTRITA_METRICS_PORT']}")


class Composed:
    """The services that run our image, beside servers that run already."""

    def __init__(self, endpoints: Endpoints, directory: Path) -> None:
        """Start nothing yet.

        Args:
            endpoints: of the servers in the places of kafka, registry and postgres.
            directory: for logs and the processes' folders.
        """
        self._endpoints = endpoints
        self._directory = directory
        self._model_port = choose_port((None,))
        self._running: list[Container] = []

    def start(self, name: str, replica: int = 1) -> Container:
        """Start a service's command."""
        container = self._container(name, replica)
        with container.log_path.open("wb") as log:
            container.process = subprocess.Popen(
                [container.adapted(part) for part in container.service.command],
                env=self._environment(container),
                cwd=self._home(container.name),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running.append(container)
        return container

    def run_to_its_end(self, name: str) -> str:
        """Run a one-shot service; return what it printed."""
        container = self.start(name)
        assert container.process is not None
        code = container.process.wait(COMMAND_S)
        printed = container.log_path.read_text(encoding="utf-8", errors="replace")
        assert code == 0, f"{name} ended with {code}:\n{printed}"
        return printed

    def wait_until_healthy(self, container: Container) -> None:
        """Ask the service's health check until it is content, for as long as compose would."""
        health = container.service.health
        assert health is not None
        assert container.process is not None
        deadline_s = time.monotonic() + health.deadline_s
        while True:
            asked = self.check(container)
            if asked.returncode == 0:
                return
            if container.process.poll() is not None or time.monotonic() >= deadline_s:
                pytest.fail(f"{container.name} is not healthy: {asked.stderr}\n{self.logs()}")
            time.sleep(_POLL_S)

    def check(self, container: Container) -> subprocess.CompletedProcess[str]:
        """Run the service's health check once, as written."""
        health = container.service.health
        assert health is not None
        return self._run(container, health.command, health.timeout_s)

    def execute(self, container: Container, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the service, as `docker compose exec` does."""
        return self._run(container, command, COMMAND_S)

    def stop(self, container: Container) -> int:
        """Ask a service to end; return its exit code. Fails when compose would have had to kill it."""
        assert container.process is not None
        container.process.terminate()
        try:
            return container.process.wait(container.service.stop_grace_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{container.name} did not end in {container.service.stop_grace_s} s\n{self.logs()}")

    def kill(self, container: Container) -> None:
        """Kill a service and all that it started."""
        assert container.process is not None
        os.killpg(container.process.pid, signal.SIGKILL)
        container.process.wait(COMMAND_S)

    def end(self) -> None:
        """Kill whatever still runs."""
        for container in self._running:
            if container.process is not None and container.process.poll() is None:
                self.kill(container)

    def logs(self) -> str:
        """Return the ends of all logs, for whoever looks into a failure."""
        texts = (
            (container.name, container.log_path.read_text(encoding="utf-8", errors="replace"))
            for container in self._running
        )
        return "\n".join(f"---- {name}\n{text[-4_000:]}" for name, text in texts)

    def _container(self, name: str, replica: int) -> Container:
        own = service(name)
        unique = f"{name}-{replica}"
        metrics_port = choose_port((None,))
        registry = urlsplit(self._endpoints.registry_url)
        postgres = urlsplit(self._endpoints.postgres_dsn)
        names = {
            "kafka:19092": self._endpoints.kafka_bootstrap,
            "registry:8080": registry.netloc,
            "postgres:5432": f"{postgres.hostname}:{postgres.port}",
            "model:8000": f"127.0.0.1:{self._model_port}",
            "127.0.0.1:8000": f"127.0.0.1:{self._model_port}",
            "--port=8000": f"--port={self._model_port}",
            "/opt/vocabularies": str(self._endpoints.tiktoken_cache_directory),
            "/var/lib/cartrita": str(self._home(unique)),
            "0.0.0.0": "127.0.0.1",
            own.environment["CARTRITA_METRICS_PORT"]: str(metrics_port),
        }
        return Container(
            name=unique, service=own, names=names, log_path=self._directory / f"{unique}-{metrics_port}.log"
        )

    def _home(self, unique: str) -> Path:
        home = self._directory / unique
        home.mkdir(exist_ok=True)
        return home

    def _environment(self, container: Container) -> dict[str, str]:
        adapted = {key: container.adapted(text) for key, text in container.service.environment.items()}
        machine = {key: os.environ[key] for key in _MACHINE if key in os.environ}
        scripts = str(Path(sys.executable).parent)
        environment = {**machine, **adapted, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"}
        if "PGPASSWORD" in environment:
            environment["PGPASSWORD"] = unquote(urlsplit(self._endpoints.postgres_dsn).password or "")
        return environment

    def _run(
        self, container: Container, command: Sequence[str], timeout_s: int
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [container.adapted(part) for part in command],
            env=self._environment(container),
            cwd=self._home(container.name),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
