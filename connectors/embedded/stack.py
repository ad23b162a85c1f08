"""The embedded stack: three servers in one directory, started together and found again by anybody."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from connectors.embedded.artifacts import ArtifactStore
from connectors.embedded.errors import EmbeddedError
from connectors.embedded.filelock import file_lock
from connectors.embedded.files import write_atomically
from connectors.embedded.kafka import Kafka, Listener
from connectors.embedded.ports import choose_port
from connectors.embedded.postgres import Postgres
from connectors.embedded.progress import SILENT, Progress
from connectors.embedded.registry import Registry

Service = Kafka | Registry | Postgres

READY_TIMEOUT_S = 180.0
LOCK_TIMEOUT_S = 270.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """A TCP port of the loopback interface for each listener."""

    kafka: int = 9092
    kafka_controller: int = 9093
    registry: int = 8081
    postgres: int = 5432

    @classmethod
    def free(cls) -> "Ports":
        """Choose ports at random: of stacks that start at once, all would want the usual ones."""
        chosen: dict[str, int] = {}
        for listener in fields(cls):
            chosen[listener.name] = choose_port((), taken=frozenset(chosen.values()))
        return cls(**chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """What clients need."""

    kafka_bootstrap: str
    registry_url: str
    """With the path of the Confluent-compatible interface, as clients want it."""
    postgres_dsn: str = field(repr=False)
    """With the password."""
    gateway_postgres_dsn: str = field(repr=False)
    """Of the gateway's login, with its password."""
    tiktoken_cache_directory: Path
    """For `TIKTOKEN_CACHE_DIR`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """What is known about one server without asking it."""

    name: str
    pid: int | None
    running: bool
    address: str
    """Where it listens, or would."""
    data_directory: Path
    log_path: Path


class Stack:
    """One embedded stack. Objects of any process on the same directory mean the same stack."""

    def __init__(
        self,
        directory: Path,
        *,
        artifacts: Path | None = None,
        ports: Ports | None = None,
        kafka_link: Listener | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            directory: of all data, logs and state; made at the first start.
            artifacts: the cache of what is downloaded, which stacks may share; `directory/artifacts` unless
                given.
            ports: preferred at the first start; from then on the ports of the last start are.
            kafka_link: a second listener of Kafka's.
        """
        self._directory = directory.absolute()
        self._store = ArtifactStore(artifacts if artifacts is not None else self._directory / "artifacts")
        self._preferred = ports if ports is not None else Ports()
        self._kafka_link = kafka_link

    def start(self, progress: Progress = SILENT) -> Endpoints:
        """Start what does not run, all at once, and return when all of it answers. Idempotent.

        Raises:
            EmbeddedError: an artifact could not be had, a server did not come up, or another process is
                starting this stack for too long. What did start is left running.
        """
        self._store.ensure(progress)
        with self._locked("start"):
            services = self._services(self._settle_ports())
            with ThreadPoolExecutor(len(services), thread_name_prefix="embedded") as pool:
                futures = [pool.submit(_bring_up, service, progress) for service in services]
            failures = [error for future in futures if (error := future.exception()) is not None]
        if failures:
            raise EmbeddedError("\n".join(str(failure) for failure in failures)) from failures[0]
        return self.endpoints()

    def start_service(self, name: str, progress: Progress = SILENT) -> None:
        """Start one server, on its port of before if that is free, and return when it answers."""
        self._store.ensure(progress)
        with self._locked(f"start {name}"):
            _bring_up(_named(self._services(self._settle_ports()), name), progress)

    def stop(self, progress: Progress = SILENT) -> None:
        """Stop all servers cleanly; data stays. Idempotent."""
        with self._locked("stop"):
            services = self._services(self._last_ports())
            with ThreadPoolExecutor(len(services), thread_name_prefix="embedded") as pool:
                for future in [pool.submit(_take_down, service, progress) for service in services]:
                    future.result()

    def stop_service(self, name: str, *, hard: bool = False) -> None:
        """Stop one server: cleanly, or with `hard` by SIGKILL, as a crash would."""
        with self._locked(f"stop {name}"):
            service = _named(self._services(self._last_ports()), name)
            if hard:
                service.process.kill()
            else:
                service.stop()

    def status(self) -> tuple[ServiceStatus, ...]:
        """Return what is known about each server; takes no lock and asks no server."""
        return tuple(_status(service) for service in self._services(self._last_ports()))

    def endpoints(self) -> Endpoints:
        """Return where the servers of the last start listen.

        Raises:
            EmbeddedError: this stack was never started.
        """
        if not self._state_path.exists():
            raise EmbeddedError(f"no stack was ever started in {self._directory}")
        kafka, registry, postgres = self._services(self._last_ports())
        return Endpoints(
            kafka_bootstrap=kafka.address,
            registry_url=registry.address,
            postgres_dsn=postgres.dsn,
            gateway_postgres_dsn=postgres.gateway_dsn,
            tiktoken_cache_directory=self._store.artifacts.tiktoken_cache_directory,
        )

    @property
    def _state_path(self) -> Path:
        return self._directory / "stack.json"

    def _locked(self, what: str) -> AbstractContextManager[None]:
        return file_lock(
            self._directory / ".lock", timeout_s=LOCK_TIMEOUT_S, what=f"{what} in {self._directory}"
        )

    def _services(self, ports: Ports) -> tuple[Kafka, Registry, Postgres]:
        artifacts = self._store.artifacts
        logs = self._directory / "logs"
        return (
            Kafka(
                class_path=artifacts.kafka_class_path,
                directory=self._directory / "kafka",
                log_directory=logs,
                port=ports.kafka,
                controller_port=ports.kafka_controller,
                link=self._kafka_link,
            ),
            Registry(
                program_directory=artifacts.registry_directory,
                directory=self._directory / "registry",
                log_directory=logs,
                port=ports.registry,
            ),
            Postgres(directory=self._directory / "postgres", log_directory=logs, port=ports.postgres),
        )

    def _recorded_ports(self) -> Ports | None:
        """The ports of the last start; None if there was none, or its record cannot be read."""
        try:
            ports = json.loads(self._state_path.read_text(encoding="utf-8"))["ports"]
            return Ports(**{name: int(port) for name, port in ports.items()})
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return None

    def _last_ports(self) -> Ports:
        return self._recorded_ports() or self._preferred

    def _settle_ports(self) -> Ports:
        """Choose and record the ports of this start. What runs keeps its own."""
        recorded = self._recorded_ports()
        kafka, registry, postgres = self._services(recorded or self._preferred)
        if recorded is None:
            # Whatever runs, runs where nobody knows.
            for service in (kafka, registry, postgres):
                service.stop()
        chosen: dict[str, int] = {}
        owners: dict[str, Service] = {
            "kafka": kafka,
            "kafka_controller": kafka,
            "registry": registry,
            "postgres": postgres,
        }
        for listener, service in owners.items():
            last = getattr(recorded, listener) if recorded is not None else None
            if last is not None and service.process.alive():
                chosen[listener] = last
            else:
                candidates = (last, getattr(self._preferred, listener))
                chosen[listener] = choose_port(candidates, taken=frozenset(chosen.values()))
        ports = Ports(**chosen)
        if ports != recorded:
            write_atomically(self._state_path, json.dumps({"ports": asdict(ports)}, indent=2) + "\n")
        return ports


def _bring_up(service: Service, progress: Progress) -> None:
    progress.stage(service.name, "running already" if service.process.alive() else "starting")
    service.start()
    service.wait_ready(READY_TIMEOUT_S)
    progress.stage(service.name, f"ready at {service.address}")


def _take_down(service: Service, progress: Progress) -> None:
    if service.process.alive():
        progress.stage(service.name, "stopping")
    service.stop()
    progress.stage(service.name, "stopped")


def _named(services: tuple[Service, ...], name: str) -> Service:
    for service in services:
        if service.name == name:
            return service
    raise EmbeddedError(f"no service {name!r}; there are {', '.join(service.name for service in services)}")


def _status(service: Service) -> ServiceStatus:
    pid = service.process.pid
    return ServiceStatus(
        name=service.name,
        pid=pid,
        running=pid is not None,
        address=service.address,
        data_directory=service.data_directory,
        log_path=service.process.log_path,
    )
