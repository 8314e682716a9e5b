"""Merges, agreements, addresses and links rest on a relation between a mailbox and an account, and end with it.

Each test is an attack: somebody had a session, a mailbox or a merged account for a while, or never, and acts by it
afterwards. The customer's mailbox decides, is told, and keeps its way in.
"""

import json
import re
import time

import pytest

from identity_service.accounts import ownership
from identity_service.approvals import actions as approvals
from identity_service.values import email_addresses
from tests.contacts.given import a_tool
from tests.life.given import (
    account,
    an_entry,
    append,
    call,
    convert,
    link_to,
    merge,
    press,
    row_id,
    set_password,
    two_accounts,
)
from tests.life.given import sign_in as sign_in_by_password
from tests.life.imported import imported
from tests.proofs.test_what_ends import (
    CHANGED,
    STOP,
    by_code,
    change_email,
    confirm,
    django,
    lost_mailbox,
    password_fits,
    stopped_because,
    told,
    undo,
)
from tests.resets.given import a_browser, a_password, a_reset, ask, choose, forget_limits
from tests.signin.test_by_mail import CODE, WRONG, typed

GOOD, THEIRS = "violet teapot argues with gravity", "orange kettle argues with gravity"
ANNA, FIRM, THIEF, OTHER = "anna@example.com", "firm@example.com", "thief@example.com", "other@example.com"
MERGE, NEW = "Do you want to merge your two accounts?", "Please confirm your new email address"


async def ask_email(browser, address: str):
    await browser.open("/me/email")
    return await browser.send("/me/email", email=address)


async def registered(caller, *addresses: str) -> list[str]:
    return [(await caller.post("/v1/accounts", {"email": one})).json()["user_id"] for one in addresses]


async def leads_to(service, address: str) -> str | None:
    parsed = email_addresses.parse(address, special_use=True)
    return (await service.database.in_transaction(lambda s: ownership.owner_of_address(s, parsed))).user_id


async def subjects_since(service, address: str, before: list[str]) -> list[str]:
    now = await told(service, address)
    return now[: len(now) - len(before)]


async def without_own_address(service, caller) -> str:
    """An account with an order and no address of its own, into which the one of Anna's mailbox is merged."""
    phone = (await caller.post("/v1/accounts", {"external_ref": "1"})).json()["user_id"]
    await append(caller, phone, an_entry("ORDER-77"))
    mailed = (await caller.post("/v1/accounts", {"email": ANNA, "external_ref": "2"})).json()["user_id"]
    await merge(service, caller, phone, mailed, ANNA)
    return phone


async def the_stolen(service, caller) -> str:
    """Anna's account with the thief's address, who then asked for a merge with his own; return Anna's undo link."""
    await registered(caller, ANNA, OTHER)
    await by_code(service, OTHER)
    await change_email(service, await by_code(service, ANNA), THIEF)
    undo_link = await link_to(service, ANNA, CHANGED)
    await ask_email(await by_code(service, THIEF), OTHER)
    return undo_link


async def test_a_merged_mailbox_speaks_for_an_account_without_an_address(service, caller):
    """R01: a stranger who types the address agrees for nobody but himself."""
    phone = await without_own_address(service, caller)
    await registered(caller, THIEF)
    thief = await by_code(service, THIEF)
    before = await told(service, ANNA), await told(service, THIEF)
    await ask_email(thief, ANNA)
    assert await subjects_since(service, ANNA, before[0]) == [MERGE]
    assert await subjects_since(service, THIEF, before[1]) == []
    await thief.open("/me/history")
    assert "ORDER-77" not in thief.text
    assert await leads_to(service, ANNA) == row_id(phone)


