"""What a campaign came to, as Markdown."""

import os
import platform
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from tests.chaos.campaign import REST_S_MAX, Outcome, Recovery
from tests.chaos.kinds import KINDS
from tests.estimates import Off, told

TARGETS_S: Final = {"worker_kill": 10, "postgres_kill": 15, "kafka_kill": 30}
"""At p95, of faults that had the deployment for themselves."""


def report(outcome: Outcome) -> str:
    """Return the report."""
    on_processes = sum(KINDS[blow.kind].on_process for blow in outcome.blows)
    rest = "never" if outcome.rest_s is None else f"{outcome.rest_s:.1f} s"
    ran = (
        f"Seed {outcome.seed}: {len(outcome.blows)} faults, {on_processes} of them on processes, in "
        f"{outcome.took_s / 60:.1f} minutes; {outcome.sessions:,} sessions of {outcome.inputs:,} inputs, "
        f"{outcome.records:,} records on the log."
    )
    held = (
        f"Violations: {len(outcome.violations) or 'none'}. Everything had its end, and nobody had anything "
        f"left to read, {rest} after the last fault (to be at most {REST_S_MAX:.0f} s)."
    )
    on = (
        f"Machine: {machine()}. Because others used it too, a piece of work took {outcome.slower[0]:.1f} "
        f"times its processor time at the median, and {outcome.slower[1]:.1f} times at p95."
    )
    lines = [
        ran,
        "",
        held,
        "",
        on,
        "",
        *(f"- {one.invariant} {one.subject}: {one.message}" for one in outcome.violations),
        *([""] if outcome.violations else []),
        *_recovery_table(outcome.recoveries),
        "",
        *_fault_table(outcome),
        "",
        *_failpoint_table(outcome),
        "",
        _estimates(outcome.estimates),
        "",
        "Parts that the keeper found ended and started again: "
        + (", ".join(f"{part} {count}" for part, count in sorted(outcome.restarts.items())) or "none")
        + ".",
    ]
    return "\n".join(lines) + "\n"


def _estimates(found: Sequence[Off]) -> str:
    undisturbed, tried_again = (
        told([one for one in found if one.tried_again is again]) for again in (False, True)
    )
    return (
        f"Estimates of tasks that nothing disturbed: {undisturbed}. Of those that were tried again: "
        f"{tried_again}."
    )


def machine() -> str:
    """Describe this machine."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )
    memory_kb = next((int(line.split()[1]) for line in _lines("/proc/meminfo") if "MemTotal" in line), 0)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"{os.cpu_count()} cores ({model}), {memory_kb / 1_048_576:.0f} GB, {platform.system()} "
        f"{platform.release()}, Python {platform.python_version()}; load averages at the end {load}"
    )


def _lines(path: str) -> Sequence[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return ()


def _recovery_table(recoveries: Iterable[Recovery]) -> list[str]:
    groups: dict[tuple[str, bool], list[int | None]] = {}
    for one in recoveries:
        groups.setdefault((one.kind, one.alone), []).append(one.took_ms)
    lines = [
        "| after | other faults at the time | samples | p50 | p95 | max | target p95 |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for (kind, alone), times in sorted(groups.items(), key=lambda group: (group[0][0], not group[0][1])):
        known = sorted(one for one in times if one is not None)
        missing = len(times) - len(known)
        target = f"{TARGETS_S[kind]} s" if alone and kind in TARGETS_S else ""
        shown = [f"{percentile(known, share) / 1_000:.1f} s" if known else "-" for share in (0.5, 0.95, 1.0)]
        note = f" ({missing} never)" if missing else ""
        lines.append(
            f"| {kind} | {'no' if alone else 'yes'} | {len(times)}{note} | {' | '.join(shown)} | {target} |"
        )
    return lines


def percentile(ordered: Sequence[int], share: float) -> int:
    """Return the smallest value that at least this share of all values does not exceed; there is one."""
    return ordered[max(0, min(len(ordered) - 1, -(-round(share * len(ordered) * 1_000) // 1_000) - 1))]


def _fault_table(outcome: Outcome) -> list[str]:
    counts = Counter((blow.kind, _shown(blow.kind, blow.detail), blow.target) for blow in outcome.blows)
    lines = ["| fault | row | count by target |", "|---|---|---|"]
    for kind in KINDS.values():
        details = sorted({detail for name, detail, _ in counts if name == kind.name})
        for detail in details:
            targets = {
                target: count
                for (name, other, target), count in sorted(counts.items())
                if name == kind.name and other == detail
            }
            by_target = ", ".join(f"{target} {count}" for target, count in targets.items())
            name = f"{kind.name} {detail}".strip()
            lines.append(f"| {name}: {kind.text} | {kind.matrix} | {by_target} |")
    return lines


def _shown(kind: str, detail: str) -> str:
    return detail if kind in ("link", "poison") else ""


def _failpoint_table(outcome: Outcome) -> list[str]:
    reached: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for blow in outcome.blows:
        if "failpoint" in blow.kind:
            point = blow.detail.partition(":")[0]
            tried[point] += 1
            reached[point] += blow.outcome == "reached"
    lines = ["| failpoint | armed | reached |", "|---|---:|---:|"]
    return lines + [f"| {point} | {tried[point]} | {reached[point]} |" for point in sorted(tried)]
