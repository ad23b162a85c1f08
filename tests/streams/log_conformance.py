"""What every log of a shell must do; a subclass gives the fixture `ground`: a log, and what others see."""

from collections.abc import Mapping, Sequence
from random import Random
from typing import Final, Protocol

import pytest

from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived
from streams.process.ending import ShellStopped
from streams.records.delivery import Delivery, Entry, Log, Place, outgoing
from tests.streams.twin import CODEC, event, tool_failed
from topics.catalog import SESSION_INPUTS, TOOL_RESULTS, Topic, topic_of
from topics.routing import partition_of

PARTITIONS: Final = 2
"""Of each topic."""


class Ground(Protocol):
    """A log of the shell `session`, and what is seen from outside."""

    @property
    def log(self) -> Log:
        """Return the log."""
        ...

    def held(self) -> Mapping[bytes, bytes]:
        """Return what the shell's table holds."""
        ...

    async def recovered(self) -> Mapping[bytes, bytes]:
        """Return what whoever recovers the table from its changelog would hold."""
        ...

    async def published(self, topic: Topic) -> Sequence[Envelope]:
        """Return what stands on a topic; in order for each session."""
        ...

    def committed(self) -> Mapping[Place, int]:
        """Return where the shell would begin again, by topic and partition."""
        ...


class LogConformance:
    """The suite."""

    @pytest.mark.parametrize("seed", range(3))
    async def test_the_table_holds_what_a_recovery_would(self, ground: Ground, seed: int) -> None:
        random = Random(seed)
        model: dict[bytes, bytes] = {}
        for step in range(12):
            entries = []
            # A batch names a key once.
            for number in random.sample(range(6), random.randint(1, 6)):
                key = f"key-{number}".encode()
                value = None if random.random() < 0.3 else f"{seed}/{step}".encode() * random.randint(1, 50)
                entries.append(Entry(key=key, value=value, partition=partition_of(key, PARTITIONS)))
                model.pop(key, None)
                if value is not None:
                    model[key] = value

            await ground.log.store(entries)

            assert {**ground.held()} == model
        assert {**await ground.recovered()} == model

    async def test_what_was_published_is_there_whole_and_each_sessions_in_order(self, ground: Ground) -> None:
        messages = [
            event(MessageReceived(text=f"{number} " + "ö" * number), session=number % 3, number=number)
            for number in range(20)
        ]
        failures = [tool_failed(session=number % 3, number=number) for number in range(9)]
        mixed = messages + failures
        Random(5).shuffle(mixed)

        await ground.log.publish([outgoing(CODEC, one) for one in mixed[:15]])
        await ground.log.publish([outgoing(CODEC, one) for one in mixed[15:]])

        for topic, amount in ((topic_of(messages[0].body), 20), (TOOL_RESULTS, 9)):
            found = await ground.published(topic)
            wanted = [one for one in mixed if topic_of(one.body) is topic]
            assert len(found) == amount
            for session in {one.session_id for one in wanted}:
                assert [one for one in found if one.session_id == session] == [
                    one for one in wanted if one.session_id == session
                ]

    async def test_nothing_to_write_is_nothing_written(self, ground: Ground) -> None:
        await ground.log.store([])
        await ground.log.publish([])

        assert not ground.held()
        assert not await ground.recovered()
        assert not await ground.published(TOOL_RESULTS)

    async def test_an_acknowledgement_moves_its_own_partitions_to_behind_the_last_delivery(
        self, ground: Ground
    ) -> None:
        ground.log.acknowledge([_delivery(0, 4), _delivery(1, 2), _delivery(0, 5)])
        ground.log.acknowledge([_delivery(1, 3)])
        ground.log.acknowledge([])

        assert {**ground.committed()} == {(SESSION_INPUTS.name, 0): 6, (SESSION_INPUTS.name, 1): 4}


class FencedLogConformance(LogConformance):
    """What a log whose shell can be replaced must do, too; the fixture `replaced` replaces it."""

    async def test_whoever_was_replaced_cannot_write_to_the_table(
        self, ground: Ground, replaced: None
    ) -> None:
        with pytest.raises(ShellStopped):
            await ground.log.store([Entry(key=b"key", value=b"late", partition=1)])

        assert not ground.held()
        assert not await ground.recovered()


def _delivery(partition: int, offset: int) -> Delivery:
    return Delivery(
        topic=SESSION_INPUTS.name,
        partition=partition,
        offset=offset,
        key=b"key",
        value=b"value",
        headers=(),
        timestamp_ms=1_000,
    )
