"""The whole way: a shop sends its customer's browser, the customer signs in, the shop gets tokens."""

from tests.openid.given import (
    BACK,
    a_customer,
    a_request,
    a_shop,
    answer_of,
    send,
    sign_in_at,
    signed_in,
    travel,
)
from tests.resets.given import ANNA, GOOD, a_browser


async def test_a_customer_signs_in_and_the_shop_knows_who(service, caller):
    """OID-09, OID-14, OID-32: issuer beside the code; the ID token says who and how; userinfo by scope."""
    user_id = await a_customer(service, caller)
    shop = await a_shop(service)
    answer = await sign_in_at(a_browser(service), shop)
    assert answer["iss"] == "https://id.example.com"
    assert answer["state"] == "xyz"
    tokens = (await shop.redeem(answer["code"], answer["verifier"])).json()
    claims = shop.claims(tokens["id_token"])
    assert claims["sub"] == user_id
    assert claims["aud"] == shop.client_id
    assert claims["nonce"] == "n-1"
    assert claims["amr"] == ["pwd"]
    assert claims["auth_time"] == int(service.clock().timestamp())
    told = (await shop.userinfo(tokens["access_token"])).json()
    assert told == {
        "sub": user_id, "locale": "en", "kind": "consumer", "email": ANNA, "email_verified": True,
    }  # fmt: skip


async def test_one_sign_in_serves_every_shop(service, caller):
    """A second shop gets its answer without a page, about the same sign-in (OID-21)."""
    await a_customer(service, caller)
    browser, first, second = a_browser(service), await a_shop(service), await a_shop(service, "Other")
    tokens = await signed_in(service, first, browser)
    service.clock.advance(minutes=30)
    answer = answer_of(await travel(browser, (request := a_request(second)).path))
    others = (await second.redeem(answer["code"], request.verifier)).json()
    mine, theirs = first.claims(tokens["id_token"]), second.claims(others["id_token"])
    assert mine["auth_time"] == theirs["auth_time"]
    assert mine["sid"] != theirs["sid"]


async def test_the_sign_in_page_names_the_shop_and_fills_in_whom_it_expects(service, caller):
    """OID-25: `login_hint` fills a field; the page says where the customer is going."""
    shop, browser = await a_shop(service, "Garden Tools"), a_browser(service)
    page = await travel(browser, a_request(shop, login_hint="anna@example.org").path)
    assert "Garden Tools" in browser.text
    assert 'value="anna@example.org"' in page.text
    assert "form-action 'self' https://shop.example.org;" in page.headers["content-security-policy"]


async def test_two_tabs_each_end_with_their_own_shop(service, caller):
    """OID-06: the request's id goes through the form of its tab, whatever the other tab has asked for meanwhile."""
    await a_customer(service, caller)
    browser, one, two = a_browser(service), await a_shop(service), await a_shop(service, "Other")
    first = await travel(browser, a_request(one, state="first").path)
    await travel(browser, a_request(two, state="second").path)
    browser.page = first
    answer = await send(browser, str(first.url.copy_with(scheme="", host="")), email=ANNA, password=GOOD)
    assert answer_of(answer)["state"] == "first"


async def test_a_request_is_finished_in_the_browser_that_began_it(service, caller):
    """OID-28: the path of a request opens nothing in another browser."""
    await a_customer(service, caller)
    shop = await a_shop(service)
    page = await travel(a_browser(service), a_request(shop).path)
    stolen = page.url.params["next"]
    other = a_browser(service, source="203.0.113.5")
    answer = await other.open(stolen)
    assert answer.status_code == 410
    assert "begun in another browser" in other.text


async def test_nobody_dresses_the_sign_in_page_of_another_browser(service, caller):
    """BRD-06, OID-28: a stranger's link shows neither the name, the address nor the destination of their request."""
    shop = await a_shop(service, "Garden Tools")
    page = await travel(a_browser(service), a_request(shop, login_hint="eve@example.org").path)
    other = a_browser(service, source="203.0.113.5")
    seen = await other.open(str(page.url.copy_with(scheme="", host="")))
    assert "Garden Tools" not in other.text
    assert "eve@example.org" not in seen.text
    assert "form-action 'self';" in seen.headers["content-security-policy"]


async def test_form_post_works_without_a_script_and_escapes_what_it_carries(service, caller):
    """OID-05, OID-29: `response_mode=form_post` is the client's registration; state is text."""
    await a_customer(service, caller)
    shop = await a_shop(service, response_mode="form_post")
    browser = a_browser(service)
    page = await travel(browser, a_request(shop, state='"><script>').path)
    page = await send(browser, str(page.url.copy_with(scheme="", host="")), email=ANNA, password=GOOD)
    assert page.status_code == 200
    assert f'action="{BACK}"' in page.text
    assert "&#34;&gt;&lt;script&gt;" in page.text
    assert "<script>" not in page.text.replace('<script src="', "")
    assert "https://shop.example.org" in page.headers["content-security-policy"]


async def test_the_sign_in_page_speaks_the_language_that_the_shop_asks_for(service):
    """`ui_locales` before what the browser sends; a language that we do not have leaves it at that."""
    shop = await a_shop(service)
    for wanted, shown in (("de-AT en", "de"), ("se", "en"), ("", "en")):
        page = await travel(a_browser(service), a_request(shop, ui_locales=wanted).path)
        assert f'<html lang="{shown}"' in page.text


async def test_an_access_token_is_revoked_by_its_own_client_alone(service, caller):
    """OID-20: and alone: the refresh token goes on."""
    await a_customer(service, caller)
    shop, other = await a_shop(service), await a_shop(service, "Other", kind="public")
    tokens = await signed_in(service, shop)
    for client, status in ((other, 200), (shop, 401)):
        auth = {"auth": (client.client_id, client.secret)} if client.secret else {}
        form = {"token": tokens["access_token"], **({} if client.secret else {"client_id": client.client_id})}
        assert (await service.http.post("/oauth/revoke", data=form, **auth)).status_code == 200
        assert (await shop.userinfo(tokens["access_token"])).status_code == status
    assert (await shop.refresh(tokens["refresh_token"])).status_code == 200
