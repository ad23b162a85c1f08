"""What compose.yaml starts, started without containers: it works, answers, is watched, and ends."""

import asyncio
import json
import re
import signal
import subprocess
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import psycopg
import pytest
from aiokafka import AIOKafkaClient  # type: ignore[import-untyped]  # ships no types

from connectors.embedded.artifacts import ArtifactStore
from connectors.embedded.java import java_arguments, java_environment
from connectors.embedded.stack import Stack
from tests.containers.composed import Composed, Container
from tests.containers.composition import ROOT, service, services
from tests.containers.monitoring import jobs
from tests.containers.promql import declared, metrics

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

Json = Any  # whatever a command prints
QUESTIONS: Final = 3
GUIDE: Final = ROOT / "docs" / "operations.md"
SQL: Final = re.compile(r"^    (SELECT .+\n    .+;)$", re.MULTILINE)


def answer_to(composed: Composed, worker: Container, text: str) -> Json:
    """Ask by the command line inside a worker, and return the answer."""
    ended = composed.execute(worker, "cartrita", "send", "--follow", "--json", text)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}\n{composed.logs()}"
    return json.loads(ended.stdout.splitlines()[-1])


def stored(composed: Composed, sink: Container, event_id: str) -> Json:
    """Trace an event as soon as the sink has it."""
    for _ in range(60):
        ended = composed.execute(sink, "cartrita", "trace", event_id, "--json")
        if ended.returncode == 0:
            return json.loads(ended.stdout)
    pytest.fail(f"Postgres never had {event_id}\n{composed.logs()}")


def scraped(container: Container, path: str) -> str:
    with urllib.request.urlopen(f"http://{container.metrics_address}{path}", timeout=10) as response:
        assert response.headers.get_content_type() == "text/plain"
        return str(response.read().decode())


def test_what_compose_starts_answers_is_watched_survives_a_kill_and_ends(
    composed: Composed, servers: Stack
) -> None:
    # In the order of depends_on, each as soon as what it waits for is healthy.
    printed = composed.run_to_its_end("setup")
    model = composed.start("model")
    composed.wait_until_healthy(model)
    sink, first, second = composed.start("sink"), composed.start("worker", 1), composed.start("worker", 2)
    for container in (sink, first, second):
        composed.wait_until_healthy(container)
    assert "schemas are registered" in printed
    assert "up to date" in composed.run_to_its_end("setup"), "setting up again changes nothing"

    answer = answer_to(composed, first, "Write a short greeting.")
    assert answer["body"]["type"] == "AnswerGiven"
    assert answer["body"]["complete"]
    assert answer["body"]["local"]
    assert stored(composed, sink, answer["event_id"])["root"]["event"]["type"] == "AnswerGiven"

    served = [
        scraped(first, path_of("worker")),
        scraped(second, path_of("worker")),
        scraped(sink, path_of("sink")),
    ]
    assert metrics() <= {name for text in served for name in described(text)}
    assert {name for text in served for name in sampled(text)} <= set(declared())

    # Without an identity of its own a worker's partitions go to the others once its session has timed out.
    composed.kill(first)
    with ThreadPoolExecutor(QUESTIONS) as pool:
        asked = [pool.submit(answer_to, composed, second, f"Write greeting {n}.") for n in range(QUESTIONS)]
    assert [question.result()["body"]["complete"] for question in asked] == [True] * QUESTIONS

    assert [composed.stop(container) for container in (second, sink, model)] == [0, 0, 0]
    assert composed.check(second).returncode != 0, "a health check that nothing answers fails"


def test_what_fails_its_health_check_is_told_with_its_log_and_nothing_is_left(
    servers: Stack, tmp_path: Path
) -> None:
    composed = Composed(servers.endpoints(), tmp_path)
    model = composed.start("model")
    composed.wait_until_healthy(model)
    composed.kill(model)

    with pytest.raises(pytest.fail.Exception, match="local model listens"):
        composed.wait_until_healthy(model)

    again = composed.start("model", 2)
    composed.end()
    assert again.process is not None
    assert again.process.poll() == -signal.SIGKILL


