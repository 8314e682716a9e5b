"""Events as another service joins them with its own tables: IDs as the API shows them, causes first, facts that are
true.
"""

import re

import pytest

from identity_service.accounts import actions as accounts
from identity_service.events.schemas import EventView
from identity_service.passwords import actions as passwords
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId
from tests.accounts.given import an_account
from tests.contacts.given import a_tool
from tests.events.given import follow
from tests.life.filled import ADDRESS, GOOD, SECOND, fill
from tests.life.given import account, call, confirm, link_to, merge, press, row_id, set_password, sign_in

FEED = "/v1/events"


async def told(service, caller, *types: str) -> list[dict]:
    """Every event of the feed, or those of these types."""
    while await service.seal():
        pass
    return [e for e in await follow(caller, FEED, limit=200) if not types or e["type"] in types]


def undashed(text: str) -> set[str]:
    """The User IDs in a text that are not in the form of the API."""
    return {found for found in re.findall(r"\b[0-9A-Z]{12}\b", text) if user_ids.is_canonical(found)}


async def test_in_a_whole_life_every_event_is_as_the_contract_says_and_no_id_is_undashed(service, caller):
    """API-08: also the numbers of contacts, and the same in the export."""
    filled = await fill(service, caller)
    feed = await told(service, caller)
    assert len({event["type"] for event in feed}) > 24
    for event in feed:
        EventView.model_validate(event)
        assert undashed(str(event)) == set(), event
    numbers = {event["data"]["contact"] for event in feed if "contact" in event["data"]}
    assert numbers
    for number in numbers:
        assert (await call(caller, "GET", f"/v1/contacts/{number}", **{"X-Clerk-ID": "ada"})).json()["number"] == number
    export = await caller.get(f"/v1/accounts/{filled.user_id}/export")
    assert undashed(export.text) == set()
    assert filled.merged in export.text


async def test_in_a_whole_life_each_message_names_an_event_that_came_before(service, caller):
    """NOM-03: a reader with a foreign key never stops."""
    await fill(service, caller)
    known: dict[str, dict] = {}
    queued = 0
    for event in await told(service, caller):
        known[event["id"]] = event
        if event["type"] == "mail.queued":
            queued += 1
            cause = known[event["data"]["cause_id"]]
            assert cause["type"] == event["data"]["cause"]
            # A merge concerns two accounts; its messages go to both.
            assert cause["subject"] == event["subject"] or event["data"]["kind"].startswith("merge")
    assert queued > 10


async def test_an_account_is_registered_before_anything_else_is_told_of_it(service, caller):
    user_id = await an_account(caller, email="anna@example.com")
    mine = [e["type"] for e in await told(service, caller) if e["subject"] == user_id]
    assert mine == ["account.registered", "mail.queued"]


@pytest.mark.parametrize("address", ["anna@example.com", "nobody@example.com"])
async def test_a_request_is_told_before_its_message(service, caller, address):
    await an_account(caller, email="anna@example.com")
    asked = await caller.post("/v1/resets", {"email": address})
    requested, queued = (await told(service, caller))[-2:]
    assert (requested["type"], queued["type"]) == ("reset.requested", "mail.queued")
    assert queued["data"]["cause_id"] == requested["id"]
    assert requested["data"] == {"reset_id": asked.json()["reset_id"]}


async def test_a_second_request_names_the_reset_that_is_pending(service, caller):
    await an_account(caller, email="anna@example.com")
    first = (await caller.post("/v1/resets", {"email": "anna@example.com"})).json()["reset_id"]
    second = (await caller.post("/v1/resets", {"email": "anna@example.com"})).json()["reset_id"]
    requested = await told(service, caller, "reset.requested")
    assert second == first
    assert [event["data"]["reset_id"] for event in requested] == [first, first]
    assert len(await told(service, caller, "mail.queued")) == 2


