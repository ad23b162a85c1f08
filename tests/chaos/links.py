"""A TCP link between two processes that can be slow, cut, silent in one direction, or a byte at a time."""

import asyncio
import contextlib
import random
import socket
import struct
import threading
from collections.abc import Coroutine
from enum import StrEnum
from typing import Final, TypeVar

from connectors.embedded.ports import choose_port

LOOPBACK: Final = "127.0.0.1"
READ_BYTES: Final = 65_536
SLICED_BYTES_MAX: Final = 400
"""So many bytes of a piece go one by one; the rest at once, or a sliced link would stand still."""
_START_S: Final = 10.0
T = TypeVar("T")


class Weather(StrEnum):
    """What a link does to what passes."""

    CLEAR = "clear"
    SLOW = "slow"
    """Each piece waits 200 to 600 ms."""
    BLACK_HOLE = "black_hole"
    """Connections stay, new ones are taken, nothing passes."""
    HALF_OPEN = "half_open"
    """What the client says arrives; what it is answered does not."""
    RESET = "reset"
    """Every connection is reset, the new ones too."""
    SLICED = "sliced"
    """A byte at a time."""


class Link:
    """One listening port in front of one server; runs on the loop of `Links`."""

    def __init__(self, name: str, seed: int) -> None:
        """Choose a port; nothing listens yet."""
        self.name = name
        self.port = choose_port((None,))
        self.upstream_port = 0
        """Where the server listens; set before the first connection."""
        self.weather = Weather.CLEAR
        self._random = random.Random(seed)
        self._clear = asyncio.Event()
        self._clear.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        self._server = await asyncio.start_server(self._accept, LOOPBACK, self.port)

    async def stop(self) -> None:
        """Cut everything and listen no more."""
        assert self._server is not None
        self._server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def turn(self, weather: Weather) -> None:
        """Let the weather change, for what is open too."""
        before, self.weather = self.weather, weather
        if weather in (Weather.BLACK_HOLE, Weather.HALF_OPEN):
            self._clear.clear()
        else:
            self._clear.set()
        # Who waited through a silence finds the connection gone, as after a cut cable.
        if weather is Weather.RESET or before in (Weather.BLACK_HOLE, Weather.HALF_OPEN):
            for writer in tuple(self._writers):
                _reset(writer)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._carry(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.weather is Weather.RESET:
            _reset(writer)
            return
        try:
            up_reader, up_writer = await asyncio.open_connection(LOOPBACK, self.upstream_port)
        except OSError:
            _reset(writer)
            return
        self._writers |= {writer, up_writer}
        try:
            await asyncio.gather(
                self._pump(reader, up_writer, answers=False), self._pump(up_reader, writer, answers=True)
            )
        finally:
            self._writers -= {writer, up_writer}
            _reset(writer)
            _reset(up_writer)

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool
    ) -> None:
        try:
            while piece := await reader.read(READ_BYTES):
                if self.weather is Weather.BLACK_HOLE or (self.weather is Weather.HALF_OPEN and answers):
                    await self._clear.wait()
                    return
                if self.weather is Weather.SLOW:
                    await asyncio.sleep(self._random.uniform(0.2, 0.6))
                if self.weather is Weather.SLICED:
                    for place in range(min(len(piece), SLICED_BYTES_MAX)):
                        writer.write(piece[place : place + 1])
                        await writer.drain()
                        await asyncio.sleep(0)
                    piece = piece[SLICED_BYTES_MAX:]
                writer.write(piece)
                await writer.drain()
            writer.write_eof()
        except OSError:
            _reset(writer)


class Links:
    """Links by name, on a thread and a loop of their own."""

    def __init__(self, names: tuple[str, ...], seed: int) -> None:
        """Choose ports; nothing listens yet."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self.by_name = {name: Link(name, seed + number) for number, name in enumerate(names)}

    def start(self) -> None:
        """Listen on all ports."""
        self._thread.start()
        for link in self.by_name.values():
            self._run(link.start())

    def turn(self, name: str, weather: Weather) -> None:
        """Change a link's weather."""
        self._run(self.by_name[name].turn(weather))

    def stop(self) -> None:
        """Cut everything."""
        for link in self.by_name.values():
            self._run(link.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_START_S)
        self._loop.close()

    def _run(self, work: "Coroutine[object, object, T]") -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_START_S)


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close with RST: with a linger time of 0 nothing is said any more."""
    connection = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
