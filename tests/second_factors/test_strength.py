"""One rule says how strong a sign-in was, and what is asked for; tokens say what is true."""

from datetime import timedelta

import pytest

from identity_service.openid import rules as openid_rules
from identity_service.sign_in import rules
from tests.openid.given import a_request, a_shop, answer_of, travel
from tests.passkeys.given import Authenticator, enrol, passkey_ids, with_a_password
from tests.passkeys.given import remove as remove_passkey
from tests.resets.given import forget_limits
from tests.second_factors.given import ME, seed_on, sessions, shown, sign_in_with_app, type_code, with_an_app
from tests.signin.test_by_mail import asked, typed

TWO, ONE, NONE = "urn:identity-service:acr:two-factor", "urn:identity-service:acr:password", "0"
SAID = [
    ("mail", None, NONE, ["otp"]), ("mail", "totp", ONE, ["otp"]), ("password", None, ONE, ["pwd"]),
    ("password", "totp", TWO, ["pwd", "otp", "mfa"]), ("passkey", None, ONE, ["pop"]),
    ("passkey", "totp", TWO, ["pop", "otp", "mfa"]), ("verified_passkey", None, TWO, ["pop", "user", "mfa"]),
    ("verified_passkey", "totp", TWO, ["pop", "user", "otp", "mfa"]),
]  # fmt: skip


def test_every_way_is_in_the_table():
    assert {(method, factor) for method, factor, _, _ in SAID} == {
        (method, factor) for method in rules.METHODS for factor in (None, *rules.SECOND_FACTORS)
    }


@pytest.mark.parametrize(("method", "factor", "acr", "amr"), SAID)
def test_what_tokens_say(method, factor, acr, amr):
    """SFA-07, OID-21: a mailed code with an app is one factor, and never `mfa`."""
    assert (openid_rules.acr_of(method, factor), openid_rules.amr_of(method, factor)) == (acr, amr)
    assert (rules.strength_of(method, factor) == rules.STRONGEST) is ("mfa" in amr)


@pytest.mark.parametrize(
    ("passkeys", "has_password", "has_factor", "best"),
    [
        ([], False, False, 0), ([], True, False, 0), ([False], True, False, 1), ([False, True], True, False, 2),
        ([], False, True, 1), ([], True, True, 2), ([False], False, True, 2), ([True], False, True, 2),
    ],
)  # fmt: skip
def test_no_more_is_asked_than_there_is(passkeys, has_password, has_factor, best):
    """SFA-07: the strongest sign-in of an account."""
    assert rules.best_strength(passkeys=passkeys, has_password=has_password, has_factor=has_factor) == best


async def claims_of(service, browser) -> dict:
    shop = await a_shop(service)
    request = a_request(shop)
    code = answer_of(await travel(browser, request.path))["code"]
    return shop.claims((await shop.redeem(code, request.verifier)).json()["id_token"])


async def test_a_session_of_before_stays_what_it_was(service, caller):
    """SFA-07, OID-21, OID-23: after setting up and removing, `auth_time` is the moment of the sign-in, and the session
    is no younger for what cannot be undone."""
    _, browser = await with_a_password(service, caller)
    began = int(service.clock().timestamp())
    service.clock.advance(minutes=4)
    await browser.open(ME)
    await browser.send(f"{ME}/set-up")
    await browser.send(f"{ME}/confirm", code=shown(service, seed_on(browser)))
    said = await claims_of(service, browser)
    assert (said["auth_time"], said["acr"]) == (began, TWO)
    service.clock.advance(minutes=5)
    assert (await browser.open(ME)).url.path == ME
    await browser.send(f"{ME}/remove")
    said = await claims_of(service, browser)
    assert (said["auth_time"], said["acr"]) == (began, TWO)
    service.clock.advance(minutes=1, seconds=1)
    assert (await browser.open(ME)).url.path == "/signin"
    assert timedelta(minutes=10) == rules.FRESH


async def test_removing_a_passkey_makes_a_session_no_younger(service, caller):
    """SFA-07, OID-23: the session goes on under another cookie, as old as its sign-in."""
    _, browser = await with_a_password(service, caller)
    began = int(service.clock().timestamp())
    service.clock.advance(minutes=9)
    await enrol(browser, Authenticator(flags=1 | 8 | 16))
    service.clock.advance(seconds=30)
    await browser.open("/me/passkeys")
    assert (await remove_passkey(browser, (await passkey_ids(service))[0])).status_code == 303
    assert (await claims_of(service, browser))["auth_time"] == began
    service.clock.advance(seconds=31)
    assert (await browser.open("/me/passkeys")).url.path == "/signin"


async def test_a_mailed_code_with_the_app_says_one_factor(service, caller):
    """SFA-07: by the whole way."""
    anna = await with_an_app(service, caller)
    await forget_limits(service)
    browser, path, code = await asked(service)
    await typed(browser, path, code)
    await type_code(browser, shown(service, anna.seed))
    said = await claims_of(service, browser)
    assert (said["acr"], said["amr"]) == (ONE, ["otp"])
    shop = await a_shop(service, "Bank")
    service.clock.advance(seconds=1)
    page = await travel(browser, a_request(shop, acr_values=TWO).path)
    assert page.url.path == "/signin"
    service.clock.advance(minutes=1)
    strong = await sign_in_with_app(service, anna.seed)
    assert (await claims_of(service, strong))["acr"] == TWO
    assert (await sessions(service))[-1] == ("password", "totp")
