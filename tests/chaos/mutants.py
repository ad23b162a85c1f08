"""Programs with one promise taken out each; the checker has to notice every one.

They are the simulation's mutants, put into real workers, and one of the sink.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Final
from unittest.mock import patch

from processors.projections.event_log import LogRow
from sinks.writer import Writer
from streams.records.delivery import Delivery
from streams.shells import stateful as stateful_app
from streams.stateful.shell import StatefulShell
from tests.simulation import mutants

Patch = Callable[[], AbstractContextManager[object]]
COMMIT_S: Final = 1.2
"""Longer than the interval at which offsets are committed."""


class CommitFirst(StatefulShell[object]):
    """Acknowledges before anything is stored, and takes its time, so that the offsets are committed."""

    async def process(self, deliveries: Sequence[Delivery]) -> None:
        """Take a batch in the wrong order."""
        self._out.acknowledge(deliveries)
        await asyncio.sleep(COMMIT_S)
        await super().process(deliveries)


async def _log_as_if_fresh(self: Writer, rows: Sequence[LogRow], text: bytes) -> set[tuple[str, int, int]]:
    """Count every record, also one whose event is logged already."""
    await _log(self, rows, text)
    return {(row.topic, row.partition, row.offset) for row in rows}


_log = Writer._log


def _shell(kind: type[StatefulShell[object]]) -> Patch:
    return lambda: patch.object(stateful_app, "StatefulShell", kind)


MUTANTS: Final[Mapping[str, Patch]] = MappingProxyType(
    {
        "none": nullcontext,
        "dedupe-off": _shell(mutants.DedupeOff),
        "commit-first": _shell(CommitFirst),
        "one-event-dropped": _shell(mutants.OneEventDropped),
        "outbox-skipped": _shell(mutants.OutboxSkipped),
        "budget-check-after-the-call": mutants.checked_after_the_call,
        "ledger-not-consulted": mutants.ledger_not_consulted,
        "repeated-calls-run-again": mutants.repeats_run,
        "repeats-counted-in-postgres": lambda: patch.object(Writer, "_log", _log_as_if_fresh),
    }
)
"""By name; `none` has all promises."""
