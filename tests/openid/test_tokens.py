"""Codes, refresh tokens and what ends them: once, for whom they are, and not a moment longer than their cause."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import text

from identity_service.accounts import actions as accounts
from identity_service.clients import actions as clients
from identity_service.clients import registration
from identity_service.events.data_models import SessionsEndedReason
from identity_service.keys import signing
from identity_service.openid import tokens
from identity_service.privacy import closing
from identity_service.values.user_ids import UserId
from tests.life.given import row_id
from tests.openid.given import (
    BACK,
    SCOPE,
    a_customer,
    a_request,
    a_shop,
    answer_of,
    send,
    sign_in_at,
    signed_in,
    travel,
)
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_reset, choose

OFFLINE = f"{SCOPE} offline_access"


@pytest.fixture
async def anna(service, caller) -> str:
    return await a_customer(service, caller)


async def together(calls) -> list:
    return await asyncio.gather(*calls)


async def is_dead(shop, issued: dict) -> bool:
    """Whether neither the refresh token nor the access token opens anything; asked in this order."""
    refreshed = await shop.refresh(issued["refresh_token"])
    told = await shop.userinfo(issued["access_token"])
    assert (refreshed.status_code == 200) == (told.status_code == 200), (refreshed.text, told.text)
    return refreshed.status_code == 400 and refreshed.json()["error"] == "invalid_grant"


async def allowed(service, shop, browser=None) -> dict:
    """Tokens of a customer who allowed access for times when they are away."""
    browser = browser or a_browser(service)
    page = await travel(browser, (request := a_request(shop, scope=OFFLINE)).path)
    if page.url.path == "/signin":
        page = await send(browser, str(page.url.copy_with(scheme="", host="")), email=ANNA, password=GOOD)
    answer = answer_of(await send(browser, page.url.path, decision="allow"))
    return (await shop.redeem(answer["code"], request.verifier)).json()


async def test_of_fifty_uses_of_a_code_one_gets_tokens_and_the_reuse_ends_them(service, anna):
    """OID-11, OID-12: one UPDATE decides; the others are reuse, which ends what the first one got."""
    shop = await a_shop(service)
    answer = await sign_in_at(a_browser(service), shop)
    answers = await together(shop.redeem(answer["code"], answer["verifier"]) for _ in range(50))
    won = [one.json() for one in answers if one.status_code == 200]
    assert len(won) == 1
    assert {one.json()["error"] for one in answers if one.status_code != 200} == {"invalid_grant"}
    assert await is_dead(shop, won[0])


@pytest.mark.parametrize(
    "wrong", [{"code_verifier": "x" * 43}, {"redirect_uri": f"{BACK}/"}, {"code_verifier": ""}], ids=str
)
async def test_a_wrong_try_uses_the_code_up(service, anna, wrong):
    """OID-11: the right verifier comes too late."""
    shop = await a_shop(service)
    answer = await sign_in_at(a_browser(service), shop)
    assert (await shop.redeem(answer["code"], answer["verifier"], **wrong)).json()["error"] == "invalid_grant"
    assert (await shop.redeem(answer["code"], answer["verifier"])).json()["error"] == "invalid_grant"


async def test_a_code_lives_for_a_minute_and_for_its_client(service, anna):
    """OID-11, OID-12: another client's try leaves it valid."""
    shop, thief = await a_shop(service), await a_shop(service, "Thief")
    answer = await sign_in_at(a_browser(service), shop)
    assert (await thief.redeem(answer["code"], answer["verifier"])).json()["error"] == "invalid_grant"
    service.clock.advance(seconds=59)
    assert (await shop.redeem(answer["code"], answer["verifier"])).status_code == 200
    late = await sign_in_at(a_browser(service, source="198.51.100.10"), shop)
    service.clock.advance(seconds=61)
    assert (await shop.redeem(late["code"], late["verifier"])).json()["error"] == "invalid_grant"


