"""OID-42: shops on servers of others' making, set up as docs/sign-in.md says, through all that happens to a sign-in.

Express with express-openid-connect, and Debian's Apache with mod_auth_openidc: a customer signs in, is asked again
before something important, and signs out there and here; logout tokens arrive over HTTP.
"""

import ipaddress
import json
import re
import shlex
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from playwright.async_api import expect

from identity_service.openid import deliveries
from identity_service.settings import Settings
from tests.browser import apache
from tests.browser.conftest import Letters
from tests.browser.test_openid import (
    customer,  # noqa: F401 (a fixture)
    type_password,
)
from tests.browser.test_sign_in_guide import (
    GUIDE,
    block,
    environment,
    listens,
    node_runs,
    port,  # noqa: F401 (a fixture)
)
from tests.browser.visitor import Visitor
from tests.conftest import Clock, Service
from tests.openid.given import Shop, a_shop
from tests.resets.given import ANNA

EXPRESS, APACHE = "Express and express-openid-connect", "Apache and mod_auth_openidc"
PRINTED, PROVIDER = "https://shop.example.com", "https://id.example.com"
AGE = 400


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"outbound_networks": (ipaddress.ip_network("127.0.0.0/8"),)})


@pytest.fixture
def clock() -> Clock:
    """In the past at first, so that a sign-in is old for the shops, whose clocks are the machine's."""
    clock = Clock()
    clock.advance(seconds=-AGE)
    return clock


class Express:
    """The shop of the guide; its pages are JSON."""

    sign_in, home, orders, answered = "/login", "/", "/orders", "/orders?asked"

    def __init__(self, here: str, issuer: str) -> None:
        self.here, self.issuer = here, issuer

    async def known(self, anna: Visitor) -> tuple[str, str] | None:
        """User ID and address of the customer whom the shop takes the visitor for."""
        await anna.open(f"{self.here}{self.home}")
        found = json.loads(await anna.page.locator("body").inner_text())["customer"]
        return found and (found["user_id"], found["email"])

    async def renew(self, anna: Visitor) -> bool:
        """Let the shop use its refresh token; whether it got new tokens."""
        await anna.open(f"{self.here}/renew")
        return await self.known(anna) is not None

    async def ask_again(self, anna: Visitor) -> None:
        """Go where a sign-in must be new; this shop looks at its age itself."""
        await anna.open(f"{self.here}{self.orders}")

    async def sign_out(self, anna: Visitor) -> None:
        await anna.open(f"{self.here}/logout")


class Apache:
    """The guide's configuration, before an application that repeats what it is told."""

    sign_in, home, orders, answered = "/account/", "/account/", "/account/orders", "/account/orders"

    def __init__(self, here: str, issuer: str) -> None:
        self.here, self.issuer = here, issuer

    async def known(self, anna: Visitor) -> tuple[str, str] | None:
        told = await self._told(anna)
        return told and (told["OIDC_CLAIM_sub"], told["OIDC_CLAIM_email"])

    async def renew(self, anna: Visitor) -> bool:
        told = await self._told(anna)
        await anna.open(self._link("refresh").replace("…", told["OIDC_access_token"]))
        if anna.page.url == f"{self.here}{self.home}?error_code=refresh_failed":
            return False
        assert (await self._told(anna))["OIDC_access_token"] != told["OIDC_access_token"]
        return True

    async def ask_again(self, anna: Visitor) -> None:
        await anna.open(self._link("iss"))

    async def sign_out(self, anna: Visitor) -> None:
        await anna.open(self._link("logout"))

    def _link(self, first: str) -> str:
        """A link of the guide's table, by its first parameter."""
        (link,) = re.findall(rf"(?m)^\| `(/account/callback\?{first}=[^`]*)` \|", GUIDE)
        for printed, mine in ((PRINTED, self.here), (PROVIDER, self.issuer)):
            link = link.replace(quote(printed, safe=""), quote(mine, safe=""))
        return f"{self.here}{link}"

    async def _told(self, anna: Visitor) -> dict[str, str] | None:
        await anna.open(f"{self.here}{self.home}")
        if not anna.page.url.startswith(self.here):
            return None
        return json.loads(await anna.page.locator("body").inner_text())


async def registered(service: Service, heading: str, here: str, **given: str) -> Shop:
    """A shop with the addresses that the guide's commands register, on this machine."""
    words = shlex.split(block(heading, "sh").replace(PRINTED, here))
    said = {name: value for name, value in pairwise(words) if name.startswith("--")}
    return await a_shop(
        service, heading.partition(" ")[0], redirect_uris=frozenset({said["--redirect-uri"]}),
        logout_uris=frozenset({said["--logout-uri"]}), backchannel_logout_uri=said["--backchannel-logout-uri"], **given,
    )  # fmt: skip


