"""Real workers with one promise taken out each, under a few faults: the checker catches every one."""

from collections.abc import Iterator

import pytest

from tests.chaos.arena import Arena, arena
from tests.chaos.checker import check
from tests.chaos.mutants import MUTANTS
from tests.pipeline.outsider import Record, message

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

FAILPOINTS = ("published:9", "stored:9", "call_ended:9", "outcome_published:9", "decided:12")
"""A worker is killed at each, one after the other."""
DEATH_S = 40.0
REST_S = 60.0
REQUESTS = (
    "Write a note with book_seat for Ada. Then stamp it with stamp_paper.",
    "1. Find out how budgets work. 2. Find out how retries work. 3. Then write a summary of both.",
)


@pytest.fixture(scope="module")
def services() -> Iterator[Arena]:
    """Kafka, registry and Postgres for all mutants."""
    with arena(seed=3) as made:
        made.up()
        for part in ("worker-1", "sink-1"):
            made.deployment.stop_part(part)
        yield made


def requests(count: int) -> list[Record]:
    """Return messages, every third with a budget that is soon spent."""
    return [
        message(REQUESTS[number % len(REQUESTS)], budget_tokens=6_000 if number % 3 == 0 else None)
        for number in range(count)
    ]


def run(one: Arena) -> None:
    """Post messages and kill the worker at every failpoint, so that each kill falls into the work."""
    one.up()
    for failpoint in FAILPOINTS:
        one.post(requests(6))
        one.worker_dies(failpoint, DEATH_S)
    one.up()
    one.rest(REST_S)


@pytest.mark.parametrize("name", MUTANTS)
def test_a_deployment_without_one_of_its_promises_is_caught(services: Arena, name: str) -> None:
    with services.beside(name.replace("-", "_"), name) as one:
        run(one)

        found = check(one.evidence())

    if name == "none":
        assert found == ()
    else:
        assert found, f"{name} went unnoticed"
        print(name, sorted({violation.invariant for violation in found}))  # noqa: T201  # shown with -s
