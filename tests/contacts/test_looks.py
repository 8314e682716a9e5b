"""Opening an account at a desk: for a reason, in a contact, seen by the customer; and searching too much is noticed."""

import pytest
from sqlalchemy import text

from identity_service.account_access import actions as account_access
from identity_service.account_access import rules as access_rules
from tests.console.given import a_clerk, an_account
from tests.contacts.given import a_tool
from tests.life.given import merge, renew

READS = {
    "history": "/v1/accounts/{}/history",
    "summary": "/v1/accounts/{}/summary",
    "events": "/v1/accounts/{}/events",
    "contacts": "/v1/contacts?user_id={}",
}
CANARY = "Knee operation of Mrs Berg"


@pytest.fixture
async def tool(service):
    return await a_tool(service)


@pytest.fixture
async def anna(caller):
    return await an_account(caller)


@pytest.mark.parametrize("read", READS)
async def test_a_desk_reads_what_it_has_opened_for_a_reason_and_nothing_else(tool, anna, caller, read):
    """PHN-01, PHN-13: without the look, without the contact, by another clerk, in another contact: 422, and no line."""
    path, ben = READS[read].format(anna), await an_account(caller, "ben@example.org")
    number = await tool.contact(anna)
    assert (await tool.get(path, contact=number)).json()["code"] == "account_not_opened"
    assert (await tool.open_account(anna, number)).status_code == 201
    assert (await tool.get(path, contact=number)).status_code == 200
    assert (await tool.get(path, contact=number.lower().replace("-", " "))).status_code == 200
    others = await tool.contact(ben)
    await tool.open_account(ben, others)
    for refused in (
        await tool.get(path),
        await tool.get(path, contact=others),
        await tool.of("bob").get(path, contact=number),
        await tool.get(READS[read].format(ben), contact=number),
    ):
        assert (refused.status_code, refused.json()["code"]) == (422, "account_not_opened")


async def test_a_reason_opens_an_account_for_a_working_day(service, tool, anna):
    """PHN-13: after eight hours whoever goes on says why again, also where nobody has closed the contact."""
    number = await tool.contact(anna)
    await tool.open_account(anna, number)
    for hours, status in ((7, 200), (1, 422)):
        service.clock.advance(hours=hours)
        await renew(service, tool.caller)
        assert (await tool.get(READS["history"].format(anna), contact=number)).status_code == status


@pytest.mark.parametrize("read", READS)
async def test_a_desk_names_the_person_who_reads(tool, anna, read):
    """PHN-01"""
    refused = await tool.caller.get(READS[read].format(anna), headers={"X-Contact": await tool.contact(anna)})
    assert (refused.status_code, refused.json()["code"]) == (422, "missing_clerk")


@pytest.mark.parametrize("read", READS)
async def test_a_service_reads_for_the_customer_it_has_signed_in(caller, anna, read):
    assert (await caller.get(READS[read].format(anna))).status_code == 200


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201, None])
async def test_no_reason_no_look(service, tool, anna, reason):
    """PHN-13: 422, and neither look nor event."""
    number = await tool.contact(anna)
    assert (await tool.open_account(anna, number, reason)).status_code == 422
    assert (
        await service.rows(
            "SELECT 1 FROM account_access UNION ALL SELECT 1 FROM event WHERE name = 'account.opened_by_staff'"
        )
        == []
    )


async def test_the_customer_sees_a_tools_look_as_well(service, tool, anna):
    """PHN-14: whichever door the desk came through."""
    await tool.open_account(anna, await tool.contact(anna), "parcel is lost")
    ids = [anna.replace("-", "")]
    (look,) = await service.database.in_transaction(lambda session: account_access.list_access(session, ids))
    assert (look.occurred_at, look.desk, look.reason) == (service.clock(), "consumer", "parcel is lost")


