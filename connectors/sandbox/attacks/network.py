"""Attacks that send or receive anything: by IP, by socket files, by name, by stranger families."""

# Every attack takes the target, whether it aims at it or not, and doing the unsafe thing is the purpose.
# ruff: noqa: ARG001

from __future__ import annotations

from connectors.sandbox.attacks.attack import IsolationAttack, Target, isolation, source_of


def connect_loopback(target: Target) -> str | None:
    import socket

    port = target["tcp_port"]
    assert isinstance(port, int)
    with socket.create_connection(("127.0.0.1", port), timeout=1):
        return "connected to a service on loopback"


def send_datagram_loopback(target: Target) -> str | None:
    import socket

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", ("127.0.0.1", int(str(target["udp_port"]))))
    return "sent a datagram on loopback"


def connect_socket_file(target: Target) -> str | None:
    import socket

    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(target["stream_path"]))
    return "connected to a socket file"


def send_to_socket_file(target: Target) -> str | None:
    import socket

    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"x", str(target["datagram_path"]))
    return "sent to a socket file"


def connect_abstract_socket(target: Target) -> str | None:
    import socket

    with socket.socket(socket.AF_UNIX) as client:
        client.connect("\0" + str(target["abstract_name"]))
    return "connected to an abstract socket"


def send_from_socket_pair(target: Target) -> str | None:
    import socket

    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    pair[0].sendto(b"x", str(target["datagram_path"]))
    return "sent to a socket file from a socket pair"


def send_address_from_stream_pair(target: Target) -> str | None:
    import socket

    pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pair[0].sendto(b"x", str(target["datagram_path"]))
    return "sent to a socket file from a pair of packet sockets"


def connect_metadata_service(target: Target) -> str | None:
    import socket

    with socket.create_connection(("169.254.169.254", 80), timeout=1):
        return "connected to the cloud's metadata service"


def resolve_name(target: Target) -> str | None:
    import socket

    found = socket.getaddrinfo("example.com", 80)
    return f"resolved {found[:1]}"


def listen_on_port(target: Target) -> str | None:
    import socket

    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        return f"listened at {server.getsockname()}"


def listen_on_socket_file(target: Target) -> str | None:
    import socket

    with socket.socket(socket.AF_UNIX) as server:
        server.bind("own.sock")
        server.listen()
        return "listened at a socket file"


def open_socket(target: Target, family: int, kind: int, protocol: int) -> str | None:
    import socket

    with socket.socket(family, kind, protocol) as found:
        return f"opened {found}"


# family, kind, protocol: numbers, since not every Python names all of them.
_SOCKETS = {
    "tcp": (2, 1, 0), "udp": (2, 2, 0), "tcp6": (10, 1, 0), "icmp": (2, 2, 1), "raw": (2, 3, 1),
    "packet": (17, 3, 0x0300), "netlink_route": (16, 3, 0), "netlink_audit": (16, 3, 9), "vsock": (40, 1, 0),
    "bluetooth": (31, 3, 1), "alg": (38, 5, 0), "xdp": (44, 3, 0), "unix_stream": (1, 1, 0),
    "unix_datagram": (1, 2, 0), "tipc": (30, 2, 0), "can": (29, 3, 1), "key": (15, 3, 2), "smc": (43, 1, 0),
}  # fmt: skip

ATTACKS: tuple[IsolationAttack, ...] = (
    *isolation(
        "network",
        connect_loopback,
        send_datagram_loopback,
        connect_socket_file,
        send_to_socket_file,
        connect_abstract_socket,
        canary=True,
        succeeds_outside=True,
    ),
    *isolation("network", send_from_socket_pair, canary=True, succeeds_outside=True),
    *isolation("network", listen_on_port, listen_on_socket_file, canary=True, succeeds_outside=True),
    *isolation("network", send_address_from_stream_pair, connect_metadata_service, resolve_name),
    *(
        IsolationAttack(
            name=f"socket_{name}", group="network", source=source_of(open_socket), arguments=arguments
        )
        for name, arguments in _SOCKETS.items()
    ),
)
