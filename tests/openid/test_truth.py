"""Prompt, age, level and hints: what is said of a sign-in is true when the code is issued."""

import base64
import itertools
import json

import pytest

from identity_service.clients import registration
from identity_service.openid import rules
from identity_service.passwords import actions as passwords
from identity_service.values.user_ids import UserId
from tests.accounts.given import an_account, close, erase, merge
from tests.openid.asking import error_of, form_of, opened, outcome
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
from tests.resets.given import ANNA, GOOD, a_browser, sign_in
from tests.signin.test_by_mail import asked as asked_for_code
from tests.signin.test_by_mail import typed


@pytest.mark.parametrize("number", range(5))
def test_every_order_of_prompts(number):
    """OID-22: unknown values, and `none` beside another, are refused; blanks say nothing."""
    client = registration.Application(
        "cli_a", "A", None, **{**registration._DEFAULTS, "redirect_uris": frozenset({BACK}), "apis": {}}
    )
    given = {"redirect_uri": BACK, "response_type": "code", "scope": "openid", "code_challenge": "a" * 43}
    given["code_challenge_method"] = "S256"
    for values in itertools.permutations(rules.PROMPTS, number):
        prompt = " ".join(values)
        if "none" in values and number > 1:
            with pytest.raises(rules.RequestRefused):
                rules.parse({**given, "prompt": prompt}, client)
        else:
            assert rules.parse({**given, "prompt": f"  {prompt} "}, client).prompt == set(values)
        with pytest.raises(rules.RequestRefused):
            rules.parse({**given, "prompt": f"{prompt} wizard"}, client)
    for prompt in ("None", "none\t", "login,consent", "none none login"):
        with pytest.raises(rules.RequestRefused):
            rules.parse({**given, "prompt": prompt}, client)


async def test_prompt_login_wants_a_sign_in_that_is_newer_than_the_request(service, caller):
    """OID-22: taking the parameter away on the way, a second tab, going back, and the page of the request itself give
    no code before the customer has signed in again."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service), a_browser(service)
    await sign_in_at(browser, shop)
    service.clock.advance(seconds=30)
    page = await travel(browser, a_request(shop, prompt="login").path)
    path = page.url.params["next"]
    for again in (path, f"{path}?prompt=none", f"{path}?prompt="):
        assert (await travel(browser, again)).url.path == "/signin"
    tab = await outcome(browser, shop)
    assert "code" in tab
    assert (await travel(browser, path)).url.path == "/signin"
    await travel(browser, f"/signin?next={path}")
    assert "code" in answer_of(await send(browser, f"/signin?next={path}", email=ANNA, password=GOOD))


async def test_a_request_that_shows_nothing_changes_nothing(service, caller):
    """OID-22, OID-28: `prompt=none` answers at once, by a code or by the error that says what a page would ask; no
    page's form can turn its refusal into a code."""
    await a_customer(service, caller)
    own, third, browser = await a_shop(service), await a_shop(service, "Third", first_party=False), a_browser(service)
    assert await error_of(browser, own, prompt="none") == "login_required"
    await sign_in_at(browser, own)
    service.clock.advance(seconds=10)
    before = await service.rows("SELECT count(*) FROM sign_in_session")
    assert "code" in await outcome(browser, own, prompt="none")
    assert await error_of(browser, third, prompt="none") == "consent_required"
    assert await error_of(browser, own, prompt="none", max_age="5") == "login_required"
    assert await service.rows("SELECT count(*) FROM sign_in_session") == before
    await browser.open("/me")
    me = browser.page
    for shop, changed in ((third, {}), (own, {"max_age": "5"}), (own, {"prompt": "login"})):
        waiting = (await opened(browser, shop, **{"prompt": "none", **changed})).headers["location"]
        browser.page = me
        answer = await send(browser, waiting, decision="allow")
        assert answer.url.path == "/signin" or "error" in answer_of(answer)
    assert await service.rows("SELECT 1 FROM granted_scope") == []


