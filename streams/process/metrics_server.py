"""Serves /metrics and /healthz."""

from collections.abc import Callable

from aiohttp import web
from prometheus_client import generate_latest
from prometheus_client.registry import CollectorRegistry


class MetricsServer:
    """A small HTTP server within the process."""

    def __init__(
        self, registry: CollectorRegistry, *, host: str, port: int, is_ready: Callable[[], bool]
    ) -> None:
        """Take what to serve.

        Args:
            registry: the metrics.
            host: address to listen on.
            port: 0 takes a free one.
            is_ready: False makes /healthz answer 503.
        """
        self._registry = registry
        self._host = host
        self._port = port
        self._is_ready = is_ready
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen; return the port."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, self._host, self._port).start()
        return int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _metrics(self, _request: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), content_type="text/plain", charset="utf-8")

    async def _healthz(self, _request: web.Request) -> web.Response:
        ready = self._is_ready()
        return web.json_response({"status": "ok" if ready else "starting"}, status=200 if ready else 503)
