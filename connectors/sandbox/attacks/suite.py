"""Carries out the whole suite in one tier of this machine."""

from __future__ import annotations

import dataclasses
import os
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
# None of these goes on for ever; on a slow machine each must still come to what it wants to do.
_DECEPTION_MS_MAX = 60_000
_START_MS_MAX = 120_000


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
    executor = patient(executor)
    scratch = executor.scratch_parent.path
    before = set(os.listdir(scratch))

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
    note((_leftovers(sorted(set(os.listdir(scratch)) - before)),))
    return tuple(found)


def run_isolation(
    executor: Executor, tier: Tier, attacks: Sequence[IsolationAttack], bait: Witness
) -> tuple[Outcome, ...]:
    """Carry out `attacks` and return their outcomes, with one more for each damage that the host saw."""
    found: list[Outcome] = []
    waiting = harness.batches(attacks, bait.target)
    while waiting:
        batch = waiting.pop(0)
        try:
            result = execute(executor, tier, harness.request(batch, bait.target))
        except SandboxError as error:
            found.extend(_failed(attack.name, attack.group, str(error)) for attack in batch)
            continue
        if result.status is Status.LIMITED and len(batch) > 1:
            # A machine too slow for all of them together says nothing about any of them.
            half = len(batch) // 2
            waiting[:0] = (batch[:half], batch[half:])
        else:
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
    detail = f"{result.status}, limit {result.limit_hit or 'none'}, {result.execution_ms:.0f} ms"
    if result.error is not None:
        detail += f", {result.error.type}"
    broken = result.error is not None and result.error.type in ("SyntaxError", "NameError")
    stopped = result.status is Status.LIMITED or (result.status in attack.ends and not broken)
    return Outcome(name=attack.name, group="exhaustion", stopped=stopped, detail=detail)


def run_deception(executor: Executor, tier: Tier, attack: ResultAttack) -> Outcome:
    """Carry out one attack on the parent and return its outcome."""
    try:
        result = execute(executor, tier, ExecutionRequest(code=attack.code, timeout_ms=_DECEPTION_MS_MAX))
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
    try:
        first = execute(executor, tier, ExecutionRequest(code=succession.PLANT))
        second = execute(executor, tier, ExecutionRequest(code=succession.SEARCH))
    except SandboxError as error:
        return _failed(succession.NAME, succession.GROUP, str(error))
    return succession.outcome(first, second)


def _leftovers(names: Sequence[str]) -> Outcome:
    """Return whether the attacks, which leave what they can, have left anything once their runs are over."""
    detail = f"on the host there is still {', '.join(names)}"[:300] if names else "nothing is left of any run"
    return Outcome(name="leave_files_on_the_host", group="exhaustion", stopped=not names, detail=detail)


def execute(executor: Executor, tier: Tier, request: ExecutionRequest) -> ExecutionResult:
    """Run one request to its end, without listening to its output."""
    return executor.execute(tier, request, lambda _: None, threading.Event(), "attack-suite")


def with_limits(executor: Executor, limits: Limits) -> Executor:
    """Return `executor` with other limits, except for how long it waits for a start."""
    limits = dataclasses.replace(limits, start_ms_max=executor.host.limits.start_ms_max)
    return dataclasses.replace(executor, host=dataclasses.replace(executor.host, limits=limits))


def patient(executor: Executor) -> Executor:
    """Return `executor` as one that waits long for a start: that a machine is slow says nothing of a tier."""
    limits = dataclasses.replace(executor.host.limits, start_ms_max=_START_MS_MAX)
    return dataclasses.replace(executor, host=dataclasses.replace(executor.host, limits=limits))


def _failed(name: str, group: str, reason: str) -> Outcome:
    return Outcome(name=name, group=group, stopped=False, detail=reason[:300], carried_out=False)
