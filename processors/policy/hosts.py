"""Which host a URL names, and whether a rule means it.

Programs read odd URLs in different ways, and that is how one is shown and another one reached. What is not
plain, as RFC 3986 has it and with a host that all read alike, names no host here: the answer is None, and the
rule that asked takes it for the worse.
"""

import ipaddress
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_PLAIN: Final = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
"""Visible ASCII but the backslash: names in other scripts are written with xn--, as the network has them."""
_AUTHORITY: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
_NAME_CHARACTERS_MAX: Final = 253
_URL_CHARACTERS_MAX: Final = 8_192
_OWN: Final = "localhost"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """A host as the network has it; one of a name and an address, and both for this machine's own name."""

    name: str = ""
    address: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPattern:
    """Hosts that a rule means."""

    name: str = ""
    below: bool = False
    """True: every host below the name, and not the name itself."""
    network: Network | None = None


def pattern_of(text: str) -> HostPattern | None:
    """Read what a rule says: a name, `*.` and a name, an address or a network; None: it is none of them."""
    try:
        return HostPattern(network=_plain_network(ipaddress.ip_network(text.strip("[]"))))
    except ValueError:
        pass
    below = text.startswith("*.")
    host = _host(text[2:] if below else text)
    if host is None or not host.name:
        return None
    return HostPattern(name=host.name, below=below)


@lru_cache(maxsize=256)
def host_of(text: str) -> Host | None:
    """Return the host that a URL, or a host with or without a port, names; None: it is not plain."""
    if len(text) > _URL_CHARACTERS_MAX or not _PLAIN.fullmatch(text):
        return None
    scheme, found, rest = text.partition("://")
    if found and _SCHEME.fullmatch(scheme):
        authority = re.split("[/?#]", rest, maxsplit=1)[0]
    elif "/" in text or "?" in text or "#" in text:
        # A URL without its scheme, or with one slash: some programs find a host in it, and some do not.
        return None
    else:
        authority = text
    matched = _AUTHORITY.fullmatch(authority)
    if matched is None or int(matched["port"] or 0) > 65_535:
        return None
    return _host(matched["host"])


def is_meant(host: Host, pattern: HostPattern) -> bool:
    """Tell whether a pattern means a host; to which address a name leads is not asked."""
    if pattern.network is not None:
        address = host.address
        return (
            address is not None and address.version == pattern.network.version and address in pattern.network
        )
    if pattern.below:
        return host.name.endswith("." + pattern.name)
    return bool(host.name) and host.name == pattern.name


def _host(text: str) -> Host | None:
    if text.startswith("["):
        return _address(text[1:-1])
    name = text.lower()
    # One dot at the end says that the name is whole.
    name = name.removesuffix(".")
    labels = name.split(".")
    if _NUMBER.fullmatch(labels[-1]):
        # Whoever ends in a number is an address, which programs read as octal, hexadecimal or short ones.
        return _address(name)
    if len(name) > _NAME_CHARACTERS_MAX or not all(map(_LABEL.fullmatch, labels)):
        return None
    if labels[-1] == _OWN:
        return Host(name=name, address=ipaddress.IPv4Address("127.0.0.1"))
    return Host(name=name)


def _address(text: str) -> Host | None:
    try:
        # It refuses octal, short and other forms that programs read in different ways.
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return Host(address=mapped or address)


def _plain_network(network: Network) -> Network:
    if isinstance(network, ipaddress.IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return ipaddress.IPv4Network((mapped, network.prefixlen - 96))
    return network
