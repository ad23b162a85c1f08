"""What a turn costs: bytes on all topics and on the changelog, however many turns came before."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.envelope import Envelope
from streams.stateful.stored_record import StoredRecord
from tests.processors.world import World, obliging, plan_text, small, task
from tests.streams.twin import CODEC
from topics.catalog import topic_of

PLAN = plan_text(task("a"), task("b"), task("c"))
BYTES_RATIO_MAX = 1.5
"""Of a turn after 500 to one after 50, as promised."""


@dataclass
class Weighing(World):
    """A session whose records are written as the shell writes them, while they are weighed."""

    weighing: bool = False
    bytes_written: int = 0
    positions: dict[str, int] = field(default_factory=dict)

    def apply(self, event: Envelope) -> tuple[Envelope, ...]:
        """Apply an input, and count what it, its record and its outputs take."""
        caused = super().apply(event)
        _, place = self.inputs[-1]
        self.positions[place.topic] = place.offset
        if self.weighing:
            self.bytes_written += _written(event, caused, self.decider.encode(self.state), self.positions)
        return caused

    def turn(self) -> int:
        """Take one whole turn, and return the bytes that were written for it."""
        before = self.bytes_written
        # Turns in between only have to have been; what they leave behind does not depend on their tasks.
        self.answer = obliging(PLAN, tools=["look"]) if self.weighing else obliging(plan_text(task("a")))
        self.say()
        while self.open_calls:
            self.now_ms += 10
            self.reply(self.open_calls.pop(0))
        assert self.state.turn is None
        return self.bytes_written - before


def test_a_turn_after_five_hundred_costs_hardly_more_than_one_after_fifty() -> None:
    limits = small(session_budget_tokens=10**9, session_budget_nanodollars=10**15)
    world = Weighing(obliging(PLAN), limits=limits)
    costs = []

    for number in range(1, 501):
        world.weighing = number in (50, 500)
        costs.append(world.turn())
        world.events.clear()

    early, late = costs[49], costs[499]
    assert early > 0
    assert late <= BYTES_RATIO_MAX * early, f"{late:,} bytes after 500 turns, {early:,} after 50"


def _written(
    event: Envelope,
    caused: tuple[Envelope, ...],
    state: bytes,
    positions: Mapping[str, int],
) -> int:
    outbox = [(topic_of(one.body).name, CODEC.encode(topic_of(one.body), one)) for one in caused]
    record = StoredRecord(state=state, positions=dict(positions), outbox=outbox).encode()
    taken = CODEC.encode(topic_of(event.body), event)
    return len(taken) + len(record) + sum(len(value) for _, value in outbox)
