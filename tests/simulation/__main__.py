"""`python -m tests.simulation --steps 1000000`, or `--seed 17` for the trace of one simulation."""

import argparse
import os
import sys
import time

from tests.simulation.campaign import quiet, run
from tests.simulation.simulation import Simulation


def main() -> int:
    """Run a campaign or one seed; the exit code tells whether every promise held."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--steps", type=int, default=1_000_000, help="scheduler steps of a campaign")
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="run this one alone")
    parser.add_argument("--trace", type=int, default=200, help="last steps to show of one seed; 0: none")
    options = parser.parse_args()
    if options.seed is not None:
        return _one(options.seed, options.trace)
    began = time.monotonic()
    campaign = run(options.steps, first_seed=options.first_seed, processes=options.processes)
    wall_s = time.monotonic() - began
    sys.stdout.write(
        f"{campaign.steps:,} steps, {campaign.faults:,} faults, {campaign.events:,} events in "
        f"{campaign.seeds:,} simulations; {wall_s:.1f} s, {campaign.cpu_s:.1f} s of CPU, "
        f"{1e6 * campaign.cpu_s / campaign.steps:.1f} µs of CPU a step\n"
        f"pairs of step and fault: {len(campaign.pairs)} hit, least often {min(campaign.pairs.values())}; "
        f"failpoints: {len(campaign.crashes)} hit, least often {min(campaign.crashes.values())}\n"
    )
    for missed in campaign.missed:
        sys.stdout.write(f"never hit: {missed}\n")
    for seed, violation in campaign.violations:
        sys.stdout.write(f"seed {seed}: {violation}\n  make simulate SEED={seed}\n")
    return 1 if campaign.violations or campaign.missed else 0


def _one(seed: int, trace: int) -> int:
    quiet()
    simulation = Simulation(seed, traced=trace > 0)
    outcome = simulation.run()
    for line in list(simulation.trace)[-trace:] if trace else []:
        sys.stdout.write(line + "\n")
    sys.stdout.write(f"seed {seed}: {outcome.steps:,} steps, {outcome.faults:,} faults; ")
    sys.stdout.write((outcome.violation or "every promise held") + "\n")
    return 1 if outcome.violation else 0


if __name__ == "__main__":
    sys.exit(main())
