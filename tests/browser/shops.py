"""A shop on a site of its own, over TLS, that sends a browser to us and notes how it comes back."""

import asyncio
import ssl
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit

from tests.openid.given import Request, Shop, a_request, a_shop

_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nReferrer-Policy: no-referrer\r\nConnection: close\r\n\r\n"


class ShopSite:
    """`https://shop.localhost:PORT/`: a page with one link, to us, and the checkout to which a sign-in leads back."""

    def __init__(self, server: asyncio.Server, address: str) -> None:
        self.server, self.address = server, address
        self.came: list[dict[str, str]] = []
        self.link = ""
        self.files: dict[str, str] = {}

    @classmethod
    async def open(cls, certificate: ssl.SSLContext) -> "ShopSite":
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await shop._answer(reader, writer)

        server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=certificate)
        shop = cls(server, f"https://shop.localhost:{server.sockets[0].getsockname()[1]}")
        return shop

    @property
    def host(self) -> str:
        return urlsplit(self.address).netloc

    async def register(self, service, **given) -> Shop:
        uris = {"redirect_uris": frozenset({f"{self.address}/checkout"}), "logout_uris": frozenset({self.address})}
        return await a_shop(service, "Garden Tools", **uris, **given)

    def send_to(self, site: str, shop: Shop, **changed: str) -> Request:
        """Write the link of the shop's first page."""
        request = a_request(shop, redirect_uri=f"{self.address}/checkout", **changed)
        self.link = f"{site}{request.path}"
        return request

    def sign_out_at(self, site: str, **query: str) -> None:
        self.link = f"{site}/oauth/logout?{urlencode({'post_logout_redirect_uri': self.address, **query})}"

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *headers = head.split("\r\n")
        length = next((int(one.partition(":")[2]) for one in headers if one.lower().startswith("content-length:")), 0)
        body = (await reader.readexactly(length)).decode()
        where = urlsplit(line.split()[1])
        if where.path == "/checkout":
            self.came.append(dict(parse_qsl(where.query or body)))
        kind = "text/javascript" if where.path.endswith(".js") else "text/html"
        title = "Checkout" if where.path == "/checkout" else "Garden Tools"
        page = f"<link rel=icon href=data:,><title>{title}</title><h1>{title}</h1><a href='{escape(self.link)}'>Go</a>"
        writer.write((_HEAD.format(kind) + self.files.get(where.path, page)).encode())
        await writer.drain()
        writer.close()
