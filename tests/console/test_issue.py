"""R23: issuing a User ID at the desk is no way to look an address up, and no way to write to strangers without end."""

import pytest

from tests.console.given import a_clerk, an_account
from tests.life.given import merge

ANNA, TYPO = "anna@example.org", "ann@gmial.com"


async def a_contact(clerk) -> str:
    await clerk.do("/console/contacts", desk="consumer", user_id="", note="")
    assert clerk.page.status_code == 200, clerk.text
    return clerk.page.url.path.rsplit("/", 1)[1]


async def issue(clerk, number: str, email: str = ""):
    return await clerk.do(f"/console/contacts/{number}/issue", email=email)


@pytest.mark.parametrize("holder", ["active", "merged", "closed"])
async def test_for_a_taken_address_the_clerk_is_told_that_a_message_went_there(service, caller, holder):
    """R23, PHN-15: no User ID, no name, no kind; whoever reads the mailbox gets the User ID."""
    anna = await an_account(caller, ANNA, display_name="Anna Berg")
    shown = anna
    if holder == "merged":
        shown = await an_account(caller, "zoe@example.org")
        await merge(service, caller, shown, anna, "zoe@example.org", ANNA)
    if holder == "closed":
        assert (await caller.post(f"/v1/accounts/{anna}/close")).status_code == 200
    await service.deliver()
    before = len(service.mailbox.letters(ANNA))
    ada = await a_clerk(service)
    number = await a_contact(ada)
    assert (await issue(ada, number, ANNA)).status_code == 200
    assert "A message went to the address" in ada.text
    for word in (anna, shown, anna.replace("-", ""), "Berg", ANNA):
        assert word not in ada.page.text
    assert await service.rows("SELECT user_id FROM contact") == [(None,)]
    await service.deliver()
    letters = service.mailbox.letters(ANNA)[: len(service.mailbox.letters(ANNA)) - before]
    assert [shown in letter["text"] for letter in letters] == ([] if holder == "closed" else [True])


async def test_a_new_caller_still_gets_the_id_on_the_phone(service):
    """With an address, and with nothing at all."""
    ada = await a_clerk(service)
    for email in ("new@example.org", ""):
        number = await a_contact(ada)
        assert (await issue(ada, number, email)).status_code == 200
        ((user_id,),) = await service.rows("SELECT user_id FROM contact WHERE number = :n", n=number.replace("-", ""))
        assert user_id is not None


async def test_issuing_for_addresses_counts_as_searching(service, caller):
    """R23, PHN-12: sixty a minute in all, then 429, with the alarm long before; nothing at all costs nothing."""
    ada = await a_clerk(service)
    numbers = [await a_contact(ada) for _ in range(40)]
    statuses = [(await issue(ada, one, f"stranger{n}@example.org")).status_code for n, one in enumerate(numbers)]
    number = await a_contact(ada)
    searched = [(await ada.do("/console/find", typed="x@example.org")).status_code for _ in range(20)]
    assert set(statuses + searched) == {200}
    assert (await issue(ada, number, "one.more@example.org")).status_code == 429
    assert (await ada.do("/console/find", typed="x@example.org")).status_code == 429
    assert (await issue(ada, number)).status_code == 200
    assert await service.rows("SELECT actor FROM event WHERE name = 'staff.search_alarm'") == [("staff:ada",)]
    assert await service.rows("SELECT 1 FROM account WHERE email = 'one.more@example.org'") == []


@pytest.mark.parametrize(
    ("pressed", "to"), [({"meant": "ann@gmail.com"}, "ann@gmail.com"), ({"as_typed": "yes"}, TYPO)]
)
async def test_a_likely_typing_error_is_asked_about_before_an_id_is_issued(service, pressed, to):
    """As customers are asked at /; the question counts as no search, because it tells nothing of any account."""
    ada = await a_clerk(service)
    number = await a_contact(ada)
    asked = await issue(ada, number, TYPO)
    assert (asked.status_code, "Did you mean ann@gmail.com?" in ada.text) == (422, True)
    assert '<button name="meant" value="ann@gmail.com">' in asked.text
    assert await service.rows("SELECT 1 FROM account") == []
    path = f"/console/contacts/{number}/issue"
    assert (await ada.do(path, email=TYPO, language="en", asked=TYPO, **pressed)).status_code == 200
    assert await service.rows("SELECT email FROM account") == [(to,)]


async def test_a_likely_typing_error_is_asked_about_before_a_change_is_requested(service, caller):
    ada = await a_clerk(service)
    anna = await an_account(caller, ANNA)
    sent = {"contact": await ada.open_account(anna), "verb": "email", "reason": "", "value": TYPO}
    asked = await ada.do(f"/console/accounts/{anna}/ask", **sent)
    assert (asked.status_code, f'name="asked" value="{TYPO}"' in asked.text) == (422, True)
    assert (await ada.do(f"/console/accounts/{anna}/ask", **sent, asked=TYPO, as_typed="yes")).status_code == 200
    assert await service.rows("SELECT details->>'email' FROM pending_change") == [(TYPO,)]
