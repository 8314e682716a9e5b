"""What ends passkeys: a reset, an undo, a first proof, erasure; what a merge does with them; what a dump tells."""

import re

import pytest

from identity_service.keys.encoding import base64url_encode
from tests.accounts.given import merge as merge_rows
from tests.browser import Browser
from tests.life.given import call, confirm, merge, row_id
from tests.passkeys.given import (
    ME,
    NEW,
    Authenticator,
    answer,
    begin,
    enrol,
    event_names,
    fits,
    newly_issued,
    passkey_ids,
    use,
    with_a_password,
    without_address,
)
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_reset, code_in, everything, forget_limits, sign_in
from tests.signin.test_by_mail import asked, typed

BEN = "ben@example.org"
ADDED, REMOVED = "A passkey was added to your account", "A passkey was removed from your account"


async def told(service, address: str = ANNA) -> list[str]:
    await service.deliver()
    return [one["subject"] for one in service.mailbox.letters(address) if "passkey" in one["subject"]]


async def begin_reset(service, *, by: str = "link") -> Browser:
    """Send a new password with the letter's link or its code; the browser at what came of it."""
    await forget_limits(service)
    asked = await a_reset(service, ANNA, "198.51.100.201")
    service.clock.advance(seconds=1)
    browser = asked.browser
    if by == "code":
        await browser.open(f"{asked.watch}/code")
        await browser.send(f"{asked.watch}/code", code=code_in(asked.letter), password=OTHER)
    else:
        await browser.open("/reset/choose")
        await browser.send("/reset/choose", link=asked.link, password=OTHER)
    return browser


def choices(browser: Browser) -> dict[str, tuple[str, bool]]:
    """Of each passkey that the page of a reset lists: its field, its id, and whether it is ticked."""
    boxes = re.findall(r'name="(keep\d+)" value="([^"]+)"( checked)?', browser.page.text)
    return {name: (passkey_id, bool(ticked)) for name, passkey_id, ticked in boxes}


def hidden(browser: Browser) -> dict[str, str]:
    """The hidden fields of that page."""
    found = re.findall(r'type="hidden" name="(link|code|chosen)" value="([^"]*)"', browser.page.text)
    return dict(found)


async def reset(service, *, by: str = "link", keep: set[str] | None = None) -> None:
    """Set a new password; of the passkeys keep those that are ticked, or those of these ids."""
    browser = await begin_reset(service, by=by)
    if browser.page.url.path != "/reset/done":
        ticked = {
            name: one for name, (one, is_ticked) in choices(browser).items()
            if (is_ticked if keep is None else one in keep)
        }  # fmt: skip
        await browser.send(browser.page.url.path, **hidden(browser), **ticked)
    assert browser.page.url.path == "/reset/done", browser.text
    service.clock.advance(seconds=1)


@pytest.mark.parametrize("by", ["link", "code"])
async def test_a_reset_removes_what_a_thief_may_have_added(service, caller, by):
    """PKY-14, PKY-08: those of the past seven days; an older one stays; without a tick all; the mailbox is told."""
    _, browser = await with_a_password(service, caller)
    old = await enrol(browser)
    service.clock.advance(days=1)
    assert (await use(browser, old)).status_code == 303
    await forget_limits(service)
    young = await enrol(browser)
    service.clock.advance(days=6, hours=23)
    assert await fits(service, young)
    await reset(service, by=by)
    assert (await fits(service, old), await fits(service, young)) == (True, False)
    assert (await browser.open("/me")).url.path == "/signin"
    assert (await told(service)).count(REMOVED) == 1
    await reset(service, by=by, keep=set())
    assert not await fits(service, old)
    assert await passkey_ids(service) == []
    assert (await told(service)).count(REMOVED) == 2
    await reset(service, by=by)
    assert (await told(service)).count(REMOVED) == 2


