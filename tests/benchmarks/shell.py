"""Inputs per second through a shell, beside a plain aiokafka loop on the same inputs and the same broker."""

import asyncio
import sys
from collections.abc import Iterator
from typing import Final

from schemas.envelope import Envelope
from schemas.events.inputs import MessageReceived
from schemas.ids import derived_id
from tests.benchmarks.result import Row, row
from tests.benchmarks.stage import servers, topics_of_a_run

INPUTS: Final = 30_000
SESSIONS: Final = 5_000


def inputs(count: int, sessions: int) -> Iterator[Envelope]:
    """Return messages of many sessions, in turn."""
    for number in range(count):
        yield Envelope(
            event_id=derived_id("benchmark", str(number)),
            type="MessageReceived",
            session_id=derived_id("session", str(number % sessions)),
            tenant_id="tenant",
            user_id="user",
            occurred_at_ms=1_700_000_000_000 + number,
            producer="benchmark",
            body=MessageReceived(text="How far is it?"),
        )


def measure(runs: int) -> list[Row]:
    """Return the table's line."""
    return asyncio.run(_measure(runs))


async def _measure(runs: int) -> list[Row]:
    samples: list[tuple[float, float | None]] = []
    with servers() as endpoints:
        for number in range(runs):
            async with topics_of_a_run(endpoints) as run:
                await run.send(inputs(INPUTS, SESSIONS))
                kinds = ("shell", "plain") if number % 2 == 0 else ("plain", "shell")
                rates = {}
                for kind in kinds:
                    numbers = await run.report_of("shell_worker", kind, "--inputs", str(INPUTS))
                    rates[kind] = numbers["inputs"] / numbers["took_s"]
                samples.append((rates["shell"], rates["plain"]))
    note = f"plain aiokafka loop, two records per input; {INPUTS:,} inputs of {SESSIONS:,} sessions"
    return [row("shell: durable inputs", "inputs/s", samples, target="ratio >= 0.5", note=note)]


if __name__ == "__main__":
    for line in measure(int(sys.argv[1]) if len(sys.argv) > 1 else 3):
        sys.stdout.write(f"{line}\n")
