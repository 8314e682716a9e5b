"""The RP-initiated and back-channel logout plans of the OpenID Foundation's suite, module by module, and what an
attacker tries beside them."""

import asyncio
import base64
import contextlib
from html import unescape
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest
from sqlalchemy import text

from identity_service.keys import signing
from identity_service.openid.deliveries import deliver_due
from tests.accounts.given import sql
from tests.openid.asking import error_of
from tests.openid.given import HOME, a_customer, a_shop, send, signed_in, travel
from tests.resets.given import a_browser

STATE = "s" * 128
QUESTION = "Sign out?"


@pytest.fixture
def settings(settings):
    """Receivers of logout tokens may be on this machine."""
    from ipaddress import ip_network

    return settings.model_copy(update={"outbound_networks": (ip_network("127.0.0.0/8"),)})


async def begun(service, caller, **given):
    """A shop whose customer is signed in: shop, browser, tokens."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service, **given), a_browser(service)
    tokens = await signed_in(service, shop, browser)
    service.clock.advance(seconds=1)
    return shop, browser, tokens


async def leave(browser, **given: str):
    return await travel(browser, f"/oauth/logout?{urlencode(given)}")


async def is_signed_out(browser, shop) -> bool:
    return await error_of(browser, shop, prompt="none") == "login_required"


async def stays(browser, shop) -> None:
    page = await browser.open("/me")
    assert page.url.path == "/me"


async def test_rp_initiated_logout_discovery_endpoint_verification(service):
    """rp-initiated-logout- and backchannel-logout-discovery-endpoint-verification: the endpoint, and both flags."""
    said = (await service.http.get("/.well-known/openid-configuration")).json()
    assert said["end_session_endpoint"] == "https://id.example.com/oauth/logout"
    assert said["backchannel_logout_supported"] is True
    assert said["backchannel_logout_session_supported"] is True


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_rp_initiated_logout(service, caller, method):
    """OID-35, OID-36: hint, address and a state of 128 signs: back with the state and nothing else, then signed out. A
    form of another site is led here by GET, where the browser brings its cookie."""
    shop, browser, tokens = await begun(service, caller)
    given = {"id_token_hint": tokens["id_token"], "post_logout_redirect_uri": HOME, "state": STATE}
    if method == "GET":
        page = await leave(browser, **given)
    else:
        first = await service.http.post("/oauth/logout", data=given)
        assert first.status_code == 303
        page = await travel(browser, first.headers["location"])
    assert page.headers["location"] == f"{HOME}?state={STATE}"
    assert await is_signed_out(browser, shop)
    assert (await shop.userinfo(tokens["access_token"])).status_code == 401


def _edited(hint: str, part: int) -> str:
    parts = hint.split(".")
    parts[part] = base64.urlsafe_b64encode(b'{"alg":"none"}').rstrip(b"=").decode() if part == 0 else "AAAA"
    return ".".join(parts) if part else f"{parts[0]}.{parts[1]}."


async def test_bad_requests_change_nothing_and_lead_nowhere(service, caller):
    """rp-initiated-logout-bad-post-logout-redirect-uri, -query-added-to-post-logout-redirect-uri,
    -modified-id-token-hint, -bad-id-token-hint, -no-id-token-hint; OID-35, OID-36: also with an access token, another
    client's token, parameters twice, and a state that is too long."""
    shop, browser, tokens = await begun(service, caller)
    other = await a_shop(service, "Other", logout_uris=frozenset({"https://other.example.org/"}))
    hint, good = tokens["id_token"], {"post_logout_redirect_uri": HOME}
    for given in (
        {"id_token_hint": hint, "post_logout_redirect_uri": "https://evil.example/"},
        {"id_token_hint": hint, "post_logout_redirect_uri": f"{HOME}?foo=bar"},
        {"id_token_hint": hint, "post_logout_redirect_uri": "https://other.example.org/"},
        {"id_token_hint": hint, "client_id": other.client_id}, {"id_token_hint": _edited(hint, 0), **good},
        {"id_token_hint": _edited(hint, 2), **good}, {"id_token_hint": tokens["access_token"], **good},
        {"id_token_hint": caller.token, **good}, {"id_token_hint": tokens["refresh_token"], **good}, good,
        {"client_id": "cli_unknown", **good}, {"id_token_hint": hint, **good, "state": "s" * 1025},
    ):  # fmt: skip
        page = await leave(browser, **given)
        assert page.status_code == 400, given
        assert "evil.example" not in page.text
        await stays(browser, shop)
    twice = urlencode([("id_token_hint", hint), *good.items(), *good.items()])
    assert (await travel(browser, f"/oauth/logout?{twice}")).status_code == 400
    await stays(browser, shop)


