"""The HTTP server: the OpenAI API over the rules, with faults on purpose where a test asks for them."""

import asyncio
import base64
import json
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from aiohttp import web

from connectors.local_model import prompts, wire
from connectors.local_model.answers import complete, reply_to, request_text
from connectors.local_model.control import add_control, json_response
from connectors.local_model.embedding import embed
from connectors.local_model.faults import Fault, FaultChooser, RequestSeen
from connectors.local_model.faulty import HTTP_FAULTS, faulty_chunks, faulty_reply
from connectors.local_model.ledger import Ledger, LedgerEntry
from connectors.local_model.refusals import BODY_BYTES_MAX, errors, http_error
from connectors.models.tokens import TokenCounter

HANG_S_MAX: Final = 600
"""A hanging request is let go at last, so that a forgotten one does not stay for ever."""
REQUEST_IDS_MAX: Final = 100_000

CHAT_MODELS: Final[Mapping[str, int]] = MappingProxyType(
    {"gpt-4o": 128_000, "gpt-4o-mini": 128_000, "gpt-3.5-turbo": 16_385}
)
"""Context in tokens by model."""
EMBEDDING_MODELS: Final[Mapping[str, int]] = MappingProxyType(
    {"text-embedding-3-large": 3_072, "text-embedding-3-small": 1_536}
)
"""Dimensions by model."""
EMBEDDING_TOKENS_MAX: Final = 8_191


@dataclass(slots=True, kw_only=True)
class Account:
    """What the ledger will say of a request."""

    endpoint: str
    client_request_id: str
    role: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    outcome: str = "answered"
    status: int = 200
    billed: bool = False