async def test_the_message_of_a_retry_names_the_retry(service, caller):
    """NOM-03: and carries the id that the retry's event and answer name."""
    await an_account(caller, email="anna@example.com")
    await service.deliver()
    ((message_id,),) = await service.rows("SELECT id FROM message")
    answer = await caller.post(f"/v1/messages/{message_id}/retry", {})
    assert answer.status_code < 300, answer.text
    (retried,) = await told(service, caller, "mail.retried")
    queued = (await told(service, caller, "mail.queued"))[-1]
    assert (queued["data"]["cause"], queued["data"]["cause_id"]) == ("mail.retried", retried["id"])
    assert queued["data"]["message_id"] == retried["data"]["successor"] != str(message_id)
    await service.deliver()
    ids = await service.rows("SELECT id FROM message")
    sent = [letter["headers"]["Message-ID"] for letter in service.mailbox.letters()]
    assert sorted(sent) == sorted(f"<{row.id.hex}@{service.database.settings.sender_domain}>" for row in ids)


async def test_a_merge_can_be_joined_both_ways(service, caller):
    anna, firm = await an_account(caller, email=ADDRESS), await an_account(caller, email=SECOND)
    await merge(service, caller, anna, firm, ADDRESS, SECOND)
    (merged,) = await told(service, caller, "account.merged")
    assert (merged["subject"], merged["data"]) == (firm, {"into": anna})
    await service.database.in_transaction(
        lambda s: accounts.unmark_merged(s, UserId(row_id(firm)), actor="operator", now=service.clock())
    )
    (unmerged,) = await told(service, caller, "account.unmerged")
    assert (unmerged["subject"], unmerged["data"]) == (firm, {"user_id": firm, "from": anna})


async def test_the_version_moves_when_what_the_view_shows_moves(service, caller):
    """RFC 9110, 8.8.3: an entity tag of another state would let a stale copy be written."""
    anna = await an_account(caller, email=ADDRESS, external_ref="17")
    assert (await account(caller, anna))["version"] == 1
    await caller.post("/v1/accounts", {"email": ADDRESS, "external_ref": "18"})
    seen = await account(caller, anna)
    assert (seen["version"], seen["external_refs"]) == (2, ["17", "18"])
    await caller.post("/v1/accounts", {"email": ADDRESS, "external_ref": "18"})
    assert (await account(caller, anna))["version"] == 2
    firm = await an_account(caller, email=SECOND, external_ref="19")
    await service.database.in_transaction(
        lambda s: accounts.mark_merged(
            s, UserId(row_id(firm)), UserId(row_id(anna)), actor="operator", now=service.clock()
        )
    )
    merged = await account(caller, anna)
    assert (merged["version"], merged["external_refs"]) == (3, ["17", "18", "19"])
    await caller.post("/v1/accounts", {"email": SECOND, "external_ref": "20"})
    beneath = await account(caller, anna)
    assert (beneath["version"], beneath["external_refs"]) == (4, ["17", "18", "19", "20"])
    await service.database.in_transaction(
        lambda s: accounts.unmark_merged(s, UserId(row_id(firm)), actor="operator", now=service.clock())
    )
    parted = await account(caller, anna)
    # The last one was added when the merged address led here.
    assert (parted["version"], parted["external_refs"]) == (5, ["17", "18", "20"])


async def closed(service, caller, user_id):
    assert (await caller.post(f"/v1/accounts/{user_id}/close")).status_code == 200


async def password_set(service, caller, user_id):
    await set_password(service, ADDRESS, GOOD)


async def signed_out_everywhere(service, caller, user_id):
    await set_password(service, ADDRESS, GOOD)
    browser = await sign_in(service, ADDRESS, GOOD)
    await browser.open("/me")
    await browser.send("/me/sessions/end")


async def password_compromised(service, caller, user_id):
    await set_password(service, ADDRESS, GOOD)
    await service.database.in_transaction(
        lambda s: passwords.mark_compromised(s, UserId(row_id(user_id)), actor="operator", now=service.clock())
    )


async def email_change_undone(service, caller, user_id):
    await call(caller, "POST", f"/v1/accounts/{user_id}/email-changes", {"email": SECOND})
    await confirm(service, SECOND, "Please confirm your new email address")
    await press(service, await link_to(service, ADDRESS, "Your email address was changed"))


