"""What can go wrong, where, and how often."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.chaos.forger import FORGED_OF

WORKERS: Final = ("worker-1", "worker-2")
SINK: Final = "sink-1"
LINKS: Final = ("kafka", "postgres", "model")
LOG_TOPICS: Final = (
    "session.inputs",
    "session.timers",
    "model.calls",
    "model.results",
    "tool.calls",
    "tool.results",
    "tool.outcomes",
    "account.requests",
    "account.events",
    "task.events",
    "budget.events",
    "session.outputs",
)
"""Whose records are written again."""
POISONED_TOPICS: Final = ("user.inputs", "session.inputs", "model.results", "model.calls", "tool.results")
RESET_SHELLS: Final = ("ingress", "fork", "session", "model", "tool", "account", "capability", "schedule")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind of fault."""

    name: str
    matrix: str
    """Its row of the fault matrix."""
    targets: tuple[str, ...]
    weight: int
    text: str
    """For the report."""
    seconds: tuple[float, float] = (0.0, 0.0)
    """How long it lasts, at least and at most."""
    on_process: bool = True
    weight_short: int = 0
    """In a short campaign; 0: it takes too long for one."""


KINDS: Final[Mapping[str, Kind]] = {
    kind.name: kind
    for kind in (
        Kind(
            name="worker_kill",
            matrix="F1",
            targets=WORKERS,
            weight=30,
            weight_short=5,
            text="SIGKILL, restart",
        ),
        Kind(
            name="worker_failpoint",
            matrix="F1",
            targets=WORKERS,
            weight=51,
            weight_short=6,
            text="SIGKILL at a failpoint, restart",
        ),
        Kind(
            name="worker_freeze",
            matrix="F2",
            targets=WORKERS,
            weight=6,
            weight_short=2,
            seconds=(1, 4),
            text="SIGSTOP shorter than the session timeout, SIGCONT",
        ),
        Kind(
            name="worker_zombie",
            matrix="F2",
            targets=WORKERS,
            weight=12,
            seconds=(10, 14),
            text="SIGSTOP longer than the session timeout, SIGCONT",
        ),
        Kind(
            name="worker_zombie_at_failpoint",
            matrix="F2",
            targets=WORKERS,
            weight=8,
            seconds=(10, 14),
            text="SIGSTOP at a failpoint, longer than the session timeout, SIGCONT",
        ),
        Kind(
            name="worker_restart",
            matrix="F1",
            targets=WORKERS,
            weight=8,
            weight_short=1,
            text="SIGTERM, restart",
        ),
        Kind(
            name="worker_joins",
            matrix="F1",
            targets=("worker-3",),
            weight=6,
            seconds=(8, 14),
            text="a third worker joins, and is killed",
        ),
        Kind(
            name="worker_twin",
            matrix="F3",
            targets=WORKERS,
            weight=8,
            seconds=(2, 4),
            text="a second process of the same identity, then SIGKILL of the first, later of the second",
        ),
        Kind(
            name="sink_kill", matrix="F1", targets=(SINK,), weight=14, weight_short=3, text="SIGKILL, restart"
        ),
        Kind(
            name="sink_failpoint",
            matrix="F1",
            targets=(SINK,),
            weight=15,
            weight_short=3,
            text="SIGKILL at a failpoint, restart",
        ),
        Kind(
            name="sink_zombie",
            matrix="F2",
            targets=(SINK,),
            weight=4,
            seconds=(10, 14),
            text="SIGSTOP longer than the session timeout, SIGCONT",
        ),
        Kind(
            name="kafka_kill",
            matrix="F4",
            targets=("kafka",),
            weight=14,
            weight_short=1,
            seconds=(0, 2),
            text="SIGKILL, restart",
        ),
        Kind(
            name="kafka_freeze",
            matrix="F4",
            targets=("kafka",),
            weight=6,
            weight_short=1,
            seconds=(2, 10),
            text="SIGSTOP, SIGCONT",
        ),
        Kind(
            name="postgres_kill",
            matrix="F5",
            targets=("postgres",),
            weight=14,
            weight_short=1,
            text="SIGKILL, restart",
        ),
        Kind(
            name="postgres_backend_kill",
            matrix="F5",
            targets=("postgres",),
            weight=6,
            weight_short=1,
            text="SIGKILL of the sink's backend: Postgres restarts all of them",
        ),
        Kind(
            name="postgres_terminate",
            matrix="F5",
            targets=("postgres",),
            weight=6,
            weight_short=2,
            text="pg_terminate_backend of all of our connections",
        ),
        Kind(
            name="postgres_lock",
            matrix="F5",
            targets=("postgres",),
            weight=5,
            seconds=(3, 30),
            text="another transaction holds the rows that the sink needs",
            on_process=False,
        ),
        Kind(
            name="registry_kill",
            matrix="F4",
            targets=("registry",),
            weight=5,
            weight_short=1,
            text="SIGKILL, restart",
        ),
        Kind(
            name="registry_freeze",
            matrix="F4",
            targets=("registry",),
            weight=3,
            seconds=(3, 8),
            text="SIGSTOP, SIGCONT",
        ),
        Kind(
            name="model_kill",
            matrix="F8, F9",
            targets=("model",),
            weight=6,
            weight_short=1,
            seconds=(0, 2),
            text="SIGKILL of the model and tool server, restart",
        ),
        Kind(
            name="model_freeze",
            matrix="F8, F9",
            targets=("model",),
            weight=4,
            seconds=(2, 9),
            text="SIGSTOP of the model and tool server, SIGCONT",
        ),
        Kind(
            name="model_misbehaves",
            matrix="F8, F9",
            targets=("model",),
            weight=12,
            weight_short=2,
            seconds=(4, 10),
            text="429, 500, nothing, half a JSON, slow, late, twice …",
            on_process=False,
        ),
        Kind(
            name="link",
            matrix="F6",
            targets=LINKS,
            weight=30,
            weight_short=3,
            seconds=(2, 8),
            text="the network between our processes and a service",
            on_process=False,
        ),
        Kind(
            name="duplicate",
            matrix="F10",
            targets=("user.inputs",),
            weight=8,
            weight_short=1,
            text="the latest inputs are posted again",
            on_process=False,
        ),
        Kind(
            name="replay",
            matrix="F10",
            targets=LOG_TOPICS,
            weight=24,
            weight_short=3,
            text="the latest records of a partition are written again behind newer ones",
            on_process=False,
        ),
        Kind(
            name="reset",
            matrix="F10",
            targets=RESET_SHELLS,
            weight=6,
            seconds=(0, 0),
            text="SIGKILL of all workers; a group's offsets go back to the earliest",
        ),
        Kind(
            name="poison",
            matrix="F14",
            targets=POISONED_TOPICS,
            weight=15,
            weight_short=2,
            text="a record that cannot be used",
            on_process=False,
        ),
        Kind(
            name="forge",
            matrix="F14",
            targets=FORGED_OF,
            weight=10,
            weight_short=2,
            text="a stranger tells the outcome of a call, twice",
            on_process=False,
        ),
        Kind(
            name="logs_full",
            matrix="F13",
            targets=(*WORKERS, SINK),
            weight=4,
            seconds=(3, 6),
            text="log files cannot grow (RLIMIT_FSIZE)",
            on_process=False,
        ),
        Kind(
            name="files_full",
            matrix="F13",
            targets=(*WORKERS, SINK),
            weight=4,
            seconds=(2, 5),
            text="no file or connection can be opened (RLIMIT_NOFILE)",
            on_process=False,
        ),
    )
}
