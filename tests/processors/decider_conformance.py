"""What every decider must do; a subclass gives the decider, a key of it, and lives that it may have."""

from abc import ABC, abstractmethod
from random import Random
from typing import Generic

import pytest

from processors.decider import Decider, State
from schemas.envelope import Envelope, Fact
from schemas.ids import derived_id
from schemas.references import RecordReference
from tests.projections.made import plain_events
from topics.catalog import topic_of

Input = tuple[Envelope, RecordReference]


class DeciderConformance(ABC, Generic[State]):
    """The suite."""

    key: str

    @abstractmethod
    def decider(self) -> Decider[State]:
        """Return the decider."""

    @abstractmethod
    def life(self, random: Random) -> list[Fact]:
        """Draw the inputs of one life; at least one, and each may change the state."""

    @pytest.mark.parametrize("seed", range(40))
    def test_a_life_decided_again_from_states_that_were_written_is_the_same(self, seed: int) -> None:
        decider = self.decider()
        lived = read = decider.initial(self.key)

        for event, place in self._inputs(seed):
            live, again = decider.advance(lived, event, place), decider.advance(read, event, place)
            assert again.events == live.events
            assert again.state == live.state
            assert live.encoded is None or live.encoded == decider.encode(live.state)
            lived, read = live.state, decider.decode(decider.encode(live.state))
            assert read == lived

        assert lived != decider.initial(self.key)

    @pytest.mark.parametrize("seed", range(40))
    def test_an_input_that_stands_on_the_log_twice_counts_once(self, seed: int) -> None:
        decider = self.decider()
        inputs = self._inputs(seed)
        state = decider.initial(self.key)
        for event, place in inputs:
            state = decider.advance(state, event, place).state

        for number, (event, _) in enumerate(inputs):
            step = decider.advance(state, event, _place(event, len(inputs) + number))
            assert step.events == ()
            assert step.state == state

    @pytest.mark.parametrize("seed", range(5))
    def test_every_fact_of_the_log_is_taken_in_any_state(self, seed: int) -> None:
        decider = self.decider()
        state = decider.initial(self.key)
        for event, place in self._inputs(seed):
            state = decider.advance(state, event, place).state

            for other in plain_events():
                step = decider.advance(state, other, _place(other, 10**6))
                assert decider.decode(decider.encode(step.state)) == step.state

    def _inputs(self, seed: int) -> list[Input]:
        inputs = []
        for number, fact in enumerate(self.life(Random(seed))):
            event = Envelope(
                event_id=derived_id("conformance", str(number)),
                type=type(fact).__name__,
                session_id=derived_id("session", self.key),
                occurred_at_ms=1_000_000 + 10 * number,
                producer="test",
                body=fact,
            )
            inputs.append((event, _place(event, number)))
        assert inputs
        return inputs


def _place(event: Envelope, offset: int) -> RecordReference:
    topic = topic_of(event.body).name
    return RecordReference(topic=topic, partition=0, offset=offset, event_id=event.event_id, tokens=0)