@pytest.mark.parametrize("given", [{}, {"state": STATE}], ids=["no_params", "only_state"])
async def test_without_a_hint_a_page_asks(service, caller, given):
    """no-params, only-state: a question; after it the customer is signed out, and a page says so."""
    shop, browser, _ = await begun(service, caller)
    await leave(browser, **given)
    assert QUESTION in browser.text
    await stays(browser, shop)
    await leave(browser, **given)
    sealed = browser.page.text.partition('name="request" value="')[2].partition('"')[0]
    page = await send(browser, "/oauth/logout/confirmed", request=sealed)
    assert page.url.path == "/signin"
    assert "signed out" in browser.text
    assert await is_signed_out(browser, shop)


async def test_the_question_in_another_language_still_leads_back_to_the_application(service, caller):
    """The request is in the address, which the language switch keeps."""
    shop, browser, _ = await begun(service, caller)
    asked = {"client_id": shop.client_id, "post_logout_redirect_uri": HOME, "state": "a b+c"}
    await leave(browser, **asked)
    assert QUESTION in browser.text
    back = unescape(browser.page.text.partition('name="back" value="')[2].partition('"')[0])
    assert dict(parse_qsl(urlsplit(back).query)) == asked
    await browser.send("/language", language="fr", back=back)
    assert '<html lang="fr" dir="ltr">' in browser.page.text
    sealed = browser.page.text.partition('name="request" value="')[2].partition('"')[0]
    page = await send(browser, "/oauth/logout/confirmed", request=sealed)
    assert page.headers.get("location", str(page.url)).startswith(HOME)


async def test_no_post_logout_redirect_uri(service, caller):
    """A hint alone: signed out, and a page of ours says so. no-state: back without one."""
    shop, browser, tokens = await begun(service, caller)
    page = await leave(browser, id_token_hint=tokens["id_token"])
    assert page.url.path == "/signin"
    assert "signed out" in browser.text
    assert await is_signed_out(browser, shop)
    again = await signed_in(service, shop, browser)
    page = await leave(browser, id_token_hint=again["id_token"], post_logout_redirect_uri=HOME)
    assert page.headers["location"] == HOME


async def test_nobody_signs_another_person_out(service, caller):
    """OID-35: another customer's token, one of an earlier session, one without the cookie, and a sealed request
    that was changed: the session stays, or a page asks."""
    shop, browser, tokens = await begun(service, caller)
    await a_customer(service, caller, "bert@example.org")
    stranger = a_browser(service, source="203.0.113.5")
    others = await signed_in(service, shop, stranger, address="bert@example.org")
    await leave(browser, id_token_hint=others["id_token"], post_logout_redirect_uri=HOME)
    assert QUESTION in browser.text
    sealed = browser.page.text.partition('name="request" value="')[2].partition('"')[0]
    for wrong in ("", "x", sealed[:-2], f"{sealed}AA"):
        await leave(browser)
        assert (await send(browser, "/oauth/logout/confirmed", request=wrong)).status_code == 400
    token = {"form_token": "wrong", "request": sealed}
    assert (await browser.http.post("/oauth/logout/confirmed", data=token)).status_code == 403
    image = await service.http.get("/oauth/logout", params={"id_token_hint": tokens["id_token"]})
    assert image.status_code == 303
    await stays(browser, shop)
    await stays(stranger, shop)
    await leave(browser, id_token_hint=tokens["id_token"])
    await signed_in(service, shop, browser)
    await leave(browser, id_token_hint=tokens["id_token"])
    assert QUESTION in browser.text


class Receiver:
    """A tiny endpoint that keeps what it is sent, and answers with a status."""

    def __init__(self) -> None:
        self.status, self.got, self.port = 200, [], 0

    async def answer(self, reader, writer) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        self.got.append((head, (await reader.readexactly(size)).decode()))
        more = "Location: http://127.0.0.1:9/\r\n" if self.status == 302 else ""
        writer.write(f"HTTP/1.1 {self.status} X\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n".encode())
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        writer.close()


@pytest.fixture
async def receiver():
    found = Receiver()
    server = await asyncio.start_server(found.answer, "127.0.0.1", 0)
    found.port = server.sockets[0].getsockname()[1]
    yield found
    server.close()


async def told(service) -> int:
    return await deliver_due(service.database, now=service.clock())


