"""A link does what its weather says, and recovers."""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.chaos.links import LOOPBACK, Links, Weather

PATIENCE_S = 20.0


@pytest.fixture
def links() -> Iterator[Links]:
    """One link in front of a server that says everything back."""
    server = socket.create_server((LOOPBACK, 0))
    threading.Thread(target=_serve, args=(server,), daemon=True).start()
    links = Links(("echo",), seed=1)
    links.by_name["echo"].upstream_port = server.getsockname()[1]
    links.start()
    yield links
    links.stop()
    server.close()


def _serve(server: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            connection, _ = server.accept()
            threading.Thread(target=_echo, args=(connection,), daemon=True).start()


def _echo(connection: socket.socket) -> None:
    with contextlib.suppress(OSError), connection:
        while piece := connection.recv(65_536):
            connection.sendall(piece)


def connected(links: Links) -> socket.socket:
    return socket.create_connection((LOOPBACK, links.by_name["echo"].port), timeout=PATIENCE_S)


def echoed(connection: socket.socket, text: bytes) -> bytes:
    connection.sendall(text)
    answer = b""
    while len(answer) < len(text):
        piece = connection.recv(65_536)
        if not piece:
            break
        answer += piece
    return answer


@pytest.mark.parametrize("weather", [Weather.CLEAR, Weather.SLOW, Weather.SLICED])
def test_whatever_passes_arrives_unchanged(links: Links, weather: Weather) -> None:
    links.turn("echo", weather)

    with connected(links) as connection:
        assert echoed(connection, b"hello " * 200) == b"hello " * 200


@pytest.mark.parametrize("weather", [Weather.BLACK_HOLE, Weather.HALF_OPEN])
def test_a_silent_link_answers_nothing_and_cuts_who_waited(links: Links, weather: Weather) -> None:
    with connected(links) as connection:
        assert echoed(connection, b"before") == b"before"
        links.turn("echo", weather)
        connection.sendall(b"lost")
        connection.settimeout(0.3)
        with pytest.raises(TimeoutError):
            connection.recv(10)

        links.turn("echo", Weather.CLEAR)

        connection.settimeout(PATIENCE_S)
        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    with connected(links) as connection:
        assert echoed(connection, b"after") == b"after"


def test_a_link_that_resets_ends_what_is_open_and_what_comes(links: Links) -> None:
    with connected(links) as connection:
        assert echoed(connection, b"before") == b"before"

        links.turn("echo", Weather.RESET)

        with pytest.raises(ConnectionResetError):
            connection.recv(10)
    with pytest.raises(ConnectionResetError), connected(links) as connection:
        connection.recv(10)
