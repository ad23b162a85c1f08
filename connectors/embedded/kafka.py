"""Kafka: one node that is broker and controller (KRaft), on the loopback interface."""

import asyncio
import base64
import subprocess
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from aiokafka.errors import KafkaError  # type: ignore[import-untyped]  # ships no types

from connectors.embedded.errors import ServerError
from connectors.embedded.files import fresh_directory, write_atomically
from connectors.embedded.java import java_arguments, java_environment
from connectors.embedded.ports import LOOPBACK, port_answers
from connectors.embedded.process import Command, ServerProcess, tail_of
from topics.clients import client_of

HEAP_MB_MAX = 512
MESSAGE_BYTES_MAX = 1_572_864
"""The largest record batch that the broker takes: one and a half mebibytes."""
FORMAT_TIMEOUT_S = 60
STOP_TIMEOUT_S = 20.0
READY_POLL_INTERVAL_S = 0.1

# What differs from Kafka's defaults, and why.
BROKER_SETTINGS = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT,LINK:PLAINTEXT",
    "inter.broker.listener.name": "CLIENT",
    "controller.listener.names": "CONTROLLER",
    # A mistyped topic must be an error, never a new topic with default settings.
    "auto.create.topics.enable": "false",
    # One node: nothing can have a second replica.
    "default.replication.factor": "1",
    "min.insync.replicas": "1",
    "offsets.topic.replication.factor": "1",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    # Each partition of these costs two files and a part of every start.
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.num.partitions": "1",
    # The log is the truth: a topic keeps everything unless it says otherwise.
    "log.retention.ms": "-1",
    "log.retention.bytes": "-1",
    # About four years; by default a group that stays away for a week forgets where it was.
    "offsets.retention.minutes": "2147483",
    # A lone consumer must not wait for others that may join.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "message.max.bytes": str(MESSAGE_BYTES_MAX),
    "replica.fetch.max.bytes": str(MESSAGE_BYTES_MAX),
    # After a kill the controller takes the broker's old registration for alive until this has passed: with
    # the default, 9 s, a killed node needs 11 s to come back.
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    # Half of the heap by default.
    "log.cleaner.dedupe.buffer.size": "33554432",
    "num.network.threads": "2",
    "num.io.threads": "4",
    "num.recovery.threads.per.data.dir": "2",
}

LOG_SETTINGS = """\
rootLogger.level = warn
rootLogger.appenderRef.file.ref = file
logger.kafka.name = kafka
logger.kafka.level = info
logger.server.name = org.apache.kafka
logger.server.level = info
# Prints every setting at every start of every client.
logger.config.name = org.apache.kafka.common.config.AbstractConfig
logger.config.level = warn
appender.file.type = RollingFile
appender.file.name = file
appender.file.fileName = {log_directory}/kafka-server.log
appender.file.filePattern = {log_directory}/kafka-server.log.%i
appender.file.layout.type = PatternLayout
appender.file.layout.pattern = %d %p %m (%c)%n
appender.file.policies.type = Policies
appender.file.policies.size.type = SizeBasedTriggeringPolicy
appender.file.policies.size.size = 10MB
appender.file.strategy.type = DefaultRolloverStrategy
appender.file.strategy.max = 3
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One more listener of the loopback interface, for clients that reach it through something in between."""

    port: int
    advertised_port: int
    """Where those clients are told to connect: the port of what stands in between."""