async def test_what_arrives_at_home_tells_nobody_who_has_an_account(service, caller):
    """R09, R17: for a free, an unconfirmed, a confirmed and a closed address nothing comes to the one who asks."""
    ids = await registered(caller, "a-open@example.org", "a-closed@example.org", "a-new@example.org", THIEF)
    for address in ("a-open@example.org", "a-closed@example.org"):
        await by_code(service, address)
    await caller.post(f"/v1/accounts/{ids[1]}/close")
    thief = await by_code(service, THIEF)
    before, pages = await told(service, THIEF), set()
    for name in ("open", "closed", "new", "free"):
        await forget_limits(service)
        page = await ask_email(thief, f"a-{name}@example.org")
        pages.add((page.status_code, re.sub(rf'value="[^"]+"|a-{name}@', "", page.text)))
    assert len(pages) == 1
    assert await subjects_since(service, THIEF, before) == []


async def test_the_asking_mailbox_agrees_after_the_other_one(service, caller):
    anna, other = await registered(caller, ANNA, OTHER)
    await by_code(service, OTHER)
    await ask_email(await by_code(service, ANNA), OTHER)
    await confirm(service, OTHER, MERGE)
    assert await leads_to(service, OTHER) == row_id(other)
    await confirm(service, ANNA, MERGE)
    assert await leads_to(service, OTHER) == row_id(anna)
    assert [(await told(service, one))[0] for one in (ANNA, OTHER)] == ["Your two accounts are now one"] * 2


async def test_a_stolen_agreement_ends_with_the_undo_of_the_address(service, caller):
    """R03: the thief's mailbox agreed while it was the account's; the undo comes before the second agreement."""
    undo_link = await the_stolen(service, caller)
    await confirm(service, OTHER, MERGE)
    asked = await link_to(service, THIEF, MERGE)
    assert (await press(service, undo_link)).page.url.path == "/confirmed/email_undo"
    service.clock.advance(seconds=1)
    assert (await press(service, asked)).page.status_code == 410
    assert await leads_to(service, OTHER) != await leads_to(service, ANNA)


async def test_a_stolen_merge_ends_with_the_undo_of_the_address(service, caller):
    """R03, R11: the merge is told to the mailbox that was changed an hour ago, and its undo link ends it."""
    undo_link = await the_stolen(service, caller)
    before = await told(service, ANNA)
    await confirm(service, OTHER, MERGE)
    await confirm(service, THIEF, MERGE)
    assert "Your two accounts are now one" in await subjects_since(service, ANNA, before)
    assert (await press(service, undo_link)).page.url.path == "/confirmed/email_undo"
    service.clock.advance(seconds=1)
    assert await leads_to(service, OTHER) != await leads_to(service, ANNA)


async def test_an_agreement_ends_with_a_reset(service, caller):
    """R10: somebody at Anna's mailbox agreed for a minute; she sets a new password, and the other side comes later."""
    anna, _ = await registered(caller, ANNA, OTHER)
    await by_code(service, ANNA)
    await ask_email(await by_code(service, OTHER), ANNA)
    await confirm(service, ANNA, MERGE)
    await set_password(service, ANNA, GOOD)
    service.clock.advance(hours=20)
    await press(service, await link_to(service, OTHER, MERGE))
    assert await leads_to(service, ANNA) == row_id(anna)


async def test_an_address_that_the_other_side_set_ends_with_the_merge(service, caller):
    """R02: and the password that was set by it."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    await change_email(service, await by_code(service, FIRM), OTHER)
    await set_password(service, OTHER, THEIRS)
    await undo(service, caller, firm)
    assert (await account(caller, anna))["email"] == ANNA
    assert not await password_fits(service, ANNA, THEIRS)
    assert await leads_to(service, OTHER) is None


async def test_an_address_that_the_owner_set_outlives_the_merge(service, caller):
    """And the undo link that went to the other side's mailbox works no more."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    await change_email(service, await by_code(service, ANNA), OTHER)
    link = await link_to(service, FIRM, CHANGED)
    await undo(service, caller, firm)
    await set_password(service, OTHER, GOOD)
    assert (await press(service, link)).page.status_code == 410
    assert (await account(caller, anna))["email"] == OTHER
    assert await password_fits(service, OTHER, GOOD)


