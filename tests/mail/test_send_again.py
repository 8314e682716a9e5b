"""Send again: a pending letter is tried now, by the relay that is named; an ended one gets a successor."""

import asyncio
import uuid

import pytest

from identity_service.messages import actions as messages
from identity_service.messages import rules as message_rules
from tests.accounts.given import an_account, sql
from tests.faults.relay import FaultRelay, always
from tests.mail.given import a_letter, claim, end, put, relays

ENDED = [state for state in message_rules.TRANSITIONS if state not in message_rules.PENDING]


@pytest.fixture
async def two(service):
    """Relays a and b, on real sockets."""
    servers = await FaultRelay().start(), await FaultRelay().start()
    relays(service, *servers)
    yield servers
    for server in servers:
        await server.stop()


async def again(caller, message_id: str, **body):
    return await caller.post(f"/v1/messages/{message_id}/retry", body)


async def read(caller, message_id: str) -> dict:
    return (await caller.get(f"/v1/messages/{message_id}")).json()


async def test_a_letter_that_waits_for_its_next_try_is_tried_now(service, caller, two):
    message_id = await a_letter(service, "deferred")
    answer = await again(caller, message_id)
    assert answer.status_code == 202
    assert answer.json()["id"] == message_id
    assert answer.json()["next_attempt_at"] == service.clock().isoformat().replace("+00:00", "Z")
    assert await service.deliver() == 1
    assert (await read(caller, message_id))["state"] == "accepted"


@pytest.mark.parametrize(("state", "tries"), [("queued", ["b"]), ("deferred", ["first", "b"])])
async def test_the_relay_that_is_named_is_tried_first(service, caller, two, state, tries):
    message_id = await a_letter(service, state)
    await again(caller, message_id, relay="b")
    await service.deliver()
    message = await read(caller, message_id)
    assert [entry["relay"] for entry in message["timeline"] if entry["attempt"]] == tries
    assert message["accepted_relay"] == "b"


async def test_the_relay_that_is_named_and_is_ill_hands_on_to_the_other(service, caller, two):
    two[1].will("MAIL", *always("451 4.3.0 later", 5))
    message_id = await a_letter(service, "queued")
    await again(caller, message_id, relay="b")
    await service.deliver()
    tries = [(e["relay"], e["kind"]) for e in (await read(caller, message_id))["timeline"] if e["attempt"]]
    assert tries == [("b", "relay_fault"), ("a", "accepted")]


async def test_a_letter_that_is_being_sent_only_notes_the_relay_for_its_next_try(service, caller, two):
    message_id = await put(service)
    claimed = await claim(service)
    answer = (await again(caller, message_id, relay="b")).json()
    assert (answer["id"], answer["state"], answer["next_attempt_at"]) == (message_id, "sending", None)
    await end(service, claimed, "deferred")
    service.clock.advance(seconds=61)
    await service.deliver()
    assert (await read(caller, message_id))["accepted_relay"] == "b"


async def test_a_letter_that_was_sent_while_somebody_asked_goes_once(service, caller, two):
    message_id = await put(service)
    claimed = await claim(service)
    await again(caller, message_id)
    await end(service, claimed, "accepted")
    assert await service.deliver() == 0
    assert await service.rows("SELECT count(*) FROM message") == [(1,)]


async def test_a_relay_that_was_named_counts_for_one_try(service, caller, two):
    two[1].will("RCPT", "451 4.3.0 not today")
    message_id = await a_letter(service, "queued")
    await again(caller, message_id, relay="b")
    await service.deliver()
    service.clock.advance(seconds=10)
    await service.deliver()
    assert (await read(caller, message_id))["accepted_relay"] == "a"


async def test_while_a_mailbox_has_had_its_share_a_successor_is_not_sent_either(service, caller, two):
    """R15."""
    message_id = await a_letter(service, "limited")
    answer = (await again(caller, message_id, relay="b")).json()
    assert (answer["resend_of"], answer["state"]) == (message_id, "limited")


@pytest.mark.parametrize("state", [state for state in ENDED if state != "limited"])
async def test_a_letter_that_has_ended_gets_a_successor_and_stays_as_it_is(service, caller, two, state):
    message_id = await a_letter(service, state)
    before = await read(caller, message_id)
    assert before["state"] == state
    answer = (await again(caller, message_id, relay="b")).json()
    assert (answer["resend_of"], answer["kind"], answer["state"]) == (message_id, "test", "queued")
    assert answer["id"] != message_id
    assert await service.deliver() == 1
    assert (await read(caller, answer["id"]))["accepted_relay"] == "b"
    assert await read(caller, message_id) == before


async def test_every_successor_names_the_first_letter(service, caller, two):
    """So that who follows the first one finds the newest, however often it was sent again."""
    first = await a_letter(service, "expired")
    second = (await again(caller, first)).json()["id"]
    await service.deliver()
    service.clock.advance(seconds=1)
    third = (await again(caller, second)).json()
    assert third["id"] not in (first, second)
    assert third["resend_of"] == first
    newest = await service.database.in_transaction(lambda s: messages.newest_message(s, uuid.UUID(first)))
    assert str(newest.id) == third["id"]


async def test_it_is_written_down_who_asked(service, caller, two):
    user_id = await an_account(caller, email="anna@example.com")
    (message,) = (await caller.get("/v1/messages")).json()["items"]
    await again(caller, message["id"], relay="b")
    await service.seal()
    events = (await caller.get(f"/v1/accounts/{user_id}/events")).json()["items"]
    (event,) = [event for event in events if event["type"].endswith("mail.retried")]
    assert event["data"]["relay"] == "b"
    assert caller.client_id in str(event)


async def test_the_same_request_twice_makes_one_successor(service, caller, two):
    message_id = await a_letter(service, "expired")
    path = f"/v1/messages/{message_id}/retry"
    both = await asyncio.gather(*(caller.post(path, {}, headers={"Idempotency-Key": "once"}) for _ in range(2)))
    assert {answer.status_code for answer in both} == {202}
    assert len({answer.json()["id"] for answer in both}) == 1
    assert await service.rows("SELECT count(*) FROM message") == [(2,)]


async def test_what_a_letter_was_about_may_be_gone(service, caller, two, owner):
    """Where the address was erased, nothing can be sent again."""
    message_id = await a_letter(service, "accepted")
    await sql(owner, "UPDATE message SET recipient = NULL, recipient_ascii = NULL, recipient_hash = NULL")
    answer = await again(caller, message_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "cannot_retry")


REFUSED = [
    ({"relay": "nobody"}, 404, "unknown_relay"),
    ({"relay": 1}, 422, "invalid_shape"),
    ({"subject": "Offer"}, 422, "invalid_shape"),
    ({"to": "evil@example.com"}, 422, "invalid_shape"),
]


@pytest.mark.parametrize(("body", "status", "code"), REFUSED)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(service, caller, two, body, status, code):
    """NOM-02: a letter that is sent again takes no words and no other address."""
    message_id = await a_letter(service, "deferred")
    before = await read(caller, message_id)
    answer = await again(caller, message_id, **body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert await read(caller, message_id) == before


async def test_a_message_that_is_none_is_not_found(caller):
    answer = await again(caller, str(uuid.uuid4()))
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_message")


async def test_it_needs_its_own_scope(service):
    reader = await service.caller("messages:read")
    answer = await again(reader, await a_letter(service, "expired"))
    assert (answer.status_code, answer.json()["scope"]) == (403, "messages:send")
    assert await service.rows("SELECT count(*) FROM message") == [(1,)]
