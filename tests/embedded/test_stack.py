"""The three servers for real: what clients can do, and what survives a `kill -9`."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition  # type: ignore[import-untyped]  # no types
from aiokafka.admin import AIOKafkaAdminClient, NewTopic  # type: ignore[import-untyped]  # no types
from aiokafka.errors import KafkaError, MessageSizeTooLargeError  # type: ignore[import-untyped]  # no types

from connectors.embedded.artifacts import ArtifactStore
from connectors.embedded.process import ServerProcess
from connectors.embedded.stack import Endpoints, Ports, Stack

pytestmark = pytest.mark.stack

PROJECT_DIRECTORY = Path(__file__).parents[2]
WAIT_S = 120.0
NAMES = ("kafka", "registry", "postgres")


@pytest.fixture
def endpoints(private_stack: Stack) -> Endpoints:
    """Where the stack is, after making sure that all of it runs."""
    return private_stack.start()


async def create_topic(endpoints: Endpoints, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=endpoints.kafka_bootstrap)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def produce(endpoints: Endpoints, topic: str, value: bytes, *, size_bytes_max: int = 1_000_000) -> None:
    producer = AIOKafkaProducer(
        bootstrap_servers=endpoints.kafka_bootstrap, acks="all", max_request_size=size_bytes_max
    )
    await producer.start()
    try:
        await asyncio.wait_for(producer.send_and_wait(topic, value, key=b"key"), WAIT_S)
    finally:
        await producer.stop()


async def consume(endpoints: Endpoints, topic: str, count: int) -> list[bytes]:
    consumer = AIOKafkaConsumer(bootstrap_servers=endpoints.kafka_bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        consumer.assign([TopicPartition(topic, 0)])
        records = [await asyncio.wait_for(consumer.getone(), WAIT_S) for _ in range(count)]
    finally:
        await consumer.stop()
    return [record.value for record in records]


def register(endpoints: Endpoints, subject: str, *fields: dict[str, object]) -> httpx.Response:
    schema = {"type": "record", "name": "Fact", "fields": list(fields)}
    return httpx.post(
        f"{endpoints.registry_url}/subjects/{subject}/versions",
        json={"schema": json.dumps(schema), "schemaType": "AVRO"},
        timeout=WAIT_S,
    )


def processes_of(stack: Stack) -> list[int]:
    """The pids of all processes that have this stack's directory in their command line."""
    directory = str(stack.status()[0].data_directory.parents[1])
    found = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_text(errors="replace")
        except OSError:
            continue
        if entry.name.isdecimal() and directory in command and int(entry.name) != os.getpid():
            found.append(int(entry.name))
    return found


async def test_a_record_that_was_acknowledged_is_consumed(endpoints: Endpoints) -> None:
    await create_topic(endpoints, "consumed")

    await produce(endpoints, "consumed", b"value")

    assert await consume(endpoints, "consumed", 1) == [b"value"]


async def test_a_topic_that_nobody_made_is_an_error_and_not_made(endpoints: Endpoints) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=endpoints.kafka_bootstrap, request_timeout_ms=1_500)
    admin = AIOKafkaAdminClient(bootstrap_servers=endpoints.kafka_bootstrap)
    await producer.start()
    await admin.start()
    try:
        with pytest.raises(KafkaError):
            await asyncio.wait_for(producer.send_and_wait("mistyped", b"value"), WAIT_S)

        assert "mistyped" not in await admin.list_topics()
    finally:
        await producer.stop()
        await admin.close()


async def test_a_record_of_one_mebibyte_and_a_half_is_the_largest(endpoints: Endpoints) -> None:
    await create_topic(endpoints, "large")

    await produce(endpoints, "large", b"x" * 1_500_000, size_bytes_max=4_000_000)
    with pytest.raises(MessageSizeTooLargeError):
        await produce(endpoints, "large", b"x" * 1_600_000, size_bytes_max=4_000_000)

    assert [len(value) for value in await consume(endpoints, "large", 1)] == [1_500_000]


def test_an_incompatible_schema_is_refused_with_409(endpoints: Endpoints) -> None:
    first = register(endpoints, "refused-value", {"name": "a", "type": "string"})
    compatible = register(
        endpoints,
        "refused-value",
        {"name": "a", "type": "string"},
        {"name": "b", "type": "int", "default": 0},
    )
    incompatible = register(endpoints, "refused-value", {"name": "c", "type": "string"})

    assert (first.status_code, compatible.status_code, incompatible.status_code) == (200, 200, 409)


