"""Open Responses' own tests of compliance, from a copy of its public repository, against the front door."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.pipeline.test_clients import CLIENTS

pytestmark = pytest.mark.slow

LOADER: Final = Path(__file__).with_name("open_responses.mjs")
RUN: Final = (
    "basic-response",
    "assistant-phase",
    "response-output-phase-schema",
    "streaming-response",
    "system-prompt",
    "tool-calling",
    "multi-turn",
)
_SOCKETS: Final = "/v1/responses is not served over WebSockets; clients stream by server-sent events"
_COMPACTION: Final = "there is no /v1/responses/compact: a model's context is the client's own to shorten"
LEFT_OUT: Final = {
    "image-input": "texts alone are taken",
    "compact-response": _COMPACTION,
    "compact-missing-model": _COMPACTION,
    "websocket-response": _SOCKETS,
    "websocket-sequential-responses": _SOCKETS,
    "websocket-continuation": _SOCKETS,
    "websocket-reconnect-store-false-recovery": _SOCKETS,
    "websocket-previous-response-not-found": _SOCKETS,
    "websocket-failed-continuation-evicts-cache": _SOCKETS,
    "websocket-compact-new-chain": _SOCKETS,
}


@pytest.fixture(scope="module")
def suite(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the suite beside what it needs from npm."""
    given: Path | None = request.config.getoption("--open-responses", default=None)
    if given is None:
        pytest.skip("NOT TESTED HERE: `make open-responses SUITE=…` names a copy of the suite's repository")
    if not (CLIENTS / ".installed").exists():
        pytest.skip(f"NOT TESTED HERE: {CLIENTS.name} is not installed; `make test-clients` does that")
    place = tmp_path_factory.mktemp("suite")
    for part in ("bin", "src"):
        shutil.copytree(given / part, place / part)
    (place / "node_modules").symlink_to(CLIENTS / "node_modules")
    return place


def told_by(suite: Path, *given: str) -> "subprocess.CompletedProcess[str]":
    """Run the suite's own command."""
    command = [str(CLIENTS / "bin" / "node"), "--import", LOADER.as_uri(), "bin/compliance-test.ts", *given]
    return subprocess.run(command, cwd=suite, capture_output=True, text=True, timeout=240, check=False)


def test_each_test_of_the_suite_is_run_or_left_out_for_a_reason(suite: Path) -> None:
    # The command names those that there are when it is asked for one that there is not.
    ended = told_by(suite, "--base-url", "http://127.0.0.1:1/v1", "--api-key", "none", "--filter", "none")
    listed = re.search(r"Available test IDs: (.*)", ended.stderr)
    assert listed is not None, ended.stdout + ended.stderr
    assert sorted(listed[1].split(", ")) == sorted((*RUN, *LEFT_OUT))


@pytest.mark.stack
@pytest.mark.parametrize("model", ["local/gpt-4o-mini", "cartrita"])
def test_responses_are_what_the_suite_asks_for(suite: Path, address: str, token: str, model: str) -> None:
    # Its agents have tools of their own, and take none of a client.
    run = [one for one in RUN if model != "cartrita" or one != "tool-calling"]
    ended = told_by(
        suite,
        *("--base-url", f"{address}/v1", "--api-key", token, "--model", model),
        *("--json", "--filter", ",".join(run)),
    )
    assert ended.stdout.startswith("{"), ended.stdout + ended.stderr
    told = json.loads(ended.stdout)["results"]
    assert {one["id"]: (one["status"], one["errors"]) for one in told} == {one: ("passed", []) for one in run}
