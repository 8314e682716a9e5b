"""A real Chromium before the whole service on a real port, and people who look at it."""

import asyncio
import re
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import pytest
from playwright.async_api import Browser as Chromium
from playwright.async_api import async_playwright, expect

from identity_service.messages.delivery.smtp import Timeouts
from identity_service.settings import Settings
from identity_service.web.server import Server
from tests.browser.visitor import Visitor
from tests.conftest import BASE, Service
from tests.faults.conftest import (
    Road,
    certificate,  # noqa: F401 (a fixture, for the tests beside this file)
)
from tests.faults.relay import FaultRelay

FLAGS = (
    "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
expect.set_options(timeout=10_000)
GOOD = "violet teapot argues with gravity"


@pytest.fixture(scope="session")
async def chromium() -> AsyncIterator[Chromium]:
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed (the package `chromium` of Debian).")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        await browser.close()


@pytest.fixture
def door() -> socket.socket:
    """The port, open before the service: its public address has to name it."""
    return socket.create_server(("127.0.0.1", 0))


@pytest.fixture
def settings(settings: Settings, door: socket.socket) -> Settings:
    here = f"http://localhost:{door.getsockname()[1]}"
    return settings.model_copy(update={"public_url": here, "allowed_hosts": (BASE.removeprefix("https://"),)})


class Heard(NamedTuple):
    """A request as it came over the wire."""

    line: str
    headers: dict[str, str]


@pytest.fixture
def heard() -> list[Heard]:
    """Every request that reached the service's port."""
    return []


@pytest.fixture
async def site(service: Service, door: socket.socket, heard: list[Heard]) -> AsyncIterator[str]:
    """The service behind its real server; its address."""

    async def listening(scope, receive, send) -> None:
        headers = {name.decode(): value.decode("latin-1") for name, value in scope["headers"]}
        heard.append(Heard(f"{scope['method']} {scope['path']}?{scope['query_string'].decode()}", headers))
        await service.app(scope, receive, send)

    server = Server(listening, host="127.0.0.1", port=0, lifespan="off")
    serving = asyncio.create_task(server.serve(sockets=[door]))
    await server.started_up()
    yield service.database.settings.public_url
    server.should_exit = True
    await serving


@pytest.fixture
async def visit(chromium: Chromium, site: str, heard: list[Heard]) -> AsyncIterator[Callable]:
    """Somebody comes, with a browser of his own; what no visit may ever show is checked when he leaves."""
    visitors: list[Visitor] = []

    async def come(**options) -> Visitor:
        visitors.append(await Visitor.come(chromium, site, **options))
        return visitors[-1]

    yield come
    for visitor in visitors:
        await visitor.leave()
    # ATT-14, ATT-15: no page tells where one came from, and what stands in a link's fragment is in no request line.
    assert [request.line for request in heard if "referer" in request.headers] == []
    assert [request.line for request in heard if "v1." in request.line] == []


class PatientRoad(Road):
    """A road whose relays may take longer: a browser shares the processors with them."""

    timeouts = Timeouts(tcp=2.0, greeting=1.5, command=1.5, closing=0.3, after_dot=1.5)


@pytest.fixture
async def roads(service: Service) -> AsyncIterator[Callable]:
    """As many roads past two scripted relays as a test needs."""
    built: list[Road] = []

    async def build() -> Road:
        built.append(PatientRoad(service, await FaultRelay().start(), await FaultRelay().start()))
        return built[-1]

    yield build
    for road in built:
        await road.close()
        await road.a.stop()
        await road.b.stop()


@pytest.fixture
async def elsewhere() -> AsyncIterator[Callable]:
    """A page of another site, on a real port too: Chromium blocks one made up by the test for reasons of its own."""
    servers: list[asyncio.Server] = []

    async def page(html: str) -> str:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            # Without the icon the browser would come again for it.
            head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n\r\n<link rel=icon href=data:,>"
            writer.write((head + html).encode())
            await writer.drain()
            writer.close()

        servers.append(await asyncio.start_server(answer, "127.0.0.1", 0))
        return f"http://127.0.0.1:{servers[-1].sockets[0].getsockname()[1]}/"

    yield page
    for server in servers:
        server.close()


class Letters:
    """What a person finds in the mailbox and does with it."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def link(self, to: str, subject: str) -> str:
        text = self.service.letter(to, subject)["text"]
        return re.search(r"http://localhost:\d+/\S+#\S+", text)[0]

    def code(self, to: str, subject: str) -> str:
        text = self.service.letter(to, subject)["text"]
        return re.search(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", text, re.M)[1]


@pytest.fixture
def letters(service: Service) -> Letters:
    return Letters(service)


@pytest.fixture
async def anna(service: Service) -> str:
    """A customer whose address is known; her User ID. Her welcome letter has left."""
    shop = await service.caller("accounts:write", name="registration")
    made = await shop.post("/v1/accounts", {"email": "anna@example.org"})
    await service.deliver()
    return made.json()["user_id"]
