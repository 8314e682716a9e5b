"""The shops of docs/sign-in.md, as they are printed there, sign a customer in and out in a real Chromium."""

import asyncio
import json
import re
import shutil
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from playwright.async_api import expect

from identity_service.web.server import Server
from tests.browser.shops import ShopSite
from tests.browser.test_openid import (
    certificate,  # noqa: F401 (a fixture)
    come,  # noqa: F401 (a fixture)
    customer,  # noqa: F401 (a fixture)
    garden,  # noqa: F401 (a fixture)
    type_password,
)
from tests.openid.given import Shop, a_shop
from tests.resets.given import ANNA
from tests.source import ROOT
from tests.stories.test_oauth_libraries import NODE

GUIDE = (ROOT / "docs/sign-in.md").read_text("utf-8")


def block(heading: str, language: str = r"\w+") -> str:
    """The first block of code under a heading, or the first one in a language."""
    section = re.search(rf"(?s)^## {heading}\n(.*?)^## ", GUIDE, re.MULTILINE)[1]
    return re.search(rf"(?s)```{language}\n(.*?)```", section)[1]


class Remembered:
    """Starlette's sessions without the library that signs them: kept by this process, for one visitor."""

    def __init__(self, app: Any, secret_key: str) -> None:
        assert secret_key
        self.app, self.session = app, {}

    async def __call__(self, scope, receive, send) -> None:
        scope["session"] = self.session
        await self.app(scope, receive, send)


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
async def local(service, port: int) -> Shop:
    """A shop on this machine, as a developer registers it."""
    here = f"http://127.0.0.1:{port}/"
    return await a_shop(service, redirect_uris=frozenset({f"{here}callback"}), logout_uris=frozenset({here}))


def environment(site: str, shop: Shop, port: int) -> dict[str, str]:
    return {
        "ISSUER": site, "CLIENT_ID": shop.client_id, "CLIENT_SECRET": shop.secret, "SESSION_KEY": "of this test",
        "SHOP_URL": f"http://127.0.0.1:{port}",
    }  # fmt: skip


@pytest.fixture
async def fastapi(site, local: Shop, port: int, monkeypatch) -> AsyncIterator[None]:
    sessions = ModuleType("sessions")
    sessions.SessionMiddleware = Remembered
    monkeypatch.setitem(sys.modules, "starlette.middleware.sessions", sessions)
    for name, value in environment(site, local, port).items():
        monkeypatch.setenv(name, value)
    names: dict[str, Any] = {"__name__": "shop"}
    exec(block("FastAPI and Authlib"), names)
    server = Server(names["app"], host="127.0.0.1", port=port, lifespan="off")
    running = asyncio.create_task(server.serve())
    await server.started_up()
    yield
    server.should_exit = True
    await running


@asynccontextmanager
async def node_runs(folder: Path, code: str, package: str, *, shop: dict[str, str]) -> AsyncIterator[None]:
    """A shop in Node, with what it finds in its environment."""
    command = shutil.which("node")
    if command is None or not (NODE / "node_modules" / package).is_dir():
        pytest.skip(f"Node and its package {package} are not installed: run `npm ci --prefix tests/node`")
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    (folder / "shop.mjs").write_text(code)
    process = await asyncio.create_subprocess_exec(command, "--no-warnings", folder / "shop.mjs", env=shop)
    try:
        await listens(process, int(shop["SHOP_URL"].rpartition(":")[2]))
        yield
    finally:
        process.terminate()
        await process.wait()


@pytest.fixture
async def node(site, local: Shop, port: int, tmp_path) -> AsyncIterator[None]:
    shop = environment(site, local, port)
    async with node_runs(tmp_path, block("Node and openid-client"), "openid-client", shop=shop):
        yield


async def listens(process: asyncio.subprocess.Process, port: int) -> None:
    """Wait until a process that was started takes connections."""
    async with asyncio.timeout(20):
        while not await is_open(port):
            assert process.returncode is None
            await asyncio.sleep(0.02)


async def is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_a_shop_in_python(visit: Callable, fastapi, port: int, customer: str):  # noqa: F811
    await walk(visit, port, customer)


async def test_a_shop_in_node(visit: Callable, node, port: int, customer: str):  # noqa: F811
    await walk(visit, port, customer)


async def walk(visit: Callable, port: int, user_id: str) -> None:
    here = f"http://127.0.0.1:{port}"
    anna = await visit()
    anna.known.add(f"127.0.0.1:{port}")
    anna.expected = {404}  # The example has no icon.
    await anna.open(f"{here}/login")
    await type_password(anna)
    await anna.press("Allow and continue")
    await anna.page.wait_for_url(f"{here}/")
    known = json.loads(await anna.page.locator("body").inner_text())["customer"]
    assert known["email"] == ANNA
    assert user_id in known.values()
    await anna.open(f"{here}/logout")
    await anna.page.wait_for_url(f"{here}/")
    assert json.loads(await anna.page.locator("body").inner_text()) == {"customer": None}
    await anna.open("/me")
    assert anna.path == "/signin"


PAGE = """<meta name="referrer" content="no-referrer"><link rel=icon href=data:,>
<script type="importmap">{"imports": {"oidc-client-ts": "/oidc-client-ts.js", "jwt-decode": "/jwt-decode.js"}}</script>
<main data-issuer="ISSUER" data-client-id="CLIENT"><p id="customer"></p>
<button id="login">Log in</button><button id="renew">Renew</button><button id="logout">Log out</button></main>
<script type="module" src="/app.js"></script>"""


@pytest.fixture
async def single_page(service, site, garden: ShopSite) -> Shop:  # noqa: F811
    library = NODE / "node_modules"
    if not (library / "oidc-client-ts").is_dir():
        pytest.skip("The package oidc-client-ts is not installed: run `npm ci --prefix tests/node`")
    shop = await a_shop(
        service, kind="public", redirect_uris=frozenset({f"{garden.address}/callback"}),
        logout_uris=frozenset({garden.address}),
    )  # fmt: skip
    page = PAGE.replace("ISSUER", site).replace("CLIENT", shop.client_id)
    garden.files = {
        "/": page, "/callback": page, "/app.js": block("A single-page application and oidc-client-ts"),
        "/oidc-client-ts.js": (library / "oidc-client-ts/dist/esm/oidc-client-ts.js").read_text(),
        "/jwt-decode.js": (library / "jwt-decode/build/esm/index.js").read_text(),
    }  # fmt: skip
    return shop


async def test_a_shop_in_the_browser(come, service, garden: ShopSite, single_page: Shop, customer: str):  # noqa: F811
    """OID-13, OID-20, OID-41: another origin reads our answers; refresh; tokens revoked before the sign-out."""
    anna = await come()
    await anna.open(garden.address)
    who = anna.page.locator("#customer")
    await expect(who).to_have_text("nobody")
    await anna.press("Log in")
    await type_password(anna)
    await expect(who).to_have_text(ANNA)
    await anna.page.reload()
    await expect(who).to_have_text("nobody")
    await anna.press("Log in")
    await expect(who).to_have_text(ANNA)
    async with anna.page.expect_response("**/oauth/token") as renewed:
        await anna.press("Renew")
    assert (await (await renewed.value).json())["refresh_token"].startswith("rt_")
    await anna.press("Log out")
    await expect(who).to_have_text("nobody")
    ended = await service.rows("SELECT ended_why FROM oauth_grant ORDER BY granted_at")
    assert [why for (why,) in ended if why is None] == []
    await anna.open("/me")
    assert anna.path == "/signin"
