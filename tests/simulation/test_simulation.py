"""A short simulation in every run, a long one in the slow runs, and every seed that ever failed."""

import json
import os
from pathlib import Path

import pytest

from tests.simulation.campaign import Campaign, run
from tests.simulation.mutants import MUTANTS, Mutant
from tests.simulation.simulation import Simulation

STEPS = 40_000
STEPS_SLOW = 1_000_000
MUTANT_STEPS_MAX = 40_000
CASES = json.loads((Path(__file__).parent / "seeds.json").read_text(encoding="utf-8"))


def assert_every_promise_held(campaign: Campaign) -> None:
    assert not campaign.violations, "\n".join(
        f"seed {seed}: {violation}; see it with `make simulate SEED={seed}`"
        for seed, violation in campaign.violations
    )


def test_every_promise_holds_under_every_kind_of_fault() -> None:
    campaign = run(STEPS)

    assert_every_promise_held(campaign)
    assert campaign.steps >= STEPS
    assert {fault for _, fault in campaign.pairs} == {
        "crash", "zombie", "revoke", "rewind", "duplicate", "reorder", "delay", "late"
    }  # fmt: skip
    assert campaign.events > 0


@pytest.mark.slow
def test_a_million_steps_hit_every_step_with_every_fault_and_every_promise_holds() -> None:
    campaign = run(STEPS_SLOW, processes=os.cpu_count() or 1)

    assert_every_promise_held(campaign)
    assert campaign.steps >= STEPS_SLOW
    assert campaign.missed == []


@pytest.mark.parametrize("case", CASES, ids=lambda case: str(case["seed"]))
def test_a_seed_that_once_failed_holds(case: dict[str, object]) -> None:
    number = case["seed"]
    assert isinstance(number, int)

    assert Simulation(number).run().violation is None


def test_the_seed_that_was_asked_for_holds(seed: int | None) -> None:
    if seed is None:
        pytest.skip("no --seed was given")
    simulation = Simulation(seed, traced=True)

    violation = simulation.run().violation

    assert violation is None, "\n".join([*list(simulation.trace)[-200:], violation])


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_program_without_one_of_its_promises_is_caught(mutant: Mutant) -> None:
    steps = number = 0
    caught = None
    with mutant.patches():
        while caught is None and steps < MUTANT_STEPS_MAX:
            outcome = Simulation(number, kinds=mutant.kinds).run()
            steps += outcome.steps
            number += 1
            caught = outcome.violation

    assert caught is not None, f"{mutant.name} went unnoticed for {steps:,} steps"


def test_the_same_seed_takes_the_same_steps() -> None:
    first, second = Simulation(7, traced=True), Simulation(7, traced=True)

    outcomes = first.run(), second.run()

    assert outcomes[0] == outcomes[1]
    assert list(first.trace) == list(second.trace)
    assert outcomes[0].steps > 100
