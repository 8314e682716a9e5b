"""The network of a caller, for counting and for emails that must not contain an address. Pure."""

import ipaddress
import re
from typing import Final

_WITH_PORT: Final = re.compile(r'"?(?:\[([^\]]+)\](?::[0-9]{0,5})?|([0-9.]+)(?::[0-9]{0,5})?|([^\["]+))"?', re.ASCII)
_HOLDING_IPV4: Final = tuple(
    ipaddress.IPv6Network(prefix)
    for prefix in ("::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "::/96")
)
"""Mapped and compatible (RFC 4291, 2.5.5), translated (RFC 2765, 2.1) and NAT64 (RFC 6052, 2.1; RFC 8215) addresses."""
_LOWEST_IPV4: Final = 1 << 24
"""0.0.0.0/8 is nobody's: `::1` is this machine, and no IPv4 address."""
_WIDER: Final = ((56, 4), (48, 16))
"""What a provider hands to one customer (RFC 6177): the length of the prefix, and how many times the limit it has."""


def read_network(address: str) -> str | None:
    """Return the network that an address counts for: the IPv4 address, or the /64 of an IPv6 address (PWD-08).

    A port, brackets, quotes and a zone are cut off, as proxies write them. An IPv6 address that holds an IPv4 address
    counts as that one, so that a customer is one network in each way of writing. None if it is no address.
    """
    parts = _WITH_PORT.fullmatch(address.strip())
    if parts is None:
        return None
    try:
        parsed = ipaddress.ip_address(next(part for part in parts.groups() if part).partition("%")[0])
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if any(parsed in network for network in _HOLDING_IPV4) and int(parsed) & 0xFFFFFFFF >= _LOWEST_IPV4:
        return str(ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF))
    holder = parsed.sixtofour or (parsed.teredo or (None, None))[1]
    if holder is not None:
        return str(holder)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False))


def holds_ipv4(address: ipaddress.IPv6Address) -> bool:
    """Return whether an IPv6 address stands for an IPv4 address, which may be a private one."""
    return any(address in network for network in _HOLDING_IPV4) or bool(address.sixtofour or address.teredo)


def list_networks(network: str) -> list[tuple[str, int]]:
    """Return the networks that count a request from `network`, with how many times its limit each has.

    Whoever has a /48 has 65,536 networks of IPv6: the /56 and the /48 around one are counted, too.
    """
    if not network.endswith("/64"):
        return [(network, 1)]
    whole = ipaddress.IPv6Network(network)
    return [(network, 1), *((str(whole.supernet(new_prefix=length)), times) for length, times in _WIDER)]


def coarse_network(network: str) -> str:
    """Return the first half of an IPv4 address, or the first group of an IPv6 network, for an email (PRV-13)."""
    if ":" in network:
        return network.split(":", maxsplit=1)[0] + ":…"
    return ".".join(network.split(".")[:2]) + ".…" if network.count(".") == 3 else "…"