@pytest.mark.parametrize("by", ["link", "code"])
async def test_a_reset_lists_the_passkeys_before_anything_is_used(service, caller, by):
    """PKY-14: with name, date and last use, young ones unticked; until the choice nothing has happened, and what was
    added in between is not kept; one of this week that the owner ticks is."""
    _, browser = await with_a_password(service, caller)
    await enrol(browser, name="Old telephone")
    service.clock.advance(days=8)
    (old,) = await passkey_ids(service)
    other = a_browser(service)
    await sign_in(other)
    await service.rows("UPDATE passkey SET verified = false RETURNING 1")
    await forget_limits(service)
    young = await enrol(other, Authenticator(flags=1), name="New telephone")
    page = await begin_reset(service, by=by)
    assert page.page.status_code == 200
    boxes = dict(choices(page).values())
    assert (boxes.pop(str(old)), list(boxes.values())) == (True, [False])
    for words in ("Old telephone", "New telephone", "Added in the past seven days", "Which passkeys are yours?"):
        assert words in page.text
    assert OTHER not in page.page.text
    assert (await sign_in(a_browser(service), ANNA, GOOD)).url.path == "/me"
    thief = a_browser(service, "198.51.100.88")
    await sign_in(thief)
    late = await enrol(thief, Authenticator(flags=1))
    await page.send(page.page.url.path, **hidden(page), keep0=next(iter(boxes)))
    assert page.page.url.path == "/reset/done", page.text
    service.clock.advance(seconds=1)
    assert (await fits(service, young), await fits(service, late)) == (True, False)
    assert len(await passkey_ids(service)) == 1
    assert (await sign_in(a_browser(service), ANNA, OTHER)).url.path == "/me"


@pytest.mark.parametrize("forged", ["A" * 120, "=?", "another reset's"])
async def test_a_choice_is_of_its_reset(service, caller, forged):
    """PKY-14: the sealed hash is good beside its own link alone; a refused one uses nothing up."""
    _, browser = await with_a_password(service, caller)
    await enrol(browser)
    if forged == "another reset's":
        forged = hidden(await begin_reset(service))["chosen"]
        await service.deliver()
    page = await begin_reset(service)
    mine = hidden(page)
    (kept,) = [one for one, _ in choices(page).values()]
    await page.send("/reset/choose", **{**mine, "chosen": forged}, keep0=kept)
    assert (page.page.status_code, "Open the link from the email again" in page.text) == (422, True)
    assert (await sign_in(a_browser(service), ANNA, GOOD)).url.path == "/me"
    await page.send("/reset/choose", **mine, keep0=kept)
    assert page.page.url.path == "/reset/done", page.text
    assert [str(one) for one in await passkey_ids(service)] == [kept]


async def test_only_a_valid_link_or_code_shows_the_list(service, caller):
    """PKY-14, PKY-06: no address opens it, and a wrong code or link reads as for an account without passkeys."""
    _, browser = await with_a_password(service, caller)
    await enrol(browser, name="Secret telephone")
    await forget_limits(service)
    asked = await a_reset(service, ANNA, "198.51.100.201")
    other = asked.browser
    for path in ("/reset/choose", f"{asked.watch}/code", asked.watch):
        assert "Secret telephone" not in (await other.open(path)).text
    await other.open(f"{asked.watch}/code")
    await other.send(f"{asked.watch}/code", code="ABCD-EFGH", password=OTHER)
    assert (other.page.status_code, "Secret telephone" in other.text) == (422, False)
    await other.open("/reset/choose")
    await other.send("/reset/choose", link=asked.link[:-4] + "AAAA", password=OTHER)
    assert (other.page.status_code, "Secret telephone" in other.text) == (410, False)


async def test_the_undo_of_an_address_removes_what_was_added_since(service, caller):
    """PKY-08: a thief changes the address and adds a passkey; the undo from the old mailbox takes both."""
    _, browser = await with_a_password(service, caller)
    before = await enrol(browser)
    await browser.open("/me/email")
    await browser.send("/me/email", email="thief@example.org")
    await confirm(service, "thief@example.org", "Please confirm your new email address")
    service.clock.advance(seconds=1)
    assert (await use(browser, before)).status_code == 303
    since = await enrol(browser)
    await confirm(service, ANNA, "Your email address was changed")
    service.clock.advance(seconds=1)
    assert (await fits(service, before), await fits(service, since)) == (True, False)
    assert (await told(service)).count(REMOVED) == 1


