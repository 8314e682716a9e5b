"""A stranger with one network keeps no owner out of any way in, whatever spelling of the address he uses (R08, R15)."""

import re

import pytest

from tests.console import given as console
from tests.contacts.given import a_tool
from tests.life.given import renew, two_accounts
from tests.proofs.test_what_ends import by_code
from tests.resets.given import OTHER as NEXT
from tests.resets.given import a_browser, a_password, a_reset, ask, forget_limits, type_code
from tests.signin.test_by_mail import CODE, WRONG, asked, typed

ANNA = "anna@example.com"
STRANGER, OWNER = "192.0.2.66", "192.0.2.1"


async def newest(service, kind: str) -> str:
    """The state of the newest message of a kind to Anna."""
    query = f"SELECT state FROM message WHERE recipient = '{ANNA}' AND kind = '{kind}' ORDER BY created_at DESC LIMIT 1"
    ((state,),) = await service.rows(query)
    return state


async def test_other_spellings_use_up_neither_resets_nor_codes(service, caller):
    """`anna+0@`, `anna+1@` … from one network, hour after hour."""
    await a_password(service, caller, ANNA)
    await forget_limits(service)
    service.clock.advance(hours=26)
    stranger = a_browser(service, STRANGER)
    for hour in range(5):
        for path, form in (("/reset", "/reset"), ("/signin/code", "/signin")):
            for n in range(15):
                await stranger.open(form)
                await stranger.send(path, email=f"anna+{hour}{path[1]}{n}@example.com")
        await service.deliver()
        service.clock.advance(minutes=61)
    sent = await service.rows("SELECT count(*) FROM message WHERE recipient LIKE 'anna+%' AND state = 'accepted'")
    assert sent[0][0] <= 20
    await forget_limits(service)
    fresh = a_browser(service, OWNER)
    await ask(fresh, ANNA)
    await fresh.open("/signin")
    await fresh.send("/signin/code", email=ANNA)
    await service.deliver()
    assert [await newest(service, kind) for kind in ("reset", "signin_code")] == ["accepted", "accepted"]


async def let_a_minute_pass(service) -> None:
    await service.execute("DELETE FROM rate_limit_counter WHERE key LIKE '%signin-network%' AND key LIKE '%60/1/%'")


async def test_wrong_codes_at_a_link_without_attempts_count_for_nobody(service, caller):
    """One request, then a day's worth of wrong codes on its page: the owner's right code still works."""
    await a_password(service, caller, ANNA)
    await forget_limits(service)
    service.clock.advance(hours=2)
    stranger, path, _ = await asked(service, ANNA, STRANGER)
    tried = []
    for _ in range(230):
        tried.append((await typed(stranger, path, WRONG)).status_code)
        await forget_limits(service) if tried[-1] == 429 and len(tried) < 200 else None
    assert tried[:6] == [422] * 5 + [410]
    service.clock.advance(seconds=120)
    owner, path, code = await asked(service, ANNA, OWNER)
    assert (await typed(owner, path, code)).url.path == "/me"


async def test_wrong_reset_codes_at_such_a_link_count_for_nobody(service, caller):
    await a_password(service, caller, ANNA)
    await forget_limits(service)
    service.clock.advance(hours=2)
    stranger = a_browser(service, STRANGER)
    watch = await ask(stranger, ANNA)
    await stranger.open(f"{watch}/code")
    for _ in range(210):
        await stranger.send(f"{watch}/code", code="00000-00000", password=NEXT)
    service.clock.advance(seconds=60)
    mine = await a_reset(service, ANNA, source=OWNER)
    assert (await type_code(mine.browser, mine.watch, mine.code, NEXT)).url.path == "/reset/done"


