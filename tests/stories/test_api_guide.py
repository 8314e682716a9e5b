"""The APIs of docs/apis.md, as they are printed there, take the tokens that are for them, and no others."""

import asyncio
import re
import shlex
import shutil
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx2
import pytest

from identity_service.clients.rules import SIGN_IN_SCOPES
from identity_service.keys import signing
from identity_service.web.server import Server
from tests.clients.conftest import command  # noqa: F401 (a fixture)
from tests.clients.given import a_client
from tests.openid.given import a_customer, a_shop, sign_in_at
from tests.resets.given import a_browser
from tests.source import ROOT
from tests.stories.test_oauth_libraries import NODE, issuer, settings  # noqa: F401 (fixtures)

GUIDE = (ROOT / "docs/apis.md").read_text("utf-8")
ORDERS = "https://orders.example.com"


def block(heading: str) -> str:
    """The first block of code under a heading."""
    return re.search(rf"(?s)^##+ {heading}\n.*?```\w+\n(.*?)```", GUIDE, re.MULTILINE)[1]


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
async def fastapi(issuer: str, port: int, monkeypatch) -> AsyncIterator[None]:  # noqa: F811
    monkeypatch.setenv("ISSUER", issuer)
    monkeypatch.setenv("AUDIENCE", ORDERS)
    names: dict[str, Any] = {"__name__": "orders"}
    exec(block("FastAPI"), names)
    server = Server(names["app"], host="127.0.0.1", port=port, lifespan="off")
    running = asyncio.create_task(server.serve())
    await server.started_up()
    yield
    server.should_exit = True
    await running


@pytest.fixture
async def node(issuer: str, port: int, tmp_path) -> AsyncIterator[None]:  # noqa: F811
    program = shutil.which("node")
    if program is None or not (NODE / "node_modules" / "jose").is_dir():
        pytest.skip("Node and its package jose are not installed: run `npm ci --prefix tests/node`")
    (tmp_path / "node_modules").symlink_to(NODE / "node_modules")
    (tmp_path / "orders.mjs").write_text(block("Node"))
    told = {"ISSUER": issuer, "AUDIENCE": ORDERS, "PORT": str(port)}
    process = await asyncio.create_subprocess_exec(program, tmp_path / "orders.mjs", env=told)
    async with asyncio.timeout(60):
        while not await is_open(port):
            assert process.returncode is None
            await asyncio.sleep(0.02)
    yield
    process.terminate()
    await process.wait()


async def is_open(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True


async def test_an_api_in_python(service, caller, command: Callable, issuer: str, fastapi, port: int):  # noqa: F811
    await walk(service, caller, command, issuer, port)


async def test_an_api_in_node(service, caller, command: Callable, issuer: str, node, port: int):  # noqa: F811
    await walk(service, caller, command, issuer, port)


async def walk(service, caller, command: Callable, issuer: str, port: int) -> None:  # noqa: F811
    """A customer's application and a service call it; a token for something else, altered, too old or too narrow is
    refused; its own service asks us about one."""
    made = await a_client(service, "events:read", source="orders")
    (line,) = re.findall(r"(?m)^identity-service (api set .*)$", GUIDE)
    assert (await command(*shlex.split(line), "--service", made.client_id)).status == 0
    user_id = await a_customer(service, caller)
    shop = await a_shop(service, scopes=frozenset({*SIGN_IN_SCOPES, "orders:read", "orders:write"}))
    came = await sign_in_at(a_browser(service), shop, scope="openid orders:read orders:write", resource=ORDERS)
    issued = (await shop.redeem(came["code"], came["verifier"], resource=ORDERS)).json()
    reports = await a_client(service, "events:read", "orders:read", source="reports")
    form = {"grant_type": "client_credentials", "resource": ORDERS}
    theirs = await service.http.post("/oauth/token", data=form, auth=(reports.client_id, reports.client_secret))

    async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:

        async def call(token: str) -> httpx2.Response:
            return await http.get("/orders", headers={"Authorization": f"Bearer {token}".strip()})

        answer = await call(issued["access_token"])
        assert (answer.status_code, answer.json()["customer"]) == (200, user_id)
        assert (await call(theirs.json()["access_token"])).json()["customer"] == reports.client_id
        narrow = await shop.refresh(issued["refresh_token"], resource=ORDERS, scope="orders:write")
        assert (await call(narrow.json()["access_token"])).status_code == 403
        plain = await shop.refresh(narrow.json()["refresh_token"])
        for token in (
            plain.json()["access_token"],
            issued["id_token"],
            forged(service, issued["access_token"]),
            "",
            "a.b.c",
        ):
            assert (await call(token)).status_code in (401, 403)
        said = await introspect(issuer, made, issued["access_token"])
        assert (said["active"], said["sub"]) == (True, user_id)


def forged(service, token: str) -> str:
    """The same claims with a time that has passed, signed by us."""
    claims = signing.unverified(token)[1]
    claims["exp"] -= 3600
    return signing.sign(claims, service.database.keys.signing(service.clock()), typ=signing.ACCESS_TOKEN_TYPE)


async def introspect(issuer: str, made, token: str) -> dict:  # noqa: F811
    """Run the command of the guide."""
    told = {"ISSUER": issuer, "CLIENT_ID": made.client_id, "CLIENT_SECRET": made.client_secret, "TOKEN": token}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec("sh", "-c", block("Ask us about a token"), env=told, stdout=pipe)
    out, _ = await process.communicate()
    return httpx2.Response(200, content=out).json()
