"""Which TCP ports of the loopback interface the stack listens on."""

import errno
import secrets
import socket

from connectors.embedded.errors import ServerError

LOOPBACK = "127.0.0.1"
# Below the ports that systems give to outgoing connections: a client that keeps trying to reach a killed
# server on one of those can connect to itself, and then the port is taken when the server comes back.
PORTS = range(15_000, 32_000)
PORT_TRIES_MAX = 200
CONNECT_TIMEOUT_S = 1.0


def port_free(port: int) -> bool:
    """Tell whether a server could listen on this port of the loopback interface now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # As servers do it: connections of a killed predecessor in TIME_WAIT must not make a port look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def port_answers(port: int) -> bool:
    """Tell whether something accepts connections on this port of the loopback interface."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=CONNECT_TIMEOUT_S):
            return True
    except OSError:
        return False


def choose_port(candidates: tuple[int | None, ...], *, taken: frozenset[int] = frozenset()) -> int:
    """Return the first candidate that is free and not in `taken`, else a free one of PORTS.

    None among the candidates is skipped: callers pass the port of the last start, which may not exist.
    """
    for port in candidates:
        if port is not None and port not in taken and port_free(port):
            return port
    for _ in range(PORT_TRIES_MAX):
        port = secrets.choice(PORTS)
        if port not in taken and port_free(port):
            return port
    raise ServerError(f"no free TCP port among {PORTS.start} to {PORTS.stop - 1} in {PORT_TRIES_MAX} tries")
