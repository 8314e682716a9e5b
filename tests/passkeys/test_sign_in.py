"""Sign in with a passkey: what it counts for, whose it is, and that every refusal is the same."""

import re

import pytest

from identity_service.accounts import actions as accounts
from tests.accounts.given import close, erase, merge, sql
from tests.openid.given import a_request, a_shop, answer_of, follow, travel
from tests.passkeys.given import (
    BE,
    BS,
    SIGN_IN,
    UP,
    UV,
    Authenticator,
    Key,
    answer,
    begin,
    enrol,
    event_names,
    fits,
    method,
    newly_issued,
    use,
    with_a_password,
    without_address,
)
from tests.resets.given import a_browser, alike, forget_limits, told

TWO, ONE = "urn:identity-service:acr:two-factor", "urn:identity-service:acr:password"


async def at_the_shop(service, device: Authenticator, flags: int, **changed: str) -> dict:
    """Come from a shop, sign in with a passkey on the page that it leads to, and read the ID token."""
    shop, browser = await a_shop(service), a_browser(service)
    request = a_request(shop, **changed)
    page = await travel(browser, request.path)
    assert page.url.path == "/signin"
    where = re.search(r'action="(/passkeys/sign-in[^"]*)" data-passkey="get" data-options="([^"]+)"', page.text)
    begun = await begin(browser, where[2].removesuffix("/options"))
    done = await follow(browser, await answer(browser, where[1], begun, device.get(begun.options, flags=flags)))
    tokens = await shop.redeem(answer_of(done)["code"], request.verifier)
    return shop.claims(tokens.json()["id_token"])


@pytest.mark.parametrize(
    ("flags", "kind", "level", "means"),
    [
        (UP | UV | BE | BS, "verified_passkey", TWO, ["pop", "user", "mfa"]),
        (UP | BE | BS, "passkey", ONE, ["pop"]),
    ],
)
async def test_it_counts_as_two_factors_if_this_response_says_so(service, flags, kind, level, means):
    """PKY-03: `acr` and `amr` are of this very sign-in; a passkey that was verified when it was added helps not."""
    _, _, device = await without_address(service)
    claims = await at_the_shop(service, device, flags, acr_values=TWO)
    assert (claims["acr"], claims["amr"], await method(service)) == (level, means, kind)
    assert await service.rows("SELECT verified FROM passkey") == [(True,)]


async def test_what_was_not_verified_then_may_be_now(service):
    """PKY-03: and the other way round: a PIN that came later counts when it is asked for."""
    _, _, device = await without_address(service, flags=UP)
    assert await method(service) == "passkey"
    assert await fits(service, device, flags=UP | UV)
    assert await method(service) == "verified_passkey"
    assert await service.rows("SELECT verified FROM passkey") == [(False,)]


async def test_the_account_is_that_of_the_stored_credential(service):
    """PKY-04: another account's handle, none, and a handle without its credential are refused."""
    (anna, _, hers), (_, _, his) = [await without_address(service, f"198.51.100.{n}") for n in (1, 2)]
    for changed in ({"handle": his.handle}, {"handle": b""}, {"handle": hers.handle[:-1]},
                    {"response": {"userHandle": None}}, {"response": {"userHandle": 7}},
                    {"credential_id": his.credential_id}, {"handle": anna.encode()}):  # fmt: skip
        assert not await fits(service, hers, **changed)
    assert not await fits(service, hers, credential_id=his.credential_id, handle=his.handle)
    assert await fits(service, hers)
    assert (await service.rows("SELECT user_id FROM sign_in_session ORDER BY created_at DESC LIMIT 1"))[0][
        0
    ] == anna.replace("-", "")


async def test_a_credential_is_registered_once(service, caller):
    """PKY-04: by whom it was first; another account, and the same again, are refused."""
    _, _, device = await without_address(service)
    _, anna = await with_a_password(service, caller)
    for who in (device, await enrol(anna)):
        begun = await begin(anna, "/me/passkeys", "/me/passkeys")
        handle = who.handle
        copied = Authenticator(key=Key())
        copied.credential_id = who.credential_id
        refused = await answer(anna, "/me/passkeys", begun, copied.create(begun.options))
        assert (refused.status_code, "This passkey is there already." in refused.text) == (409, True)
        who.handle = handle
        assert await fits(service, who)
    assert await service.rows("SELECT count(*), count(DISTINCT credential_id) FROM passkey") == [(2, 2)]


async def test_a_counter_that_does_not_rise_is_recorded_and_refuses_nobody(service):
    """PKY-10: a copy signs in, with an event each time; authenticators that do not count leave none."""
    _, _, device = await without_address(service, counter=5)
    assert await fits(service, device)
    assert await event_names(service) == ["passkey.added"]
    for counter in (7, 3, 0):
        assert await fits(service, device, counter=counter)
    assert await event_names(service) == ["passkey.added", *["passkey.counter_went_back"] * 3]
    assert await service.rows("SELECT sign_count FROM passkey") == [(0,)]
    assert await fits(service, device, counter=2**32 - 1)
    _, _, silent = await without_address(service, "198.51.100.2")
    assert await fits(service, silent)
    assert (await event_names(service)).count("passkey.counter_went_back") == 3


