"""The gateway as a process: waits for what it needs, serves, and ends in order."""

import asyncio
import importlib.metadata
import ipaddress
import logging
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Final

import structlog
import uvicorn

from connectors.models.tokens import ENCODING_DEFAULT, count_tokens_in_pieces, prepare_vocabularies
from connectors.webhook import Webhook, secret_of
from schemas.configuration import Models
from streams.client.client import Client
from streams.configuration.approvers import ApproverKey, load_key
from streams.configuration.loading import ConfigurationInvalid, load_configuration
from streams.gateway.access import TokenBook
from streams.gateway.announcing import Announcer, open_questions
from streams.gateway.app import make_app
from streams.gateway.bounds import Bounds, Limits
from streams.gateway.connections import HurriedProtocol
from streams.gateway.database import Database
from streams.gateway.door import Door
from streams.gateway.feed import Feed, keep_tokens
from streams.gateway.front import Front
from streams.gateway.models import ModelBook
from streams.process.ending import ExitCode, ShellStopped
from streams.process.logs import set_up_logs
from streams.process.metrics import Metrics
from streams.process.metrics_server import MetricsServer
from streams.process.settings import LOCAL_MODEL_KEY, Settings
from streams.process.startup import check_topics, registered
from streams.records.reader import RecordReader

_log = structlog.get_logger()
FRAME_BYTES_MAX: Final = 65_536
"""Of a WebSocket's message; longer texts come by POST."""
_READER_CACHE_BYTES: Final = 4_194_304
_ORIGIN: Final = re.compile(
    r"https?://[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:[0-9]{1,5})?|https?://\[[0-9a-f:]+\](:[0-9]{1,5})?"
)
_STOP_S: Final = 5


async def run_gateway(settings: Settings, stop: asyncio.Event) -> ExitCode:
    """Run a gateway until `stop` is set; returns the exit code."""
    set_up_logs(log_format=settings.log_format, level=settings.log_level)
    logging.getLogger("psycopg.pool").setLevel(logging.ERROR)
    try:
        check_address(settings)
        async with AsyncExitStack() as held:
            await _serve(settings, stop, held)
    except ShellStopped as stopped:
        _log.error("gateway_stopped", exit_code=int(stopped.code), reason=stopped.reason)
        return stopped.code
    except ConfigurationInvalid as error:
        _log.error("configuration_invalid", reason=str(error))
        return ExitCode.USAGE
    _log.info("gateway_ended")
    return ExitCode.OK


def _approver_key(settings: Settings) -> ApproverKey | None:
    path = settings.gateway_approver_key
    return None if path is None else load_key(path)


def check_address(settings: Settings) -> None:
    """See that no token travels in the clear.

    Raises:
        ShellStopped: it would.
    """
    host = settings.gateway_host
    try:
        is_own = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_own = False
    if is_own or settings.gateway_certificate is not None:
        return
    if not settings.gateway_insecure:
        raise ShellStopped(
            ExitCode.USAGE,
            f"on {host} others could read tokens on their way: set CARTRITA_GATEWAY_CERTIFICATE and "
            "CARTRITA_GATEWAY_CERTIFICATE_KEY, or CARTRITA_GATEWAY_INSECURE=true behind a proxy that has TLS",
        )
    _log.warning(
        "gateway_insecure", host=host, reason="CARTRITA_GATEWAY_INSECURE is set: tokens travel in the clear"
    )


def origins_of(settings: Settings) -> tuple[str, ...]:
    """Return the origins whose pages may ask; each is named exactly.

    Raises:
        ShellStopped: one is no origin as browsers name it, and would never be met, or stands for many.
    """
    listed = _listed(settings.gateway_origins)
    for origin in listed:
        if not _ORIGIN.fullmatch(origin):
            raise ShellStopped(
                ExitCode.USAGE,
                f"CARTRITA_GATEWAY_ORIGINS names {origin!r}; an origin is like https://console.example or "
                "http://localhost:5173: a scheme, a host and a port that is not the usual one",
            )
    return listed