@pytest.mark.parametrize("way", ["code", "reset"])
async def test_the_first_proof_of_an_address_removes_what_was_there(service, caller, way):
    """ATT-26, PKY-08: a desk stores the address that a caller names; whoever reads its mail may be somebody else, who
    would share the account with them: the passkey goes, and the mailbox is told."""
    user_id, browser, device = await without_address(service)
    added = await call(caller, "POST", f"/v1/accounts/{user_id}/email-changes", {"email": ANNA})
    assert added.status_code == 200, added.text
    assert await service.rows("SELECT email, email_state FROM account") == [(ANNA, "unconfirmed")]
    assert await fits(service, device)
    if way == "code":
        mailed, path, code = await asked(service, ANNA)
        assert (await typed(mailed, path, code)).url.path == "/me"
        service.clock.advance(seconds=1)
    else:
        await reset(service)
    assert not await fits(service, device)
    assert (await browser.open("/me")).url.path == "/signin"
    assert await told(service) == [REMOVED]


@pytest.fixture
async def both(service, caller):
    """Anna's and Ben's accounts and passkeys, before Ben's was merged into hers."""
    anna, hers = await with_a_password(service, caller)
    ben, his = await with_a_password(service, caller, BEN)
    return anna, ben, await enrol(hers), await enrol(his)


async def test_after_a_merge_both_lead_to_the_one_that_stays(service, caller, both):
    """PKY-05, PKY-09: and after its undo each to its own, without what was added meanwhile."""
    anna, ben, hers, his = both
    assert hers.handle != his.handle
    assert (len(hers.handle), row_id(anna).encode() in hers.handle) == (64, False)
    await merge(service, caller, anna, ben, ANNA, BEN)
    service.clock.advance(seconds=1)
    browser = a_browser(service)
    for device in (hers, his):
        assert (await use(browser, device)).status_code == 303
        assert anna in (await browser.open("/me")).text
    meanwhile = await enrol(browser)
    await browser.open(ME)
    assert len(re.findall(r"/remove", browser.page.text)) == 3
    service.clock.advance(seconds=1)
    undone = await caller.post(f"/v1/accounts/{ben}/merge/undo")
    assert undone.status_code == 200, undone.text
    service.clock.advance(seconds=1)
    for device, user_id in ((hers, anna), (his, ben)):
        other = a_browser(service)
        assert (await use(other, device)).status_code == 303
        assert user_id in (await other.open("/me")).text
    assert not await fits(service, meanwhile)
    assert REMOVED in await told(service)


async def test_of_two_of_a_merged_customer_one_can_go(service, caller, both):
    """PKY-09: the passkey of the merged account is listed and removed like any other."""
    anna, ben, _, his = both
    await merge(service, caller, anna, ben, ANNA, BEN)
    service.clock.advance(seconds=1)
    browser = a_browser(service)
    await use(browser, his)
    await browser.open(ME)
    form = {"form_token": re.search(r'name="form_token" value="([^"]+)"', browser.page.text)[1]}
    ((mine,),) = await service.rows("SELECT id FROM passkey WHERE user_id = :u", u=row_id(ben))
    done = await browser.http.post(f"{ME}/{mine}/remove", data=form, follow_redirects=False)
    assert done.status_code == 303
    assert not await fits(service, his)


async def test_erasure_leaves_nothing_of_them(service, caller):
    """PKY-05: keys, handle and name go with the account, and the passkey signs nobody in."""
    user_id, browser = await with_a_password(service, caller)
    device = await enrol(browser, name="Telephone")
    await begin(browser, ME, ME)
    erased = await call(caller, "POST", f"/v1/accounts/{user_id}/erase")
    assert erased.status_code < 300, erased.text
    assert await passkey_ids(service) == []
    assert await service.rows("SELECT 1 FROM passkey_challenge WHERE user_id IS NOT NULL") == []
    assert not await fits(service, device)


async def test_a_dump_holds_nothing_that_signs_in(service, owner, caller):
    """PKY-01: no private key, no open ceremony, no cookie, no sealed field: what stands there is public or hashed."""
    _, browser = await with_a_password(service, caller)
    device = await enrol(browser)
    begun = await begin(browser, ME, ME)
    _, new, sealed = await newly_issued(service)
    asked = await begin(new, NEW, account=sealed)
    dump = await everything(service, owner)
    private = device.key.private.private_numbers().private_value.to_bytes(32, "big")
    cookies = [cookie.value for one in (browser, new) for cookie in one.http.cookies.jar]
    for secret in (begun.ceremony, asked.ceremony, sealed, *cookies):
        assert secret not in dump
        assert secret.encode().hex() not in dump
    assert private.hex() not in dump
    assert base64url_encode(private) not in dump


