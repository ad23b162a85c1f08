"""A campaign: a deployment under load, a nemesis that works through a schedule, and what is left to check."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit, urlunsplit

from connectors.embedded.kafka import Listener
from connectors.embedded.ports import LOOPBACK, choose_port
from connectors.embedded.progress import Silent
from tests.chaos.arena import Arena, arena
from tests.chaos.callers import Callers
from tests.chaos.checker import check
from tests.chaos.faults import Planned
from tests.chaos.journal import Blow, Journal
from tests.chaos.kinds import LINKS, WORKERS
from tests.chaos.links import Links
from tests.chaos.load import Load
from tests.chaos.nemesis import Nemesis
from tests.chaos.processes import Processes
from tests.chaos.progress import Progress
from tests.chaos.yardstick import Yardstick
from tests.estimates import Off, offs
from tests.invariants.violation import Violation

REST_S_MAX: Final = 60.0
"""So long after the last fault everything is to have its end."""
WATCHED_S: Final = 300.0
"""So long is watched whether it ever has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovery:
    """How long after one fault what it stopped moved again."""

    kind: str
    alone: bool
    took_ms: int | None
    """None: it had not at the end."""


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a campaign came to."""

    seed: int
    took_s: float = 0.0
    sessions: int = 0
    inputs: int = 0
    records: int = 0
    rest_s: float | None = None
    """From the last fault's end until all was at rest; None: it never was."""
    blows: list[Blow] = field(default_factory=list)
    slower: tuple[float, float] = (1.0, 1.0)
    """By what factor neighbours slowed this machine down, at the median and at p95."""
    restarts: dict[str, int] = field(default_factory=dict)
    recoveries: list[Recovery] = field(default_factory=list)
    violations: tuple[Violation, ...] = ()
    estimates: list[Off] = field(default_factory=list)
    """Of tasks that ended well."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much is asked while faults happen."""

    open_max: int = 12
    pause_s: float = 1.0


def run(
    seed: int,
    plan: tuple[Planned, ...],
    *,
    say: Callable[[str], None],
    journal_path: Path | None = None,
    pace: Pace | None = None,
    seconds_max: float = math.inf,
    keep: Callable[[Arena], None] = lambda _: None,
) -> Outcome:
    """Run a campaign and check what it left.

    Args:
        seed: of load and servers.
        plan: what happens.
        say: told of everything as it happens.
        journal_path: where the journal goes; by default nowhere that lasts.
        pace: of the load.
        seconds_max: after so long no fault begins any more.
        keep: given the deployment at the end, before it is removed, when there is a violation.
    """
    pace = pace or Pace()
    outcome = Outcome(seed=seed)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="cartrita-journal-")))
        links = Links(LINKS, seed)
        links.start()
        stack.callback(links.stop)
        one = stack.enter_context(_linked(seed, links))
        journal = Journal(journal_path or scratch / "journal.jsonl", say)
        processes = Processes(one, journal)
        endpoints = one.deployment.stack().endpoints()
        bootstrap, dsn = endpoints.kafka_bootstrap, endpoints.postgres_dsn
        progress = Progress(bootstrap, dsn, one.settings.partitions)
        load = Load(
            bootstrap,
            endpoints.registry_url,
            seed=seed,
            open_max=pace.open_max,
            pause_s=pace.pause_s,
            ended=progress.ended,
        )
        direct = replace(one.settings, kafka_bootstrap=bootstrap, postgres_dsn=dsn)
        callers = Callers(direct, seed=seed, pause_s=pace.pause_s)
        nemesis = Nemesis(
            one,
            processes=processes,
            links=links,
            load=load,
            progress=progress,
            journal=journal,
            dsn=dsn,
            bootstrap=bootstrap,
            seed=seed,
        )
        yardstick = Yardstick()
        yardstick.start()
        progress.start()
        processes.watch()
        # Whatever ends the campaign: nothing may be started again once the deployment is taken down.
        stack.callback(processes.stop_watching)
        load.start()
        callers.start()
        began_s = time.monotonic()
        nemesis.work(plan, seconds_max)
        last_s = time.monotonic()
        outcome.took_s = last_s - began_s
        load.stop()
        callers.stop()
        one.sent.update(load.sent() | callers.sent())
        journal.note(f"all faults are over after {outcome.took_s:.0f} s; {len(one.sent)} inputs")
        # From here on the arena itself starts again what ends.
        processes.stop_watching()
        outcome.rest_s = _rest_s(one, last_s)
        outcome.slower = yardstick.stop()
        progress.stop()
        journal.note(f"at rest {outcome.rest_s and round(outcome.rest_s, 1)} s after the last fault")
        _measure(outcome, journal, progress)
        _check(outcome, one)
        for violation in outcome.violations:
            journal.note(f"{violation.invariant} {violation.subject}: {violation.message}")
        if outcome.violations or outcome.rest_s is None:
            keep(one)
    return outcome


@contextmanager
def _linked(seed: int, links: Links) -> Iterator[Arena]:
    """Make a deployment whose workers and sink reach Kafka, Postgres and the model through links."""
    kafka, postgres, model = (links.by_name[name] for name in LINKS)
    listener = Listener(port=choose_port((None,)), advertised_port=kafka.port)
    environment = {
        "CARTRITA_KAFKA_BOOTSTRAP": f"{LOOPBACK}:{kafka.port}",
        "OPENAI_BASE_URL": f"http://{LOOPBACK}:{model.port}/v1",
    }
    with arena(seed=seed, workers=len(WORKERS), environment=environment, kafka_link=listener) as one:
        kafka.upstream_port = listener.port
        model.upstream_port = urlsplit(one.servers.base_url).port or 0
        one.deployment.start_services(Silent())
        dsn = urlsplit(one.deployment.stack().endpoints().postgres_dsn)
        postgres.upstream_port = dsn.port or 0
        credentials = dsn.netloc.rpartition("@")[0]
        through = dsn._replace(netloc=f"{credentials}@{LOOPBACK}:{postgres.port}")
        one.environment["CARTRITA_POSTGRES_DSN"] = urlunsplit(through)
        one.up()
        yield one


def _rest_s(one: Arena, since_s: float) -> float | None:
    if not one.rest(WATCHED_S):
        return None
    return time.monotonic() - since_s


def _measure(outcome: Outcome, journal: Journal, progress: Progress) -> None:
    """Turn what was noted into recovery times."""
    outcome.blows, outcome.restarts = journal.blows, journal.restarts
    for blow in journal.blows:
        if blow.kind in ("sink_kill", "sink_failpoint", "postgres_kill", "postgres_backend_kill"):
            times = [progress.sink_moves_ms(blow.at_ms)]
        elif blow.kind in ("worker_kill", "worker_failpoint", "worker_twin") and blow.partitions:
            times = progress.moves_ms(blow.at_ms, blow.partitions)
        elif blow.kind in ("kafka_kill", "reset"):
            times = progress.moves_ms(blow.at_ms)
        else:
            continue
        outcome.recoveries += [
            Recovery(kind=blow.kind, alone=blow.alone, took_ms=took_ms) for took_ms in times
        ]


def _check(outcome: Outcome, one: Arena) -> None:
    evidence = one.evidence()
    outcome.inputs = len(one.sent)
    outcome.sessions = len(set(one.sent.values()))
    outcome.records = len(evidence.records)
    outcome.violations = check(evidence)
    outcome.estimates = offs(record.event for record in evidence.records if record.event is not None)
