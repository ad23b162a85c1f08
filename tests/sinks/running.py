"""Running sinks, in this process or in one of their own, and what they are given to do."""

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from itertools import count
from pathlib import Path

from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from schemas.envelope import Envelope
from schemas.events.budgets import BudgetCharged, ChargeBasis
from schemas.events.inputs import MessageReceived
from schemas.wire.codec import Codec
from sinks.metrics import SinkMetrics
from sinks.sink import SinkSettings, run_sink
from tests.projections.envelopes import event
from tests.sinks.conftest import rows
from tests.sinks.records import CODEC

PROJECT_DIRECTORY = Path(__file__).parents[2]
WAIT_S = 120.0
COUNT = "SELECT count(*) FROM event_log"
NUMBERS: Iterator[int] = count(1)
"""Of events, so that each is another."""


@asynccontextmanager
async def running(
    settings: SinkSettings, metrics: SinkMetrics | None = None, codec: Codec = CODEC
) -> AsyncIterator["asyncio.Task[None]"]:
    """Run a sink until the block ends; what ends it earlier is raised."""
    stop = asyncio.Event()
    sink = asyncio.create_task(run_sink(settings, codec, stop, metrics))
    try:
        yield sink
    finally:
        stop.set()
        await asyncio.wait_for(sink, WAIT_S)


@asynccontextmanager
async def running_process(settings: SinkSettings) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run a sink as a process until the block ends, which kills it; V1's tables it writes as they are."""
    told = asdict(settings)
    del told["mapping"]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.sinks.sink_process",
        json.dumps(told),
        cwd=PROJECT_DIRECTORY,
        env={"PATH": "/usr/bin:/bin"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def until(condition: Callable[[], Awaitable[bool]], sink: "asyncio.Task[None] | None" = None) -> None:
    """Wait until a condition holds, or the sink has ended."""
    async with asyncio.timeout(WAIT_S):
        while not await condition():
            if sink is not None and sink.done():
                sink.result()
                raise AssertionError("the sink ended")
            await asyncio.sleep(0.02)


def logged(connection: AsyncConnection[TupleRow], number: int) -> Callable[[], Awaitable[bool]]:
    """Tell whether the log has so many events."""

    async def condition() -> bool:
        return await rows(connection, COUNT) == [(number,)]

    return condition


def workload(sessions: int, charges: int) -> list[Envelope]:
    """Return a message, and so many charges of 1 token, for so many sessions."""
    found = []
    for _ in range(sessions):
        session = str(uuid.uuid4())
        found.append(event(MessageReceived(text="Hi"), next(NUMBERS), session_id=session))
        for sequence in range(1, charges + 1):
            charge = BudgetCharged(
                reservation_id=str(uuid.uuid4()),
                task_id=str(uuid.uuid4()),
                model="gpt-4o",
                tokens=1,
                nanodollars=1,
                tokens_released=0,
                nanodollars_released=0,
                basis=ChargeBasis.USAGE,
                session_tokens_left=0,
                session_nanodollars_left=0,
                task_tokens_left=0,
            )
            found.append(event(charge, next(NUMBERS), session_id=session, sequence=sequence))
    return found