def test_the_servers_answer_where_their_health_checks_ask(servers: Stack) -> None:
    endpoints = servers.endpoints()
    registry, postgres = urlsplit(endpoints.registry_url), urlsplit(endpoints.postgres_dsn)
    checks = {
        name: check.command for name in ("kafka", "registry", "postgres") if (check := service(name).health)
    }

    url = checks["registry"][-1].replace("127.0.0.1:8080", registry.netloc)
    with urllib.request.urlopen(url, timeout=10) as response:
        assert response.status == 200
    options = dict(part.removeprefix("--").split("=") for part in checks["postgres"][1:])
    assert (options["username"], options["dbname"]) == (postgres.username, postgres.path.lstrip("/"))
    assert checks["kafka"][-2:] == (
        "--bootstrap-server",
        service("worker").environment["CARTRITA_KAFKA_BOOTSTRAP"],
    )
    assert asyncio.run(brokers(endpoints.kafka_bootstrap)) == 1


def test_kafka_accepts_the_settings_that_compose_gives_it(servers: Stack, tmp_path: Path) -> None:
    # The image's rule: KAFKA_A_B_C is the property a.b.c; options of the Java process are none.
    environment = service("kafka").environment
    properties = {
        name.removeprefix("KAFKA_").lower().replace("_", "."): value
        for name, value in environment.items()
        if name.startswith("KAFKA_") and not name.endswith("_OPTS")
    }
    properties["log.dirs"] = str(tmp_path / "data")
    settings = tmp_path / "server.properties"
    settings.write_text("".join(f"{name}={value}\n" for name, value in properties.items()), encoding="utf-8")
    jars = ArtifactStore(ROOT / ".cartrita" / "artifacts").ensure().kafka_class_path

    formatted = subprocess.run(
        [
            *java_arguments(heap_mb_max=128, properties={}),
            "-cp",
            ":".join(str(jar) for jar in jars),
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id=AAAAAAAAAAAAAAAAAAAAAA",
            f"--config={settings}",
        ],
        env=java_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert formatted.returncode == 0, formatted.stdout + formatted.stderr
    assert (tmp_path / "data" / "meta.properties").is_file()


def test_postgres_and_its_extension_are_the_versions_of_the_embedded_stack(servers: Stack) -> None:
    with psycopg.connect(servers.endpoints().postgres_dsn) as connection:
        major = connection.info.server_version // 10_000
        row = connection.execute("SELECT extversion FROM pg_extension WHERE extname = 'vector'").fetchone()
    assert row is not None

    assert services()["postgres"]["image"] == f"pgvector/pgvector:{row[0]}-pg{major}"
    assert f"/{major}/" in service("postgres").environment["PGDATA"]


def test_a_new_postgres_volume_gets_the_registrys_database(servers: Stack) -> None:
    (script,) = (ROOT / "ops" / "postgres").glob("*.sql")
    wanted = service("registry").environment["REGISTRY_DATASOURCE_URL"].rpartition("/")[2]

    with psycopg.connect(servers.endpoints().postgres_dsn, autocommit=True) as connection:
        connection.execute(script.read_bytes())
        found = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [wanted]).fetchone()

    assert found == (1,)


def read(servers: Stack, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(servers.endpoints().postgres_dsn) as connection:
        return connection.execute(query.encode()).fetchall()


def path_of(job: str) -> str:
    return str(jobs()[job]["metrics_path"])


def described(exposition: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\w+) ", exposition, re.MULTILINE))


def sampled(exposition: str) -> set[str]:
    return set(re.findall(r"^cartrita_\w+", exposition, re.MULTILINE))


async def brokers(bootstrap: str) -> int:
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        return len(client.cluster.brokers())
    finally:
        await client.close()
