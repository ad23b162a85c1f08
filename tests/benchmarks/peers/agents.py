"""What a peer's session does: model and tool answer at once; the measurement is the same for all.

It imports nothing but the standard library: the peers' environment lacks the project's own packages.
"""

import asyncio
import json
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Sequence

TASKS = 3
QUESTION = "Compare three ways to store events, and say which of them fits a small team best."
FINDING = (
    "An append-only log keeps every event in order, is read by many at their own pace, and costs little "
    "to run; what it lacks is a query, for which a projection into tables is kept beside it."
)
WARM_UP = 20


async def model(prompt: str) -> str:
    """Answer as a model without latency."""
    return FINDING if prompt else ""


async def tool(arguments: str) -> str:
    """Answer as a tool without latency."""
    return json.dumps({"found": FINDING, "for": arguments[:40]})


Session = Callable[[str, str], Awaitable[str]]
"""Takes an id and a question, and returns the answer."""


async def measure(session: Session, *, alone: int, together: int, concurrency: int) -> None:
    """Run sessions one after the other, then many at once, and print what came of it as JSON."""
    await _many(session, WARM_UP, concurrency)
    alone_ms = await _many(session, alone, 1)
    began, cpu_began = time.perf_counter(), time.process_time()
    await _many(session, together, concurrency)
    wall_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    told = {
        "sessions_per_s": together / wall_s,
        "alone_ms": alone_ms,
        "cpu_ms": 1_000 * cpu_s / together,
        "warm_up": WARM_UP,
    }
    sys.stdout.write(json.dumps(told) + "\n")


async def _many(session: Session, count: int, concurrency: int) -> Sequence[float]:
    places = asyncio.Semaphore(concurrency)

    async def one() -> float:
        async with places:
            began = time.perf_counter()
            answer = await session(str(uuid.uuid4()), QUESTION)
            assert answer, "a session ended without an answer"
            return (time.perf_counter() - began) * 1_000

    return await asyncio.gather(*[one() for _ in range(count)])