@asynccontextmanager
async def express_runs(site: str, shop: Shop, here: str, folder: Path, without: str = "") -> AsyncIterator[Express]:
    """The shop of the guide, or what is left of it without one setting."""
    code = block(EXPRESS, "js")
    assert without in code
    at = int(here.rpartition(":")[2])
    given = environment(site, shop, at)
    async with node_runs(folder, code.replace(without, ""), "express-openid-connect", shop=given):
        yield Express(here, site)


@pytest.fixture
def here(port: int) -> str:  # noqa: F811
    return f"http://127.0.0.1:{port}"


@pytest.fixture
async def httpd(service, site, here: str, port: int, tmp_path) -> AsyncIterator[Apache]:  # noqa: F811
    if (reason := apache.missing()) is not None:
        pytest.skip(reason)
    shop = await registered(service, APACHE, here)
    (tmp_path / "passphrase").write_text("#!/bin/sh\necho of this test\n")
    (tmp_path / "passphrase").chmod(0o700)
    text = block(APACHE, "apache")
    for printed, mine in {
        PROVIDER: site, PRINTED: here, "cli_…": shop.client_id, " …": f" {shop.secret}",
        "/usr/local/bin/passphrase": str(tmp_path / "passphrase"),
    }.items():  # fmt: skip
        assert printed in text
        text = text.replace(printed, mine)
    async with apache.runs(tmp_path, port, text) as process:
        await listens(process, port)
        yield Apache(here, site)


class Story:
    """A customer at one shop, and us beside it."""

    def __init__(self, service: Service, anna: Visitor, place: Express | Apache) -> None:
        self.service, self.anna, self.place = service, anna, place
        anna.known.add(urlsplit(place.here).netloc)
        # The shops have no icon, and Apache answers 401 with the page that leads to us.
        anna.expected = {404, 401}

    async def come_back(self, path: str) -> None:
        await self.anna.press("Allow and continue")
        await self.anna.page.wait_for_url(f"{self.place.here}{path}")

    async def by_password(self, path: str) -> None:
        await self.anna.page.wait_for_url("**/signin?**")
        self.service.clock.advance(seconds=1)
        await type_password(self.anna)
        await self.come_back(path)

    async def by_mail(self, path: str) -> None:
        await self.anna.page.locator("#email").fill(ANNA)
        await self.anna.press("Send me a code instead")
        await expect(self.anna.page.get_by_label("Code from the email", exact=True)).to_be_visible()
        await self.service.deliver()
        await self.anna.type("Code from the email", Letters(self.service).code(ANNA, "Your sign-in code"))
        await self.anna.page.locator("main").get_by_role("button", name="Sign in", exact=True).click()
        await self.come_back(path)

    async def sign_out_here(self) -> None:
        await self.anna.open("/me")
        await self.anna.press("Sign out")
        await self.anna.page.wait_for_url("**/signin?signed_out=yes")

    def catch_up(self) -> None:
        """Let our clock be the shops' from now on."""
        clock = self.service.clock
        clock.now = max(clock.now, datetime.now(UTC))

    async def tell(self) -> list[tuple[str | None, int]]:
        """Send the logout tokens that are due, which are valid for two minutes; what came of all so far."""
        self.catch_up()
        await deliveries.deliver_due(self.service.database, now=self.service.clock())
        rows = await self.service.rows("SELECT outcome, attempts FROM logout_delivery ORDER BY created_at")
        return [tuple(row) for row in rows]


async def test_a_shop_of_express(visit: Callable, service, site, here, tmp_path, customer: str):  # noqa: F811
    """OID-05, OID-08, OID-14, OID-16, OID-19, OID-22, OID-23, OID-24, OID-35, OID-36, OID-37, OID-42"""
    shop = await registered(service, EXPRESS, here)
    async with express_runs(site, shop, here, tmp_path) as express:
        await walk(Story(service, await visit(), express), customer)


async def test_express_asks_once_for_a_password(visit: Callable, service, site, here, tmp_path, customer: str):  # noqa: F811
    """OID-24: who answers with a code again is told what the shop wants, and does not go in a circle."""
    shop = await registered(service, EXPRESS, here)
    async with express_runs(site, shop, here, tmp_path) as express:
        story = Story(service, anna := await visit(), express)
        anna.expected = {404, 403}
        story.catch_up()
        await anna.open(f"{here}{express.sign_in}")
        await story.by_mail(express.home)
        service.clock.advance(seconds=61)
        await anna.open(f"{here}{express.orders}")
        await story.by_mail(express.answered)
        service.clock.advance(seconds=1)
        assert "sign in with your password" in await anna.page.locator("body").inner_text()
        await anna.open(await anna.page.evaluate("document.links[0].href"))
        await story.by_password(express.answered)
        assert json.loads(await anna.page.locator("body").inner_text()) == {"orders": []}