async def test_further_merges_of_the_other_side_end_with_the_merge(service, caller):
    """R02: made, or only agreed to, by the mailbox that came with it."""
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, FIRM)
    await registered(caller, OTHER)
    await by_code(service, OTHER)
    await change_email(service, await by_code(service, FIRM), THIEF)
    await ask_email(await by_code(service, THIEF), OTHER)
    await confirm(service, OTHER, MERGE)
    await confirm(service, THIEF, MERGE)
    assert await leads_to(service, OTHER) == row_id(anna)
    await undo(service, caller, firm)
    assert await leads_to(service, OTHER) != row_id(anna)
    assert await leads_to(service, ANNA) == row_id(anna)


async def test_the_links_of_a_former_mailbox_lock_nobody_out(service, caller):
    """R11: the undo link went to the merged mailbox; after the merge is undone it is a stranger's."""
    phone = (await caller.post("/v1/accounts", {"external_ref": "1"})).json()["user_id"]
    bob = (await caller.post("/v1/accounts", {"email": FIRM, "external_ref": "2"})).json()["user_id"]
    await merge(service, caller, phone, bob, FIRM)
    await call(caller, "POST", f"/v1/accounts/{phone}/email-changes", {"email": ANNA})
    await confirm(service, ANNA, NEW)
    await convert(caller, phone)
    link = await link_to(service, FIRM, CHANGED)
    await undo(service, caller, bob)
    await set_password(service, ANNA, GOOD)
    assert (await press(service, link)).page.status_code == 410
    assert (await account(caller, phone))["email"] == ANNA
    assert await password_fits(service, ANNA, GOOD)


async def test_the_first_proof_at_a_desk_ends_an_open_change_of_address(service):
    """R04: whoever set the password before asked for his own address; the owner is verified by a caller check."""
    await imported(service, {"email": ANNA, "password_hash": django(THEIRS)})
    ((stored,),) = await service.rows("SELECT user_id FROM account")
    await ask_email(await sign_in_by_password(service, ANNA, THEIRS), THIEF)
    link = await link_to(service, THIEF, NEW)
    service.clock.advance(seconds=1)
    tool = await a_tool(service)
    shown = f"{stored[:4]}-{stored[4:8]}-{stored[8:]}"
    number = await tool.contact(shown)
    await tool.open_account(shown, number)
    await tool.verify(service, shown, number, to=ANNA)
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 410
    assert await service.rows("SELECT email FROM account") == [(ANNA,)]


async def test_signing_out_everywhere_ends_an_open_change_of_address(service, caller):
    await a_password(service, caller, ANNA)
    await ask_email(await sign_in_by_password(service, ANNA, "violet teapot argues with gravity"), THIEF)
    link = await link_to(service, THIEF, NEW)
    service.clock.advance(seconds=5)
    owner = await by_code(service, ANNA)
    await owner.open("/me")
    await owner.send("/me/sessions/end")
    service.clock.advance(seconds=5)
    assert (await press(service, link)).page.status_code == 410


async def test_a_mailbox_whose_change_was_undone_is_none_of_the_customer(service, caller):
    """R03: it is told nothing, stops nothing, and its answer counts for nothing."""
    anna, *_ = await registered(caller, ANNA)
    await change_email(service, await by_code(service, ANNA), THIEF)
    undo_link = await link_to(service, ANNA, CHANGED)
    await change_email(service, await by_code(service, THIEF), OTHER)
    assert (await press(service, undo_link)).page.url.path == "/confirmed/email_undo"
    service.clock.advance(seconds=1)
    before = await told(service, THIEF)
    await set_password(service, ANNA, GOOD)
    await registered(caller, THIEF)
    new = dict.fromkeys(("email", "ascii", "key"), "new@example.org")
    await lost_mailbox(service, anna, details=new)
    service.clock.advance(seconds=1)
    assert {"Your password was changed", STOP}.isdisjoint(await subjects_since(service, THIEF, before))
    await by_code(service, THIEF)
    service.clock.advance(hours=73)
    assert await approvals.carry_out_due(service.database, now=service.clock()) == 1


