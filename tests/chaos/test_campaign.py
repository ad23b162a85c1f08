"""A short campaign on real processes, and what holds of every schedule and report."""

import sys

import pytest

from streams.process.failpoints import NAMES
from tests.chaos.campaign import REST_S_MAX, WATCHED_S, Outcome, Pace, Recovery, run
from tests.chaos.faults import plan
from tests.chaos.journal import Blow
from tests.chaos.kinds import KINDS
from tests.chaos.report import percentile, report
from tests.estimates import Off

SEED = 20_261_124
PROCESS_FAULTS = 25


def test_a_seed_repeats_its_schedule_and_another_gives_another() -> None:
    assert plan(7, 100) == plan(7, 100)
    assert plan(7, 100) != plan(8, 100)


@pytest.mark.parametrize("faults", [50, 300])
def test_a_long_schedule_has_every_kind_of_fault_and_as_many_on_processes_as_were_asked_for(
    faults: int,
) -> None:
    planned = plan(1, faults)

    assert {one.kind for one in planned} == set(KINDS)
    assert sum(KINDS[one.kind].on_process for one in planned) >= faults


def test_a_long_schedule_comes_to_every_failpoint() -> None:
    armed = {one.detail.partition(":")[0] for one in plan(1, 300) if one.kind.endswith("_failpoint")}

    assert armed == NAMES


def test_a_short_schedule_leaves_out_what_takes_long() -> None:
    planned = plan(1, PROCESS_FAULTS, short=True)

    assert all(KINDS[one.kind].weight_short for one in planned)
    assert sum(KINDS[one.kind].on_process for one in planned) >= PROCESS_FAULTS
    assert not any(one.alone for one in planned)


def test_a_report_tells_counts_recovery_and_that_nothing_was_violated() -> None:
    blow = Blow(
        number=1,
        kind="worker_failpoint",
        target="worker-1",
        detail="stored:3",
        alone=False,
        at_ms=1_000,
        healed_ms=2_000,
        outcome="reached",
    )
    recoveries = [
        Recovery(kind="worker_kill", alone=True, took_ms=took_ms) for took_ms in (1_000, 2_000, None)
    ]

    estimates = [
        Off(agent="writer", estimated=150, actual=100),
        Off(agent="writer", estimated=100, actual=400, tried_again=True),
    ]

    text = report(Outcome(seed=3, rest_s=4.0, blows=[blow], recoveries=recoveries, estimates=estimates))

    assert "Seed 3: 1 faults, 1 of them on processes" in text
    assert "Violations: none." in text
    assert "| worker_kill | no | 3 (1 never) | 1.0 s | 2.0 s | 2.0 s | 10 s |" in text
    assert "| stored | 1 | 1 |" in text
    assert "all: 1 tasks, off by 50% in the median, 100% of them by at most half. Of those" in text
    assert "all: 1 tasks, off by 75% in the median, 0% of them by at most half." in text


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = list(range(1, 101))

    assert [percentile(values, share) for share in (0.5, 0.95, 1.0)] == [50, 95, 100]
    assert percentile([7], 0.95) == 7


@pytest.mark.stack
@pytest.mark.timeout(900)
def test_a_short_campaign_violates_nothing_and_everything_has_its_end() -> None:
    """At least 25 faults on processes, and some on links and records, while sessions are posted."""
    said: list[str] = []

    outcome = run(
        SEED,
        plan(SEED, PROCESS_FAULTS, short=True),
        say=said.append,
        pace=Pace(open_max=16, pause_s=0.3),
    )

    told = "\n".join([*said, report(outcome)])
    sys.stdout.write(told)
    assert outcome.violations == (), told
    # A neighbour may slow this machine down; that it ends at all is what must hold, and the long campaign
    # holds the minute.
    assert outcome.rest_s is not None, f"{told}\nnot at rest after {WATCHED_S} s ({REST_S_MAX} are promised)"
    assert sum(KINDS[blow.kind].on_process for blow in outcome.blows) >= PROCESS_FAULTS
    assert outcome.sessions > 0
