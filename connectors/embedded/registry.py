"""The schema registry: Apicurio, for its Confluent-compatible interface."""

import json
import time
import urllib.request
from pathlib import Path

from connectors.embedded.errors import ServerError
from connectors.embedded.java import java_arguments, java_environment
from connectors.embedded.ports import LOOPBACK
from connectors.embedded.process import Command, ServerProcess

HEAP_MB_MAX = 256
STOP_TIMEOUT_S = 15.0
READY_POLL_INTERVAL_S = 0.1
HTTP_TIMEOUT_S = 5
COMPATIBILITY = "BACKWARD_TRANSITIVE"
"""What a subject must be unless it says otherwise: readers of today can read all that was ever written."""


class Registry:
    """The schema registry of one stack."""

    name = "registry"

    def __init__(self, *, program_directory: Path, directory: Path, log_directory: Path, port: int) -> None:
        """Start nothing yet.

        Args:
            program_directory: the unpacked registry.
            directory: for the data and the pid file; made at the start.
            log_directory: for `registry.log`.
            port: where clients connect.
        """
        self._program_directory = program_directory
        self._directory = directory
        self._log_directory = log_directory
        self._port = port
        self.process = ServerProcess(
            self.name, pid_path=directory / "registry.pid", log_path=log_directory / "registry.log"
        )

    @property
    def address(self) -> str:
        """The URL that Confluent's clients call `schema.registry.url`."""
        return f"http://{LOOPBACK}:{self._port}/apis/ccompat/v7"

    @property
    def data_directory(self) -> Path:
        """Where the schemas are (an H2 database)."""
        return self._directory / "data"

    def start(self) -> None:
        """Start the registry unless it runs."""
        if self.process.alive():
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.data_directory.mkdir(mode=0o700, exist_ok=True)
        self._log_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        runner = next(self._program_directory.glob("*-runner.jar"))
        java = java_arguments(heap_mb_max=HEAP_MB_MAX, properties=self._properties())
        self.process.start(
            Command(
                arguments=(*java, "-jar", str(runner)),
                environment=java_environment(self._directory),
                directory=self._directory,
            )
        )

    def wait_ready(self, timeout_s: float) -> None:
        """Return when the registry lists its subjects and has a default compatibility.

        Raises:
            ServerError: it ended, or did not answer in time.
        """
        deadline_s = time.monotonic() + timeout_s
        while True:
            if not self.process.alive():
                raise ServerError(f"registry: ended while starting:\n{self.process.log_tail()}")
            try:
                self._call("GET", "/subjects")
                self._set_compatibility()
                return
            except (OSError, ValueError) as error:
                if time.monotonic() >= deadline_s:
                    raise ServerError(
                        f"registry: no answer at {self.address} within {timeout_s:.0f} s ({error}); "
                        f"see {self.process.log_path}"
                    ) from error
            time.sleep(READY_POLL_INTERVAL_S)

    def stop(self) -> None:
        """Shut the registry down cleanly."""
        self.process.stop(timeout_s=STOP_TIMEOUT_S)

    def _properties(self) -> dict[str, str]:
        return {
            "quarkus.http.host": LOOPBACK,
            "quarkus.http.port": str(self._port),
            # Without the first option a schema that was acknowledged is on disk only half a second later.
            # The second keeps the database open between connections, which would otherwise compact it.
            "quarkus.datasource.jdbc.url": (
                f"jdbc:h2:file:{self.data_directory}/registry;WRITE_DELAY=0;DB_CLOSE_DELAY=-1"
            ),
            "quarkus.datasource.jdbc.initial-size": "2",
            "quarkus.datasource.jdbc.min-size": "2",
            "quarkus.datasource.jdbc.max-size": "20",
            "quarkus.banner.enabled": "false",
            "quarkus.log.level": "WARN",
            'quarkus.log.category."io.apicurio".level': "WARN",
            "quarkus.http.io-threads": "2",
            # A schema that a client sends in other white space or key order is the one already registered.
            "registry.ccompat.use-canonical-hash": "true",
        }

    def _set_compatibility(self) -> None:
        # The registry's own default is to accept anything. Somebody's deliberate choice of another is kept.
        current = self._call("GET", "/config")
        if isinstance(current, dict) and current.get("compatibilityLevel") == "NONE":
            self._call("PUT", "/config", {"compatibility": COMPATIBILITY})

    def _call(self, method: str, path: str, body: object = None) -> object:
        request = urllib.request.Request(  # noqa: S310 - the address is http on loopback
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/vnd.schemaregistry.v1+json"},
        )
        # A proxy of the environment is not for the loopback interface.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=HTTP_TIMEOUT_S) as answer:
            return json.loads(answer.read())