async def test_a_closed_account_that_nobody_proved_does_not_keep_an_old_address(service, caller):
    """A shop registered the old address while the account was stolen, and closed that account."""
    anna, *_ = await registered(caller, ANNA)
    await change_email(service, await by_code(service, ANNA), THIEF)
    undo_link = await link_to(service, ANNA, CHANGED)
    (second,) = await registered(caller, ANNA)
    await caller.post(f"/v1/accounts/{second}/close")
    assert (await press(service, undo_link)).page.url.path == "/confirmed/email_undo"
    assert (await account(caller, anna))["email"] == ANNA


async def test_a_mailbox_that_answers_late_still_stops_the_change(service, caller):
    """R10: the 72 hours have passed, and the new mailbox has not confirmed yet."""
    await registered(caller, ANNA)
    await by_code(service, ANNA)
    ((user_id,),) = await service.rows("SELECT user_id FROM account")
    await lost_mailbox(service, user_id)
    service.clock.advance(hours=73)
    assert await approvals.carry_out_due(service.database, now=service.clock()) == 1
    link = await link_to(service, THIEF, NEW)
    service.clock.advance(seconds=60)
    await by_code(service, ANNA)
    assert (await press(service, link)).page.status_code == 410
    assert await service.rows("SELECT email FROM account") == [(ANNA,)]


async def test_the_other_customer_of_an_approved_merge_answers_too(service, caller):
    phone = await without_own_address(service, caller)
    (thief_id,) = await registered(caller, THIEF)
    await by_code(service, THIEF)
    service.clock.advance(seconds=1)
    await lost_mailbox(service, thief_id, verb="merge", details={"duplicate": phone})
    service.clock.advance(seconds=1)
    await by_code(service, ANNA)
    service.clock.advance(hours=73)
    await approvals.carry_out_due(service.database, now=service.clock())
    assert await stopped_because(service) == ["mailbox_answered"]
    assert await leads_to(service, ANNA) == row_id(phone)


async def test_two_requests_for_one_merge_are_one(service, caller):
    """A retry without a key asks nobody twice; the two answers make one merge."""
    anna, firm = await two_accounts(caller)
    first, second = [await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm}) for _ in range(2)]
    assert first.json()["pending"] == second.json()["pending"]
    assert [(await told(service, one)).count(MERGE) for one in (ANNA, FIRM)] == [1, 1]
    await confirm(service, ANNA, MERGE)
    again = await caller.post(f"/v1/accounts/{anna}/merge", {"duplicate": firm})
    assert again.json()["pending"] == first.json()["pending"]
    await confirm(service, FIRM, MERGE)
    assert await leads_to(service, FIRM) == row_id(anna)


async def test_a_flood_of_one_notice_silences_no_other(service, caller):
    """R15: a thief turns the account into a business and back, then changes the address and the password."""
    await registered(caller, ANNA)
    thief = await by_code(service, ANNA)
    company = dict.fromkeys(("vat_number", "registration_number", "contact_person", "billing_address"), "")
    for _ in range(21):
        await thief.open("/me/business")
        await thief.send("/me/business", company_name="X GmbH", country="DE", **company)
        service.clock.advance(seconds=1)
        await thief.open("/me/business")
        await thief.send("/me/consumer")
        service.clock.advance(seconds=1)
    await service.deliver()
    await change_email(service, thief, THIEF)
    await set_password(service, THIEF, THEIRS)
    assert {CHANGED, "Your password was changed"} <= set(await told(service, ANNA))


