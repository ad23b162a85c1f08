"""The command line as a process, on a database of the tests."""

import asyncio
import json
import sys
from typing import Any

from connectors.embedded.stack import Endpoints
from sinks.sink import SinkSettings
from tests.sinks.running import PROJECT_DIRECTORY, WAIT_S

Told = dict[str, Any]
"""JSON of the command. (Any: tests look into it.)"""
PROGRAM = (sys.executable, "-m", "streams.main")
COMMAND = (*PROGRAM, "rebuild")


def command_environment(settings: SinkSettings, endpoints: Endpoints) -> dict[str, str]:
    """Return the environment in which the command finds the test's topics and database."""
    return {
        "PATH": "/usr/bin:/bin",
        "CARTRITA_HOME": "/nowhere",
        "CARTRITA_KAFKA_BOOTSTRAP": settings.bootstrap,
        "CARTRITA_REGISTRY_URL": endpoints.registry_url,
        "CARTRITA_POSTGRES_DSN": settings.dsn,
        "CARTRITA_TOPIC_PREFIX": settings.topic_prefix,
    }


async def run(environment: dict[str, str], *arguments: str) -> tuple[int | None, Told]:
    """Run the command, and return its exit code and what it printed."""
    return await run_program(environment, *COMMAND[len(PROGRAM) :], *arguments)


async def run_program(environment: dict[str, str], *arguments: str) -> tuple[int | None, Any]:
    """Run the program, and return its exit code and the JSON that it printed."""
    process = await asyncio.create_subprocess_exec(
        *PROGRAM, *arguments, cwd=PROJECT_DIRECTORY, env=environment, stdout=asyncio.subprocess.PIPE
    )
    told, _ = await asyncio.wait_for(process.communicate(), 3 * WAIT_S)
    return process.returncode, json.loads(told)