async def _serve(settings: Settings, stop: asyncio.Event, held: AsyncExitStack) -> None:
    metrics = Metrics()
    known = asyncio.Event()
    await check_topics(settings)
    client = await _connected(settings, held)
    feed, book = Feed(client), TokenBook()
    health = MetricsServer(
        metrics.registry,
        host=settings.metrics_host,
        port=settings.metrics_port,
        is_ready=lambda: feed.ready.is_set() and known.is_set(),
    )
    held.push_async_callback(health.stop)
    await health.start()
    database = Database(settings.gateway_dsn)
    held.push_async_callback(database.close)
    await database.open()
    front = await _front(settings, client, database, feed, book, metrics, held)
    app = make_app(front, metrics, hosts=_listed(settings.gateway_hosts), origins=origins_of(settings))
    sockets = [_listen(settings.gateway_host, settings.gateway_port)]
    if settings.gateway_socket_port:
        sockets.append(_listen(settings.gateway_host, settings.gateway_socket_port))
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            http=HurriedProtocol,
            ws="websockets-sansio",
            ws_max_size=FRAME_BYTES_MAX,
            ws_per_message_deflate=False,
            server_header=False,
            timeout_graceful_shutdown=_STOP_S,
            ssl_certfile=settings.gateway_certificate,
            ssl_keyfile=settings.gateway_certificate_key,
        )
    )
    announcers = await _announcers(settings, front.door, sockets[0], held)
    running = [
        asyncio.create_task(feed.run()),
        asyncio.create_task(keep_tokens(client, book, known)),
        asyncio.create_task(database.watch()),
        *[asyncio.create_task(one.run()) for one in announcers],
        asyncio.create_task(server.serve(sockets)),
    ]
    _log.info("gateway_starting", address=sockets[0].getsockname()[:2])
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({*running, waiting}, return_when=asyncio.FIRST_COMPLETED)
        for task in done - {waiting}:
            task.result()
            raise ShellStopped(ExitCode.RESTART, "a part of the gateway ended by itself")
    finally:
        server.should_exit = True
        await asyncio.gather(running[-1], return_exceptions=True)
        for task in (*running, waiting):
            task.cancel()
        await asyncio.gather(*running, waiting, return_exceptions=True)


async def _announcers(
    settings: Settings, door: Door, own: socket.socket, held: AsyncExitStack
) -> list[Announcer]:
    """Return what tells somebody's server that a person is asked, if settings name one."""
    if not settings.webhook_url:
        return []
    try:
        secret = secret_of(settings.webhook_secret)
    except ValueError as error:
        raise ShellStopped(ExitCode.USAGE, f"CARTRITA_WEBHOOK_SECRET: {error}") from error
    webhook = await held.enter_async_context(Webhook(settings.webhook_url, secret))
    scheme = "http" if settings.gateway_certificate is None else "https"
    address = settings.gateway_url or f"{scheme}://{settings.gateway_host}:{own.getsockname()[1]}"
    return [Announcer(partial(open_questions, door), webhook.send, address.rstrip("/"))]


async def _front(
    settings: Settings,
    client: Client,
    database: Database,
    feed: Feed,
    book: TokenBook,
    metrics: Metrics,
    held: AsyncExitStack,
) -> Front:
    """Return what the routes share; connections are closed with what holds them."""
    configuration = load_configuration((), settings.configuration_directory)
    reader = RecordReader(
        kafka_bootstrap=settings.kafka_bootstrap,
        topic_prefix=settings.topic_prefix,
        codec=client.codec,
        cache_bytes=_READER_CACHE_BYTES,
        metrics=metrics,
    )
    held.push_async_callback(reader.stop)
    return Front(
        door=Door(client, database, configuration.limits),
        feed=feed,
        book=book,
        bounds=Bounds(_limits(settings)),
        prefix=settings.topic_prefix,
        version=importlib.metadata.version("cartrita"),
        count_tokens=_counter(settings),
        models=_models(settings, configuration.models),
        agents=tuple(configuration.agents),
        reader=reader,
        approver_key=_approver_key(settings),
    )


class _Server(uvicorn.Server):
    """uvicorn's, but for signals, which are the process's own."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave them alone."""
        yield


async def _connected(settings: Settings, held: AsyncExitStack) -> Client:
    """Wait for the registry, and return a client that is open as long as the process serves.

    Raises:
        ShellStopped: the registry is away, or refuses a schema.
    """

    async def connect() -> Client:
        return await held.enter_async_context(Client(settings))

    return await registered(settings, connect)


def _models(settings: Settings, models: Models) -> ModelBook:
    local = settings.model_api_key == LOCAL_MODEL_KEY
    return ModelBook(models, local=local, local_embedding=local and not settings.embedding_base_url)


def _counter(settings: Settings) -> Callable[[str], int]:
    if settings.tiktoken_cache_directory is not None:
        prepare_vocabularies(settings.tiktoken_cache_directory)
    return lambda text: count_tokens_in_pieces(text, ENCODING_DEFAULT)


def _limits(settings: Settings) -> Limits:
    return Limits(
        token_requests_per_s=settings.gateway_token_requests_per_s,
        tenant_requests_per_s=settings.gateway_tenant_requests_per_s,
        open_max=settings.gateway_open_max,
        token_open_max=settings.gateway_token_open_max,
    )


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=2_048)
    except OSError as error:
        raise ShellStopped(ExitCode.USAGE, f"cannot listen on {host}:{port}: {error.strerror}") from error


def _listed(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