async def test_registrations_use_up_nothing_of_resets_and_codes(service, caller):
    """R08, R15: a hundred registrations in one spelling; the owner's reset and code arrive at once."""
    await a_password(service, caller, ANNA)
    await forget_limits(service)
    service.clock.advance(hours=2)
    stranger = a_browser(service, "192.0.2.66")
    for _ in range(25):
        await forget_limits(service)
        await stranger.open("/")
        assert (await stranger.send("/", email=ANNA)).status_code == 200
    own = a_browser(service, "192.0.2.1")
    await ask(own, ANNA)
    await own.open("/signin")
    await own.send("/signin/code", email=ANNA)
    await service.deliver()
    sent = "SELECT kind, state FROM message WHERE kind IN ('reset', 'signin_code') ORDER BY created_at DESC LIMIT 2"
    assert {tuple(row) for row in await service.rows(sent)} == {("reset", "accepted"), ("signin_code", "accepted")}
    limited = await service.rows("SELECT count(*) FROM message WHERE kind = 'address_taken' AND state = 'limited'")
    assert limited[0][0] >= 15


async def test_strangers_codes_do_not_use_up_those_of_a_known_browser(service, caller):
    """R08: 225 wrong codes from nine networks; the owner's browser has a count of its own."""
    await a_password(service, caller, ANNA)
    own = await by_code(service, ANNA)
    service.clock.advance(hours=2)
    for network in range(9):
        stranger = a_browser(service, f"192.0.2.{60 + network}")
        for _ in range(5):
            service.clock.advance(seconds=1)
            await stranger.open("/signin")
            page = await stranger.send("/signin/code", email=ANNA)
            for _ in range(5):
                await typed(stranger, page.url.path, WRONG)
    await own.open("/signin")
    page = await own.send("/signin/code", email=ANNA)
    await service.deliver()
    code = CODE.search(service.letter(ANNA, "Your sign-in code")["text"])[1]
    assert (await typed(own, page.url.path, code)).url.path == "/me"


MARKS = "a" + "\u0301" * 3000 + "\u0323" * 3000
"""To sort these marks takes 80 ms, and 60,000 of them eight seconds."""


@pytest.mark.parametrize("path", ["/history", "/external-refs", "/business", ""])
async def test_no_line_of_a_request_takes_long_to_compose(service, caller, path):
    """R05: the marks of one letter, as many as a body holds."""
    uid = (await caller.post("/v1/accounts", {"email": ANNA})).json()["user_id"]
    marks = MARKS * 4
    method, body = {
        "/history": ("POST", {"entries": [an_entry(marks[:150] + MARKS) for _ in range(20)]}),
        "/external-refs": ("PUT", {"external_ref": marks}),
        "/business": ("PUT", {"company_name": marks, "country": "DE"}),
        "": ("PATCH", {"display_name": marks}),
    }[path]
    content = json.dumps(body, ensure_ascii=False).encode()
    begun = time.process_time()
    headers = {**caller.headers, "Content-Type": "application/json"}
    answer = await caller.http.request(method, f"/v1/accounts/{uid}{path}", content=content, headers=headers)
    assert answer.status_code in (200, 413, 422), answer.text
    assert time.process_time() - begun < 0.5


async def test_a_service_vouches_for_nobody_with_a_fresh_reference(service, caller):
    """R01: it puts a reference of its own on a stranger's account, and asks at once; a week later it has known it."""
    shop = await service.caller("accounts:write", "accounts:merge", name="other shop", source="other")
    victim = (await caller.post("/v1/accounts", {"external_ref": "1"})).json()["user_id"]
    own = (await shop.post("/v1/accounts", {"email": THIEF, "external_ref": "m"})).json()["user_id"]
    service.clock.advance(seconds=1)
    assert (await shop.put(f"/v1/accounts/{victim}/external-refs", {"external_ref": "x"})).status_code == 200
    refused = await shop.post(f"/v1/accounts/{victim}/merge", {"duplicate": own})
    assert (refused.status_code, refused.json()["code"]) == (403, "mailbox_missing")


