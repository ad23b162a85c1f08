"""Programs with one promise taken out each; the checker has to notice every one.

They are the simulation's mutants of the shells, put into a real worker, and one of the sink.
"""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from types import MappingProxyType
from typing import Final
from unittest.mock import patch

from streams import stateful_app
from streams.stateful_shell import StatefulShell
from tests.simulation import mutants

Patch = Callable[[], AbstractContextManager[object]]


def _shell(kind: type[StatefulShell[object]]) -> Patch:
    return lambda: patch.object(stateful_app, "StatefulShell", kind)


MUTANTS: Final[Mapping[str, Patch]] = MappingProxyType(
    {
        "none": nullcontext,
        "dedupe-off": _shell(mutants.DedupeOff),
        "commit-first": _shell(mutants.CommitFirst),
        "one-event-dropped": _shell(mutants.OneEventDropped),
        "outbox-skipped": _shell(mutants.OutboxSkipped),
        "budget-check-after-the-call": mutants.checked_after_the_call,
    }
)
