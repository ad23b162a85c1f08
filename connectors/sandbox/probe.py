"""The canary attack: what decides at the start whether a tier holds on this machine.

Versions and feature flags lie (a kernel may claim an ability it lacks, a container hide one), so each tier is
attacked for real, against bait that nothing but the sandbox protects; then the host is asked.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from connectors.sandbox.attacks.attack import Outcome
from connectors.sandbox.attacks.suite import ISOLATION, patient, run_isolation
from connectors.sandbox.attacks.witness import witness
from connectors.sandbox.execution import Executor
from connectors.sandbox.tier import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Probe:
    """What the canary attack found about one tier."""

    tier: Tier
    holds: bool
    reason: str
    """Why the tier was taken or not, for a person."""
    canary_id: str
    """Names this attack and its bait; recorded with every run that relies on it."""
    outcomes: tuple[Outcome, ...]


CANARY = tuple(attack for attack in ISOLATION if attack.canary)


def probe(executor: Executor, tier: Tier) -> Probe:
    """Attack `tier` and return whether it held: every attack stopped, nothing seen by the host."""
    with witness() as bait:
        outcomes = run_isolation(patient(executor), tier, CANARY, bait)
        canary_id = hashlib.sha256(f"{tier} {bait.token}".encode()).hexdigest()[:16]
    passed = [outcome for outcome in outcomes if not outcome.stopped]
    failed = [outcome for outcome in passed if not outcome.carried_out]
    if failed:
        reason = f"nothing can be run in it: {failed[0].detail}"
    elif passed:
        first = f"{passed[0].name}: {passed[0].detail}"
        reason = f"{len(passed)} of {len(CANARY)} canary attacks got through, the first {first}"
    else:
        reason = f"withstood {len(CANARY)} canary attacks"
    return Probe(tier=tier, holds=not passed, reason=reason, canary_id=canary_id, outcomes=outcomes)


def refused_probe(tier: Tier, reason: str) -> Probe:
    """Return the probe of a tier that can't even be tried."""
    return Probe(tier=tier, holds=False, reason=reason, canary_id="", outcomes=())