async def erased(service, caller, user_id):
    assert (await caller.post(f"/v1/accounts/{user_id}/erase")).status_code == 200


@pytest.mark.parametrize(
    "verb", [closed, password_set, signed_out_everywhere, password_compromised, email_change_undone, erased]
)
async def test_whatever_ends_sessions_tells_the_services_since_when(service, caller, verb):
    """SES-04: a service that follows the events alone leaves nobody signed in."""
    user_id = await an_account(caller, email=ADDRESS)
    await verb(service, caller, user_id)
    ((moment,),) = await service.rows("SELECT sessions_valid_after FROM account")
    last = (await told(service, caller, "account.sessions_ended"))[-1]
    assert last["subject"] == user_id
    assert last["data"] == {"reason": verb.__name__, "valid_after": moment.isoformat().replace("+00:00", "Z")}


async def test_what_ended_sessions_is_told_before_that_they_ended(service, caller):
    user_id = await an_account(caller, email=ADDRESS)
    await closed(service, caller, user_id)
    types = [event["type"] for event in await told(service, caller)]
    assert types[-3:] == ["account.closed", "account.sessions_ended", "mail.queued"]
    await erased(service, caller, user_id)
    types = [event["type"] for event in await told(service, caller)]
    assert types.index("account.erased") < types.index("mail.cancelled")


async def test_the_moment_never_moves_back(service, caller):
    """SES-04: the clock of another process may be ahead."""
    user_id = await an_account(caller)
    for seconds in (10, -9):
        service.clock.advance(seconds=seconds)
        await service.database.in_transaction(
            lambda s: accounts.end_sessions(
                s, row_id(user_id), "signed_out_everywhere", actor="customer", now=service.clock()
            )
        )
    first, second = await told(service, caller, "account.sessions_ended")
    assert first["data"]["valid_after"] == second["data"]["valid_after"]


async def test_a_hand_over_tells_from_which_desk_to_which(service, caller):
    tool = await a_tool(service)
    number = await tool.contact()
    for desk in ("technical", "business", "consumer"):
        assert (await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": desk})).status_code == 200
    moved = [event["data"] for event in await told(service, caller, "contact.handed_over")]
    assert moved == [
        {"contact": number, "from": "consumer", "to": "technical", "hand_overs": 1},
        {"contact": number, "from": "technical", "to": "business", "hand_overs": 2},
        {"contact": number, "from": "business", "to": "consumer", "hand_overs": 3},
    ]


async def test_a_hand_over_to_the_desk_that_has_it_is_refused_and_not_counted(service, caller):
    tool = await a_tool(service)
    number = await tool.contact()
    refused = await tool.post(f"/v1/contacts/{number}/hand-over", {"desk": "consumer", "note": "again"})
    assert (refused.status_code, refused.json()["code"]) == (409, "already_at_desk")
    read = (await tool.get(f"/v1/contacts/{number}")).json()
    assert (read["hand_overs"], [entry["kind"] for entry in read["entries"]]) == (0, ["opened"])
    assert await told(service, caller, "contact.handed_over") == []


async def test_added_history_is_named_by_the_ids_that_the_api_shows(service, caller):
    user_id = await an_account(caller)
    entries = [{"reference": f"o-{n}", "kind": "order", "occurred_at": "2026-01-02T03:04:05Z"} for n in range(3)]
    await caller.post(f"/v1/accounts/{user_id}/history", {"entries": entries[:2]})
    await caller.post(f"/v1/accounts/{user_id}/history", {"entries": entries})
    first, second = (event["data"] for event in await told(service, caller, "history.appended"))
    shown = {e["id"]: e["reference"] for e in (await caller.get(f"/v1/accounts/{user_id}/history")).json()["items"]}
    assert {shown[one] for one in first["entry_ids"]} == {"o-0", "o-1"}
    assert {shown[one] for one in second["entry_ids"]} == {"o-2"}
    assert [(data["source"], data["entries"]) for data in (first, second)] == [(caller.source, 2), (caller.source, 1)]
