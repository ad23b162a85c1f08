"""Sends isolation attacks into a sandbox, many per process, and reads what they report."""

from __future__ import annotations

import json
from collections.abc import Sequence

from connectors.sandbox.attacks.attack import IsolationAttack, Outcome, Target
from connectors.sandbox.limits import CODE_BYTES_MAX
from connectors.sandbox.request import ExecutionRequest
from connectors.sandbox.result import ExecutionResult, Status

# Reported at the end, so that a batch which broke off does not pass for one that was stopped.
FINISHED = "finished"
BATCH_TIMEOUT_MS = 60_000

_PROGRAM = """
import json
attacks, target = json.loads({attacks!r}), json.loads({target!r})
outcomes = {{}}
for name, source, arguments in attacks:
    space = {{"__name__": "attack"}}
    try:
        exec(source, space)
        achieved = space["attack"](target, *arguments)
        outcomes[name] = [achieved is None, "no effect" if achieved is None else str(achieved)[:200]]
    except (NameError, SyntaxError) as error:
        outcomes[name] = [False, f"the attack itself broke: {{error}}"]
    except BaseException as error:
        outcomes[name] = [True, f"{{type(error).__name__}}: {{error}}"[:120]]
outcomes[{finished!r}] = [True, ""]
outcomes
"""


def program(attacks: Sequence[IsolationAttack], target: Target) -> str:
    """Return the code that carries out `attacks`, one after the other, and returns their outcomes."""
    described = json.dumps([(attack.name, attack.source, attack.arguments) for attack in attacks])
    return _PROGRAM.format(attacks=described, target=json.dumps(target), finished=FINISHED)


def batches(attacks: Sequence[IsolationAttack], target: Target) -> list[tuple[IsolationAttack, ...]]:
    """Return the attacks in groups that share a process: those that must be alone, and the rest."""
    alone = [(attack,) for attack in attacks if attack.alone]
    together: list[list[IsolationAttack]] = [[]]
    for attack in attacks:
        if attack.alone:
            continue
        if len(program([*together[-1], attack], target).encode()) > CODE_BYTES_MAX * 3 // 4:
            together.append([])
        together[-1].append(attack)
    return [tuple(batch) for batch in together if batch] + alone


def request(attacks: Sequence[IsolationAttack], target: Target) -> ExecutionRequest:
    """Return the request that carries out one batch."""
    return ExecutionRequest(code=program(attacks, target), timeout_ms=BATCH_TIMEOUT_MS)


def outcomes(attacks: Sequence[IsolationAttack], result: ExecutionResult) -> tuple[Outcome, ...]:
    """Return what became of each attack of a batch.

    One that ended its process was stopped if it was alone there; in a company all are unknown, which counts
    as a success of the attack, so that nothing passes unseen.
    """
    reports = result.value if isinstance(result.value, dict) else {}
    if FINISHED not in reports:
        ended = f"the process ended: {result.status}"
        if result.error is not None:
            ended += f" {result.error.type}: {result.error.message}"[:200]
        stopped = len(attacks) == 1 and attacks[0].alone and result.status is not Status.COMPLETED
        return tuple(
            Outcome(name=attack.name, group=attack.group, stopped=stopped, detail=ended) for attack in attacks
        )
    found = []
    for attack in attacks:
        report = reports.get(attack.name)
        if isinstance(report, list) and len(report) == 2:
            stopped, detail = report[0] is True, str(report[1])
        else:
            stopped, detail = False, "no report"
        found.append(Outcome(name=attack.name, group=attack.group, stopped=stopped, detail=detail))
    return tuple(found)
