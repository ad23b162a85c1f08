"""A model that answers at once, and the plainest proxy before it, each as a process of its own."""

import argparse
from contextlib import asynccontextmanager
from typing import Final

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

MODEL: Final = "gpt-4o-mini"
ANSWER: Final = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": MODEL,
    "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "Hello there."}}
    ],
    "usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12},
}


async def answer(request: Request) -> Response:
    """Answer whatever is asked."""
    await request.body()
    return JSONResponse(ANSWER)


async def ready(request: Request) -> Response:
    """Tell that it is there."""
    return Response()


def model() -> Starlette:
    """Return the model."""
    return Starlette(
        routes=[Route("/v1/chat/completions", answer, methods=["POST"]), Route("/healthz", ready)]
    )


def proxy(target: str) -> Starlette:
    """Return a proxy that passes each request on to `target` as it is, and keeps nothing of it."""
    client = httpx.AsyncClient(base_url=target, timeout=30, limits=httpx.Limits(max_connections=None))

    async def pass_on(request: Request) -> Response:
        headers = {name: request.headers[name] for name in ("authorization", "content-type")}
        told = await client.post("/v1/chat/completions", content=await request.body(), headers=headers)
        return Response(told.content, told.status_code, media_type=told.headers["content-type"])

    @asynccontextmanager
    async def held(app: Starlette):  # type: ignore[no-untyped-def]  # Starlette's own type is as wide
        yield
        await client.aclose()

    routes = [Route("/v1/chat/completions", pass_on, methods=["POST"]), Route("/healthz", ready)]
    return Starlette(routes=routes, lifespan=held)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("target", nargs="?", default="")
    options = parser.parse_args()
    app = proxy(options.target) if options.target else model()
    uvicorn.run(app, host="127.0.0.1", port=options.port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