async def test_nobody_keeps_a_customer_from_an_address_by_asking_for_it(service, caller):
    await registered(caller, THIEF, ANNA)
    thief = await by_code(service, THIEF)
    for _ in range(4):
        await ask_email(thief, "wanted@example.com")
    assert (await ask_email(await by_code(service, ANNA), "wanted@example.com")).status_code == 200
    await confirm(service, "wanted@example.com", NEW)


@pytest.mark.parametrize("chain", [1, 2])
async def test_the_own_other_address_is_found_through_a_chain(service, caller, chain):
    """Case 15: at /me, and through one or two merges; nobody is told that somebody else has it."""
    addresses = (ANNA, FIRM, OTHER)
    ids = await registered(caller, *addresses)
    for survivor in range(chain)[::-1]:
        await merge(service, caller, ids[survivor], ids[survivor + 1], addresses[survivor], addresses[survivor + 1])
    wanted = addresses[chain]
    await ask_email(await by_code(service, ANNA), wanted)
    await confirm(service, wanted, NEW)
    assert (await account(caller, ids[0]))["email"] == wanted
    assert await leads_to(service, ANNA) == await leads_to(service, wanted) == row_id(ids[0])


@pytest.mark.parametrize("kind", ["reset", "business_undo", "consent", "email_change"])
async def test_what_worked_is_told_as_done_when_it_is_sent_again(service, caller, kind):
    """Case 33: two equal POSTs, as a browser that is impatient sends them."""
    (anna,) = await registered(caller, ANNA)
    if kind == "reset":
        reset = await a_reset(service, ANNA)
        pages = [(await choose(reset.browser, reset.link)).status_code, (await choose(reset.browser, reset.link)).text]
        assert pages[0] == 200
        assert re.search("The password you saved first", pages[1])
        return
    if kind == "business_undo":
        await convert(caller, anna)
        link = await link_to(service, ANNA, "You have a business account now")
    elif kind == "consent":
        yes = {"granted": True, "wording": "email-2026-11", "channel": "app"}
        await call(caller, "PUT", f"/v1/accounts/{anna}/consents/email", yes)
        link = await link_to(service, ANNA, "Can we contact you?")
    else:
        await call(caller, "POST", f"/v1/accounts/{anna}/email-changes", {"email": OTHER})
        link = await link_to(service, OTHER, NEW)
    service.clock.advance(seconds=1)
    assert (await press(service, link)).page.status_code == 200
    again = await press(service, link)
    assert (again.page.status_code, "This has already been done" in again.text) == (410, True)


@pytest.mark.parametrize("later", ["company", "address", "desk"])
async def test_an_undo_link_leaves_what_was_done_later(service, caller, later):
    """Case 35: it takes back its own change, and is dead if that is there no more."""
    (anna,) = await registered(caller, ANNA)
    if later == "address":
        await change_email(service, await by_code(service, ANNA), THIEF)
        first = await link_to(service, ANNA, CHANGED)
        assert (await press(service, first)).page.url.path == "/confirmed/email_undo"
        service.clock.advance(seconds=1)
        await change_email(service, await by_code(service, ANNA), OTHER)
        assert (await press(service, first)).page.status_code == 410
        assert (await account(caller, anna))["email"] == OTHER
        return
    if later == "desk":
        await lost_mailbox(service, anna)
        first = await link_to(service, ANNA, STOP)
        assert (await press(service, first)).page.url.path == "/confirmed/stop"
        service.clock.advance(seconds=1)
        await lost_mailbox(service, anna)
        assert (await press(service, first)).page.status_code == 410
        assert len(await stopped_because(service)) == 1
        return
    await convert(caller, anna)
    first = await link_to(service, ANNA, "You have a business account now")
    service.clock.advance(seconds=1)
    for path, body in (("DELETE", None), ("PUT", {"company_name": "New Firm", "country": "FR"})):
        await call(caller, path, f"/v1/accounts/{anna}/business", body)
        service.clock.advance(seconds=1)
    assert (await press(service, first)).page.status_code == 410
    assert (await account(caller, anna))["business"]["company_name"] == "New Firm"
