"""A server that is a process of ours, spoken to by lines of JSON on its standard input and output.

The SDK has a transport for this, too. This one bounds the length of a line, gives the process no variable
that was not named, keeps what it writes to standard error, and ends everything that it has started.
"""

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import anyio
import mcp_types
from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
from mcp.shared.message import SessionMessage

from connectors.sandbox.cleaning import clean_line

END_S: Final = 2.0
"""How long a server may take to end after its input has ended, and again after it was asked to."""
ERROR_LINES_KEPT: Final = 20
ERROR_LINE_CHARACTERS_MAX: Final = 300
_ERROR_BYTES_MAX: Final = 65_536

Streams = tuple[MemoryObjectReceiveStream[SessionMessage | Exception], MemoryObjectSendStream[SessionMessage]]
"""What comes from a server, and what goes to it."""
T = TypeVar("T")
_Received = MemoryObjectSendStream[SessionMessage | Exception]
_ToSend = MemoryObjectReceiveStream[SessionMessage]


class ServerBroken(Exception):
    """A server cannot be started, or does not keep to the protocol; the message says how, for people."""


class ProgramChanged(ServerBroken):
    """A server's program is not the one that a person accepted: it is not started."""


class ProgramTransport:
    """Starts one process and speaks to it; used once."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        message_bytes_max: int,
        pass_descriptors: Sequence[int] = (),
        on_started: Callable[[], None] = lambda: None,
    ) -> None:
        """Start nothing yet.

        Args:
            command: the program's absolute path first.
            environment: all of it; nothing is inherited.
            message_bytes_max: of one line.
            pass_descriptors: what the process inherits beside its standard streams.
            on_started: called once the process exists.
        """
        self._command = tuple(command)
        self._environment = dict(environment)
        self._bytes_max = message_bytes_max
        self._descriptors = tuple(pass_descriptors)
        self._on_started = on_started
        self._said: deque[str] = deque(maxlen=ERROR_LINES_KEPT)
        self.fault = ""
        """Why the connection broke, where the transport knows."""

    @property
    def said(self) -> str:
        """Return the last that the process wrote to standard error, on one line."""
        return " | ".join(self._said)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Streams]:
        """Start the process, and end it with all that it has started.

        Raises:
            ServerBroken: it could not be started.
        """
        process = await self._started()
        # Nothing may come between the start and the block that ends the process.
        received_in, received_out = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        sent_in, sent_out = anyio.create_memory_object_stream[SessionMessage](0)
        tasks: list[asyncio.Task[None]] = []
        try:
            self._on_started()
            tasks = [
                asyncio.create_task(self._read(process, received_in)),
                asyncio.create_task(self._write(process, sent_out, received_in)),
                asyncio.create_task(self._listen(process)),
            ]
            yield received_out, sent_in
        finally:
            await _whole(_end(process))
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for stream in (received_in, received_out, sent_in, sent_out):
                stream.close()

    async def _started(self) -> asyncio.subprocess.Process:
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                env=self._environment,
                cwd="/",
                start_new_session=True,
                limit=self._bytes_max,
                pass_fds=self._descriptors,
            )
        )
        try:
            return await _whole(starting)
        except OSError as error:
            raise ServerBroken(f"{self._command[0]} cannot be started: {error.strerror or error}") from error
        except asyncio.CancelledError:
            if starting.exception() is None:
                # It is there, and nobody else knows of it.
                await _whole(_end(starting.result()))
            raise

    async def _read(self, process: asyncio.subprocess.Process, received: _Received) -> None:
        assert process.stdout is not None
        # Closing the stream tells the session that the connection has ended.
        with received:
            while True:
                try:
                    line = await process.stdout.readuntil(b"\n")
                except asyncio.IncompleteReadError:
                    break
                except asyncio.LimitOverrunError:
                    self.fault = f"it sent a message of more than {self._bytes_max:,} bytes"
                    break
                except (OSError, ConnectionError):
                    break
                message = _message_of(line)
                if message is None:
                    continue
                with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await received.send(message)
        if not self.fault:
            code = await process.wait()
            self.fault = f"it has ended with exit code {code}"

    async def _write(
        self, process: asyncio.subprocess.Process, to_send: _ToSend, received: _Received
    ) -> None:
        assert process.stdin is not None
        try:
            with to_send:
                async for item in to_send:
                    text = item.message.model_dump_json(by_alias=True, exclude_unset=True)
                    process.stdin.write(text.encode() + b"\n")
                    await process.stdin.drain()
        except (OSError, ConnectionError):
            self.fault = self.fault or "it has closed its input"
            received.close()

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        assert process.stderr is not None
        while data := await process.stderr.read(_ERROR_BYTES_MAX):
            for line in data.decode(errors="replace").splitlines()[-ERROR_LINES_KEPT:]:
                if cleaned := clean_line(line, ERROR_LINE_CHARACTERS_MAX):
                    self._said.append(cleaned)


def _message_of(line: bytes) -> SessionMessage | None:
    """Return the message in a line; None for what is none, such as a greeting that a program prints."""
    try:
        return SessionMessage(mcp_types.jsonrpc_message_adapter.validate_json(line, by_name=False))
    except (ValueError, RecursionError):
        return None


async def _whole(work: Awaitable[T]) -> T:
    """Wait for something to its end, whoever cancels meanwhile; the cancellation comes after it."""
    task = asyncio.ensure_future(work)
    cancelled = False
    # Against anyio's cancellation, which comes again and again; the loop is against asyncio's.
    with anyio.CancelScope(shield=True):
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError:
                cancelled = True
    if cancelled:
        raise asyncio.CancelledError
    return task.result()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End the process, and all that it has started: politely first."""
    assert process.stdin is not None
    with contextlib.suppress(OSError, ConnectionError):
        process.stdin.close()
    for number in (None, signal.SIGTERM, signal.SIGKILL):
        if number is not None:
            _signal(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_S):
                await process.wait()
                break
    # What it has started and left behind has its group.
    _signal(process.pid, signal.SIGKILL)
    transport = getattr(process, "_transport", None)
    if transport is not None:
        # Pipes that a survivor still holds would else stay open.
        transport.close()


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
