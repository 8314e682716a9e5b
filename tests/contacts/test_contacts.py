"""One conversation over REST: opened with or without a User ID, handed on with all that is known, and closed."""

import secrets

import pytest

from tests.console.given import an_account
from tests.contacts.given import a_tool


@pytest.fixture
async def tool(service):
    return await a_tool(service)


async def test_a_contact_is_opened_without_a_user_id(service, tool):
    made = await tool.post("/v1/contacts", {"desk": "consumer", "note": "refuses to give an address"})
    assert made.status_code == 201
    number = made.json()["number"]
    assert len(number) == 7
    read = (await tool.get(f"/v1/contacts/{number}")).json()
    assert read["user_id"] is None
    assert [(e["kind"], e["note"]) for e in read["entries"]] == [("opened", "refuses to give an address")]
    assert read["verified_until"] is None


@pytest.mark.parametrize("typed", [str.lower, lambda number: number.replace("-", " "), lambda number: f" {number} "])
async def test_the_number_is_read_as_it_is_spoken(tool, typed):
    number = await tool.contact()
    assert (await tool.get(f"/v1/contacts/{typed(number)}")).json()["number"] == number


async def test_what_one_desk_learned_the_next_desk_sees(service, tool, caller):
    user_id = await an_account(caller)
    number = await tool.contact(user_id)
    await tool.post(f"/v1/contacts/{number}/notes", {"note": "router does not start"})
    await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": "technical", "note": "tried another cable"})
    read = (await tool.of("bob").get(f"/v1/contacts/{number}")).json()
    assert read["desk"] == "technical"
    assert read["user_id"] == user_id
    assert [entry["note"] for entry in read["entries"]] == [None, "router does not start", "tried another cable"]
    at_desk = (await tool.get("/v1/contacts?desk=technical")).json()["items"]
    assert [contact["number"] for contact in at_desk] == [number]


async def test_the_second_hand_over_warns(tool):
    number = await tool.contact()
    warnings = [
        (await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": desk})).json()["warning"]
        for desk in ("technical", "business")
    ]
    assert warnings == [False, True]


async def test_every_minute_that_the_caller_waited_is_added_up(service, tool):
    """He is handed on twice before anybody picks up, talks, and waits once more until he hangs up."""
    number = await tool.contact()
    await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": "technical"})
    service.clock.advance(seconds=60)
    await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": "business"})
    service.clock.advance(seconds=90)
    picked = (await tool.post(f"/v1/contacts/{number}/pick-up")).json()
    assert (picked["waited_s"], picked["waiting_since"]) == (150, None)
    service.clock.advance(seconds=100)
    await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": "consumer"})
    service.clock.advance(seconds=30)
    closed = (await tool.post(f"/v1/contacts/{number}/close", {})).json()
    assert (closed["waited_s"], closed["hand_overs"]) == (180, 3)


@pytest.mark.parametrize(
    ("verb", "body"),
    [("notes", {"note": "late"}), ("hand-over", {"desk": "technical"}), ("pick-up", None), ("close", {})],
)
async def test_nothing_more_is_written_into_a_closed_contact(service, tool, verb, body):
    number = await tool.contact()
    await tool.post(f"/v1/contacts/{number}/close", {"note": "solved"})
    refused = await tool.post(f"/v1/contacts/{number}/{verb}", body)
    assert (refused.status_code, refused.json()["code"]) == (409, "contact_closed")
    entries = (await tool.get(f"/v1/contacts/{number}")).json()["entries"]
    assert [entry["kind"] for entry in entries] == ["opened", "closed"]


async def test_an_unknown_desk_is_refused_with_the_known_ones(tool):
    refused = await tool.post("/v1/contacts", {"desk": "somewhere"})
    assert (refused.status_code, refused.json()["code"]) == (422, "unknown_desk")
    assert "consumer" in refused.json()["known"]


@pytest.mark.parametrize("clerk", ["", "a b", "ä", "x" * 65])
async def test_a_desk_tool_names_the_person(tool, clerk):
    """PHN-01: no name, no contact."""
    refused = await tool.caller.post("/v1/contacts", {"desk": "consumer"}, headers={"X-Clerk-ID": clerk.encode()})
    assert refused.status_code == 422
    assert (await tool.get("/v1/contacts")).json()["items"] == []


async def test_an_unknown_contact_is_not_found(tool):
    assert (await tool.get("/v1/contacts/AAA-AAA")).json()["code"] == "unknown_contact"


async def test_a_customers_contacts_are_listed_by_his_id_alone(tool, caller):
    anna, ben = await an_account(caller), await an_account(caller, "ben@example.org")
    mine = await tool.contact(anna)
    await tool.contact(ben)
    await tool.open_account(anna, mine)
    listed = (await tool.get(f"/v1/contacts?user_id={anna}", contact=mine)).json()["items"]
    assert [contact["number"] for contact in listed] == [mine]


async def test_what_was_said_goes_with_the_customer_and_the_contact_stays(service, tool, caller):
    """PRV-10: erasing empties the words; that a contact took place is still known."""
    user_id = await an_account(caller)
    number = await tool.contact(user_id, note="lives at Elm Street")
    assert (await caller.post(f"/v1/accounts/{user_id}/erase")).status_code == 200
    entries = (await tool.get(f"/v1/contacts/{number}")).json()["entries"]
    assert [entry["note"] for entry in entries] == [None]


async def test_events_tell_of_contacts_without_their_words(service, tool, caller):
    """AUD-05: numbers and desks, no free text."""
    user_id = await an_account(caller)
    number = await tool.contact(user_id, note="canary-of-the-note")
    await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": "technical", "note": "canary-of-the-note"})
    await tool.post(f"/v1/contacts/{number}/close", {"note": "canary-of-the-note"})
    told = await service.rows("SELECT name, actor, data::text AS data FROM event WHERE name LIKE 'contact.%'")
    assert {row.name for row in told} == {"contact.opened", "contact.handed_over", "contact.closed"}
    assert all(row.actor.endswith("/ada") and "canary" not in row.data for row in told)


async def test_a_number_that_is_taken_is_drawn_again(tool, monkeypatch):
    """Of a million contacts one draw in 150 is taken already; the caller must not notice."""
    symbols = iter("AAAAAA" + "AAAAAA" + "CCCCCC")
    monkeypatch.setattr(secrets, "choice", lambda _: next(symbols))
    assert [await tool.contact(), await tool.contact()] == ["AAA-AAA", "CCC-CCC"]


async def test_a_list_of_contacts_has_pages(service):
    tool = await a_tool(service)
    numbers = []
    for _ in range(5):
        numbers.append(await tool.contact())
        service.clock.advance(seconds=1)
    seen, after = [], ""
    while after is not None:
        page = (
            await tool.get(
                f"/v1/contacts?desk=consumer&limit=2&after={after}" if after else "/v1/contacts?desk=consumer&limit=2"
            )
        ).json()
        seen += [one["number"] for one in page["items"]]
        after = page["next"]
    assert seen == numbers[::-1]
    first = (await tool.get("/v1/contacts?desk=consumer&limit=2")).json()["next"]
    refused = await tool.get(f"/v1/contacts?desk=business&limit=2&after={first}")
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_cursor")
