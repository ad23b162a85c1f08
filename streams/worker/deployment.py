"""One machine's deployment: the embedded stack, the local model, workers and sinks as processes of their own.

Everything lives in one directory, and everything is found again through it: by the next `up`, by the other
commands, and after any of it was killed.
"""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from connectors.embedded.files import write_atomically
from connectors.embedded.kafka import Listener
from connectors.embedded.ports import choose_port
from connectors.embedded.process import Command, ServerProcess
from connectors.embedded.progress import Progress
from connectors.embedded.stack import Ports, Stack
from processors.objections import EVERY_TENANT
from schemas.events.access import TOKEN_PREFIX
from streams.configuration.approvers import approver_table, load_key, make_key
from streams.process.settings import LOCAL_MODEL_KEY

READY_S: Final = 90.0
STOP_S: Final = 20.0
DOOR_PORT: Final = 3_000
"""Where the gateway listens, if nothing else does."""
OPERATOR: Final = "operator"
"""Name of this machine's user as an approver."""
DOOR: Final = "gateway"
"""Name of its gateway as one, which says whose token decided."""
OWN_KEY: Final = "approver.key"
DOOR_KEY: Final = "gateway-approver.key"
PROGRAM: Final = ("-m", "streams.main")
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


class DeploymentError(Exception):
    """A part of the deployment did not come up; the message names it and its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartStatus:
    """One part of the deployment, as `status` shows it."""

    name: str
    running: bool
    pid: int | None
    address: str
    log_path: Path


class Deployment:
    """What runs below one directory."""

    def __init__(
        self,
        directory: Path,
        environment: Mapping[str, str],
        program: tuple[str, ...] = PROGRAM,
        kafka_link: Listener | None = None,
        ports: Ports | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            directory: holds data, logs and pid files.
            environment: of the caller; settings named in it go before the deployment's own.
            program: what this Python runs as workers and sinks, as `cartrita …` or in its place.
            kafka_link: a second listener of the embedded Kafka.
            ports: of the embedded servers at their first start, if these are free; else the usual ones.
        """
        self.directory = directory
        self._program = program
        self._environment = environment
        self._usual_ports = ports is None
        self._stack = Stack(
            directory / "stack", artifacts=directory / "artifacts", kafka_link=kafka_link, ports=ports
        )

    @property
    def settings_path(self) -> Path:
        """Where the settings of the running deployment stand, for the other commands."""
        return self.directory / "deployment.json"

    def recorded(self) -> dict[str, str]:
        """Return the settings that the last `up` wrote, or none."""
        try:
            recorded = json.loads(self.settings_path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return {str(key): str(value) for key, value in recorded.items()}

    def settings(self) -> dict[str, str]:
        """Return the environment of all parts: the caller's variables before the recorded ones."""
        own = {key: value for key, value in self._environment.items() if _is_setting(key)}
        if _names_own_door(own):
            own = {key: value for key, value in own.items() if not key.startswith("OPENAI_")}
        recorded = self.recorded()
        if own.get("CARTRITA_POSTGRES_DSN"):
            # The recorded login is one of the embedded Postgres.
            recorded.pop("CARTRITA_GATEWAY_POSTGRES_DSN", None)
        return {**self._approver_settings(), **recorded, **own}

    def start_services(self, progress: Progress) -> None:
        """Start Kafka, registry, Postgres and, unless another is named, the local model; keep what runs."""
        endpoints = self._stack.start(progress)
        home = self.directory.absolute()
        settings = {
            "CARTRITA_KAFKA_BOOTSTRAP": endpoints.kafka_bootstrap,
            "CARTRITA_REGISTRY_URL": endpoints.registry_url,
            "CARTRITA_POSTGRES_DSN": endpoints.postgres_dsn,
            "CARTRITA_GATEWAY_POSTGRES_DSN": endpoints.gateway_postgres_dsn,
            "CARTRITA_TIKTOKEN_CACHE_DIRECTORY": str(endpoints.tiktoken_cache_directory),
            "CARTRITA_DATA_DIRECTORY": str(home / "worker"),
            "PORT": str(self._door_port()),
        }
        if not self.uses_own_model():
            progress.stage("model", "starting")
            settings["OPENAI_BASE_URL"] = self._start_model(endpoints.tiktoken_cache_directory)
            settings["OPENAI_API_KEY"] = LOCAL_MODEL_KEY
            progress.stage("model", "ready")
        self.directory.mkdir(parents=True, exist_ok=True)
        self._make_approvers()
        text = json.dumps(settings, indent=1) + "\n"
        # Only its owner may read it: it holds the password of the embedded Postgres.
        write_atomically(self.settings_path, text)

    def uses_own_model(self) -> bool:
        """Tell whether the environment names a model provider of the user's own."""
        if _names_own_door(self._environment):
            return False
        return any(self._environment.get(name) for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"))

    def start_part(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a worker or a sink as `cartrita …` in a process of its own, and keep it if it runs.

        Args:
            name: of the part, and its static identity.
            arguments: of the command.
            environment: settings for this start alone, before all others.
        """
        port = self._port_of(name)
        settings = {
            **{key: value for key, value in self._environment.items() if key in _PASSED_ON},
            **self.settings(),
            "CARTRITA_METRICS_PORT": str(port),
            "CARTRITA_IDENTITY": name,
            **(environment or {}),
        }
        command = Command(
            arguments=(sys.executable, *self._program, *arguments),
            environment=settings,
            directory=self.directory.absolute(),
        )
        self._process(name).start(command)

    def wait_until_ready(self, name: str) -> None:
        """Wait until a part answers on its health page.

        Raises:
            DeploymentError: it ended, or is not ready in time.
        """
        process = self._process(name)
        deadline_s = time.monotonic() + READY_S
        while time.monotonic() < deadline_s:
            if not process.alive():
                raise DeploymentError(f"{name} has ended:\n{process.log_tail()}")
            if self.is_ready(name):
                return
            time.sleep(0.1)
        raise DeploymentError(f"{name} is not ready after {READY_S:.0f} s; its log is {process.log_path}")

    def is_ready(self, name: str) -> bool:
        """Tell whether a part's health page says that it is ready."""
        return is_ready(f"http://127.0.0.1:{self._port_of(name)}/healthz")

    def stop_part(self, name: str, *, hard: bool = False) -> None:
        """Stop a part; `hard` kills it as a power cut would."""
        process = self._process(name)
        if hard:
            process.kill()
        else:
            process.stop(timeout_s=STOP_S)

    def stop(self, progress: Progress) -> None:
        """Stop everything; all data stays."""
        names = list(self._part_names())
        for name in names:
            progress.stage(name, "stopping")
        for name in names:
            self.stop_part(name)
            progress.stage(name, "stopped")
        self._stack.stop(progress)

    def status(self) -> tuple[PartStatus, ...]:
        """Tell of each part whether it runs."""
        services = tuple(
            PartStatus(
                name=service.name,
                running=service.running,
                pid=service.pid,
                address=service.address,
                log_path=service.log_path,
            )
            for service in self._stack.status()
        )
        parts = tuple(
            PartStatus(
                name=name,
                running=self._process(name).alive(),
                pid=self._process(name).pid,
                address=f"127.0.0.1:{self._port_of(name)}",
                log_path=self._process(name).log_path,
            )
            for name in self._part_names()
        )
        return services + parts

    def stack(self) -> Stack:
        """The embedded stack, for whoever wants to stop and start its servers one by one."""
        return self._stack

    def _make_approvers(self) -> None:
        """Make keys for this machine's approvers, its user and its gateway, if there are none."""
        known = self.directory / "approvers.toml"
        if known.exists():
            return
        tables = []
        for path, name in ((self.directory / OWN_KEY, OPERATOR), (self.directory / DOOR_KEY, DOOR)):
            key = load_key(path) if path.exists() else make_key(path, name)
            tables.append(approver_table(key, (EVERY_TENANT,), speaks_for_tokens=name == DOOR))
        write_atomically(known, "\n".join(tables))

    def _approver_settings(self) -> dict[str, str]:
        """Return where this machine's approvers and their keys are, as far as they are there."""
        places = {
            "CARTRITA_APPROVERS": self.directory / "approvers.toml",
            "CARTRITA_APPROVER_KEY": self.directory / OWN_KEY,
            "CARTRITA_GATEWAY_APPROVER_KEY": self.directory / DOOR_KEY,
        }
        return {name: str(path.absolute()) for name, path in places.items() if path.exists()}

    def _door_port(self) -> int:
        """Return the port of the gateway: the one that it has, or the first that is free."""
        recorded = self.recorded().get("PORT", "")
        port = int(recorded) if recorded.isdecimal() else None
        if port is not None and self._process("gateway-1").alive():
            return port
        return choose_port((port or (DOOR_PORT if self._usual_ports else None),))

    def _start_model(self, vocabularies: Path) -> str:
        port = self._port_of("model")
        arguments = (
            "-m",
            "connectors.local_model",
            "--port",
            str(port),
            "--tiktoken-cache",
            str(vocabularies),
        )
        environment = {key: value for key, value in self._environment.items() if key in _PASSED_ON}
        command = Command(
            arguments=(sys.executable, *arguments),
            environment=environment,
            directory=self.directory.absolute(),
        )
        self._process("model").start(command)
        self.wait_until_ready("model")
        return f"http://127.0.0.1:{port}/v1"

    def _process(self, name: str) -> ServerProcess:
        return ServerProcess(
            name,
            pid_path=self.directory.absolute() / "parts" / f"{name}.pid",
            log_path=self.directory.absolute() / "parts" / f"{name}.log",
        )

    def _part_names(self) -> Iterator[str]:
        """Workers first: they stop before what they need."""
        found = {path.stem for path in (self.directory / "parts").glob("*.port")}
        yield from sorted(found - {"model"})
        if "model" in found:
            yield "model"

    def _port_of(self, name: str) -> int:
        """Return the part's port: the one that it had, as long as it is free or its own."""
        path = self.directory / "parts" / f"{name}.port"
        try:
            port = int(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            port = 0
        if port and self._process(name).alive():
            return port
        port = choose_port((port or None,))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, f"{port}\n")
        return port


def environment_of(directory: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the settings for a command: the environment's before those of the deployment in `directory`."""
    return {**environment, **Deployment(directory, environment).settings()}


def is_ready(url: str) -> bool:
    """Tell whether a part's health page says that it is ready."""
    try:
        with urlopen(url, timeout=2) as response:  # noqa: S310  # our own loopback address
            return bool(response.status == 200)
    except HTTPError as error:
        error.close()
        return False
    except (URLError, OSError):
        return False


def _names_own_door(environment: Mapping[str, str]) -> bool:
    """Tell whether OpenAI's variables are those of `cartrita env`: the front door is no model of its own."""
    return environment.get("OPENAI_API_KEY", "").startswith(TOKEN_PREFIX)


def _is_setting(name: str) -> bool:
    if name in ("PORT", "WS_PORT"):
        return True
    return name.startswith(("CARTRITA_", "OPENAI_")) and name != "CARTRITA_HOME"
