"""R19, NOM-05, PHN-13: nobody gets a list of addresses; who read a customer's messages stands in the export."""

import pytest

from identity_service.messages.delivery import queue
from tests.console.given import an_account
from tests.contacts.given import a_tool
from tests.life.given import merge

ANNA, BEN = "anna@example.org", "ben@example.org"


@pytest.fixture
async def anna(service, caller) -> str:
    user_id = await an_account(caller, ANNA)
    await service.deliver()
    ((message_id,),) = await service.rows("SELECT id FROM message")
    # Delivered, so that a stream of it ends at once.
    await service.database.in_transaction(
        lambda s: queue.apply_feedback(s, message_id, "delivered", code=None, enhanced=None, now=service.clock())
    )
    return user_id


async def readings(service, caller, user_id: str) -> list[str]:
    """Return who read the customer's messages, as the export says."""
    exported = (await caller.get(f"/v1/accounts/{user_id}/export")).json()["tables"]["event"]
    return [event["actor"] for event in exported if event["name"] == "account.messages_read"]


async def message_of(caller, user_id: str) -> str:
    return (await caller.get(f"/v1/messages?user_id={user_id}")).json()["items"][0]["id"]


@pytest.mark.parametrize("query", ["", "?kind=welcome", "?state=delivered", "?limit=1", "?since=2020-01-01T00:00:00Z"])
async def test_a_list_of_everybodys_messages_shows_no_whole_address(service, caller, anna, query):
    """With every scope there is."""
    answer = await caller.get(f"/v1/messages{query}")
    assert answer.status_code == 200
    assert [one["to"] for one in answer.json()["items"]] == ["a…@example.org"]
    assert await readings(service, caller, anna) == []


@pytest.mark.parametrize("by", ["user id", "address", "message", "stream"])
async def test_a_whole_address_is_read_one_customer_at_a_time_and_that_is_recorded(service, caller, anna, by):
    message_id = (await caller.get("/v1/messages")).json()["items"][0]["id"]
    reader = await service.caller("messages:read", "accounts:read_personal", name="reader")
    masked = await service.caller("messages:read", name="masked")
    for one in (reader, masked):
        match by:
            case "user id":
                text = (await one.get(f"/v1/messages?user_id={anna}")).text
            case "address":
                text = (await one.post("/v1/messages/search", {"email": ANNA})).text
            case "message":
                text = (await one.get(f"/v1/messages/{message_id}")).text
            case _:
                text = (await one.get(f"/v1/messages/{message_id}/stream")).text
        assert (ANNA in text) == (one is reader), text
    assert await readings(service, caller, anna) == [f"client:{reader.client_id}"]


async def test_each_customer_whose_messages_are_read_is_told(service, caller, anna):
    """Under both User IDs after a merge; and nobody else."""
    ben = await an_account(caller, BEN)
    await merge(service, caller, anna, ben, ANNA, BEN)
    zoe = await an_account(caller, "zoe@example.org")
    await caller.get(f"/v1/messages?user_id={anna}")
    told = await service.rows("SELECT DISTINCT user_id FROM event WHERE name = 'account.messages_read'")
    assert {row.user_id for row in told} == {anna.replace("-", ""), ben.replace("-", "")}
    assert await readings(service, caller, zoe) == []


@pytest.mark.parametrize("by", ["list", "list of one", "address", "message", "stream", "reset"])
async def test_a_desk_reads_messages_of_an_account_that_it_opened(service, caller, anna, by):
    """PHN-13, R19: without a name, without a contact, in another contact, by another clerk → refused."""
    message_id = await message_of(caller, anna)
    reset_id = (await caller.post("/v1/resets", {"user_id": anna})).json()["reset_id"]
    ada = await a_tool(service)
    number, other = await ada.contact(anna), await ada.contact(anna)
    path = {
        "list": "/v1/messages", "list of one": f"/v1/messages?user_id={anna}", "address": "/v1/messages/search",
        "message": f"/v1/messages/{message_id}", "stream": f"/v1/messages/{message_id}/stream",
        "reset": f"/v1/resets/{reset_id}",
    }[by]  # fmt: skip
    method, body = ("POST", {"json": {"email": ANNA}}) if by == "address" else ("GET", {})

    async def ask(headers: dict):
        return await ada.caller.http.request(method, path, headers={**ada.caller.headers, **headers}, **body)

    await service.deliver()
    for headers in ({}, ada.headers, ada.named(number)):
        refused = await ask(headers)
        assert refused.status_code == 422, refused.text
        assert ANNA not in refused.text
    assert (await ada.open_account(anna, number)).status_code == 201
    for headers in (ada.named(other), ada.of("bob").named(number)):
        assert (await ask(headers)).json()["code"] == "account_not_opened"
    answer = await ask(ada.named(number))
    if by == "list":
        assert answer.json()["code"] == "account_not_opened", "everybody's messages are no account's"
        return
    assert answer.status_code == 200, answer.text
    assert ANNA in answer.text
    assert f"{ada.caller.client_id}/ada" in (await readings(service, caller, anna))[-1]


async def test_a_desk_is_not_told_whose_address_has_messages(service, caller, anna):
    """A known address whose account was not opened and an unknown one are refused alike."""
    ada = await a_tool(service)
    number = await ada.contact(anna)
    answers = []
    for address in (ANNA, "nobody@example.org"):
        given = {**ada.caller.headers, **ada.named(number)}
        answer = await service.http.post("/v1/messages/search", json={"email": address}, headers=given)
        answers.append((answer.status_code, answer.json()["code"]))
    assert answers == [(422, "account_not_opened")] * 2
