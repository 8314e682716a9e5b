"""The two stories told to a good end at the desk, without scripts."""

import re

from tests.console.given import a_clerk


async def test_a_caller_is_verified_and_becomes_a_business_in_one_contact(service, caller):
    """PHN-01…08: the clerk never sees code or address before the check; the customer sees who looked and why."""
    made = (await caller.post("/v1/accounts", {"email": "anna@example.org"})).json()
    user_id = made["user_id"]
    orders = [{"reference": f"o{n}", "kind": "order", "occurred_at": "2015-03-01T10:00:00Z", "amount": "10.00",
               "currency": "EUR"} for n in range(23)]  # fmt: skip
    added = await caller.post(f"/v1/accounts/{user_id}/history", {"entries": orders})
    assert added.status_code == 201, added.text
    clerk = await a_clerk(service)
    await clerk.send("/console/find", typed=user_id.lower().replace("-", " "))
    assert user_id in clerk.text
    await clerk.send(
        "/console/accounts/open", user_id=user_id, contact="", reason="order arrived broken", desk="consumer"
    )
    assert "23 orders" in clerk.text, clerk.text
    assert "anna@example.org" not in clerk.page.text
    number = re.search(r"contact=(\w+)", str(clerk.page.url))[1]
    await clerk.send(f"/console/accounts/{user_id}/check", contact=number)
    phrase = re.search(r"Read these words first: (\w+ \w+)", clerk.text)[1]
    await service.deliver()
    letter = service.letter("anna@example.org", "Your code for your call with us")
    assert phrase in letter["text"]
    code = re.search(r"\d{3} \d{3}", letter["text"])[0]
    assert code.replace(" ", "") not in clerk.page.text
    check = re.search(rf"/console/accounts/{user_id}/check/([0-9a-f-]{{36}})", clerk.page.text)[1]
    await clerk.open(str(clerk.page.url))
    await clerk.send(f"/console/accounts/{user_id}/check/{check}", contact=number, code=code)
    assert "Verified at" in clerk.text, clerk.text
    assert "anna@example.org" in clerk.page.text
    await clerk.send(
        f"/console/accounts/{user_id}/business", contact=number, company_name="Berg GmbH", country="DE", vat_number=""
    )
    assert (await caller.get(f"/v1/accounts/{user_id}")).json()["kind"] == "business"
    assert (await caller.get(f"/v1/accounts/{user_id}/summary")).json()["orders"] == 23
    assert await service.rows("SELECT reason FROM account_access") == [("order arrived broken",)]


async def test_a_caller_without_an_id_gets_one_and_the_next_desk_knows_everything(service, caller):
    clerk = await a_clerk(service)
    await clerk.send("/console/contacts", desk="consumer", user_id="", note="wants help, gives no address yet")
    number = clerk.page.url.path.rsplit("/", 1)[1]
    await clerk.send(f"/console/contacts/{number}/issue", email="ben@example.org")
    user_id = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", clerk.text)[0]
    await service.deliver()
    assert user_id in service.letter("ben@example.org", "Your User ID")["text"]
    await clerk.send(f"/console/contacts/{number}/hand-over", desk="technical", note="router does not start")
    other = await a_clerk(service, "bob")
    await other.open(f"/console/contacts/{number}")
    assert "wants help, gives no address yet" in other.text
    assert "router does not start" in other.text
    assert user_id in other.text
