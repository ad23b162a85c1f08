"""Requests of /api/v2 that nobody would think of, drawn by schemathesis from what the gateway says of it."""

import json
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

import httpx
import pytest

from streams.gateway.reference import openapi_document
from tests.pipeline.conftest import Make
from tests.pipeline.test_front_door import opened

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

SEED: Final = "7"
LEFT_OUT: Final = (
    # Which sentences hold between fields no schema says, such as that something is to be changed at all.
    "positive_data_acceptance",
)
PROGRAM: Final = "import sys; from schemathesis.cli import schemathesis; sys.exit(schemathesis())"


def test_a_gateway_describes_what_the_reference_describes(http: httpx.Client) -> None:
    described = http.get("/api/v2/openapi.json").json()
    assert described == json.loads(json.dumps(openapi_document(described["info"]["version"])))


def parts() -> list[list[str]]:
    """Return what each of several processes takes: many requests wait for what the sink may be about to read.

    It is not several threads of one process: Python 3.11 breaks off when two of them parse source at once.
    """
    paths = sorted(openapi_document("0")["paths"])
    halves = [
        [word for path in half for word in ("--include-path", path)] for half in (paths[::2], paths[1::2])
    ]
    return [*(["--phases", "coverage", *half] for half in halves), ["--phases", "fuzzing,stateful"]]


def run(command: list[str], folder: Path, part: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *part], capture_output=True, text=True, cwd=folder, check=False)


@pytest.mark.parametrize("examples", [3, pytest.param(20, marks=pytest.mark.slow)])
def test_no_drawn_request_is_answered_other_than_described(
    http: httpx.Client, make_token: Make, address: str, tmp_path: Path, examples: int
) -> None:
    # A tenant of its own: what is drawn opens, cancels and ends sessions.
    scopes = [part for scope in ("read", "send", "approve", "administer") for part in ("--scope", scope)]
    token = make_token("--tenant", "drawn", *scopes)
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {token}"}) as client:
        session = opened(client)
    settings = tmp_path / "schemathesis.toml"
    # Half of all requests are to a session that is there.
    settings.write_text(f'[parameters]\n"path.session_id" = "{session}"\n', encoding="utf-8")
    command = [
        *(sys.executable, "-c", PROGRAM, "--config-file", str(settings)),
        *("run", f"{address}/api/v2/openapi.json", "--header", f"Authorization: Bearer {token}"),
        *("--max-examples", str(examples), "--seed", SEED, "--exclude-checks", ",".join(LEFT_OUT)),
        *("--request-timeout", "30", "--no-color", "--continue-on-failure"),
    ]
    with ThreadPoolExecutor() as runs:
        for ended in runs.map(partial(run, command, tmp_path), parts()):
            assert ended.returncode == 0, f"{ended.stdout[-12_000:]}\n{ended.stderr[-2_000:]}"
    assert http.get("/health").status_code == 200