def test_a_schema_in_other_white_space_is_the_same_schema(endpoints: Endpoints) -> None:
    url = f"{endpoints.registry_url}/subjects/spaced-value/versions"
    schema = {"type": "record", "name": "Spaced", "fields": [{"name": "a", "type": "string"}]}

    ids = [
        httpx.post(url, json={"schema": text}, timeout=WAIT_S).json()["id"]
        for text in (json.dumps(schema), json.dumps(schema, indent=4, sort_keys=True))
    ]

    assert ids[0] == ids[1]
    assert httpx.get(url, timeout=WAIT_S).json() == [1]


def test_vectors_are_stored_and_found_by_distance(endpoints: Endpoints) -> None:
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        connection.execute("CREATE TEMP TABLE memories (name text, embedding vector(3))")
        connection.execute(
            "INSERT INTO memories VALUES ('x', '[1,0,0]'), ('y', '[0,1,0]'), ('z', '[0.9,0.1,0]')"
        )

        nearest = connection.execute("SELECT name FROM memories ORDER BY embedding <=> '[1,0,0]'").fetchall()

    assert nearest == [("x",), ("z",), ("y",)]


def test_postgres_refuses_a_wrong_password_and_keeps_what_commits_promise(endpoints: Endpoints) -> None:
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        for setting in ("fsync", "full_page_writes", "synchronous_commit"):
            row = connection.execute("SELECT current_setting(%s)", (setting,)).fetchone()
            assert row == ("on",), setting
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(endpoints.postgres_dsn, password="wrong")