@pytest.mark.parametrize("wrong", ["-1", "1.5", "10" * 6, "1e3", "+1", " 1", "0x1", "a", "\u0661"])
async def test_an_age_is_a_whole_number(service, wrong):
    """OID-23."""
    assert await error_of(a_browser(service), await a_shop(service), max_age=wrong) == "invalid_request"


async def test_an_age_is_checked_when_the_code_is_issued(service, caller):
    """OID-23, OID-21: 0 is like `login`; whoever waits on the page that asks signs in again; nobody is signed out by
    it elsewhere."""
    await a_customer(service, caller)
    shop, third = await a_shop(service), await a_shop(service, "Third", first_party=False)
    browser = a_browser(service)
    tokens = await signed_in(service, shop, browser)
    service.clock.advance(seconds=50)
    assert "code" in await outcome(browser, shop, max_age="60")
    assert await outcome(browser, shop, max_age="0") == "/signin"
    page = await travel(browser, a_request(third, max_age="60").path)
    asks = form_of(page)
    assert asks.startswith("/oauth/authorize/")
    service.clock.advance(seconds=20)
    late = await send(browser, asks, decision="allow")
    assert late.url.path == "/signin"
    page = await send(browser, form_of(late), email=ANNA, password=GOOD)
    assert "code" in answer_of(await send(browser, asks, decision="allow"))
    assert (await shop.userinfo(tokens["access_token"])).status_code == 200


async def test_the_level_that_is_told_is_the_one_that_was_proven(service, caller):
    """OID-24: a sign-in by mail is asked for more, once, and never called a password; a stronger one than asked for,
    and a level that nobody knows, ask for nothing."""
    await a_customer(service, caller)
    shop = await a_shop(service)
    mailed, path, code = await asked_for_code(service)
    await typed(mailed, path, code)
    by_password = a_browser(service)
    await sign_in(by_password)
    service.clock.advance(seconds=5)
    table = [
        (mailed, "0", True, "0"), (mailed, "urn:other", True, "0"), (mailed, rules.PASSWORD_LEVEL, False, None),
        (mailed, f"{rules.PASSWORD_LEVEL} 0", True, "0"), (by_password, "0", True, rules.PASSWORD_LEVEL),
        (by_password, rules.PASSWORD_LEVEL, True, rules.PASSWORD_LEVEL),
        (by_password, "3 2 1", True, rules.PASSWORD_LEVEL),
    ]  # fmt: skip
    for browser, values, at_once, level in table:
        request = a_request(shop, acr_values=values)
        page = await travel(browser, request.path)
        assert (page.status_code == 303) == at_once, values
        if at_once:
            tokens = (await shop.redeem(answer_of(page)["code"], request.verifier)).json()
            assert shop.claims(tokens["id_token"])["acr"] == level
    assert await error_of(mailed, shop, acr_values=rules.PASSWORD_LEVEL, prompt="none") == "login_required"


async def test_whoever_cannot_reach_a_level_is_asked_once(service, caller):
    """OID-24: after signing in by mail again the lower level is told, so that no customer goes in a circle."""
    await an_account(caller, email=ANNA)
    shop, browser = await a_shop(service), a_browser(service)
    request = a_request(shop, acr_values=rules.PASSWORD_LEVEL)
    page = await travel(browser, request.path)
    page = await send(browser, f"/signin/code?{page.url.query.decode()}", email=ANNA)
    await service.deliver()
    text = service.letter(ANNA, "Your sign-in code")["text"]
    code = next(line.strip() for line in text.splitlines() if line.startswith("    ") and "-" in line)
    answer = answer_of(await send(browser, form_of(page), code=code))
    tokens = (await shop.redeem(answer["code"], request.verifier)).json()
    claims = shop.claims(tokens["id_token"])
    assert (claims["acr"], claims["amr"]) == ("0", ["otp"])


