"""What moves while faults happen: the records that the session shell writes, and where the sink stands."""

import threading
import time
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import psycopg
from confluent_kafka import Consumer, TopicPartition

from tests.chaos.injector import QUIET
from tests.chaos.journal import now_ms

TOPICS: Final = (
    "plans",
    "task.events",
    "budget.events",
    "model.calls",
    "tool.calls",
    "policy.decisions",
    "graph.snapshots",
    "session.outputs",
)
"""Written by the session shell alone."""
ENDS: Final = frozenset({b"AnswerGiven", b"ErrorReported", b"SessionEnded"})
_POLL_S: Final = 0.2
_STOP_S: Final = 20.0


@dataclass(slots=True, kw_only=True)
class _Session:
    partition: int
    first_ms: int
    """The first record about it."""
    ended_ms: int | None = None
    records_ms: list[int]


class Progress:
    """Watches from a thread of its own; times are those that the records carry."""

    def __init__(self, bootstrap: str, dsn: str, partitions: int) -> None:
        """Connect nothing yet."""
        self._bootstrap = bootstrap
        self._dsn = dsn
        self._partitions = partitions
        self._sessions: dict[str, _Session] = {}
        self._sink: list[tuple[int, int]] = []
        """When how many records were in Postgres, whenever that grew."""
        self._records = 0
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._threads = [
            threading.Thread(target=self._watch_log, name="progress-log", daemon=True),
            threading.Thread(target=self._watch_sink, name="progress-sink", daemon=True),
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(_STOP_S)

    def ended(self) -> set[str]:
        """Return the sessions that have had an end."""
        with self._lock:
            return {name for name, one in self._sessions.items() if one.ended_ms is not None}

    def moves_ms(self, at_ms: int, partitions: Collection[int] = ()) -> list[int | None]:
        """Return how long after `at_ms` sessions moved again, by partition that had one open then.

        A session is open from its first record to its end; on each partition the first that moves counts.
        None: none has moved yet.

        Args:
            at_ms: of the fault.
            partitions: only these; empty: all.
        """
        moved: dict[int, int | None] = {}
        with self._lock:
            for one in self._sessions.values():
                is_open = one.first_ms <= at_ms and (one.ended_ms is None or one.ended_ms > at_ms)
                if not is_open or (partitions and one.partition not in partitions):
                    continue
                place = bisect_right(one.records_ms, at_ms)
                took_ms = one.records_ms[place] - at_ms if place < len(one.records_ms) else None
                before = moved.setdefault(one.partition, took_ms)
                if took_ms is not None and (before is None or took_ms < before):
                    moved[one.partition] = took_ms
        return list(moved.values())

    def sink_moves_ms(self, at_ms: int) -> int | None:
        """Return how long after `at_ms` Postgres had a new record; None: it has none yet."""
        with self._lock:
            place = bisect_right(self._sink, (at_ms, 2**62))
            return self._sink[place][0] - at_ms if place < len(self._sink) else None

    def _watch_log(self) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap,
                "group.id": "progress",
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "reconnect.backoff.max.ms": 500,
                **QUIET,
            }
        )
        consumer.assign(
            [TopicPartition(topic, number, 0) for topic in TOPICS for number in range(self._partitions)]
        )
        try:
            while not self._stopping.is_set():
                for record in consumer.consume(500, timeout=_POLL_S):
                    if record.error() is None and record.key():
                        self._note(
                            (record.key() or b"").decode(errors="replace"),
                            record.partition() or 0,
                            record.timestamp()[1],
                            dict(record.headers() or []).get("ce_type"),
                        )
        finally:
            consumer.close()

    def _note(self, session: str, partition: int, at_ms: int, kind: object) -> None:
        with self._lock:
            one = self._sessions.get(session)
            if one is None:
                one = self._sessions[session] = _Session(partition=partition, first_ms=at_ms, records_ms=[])
            # Topics arrive beside each other; times are kept in order.
            place = bisect_right(one.records_ms, at_ms)
            one.records_ms.insert(place, at_ms)
            one.first_ms = min(one.first_ms, at_ms)
            if isinstance(kind, bytes) and any(kind.endswith(end) for end in ENDS) and one.ended_ms is None:
                one.ended_ms = at_ms

    def _watch_sink(self) -> None:
        connection: psycopg.Connection | None = None
        while not self._stopping.is_set():
            try:
                if connection is None:
                    connection = psycopg.connect(self._dsn, autocommit=True, connect_timeout=2)
                row = connection.execute("SELECT coalesce(sum(next_offset), 0) FROM sink_offsets").fetchone()
                count = int(row[0]) if row is not None else 0
                if count > self._records:
                    self._records = count
                    with self._lock:
                        self._sink.append((now_ms(), count))
            except psycopg.Error:
                if connection is not None:
                    connection.close()
                connection = None
            time.sleep(_POLL_S)
        if connection is not None:
            connection.close()
