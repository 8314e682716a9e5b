"""What each role may do, what the auditor finds, and how customers are found."""

import json

import pytest

from tests.conftest import BASE
from tests.console.given import Clerk, a_clerk, an_account

ANNA = "anna@example.org"
PAGES = {
    "/console": ("clerk", "lead", "auditor"),
    "/console/operations": ("clerk", "lead", "auditor"),
    "/console/approvals": ("clerk", "lead"),
    "/console/audit": ("auditor",),
    "/console/passkeys": ("clerk", "lead", "auditor"),
    "/console/staff": ("lead",),
    "/console/audit/export": ("auditor",),
}


@pytest.mark.parametrize("role", ["clerk", "lead", "auditor"])
async def test_each_role_sees_its_pages_and_no_other(service, role):
    """PHN-11: 403 for the rest, and no link that would lead there."""
    who = await a_clerk(service, "ada", role)
    for path, roles in PAGES.items():
        await who.open("/console")
        assert (f'href="{path}"' in who.page.text) <= (role in roles)
        await who.open(path)
        assert who.page.status_code == (200 if role in roles else 403), path


@pytest.mark.parametrize("path", PAGES)
async def test_nobody_sees_anything_without_signing_in(service, path):
    stranger = Clerk(service.app, BASE)
    assert (await stranger.open(path)).url.path == "/console/signin"


async def test_an_auditor_opens_no_account_and_a_clerk_lifts_no_limit(service, caller):
    """PHN-11: least privilege, by the role and not by the page."""
    anna = await an_account(caller)
    judge, ada = await a_clerk(service, "jo", "auditor"), await a_clerk(service)
    opened = {"user_id": anna, "contact": "", "reason": "curious", "desk": "consumer"}
    assert (await judge.do("/console/accounts/open", **opened)).status_code == 403
    assert (await judge.do("/console/find", typed=ANNA)).status_code == 403
    assert (await judge.do("/console/contacts", desk="consumer", user_id="", note="")).status_code == 403
    assert (await ada.do("/console/operations/lift-limit", key="x")).status_code == 403
    assert await service.rows("SELECT 1 FROM contact") == []


async def test_a_lead_lifts_a_limit_and_it_is_told(service):
    """AUD-01"""
    lead = await a_clerk(service, "bob", "lead")
    key = (await service.rows("SELECT key FROM rate_limit_counter WHERE key LIKE '%/staff-name/%' LIMIT 1"))[0].key
    window, key = key, key.rsplit("/", 3)[0]
    assert (await lead.do("/console/operations/lift-limit", key=key)).status_code == 200
    assert await service.rows("SELECT 1 FROM rate_limit_counter WHERE key = :key", key=window) == []
    # R31: what was lifted, and nothing for a window that is not there.
    for gone in (key, "x", "LIMITER/staff-name/nobody/10/10/minute", "/"):
        assert (await lead.do("/console/operations/lift-limit", key=gone)).status_code == 200
    told = await service.rows("SELECT actor, data FROM event WHERE name = 'rate_limit.lifted'")
    assert told == [("staff:bob", {"limit": "staff-name"})]


async def test_the_auditor_finds_what_staff_did(service, caller):
    """AUD-01: by person, customer and deed; and takes it along as JSON lines."""
    anna, ben = await an_account(caller), await an_account(caller, "ben@example.org")
    ada, bob, judge = await a_clerk(service), await a_clerk(service, "bob"), await a_clerk(service, "jo", "auditor")
    await ada.open_account(anna, reason="because of ada")
    await bob.open_account(ben, reason="because of bob")
    for query, seen, unseen in (
        ("who=ada", "because of ada", "because of bob"), (f"user_id={ben}", "because of bob", "because of ada"),
        ("what=staff.signed_in", "staff.signed_in", "because of"),
    ):  # fmt: skip
        await judge.open(f"/console/audit?{query}")
        assert seen in judge.text
        assert unseen not in judge.text
    await judge.open("/console/audit/export")
    lines = [json.loads(line) for line in judge.page.text.splitlines()]
    assert {"occurred_at", "name", "actor", "user_id", "reason", "data"} == set(lines[0])
    assert {line["reason"] for line in lines} == {None, "because of ada", "because of bob"}
    assert {line["actor"] for line in lines} >= {"staff:ada", "staff:bob", "staff:jo"}
    assert judge.page.headers["content-type"] == "application/x-ndjson"


async def test_what_staff_did_cannot_be_rewritten(service, caller):
    """AUD-01: SQL as the application's role, around the console."""
    ada = await a_clerk(service)
    await ada.open_account(await an_account(caller))
    for statement in ("UPDATE event SET actor = 'staff:bob'", "DELETE FROM event", "TRUNCATE event"):
        with pytest.raises(Exception, match=r"permission denied|append-only"):
            await service.rows(statement)
    assert await service.rows("SELECT DISTINCT actor FROM event WHERE name = 'account.opened_by_staff'") == [
        ("staff:ada",)
    ]


@pytest.mark.parametrize("how", ["id", "heard", "address", "contact", "company", "reference"])
async def test_one_field_finds_a_customer_by_whatever_is_known(service, caller, how):
    """PHN-01, PHN-02"""
    anna = await an_account(caller, external_ref="order-77")
    ada = await a_clerk(service)
    company = {"company_name": "Berg GmbH", "country": "DE"}
    await caller.http.put(f"/v1/accounts/{anna}/business", json=company, headers=caller.headers)
    number = await ada.open_account(anna)
    typed = {"id": anna.lower().replace("-", " "), "heard": anna[:-1] + "?", "address": "ANNA@Example.org",
             "contact": number, "company": "berg", "reference": "order-77"}[how]  # fmt: skip
    await ada.do("/console/find", typed=typed)
    assert anna in ada.text
    assert ANNA not in ada.text.replace("ANNA@Example.org", "")


@pytest.mark.parametrize("typed", ["anna@", "@example.org", "a%@example.org", "*@example.org", "anna@exampl"])
async def test_an_address_is_found_whole_or_not_at_all(service, caller, typed):
    """PHN-02"""
    anna = await an_account(caller)
    ada = await a_clerk(service)
    await ada.do("/console/find", typed=typed)
    assert anna not in ada.text


async def test_searching_is_limited(service):
    """PHN-12: sixty a minute for each person, whatever browser he uses."""
    ada = await a_clerk(service)
    codes = [(await ada.do("/console/find", typed="nobody")).status_code for _ in range(61)]
    assert codes == [200] * 60 + [429]


async def test_the_customer_reads_who_looked_and_why(service, caller):
    """PHN-14, AUD-05: desk and reason in what is handed out to him; the feed has the desk alone."""
    anna = await an_account(caller)
    await (await a_clerk(service)).open_account(anna, reason="parcel is lost")
    await service.seal()
    looked = (await caller.get(f"/v1/accounts/{anna}/events")).json()["items"]
    (told,) = [event for event in looked if event["type"].endswith("account.opened_by_staff")]
    assert told["data"]["desk"] == "consumer"
    assert "parcel" not in str(looked)
    everything = (await caller.get(f"/v1/accounts/{anna}/export")).json()
    assert [look["reason"] for look in everything["tables"]["account_access"]] == ["parcel is lost"]