@pytest.mark.parametrize("algorithm", ["ES256", "RS256"])
async def test_backchannel_rp_initiated_logout(service, caller, receiver, algorithm):
    """OID-37, OID-38: the client gets a logout token and nothing else, with exactly the claims of the specification and
    the sid of its ID token; the browser comes back with the state; a client that did not register is not told."""
    url = f"http://127.0.0.1:{receiver.port}/logout"
    shop, browser, tokens = await begun(service, caller, backchannel_logout_uri=url, id_token_alg=algorithm)
    await signed_in(service, await a_shop(service, "Silent"), browser)
    page = await leave(browser, id_token_hint=tokens["id_token"], post_logout_redirect_uri=HOME, state=STATE)
    assert dict(parse_qsl(urlsplit(page.headers["location"]).query)) == {"state": STATE}
    assert receiver.got == []
    assert await told(service) == 1
    ((head, body),) = receiver.got
    assert head.startswith("post /logout http/1.1")
    assert "application/x-www-form-urlencoded" in head
    assert "cookie" not in head
    form = parse_qs(body)
    assert set(form) == {"logout_token"}
    token, mine = form["logout_token"][0], shop.claims(tokens["id_token"])
    header, keys = signing.unverified(token)[0], service.database.keys.verifying_id_tokens()
    claims = signing.verify(token, keys, typ="logout+jwt", also_rsa=True)
    assert (header["alg"], header["typ"]) == (algorithm, "logout+jwt")
    assert set(claims) == {"iss", "aud", "iat", "exp", "jti", "sub", "sid", "events"}
    assert [claims[name] for name in ("iss", "aud", "sub", "sid")] == [mine[n] for n in ("iss", "aud", "sub", "sid")]
    assert claims["events"] == {"http://schemas.openid.net/event/backchannel-logout": {}}
    assert claims["exp"] - claims["iat"] <= 120
    assert await told(service) == 0
    assert await is_signed_out(browser, shop)
    assert (await leave(browser, id_token_hint=token)).status_code == 400


@pytest.mark.parametrize(
    ("status", "outcome"), [(204, "told"), (400, "refused"), (302, "given_up"), (500, "given_up"), (0, "given_up")]
)
async def test_a_receiver_that_does_not_answer_is_tried_for_a_day(service, caller, receiver, log, status, outcome):
    """OID-37: each attempt has a `jti` of its own; a redirect is not followed; after 24 hours it ends with a line that
    alarms; signing out never waits."""
    port = receiver.port if status else 9
    shop, browser, tokens = await begun(service, caller, backchannel_logout_uri=f"http://127.0.0.1:{port}/logout")
    receiver.status = status
    await leave(browser, id_token_hint=tokens["id_token"])
    assert await is_signed_out(browser, shop)
    for hours in (0, 1, 22, 2, 2):
        service.clock.advance(hours=hours, seconds=1)
        await told(service)
    (row,) = await service.rows("SELECT outcome, attempts FROM logout_delivery")
    assert row[0] == outcome
    assert row[1] == (4 if outcome == "given_up" else 1)
    ids = [signing.unverified(parse_qs(body)["logout_token"][0])[1]["jti"] for _, body in receiver.got]
    assert len({*ids}) == len(ids)
    assert ("logout.given_up" in log.text) == (outcome == "given_up")


async def test_one_address_that_cannot_be_called_keeps_nobody_else_waiting(service, caller, receiver, owner):
    """OID-37, OID-40: a name that no resolver takes, an address that is not allowed, and a client that was closed."""
    url = f"http://127.0.0.1:{receiver.port}/logout"
    shop, browser, _ = await begun(service, caller, backchannel_logout_uri=url)
    bad = [await a_shop(service, "Bad", backchannel_logout_uri="https://bad.example/") for _ in range(3)]
    for one in bad:
        await signed_in(service, one, browser)
    names = (f"https://{'a' * 64}.example/", "https://10.0.0.1/", "https://127.0.0.1:99999/")
    for one, name in zip(bad, names, strict=True):
        change = "UPDATE openid_client SET backchannel_logout_uri = :uri WHERE client_id = :id"
        await sql(owner, change, uri=name, id=one.client_id)
    await leave(browser, id_token_hint=(await signed_in(service, shop, browser))["id_token"])
    assert await told(service) == 4
    assert len(receiver.got) == 1
    async with service.database.transaction() as session:
        left = (await session.execute(text("SELECT count(*) FROM logout_delivery WHERE done_at IS NULL"))).scalar_one()
    assert left == 3


async def test_two_workers_send_a_token_once(service, caller, receiver):
    """OID-37: whoever takes one keeps the others away meanwhile."""
    url = f"http://127.0.0.1:{receiver.port}/logout"
    _, browser, tokens = await begun(service, caller, backchannel_logout_uri=url)
    await leave(browser, id_token_hint=tokens["id_token"])
    assert sorted(await asyncio.gather(told(service), told(service))) == [0, 1]
    assert len(receiver.got) == 1
