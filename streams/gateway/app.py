"""The gateway as an ASGI application: every route, and what every request passes."""

import time
from collections.abc import Collection
from http import HTTPStatus

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Match, Route, WebSocketRoute
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streams.gateway import console_files, lists_api, openai_chat, sockets
from streams.gateway.embeddings import Embeddings
from streams.gateway.front import Front
from streams.gateway.guard import Guard
from streams.gateway.login import login, logout
from streams.gateway.openai_chat import Chat
from streams.gateway.problems import Problem, response_of
from streams.gateway.reference import APIS, OPENAPI_PATH, TITLE
from streams.gateway.responses import Responses
from streams.gateway.traced import Traced
from streams.gateway.turns import SESSION_HEADER
from streams.process.metrics import Metrics

_log = structlog.get_logger()


def make_app(
    front: Front, metrics: Metrics, *, hosts: Collection[str] = (), origins: Collection[str] = ()
) -> ASGIApp:
    """Return the application.

    Args:
        front: the gateway's parts.
        metrics: of its process.
        hosts: names by which it is called, beside the loopback's.
        origins: pages that may ask from a browser.
    """
    chat, responses, embeddings = Chat(front), Responses(front), Embeddings(front)
    app = FastAPI(
        title=TITLE,
        version=front.version,
        openapi_url=OPENAPI_PATH,
        docs_url=None,
        redoc_url=None,
        middleware=[
            Middleware(
                CORSMiddleware,
                allow_origins=list(origins),
                allow_methods=["GET", "POST"],
                allow_headers=["Authorization", "Content-Type", "Idempotency-Key", SESSION_HEADER],
                expose_headers=[SESSION_HEADER, "Retry-After"],
            ),
            Middleware(_Measured, metrics=metrics),
            Middleware(Traced),
            Middleware(
                Guard,
                book=front.book,
                bounds=front.bounds,
                hosts=hosts,
                origins=origins,
                count=lambda route, status: metrics.gateway_requests.labels(route, str(status)).inc(),
            ),
        ],
    )
    app.state.front = front
    metrics.gateway_followers.set_function(lambda: front.feed.followers)
    for api in APIS:
        app.include_router(api.router)
    app.router.routes += [
        *console_files.routes(),
        Route("/api/v2/sessions/changes", lists_api.changes),
        Route("/health", health),
        Route("/login/{code}", login, methods=["GET", "POST"]),
        Route("/logout", logout, methods=["POST"]),
        Route("/api/v2/sessions/{session_id}/stream", sockets.stream),
        WebSocketRoute("/ws/{session_id}", sockets.websocket),
        Route("/v1/models", chat.models),
        Route("/v1/models/{model:path}", chat.model),
        Route("/v1/chat/completions", chat.completions, methods=["POST"]),
        Route("/v1/responses", responses.create, methods=["POST"]),
        Route("/v1/responses/{response_id}", responses.retrieve),
        Route("/v1/responses/{response_id}/cancel", responses.cancel, methods=["POST"]),
        Route("/v1/responses/{response_id}/input_items", responses.items),
        Route("/v1/embeddings", embeddings.create, methods=["POST"]),
        Route("/v1/{rest:path}", openai_chat.not_there, methods=["GET", "POST", "DELETE"]),
    ]
    app.add_exception_handler(Problem, _on_problem)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_error)
    return app


async def health(request: Request) -> Response:
    """Tell whether the gateway can do its work, and whoever bears a token what keeps it from that."""
    front: Front = request.app.state.front
    components = await front.door.check()
    components["feed"] = "connected" if front.feed.ready.is_set() else "disconnected"
    healthy = all(state == "connected" for state in components.values())
    told: dict[str, object] = {"status": "healthy" if healthy else "unhealthy"}
    if request.state.principal is not None:
        told |= {"version": front.version, "components": components}
    return JSONResponse(told, 200 if healthy else 503, {} if healthy else {"Retry-After": "2"})


async def _on_problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return response_of(error, request)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    first = faults[0]
    place = ".".join(str(part) for part in first["loc"][1:])
    status = 400 if first["type"] == "json_invalid" else 422
    detail = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in faults[:5])
    return response_of(Problem(status, detail, code="invalid_request", param=place), request)


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if isinstance(error.__cause__, Problem):
        return response_of(error.__cause__, request)
    response = response_of(Problem(error.status_code, str(error.detail)), request)
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        # What Starlette says itself is of the first route of the path alone.
        matching = (
            route for route in request.app.router.routes if route.matches(request.scope)[0] is not Match.NONE
        )
        response.headers["Allow"] = ", ".join(
            sorted({method for route in matching for method in getattr(route, "methods", None) or ()})
        )
    return response


async def _on_error(request: Request, error: Exception) -> Response:
    _log.error("request_failed", path=request.url.path, exc_info=error)
    return response_of(Problem(500, "the gateway failed on this request; its log tells more"), request)


class _Measured:
    """Counts answers, and times them to their first byte."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()

        async def measured(message: Message) -> None:
            if message["type"] == "http.response.start":
                route = getattr(scope.get("route"), "path", "other")
                self._metrics.gateway_requests.labels(route, str(message["status"])).inc()
                self._metrics.gateway_request_seconds.labels(route).observe(time.perf_counter() - began_s)
            await send(message)

        await self._app(scope, receive, measured)