async def test_a_code_that_is_used_again_later_ends_what_came_of_it(service, anna):
    """OID-12: at 31 seconds and after its minute."""
    shop = await a_shop(service)
    answer = await sign_in_at(a_browser(service), shop)
    issued = (await shop.redeem(answer["code"], answer["verifier"])).json()
    service.clock.advance(seconds=91)
    assert (await shop.redeem(answer["code"], answer["verifier"])).status_code == 400
    assert await is_dead(shop, issued)


async def test_a_client_authenticates_in_its_own_way(service, anna):
    """OID-13: a confidential client never passes as a public one, nor a public one with a secret of somebody's."""
    shop, app = await a_shop(service), await a_shop(service, "App", kind="public")
    answer = await sign_in_at(a_browser(service), shop)
    form = {"grant_type": "authorization_code", "code": answer["code"], "redirect_uri": BACK}
    form |= {"code_verifier": answer["verifier"], "client_id": shop.client_id}
    refused = await service.http.post("/oauth/token", data=form)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert (await shop.redeem(answer["code"], answer["verifier"])).status_code == 200
    borrowed = await service.http.post(
        "/oauth/token", data={"grant_type": "client_credentials", "client_id": app.client_id}
    )
    assert borrowed.status_code == 401
    issued = await signed_in(service, app)
    assert (await app.refresh(issued["refresh_token"])).status_code == 200


