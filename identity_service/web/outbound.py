"""The one client for requests to addresses that others registered: logout tokens (WHK-01…03).

The name is resolved once, every address of it must be public, and the connection goes to the address that was checked,
with the name in TLS. No redirects, proxies, cookies or `.netrc`; three seconds to connect, ten for all, 64 KiB.
"""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Any, Final
from urllib.parse import urlencode

import httpcore2

from identity_service.settings import Settings
from identity_service.web import networks

CONNECT_SECONDS: Final = 3.0
WHOLE_SECONDS: Final = 10.0
LONGEST_BODY: Final = 64 * 1024


class AddressRefusedError(OSError):
    """The name leads to an address that is not public."""


async def post_form(settings: Settings, url: str, fields: Mapping[str, str]) -> int:
    """Send a form and return the status of the answer, of which no more than the limit is read.

    Raises:
        OSError, TimeoutError, ssl.SSLError, httpcore2.NetworkError and others of the library: there was no answer in
        time, or the address is refused.
    """
    headers: dict[bytes | str, bytes | str] = {
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "*/*",
        "User-Agent": "identity-service",
    }
    content, times = urlencode(fields).encode(), {"connect": CONNECT_SECONDS, "read": WHOLE_SECONDS}
    async with (
        asyncio.timeout(WHOLE_SECONDS),
        httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=_PublicOnly(settings)
        ) as pool,
        pool.stream("POST", url, headers=headers, content=content, extensions={"timeout": times}) as answer,
    ):
        size = 0
        async for chunk in answer.aiter_stream():
            size += len(chunk)
            if size > LONGEST_BODY:
                break
        return int(answer.status)


def check_addresses(addresses: Iterable[str], allowed: Iterable[ipaddress.IPv4Network | ipaddress.IPv6Network]) -> None:
    """Raise AddressRefusedError unless every address is public, or in a network that the operator allows."""
    listed = tuple(allowed)
    for text in addresses:
        address = ipaddress.ip_address(text.partition("%")[0])
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        if any(address.version == network.version and address in network for network in listed):
            continue
        if (
            (isinstance(address, ipaddress.IPv6Address) and networks.holds_ipv4(address))
            or not address.is_global
            or address.is_multicast
        ):
            raise AddressRefusedError("the name leads to an address that is not public")


class _PublicOnly(httpcore2.AnyIOBackend):
    """Connects to checked addresses alone."""

    def __init__(self, settings: Settings) -> None:
        self._allowed = settings.outbound_networks

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore2.AsyncNetworkStream:  # noqa: ANN401
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        check_addresses(addresses, self._allowed)
        return await super().connect_tcp(addresses[0], port, *args, **options)
