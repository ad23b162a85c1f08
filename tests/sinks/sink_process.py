"""A sink as a process of its own, for tests that kill it: `python -m tests.sinks.sink_process SETTINGS`."""

import asyncio
import json
import sys

from sinks.sink import SinkSettings, run_sink
from tests.sinks.records import CODEC


async def _main() -> None:
    await run_sink(SinkSettings(**json.loads(sys.argv[1])), CODEC, asyncio.Event())


if __name__ == "__main__":
    asyncio.run(_main())