class Kafka:
    """The broker of one stack."""

    name = "kafka"

    def __init__(
        self,
        *,
        class_path: tuple[Path, ...],
        directory: Path,
        log_directory: Path,
        port: int,
        controller_port: int,
        link: Listener | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            class_path: Kafka's jars.
            directory: for the data, the settings and the pid file; made at the start.
            log_directory: for `kafka.log` (what the process prints) and `kafka-server.log`.
            port: where clients connect.
            controller_port: where the node, as its own controller, connects to itself.
            link: a second listener for clients.
        """
        self._class_path = class_path
        self._directory = directory
        self._log_directory = log_directory
        self._port = port
        self._controller_port = controller_port
        self._link = link
        self.process = ServerProcess(
            self.name, pid_path=directory / "kafka.pid", log_path=log_directory / "kafka.log"
        )

    @property
    def address(self) -> str:
        """What clients call bootstrap servers."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def data_directory(self) -> Path:
        """Where the records are."""
        return self._directory / "data"

    def start(self) -> None:
        """Start the broker unless it runs; the first time, format its storage.

        Raises:
            ServerError: the storage could not be formatted, or the process not launched.
        """
        if self.process.alive():
            return
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._log_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_atomically(self._log_settings_path, LOG_SETTINGS.format(log_directory=self._log_directory))
        if not self.data_directory.exists():
            self._format()
        write_atomically(self._settings_path, self._settings(self.data_directory))
        self.process.start(self._command("kafka.Kafka", str(self._settings_path)))

    def wait_ready(self, timeout_s: float) -> None:
        """Return when the broker answers a client's metadata request.

        Raises:
            ServerError: it ended, or did not answer in time.
        """
        asyncio.run(self._await_metadata(timeout_s))

    def stop(self) -> None:
        """Shut the broker down cleanly."""
        self.process.stop(timeout_s=STOP_TIMEOUT_S)

    @property
    def _settings_path(self) -> Path:
        return self._directory / "server.properties"

    @property
    def _log_settings_path(self) -> Path:
        return self._directory / "log4j2.properties"

    def _command(self, *program: str) -> Command:
        properties = {
            "log4j2.configurationFile": str(self._log_settings_path),
            "kafka.logs.dir": str(self._log_directory),
        }
        class_path = ":".join(str(path) for path in self._class_path)
        java = java_arguments(heap_mb_max=HEAP_MB_MAX, properties=properties)
        return Command(
            arguments=(*java, "-cp", class_path, *program),
            environment=java_environment(self._directory),
            directory=self._directory,
        )

    def _settings(self, data_directory: Path) -> str:
        listeners = [f"CLIENT://{self.address}", f"CONTROLLER://{LOOPBACK}:{self._controller_port}"]
        advertised = [f"CLIENT://{self.address}"]
        if self._link is not None:
            listeners.append(f"LINK://{LOOPBACK}:{self._link.port}")
            advertised.append(f"LINK://{LOOPBACK}:{self._link.advertised_port}")
        settings = BROKER_SETTINGS | {
            "listeners": ",".join(listeners),
            "advertised.listeners": ",".join(advertised),
            # Static voters: unlike a dynamic quorum's, their ports may change from start to start.
            "controller.quorum.voters": f"1@{LOOPBACK}:{self._controller_port}",
            "log.dirs": str(data_directory),
        }
        return "".join(f"{name}={value}\n" for name, value in settings.items())

    def _format(self) -> None:
        with fresh_directory(self._directory) as fresh:
            settings = fresh / "server.properties"
            settings.write_text(self._settings(fresh / "data"), encoding="utf-8")
            cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
            command = self._command(
                "kafka.tools.StorageTool",
                "format",
                # An id that begins with a dash would read as an option.
                f"--cluster-id=A{cluster_id[1:]}",
                f"--config={settings}",
            )
            done = subprocess.run(
                list(command.arguments),
                env=dict(command.environment),
                cwd=command.directory,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=FORMAT_TIMEOUT_S,
                check=False,
            )
            if done.returncode != 0:
                raise ServerError(f"kafka: cannot format its storage: {done.stdout}{done.stderr}")
            (fresh / "data").rename(self.data_directory)

    def _log_tail(self) -> str:
        # The broker itself writes to a log of its own; the process prints what came before that.
        own = tail_of(self._log_directory / "kafka-server.log")
        return f"{self.process.log_tail()}\n{own}".strip()

    async def _await_metadata(self, timeout_s: float) -> None:
        deadline_s = time.monotonic() + timeout_s
        while True:
            if not self.process.alive():
                raise ServerError(
                    f"kafka: ended while starting; see {self._log_directory}:\n{self._log_tail()}"
                )
            if await self._answers():
                return
            if time.monotonic() >= deadline_s:
                raise ServerError(
                    f"kafka: no answer at {self.address} within {timeout_s:.0f} s; see {self._log_directory}"
                )
            await asyncio.sleep(READY_POLL_INTERVAL_S)

    async def _answers(self) -> bool:
        # Asked first without the client, which logs each refused connection as an error.
        if not port_answers(self._port):
            return False
        client = client_of(self.address, request_timeout_ms=2_000)
        try:
            await client.bootstrap()
            # A broker that is not yet registered answers, but with a cluster of none.
            return bool(client.cluster.brokers())
        except (KafkaError, OSError):
            return False
        finally:
            await client.close()
