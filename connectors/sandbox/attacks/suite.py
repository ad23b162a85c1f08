"""Carries out the whole suite in one tier of this machine."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from connectors.sandbox.attacks import (
    deception,
    exhaustion,
    harness,
    interpreter,
    kernel,
    network,
    processes,
    reading,
    succession,
    writing,
)
from connectors.sandbox.attacks.attack import ExhaustionAttack, IsolationAttack, Outcome, ResultAttack
from connectors.sandbox.attacks.witness import Witness, witness
from connectors.sandbox.errors import SandboxError
from connectors.sandbox.execution import Executor
from connectors.sandbox.limits import Limits
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.result import ExecutionResult, Status
from connectors.sandbox.tier import Tier

ISOLATION: tuple[IsolationAttack, ...] = (
    *reading.ATTACKS,
    *writing.ATTACKS,
    *network.ATTACKS,
    *processes.ATTACKS,
    *kernel.ATTACKS,
    *interpreter.ATTACKS,
)
EXHAUSTION: tuple[ExhaustionAttack, ...] = exhaustion.ATTACKS
DECEPTION: tuple[ResultAttack, ...] = deception.ATTACKS

# An attack on time must be over soon after its timeout; the rest is starting and clearing up.
_GRACE_MS = 10_000


def run_suite(
    executor: Executor, tier: Tier, on_outcome: Callable[[Outcome], None], parallel: int = 2
) -> tuple[Outcome, ...]:
    """Carry out every attack in `tier` and return the outcomes; takes about a minute and a half.

    Args:
        executor: of this machine; its limits are replaced for attacks that bring their own.
        tier: the isolation to attack.
        on_outcome: told of each outcome as it is known.
        parallel: how many runs at a time.
    """
    found: list[Outcome] = []

    def note(outcomes: Sequence[Outcome]) -> None:
        found.extend(outcomes)
        for outcome in outcomes:
            on_outcome(outcome)

    with witness() as bait:
        note(run_isolation(executor, tier, ISOLATION, bait))
    note((run_succession(executor, tier),))
    with ThreadPoolExecutor(parallel) as pool:
        for outcome in pool.map(lambda attack: run_deception(executor, tier, attack), DECEPTION):
            note((outcome,))
        for outcome in pool.map(lambda attack: run_exhaustion(executor, tier, attack), EXHAUSTION):
            note((outcome,))
    return tuple(found)


def run_isolation(
    executor: Executor, tier: Tier, attacks: Sequence[IsolationAttack], bait: Witness
) -> tuple[Outcome, ...]:
    """Carry out `attacks` and return their outcomes, with one more for each damage that the host saw."""
    found: list[Outcome] = []
    for batch in harness.batches(attacks, bait.target):
        try:
            result = execute(executor, tier, harness.request(batch, bait.target))
        except SandboxError as error:
            found.extend(_failed(attack.name, attack.group, str(error)) for attack in batch)
            continue
        found.extend(harness.outcomes(batch, result))
        found.extend(bait.damage())
    return tuple(found)


def run_exhaustion(executor: Executor, tier: Tier, attack: ExhaustionAttack) -> Outcome:
    """Carry out one attack under its own limits and return its outcome."""
    bounded = with_limits(executor, attack.limits)
    request = ExecutionRequest(code=attack.code, timeout_ms=attack.timeout_ms)
    try:
        result = execute(bounded, tier, request)
    except SandboxError as error:
        return _failed(attack.name, "exhaustion", str(error))
    ended = {result.status} | ({result.limit_hit} if result.limit_hit else set())
    detail = f"{result.status}, limit {result.limit_hit or 'none'}, {result.execution_ms:.0f} ms"
    if result.error is not None:
        detail += f", {result.error.type}"
    broken = result.error is not None and result.error.type in ("SyntaxError", "NameError")
    stopped = bool(ended & attack.expected) and not broken
    stopped = stopped and result.execution_ms <= attack.timeout_ms + _GRACE_MS
    return Outcome(name=attack.name, group="exhaustion", stopped=stopped, detail=detail)


def run_deception(executor: Executor, tier: Tier, attack: ResultAttack) -> Outcome:
    """Carry out one attack on the parent and return its outcome."""
    try:
        result = execute(executor, tier, ExecutionRequest(code=attack.code, timeout_ms=5_000))
    except SandboxError as error:
        return _failed(attack.name, "deception", str(error))
    achieved = attack.judge(result)
    if achieved is None and result.error is not None and result.error.type in ("SyntaxError", "NameError"):
        achieved = f"the attack itself broke: {result.error.message}"
    ended = f"{result.status}" + (
        "" if result.status is Status.COMPLETED else f" ({result.limit_hit or '-'})"
    )
    return Outcome(
        name=attack.name,
        group="deception",
        stopped=achieved is None,
        detail=ended if achieved is None else achieved,
    )


def run_succession(executor: Executor, tier: Tier) -> Outcome:
    """Run two requests after each other and return whether anything came over."""
    first = execute(executor, tier, ExecutionRequest(code=succession.PLANT))
    second = execute(executor, tier, ExecutionRequest(code=succession.SEARCH))
    return succession.outcome(first, second)


def execute(executor: Executor, tier: Tier, request: ExecutionRequest) -> ExecutionResult:
    """Run one request to its end, without listening to its output."""
    return executor.execute(tier, request, lambda _: None, threading.Event(), "attack-suite")


def with_limits(executor: Executor, limits: Limits) -> Executor:
    """Return `executor` with other limits."""
    return dataclasses.replace(executor, host=dataclasses.replace(executor.host, limits=limits))


def _failed(name: str, group: str, reason: str) -> Outcome:
    return Outcome(name=name, group=group, stopped=False, detail=f"could not be carried out: {reason}"[:300])