async def test_what_may_be_copied_stays_so(service):
    """PKY-10: a passkey that begins or ends to be one for several devices is another one; a copy made is noted."""
    _, _, bound = await without_address(service, flags=UP | UV)
    _, _, synced = await without_address(service, "198.51.100.2", flags=UP | UV | BE)
    for device, flags in ((bound, UP | UV | BE), (bound, UP | UV | BS), (synced, UP | UV), (synced, UP | UV | BS)):
        assert not await fits(service, device, flags=flags)
    assert await fits(service, bound)
    assert await fits(service, synced, flags=UP | UV | BE | BS)
    assert await service.rows("SELECT backed_up FROM passkey ORDER BY created_at, backed_up") == [(False,), (True,)]


def shown(done) -> tuple:
    """What whoever sent it sees: status, headers and page, without what is random in any page."""
    hidden = ("x-request-id", "set-cookie", "content-length")
    headers = {name: re.sub(r"[A-Za-z0-9+/_-]{20,}={0,2}", "RANDOM", value) for name, value in done.headers.items()}
    page = re.sub(r'nonce="[^"]+"|[0-9a-f]{32}', "RANDOM", alike(done.text))
    return done.status_code, {name: value for name, value in headers.items() if name not in hidden}, page


@pytest.fixture
async def refusals(service, owner):
    """A device and change for each reason to refuse a sign-in."""
    people = {}
    for number, state in enumerate(("wrong", "closed", "erased", "merged", "removed", "good")):
        people[state] = await without_address(service, f"198.51.100.{number + 1}")
    await close(owner, people["closed"][0])
    await erase(owner, people["erased"][0])
    await close(owner, people["removed"][0])
    await merge(owner, people["merged"][0], into=people["removed"][0])
    await forget_limits(service)
    unknown = Authenticator()
    unknown.handle = people["good"][2].handle
    return {
        "unknown": (unknown, {}), "wrong": (people["wrong"][2], {"signer": Key()}),
        **{state: (people[state][2], {}) for state in ("closed", "erased", "merged")},
        "no account": (people["wrong"][2], {"credential_id": b"", "handle": b""}),
    }  # fmt: skip


async def test_every_refusal_is_the_same(service, refusals):
    """PKY-06, PKY-13: unknown passkey, wrong signature, and a good one of a closed or erased account, or of one that
    was merged into a closed one: status, headers and page are alike, and nobody is signed in."""
    sessions = await service.rows("SELECT count(*) FROM sign_in_session")
    seen = {name: shown(await use(a_browser(service), device, **more)) for name, (device, more) in refusals.items()}
    assert seen["unknown"][0] == 422
    for name, one in seen.items():
        assert one == seen["unknown"], name
    assert await service.rows("SELECT count(*) FROM sign_in_session") == sessions


async def test_who_asks_signed_out_learns_nothing(service, refusals):
    """PKY-06: the options name no passkey, and are the same whoever asks and whatever there is."""
    seen = []
    for known in (False, True):
        browser = a_browser(service)
        if known:
            assert await fits(service, refusals["wrong"][0])
        begun = await begin(browser, SIGN_IN, "/signin")
        seen.append({**begun.options, "challenge": ""})
    assert seen[0] == seen[1]
    assert seen[0] == {
        "challenge": "", "timeout": 300000, "rpId": "id.example.com", "allowCredentials": [],
        "userVerification": "preferred",
    }  # fmt: skip
    _, browser, sealed = await newly_issued(service)
    assert (await begin(browser, "/passkeys/new", account=sealed)).options["excludeCredentials"] == []


async def test_a_wrong_signature_costs_what_an_unknown_passkey_does(service, refusals):
    """PKY-06: the same statements run for both."""
    ran = {}
    for name in ("unknown", "wrong"):
        device, more = refusals[name]
        browser = a_browser(service)
        begun = await begin(browser, SIGN_IN, "/signin")
        with told(service) as statements:
            await answer(browser, SIGN_IN, begun, device.get(begun.options, **more))
        ran[name] = statements
    assert ran["unknown"] == ran["wrong"]


async def test_the_state_is_looked_at_after_the_signature(service, owner, monkeypatch):
    """PKY-13: whoever cannot sign learns no state by any means: the account is not even read."""
    user_id, _, device = await without_address(service)
    await close(owner, user_id)
    read: list[str] = []
    find = accounts.find_active_account

    async def note(session, name, **more):
        read.append(name)
        return await find(session, name, **more)

    monkeypatch.setattr(accounts, "find_active_account", note)
    assert not await fits(service, device, signer=Key())
    assert read == []
    assert not await fits(service, device)
    assert read == [user_id.replace("-", "")]
    await sql(owner, "UPDATE account SET state = 'active' WHERE user_id = :u", u=read[0])
    assert await fits(service, device)


async def test_password_managers_find_the_page(service):
    """Passkey Endpoints (W3C): where a passkey is added and managed."""
    found = await service.http.get("/.well-known/passkey-endpoints")
    assert found.json() == dict.fromkeys(("enroll", "manage"), "https://id.example.com/me/passkeys")