async def test_a_customers_token_opens_no_route_of_services_and_a_services_token_no_userinfo(service, caller, anna):
    """OID-15, OID-26."""
    shop = await a_shop(service)
    issued = await signed_in(service, shop)
    for token in (issued["access_token"], issued["id_token"]):
        answer = await service.http.get(f"/v1/accounts/{anna}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
    for token in (caller.token, issued["id_token"], issued["refresh_token"], ""):
        assert (await shop.userinfo(token)).status_code == 401
    claims = signing.unverified(issued["access_token"])[1]
    assert claims["aud"] == "https://id.example.com/oauth/userinfo"
    assert claims["exp"] - claims["iat"] == 300
    assert ANNA not in str(claims)


async def test_a_refresh_token_is_used_once_and_a_lost_answer_is_given_again(service, anna):
    """OID-16, OID-17, OID-21: fifty at once get one successor; the sign-in that the ID token tells stays the same."""
    shop = await a_shop(service)
    first = await signed_in(service, shop)
    service.clock.advance(minutes=1)
    answers = [one.json() for one in await together(shop.refresh(first["refresh_token"]) for _ in range(50))]
    (successor,) = {one["refresh_token"] for one in answers}
    before, after = shop.claims(first["id_token"]), shop.claims(answers[0]["id_token"])
    assert {name: after[name] for name in ("sub", "sid", "auth_time", "acr", "amr")} == {
        name: before[name] for name in ("sub", "sid", "auth_time", "acr", "amr")
    }
    assert "nonce" not in after
    assert after["iat"] > before["iat"]
    service.clock.advance(seconds=19)
    assert (await shop.refresh(first["refresh_token"])).json()["refresh_token"] == successor
    assert (await shop.refresh(successor)).status_code == 200
    assert (await shop.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert await is_dead(shop, {**answers[0], "refresh_token": successor})


async def test_the_replaced_refresh_token_ends_the_family_after_twenty_seconds(service, anna):
    """OID-17"""
    shop = await a_shop(service)
    first = await signed_in(service, shop)
    second = (await shop.refresh(first["refresh_token"])).json()
    service.clock.advance(seconds=21)
    assert (await shop.refresh(first["refresh_token"])).json()["error"] == "invalid_grant"
    assert await is_dead(shop, second)
    events = await service.rows("SELECT data FROM event WHERE name = 'application.ended'")
    assert [row.data["why"] for row in events] == ["refresh_reused"]


async def test_a_refresh_token_is_its_clients_and_its_scope_only_shrinks(service, anna):
    """OID-16, OID-20: another client's use and revocation change nothing; nor does a token that was not derived."""
    shop, thief = await a_shop(service), await a_shop(service, "Thief")
    issued = await signed_in(service, shop)
    token = issued["refresh_token"]
    assert (await thief.refresh(token)).json()["error"] == "invalid_grant"
    revoked = await service.http.post("/oauth/revoke", data={"token": token}, auth=(thief.client_id, thief.secret))
    assert revoked.status_code == 200
    head, number, proof = token.rsplit("_", 2)
    for forged in (
        f"{head}_7_{proof}",
        f"{head}_{number}_{proof[1:]}{proof[0]}",
        f"{head}_{number}_{'A' * 43}",
        "rt_x",
    ):
        assert (await shop.refresh(forged)).json()["error"] == "invalid_grant"
    assert (await shop.refresh(token, scope=OFFLINE)).json()["error"] == "invalid_scope"
    less = (await shop.refresh(token, scope="openid email")).json()
    assert less["scope"] == "email openid"
    assert set((await shop.userinfo(less["access_token"])).json()) == {"sub", "email", "email_verified"}
    own = await service.http.post(
        "/oauth/revoke", data={"token": less["refresh_token"]}, auth=(shop.client_id, shop.secret)
    )
    assert own.status_code == 200
    assert await is_dead(shop, less)


async def test_no_row_holds_a_usable_token(service, anna):
    """OID-11, OID-16: a copy of the database forges nothing."""
    shop = await a_shop(service)
    answer = await sign_in_at(a_browser(service), shop)
    issued = (await shop.redeem(answer["code"], answer["verifier"])).json()
    rows = str(await service.rows("SELECT to_jsonb(g) FROM oauth_grant g"))
    rows += str(await service.rows("SELECT to_jsonb(r) FROM authorization_request r"))
    for secret in (answer["code"], issued["refresh_token"].rsplit("_", 1)[1], issued["access_token"]):
        assert secret not in rows


async def test_access_ends_with_the_session_unless_the_customer_allowed_more(service, anna):
    """OID-18: signing out ends the plain family; `offline_access` lives 30 days unused and 90 at most."""
    plain, away, browser = await a_shop(service), await a_shop(service, "Away"), a_browser(service)
    short = await signed_in(service, plain, browser)
    long = await allowed(service, away, browser)
    await browser.open("/me")
    await browser.send("/signout")
    assert await is_dead(plain, short)
    for _ in range(3):
        service.clock.advance(days=29)
        long = (await away.refresh(long["refresh_token"])).json()
        assert "access_token" in long, long
    service.clock.advance(days=4)
    assert (await away.refresh(long["refresh_token"])).json()["error"] == "invalid_grant"


async def _reset(service, anna) -> None:
    reset = await a_reset(service, source="203.0.113.9")
    await choose(reset.browser, reset.link, OTHER)


async def _act(service, anna, work) -> None:
    row = UserId(row_id(anna))
    await service.database.in_transaction(lambda session: work(session, row, service.clock()))


CAUSES = {
    "a new password": _reset,
    "signed out everywhere": lambda service, anna: _act(
        service, anna,
        lambda s, row, now: accounts.end_sessions(
            s, row, SessionsEndedReason.SIGNED_OUT_EVERYWHERE, actor="customer", now=now
        ),
    ),
    "closed": lambda service, anna: _act(
        service, anna, lambda s, row, now: closing.close_account(s, row, actor="staff:a", now=now)
    ),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
async def test_every_cause_ends_what_every_application_has(service, anna, cause):
    """OID-19: at once, also what was allowed for times when the customer is away; a logout token waits for whoever
    listens."""
    listens = {"backchannel_logout_uri": "https://shop.example.org/out"}
    plain, away = await a_shop(service, **listens), await a_shop(service, "Away")
    issued, long = await signed_in(service, plain), await allowed(service, away)
    service.clock.advance(seconds=1)
    await CAUSES[cause](service, anna)
    assert await is_dead(plain, issued)
    assert await is_dead(away, long)
    waiting = await service.rows("SELECT client_id, user_id, sid FROM logout_delivery WHERE done_at IS NULL")
    assert [(row.client_id, str(row.sid)) for row in waiting] == [
        (plain.client_id, plain.claims(issued["id_token"])["sid"])
    ]


async def test_a_merge_ends_it_and_the_undo_brings_nothing_back(service, caller, anna):
    """OID-19, OID-33: after the undo the old `sub` comes back by signing in, and only so."""
    shop = await a_shop(service)
    issued = await signed_in(service, shop)
    ben = (await caller.post("/v1/accounts", {"email": "ben@example.org"})).json()["user_id"]
    first, second = UserId(row_id(anna)), UserId(row_id(ben))
    await service.database.in_transaction(
        lambda s: accounts.mark_merged(s, first, second, actor="staff:a", now=service.clock())
    )
    assert await is_dead(shop, issued)
    await service.database.in_transaction(
        lambda s: accounts.unmark_merged(s, first, actor="staff:a", now=service.clock())
    )
    assert await is_dead(shop, issued)
    service.clock.advance(seconds=1)
    again = await signed_in(service, shop)
    assert shop.claims(again["id_token"])["sub"] == anna


async def test_a_client_that_loses_something_or_is_closed_loses_its_sign_ins(service, anna):
    """OID-19: scope, redirect URI, the client itself."""
    shop = await a_shop(service)
    issued = await signed_in(service, shop)
    now = service.clock()
    await service.database.in_transaction(
        lambda s: registration.set_sign_in(s, shop.client_id, scopes=frozenset({"openid"}), now=now)
    )
    assert await is_dead(shop, issued)
    service.clock.advance(seconds=1)
    issued = await signed_in(service, shop, a_browser(service, source="198.51.100.10"), scope="openid")
    await service.database.in_transaction(lambda s: clients.close_client(s, shop.client_id, now=service.clock()))
    assert (await shop.refresh(issued["refresh_token"])).status_code == 401
    assert (await shop.userinfo(issued["access_token"])).status_code == 401


async def test_signing_in_again_in_the_same_browser_signs_nobody_out_elsewhere(service, anna):
    """OID-21, OID-23: the session is a new one; applications go on in it, with the same `sid`."""
    shop, other, browser = await a_shop(service), await a_shop(service, "Other"), a_browser(service)
    issued = await signed_in(service, shop, browser)
    service.clock.advance(minutes=5)
    again = await signed_in(service, other, browser, prompt="login")
    assert other.claims(again["id_token"])["auth_time"] - shop.claims(issued["id_token"])["auth_time"] == 300
    refreshed = (await shop.refresh(issued["refresh_token"])).json()
    assert shop.claims(refreshed["id_token"])["auth_time"] == shop.claims(issued["id_token"])["auth_time"]
    answer = await sign_in_at(browser, shop, prompt="none")
    renewed = (await shop.redeem(answer["code"], answer["verifier"])).json()
    assert shop.claims(renewed["id_token"])["sid"] == shop.claims(issued["id_token"])["sid"]


async def test_the_account_page_lists_applications_and_ends_their_access(service, anna):
    """OID-31"""
    shop, browser = await a_shop(service, "Garden Tools"), a_browser(service)
    issued = await allowed(service, shop, browser)
    page = await browser.open("/me")
    assert "Garden Tools" in page.text
    assert "your email address" in browser.text
    await browser.send(f"/me/applications/{shop.client_id}/end")
    assert "Garden Tools" not in browser.text
    assert await is_dead(shop, issued)
    page = await travel(browser, a_request(shop, scope=OFFLINE).path)
    assert "Allow and continue" in browser.text


async def test_an_rsa_key_signs_id_tokens_of_whoever_registered_for_it_and_nothing_else(service, anna):
    """OID-38: 3072 bits; an access token under its `kid` is refused."""
    shop = await a_shop(service, id_token_alg="RS256")
    await service.app.state.gate.reload()
    issued = await signed_in(service, shop)
    headers = [signing.unverified(issued[name])[0]["alg"] for name in ("id_token", "access_token")]
    assert headers == ["RS256", "ES256"]
    key = service.database.keys.id_token_key("RS256", service.clock())
    assert key.raw_value.key_size == 3072
    jwks = (await service.http.get("/oauth/jwks.json")).json()["keys"]
    assert {one["alg"] for one in jwks} == {"ES256", "RS256"}
    assert all({"use", "alg", "kid"} <= one.keys() and "d" not in one for one in jwks)
    claims = signing.unverified(issued["access_token"])[1]
    assert (await shop.userinfo(signing.sign(claims, key, typ="at+jwt"))).status_code == 401
    metadata = (await service.http.get("/.well-known/openid-configuration")).json()
    assert metadata["id_token_signing_alg_values_supported"] == ["ES256", "RS256"]


def test_an_id_token_is_verified_for_its_client_and_by_its_type(service):
    """OID-25, OID-26: what else we sign is no hint."""
    keys, settings, now = service.database.keys, service.database.settings, service.clock()
    claims = {"iss": settings.issuer, "aud": "cli_a", "sub": "x", "sid": "y", "iat": int(now.timestamp())}
    key = keys.signing(now)
    good = signing.sign(claims, key, typ="JWT")
    assert tokens.verify_id_token(good, "cli_a", settings, keys) == claims
    for wrong in (
        signing.sign(claims, key, typ="at+jwt"),
        signing.sign(claims, key, typ="logout+jwt"),
        signing.sign({**claims, "iss": "https://evil.example"}, key, typ="JWT"),
        good[:-2],
    ):
        with pytest.raises(signing.InvalidToken):
            tokens.verify_id_token(wrong, "cli_a", settings, keys)
    with pytest.raises(signing.InvalidToken):
        tokens.verify_id_token(good, "cli_b", settings, keys)


async def test_erasing_leaves_no_row_that_names_the_customer_but_the_last_word(service, caller, anna):
    """OID-19, PRV-10: grants and sessions go; the logout token still goes out, with ids alone."""
    shop = await a_shop(service, backchannel_logout_uri="https://shop.example.org/out")
    issued = await signed_in(service, shop)
    service.clock.advance(seconds=1)
    erased = await caller.post(f"/v1/accounts/{anna}/erase")
    assert erased.status_code in (200, 202), erased.text
    assert await is_dead(shop, issued)
    for table in ("oauth_grant", "client_session", "granted_scope"):
        assert await service.rows(f"SELECT 1 FROM {table}") == [], table
    assert len(await service.rows("SELECT 1 FROM logout_delivery")) == 1


async def test_what_is_over_is_purged(service, anna):
    """OID-18: a week later no row is left."""
    shop, browser = await a_shop(service), a_browser(service)
    await signed_in(service, shop, browser)
    await browser.open("/me")
    await browser.send("/signout")
    past = timedelta(days=8)
    for table, columns in {
        "oauth_grant": "ended_at, granted_at, code_expires_at, expires_at", "client_session": "ended_at, started_at",
        "authorization_request": "requested_at, expires_at",
    }.items():  # fmt: skip
        moved = ", ".join(f"{name} = {name} - make_interval(days => {past.days})" for name in columns.split(", "))
        async with service.database.transaction() as session:
            await session.execute(text(f"UPDATE {table} SET {moved}"))
    await service.forget()
    for table in ("oauth_grant", "client_session", "authorization_request"):
        assert await service.rows(f"SELECT 1 FROM {table}") == [], table
