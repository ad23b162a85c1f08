"""The sink as a process: waits for what it needs, serves its metrics, and runs until it is told to stop."""

import asyncio

import structlog

from streams.settings import Settings

_log = structlog.get_logger()
_RETRY_S = 0.5


async def run_sink_process(settings: Settings, stop: asyncio.Event) -> int:
    """Run a sink until `stop` is set; returns the exit code."""
    raise NotImplementedError