async def test_a_hint_names_a_customer_and_signs_nobody_in(service, caller):
    """OID-25, OID-26: of the hints only an ID token of ours for this client is taken, expired or not; with another
    customer signed in it leads to the sign-in page, or back with an error."""
    await a_customer(service, caller)
    await a_customer(service, caller, "bert@example.org")
    shop, other, browser = await a_shop(service), await a_shop(service, "Other"), a_browser(service)
    tokens = await signed_in(service, shop, browser)
    hint = tokens["id_token"]
    others = await signed_in(service, other, browser)
    head, body, proof = hint.split(".")
    edited = json.loads(base64.urlsafe_b64decode(body + "=="))
    edited["sub"] = "AAAA"
    changed = base64.urlsafe_b64encode(json.dumps(edited).encode()).rstrip(b"=").decode()
    none = base64.urlsafe_b64encode(b'{"alg":"none","typ":"JWT"}').rstrip(b"=").decode()
    for wrong in (
        others["id_token"], tokens["access_token"], caller.token, f"{head}.{changed}.{proof}", f"{none}.{body}.",
        f"{hint}x", "x",
    ):  # fmt: skip
        assert await error_of(browser, shop, id_token_hint=wrong) == "invalid_request"
    service.clock.advance(hours=1)
    assert "code" in await outcome(browser, shop, id_token_hint=hint, prompt="none")
    stranger = a_browser(service, source="203.0.113.5")
    assert await outcome(stranger, shop, id_token_hint=hint) == "/signin"
    assert await error_of(stranger, shop, id_token_hint=hint, prompt="none") == "login_required"
    await sign_in(stranger, "bert@example.org")
    service.clock.advance(seconds=1)
    assert await error_of(stranger, shop, id_token_hint=hint, prompt="none") == "login_required"
    page = await travel(stranger, a_request(shop, id_token_hint=hint).path)
    assert page.url.path == "/signin"
    again = await send(stranger, form_of(page), email="bert@example.org", password=GOOD)
    assert answer_of(again)["error"] == "login_required"


async def test_a_name_to_fill_in_is_text_and_shown_to_its_own_browser_alone(service):
    """OID-25, OID-28: `login_hint` is escaped, and the sign-in page of another browser shows neither it nor
    the shop."""
    shop, browser = await a_shop(service, "Garden Tools"), a_browser(service)
    page = await travel(browser, a_request(shop, login_hint='"><script>alert(1)</script>').path)
    assert "<script>alert" not in page.text
    page = await travel(browser, a_request(shop, login_hint="canary@example.org").path)
    assert "canary@example.org" in page.text
    stranger = a_browser(service, source="203.0.113.5")
    page = await stranger.open(form_of(page))
    assert "canary" not in page.text
    assert "Garden Tools" not in page.text
    assert "shop.example.org" not in page.headers["content-security-policy"]


@pytest.mark.parametrize("state", ["closed", "erased", "merged", "marked"])
async def test_who_is_no_customer_any_more_gets_no_code(service, caller, owner, state):
    """OID-27, OID-19: a session of an account that was closed, erased or merged, or whose password became known."""
    user_id = await a_customer(service, caller)
    shop, browser = await a_shop(service), a_browser(service)
    tokens = await signed_in(service, shop, browser)
    service.clock.advance(seconds=5)
    waiting = (await opened(browser, shop)).headers["location"]
    if state == "merged":
        await merge(owner, user_id, into=await an_account(caller, email="bert@example.org"))
    elif state == "marked":
        row_id = UserId(user_id.replace("-", ""))
        await service.database.in_transaction(
            lambda s: passwords.mark_compromised(s, row_id, actor="operator", now=service.clock())
        )
    else:
        await (close if state == "closed" else erase)(owner, user_id)
    assert await error_of(browser, shop, prompt="none") == "login_required"
    page = await travel(browser, a_request(shop).path)
    assert page.url.path == "/signin"
    page = await send(browser, form_of(page), email=ANNA, password=GOOD)
    assert page.status_code != 303
    assert (await travel(browser, waiting)).url.path == "/signin"
    assert (await shop.userinfo(tokens["access_token"])).status_code == 401
    assert (await shop.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_code_is_worth_nothing_once_its_account_is_closed(service, caller, owner):
    """OID-27, OID-11: closed between code and token."""
    user_id = await a_customer(service, caller)
    shop = await a_shop(service)
    answer = await sign_in_at(a_browser(service), shop)
    await close(owner, user_id)
    assert (await shop.redeem(answer["code"], answer["verifier"])).json()["error"] == "invalid_grant"
