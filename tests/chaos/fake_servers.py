"""A model provider and a maker of side effects in one process, which misbehave on demand and keep books.

python -m tests.chaos.fake_servers --directory DIR --seed N --port N --tiktoken-cache DIR

The model is connectors.local_model, whose answers are deterministic. Beside it stand two tools, reached by
POST below /v1/tools/: `book_seat`, which books one more seat each time that it is asked, and `stamp_paper`,
which knows what it has stamped by the idempotency key. Both ledgers are files, one line a request.
"""

import argparse
import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from aiohttp import web

from connectors.embedded.ports import choose_port
from connectors.local_model.faults import Fault, RequestSeen
from connectors.local_model.ledger import LedgerEntry
from connectors.local_model.server import Account, LocalModelServer
from connectors.local_model.wire import MODEL_PREFIX, ChatCall, Completion, usage
from connectors.models.tokens import prepare_vocabularies
from tests.chaos.ledgers import DiskLedger, ToolEntry, append, read
from tests.connectors.quirks import CALL_QUIRKS, CONTENT_QUIRKS, MODEL, QUIRKS, STREAM_QUIRKS, Answer, Call

PROJECT_DIRECTORY: Final = Path(__file__).parents[2]
READY_S: Final = 120.0
STOP_S: Final = 10.0
LATE_MS: Final = 12_000
"""How long a late answer takes; the calls of a campaign are to have a shorter time."""
RETRY_AFTER_S: Final = 0.2
MODEL_FAULTS: Final = (
    "rate_limited",
    "server_error",
    "unavailable",
    "gateway_timeout",
    "disconnect",
    "disconnect_mid_stream",
    "error_in_stream",
    "garbage",
    "truncated_json",
    "not_json",
    "cyclic_plan",
    "wrong_tool",
    "bad_arguments",
    "large_answer",
    "long_answer",
    "slow_drip",
    "late",
    "duplicate_answer",
    "no_usage",
    "content_filter",
)
TOOL_FAULTS: Final = ("refused", "broken_before", "broken_after", "half", "error_after", "late")
"""broken_*: the connection breaks before or after the effect; error_after: 500 though it took place."""
TOOLS: Final = ("book_seat", "stamp_paper")
IDEMPOTENT: Final = frozenset({"stamp_paper"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Behaviour:
    """How the servers answer."""

    rate: float = 0.0
    """Share of requests that a fault meets, 0 to 1."""
    quirk_share: float = 0.0
    """Share of the model's sound answers that come as some provider writes them: oddly, and all the same."""
    plan: str = ""
    """What every planner answers; empty: what the rules say."""
    long_share: float = 0.0
    """Share of agents' answers that are longer, and dearer, than the request allows."""
    latency_ms: int = 0
    """Before every answer."""


def quirks_of(answer: Answer) -> list[str]:
    """Return the quirks that an answer may have: an answer with calls has no text to be odd."""
    return sorted([*STREAM_QUIRKS, *(CALL_QUIRKS if answer.calls else CONTENT_QUIRKS)])


class FakeServers:
    """The servers as a test holds them; their process may be killed and started again at will."""

    def __init__(self, directory: Path, seed: int, vocabularies: Path | None = None) -> None:
        """Choose a port; nothing starts yet.

        Args:
            directory: keeps ledgers and log; made when it is not there.
            seed: chooses which requests are met by which fault.
            vocabularies: tiktoken's; by default where the embedded stack has put them.
        """
        self.directory = directory
        self.seed = seed
        self._vocabularies = vocabularies or PROJECT_DIRECTORY / ".cartrita" / "artifacts" / "tiktoken"
        self._port = choose_port((None,))
        self._process: subprocess.Popen[bytes] | None = None
        self._behaviour = Behaviour()

    @property
    def base_url(self) -> str:
        """The model's address, with the version; known before the start."""
        return f"http://127.0.0.1:{self._port}/v1"

    @property
    def pid(self) -> int | None:
        """Of the process while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start, or keep what runs, and return when it answers; misbehaviour goes on as it was."""
        self.directory.mkdir(parents=True, exist_ok=True)
        if self.pid is None:
            arguments = ["--directory", str(self.directory), "--seed", str(self.seed)]
            arguments += ["--port", str(self._port), "--tiktoken-cache", str(self._vocabularies)]
            with (self.directory / "fake_servers.log").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "tests.chaos.fake_servers", *arguments],
                    cwd=PROJECT_DIRECTORY,
                    env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
                    stdout=log,
                    stderr=log,
                )
        deadline_s = time.monotonic() + READY_S
        while not self._answers():
            assert self.pid is not None, (self.directory / "fake_servers.log").read_text(encoding="utf-8")
            assert time.monotonic() < deadline_s, "the fake servers do not answer"
            time.sleep(0.05)
        self.behave_as(self._behaviour)

    def stop(self, *, hard: bool = False) -> None:
        """Stop; `hard` kills. What was answered is in the ledgers; what was being answered may not be."""
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGKILL if hard else signal.SIGTERM)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_S)

    def misbehave(self, rate: float) -> None:
        """Meet this share of all requests, 0 to 1, with a fault from now on, and others with a quirk."""
        self.behave_as(replace(self._behaviour, rate=rate, quirk_share=rate))

    def behave(self) -> None:
        """Answer properly from now on."""
        self.behave_as(Behaviour())

    def behave_as(self, behaviour: Behaviour) -> None:
        """Answer so from now on, after a restart as well."""
        self._behaviour = behaviour
        body = json.dumps(asdict(behaviour)).encode()
        request = urllib.request.Request(f"{self.base_url[:-3]}/behaviour", data=body, method="POST")
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 200

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Return what was asked of the model, in the order of the ends; the server need not run."""
        return read(self.directory / "model.jsonl", LedgerEntry)

    def tool_ledger(self) -> tuple[ToolEntry, ...]:
        """Return what was asked of the tools; an effect is written down before anybody is told of it."""
        return read(self.directory / "tools.jsonl", ToolEntry)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.base_url[:-3]}/healthz", timeout=2) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False


class Provider(LocalModelServer):
    """The server in the process."""

    def __init__(self, directory: Path, seed: int) -> None:
        """Write ledgers below `directory`."""
        super().__init__()
        self.ledger = DiskLedger(directory / "model.jsonl")
        self._tools_path = directory / "tools.jsonl"
        self._seed = seed
        self._behaviour = Behaviour()
        self._results = {
            entry.idempotency_key: f"paper {number}"
            for number, entry in enumerate(read(self._tools_path, ToolEntry))
            if entry.tool in IDEMPOTENT and entry.outcome == "executed"
        }
        self._requests = 0

    def _application(self) -> web.Application:
        application = super()._application()
        application.router.add_post("/behaviour", self._behave)
        application.router.add_post("/v1/tools/{tool}", self._tool)
        return application

    async def _behave(self, request: web.Request) -> web.Response:
        self._behaviour = Behaviour(**await request.json())
        self._latency_ms = self._behaviour.latency_ms
        self.set_faults(self._chosen)
        return web.json_response(asdict(self._behaviour))

    def _chosen(self, seen: RequestSeen) -> Fault | None:
        behaviour = self._behaviour
        chance = self._chance("model", repr(seen))
        if chance < behaviour.rate:
            kind = MODEL_FAULTS[int(chance / behaviour.rate * len(MODEL_FAULTS))]
            delay_ms = LATE_MS if kind == "late" else 40
            return Fault(kind=kind, times=-1, retry_after_s=RETRY_AFTER_S, delay_ms=delay_ms)
        if behaviour.plan and seen.role == "planner":
            return Fault(kind="text", text=behaviour.plan)
        is_long = seen.role.startswith("agent") and self._chance("long", repr(seen)) < behaviour.long_share
        return Fault(kind="long_answer") if is_long else None

    async def _stream(
        self,
        request: web.Request,
        account: Account,
        call: ChatCall,
        completion: Completion,
        fault: Fault | None,
    ) -> web.StreamResponse:
        chance = self._chance("quirk", completion.id)
        share = self._behaviour.quirk_share
        if fault is not None or chance >= share:
            return await super()._stream(request, account, call, completion, fault)
        reply = completion.reply
        answer = Answer(
            text=reply.text,
            calls=tuple(
                Call(id=call.tool_call_id, name=call.name, arguments=call.arguments_json)
                for call in reply.tool_calls
            ),
            usage=usage(completion),
            reason=completion.finish_reason,
        )
        names = quirks_of(answer)
        account.outcome = names[int(chance / share * len(names))]
        sent = QUIRKS[account.outcome](answer)
        body = sent.body.replace(MODEL.encode(), (MODEL_PREFIX + completion.model).encode())
        headers = {"Content-Type": sent.content_type}
        return web.Response(body=body, status=sent.status, headers=headers)

    async def _tool(self, request: web.Request) -> web.StreamResponse:
        tool = request.match_info["tool"]
        if tool not in TOOLS:
            return web.json_response({"error": "no such tool"}, status=404)
        key = request.headers.get("Idempotency-Key", "")
        call_id = request.headers.get("X-Client-Request-Id", "")
        self._requests += 1
        chance = self._chance("tool", f"{tool}/{key}/{self._requests}")
        rate = self._behaviour.rate
        fault = TOOL_FAULTS[int(chance / rate * len(TOOL_FAULTS))] if chance < rate else ""
        if fault in ("refused", "broken_before"):
            self._write_down(call_id, key, tool, "refused", fault)
            return _broken(request) if fault == "broken_before" else web.Response(status=503)
        result = self._results.get(key) if tool in IDEMPOTENT else None
        outcome = "repeated" if result is not None else "executed"
        if result is None:
            result = f"{tool} {self._requests}"
            self._results[key] = result
        self._write_down(call_id, key, tool, outcome, fault)
        if fault == "broken_after":
            return _broken(request)
        if fault == "late":
            await asyncio.sleep(LATE_MS / 1_000)
        if fault == "error_after":
            return web.Response(status=500)
        body = json.dumps({"result": result}).encode()
        return web.Response(body=body[: len(body) // 2] if fault == "half" else body)

    def _write_down(self, call_id: str, key: str, tool: str, outcome: str, fault: str) -> None:
        entry = ToolEntry(
            call_id=call_id,
            idempotency_key=key,
            tool=tool,
            outcome=outcome,
            fault=fault,
            at_ms=time.time_ns() // 1_000_000,
        )
        append(self._tools_path, asdict(entry))

    def _chance(self, *parts: str) -> float:
        digest = hashlib.sha256("/".join((str(self._seed), *parts)).encode(errors="replace")).digest()
        return int.from_bytes(digest[:8], "big") / 2**64


def _broken(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


async def _serve(options: argparse.Namespace) -> None:
    provider = Provider(options.directory, options.seed)
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    await provider.start(options.port)
    await stopped.wait()
    await provider.stop()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.fake_servers")
    parser.add_argument("--directory", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--tiktoken-cache", type=Path, required=True)
    options = parser.parse_args(arguments)
    prepare_vocabularies(options.tiktoken_cache)
    asyncio.run(_serve(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
