"""A provider on loopback that answers as a test says, byte by byte."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

from aiohttp import web

from connectors.models.chat import OpenAIModel
from connectors.models.embeddings import OpenAIEmbeddings
from schemas.configuration import EmbeddingModel, RequestParameters
from tests.connectors.conftest import EMBEDDING_MODEL, ENCODINGS, Waits
from tests.connectors.quirks import Sent

Body = dict[str, object]
Handler = Callable[[Body], Sent]


class QuirkyProvider:
    """Answers every request by `handler`, and keeps what was asked."""

    def __init__(self, handler: Handler) -> None:
        """Note who answers; nothing is bound before `start`."""
        self.handler = handler
        self.asked: list[Body] = []
        self.paths: list[str] = []
        self.headers: list[dict[str, str]] = []
        self._runner: web.AppRunner | None = None
        self.port = 0

    async def start(self) -> None:
        """Listen on a free port of loopback."""
        application = web.Application(client_max_size=16 * 1024**2)
        application.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.port = cast("int", self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        body = cast("Body", json.loads(await request.read() or b"{}"))
        self.asked.append(body)
        self.paths.append(request.path_qs)
        self.headers.append(dict(request.headers))
        sent = self.handler(body)
        headers = {"Content-Type": sent.content_type, **dict(sent.headers)}
        if not sent.closes:
            return web.Response(body=sent.body, status=sent.status, headers=headers)
        assert request.transport is not None
        lines = [f"HTTP/1.1 {sent.status} OK", *(f"{name}: {value}" for name, value in headers.items())]
        request.transport.write("\r\n".join([*lines, "Connection: close", "", ""]).encode() + sent.body)
        request.transport.close()
        return web.Response()


@asynccontextmanager
async def provider(handler: Handler) -> AsyncIterator[QuirkyProvider]:
    """Run a provider."""
    quirky = QuirkyProvider(handler)
    await quirky.start()
    try:
        yield quirky
    finally:
        await quirky.stop()


@asynccontextmanager
async def asking(
    handler: Handler,
    *,
    path: str = "/v1",
    parameters: RequestParameters | None = None,
    api_key: str = "a key",
) -> AsyncIterator[tuple[OpenAIModel, QuirkyProvider, Waits]]:
    """Run a provider with a model that asks it; waits between attempts are noted and not waited."""
    async with provider(handler) as quirky:
        waits = Waits()
        model = OpenAIModel(
            base_url=f"http://127.0.0.1:{quirky.port}{path}",
            api_key=api_key,
            encodings=ENCODINGS,
            parameters={} if parameters is None else {"gpt-4o-mini": parameters},
            sleep=waits,
            random=lambda: 0.0,
        )
        try:
            yield model, quirky, waits
        finally:
            await model.close()


@asynccontextmanager
async def embedding(
    handler: Handler, model: EmbeddingModel = EMBEDDING_MODEL, *, path: str = "/v1"
) -> AsyncIterator[tuple[OpenAIEmbeddings, QuirkyProvider]]:
    """Run a provider with an embedding model that asks it."""
    async with provider(handler) as quirky:
        embeddings = OpenAIEmbeddings(
            base_url=f"http://127.0.0.1:{quirky.port}{path}", api_key="a key", model=model, sleep=Waits()
        )
        try:
            yield embeddings, quirky
        finally:
            await embeddings.close()
