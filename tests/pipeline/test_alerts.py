"""Alerts fire on a real Prometheus that scrapes a real deployment with their faults in it, and go again.

The shipped rules are read by Debian's Prometheus with one change: every duration is a twelfth. What the
runbooks of docs/operations.md say is done as written. Without `prometheus` on the path the test is skipped:
`apt-get download prometheus && dpkg -x prometheus_*.deb FOLDER` unpacks one.
"""

import asyncio
import contextlib
import re
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psycopg
import pytest
import yaml
from aiokafka import TopicPartition  # type: ignore[import-untyped]  # it ships no types
from aiokafka.admin import RecordsToDelete  # type: ignore[import-untyped]  # as above

from connectors.embedded.ports import choose_port
from connectors.embedded.progress import Silent
from schemas.envelope import Envelope, Fact
from schemas.events.models import CallPurpose, ChatRole, ModelCallRequested, PromptMessage
from schemas.events.plans import AcceptReason, PlanAccepted
from schemas.ids import derived_id
from schemas.references import RecordReference
from streams.client.client import Client
from streams.process.settings import Settings
from streams.worker.deployment import Deployment
from tests.containers.monitoring import PROMETHEUS
from tests.pipeline.outsider import Outsider, message
from tests.pipeline.test_front_door import opened, say
from tests.pipeline.waiting import tries
from topics.catalog import MODEL_CALLS, PLANS, SESSION_INPUTS, Topic, topic_of
from topics.clients import admin_of, producer_of
from topics.routing import partition_of
from topics.tables import SESSION_STATES, changelog_of

FASTER = 12
FIRES_S = 240.0
"""Real seconds; the longest rule takes two minutes and a half."""
PARTITION = 2
SERVICES = ("worker", "sink", "gateway")

pytestmark = [pytest.mark.stack, pytest.mark.slow, pytest.mark.timeout(3_000)]
Json = Any  # whatever Prometheus answers