ALGORITHM = '  idTokenSigningAlg: "ES256",\n'
PARAMETERS = '  authorizationParams: { response_type: "code", scope: "openid profile email" },\n'


async def test_express_may_keep_its_algorithm(visit: Callable, service, site, here, tmp_path, customer: str):  # noqa: F811
    """OID-37, OID-38, OID-42: RS256, also for logout tokens, after `--id-token-alg RS256`."""
    shop = await registered(service, EXPRESS, here, id_token_alg="RS256")
    async with express_runs(site, shop, here, tmp_path, ALGORITHM) as express:
        story = Story(service, anna := await visit(), express)
        await anna.open(f"{here}{express.sign_in}")
        await story.by_password(express.home)
        await story.sign_out_here()
        assert await express.known(anna) == (customer, ANNA)
        assert await story.tell() == [("told", 1)]
        assert await express.known(anna) is None


@pytest.mark.parametrize("setting", [ALGORITHM, PARAMETERS], ids=["algorithm", "response type"])
async def test_express_is_refused_without_a_setting(visit: Callable, service, site, here, tmp_path, customer, setting):  # noqa: F811
    """OID-05, OID-38: with the words that the guide has."""
    shop = await registered(service, EXPRESS, here)
    async with express_runs(site, shop, here, tmp_path, setting) as express:
        anna = await visit()
        anna.known.add(urlsplit(here).netloc)
        anna.expected = {400}
        await anna.open(f"{here}{express.sign_in}")
        if setting == ALGORITHM:
            await type_password(anna)
            await anna.press("Allow and continue")
        await anna.page.wait_for_url("**/callback?**")
        words = "invalid response encountered"
        assert words in GUIDE
        assert words in await anna.page.locator("body").inner_text()
        assert ("error=unsupported_response_type" in anna.page.url) == (setting == PARAMETERS)


async def test_a_shop_behind_apache(visit: Callable, service, httpd: Apache, customer: str, heard, tmp_path):  # noqa: F811
    """OID-05, OID-08, OID-14, OID-16, OID-19, OID-22, OID-23, OID-24, OID-35, OID-36, OID-37, OID-42

    A header field that the browser sends counts for nothing where Apache asks for a sign-in, and arrives elsewhere.
    """
    anna = await visit()
    await anna.context.set_extra_http_headers({"OIDC_CLAIM_sub": "made up"})
    await walk(Story(service, anna, httpd), customer)
    assert customer in (tmp_path / "customers").read_text().split()
    await anna.open(f"{httpd.here}/")
    assert json.loads(await anna.page.locator("body").inner_text()) == {"OIDC_CLAIM_sub": "made up"}
    # Where a sign-in is too weak Apache answers with a page of its own, from which the browser says where it comes.
    (told,) = [request for request in heard if request.headers.get("referer") == f"{httpd.here}/"]
    heard.remove(told)


async def walk(story: Story, user_id: str) -> None:
    anna, place, who = story.anna, story.place, (user_id, ANNA)
    await anna.open(f"{place.here}{place.sign_in}")
    await story.by_password(place.home)
    assert await place.known(anna) == who
    assert await place.renew(anna)
    assert await story.service.rows("SELECT generation FROM oauth_grant") == [(1,)]

    story.catch_up()
    await place.ask_again(anna)
    await story.by_password(place.answered)

    await story.sign_out_here()
    assert await place.known(anna) == who
    assert await story.tell() == [("told", 1)]
    assert await place.known(anna) is None

    await anna.open(f"{place.here}{place.sign_in}")
    await story.by_mail(place.home)
    story.service.clock.advance(seconds=1)
    await anna.open(f"{place.here}{place.orders}")
    await story.by_password(place.answered)
    await end_and_begin_anew(story, who)


async def end_and_begin_anew(story: Story, who: tuple[str, str]) -> None:
    """Access ends at `/me` while the customer stays signed in with us; the next sign-in there is a new one."""
    anna, place = story.anna, story.place
    await anna.open("/me")
    await anna.press(ending := f"End access of {type(place).__name__}")
    await expect(anna.page.get_by_role("button", name=ending)).to_have_count(0)
    assert not await place.renew(anna)
    assert await story.tell() == [("told", 1)] * 2
    assert await place.known(anna) is None

    await anna.open(f"{place.here}{place.sign_in}")
    await story.come_back(place.home)
    assert await place.known(anna) == who
    await place.sign_out(anna)
    await anna.page.wait_for_url(f"{place.here}/")
    assert await place.known(anna) is None
    await anna.open("/me")
    assert anna.path == "/signin"
    assert await story.tell() == [("told", 1)] * 3
