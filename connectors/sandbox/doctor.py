"""Says what holds on this machine: runs the whole attack suite in every tier and prints what became of it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from connectors.sandbox.attacks.attack import Outcome
from connectors.sandbox.attacks.suite import run_suite
from connectors.sandbox.errors import SandboxUnavailable
from connectors.sandbox.probe import CANARY, Probe, probe, refused_probe
from connectors.sandbox.sandbox import SandboxConfig, open_executor, with_wasm
from connectors.sandbox.tier import Tier

TIERS = (Tier.NS, Tier.LSM, Tier.WASM)


@dataclass(frozen=True, slots=True, kw_only=True)
class TierReport:
    """What the suite found in one tier."""

    tier: Tier
    available: bool
    reason: str
    outcomes: tuple[Outcome, ...]

    @property
    def passed(self) -> tuple[Outcome, ...]:
        """The attacks that were not stopped: none in a tier that holds."""
        return tuple(outcome for outcome in self.outcomes if not outcome.stopped)


@dataclass(frozen=True, slots=True, kw_only=True)
class DoctorReport:
    """What holds on this machine."""

    kernel: str
    machine: str
    user_id: int
    chosen: Tier
    """What the demand `auto` takes here."""
    tiers: tuple[TierReport, ...]

    @property
    def healthy(self) -> bool:
        """Whether some tier can be used, and every usable tier withstood every attack."""
        usable = [report for report in self.tiers if report.available]
        return bool(usable) and not any(report.passed for report in usable)


def run_doctor(
    config: SandboxConfig,
    tiers: Iterable[Tier] = TIERS,
    on_progress: Callable[[str], None] = lambda _: None,
    parallel: int = 2,
) -> DoctorReport:
    """Attack `tiers` and return what became of it; takes about a minute and a half per tier.

    Args:
        config: of the sandbox to examine; its demand is not used.
        tiers: which to examine.
        on_progress: told what happens, a line at a time.
        parallel: how many runs at a time.
    """
    executor = open_executor(config)
    reports = []
    try:
        for tier in tiers:
            try:
                if tier is Tier.WASM:
                    executor = with_wasm(executor, config, on_progress)
                probed = probe(executor, tier)
            except SandboxUnavailable as error:
                probed = refused_probe(tier, str(error))
            on_progress(f"tier {tier}: {probed.reason}")
            outcomes: tuple[Outcome, ...] = probed.outcomes
            if _can_run(probed):
                outcomes = run_suite(executor, tier, lambda outcome: on_progress(line(outcome)), parallel)
            reports.append(
                TierReport(tier=tier, available=probed.holds, reason=probed.reason, outcomes=outcomes)
            )
    finally:
        executor.close()
    chosen = next((report.tier for report in reports if report.available), Tier.REFUSE)
    return DoctorReport(
        kernel=platform.release(),
        machine=platform.machine(),
        user_id=os.geteuid(),
        chosen=chosen,
        tiers=tuple(reports),
    )


def line(outcome: Outcome) -> str:
    """Return one outcome as a line of text."""
    verdict = "stopped" if outcome.stopped else "PASSED " if outcome.carried_out else "NOT RUN"
    return f"  {verdict} {outcome.group:<11} {outcome.name:<36} {outcome.detail}"


def render(report: DoctorReport) -> str:
    """Return the report as text for a person, with the attacks that were not stopped."""
    lines = [
        f"Kernel {report.kernel}, {report.machine}, user {report.user_id}.",
        f"Demand auto takes tier: {report.chosen}",
        "",
        "tier   usable  attacks  stopped  reason",
    ]
    for tier in report.tiers:
        stopped = len(tier.outcomes) - len(tier.passed)
        usable = "yes" if tier.available else "no"
        lines.append(f"{tier.tier:<6} {usable:<7} {len(tier.outcomes):>7}  {stopped:>7}  {tier.reason}")
    for tier in report.tiers:
        if tier.available and tier.passed:
            lines += ["", f"Attacks that were not stopped in tier {tier.tier}:", *map(line, tier.passed)]
    lines += ["", "Every usable tier withstood every attack." if report.healthy else "NOT HEALTHY."]
    return "\n".join(lines)


def _can_run(probed: Probe) -> bool:
    """Tell whether runs are possible at all, so that the full suite says more than the canary did."""
    return len(probed.outcomes) >= len(CANARY) and all(outcome.carried_out for outcome in probed.outcomes)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # noqa: T201  a command prints


def main() -> None:
    """Print the report; the exit code is 0 if the machine is healthy, else 1."""
    parser = argparse.ArgumentParser(prog="python -m connectors.sandbox.doctor", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the whole report as JSON")
    parser.add_argument(
        "--tier", action="append", choices=[tier.value for tier in TIERS], help="only this tier"
    )
    parser.add_argument("--parallel", type=int, default=2, help="runs at a time")
    parser.add_argument("--state", type=Path, help="where the compiled guest is kept between calls")
    options = parser.parse_args()
    tiers = [Tier(name) for name in options.tier] if options.tier else TIERS
    with tempfile.TemporaryDirectory(prefix="cartrita-doctor-") as name:
        Path(name).chmod(0o711)
        config = SandboxConfig(state_path=options.state or Path(name) / "state")
        report = run_doctor(config, tiers, _say, options.parallel)
    text = json.dumps(dataclasses.asdict(report), indent=2) if options.json else render(report)
    print(text)  # noqa: T201  a command prints
    raise SystemExit(0 if report.healthy else 1)


if __name__ == "__main__":
    main()