async def test_what_was_said_of_one_customer_is_not_moved_to_another(tool, anna, caller):
    """A contact with Anna's notes cannot become Ben's: neither by opening his account nor by a check."""
    ben, number = await an_account(caller, "ben@example.org"), await tool.contact(anna, note=CANARY)
    for refused in (
        await tool.open_account(ben, number),
        await tool.post(f"/v1/accounts/{ben}/caller-checks", {"contact": number}),
    ):
        assert (refused.status_code, refused.json()["code"]) == (409, "contact_of_other_customer")
    assert (await tool.get(f"/v1/contacts/{number}")).json()["user_id"] == anna


async def test_a_contact_follows_its_customer_through_a_merge(service, tool, anna, caller):
    ben, number = await an_account(caller, "ben@example.org"), await tool.contact(anna)
    await merge(service, caller, ben, anna, "ben@example.org", "anna@example.org")
    opened = await tool.open_account(anna, number)
    assert opened.json()["user_id"] == ben
    assert (await tool.get(READS["history"].format(ben), contact=number)).status_code == 200


async def test_erasing_takes_the_reason_and_leaves_the_seal(service, tool, anna, caller):
    """AUD-01, AUD-05: the clerk's words stand in no event; after erasing nowhere, and all still verifies."""
    await tool.open_account(anna, await tool.contact(anna), CANARY)
    await service.seal()
    assert await service.rows("SELECT data FROM event WHERE data::text LIKE '%Knee%'") == []
    assert await service.rows("SELECT reason FROM account_access") == [(CANARY,)]
    assert (await caller.post(f"/v1/accounts/{anna}/erase")).status_code == 200
    assert await service.rows("SELECT reason FROM account_access") == []
    assert await service.database.in_transaction(account_access.first_altered) is None


@pytest.mark.parametrize(
    "forged",
    ["reason = 'because'", "actor = 'staff:bob'", "contact = 'AAAAAA'", "occurred_at = occurred_at - interval '1 day'"],
)
async def test_a_look_that_was_altered_is_found(service, tool, anna, owner, forged):
    """AUD-03: the row is held against its event."""
    await tool.open_account(anna, await tool.contact(anna))
    assert await service.database.in_transaction(account_access.first_altered) is None
    async with owner.begin() as connection:
        await connection.execute(text(f"UPDATE account_access SET {forged}"))
    (told,) = await service.rows("SELECT id FROM event WHERE name = 'account.opened_by_staff'")
    assert await service.database.in_transaction(account_access.first_altered) == told.id


async def test_searching_much_and_opening_little_is_told_once_an_hour(service, tool):
    """PHN-12: by a tool; who it was, and how many accounts were opened meanwhile."""
    for n in range(33):
        assert (await tool.post("/v1/accounts/search", {"email": f"c{n}@example.org"})).status_code == 200
    told = await service.rows("SELECT actor, data FROM event WHERE name = 'staff.search_alarm'")
    assert [(row.actor.endswith("/ada"), row.data) for row in told] == [(True, {"opened": 0})]


async def test_the_console_raises_the_same_alarm(service):
    ada = await a_clerk(service)
    for _ in range(31):
        await ada.do("/console/find", typed="nobody")
    assert await service.rows("SELECT actor FROM event WHERE name = 'staff.search_alarm'") == [("staff:ada",)]


async def test_searches_that_lead_to_calls_alarm_nobody(service, tool, caller):
    for n in range(access_rules.OPENED_UNSUSPICIOUS):
        user_id = await an_account(caller, f"c{n}@example.org")
        await tool.open_account(user_id, await tool.contact(user_id))
    for _ in range(33):
        await tool.post("/v1/accounts/search", {"email": "c1@example.org"})
    assert await service.rows("SELECT 1 FROM event WHERE name = 'staff.search_alarm'") == []


async def test_a_desk_that_searches_names_the_person(tool):
    """PHN-01, PHN-02"""
    refused = await tool.caller.post("/v1/accounts/search", {"email": "anna@example.org"})
    assert (refused.status_code, refused.json()["code"]) == (422, "missing_clerk")


async def test_one_person_opens_a_hundred_and_twenty_accounts_an_hour(tool, anna):
    """PHN-12"""
    number = await tool.contact(anna)
    codes = [(await tool.open_account(anna, number)).status_code for _ in range(121)]
    assert codes == [201] * 120 + [429]
