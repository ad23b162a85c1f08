"""Makes the faults of a schedule, several at a time, and notes when each began and was over."""

import math
import resource
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

import psycopg
from confluent_kafka import KafkaException

from tests.chaos.arena import Arena
from tests.chaos.faults import Planned
from tests.chaos.groups import Groups
from tests.chaos.injector import Injector
from tests.chaos.journal import Blow, Journal, now_ms
from tests.chaos.kinds import WORKERS
from tests.chaos.links import Links, Weather
from tests.chaos.load import Load
from tests.chaos.processes import MODEL, Processes, send
from tests.chaos.progress import Progress

OVERLAP_MAX: Final = 4
"""Faults at a time."""
READY_S: Final = 45.0
"""How long a process may take until it is ready; a busy machine needs several times what a quiet one does."""
REACHED_S: Final = 8.0
"""How long a failpoint may take to be reached once the process is ready."""
RECOVERED_S: Final = 40.0
"""How long a fault that has the deployment for itself is waited for."""
_QUIET_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Struck:
    """What a fault says about itself."""

    at_ms: int
    healed_ms: int
    partitions: tuple[int, ...] = ()
    outcome: str = ""


class Nemesis:
    """Works through a schedule."""

    def __init__(
        self,
        arena: Arena,
        *,
        processes: Processes,
        links: Links,
        load: Load,
        progress: Progress,
        journal: Journal,
        dsn: str,
        bootstrap: str,
        seed: int,
    ) -> None:
        """Take what can be broken.

        Args:
            arena: the deployment.
            processes: its processes.
            links: in front of its services.
            load: what is posted to it.
            progress: what moves.
            journal: takes notes.
            dsn: of Postgres, past the link.
            bootstrap: of Kafka, past the link.
            seed: of what is forged.
        """
        self._arena = arena
        self._processes = processes
        self._links = links
        self._load = load
        self._progress = progress
        self._journal = journal
        self._dsn = dsn
        self._partitions = arena.settings.partitions
        self._injector = Injector(bootstrap, seed=seed)
        self._groups = Groups(bootstrap, arena.settings.app_id)
        self._pause = threading.Event()

    def work(self, plan: Sequence[Planned], seconds_max: float = math.inf) -> None:
        """Make every fault, and return when all are over; after `seconds_max` none begins any more."""
        running: set[Future[None]] = set()
        deadline_s = time.monotonic() + seconds_max
        with ThreadPoolExecutor(OVERLAP_MAX, thread_name_prefix="nemesis") as pool:
            for planned in plan:
                if time.monotonic() > deadline_s:
                    self._journal.note(f"time is up: {planned.number - 1} of {len(plan)} faults were made")
                    break
                self._pause.wait(planned.gap_s)
                room = 1 if planned.alone else OVERLAP_MAX
                while len(running) >= room:
                    self._reap(wait(running, return_when=FIRST_COMPLETED).done)
                    running = {one for one in running if not one.done()}
                if planned.alone:
                    self._wait_for_quiet()
                running.add(pool.submit(self._strike, planned))
                if planned.alone:
                    self._reap(wait(running).done)
                    running.clear()
                    self._wait_for_recovery()
            self._reap(wait(running).done)

    def _reap(self, done: set[Future[None]]) -> None:
        for one in done:
            one.result()

    def _strike(self, planned: Planned) -> None:
        self._journal.began(planned)
        make: Callable[[Planned], Struck] = getattr(self, f"_{planned.kind}")
        with self._processes.held(*self._held(planned)):
            struck = make(planned)
        self._journal.struck(
            Blow(
                number=planned.number,
                kind=planned.kind,
                target=planned.target,
                detail=planned.detail,
                alone=planned.alone,
                at_ms=struck.at_ms,
                healed_ms=struck.healed_ms,
                partitions=struck.partitions,
                outcome=struck.outcome,
            )
        )

    def _held(self, planned: Planned) -> tuple[str, ...]:
        if planned.kind == "reset":
            return WORKERS
        if planned.kind in ("link", "duplicate", "replay", "poison", "forge"):
            return ()
        return (planned.target,)

    def _wait_for_quiet(self) -> None:
        """Wait until sessions move on every partition that has some, and the sink too."""
        deadline_s = time.monotonic() + _QUIET_S
        at_ms = now_ms()
        while time.monotonic() < deadline_s:
            moved = self._progress.moves_ms(at_ms)
            if None not in moved and moved and self._progress.sink_moves_ms(at_ms) is not None:
                return
            self._pause.wait(0.2)

    def _wait_for_recovery(self) -> None:
        blow = self._journal.blows[-1]
        deadline_s = time.monotonic() + RECOVERED_S
        while time.monotonic() < deadline_s:
            moved = self._progress.moves_ms(blow.at_ms, blow.partitions)
            if None not in moved and self._progress.sink_moves_ms(blow.at_ms) is not None:
                return
            self._pause.wait(0.2)

    def _owned(self, worker: str) -> tuple[int, ...]:
        return self._groups.owned("session", worker)

    def _kill(self, planned: Planned) -> Struck:
        partitions = self._owned(planned.target) if planned.target in WORKERS else ()
        self._processes.kill(planned.target)
        at_ms = now_ms()
        self._pause.wait(planned.seconds)
        self._processes.start(planned.target)
        return Struck(at_ms=at_ms, healed_ms=now_ms(), partitions=partitions)

    _worker_kill = _sink_kill = _kafka_kill = _postgres_kill = _registry_kill = _model_kill = _kill

    def _freeze(self, planned: Planned) -> Struck:
        at_ms = now_ms()
        self._processes.signal(planned.target, signal.SIGSTOP)
        self._pause.wait(planned.seconds)
        self._processes.signal(planned.target, signal.SIGCONT)
        return Struck(at_ms=at_ms, healed_ms=now_ms())

    _worker_freeze = _worker_zombie = _sink_zombie = _freeze
    _kafka_freeze = _registry_freeze = _model_freeze = _freeze

    def _failpoint(self, planned: Planned) -> Struck:
        reached = self._reached(planned, planned.detail) == "ended"
        partitions = self._owned(planned.target) if planned.target in WORKERS else ()
        if not reached:
            self._processes.kill(planned.target)
        at_ms = now_ms()
        self._processes.start(planned.target)
        outcome = "reached" if reached else "not reached"
        return Struck(at_ms=at_ms, healed_ms=now_ms(), partitions=partitions, outcome=outcome)

    _worker_failpoint = _sink_failpoint = _failpoint

    def _worker_zombie_at_failpoint(self, planned: Planned) -> Struck:
        reached = self._reached(planned, f"{planned.detail}:stop") == "stopped"
        at_ms = now_ms()
        if reached:
            self._pause.wait(planned.seconds)
        self._processes.signal(planned.target, signal.SIGCONT)
        return Struck(at_ms=at_ms, healed_ms=now_ms(), outcome="reached" if reached else "not reached")

    def _reached(self, planned: Planned, failpoint: str) -> str:
        """Arm a failpoint where it can be reached, and wait; tells how the process then is."""
        name, target = failpoint.partition(":")[0], planned.target
        if name == "recovered":
            self._processes.kill(target)
            self._processes.start(target, {"CARTRITA_FAILPOINT": failpoint})
            return self._processes.wait_for_end(target, READY_S)
        self._processes.wait_for_ready(target, READY_S)
        self._processes.arm(target, failpoint)
        if name == "revoked":
            # An end in order begins with giving up the partitions.
            self._processes.signal(target, signal.SIGTERM)
        return self._processes.wait_for_end(target, REACHED_S)

    def _worker_restart(self, planned: Planned) -> Struck:
        at_ms = now_ms()
        self._arena.deployment.stop_part(planned.target)
        self._processes.start(planned.target)
        return Struck(at_ms=at_ms, healed_ms=now_ms())

    def _worker_joins(self, planned: Planned) -> Struck:
        at_ms = now_ms()
        self._processes.start(planned.target)
        self._pause.wait(planned.seconds)
        self._processes.kill(planned.target)
        return Struck(at_ms=at_ms, healed_ms=now_ms())

    def _worker_twin(self, planned: Planned) -> Struck:
        """Start a second process of one identity; it waits for the lock, and takes over at the kill."""
        twin = f"twin-of-{planned.target}"
        self._processes.start(twin, {"CARTRITA_IDENTITY": planned.target})
        self._pause.wait(planned.seconds)
        partitions = self._owned(planned.target)
        self._processes.kill(planned.target)
        at_ms = now_ms()
        self._pause.wait(planned.seconds)
        self._processes.kill(twin)
        self._processes.start(planned.target)
        return Struck(at_ms=at_ms, healed_ms=now_ms(), partitions=partitions)

    def _reset(self, planned: Planned) -> Struck:
        for worker in WORKERS:
            self._processes.kill(worker)
        at_ms = now_ms()
        outcome = self._groups.reset(planned.target)
        for worker in WORKERS:
            self._processes.start(worker)
        return Struck(at_ms=at_ms, healed_ms=now_ms(), outcome=outcome)

    def _postgres_backend_kill(self, planned: Planned) -> Struck:
        at_ms = now_ms()
        backends = self._backends(
            "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'cartrita-sink%'"
        )
        for pid in backends[:1]:
            send(pid, signal.SIGKILL)
        return Struck(at_ms=at_ms, healed_ms=now_ms(), outcome="" if backends else "no backend")

    def _postgres_terminate(self, planned: Planned) -> Struck:
        at_ms = now_ms()
        ended = self._backends(
            "SELECT pg_terminate_backend(pid)::int FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        return Struck(at_ms=at_ms, healed_ms=now_ms(), outcome=f"{len(ended)} backends")

    def _postgres_lock(self, planned: Planned) -> Struck:
        at_ms = now_ms()
        outcome = ""
        try:
            with psycopg.connect(self._dsn, connect_timeout=5) as connection:
                connection.execute("SELECT 1 FROM sink_offsets FOR UPDATE")
                self._pause.wait(planned.seconds)
        except psycopg.Error as error:
            outcome = type(error).__name__
        return Struck(at_ms=at_ms, healed_ms=now_ms(), outcome=outcome)

    def _backends(self, query: str) -> list[int]:
        try:
            with psycopg.connect(self._dsn, autocommit=True, connect_timeout=5) as connection:
                return [int(row[0]) for row in connection.execute(query.encode()).fetchall()]
        except psycopg.Error:
            return []

    def _model_misbehaves(self, planned: Planned) -> Struck:
        at_ms = now_ms()
        self._processes.start(MODEL)
        self._arena.servers.misbehave(float(planned.detail))
        self._pause.wait(planned.seconds)
        self._processes.start(MODEL)
        self._arena.servers.behave()
        return Struck(at_ms=at_ms, healed_ms=now_ms())

    def _link(self, planned: Planned) -> Struck:
        at_ms = now_ms()
        self._links.turn(planned.target, Weather(planned.detail))
        self._pause.wait(planned.seconds)
        self._links.turn(planned.target, Weather.CLEAR)
        return Struck(at_ms=at_ms, healed_ms=now_ms())

    def _duplicate(self, planned: Planned) -> Struck:
        return self._written(lambda: self._load.post_again(int(planned.detail)))

    def _replay(self, planned: Planned) -> Struck:
        partition = planned.number % self._partitions
        return self._written(lambda: self._injector.replay(planned.target, partition, int(planned.detail)))

    def _poison(self, planned: Planned) -> Struck:
        partition = planned.number % self._partitions
        return self._written(lambda: self._injector.poison(planned.target, partition, planned.detail))

    def _forge(self, planned: Planned) -> Struck:
        partition = planned.number % self._partitions
        return self._written(lambda: self._injector.forge(planned.target, partition))

    def _written(self, write: Callable[[], int]) -> Struck:
        at_ms = now_ms()
        try:
            outcome = f"{write()} records"
        except (KafkaException, AssertionError) as error:
            outcome = f"Kafka took none: {error}"
        return Struck(at_ms=at_ms, healed_ms=now_ms(), outcome=outcome)

    def _logs_full(self, planned: Planned) -> Struck:
        return self._limited(planned, resource.RLIMIT_FSIZE, 0)

    def _files_full(self, planned: Planned) -> Struck:
        return self._limited(planned, resource.RLIMIT_NOFILE, 8)

    def _limited(self, planned: Planned, limit: int, value: int) -> Struck:
        at_ms = now_ms()
        with self._processes.limited(planned.target, limit, value) as ran:
            self._pause.wait(planned.seconds)
        survived = self._processes.pid(planned.target) is not None
        outcome = "did not run" if not ran else "went on" if survived else "ended"
        return Struck(at_ms=at_ms, healed_ms=now_ms(), outcome=outcome)
