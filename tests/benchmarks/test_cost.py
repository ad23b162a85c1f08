"""What a session costs: counted between two readings, and held to its bound on the real stack."""

import pytest

from tests.benchmarks.cost import Reading, between, cost
from tests.benchmarks.ground import ground

EVENTS_MAX = 62
"""Two more than before each phase of a turn and each attempt of a task were told by name."""


def test_a_cost_is_the_change_by_the_number_of_sessions() -> None:
    before = Reading(
        records={"plans": 3, "model-ledger-changelog": 1}, bytes={"plans": 300}, cpu_s={"kafka": 1.0}
    )
    after = Reading(
        records={"plans": 9, "model-ledger-changelog": 5, "task.events": 4},
        bytes={"plans": 900},
        cpu_s={"kafka": 1.5},
    )

    each = between(before, after, 2)

    assert each.records == {"plans": 3, "model-ledger-changelog": 2, "task.events": 2}
    assert (each.events, each.changelog_records) == (5, 2)
    assert (each.bytes, each.cpu_ms) == ({"plans": 300}, {"kafka": 250})


@pytest.mark.stack
@pytest.mark.slow
@pytest.mark.timeout(600)
async def test_a_session_of_three_tasks_leaves_an_audit_trail_of_bounded_length() -> None:
    async with ground(sink=False) as where:
        each = await cost(where, sessions=4, concurrency=4, warm_up=1)

    assert each.records["user.inputs"] == 1
    assert (each.records["model.results"], each.records["tool.results"]) == (6, 3)
    assert each.events <= EVENTS_MAX
