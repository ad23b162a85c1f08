"""Many simulations, on all cores, and what they came to together."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Final

import structlog

from tests.simulation.coverage import FAILPOINTS, FAULTS, STEP_KINDS, Outcome
from tests.simulation.simulation import Simulation

CHUNK: Final = 40
"""Simulations that one process takes at a time."""


@dataclass(slots=True, kw_only=True)
class Campaign:
    """The sum of many outcomes."""

    seeds: int = 0
    steps: int = 0
    faults: int = 0
    events: int = 0
    cpu_s: float = 0.0
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    violations: list[tuple[int, str]] = field(default_factory=list)
    """Seeds, and what was violated."""

    def add(self, outcome: Outcome) -> None:
        """Take one outcome."""
        self.seeds += 1
        self.steps += outcome.steps
        self.faults += outcome.faults
        self.events += outcome.events
        self.pairs.update(outcome.pairs)
        self.crashes.update(outcome.crashes)
        if outcome.violation is not None:
            self.violations.append((outcome.seed, outcome.violation))

    @property
    def missed(self) -> list[str]:
        """Return the pairs of step and fault, and the failpoints, that were never hit."""
        pairs = [
            f"{kind} x {fault}" for kind in STEP_KINDS for fault in FAULTS if not self.pairs[kind, fault]
        ]
        return pairs + [name for name in FAILPOINTS if not self.crashes[name]]


def run(steps: int, *, first_seed: int = 0, processes: int = 1) -> Campaign:
    """Simulate one seed after the other until so many steps are taken; stops early at a violation."""
    campaign = Campaign()
    chunks = _chunks(first_seed)
    if processes == 1:
        while campaign.steps < steps and not campaign.violations:
            _add(campaign, *_chunk(next(chunks)))
        return campaign
    # Forking a process whose other threads hold locks may hang; a fresh one costs a second.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        waiting = [pool.submit(_chunk, next(chunks)) for _ in range(2 * processes)]
        while waiting:
            _add(campaign, *waiting.pop(0).result())
            if campaign.steps < steps and not campaign.violations:
                waiting.append(pool.submit(_chunk, next(chunks)))
    return campaign


def quiet() -> None:
    """Keep the shells from logging each record that a fault costs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))


def _chunks(first_seed: int) -> Iterator[range]:
    while True:
        yield range(first_seed, first_seed + CHUNK)
        first_seed += CHUNK


def _chunk(seeds: range) -> tuple[list[Outcome], float]:
    quiet()
    began = time.process_time()
    outcomes = [Simulation(seed).run() for seed in seeds]
    return outcomes, time.process_time() - began


def _add(campaign: Campaign, outcomes: list[Outcome], cpu_s: float) -> None:
    for outcome in outcomes:
        campaign.add(outcome)
    campaign.cpu_s += cpu_s