def faster(rules: str) -> str:
    """Return the rules with every duration a twelfth; thresholds stay."""
    seconds = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}{max(1, int(found[2]) * seconds[found[3]] // FASTER)}s"

    return re.sub(r"((?:for: |\[|offset ))(\d+)([smhd])\b", shorter, rules)


class Watcher:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)

    def close(self) -> None:
        self._http.close()

    def ask(self, query: str) -> list[Json]:
        found: list[Json] = self._http.get("/api/v1/query", params={"query": query}).json()["data"]["result"]
        return found

    def firing(self) -> set[str]:
        alerts = self._http.get("/api/v1/alerts").json()["data"]["alerts"]
        return {one["labels"]["alertname"] for one in alerts if one["state"] == "firing"}

    def until_firing(self, *names: str, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Wait until alerts have fired, each at some time from now on."""
        began_s, fired = time.monotonic(), set[str]()

        def all_fired() -> bool:
            elapsed_s = int(time.monotonic() - began_s) + 1
            query = f'count by (alertname) (count_over_time(ALERTS{{alertstate="firing"}}[{elapsed_s}s]))'
            fired.update(one["metric"]["alertname"] for one in self.ask(query))
            return set(names) <= fired

        self._until(all_fired, f"{names} did not fire", meanwhile)

    def until_gone(self, *names: str) -> None:
        self._until(lambda: not set(names) & self.firing(), f"{names} go on firing")

    def until_scraped(self) -> None:
        self._until(
            lambda: len(self.ask('up{job=~"worker|sink|gateway"} == 1')) == len(SERVICES), "nobody answers"
        )

    def _until(
        self, holds: Callable[[], bool], fault: str, meanwhile: Callable[[], None] = lambda: None
    ) -> None:
        deadline_s = time.monotonic() + FIRES_S
        while not holds():
            assert time.monotonic() < deadline_s, f"{fault}: {self.firing()}"
            meanwhile()
            time.sleep(0.3)


@pytest.fixture(scope="module")
def watcher(deployed: Deployment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watcher]:
    """Prometheus with the shipped rules, which scrapes the deployment."""
    tmp_path = tmp_path_factory.mktemp("prometheus")
    program = shutil.which("prometheus")
    if program is None:
        pytest.skip("prometheus is not on this machine: no alert was tried")
    rules = tmp_path / "alerts.yml"
    rules.write_text(faster((PROMETHEUS / "alerts.yml").read_text(encoding="utf-8")), encoding="utf-8")
    addresses = {part.name.partition("-")[0]: part.address for part in deployed.status()}
    settings = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(rules)],
        "scrape_configs": [
            {"job_name": name, "static_configs": [{"targets": [addresses[name]]}]} for name in SERVICES
        ],
    }
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    port = choose_port(())
    with (tmp_path / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )
    one = Watcher(f"http://127.0.0.1:{port}")
    try:
        for _ in range(600):
            with contextlib.suppress(httpx.TransportError):
                one.ask("up")
                break
            time.sleep(0.1)
        one.until_scraped()
        yield one
    finally:
        one.close()
        process.terminate()
        process.wait(60)


@pytest.fixture
def operator(settings: Settings, command_environment: dict[str, str]) -> "Operator":
    """Whoever is called."""
    return Operator(command_environment, settings.postgres_dsn)


class Operator:
    """Somebody with a shell, who follows runbooks."""

    def __init__(self, environment: dict[str, str], dsn: str) -> None:
        self._environment = environment
        self._dsn = dsn

    def cartrita(self, line: str, *, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "streams.main", *line.split()],
            capture_output=True,
            text=True,
            env=self._environment,
            timeout=240,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout

    def sql(self, query: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self._dsn) as connection:
            return connection.execute(query.encode()).fetchall()


def put(settings: Settings, key: bytes, value: bytes | None, partition: int) -> None:
    """Write a record of the sessions' table as whoever may write to its changelog."""

    async def write() -> None:
        producer = producer_of(settings.kafka_bootstrap)
        await producer.start()
        try:
            name = changelog_of(settings.topic_prefix, SESSION_STATES)
            await producer.send_and_wait(name, value, key, partition)
        finally:
            await producer.stop()

    asyncio.run(write())


def written(settings: Settings, *facts: tuple[Topic, Fact], session: str) -> None:
    """Write events as whoever may write to any topic."""

    async def write() -> None:
        async with Client(settings) as client:
            for topic, fact in facts:
                event = Envelope(
                    event_id=str(uuid.uuid4()),
                    type=type(fact).__name__,
                    session_id=session,
                    sequence=1,
                    occurred_at_ms=time.time_ns() // 1_000_000,
                    producer="somebody",
                    body=fact,
                )
                assert topic is topic_of(fact)
                await client.write(topic, event)

    asyncio.run(write())


def forgotten(partition: int, offset: int) -> ModelCallRequested:
    """A call whose text is no longer on the log."""
    reference = RecordReference(
        topic=SESSION_INPUTS.name, partition=partition, offset=offset, event_id=str(uuid.uuid4()), tokens=3
    )
    return ModelCallRequested(
        call_id=str(uuid.uuid4()),
        task_id=str(uuid.uuid4()),
        turn=1,
        purpose=CallPurpose.STEP,
        agent="writer",
        model="gpt-4o-mini",
        messages=(PromptMessage(role=ChatRole.USER, source=reference),),
        input_tokens_max=100,
        output_tokens_max=100,
        reserved_tokens=200,
        reserved_nanodollars=10**6,
        timeout_ms=10_000,
        attempts_max=1,
    )


def test_records_that_nobody_can_read(watcher: Watcher, operator: Operator, outsider: Outsider) -> None:
    outsider.post_bytes(b"no Avro at all")
    outsider.post_bytes(b"neither", key=str(uuid.uuid4()).encode(), topic="plans")
    outsider.post_bytes(b"nor this", key=str(uuid.uuid4()).encode(), topic="session.imports")
    watcher.until_firing("DeadLettersGrow", "SinkDeadLettersGrow", "ImportsArrive")
    groups = operator.cartrita("dead-letters groups")
    assert "user.inputs" in groups
    assert "plans" in groups
    assert (
        operator.sql(
            "SELECT tenant_id, body->>'origin', min(recorded_at), count(*) FROM event_log "
            "WHERE topic = 'session.imports' AND recorded_at > now() - interval '1 day' GROUP BY 1, 2"
        )
        == []
    ), "it was put aside, so nothing came in"
    watcher.until_gone("DeadLettersGrow", "SinkDeadLettersGrow", "ImportsArrive")


def test_two_events_have_one_number(watcher: Watcher, settings: Settings) -> None:
    accepted = [
        PlanAccepted(plan_id=str(uuid.uuid4()), turn=1, revision=0, reason=AcceptReason.SCORE_REACHED)
        for _ in range(2)
    ]
    written(settings, *((PLANS, one) for one in accepted), session=str(uuid.uuid4()))
    watcher.until_firing("SequenceConflict")


def test_a_text_is_no_longer_on_the_log(
    watcher: Watcher, settings: Settings, operator: Operator, http: httpx.Client
) -> None:
    say(http, opened(http), "Write one line about boats.")
    partition, offset = until_logged(operator)
    cut(settings, partition, offset + 1)
    written(settings, (MODEL_CALLS, forgotten(partition, offset)), session=str(uuid.uuid4()))
    watcher.until_firing("TextMissing")
    operator.cartrita("topics verify")
    assert "session.inputs" in operator.cartrita("topics watermark")
    watcher.until_gone("TextMissing")


def until_logged(operator: Operator) -> tuple[int, int]:
    """Return where the latest message stands."""
    for _ in tries():
        found = operator.sql(
            "SELECT partition, max(\"offset\") FROM event_log WHERE topic = 'session.inputs' "
            "GROUP BY 1 LIMIT 1"
        )
        if found:
            return int(str(found[0][0])), int(str(found[0][1]))
    raise AssertionError("the message is nowhere")


def cut(settings: Settings, partition: int, before: int) -> None:
    """Delete records of the truth, as nobody should."""

    async def delete() -> None:
        admin = admin_of(settings.kafka_bootstrap)
        await admin.start()
        try:
            place = TopicPartition(settings.topic_prefix + SESSION_INPUTS.name, partition)
            await admin.delete_records({place: RecordsToDelete(before_offset=before)})
        finally:
            await admin.close()

    asyncio.run(delete())


def test_budgets_are_too_small(watcher: Watcher, operator: Operator, http: httpx.Client) -> None:
    def ask_for_too_much() -> None:
        say(http, opened(http, budget={"tokens": 400}), "Compare Kafka and Postgres for event logs.")

    for _ in range(8):
        ask_for_too_much()
    watcher.until_firing("BudgetsRunOut", meanwhile=ask_for_too_much)
    operator.cartrita("ask budget_hit_rate --days 1")
    operator.cartrita("ask cost_by_agent --days 1")


def test_the_provider_is_away(watcher: Watcher, deployment: Deployment, http: httpx.Client) -> None:
    deployment.stop_part("model", hard=True)

    def ask() -> None:
        say(http, opened(http), "Write one line about boats.")

    try:
        watcher.until_firing("CallsFail", "RetriesPile", meanwhile=ask)
    finally:
        deployment.start_services(Silent())
    watcher.until_gone("CallsFail", "RetriesPile")


def test_much_is_spent(watcher: Watcher, operator: Operator, http: httpx.Client) -> None:
    def ask() -> None:
        say(http, opened(http), "Calculate 17 * 23 with code.")

    watcher.until_firing("CostBurns", meanwhile=ask)
    assert operator.sql(
        "SELECT session_id, sum(tokens) AS tokens, sum(nanodollars) / 1e9 AS dollars FROM budget_entries "
        "WHERE account = 'used' GROUP BY session_id ORDER BY dollars DESC LIMIT 20"
    )
    watcher.until_gone("CostBurns")


def test_postgres_is_away(watcher: Watcher, deployment: Deployment, outsider: Outsider) -> None:
    deployment.stack().stop_service("postgres")
    try:
        # A sink that has nothing to write notices nothing.
        outsider.post([message("Write one line about boats.")])
        watcher.until_firing("SinkRetries")
    finally:
        deployment.start_services(Silent())
    watcher.until_gone("SinkRetries")


def test_no_sink_runs(watcher: Watcher, deployment: Deployment) -> None:
    deployment.stop_part("sink-1")
    watcher.until_firing("NoSinkUp")
    deployment.start_part("sink-1", "sink")
    deployment.wait_until_ready("sink-1")
    watcher.until_gone("NoSinkUp")


def test_no_worker_runs_and_its_tables_are_damaged(
    watcher: Watcher, deployment: Deployment, settings: Settings, operator: Operator
) -> None:
    deployment.stop_part("worker-1", hard=True)
    watcher.until_firing("NoWorkerUp", "WorkerDown")
    never = derived_id("session", "never").encode()
    home = partition_of(never, settings.partitions)
    put(settings, never, b"garbage", home)
    put(settings, b"\0departed/%d/0" % PARTITION, b"garbage", PARTITION)
    restart(deployment)
    watcher.until_firing("SessionQuarantined", "PartitionStopped")
    assert "tables restore" in operator.cartrita("tables check", code=1)
    operator.cartrita(f"tables restore {SESSION_STATES} {PARTITION}")
    put(settings, never, None, home)
    deployment.stop_part("worker-1")
    restart(deployment)
    watcher.until_gone("NoWorkerUp", "WorkerDown", "SessionQuarantined", "PartitionStopped")


def restart(deployment: Deployment) -> None:
    deployment.start_part("worker-1", "worker")
    deployment.wait_until_ready("worker-1")
