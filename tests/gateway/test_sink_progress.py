"""Waiting for the sink: one look serves all who wait."""

import asyncio

from streams.gateway.problems import Problem, away
from streams.gateway.sink_progress import Places, SinkProgress

TOPIC = "session.outputs"


class Sink:
    """A sink that reads one record a look."""

    def __init__(self) -> None:
        self.looks = 0
        self.looked_at = asyncio.Event()
        self.answers = asyncio.Event()
        self.answers.set()
        self.is_away = False

    async def look(self) -> Places:
        self.looks += 1
        self.looked_at.set()
        await self.answers.wait()
        if self.is_away:
            raise away("Postgres")
        return {(TOPIC, 3): self.looks}


async def test_a_thousand_wait_by_as_many_looks_as_one() -> None:
    sink = Sink()
    progress = SinkProgress(sink.look)

    await asyncio.gather(*(progress.reached(TOPIC, 3, 1 + number % 4) for number in range(1_000)))

    assert sink.looks == 4


async def test_what_is_read_already_takes_one_look_and_what_was_never_read_counts_as_nothing() -> None:
    sink = Sink()
    progress = SinkProgress(sink.look)

    await progress.reached(TOPIC, 3, 1)
    await progress.reached(TOPIC, 7, 0)

    assert sink.looks == 2


async def test_who_goes_away_takes_the_look_from_nobody() -> None:
    sink = Sink()
    sink.answers.clear()
    progress = SinkProgress(sink.look)
    leaving = asyncio.create_task(progress.reached(TOPIC, 3, 1))
    staying = asyncio.create_task(progress.reached(TOPIC, 3, 1))
    await sink.looked_at.wait()

    leaving.cancel()
    sink.answers.set()
    await staying

    assert leaving.cancelled()
    assert sink.looks == 1


async def test_all_are_told_that_postgres_is_away_and_the_next_looks_anew() -> None:
    sink = Sink()
    sink.is_away = True
    progress = SinkProgress(sink.look)

    told = await asyncio.gather(*(progress.reached(TOPIC, 3, 1) for _ in range(3)), return_exceptions=True)
    sink.is_away = False
    await progress.reached(TOPIC, 3, 2)

    assert [isinstance(one, Problem) for one in told] == [True] * 3
    assert sink.looks == 2
