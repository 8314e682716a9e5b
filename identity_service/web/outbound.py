"""The one client for requests to other hosts: logout tokens, key sets, texts to carriers (WHK-01…03).

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
FAILURES: Final = (
    OSError, TimeoutError, ValueError, httpcore2.NetworkError, httpcore2.ProtocolError, httpcore2.TimeoutException,
    httpcore2.UnsupportedProtocol,
)  # fmt: skip
"""What a request raises when there was no answer in time, or the address is refused."""


class AddressRefusedError(OSError):
    """The name leads to an address that is not public."""


NOT_SENT: Final = (
    AddressRefusedError, socket.gaierror, httpcore2.ConnectError, httpcore2.ConnectTimeout,
    httpcore2.UnsupportedProtocol,
)  # fmt: skip
"""Failures of which nothing has been sent; after any other one nobody knows what the receiver has."""


class TooLongError(OSError):
    """The answer is longer than what is read."""


async def post_form(settings: Settings, url: str, fields: Mapping[str, str]) -> int:
    """Send a form and return the status of the answer, of which no more than the limit is read.

    Raises:
        FAILURES
    """
    headers = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "*/*"}
    status, _ = await _send(settings, "POST", url, headers, urlencode(fields).encode())
    return status


async def post(settings: Settings, url: str, headers: Mapping[str, str], content: bytes) -> tuple[int, bytes]:
    """Send a body and return the status of the answer, and the answer's body up to the limit.

    Raises:
        FAILURES; of them NOT_SENT where nothing was sent
    """
    status, body = await _send(settings, "POST", url, {"Accept": "application/json", **headers}, content)
    return status, body[:LONGEST_BODY]


async def get_json(settings: Settings, url: str) -> tuple[int, bytes]:
    """Return the status and body of a JSON document.

    Raises:
        FAILURES, TooLongError: it is longer than the limit.
    """
    status, body = await _send(settings, "GET", url, {"Accept": "application/json"}, None)
    if len(body) > LONGEST_BODY:
        raise TooLongError("the answer is too long")
    return status, body


async def _send(
    settings: Settings, method: str, url: str, headers: Mapping[str, str], content: bytes | None
) -> tuple[int, bytes]:
    sent: dict[bytes | str, bytes | str] = {"User-Agent": "identity-service"}
    sent.update(headers)
    times = {"connect": CONNECT_SECONDS, "read": WHOLE_SECONDS}
    async with (
        asyncio.timeout(WHOLE_SECONDS),
        httpcore2.AsyncConnectionPool(
            ssl_context=ssl.create_default_context(), network_backend=_PublicOnly(settings)
        ) as pool,
        pool.stream(method, url, headers=sent, content=content, extensions={"timeout": times}) as answer,
    ):
        body = b""
        async for chunk in answer.aiter_stream():
            body += chunk
            if len(body) > LONGEST_BODY:
                break
        return int(answer.status), body


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