class LocalModelServer:
    """The local deterministic model behind the OpenAI API."""

    def __init__(
        self,
        *,
        counter: TokenCounter | None = None,
        chat_models: Mapping[str, int] = CHAT_MODELS,
        embedding_models: Mapping[str, int] = EMBEDDING_MODELS,
        faults: FaultChooser | None = None,
        control: bool = False,
        latency_ms: int = 0,
    ) -> None:
        """Note the settings; nothing is bound before `start`.

        Args:
            counter: counts tokens; needs the vocabularies (connectors.models.tokens.prepare_vocabularies).
            chat_models: context in tokens by name; others are refused with 404.
            embedding_models: dimensions by name.
            faults: chooses the fault of each request; tests alone.
            control: serve /control/faults and /control/ledger; tests alone.
            latency_ms: wait before every answer.
        """
        self.ledger = Ledger()
        self._counter = counter or TokenCounter()
        self._chat_models = dict(chat_models)
        self._embedding_models = dict(embedding_models)
        self._faults = faults
        self._control = control
        self._latency_ms = latency_ms
        self.attempts: Counter[str] = Counter()
        self._runner: web.AppRunner | None = None

    async def start(self, port: int = 0, host: str = "127.0.0.1") -> int:
        """Listen, and return the port: the given one, or a free one for 0."""
        # A cancelled handler is how a client's giving up gets into the ledger at once.
        self._runner = web.AppRunner(
            self._application(), handler_cancellation=True, access_log=None, shutdown_timeout=0.5
        )
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        address: tuple[str, int] = self._runner.addresses[0]
        return address[1]

    async def stop(self) -> None:
        """Stop listening and end every open request."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def set_faults(self, faults: FaultChooser | None) -> None:
        """Let `faults` choose from the next request on."""
        self._faults = faults

    def _application(self) -> web.Application:
        application = web.Application(client_max_size=BODY_BYTES_MAX, middlewares=[errors])
        application.router.add_get("/healthz", self._health)
        application.router.add_get("/v1/models", self._models)
        application.router.add_get("/v1/models/{model}", self._one_model)
        application.router.add_post("/v1/chat/completions", self._accounted("chat", self._chat))
        application.router.add_post("/v1/embeddings", self._accounted("embeddings", self._embeddings))
        if self._control:
            add_control(application, self.ledger, self.attempts, self.set_faults)
        return application

    def _accounted(
        self, endpoint: str, handler: Callable[[web.Request, Account], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        """Wrap `handler` so that the ledger notes how each request ended."""

        async def handle(request: web.Request) -> web.StreamResponse:
            account = Account(
                endpoint=endpoint, client_request_id=request.headers.get("X-Client-Request-Id", "")[:200]
            )
            started_ms = time.time_ns() // 1_000_000
            try:
                return await handler(request, account)
            except wire.BadRequest as error:
                account.outcome, account.status = "rejected", error.status
                raise
            except web.HTTPRequestEntityTooLarge:
                account.outcome, account.status = "rejected", 413
                raise
            except (asyncio.CancelledError, ConnectionError):
                if account.outcome == "answered":
                    account.outcome = "client_gone"
                account.status = 0
                raise
            finally:
                self._note(account, started_ms)

        return handle

    def _note(self, account: Account, started_ms: int) -> None:
        self.ledger.add(
            LedgerEntry(
                client_request_id=account.client_request_id,
                endpoint=account.endpoint,
                role=account.role,
                model=account.model,
                prompt_tokens=account.prompt_tokens,
                completion_tokens=account.completion_tokens,
                outcome=account.outcome,
                status=account.status,
                billed=account.billed,
                started_ms=started_ms,
                ended_ms=time.time_ns() // 1_000_000,
            )
        )

    async def _chat(self, request: web.Request, account: Account) -> web.StreamResponse:
        body = await request.read()
        call = wire.parse_chat(wire.parse_json(body))
        account.role, account.model = prompts.role_of(call.messages), call.model
        self._check_model(call.model, self._chat_models)
        fault = self._choose(account, request_text(call))
        await self._wait(self._latency_ms)
        if fault is not None and (response := self._refused(request, account, fault)):
            return response
        reply = reply_to(call, self._counter)
        finish_reason = None
        if fault is not None:
            reply, call, finish_reason = faulty_reply(fault, reply, call)
        completion = complete(call, reply, self._counter, wire.completion_id(body), finish_reason)
        account.prompt_tokens, account.completion_tokens = (
            completion.prompt_tokens,
            completion.completion_tokens,
        )
        self._check_context(call, completion)
        account.billed = True
        if fault is not None and (spoiled := await self._spoiled(request, account, fault)):
            return spoiled
        if call.stream:
            return await self._stream(request, account, call, completion, fault)
        answered = wire.completion_body(completion)
        if fault is not None and fault.kind == "no_usage":
            del answered["usage"]
        return json_response(answered)

    async def _stream(
        self,
        request: web.Request,
        account: Account,
        call: wire.ChatCall,
        completion: wire.Completion,
        fault: Fault | None,
    ) -> web.StreamResponse:
        kind = fault.kind if fault is not None else ""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-cache"}
        )
        await response.prepare(request)
        include_usage = call.include_usage and kind != "no_usage"
        pending: list[bytes] = []
        chunks = wire.completion_chunks(completion, include_usage=include_usage)
        for index, chunk in enumerate(faulty_chunks(fault, chunks)):
            if fault is not None and kind == "disconnect_mid_stream" and index >= fault.pieces:
                await _flush(response, pending)
                _disconnect(request)
                account.status = 0
                return response
            if fault is not None and kind == "error_in_stream" and index >= fault.pieces:
                broken = wire.error_body(
                    "The server had an error while streaming.", "server_error", None, None
                )
                pending.append(_event(broken))
                break
            pending.append(_event(chunk))
            if fault is not None and kind == "slow_drip":
                await _flush(response, pending)
                await self._wait(fault.delay_ms)
        else:
            pending.append(b"data: [DONE]\n\n")
        await _flush(response, pending)
        await response.write_eof()
        return response

    async def _embeddings(self, request: web.Request, account: Account) -> web.StreamResponse:
        call = wire.parse_embedding(wire.parse_json(await request.read()))
        account.model = call.model
        self._check_model(call.model, self._embedding_models)
        fault = self._choose(account, "\n".join(call.texts))
        await self._wait(self._latency_ms)
        if fault is not None and (response := self._refused(request, account, fault)):
            return response
        counts = [self._counter.count(text, call.model) for text in call.texts]
        if max(counts) > EMBEDDING_TOKENS_MAX:
            raise wire.BadRequest(
                f"This model's maximum context length is {EMBEDDING_TOKENS_MAX} tokens, however you "
                f"requested {max(counts)} tokens in one text.",
                code="context_length_exceeded",
            )
        dimensions = call.dimensions or self._embedding_models[call.model]
        account.prompt_tokens, account.billed = sum(counts), True
        if fault is not None and (spoiled := await self._spoiled(request, account, fault)):
            return spoiled
        data: list[Mapping[str, object]] = []
        for index, text in enumerate(call.texts):
            vector = embed(text, dimensions)
            packed = (
                base64.b64encode(struct.pack(f"<{dimensions}f", *vector)).decode() if call.base64 else vector
            )
            data.append({"object": "embedding", "index": index, "embedding": packed})
            await asyncio.sleep(0)  # a large batch must not hold up the answers to others
        answered: dict[str, object] = {
            "object": "list",
            "data": data,
            "model": wire.MODEL_PREFIX + call.model,
            "usage": {"prompt_tokens": sum(counts), "total_tokens": sum(counts)},
        }
        if fault is not None and fault.kind == "no_usage":
            del answered["usage"]
        return json_response(answered)

    def _refused(self, request: web.Request, account: Account, fault: Fault) -> web.Response | None:
        """Carry out a fault for which no answer is made, and nothing billed; None for another."""
        if fault.kind in HTTP_FAULTS:
            account.status = HTTP_FAULTS[fault.kind].status
            return http_error(fault)
        if fault.kind == "disconnect":
            return _cut_off(request, account)
        return None

    async def _spoiled(self, request: web.Request, account: Account, fault: Fault) -> web.Response | None:
        """Carry out a fault in place of an answer that is made and billed; None where the answer follows."""
        match fault.kind:
            case "garbage":
                return web.Response(body=b"data: \x00\x01 upstream said something else\n\n")
            case "hang":
                await asyncio.sleep(HANG_S_MAX)
                return _cut_off(request, account)
            case "late":
                await self._wait(fault.delay_ms)
            case _:
                pass
        return None

    def _choose(self, account: Account, text: str) -> Fault | None:
        attempt = 1
        if account.client_request_id and (self._faults is not None or self._control):
            if len(self.attempts) >= REQUEST_IDS_MAX:
                self.attempts.clear()
            self.attempts[account.client_request_id] += 1
            attempt = self.attempts[account.client_request_id]
        if self._faults is None:
            return None
        seen = RequestSeen(
            endpoint=account.endpoint,
            role=account.role,
            model=account.model,
            client_request_id=account.client_request_id,
            attempt=attempt,
            text=text,
        )
        fault = self._faults(seen)
        if fault is not None:
            account.outcome = fault.kind
        return fault

    def _check_model(self, model: str, known: Mapping[str, int]) -> None:
        if model not in known:
            raise wire.BadRequest(
                f"The model `{model}` does not exist or you do not have access to it.",
                status=404,
                code="model_not_found",
                parameter="model",
            )

    def _check_context(self, call: wire.ChatCall, completion: wire.Completion) -> None:
        context = self._chat_models[call.model]
        wanted = completion.prompt_tokens + (call.tokens_max or 0)
        if wanted > context:
            raise wire.BadRequest(
                f"This model's maximum context length is {context} tokens. However, you requested {wanted} "
                f"tokens ({completion.prompt_tokens} in the messages, {call.tokens_max or 0} in the "
                "completion).",
                code="context_length_exceeded",
                parameter="messages",
            )

    async def _wait(self, delay_ms: int) -> None:
        if delay_ms > 0:
            await asyncio.sleep(delay_ms / 1000)

    async def _health(self, _request: web.Request) -> web.Response:
        return json_response({"status": "ok", "model": wire.FINGERPRINT})

    async def _models(self, _request: web.Request) -> web.Response:
        names = [*self._chat_models, *self._embedding_models]
        return json_response({"object": "list", "data": [_model_object(name) for name in names]})

    async def _one_model(self, request: web.Request) -> web.Response:
        name = request.match_info["model"]
        self._check_model(name, {**self._chat_models, **self._embedding_models})
        return json_response(_model_object(name))


def _event(value: Mapping[str, object]) -> bytes:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return b"data: " + text.encode("utf-8", errors="replace") + b"\n\n"


async def _flush(response: web.StreamResponse, pending: list[bytes]) -> None:
    if pending:
        await response.write(b"".join(pending))
        pending.clear()


def _cut_off(request: web.Request, account: Account) -> web.Response:
    account.status = 0
    _disconnect(request)
    return web.Response()


def _disconnect(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


def _model_object(name: str) -> dict[str, object]:
    return {"id": name, "object": "model", "created": wire.CREATED, "owned_by": wire.FINGERPRINT}
