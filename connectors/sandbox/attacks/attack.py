"""What an attack is, and what is known after it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from connectors.sandbox.limits import MIB, Limits
from connectors.sandbox.result import ExecutionResult, Status

Target = Mapping[str, object]
"""Where the witness has set up what an attack may aim at; JSON values by name."""

AttackFunction = Callable[..., str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class IsolationAttack:
    """Tries to reach something outside; many run in one process, one after the other."""

    name: str
    group: str
    source: str
    """A function `attack(target, *arguments)` that returns what it achieved, or None."""
    arguments: tuple[object, ...] = ()
    alone: bool = False
    """Run in a process of its own, because a refusal may end it."""
    canary: bool = False
    """Part of the attack that decides, at the start of a sandbox, whether its tier holds."""
    succeeds_outside: bool = False
    """Harmless, and known to succeed without a sandbox: the tests prove with these that attacks can bite."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExhaustionAttack:
    """Tries to use up something; must end by a limit or in one of the ways named, and leave nothing."""

    name: str
    code: str
    ends: frozenset[Status]
    """How it may end besides LIMITED; any limit is right: the machine's speed says which comes first."""
    limits: Limits = field(
        default_factory=lambda: Limits(
            cpu_ms=1_000,
            memory_bytes=256 * MIB,
            output_bytes=64 * 1024,
            disk_bytes=8 * MIB,
            inodes=200,
            threads=32,
            artefacts_bytes=1 * MIB,
        )
    )
    timeout_ms: int = 15_000


Judge = Callable[[ExecutionResult], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResultAttack:
    """Tries to deceive the parent by what it returns, prints or leaves behind."""

    name: str
    code: str
    judge: Judge
    """Returns what the attack achieved, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one attack."""

    name: str
    group: str
    stopped: bool
    detail: str
    """How it was stopped, what it achieved, or why it could not be carried out."""
    carried_out: bool = True
    """What could not be carried out counts as not stopped, and yet got nowhere."""


def isolation(
    group: str,
    *functions: AttackFunction,
    alone: bool = False,
    canary: bool = False,
    succeeds_outside: bool = False,
) -> tuple[IsolationAttack, ...]:
    """Return one attack per function, named after it."""
    return tuple(
        IsolationAttack(
            name=function.__name__,
            group=group,
            source=source_of(function),
            alone=alone,
            canary=canary,
            succeeds_outside=succeeds_outside,
        )
        for function in functions
    )


def source_of(function: AttackFunction) -> str:
    """Return the function's source text under the name `attack`; it must import all that it uses itself."""
    source = inspect.getsource(function).replace(f"def {function.__name__}(", "def attack(", 1)
    # Its annotations name types of this project, which do not exist where it runs.
    return "from __future__ import annotations\n" + source
