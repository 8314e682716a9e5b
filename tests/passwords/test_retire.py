"""A password that became known: the right one leads to setting a new one, and to nothing else."""

from tests.accounts.given import an_account
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_password, a_reset, choose, sign_in


async def test_a_retired_password_leads_to_a_new_one_and_never_to_a_session(service, caller, command):
    """PWD-17: by the real command line, beside the running service; older sessions end, a reset heals."""
    user_id = await a_password(service, caller)
    browser = a_browser(service)
    assert (await sign_in(browser)).url.path == "/me"
    done = await command("password", "mark-compromised", user_id, "--json")
    assert (done.status, done.json["user_id"]) == (0, user_id)
    service.clock.advance(hours=1)
    assert (await browser.open("/me")).url.path == "/signin"
    caller = await service.caller(name="later")

    before = await service.rows("SELECT count(*) FROM sign_in_session")
    refused = await sign_in(browser)
    assert refused.status_code == 403
    assert "you can't use it any more" in browser.text
    assert '<a class="button" href="/reset">' in refused.text
    assert await service.rows("SELECT count(*) FROM sign_in_session") == before
    checked = await caller.post("/v1/password-checks", {"email": ANNA, "password": GOOD})
    assert checked.json()["result"] == "change_required"
    assert checked.json()["user_id"] is None

    wrong = await sign_in(browser, password=OTHER)
    assert (wrong.status_code, "can't use it" in browser.text) == (422, False)
    reset = await a_reset(service)
    await choose(reset.browser, reset.link, OTHER)
    service.clock.advance(seconds=1)
    assert (await sign_in(browser, password=OTHER)).url.path == "/me"
    assert await service.rows("SELECT actor FROM event WHERE name = 'password.compromised'") == [("operator",)]


async def test_retiring_is_refused_where_there_is_nothing_to_retire(service, caller, command):
    """PWD-17: exit status 1 and a sentence."""
    user_id = await an_account(caller, email=ANNA)
    none = await command("password", "mark-compromised", user_id)
    assert (none.status, none.err) == (1, "This account has no password. To set one, ask for a password reset.\n")
    malformed = await command("password", "mark-compromised", "nonsense")
    assert malformed.status == 1
    assert malformed.out == ""


async def test_it_is_said_for_people_too(service, caller, command):
    user_id = await a_password(service, caller)
    done = await command("password", "mark-compromised", user_id)
    assert (done.status, done.err) == (0, "")
    assert user_id in done.out