def test_exact_token_counts_need_no_network(endpoints: Endpoints) -> None:
    code = "import tiktoken; print([len(tiktoken.get_encoding(n).encode('hello world')) for n in "
    done = subprocess.run(
        [sys.executable, "-c", code + "('o200k_base', 'cl100k_base')])"],
        # A proxy that nobody answers stands for a network that is not there.
        env={
            "TIKTOKEN_CACHE_DIR": str(endpoints.tiktoken_cache_directory),
            "HTTPS_PROXY": "http://127.0.0.1:9",
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.stdout == "[2, 2]\n", done.stderr


def test_only_the_loopback_interface_is_listened_on(private_stack: Stack, endpoints: Endpoints) -> None:
    addresses = [address for pid in processes_of(private_stack) for address in listening_addresses(pid)]
    directory = private_stack.status()[0].data_directory.parents[1]
    ports = json.loads((directory / "stack.json").read_text())["ports"]

    assert {int(address.rpartition(":")[2], 16) for address in addresses} >= set(ports.values())
    assert {address.rpartition(":")[0] for address in addresses} <= {
        "0100007F",
        "0000000000000000FFFF00000100007F",
    }


def listening_addresses(pid: int) -> list[str]:
    """Local addresses of the process's listening TCP sockets, as /proc/net writes them."""
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = descriptor.readlink()
        except OSError:
            continue
        if str(target).startswith("socket:["):
            inodes.add(str(target)[len("socket:[") : -1])
    rows = [
        line.split()
        for table in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]


def test_starting_what_runs_keeps_it(private_stack: Stack, endpoints: Endpoints) -> None:
    before = private_stack.status()

    assert private_stack.start() == endpoints

    assert private_stack.status() == before
    assert all(service.running for service in before)


async def test_killed_servers_come_back_where_they_were_with_all_that_they_acknowledged(
    private_stack: Stack, endpoints: Endpoints, artifacts_directory: Path
) -> None:
    await create_topic(endpoints, "survives")
    await produce(endpoints, "survives", b"acknowledged")
    registered = register(endpoints, "survives-value", {"name": "a", "type": "string"}).json()["id"]
    with psycopg.connect(endpoints.postgres_dsn) as connection:
        connection.execute("CREATE TABLE survivors (name text, embedding vector(2))")
        connection.execute("INSERT INTO survivors VALUES ('committed', '[1,2]')")
    for name in NAMES:
        private_stack.stop_service(name, hard=True)
    assert [service.running for service in private_stack.status()] == [False, False, False]

    # Whoever starts it now would like other ports; those of before are kept all the same.
    directory = private_stack.status()[0].data_directory.parents[1]
    ports = Ports(kafka=22092, kafka_controller=22093, registry=22081, postgres=22432)
    restarted = await asyncio.to_thread(Stack(directory, artifacts=artifacts_directory, ports=ports).start)

    assert restarted == endpoints
    assert await consume(restarted, "survives", 1) == [b"acknowledged"]
    again = register(restarted, "survives-value", {"name": "a", "type": "string"})
    assert (again.status_code, again.json()["id"]) == (200, registered)
    with psycopg.connect(restarted.postgres_dsn) as connection:
        assert connection.execute("SELECT * FROM survivors").fetchall() == [("committed", "[1,2]")]


@pytest.mark.parametrize("name", ["registry", "postgres"])
def test_one_killed_server_is_started_alone(private_stack: Stack, endpoints: Endpoints, name: str) -> None:
    before = {service.name: service for service in private_stack.status()}
    private_stack.stop_service(name, hard=True)

    private_stack.start_service(name)

    after = {service.name: service for service in private_stack.status()}
    assert after[name].running
    assert after[name].pid != before[name].pid
    assert after[name].address == before[name].address
    assert [after[other] for other in NAMES if other != name] == [
        before[other] for other in NAMES if other != name
    ]


def test_a_client_that_is_connected_does_not_keep_postgres_from_restarting_after_a_kill(
    private_stack: Stack, endpoints: Endpoints
) -> None:
    with psycopg.connect(endpoints.postgres_dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS written (number int)")
        connection.execute("INSERT INTO written VALUES (1)")
        private_stack.stop_service("postgres", hard=True)

        private_stack.start_service("postgres")

    with psycopg.connect(endpoints.postgres_dsn) as connection:
        assert connection.execute("SELECT count(*) FROM written").fetchone() == (1,)


def test_a_lock_of_postgres_that_names_a_living_stranger_does_not_keep_it_from_starting(
    private_stack: Stack, endpoints: Endpoints
) -> None:
    private_stack.stop_service("postgres", hard=True)
    lock = private_stack.status()[2].data_directory / "postmaster.pid"
    owner = lock.stat()
    user = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
    with subprocess.Popen(["sleep", "60"], **user) as stranger:  # type: ignore[call-overload]  # mixed values
        lines = lock.read_text().splitlines(keepends=True)
        lock.write_text("".join([f"{stranger.pid}\n", *lines[1:]]))

        private_stack.start_service("postgres")

        assert stranger.poll() is None
        stranger.kill()


@pytest.fixture
def other_stack(tmp_path: Path, artifacts_directory: Path) -> Iterator[Stack]:
    """A stack that was never started, on the usual ports if they are free."""
    stack = Stack(tmp_path / "other", artifacts=artifacts_directory)
    try:
        yield stack
    finally:
        stack.stop()


def test_what_a_killed_starter_left_running_is_adopted_by_the_next_and_stopped_without_a_trace(
    private_stack: Stack, endpoints: Endpoints, other_stack: Stack, artifacts_directory: Path
) -> None:
    ArtifactStore(artifacts_directory).ensure()
    directory = other_stack.status()[0].data_directory.parents[1]
    command = [sys.executable, "-m", "connectors.embedded", "up", "--directory", str(directory)]
    registry = ServerProcess("registry", pid_path=directory / "registry" / "registry.pid", log_path=directory)
    with subprocess.Popen(
        [*command, "--artifacts", str(artifacts_directory)],
        cwd=PROJECT_DIRECTORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as starter:
        deadline_s = time.monotonic() + WAIT_S
        while not registry.alive() and time.monotonic() < deadline_s:
            time.sleep(0.005)
        starter.send_signal(signal.SIGKILL)
    orphan = registry.pid
    assert orphan is not None

    results: list[Endpoints] = []
    starters = [threading.Thread(target=lambda: results.append(other_stack.start())) for _ in range(2)]
    for thread in starters:
        thread.start()
    for thread in starters:
        thread.join(2 * WAIT_S)

    assert len(results) == 2
    assert results[0] == results[1]
    assert results[0].kafka_bootstrap != endpoints.kafka_bootstrap
    assert other_stack.status()[1].pid == orphan
    running = {service.pid for service in other_stack.status()}
    assert {pid for pid in processes_of(other_stack) if not is_child_of(pid, running)} == running

    other_stack.stop()

    assert processes_of(other_stack) == []
    assert [service.running for service in other_stack.status()] == [False, False, False]


def is_child_of(pid: int, parents: set[int | None]) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return True
    return int(stat.rpartition(")")[2].split()[1]) in parents