async def sent(browser, sealed: str, device: Authenticator | None = None):
    """Ask for options for a new account's page; if they come, add a passkey. The last answer."""
    token = re.search(r'name="form_token" value="([^"]+)"', browser.page.text)[1]
    asked = await browser.http.post(f"{NEW}/options", data={"form_token": token, "account": sealed})
    if asked.status_code != 200:
        return asked
    begun = await begin(browser, NEW, account=sealed)
    return await answer(browser, NEW, begun, (device or Authenticator()).create(begun.options), account=sealed)


async def test_the_page_of_a_new_account_serves_its_browser_for_half_an_hour(service):
    """PKY-07: not another browser, not after thirty minutes, and once."""
    _, browser, sealed = await newly_issued(service)
    other = a_browser(service)
    await other.open("/")
    assert (await sent(other, sealed)).status_code == 422
    service.clock.advance(minutes=29, seconds=59)
    assert (await sent(browser, sealed)).status_code == 303
    assert (await sent(browser, sealed)).status_code == 422
    _, late, sealed = await newly_issued(service)
    begun = await begin(late, NEW, account=sealed)
    service.clock.advance(minutes=30)
    assert (await sent(late, sealed)).status_code == 422
    done = await answer(late, NEW, begun, Authenticator().create(begun.options), account=sealed)
    assert done.status_code == 422
    assert await event_names(service) == ["passkey.added"]


@pytest.mark.parametrize("what", ["address", "name", "closed", "erased", "merged"])
async def test_it_ends_with_anything_that_happens_to_the_account(service, caller, owner, what):
    """PKY-07: a desk that has changed it meanwhile has somebody before it who gave the User ID."""
    user_id, browser, sealed = await newly_issued(service)
    path = f"/v1/accounts/{user_id}"
    if what == "address":
        done = await caller.post(f"{path}/email-changes", {"email": ANNA}, headers={"Idempotency-Key": "1"})
    elif what == "name":
        current = await caller.get(path)
        done = await caller.patch(path, {"display_name": "B"}, headers={"If-Match": current.headers["etag"]})
    elif what == "merged":
        await merge_rows(owner, user_id, into=(done := await caller.post("/v1/accounts", {})).json()["user_id"])
    else:
        done = await call(caller, "POST", f"{path}/{'erase' if what == 'erased' else 'close'}")
    assert done.status_code < 300, done.text
    assert (await sent(browser, sealed)).status_code in (410, 422)
    assert await passkey_ids(service) == []


@pytest.mark.parametrize("forged", ["", "A", "A" * 15, "A" * 200, "!", "=", "\u00e4", "0", "A" * 9000])
async def test_a_field_that_we_did_not_seal_is_refused(service, forged):
    """PKY-07, PKY-12: of any length and spelling, in words."""
    _, browser, sealed = await newly_issued(service)
    for value in (forged, sealed[:-1], sealed + "A", forged + sealed):
        done = await sent(browser, value) if value != sealed else None
        assert done is None or done.status_code == 422, value[:20]


async def test_two_at_once_add_one(service):
    """PKY-07: the page of a new account is good for one passkey, and one session."""
    _, browser, sealed = await newly_issued(service)
    first, second = await begin(browser, NEW, account=sealed), await begin(browser, NEW, account=sealed)
    codes = [
        (await answer(browser, NEW, one, Authenticator().create(one.options), account=sealed)).status_code
        for one in (first, second)
    ]
    assert sorted(codes) in ([303, 422], [303, 403])
    assert len(await passkey_ids(service)) == 1


async def test_a_password_still_signs_in_beside_passkeys(service, caller):
    """PKY-09: a passkey takes no way in away."""
    _, browser = await with_a_password(service, caller)
    await enrol(browser)
    other = a_browser(service)
    assert (await sign_in(other, ANNA, GOOD)).url.path == "/me"
