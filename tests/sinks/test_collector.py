"""OpenTelemetry's own collector takes a session's spans, as protobuf and as JSON."""

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from sinks import otlp
from tests.sinks.test_spans import events, made

SOURCE = Path(__file__).parent / "collector"
BUILD_S = 1_500
WAIT_S = 60.0
PASSED_ON = ("PATH", "HOME", "LANG", "TMPDIR", "GOPROXY", "GOFLAGS", "GOCACHE", "GOMODCACHE")
SETTINGS = """
receivers: {otlp: {protocols: {http: {endpoint: "127.0.0.1:PORT"}}}}
exporters: {debug: {verbosity: detailed}}
service:
  telemetry: {metrics: {level: none}}
  pipelines: {traces: {receivers: [otlp], exporters: [debug]}}
"""
_SPAN = re.compile(
    r"Trace ID +: (\w{32})\n +Parent ID +: (\w*)\n +ID +: (\w{16})\n +Name +: (.*)\n"
    r"(?:.*\n){3} +Status code +: (\w+)"
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(BUILD_S + 240)]


def environment() -> dict[str, str]:
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def built(folder: Path) -> Path:
    """Build the collector from its pinned modules."""
    if shutil.which("go") is None:
        pytest.skip("go is not on this machine: the collector was not tried")
    shutil.copytree(SOURCE, folder)
    done = subprocess.run(
        ["go", "build", "-o", "collector", "."],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3_000:]
    return folder / "collector"


@asynccontextmanager
async def running(program: Path) -> AsyncIterator[tuple[str, Path]]:
    """Run it until the block ends; give its address, and the file into which it prints."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings, printed = program.with_name("settings.yaml"), program.with_name("printed")
    settings.write_text(SETTINGS.replace("PORT", str(port)), encoding="utf-8")
    with printed.open("wb") as stream:
        process = await asyncio.create_subprocess_exec(
            program, "--config", str(settings), env=environment(), stdout=stream, stderr=stream
        )
    try:
        yield f"http://127.0.0.1:{port}", printed
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), WAIT_S)


async def sent(url: str, printed: Path) -> None:
    """Send the spans as protobuf and then as JSON, once the collector takes any."""
    spans = made(events())
    async with asyncio.timeout(WAIT_S):
        while True:
            try:
                await otlp.send(url, spans, {})
                break
            except otlp.ReceiverRefused:
                await asyncio.sleep(0.1)
    async with httpx.AsyncClient(timeout=WAIT_S) as client:
        answer = await client.post(f"{url}/v1/traces", json=json.loads(otlp.as_lines(spans)))
    assert answer.status_code == 200, answer.text
    assert not answer.json()["partialSuccess"]
    async with asyncio.timeout(WAIT_S):
        while len(told_in(printed)) < 2 * len(spans):  # noqa: ASYNC110  # it can only be looked at
            await asyncio.sleep(0.1)


def told_in(printed: Path) -> list[tuple[str, ...]]:
    """Return of each span that it has printed trace, parent, id, name and status."""
    return _SPAN.findall(printed.read_text(encoding="utf-8"))


async def test_the_collector_tells_of_the_spans_what_they_are(tmp_path: Path) -> None:
    program = await asyncio.to_thread(built, tmp_path / "collector")

    async with running(program) as (url, printed):
        await sent(url, printed)

    spans = [
        (one.trace_id, one.parent_id, one.span_id, one.name, "Error" if one.error else "Unset")
        for one in made(events())
    ]
    assert told_in(printed) == spans + spans
