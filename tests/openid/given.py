"""A shop that signs customers in, and a customer's browser on its way there and back."""

import base64
import hashlib
import secrets
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx2

from identity_service.clients import actions as clients
from identity_service.clients import registration
from identity_service.key_store import actions as key_store
from identity_service.keys import signing
from tests.browser import Browser
from tests.conftest import BASE, Service
from tests.resets.given import ANNA, GOOD, a_browser, a_password

BACK = "https://shop.example.org/callback"
HOME = "https://shop.example.org/"
SCOPE = "openid profile email"


class Shop(NamedTuple):
    """A registered application, and its way to call us."""

    service: Service
    client_id: str
    secret: str | None

    async def token(self, **form: str) -> httpx2.Response:
        """Call the token endpoint; a public application names itself."""
        auth = None if self.secret is None else (self.client_id, self.secret)
        named = {"client_id": self.client_id} if self.secret is None else {}
        return await self.service.http.post("/oauth/token", data={**named, **form}, **({"auth": auth} if auth else {}))

    async def redeem(self, code: str, verifier: str, **changed: str) -> httpx2.Response:
        form = {"code": code, "redirect_uri": BACK, "code_verifier": verifier, **changed}
        return await self.token(grant_type="authorization_code", **form)

    async def refresh(self, token: str, **more: str) -> httpx2.Response:
        return await self.token(grant_type="refresh_token", refresh_token=token, **more)

    async def userinfo(self, token: str) -> httpx2.Response:
        return await self.service.http.get("/oauth/userinfo", headers={"Authorization": f"Bearer {token}"})

    def claims(self, token: str) -> dict:
        return signing.verify(token, self.service.database.keys.verifying_id_tokens(), typ="JWT", also_rsa=True)


async def a_shop(service: Service, name: str = "Shop", **given) -> Shop:
    """Register an application through the actions, and let the processes know."""
    now, kind = service.clock(), given.get("kind", "confidential")
    given = {"redirect_uris": frozenset({BACK}), "logout_uris": frozenset({HOME}), **given}

    async def add(session):
        made = await clients.add_client(
            session, name, [], desk=False, source=f"s{secrets.token_hex(4)}", jwks=None,
            has_secret=kind == "confidential", now=now,
        )  # fmt: skip
        application = await registration.set_sign_in(session, made.client_id, now=now, **given)
        if application.id_token_alg == "RS256":
            await key_store.ensure_rsa_key(session, service.database.settings.key(), now=now)
        return made

    made = await service.database.in_transaction(add)
    await service.app.state.gate.reload()
    return Shop(service, made.client_id, made.client_secret)


class Request(NamedTuple):
    """What a shop sends a browser with, and the verifier that it keeps."""

    query: dict[str, str]
    verifier: str

    @property
    def path(self) -> str:
        return f"/oauth/authorize?{urlencode(self.query)}"


def a_request(shop: Shop, **changed: str | None) -> Request:
    verifier = secrets.token_urlsafe(32)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    query = {
        "client_id": shop.client_id, "redirect_uri": BACK, "response_type": "code", "scope": SCOPE,
        "state": "xyz", "nonce": "n-1", "code_challenge": challenge, "code_challenge_method": "S256", **changed,
    }  # fmt: skip
    return Request({name: value for name, value in query.items() if value is not None}, verifier)


async def travel(browser: Browser, path: str) -> httpx2.Response:
    """Open a path and follow redirects as long as they stay with us; the last answer."""
    return await follow(browser, await browser.http.get(path, follow_redirects=False))


async def follow(browser: Browser, answer: httpx2.Response) -> httpx2.Response:
    while answer.status_code == 303 and urlsplit(answer.headers["location"]).netloc in ("", urlsplit(BASE).netloc):
        answer = await browser.http.get(answer.headers["location"], follow_redirects=False)
    browser.page = answer
    return answer


async def send(browser: Browser, action: str, **fields: str) -> httpx2.Response:
    """Send the form of the page in front of us, and follow redirects as long as they stay with us."""
    token = browser.page.text.partition('name="form_token" value="')[2].partition('"')[0]
    answer = await browser.http.post(action, data={"form_token": token, **fields}, follow_redirects=False)
    return await follow(browser, answer)


def answer_of(response: httpx2.Response) -> dict[str, str]:
    """The parameters with which a browser is led back to the shop."""
    assert response.status_code == 303, response.text
    where = urlsplit(response.headers["location"])
    assert where._replace(query="").geturl() == BACK, response.headers["location"]
    return dict(parse_qsl(where.query))


async def a_customer(service: Service, caller, address: str = ANNA) -> str:
    """A customer with a confirmed address and a password; the User ID."""
    return await a_password(service, caller, address)


async def sign_in_at(browser: Browser, shop: Shop, *, address: str = ANNA, **changed: str | None) -> dict[str, str]:
    """Walk from the shop through the sign-in page back to the shop: the answer, with the verifier beside it."""
    request = a_request(shop, **changed)
    page = await travel(browser, request.path)
    if page.status_code == 200 and page.url.path == "/signin":
        page = await send(browser, str(page.url.copy_with(scheme="", host="")), email=address, password=GOOD)
    return {**answer_of(page), "verifier": request.verifier}


async def signed_in(service: Service, shop: Shop, browser: Browser | None = None, **changed: str | None) -> dict:
    """The tokens of a customer who came through the sign-in page."""
    answer = await sign_in_at(browser or a_browser(service), shop, **changed)
    tokens = await shop.redeem(answer["code"], answer["verifier"])
    assert tokens.status_code == 200, tokens.text
    return tokens.json()
