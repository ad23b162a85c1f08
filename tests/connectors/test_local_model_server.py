"""The local server as an HTTP client sees it: the API, its limits, its faults and its ledger."""

import asyncio
import io
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from connectors.local_model.faults import Fault, FaultScript, RequestSeen, fault_from_plain
from connectors.local_model.refusals import BODY_BYTES_MAX
from connectors.local_model.server import LocalModelServer
from tests.connectors.conftest import PROJECT_DIRECTORY, Local, StartLocal, until

HELLO = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "What is a ledger? A ledger is a list."}],
}
PLANNER = [
    {"role": "system", "content": "Role: planner\nAnswer in JSON."},
    {
        "role": "user",
        "content": "Agents:\n- researcher: finds (tools: search_documents)\n\nRequest:\nWhat is a ledger?",
    },
]


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    """A plain HTTP client."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session:
        yield session


async def post(http: aiohttp.ClientSession, url: str, body: object) -> tuple[int, bytes]:
    """Post JSON; return status and body."""
    async with http.post(url, json=body) as response:
        return response.status, await response.read()


async def test_a_plain_answer_has_the_form_of_the_api_and_is_labelled_local(
    local: Local, http: aiohttp.ClientSession
) -> None:
    status, body = await post(http, f"{local.base_url}/chat/completions", HELLO)

    answer = json.loads(body)
    assert status == 200
    assert answer["object"] == "chat.completion"
    assert answer["model"] == "local-deterministic/gpt-4o"
    assert answer["system_fingerprint"] == "local-deterministic"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert "local deterministic model" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["total_tokens"] == sum(
        answer["usage"][name] for name in ("prompt_tokens", "completion_tokens")
    )


async def test_a_stream_brings_the_same_text_and_usage_only_when_asked_for(
    local: Local, http: aiohttp.ClientSession
) -> None:
    url = f"{local.base_url}/chat/completions"
    whole = json.loads((await post(http, url, HELLO))[1])

    _, with_usage = await post(http, url, HELLO | {"stream": True, "stream_options": {"include_usage": True}})
    _, without = await post(http, url, HELLO | {"stream": True})

    for body, has_usage in ((with_usage, True), (without, False)):
        lines = [line.removeprefix(b"data: ") for line in body.split(b"\n\n") if line]
        assert lines[-1] == b"[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        text = "".join(
            chunk["choices"][0]["delta"].get("content", "") for chunk in chunks if chunk["choices"]
        )
        assert text == whole["choices"][0]["message"]["content"]
        assert [chunk["usage"] for chunk in chunks if chunk.get("usage")] == (
            [whole["usage"]] if has_usage else []
        )


async def test_the_same_request_has_the_same_bytes_on_another_server_too(
    start_local: StartLocal, http: aiohttp.ClientSession
) -> None:
    first, second = await start_local(LocalModelServer()), await start_local(LocalModelServer())

    bodies = set()
    for local in (first, first, second):
        for body in (HELLO, HELLO | {"stream": True}, {"model": "gpt-4o", "messages": PLANNER}):
            bodies.add((await post(http, f"{local.base_url}/chat/completions", body))[1])

    assert len(bodies) == 3


@pytest.mark.parametrize(
    ("body", "status", "told"),
    [
        (HELLO | {"model": "gpt-9"}, 404, "gpt-9"),
        (HELLO | {"n": 2}, 400, "n must be 1"),
        (HELLO | {"max_tokens": 0}, 400, "max_tokens"),
        (HELLO | {"messages": []}, 400, "messages"),
        (HELLO | {"messages": [{"role": "robot", "content": "x"}]}, 400, "robot"),
        (HELLO | {"messages": [{"role": "user", "content": 7}]}, 400, "content"),
        (HELLO | {"messages": [{"role": "tool", "content": "x"}]}, 400, "tool_call_id"),
        (HELLO | {"response_format": {"type": "json_object"}}, 400, "word 'json'"),
        (HELLO | {"logit_bias": {}}, 400, "logit_bias"),
        (HELLO | {"tool_choice": "required"}, 400, "tool_choice"),
        (HELLO | {"tools": [{"type": "function", "function": {"name": "no good"}}]}, 400, "tools"),
        (HELLO | {"model": "gpt-3.5-turbo", "max_tokens": 17_000}, 400, "maximum context length"),
        ([], 400, "JSON object"),
    ],
)
async def test_bad_input_gets_an_error_in_the_apis_form(
    local: Local, http: aiohttp.ClientSession, body: object, status: int, told: str
) -> None:
    given, answer = await post(http, f"{local.base_url}/chat/completions", body)

    error = json.loads(answer)["error"]
    assert given == status
    assert told in error["message"]
    assert error["type"] == "invalid_request_error"


async def test_a_body_that_is_no_json_or_too_large_is_refused(
    local: Local, http: aiohttp.ClientSession
) -> None:
    url = f"{local.base_url}/chat/completions"
    async with http.post(url, data=b"{not json") as response:
        assert response.status == 400
        assert "parse" in (await response.json())["error"]["message"]
    async with http.post(url, data=io.BytesIO(b" " * (BODY_BYTES_MAX + 1))) as response:
        assert response.status == 413
        assert "too large" in (await response.json())["error"]["message"]
    async with http.get(f"{local.base_url}/nothing") as response:
        assert response.status == 404


async def test_models_and_health_are_served(local: Local, http: aiohttp.ClientSession) -> None:
    async with http.get(f"{local.base_url}/models") as response:
        names = [model["id"] for model in (await response.json())["data"]]
    async with http.get(f"{local.root_url}/healthz") as response:
        assert (await response.json())["status"] == "ok"
    async with http.get(f"{local.base_url}/models/gpt-4o") as response:
        assert (await response.json())["id"] == "gpt-4o"

    assert {"gpt-4o", "gpt-4o-mini", "gpt-3.5-turbo", "text-embedding-3-large"} <= set(names)


@pytest.mark.parametrize("tokens_max", [1, 2, 3, 7, 15])
async def test_a_limit_is_honoured_exactly(
    local: Local, http: aiohttp.ClientSession, tokens_max: int
) -> None:
    for name in ("max_tokens", "max_completion_tokens"):
        _, body = await post(http, f"{local.base_url}/chat/completions", HELLO | {name: tokens_max})

        answer = json.loads(body)
        assert answer["choices"][0]["finish_reason"] == "length"
        assert answer["usage"]["completion_tokens"] == tokens_max


async def test_embeddings_have_the_dimensions_asked_for_and_meaning(local: Local) -> None:
    texts = ["How are budgets reserved?", "A reservation of the budget", "Kafka keeps records"]

    embedded = await local.embeddings.embed(texts, call_id="c", timeout_ms=5_000)

    question, answer, other = embedded.vectors
    assert {len(vector) for vector in embedded.vectors} == {1_536}
    assert sum(number * number for number in question) == pytest.approx(1, abs=1e-5)
    assert sum(a * b for a, b in zip(question, answer, strict=True)) > 0.2
    assert abs(sum(a * b for a, b in zip(question, other, strict=True))) < 0.1
    assert embedded.local


async def test_faults_are_scripted_over_http_and_the_ledger_tells_what_happened(
    local: Local, http: aiohttp.ClientSession
) -> None:
    faults = {"faults": [{"kind": "server_error", "times": 1, "contains": "ledger"}]}
    url = f"{local.base_url}/chat/completions"

    assert (await post(http, f"{local.root_url}/control/faults", faults))[0] == 200
    first = await post(http, url, HELLO)
    second = await post(http, url, HELLO)
    async with http.get(f"{local.root_url}/control/ledger") as response:
        entries = (await response.json())["entries"]
    async with http.get(f"{local.root_url}/control/faults") as response:
        met = (await response.json())["met"]

    assert (first[0], second[0], met) == (500, 200, [1])
    assert [(entry["outcome"], entry["status"], entry["billed"]) for entry in entries] == [
        ("server_error", 500, False),
        ("answered", 200, True),
    ]
    assert entries[1]["prompt_tokens"] > 0


async def test_control_is_not_there_unless_asked_for(
    start_local: StartLocal, http: aiohttp.ClientSession
) -> None:
    local = await start_local(LocalModelServer())

    status, _ = await post(http, f"{local.root_url}/control/faults", {"faults": []})

    assert status == 404


async def test_an_unknown_fault_is_refused(local: Local, http: aiohttp.ClientSession) -> None:
    for bad in (
        {"faults": [{"kind": "nonsense"}]},
        {"faults": 3},
        {"faults": [{"kind": "hang", "times": "x"}]},
    ):
        status, _ = await post(http, f"{local.root_url}/control/faults", bad)

        assert status == 400


async def test_a_client_that_gives_up_is_in_the_ledger(local: Local, http: aiohttp.ClientSession) -> None:
    local.script(Fault(kind="hang"))
    named = {"X-Client-Request-Id": "one"}
    task = asyncio.ensure_future(http.post(f"{local.base_url}/chat/completions", json=HELLO, headers=named))
    await until(lambda: local.server.attempts)
    task.cancel()

    await until(local.server.ledger.entries)

    entry = local.server.ledger.entries()[0]
    assert (entry.outcome, entry.status) == ("hang", 0)


def test_a_script_meets_requests_by_its_conditions_and_counts() -> None:
    script = FaultScript(
        [
            Fault(kind="hang", role="planner", skip=1, times=1),
            Fault(kind="server_error", attempt=2, times=-1),
            Fault(kind="text", share=0.5, seed=7, times=-1, role="critic"),
        ]
    )

    def seen(role: str, attempt: int = 1, request_id: str = "r") -> RequestSeen:
        return RequestSeen(
            endpoint="chat", role=role, model="m", client_request_id=request_id, attempt=attempt, text=""
        )

    planned = [script(seen("planner")) for _ in range(3)]
    chosen = [script(seen("critic", request_id=str(number))) is not None for number in range(200)]

    assert [fault.kind if fault else None for fault in planned] == [None, "hang", None]
    assert script(seen("agent analyst", attempt=2)) is not None
    assert 70 < sum(chosen) < 130
    assert chosen == [script(seen("critic", request_id=str(number))) is not None for number in range(200)]


def test_a_fault_from_json_is_checked() -> None:
    assert fault_from_plain({"kind": "slow_drip", "delay_ms": 5}) == Fault(kind="slow_drip", delay_ms=5)
    for bad in (None, {}, {"kind": "hang", "more": 1}, {"kind": "hang", "times": True}):
        with pytest.raises(ValueError, match="fault"):
            fault_from_plain(bad)


async def test_latency_delays_every_answer(start_local: StartLocal, http: aiohttp.ClientSession) -> None:
    local = await start_local(LocalModelServer(latency_ms=30))

    await post(http, f"{local.base_url}/chat/completions", HELLO)

    entry = local.server.ledger.entries()[0]
    assert entry.ended_ms - entry.started_ms >= 29


def test_the_process_tells_its_port_answers_and_ends_on_sigterm(vocabularies: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "connectors.local_model",
            "--port",
            "0",
            "--tiktoken-cache",
            str(vocabularies),
        ],
        cwd=PROJECT_DIRECTORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("local model listens on http://127.0.0.1:")
    finally:
        process.terminate()
        _, errors = process.communicate(timeout=10)
    assert (process.returncode, errors) == (0, "")


def test_a_process_without_vocabularies_says_so_and_ends(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "connectors.local_model", "--tiktoken-cache", str(tmp_path)],
        cwd=PROJECT_DIRECTORY,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )

    assert ended.returncode == 2
    assert "lacks the vocabularies" in ended.stderr