async def test_wrong_codes_at_a_registration_count_for_nobody(service):
    """The welcome page shows the path of its own code to whoever registered."""
    stranger = a_browser(service, STRANGER)
    await stranger.open("/")
    await stranger.send("/", email=ANNA)
    path = re.search(r"/confirm/([A-Za-z0-9_-]{22})", stranger.page.text)[0]
    await stranger.open(path)
    for _ in range(210):
        await stranger.send(path, link="", code=WRONG)
    await service.deliver()
    service.clock.advance(seconds=1)
    others = {message["name"] for message in service.mailbox.letters(ANNA)}
    own = a_browser(service, OWNER)
    await own.open("/")
    await own.send("/", email=ANNA)
    path = re.search(r"/confirm/([A-Za-z0-9_-]{22})", own.page.text)[0]
    await service.deliver()
    (mine,) = [message for message in service.mailbox.letters(ANNA) if message["name"] not in others]
    code = CODE.search(mine["text"])[1]
    await own.open(path)
    assert (await own.send(path, link="", code=code)).url.path == "/confirmed/address"


async def test_registrations_of_others_use_up_no_caller_check(service, caller):
    user_id = await a_password(service, caller, ANNA)
    for n in range(20):
        assert (await caller.post("/v1/accounts", {"email": f"anna+{n}@example.com"})).status_code == 201
    tool = await a_tool(service)
    number = await tool.contact(user_id)
    await tool.open_account(user_id, number)
    await tool.check(user_id, number)
    await service.deliver()
    assert await newest(service, "caller_check") == "accepted"


async def flood_of_registrations(service) -> None:
    """What one network can do in a day."""
    stranger = a_browser(service, STRANGER)
    refused = 0
    for _ in range(4):
        for n in range(10):
            await stranger.open("/")
            refused += (await stranger.send("/", email=ANNA if n % 2 else f"anna+{n}@example.com")).status_code == 429
        service.clock.advance(minutes=61)
    assert refused > 30


async def test_registrations_of_others_shut_out_no_registration(service):
    await flood_of_registrations(service)
    await forget_limits(service)
    own = a_browser(service, OWNER)
    await own.open("/")
    await own.send("/", email=ANNA)
    await service.deliver()
    assert await newest(service, "address_check") == "accepted"


async def test_registrations_of_others_shut_out_no_merge(service, caller):
    anna, firm = await two_accounts(caller)
    await flood_of_registrations(service)
    await renew(service, caller)
    await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    await service.deliver()
    assert await newest(service, "merge_confirmation") == "accepted"


async def test_one_48_keeps_no_colleague_out(service):
    """A provider hands out 65,536 networks of IPv6 at once; the wider ones are counted, too."""
    clerk = await console.enrol(service, "ada")
    for n in range(51):
        one = a_browser(service, f"2001:db8:1:{n:x}::1")
        await one.open("/console/signin")
        for _ in range(10):
            await one.send("/console/signin", name="ada", password="wrong", code="000000")
    service.clock.advance(minutes=5)
    await console.sign_in(service, clerk)
    assert clerk.page.url.path == "/console"


async def test_a_narrower_token_replays_nothing_of_a_wider_one(service):
    """The answer of a repeated request depends on what the token may see."""
    wide = await service.caller("accounts:read", "accounts:write", "accounts:read_personal")
    key = {"Idempotency-Key": "k1"}
    await wide.post("/v1/accounts", {"email": ANNA}, headers=key)
    form = {"grant_type": "client_credentials", "scope": "accounts:write"}
    narrow = await service.http.post("/oauth/token", data=form, auth=(wide.client_id, wide.client_secret))
    wide.token = narrow.json()["access_token"]
    again = await wide.post("/v1/accounts", {"email": ANNA}, headers=key)
    assert (again.status_code, again.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("signs", [30_000, 60_000])
async def test_a_long_scope_is_refused_at_once(service, signs):
    form = "grant_type=client_credentials&scope=" + "+a" * signs
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await service.http.post("/oauth/token", content=form, headers=headers)
    assert answer.status_code in (400, 401, 413)


async def test_a_browser_known_to_the_account_keeps_its_own_requests(service, caller):
    """Twenty requests of others at the beginning of an hour; the owner's own browser still gets its message."""
    await a_password(service, caller, ANNA)
    own = await by_code(service, ANNA)
    await forget_limits(service)
    service.clock.advance(hours=26)
    stranger = a_browser(service, STRANGER)
    for n in range(20):
        await stranger.open("/reset")
        await stranger.send("/reset", email=f"anna+{n}@example.com")
    await ask(own, ANNA)
    await service.deliver()
    assert await newest(service, "reset") == "accepted"
