"""Where mail is, for services and support: lists, search, the whole timeline; and what never shows."""

import re
import uuid
from dataclasses import replace

import pytest

from identity_service import app as web
from identity_service.messages import rules as message_rules
from identity_service.messages import schemas
from identity_service.web.scopes import SCOPES
from tests.accounts.given import an_account
from tests.faults.relay import FaultRelay
from tests.mail.given import LATER, NO_SUCH, TAKEN, UNKNOWN, a_letter, claim, end, put, relays

MESSAGE = {
    "id", "kind", "user_id", "channel", "to", "state", "sentence", "created_at", "state_changed_at", "next_attempt_at",
    "deadline_at", "attempts", "accepted_at", "accepted_relay", "relay_queue_id", "may_arrive_twice", "delayed_since",
    "resend_of",
}  # fmt: skip
ENTRY = {
    "occurred_at", "kind", "sentence", "attempt", "relay", "phase", "code", "enhanced", "reply", "duration_ms",
    "reconnected",
    "source",
}  # fmt: skip


async def listed(caller, query: str = "") -> list[str]:
    answer = await caller.get(f"/v1/messages{query}")
    assert answer.status_code == 200, answer.text
    return [message["id"] for message in answer.json()["items"]]


@pytest.mark.parametrize("state", message_rules.TRANSITIONS)
async def test_a_letter_in_any_state_is_told_whole(service, caller, state):
    message_id = await a_letter(service, state)
    message = (await caller.get(f"/v1/messages/{message_id}")).json()
    assert set(message) == {*MESSAGE, "timeline"}
    assert message["state"] == state
    assert message["sentence"]
    assert (message["next_attempt_at"] is not None) == (state in ("queued", "deferred"))
    assert message["may_arrive_twice"] == (state == "unconfirmed")
    assert message["timeline"][0]["kind"] == "queued"
    assert all(set(entry) == ENTRY and entry["sentence"] for entry in message["timeline"])
    assert [entry["occurred_at"] for entry in message["timeline"]] == sorted(
        entry["occurred_at"] for entry in message["timeline"]
    )
    assert await listed(caller, f"?state={state}") == [message_id]


async def test_the_timeline_tells_each_try_with_relay_phase_and_verbatim_reply(service, caller):
    message_id = await put(service)
    for report, state in ((LATER, "deferred"), (UNKNOWN, "deferred"), (TAKEN, "accepted")):
        await end(service, await claim(service), state, report, possibly_sent=report is UNKNOWN)
        service.clock.advance(minutes=1)
    message = (await caller.get(f"/v1/messages/{message_id}")).json()
    told = [
        (e["attempt"], e["kind"], e["relay"], e["phase"], e["code"], e["enhanced"], e["reply"])
        for e in message["timeline"]
    ]
    assert told == [
        (None, "queued", None, None, None, None, None),
        (1, "transient", "first", "rcpt", 451, "4.3.0", "4.3.0 later"),
        (2, "unknown", "first", "eod", None, None, "no answer within 60 s"),
        (3, "accepted", "first", "eod", 250, "2.0.0", "2.0.0 ok: queued as 77"),
    ]
    assert (message["may_arrive_twice"], message["attempts"], message["relay_queue_id"]) == (True, 3, "77")
    assert "may arrive twice" in message["timeline"][2]["sentence"]


async def test_a_try_that_is_running_is_told_as_such(service, caller):
    message_id = await a_letter(service, "sending")
    last = (await caller.get(f"/v1/messages/{message_id}")).json()["timeline"][-1]
    assert (last["kind"], last["relay"], last["reply"]) == ("sending", "first", None)
    assert last["sentence"] == "first is being contacted now."


async def test_messages_are_found_by_customer_state_kind_and_time(service, caller):
    anna = await an_account(caller, email="anna@example.com")
    service.clock.advance(seconds=1)
    await an_account(caller, email="berta@example.com")
    first, second = reversed(await listed(caller))
    service.clock.advance(minutes=1)
    third = await put(service)
    since = service.clock().isoformat().replace("+00:00", "Z")
    assert await listed(caller) == [third, second, first]
    assert await listed(caller, f"?user_id={anna}") == [first]
    assert await listed(caller, f"?user_id={anna.lower().replace('-', '')}") == [first]
    assert await listed(caller, "?kind=welcome") == [second, first]
    assert await listed(caller, f"?since={since}") == [third]
    assert await listed(caller, "?state=queued&kind=test") == [third]
    assert await listed(caller, "?state=bounced") == []


async def test_a_long_list_is_read_page_by_page_though_new_letters_come(service, caller):
    ids = [await put(service, f"customer{number}@example.com") for number in range(7)]
    answer = (await caller.get("/v1/messages?limit=3")).json()
    found = [message["id"] for message in answer["items"]]
    while answer["next"]:
        service.clock.advance(seconds=1)
        await put(service, "new@example.com")
        answer = (await caller.get(f"/v1/messages?limit=3&after={answer['next']}")).json()
        found += [message["id"] for message in answer["items"]]
    assert found == sorted(ids, reverse=True)


BAD = [
    ("?state=sent", 422, "invalid_shape"),
    ("?user_id=nobody", 422, "malformed_user_id"),
    ("?since=yesterday", 422, "invalid_shape"),
    ("?limit=201", 422, "invalid_shape"),
    ("?after=forged", 400, "invalid_cursor"),
    ("?email=anna@example.com", 422, "unknown_parameter"),
]


@pytest.mark.parametrize(("query", "status", "code"), BAD)
async def test_a_question_that_makes_no_sense_is_refused(caller, query, status, code):
    """An address stands in no query: there is no such parameter."""
    answer = await caller.get(f"/v1/messages{query}")
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_a_cursor_of_another_list_is_not_taken(service, caller):
    for _ in range(2):
        await put(service)
    cursor = (await caller.get("/v1/messages?limit=1")).json()["next"]
    answer = await caller.get(f"/v1/suppressions?after={cursor}")
    assert answer.json()["code"] == "invalid_cursor"


@pytest.mark.parametrize("email", ["anna@example.com", "Anna@Example.COM"])
async def test_an_address_is_searched_by_its_hash(service, caller, email):
    ids = [await put(service), await put(service)]
    await put(service, "berta@example.com")
    answer = await caller.post("/v1/messages/search", {"email": email})
    assert [message["id"] for message in answer.json()["items"]] == sorted(ids, reverse=True)


async def test_a_search_is_read_page_by_page(service, caller):
    ids = {await put(service) for _ in range(3)}
    await put(service, "berta@example.com")
    first = (await caller.post("/v1/messages/search?limit=2", {"email": "anna@example.com"})).json()
    where = f"/v1/messages/search?limit=2&after={first['next']}"
    second = (await caller.post(where, {"email": "anna@example.com"})).json()
    assert [len(page["items"]) for page in (first, second)] == [2, 1]
    assert {message["id"] for page in (first, second) for message in page["items"]} == ids
    assert second["next"] is None


@pytest.mark.parametrize(("email", "status"), [("nobody@example.com", 200), ("no address", 422)])
async def test_a_search_without_a_hit_is_empty_and_echoes_nothing(caller, email, status):
    answer = await caller.post("/v1/messages/search", {"email": email})
    assert answer.status_code == status
    assert email not in answer.text
    assert answer.json().get("items", []) == []


async def test_an_address_leaves_only_to_who_may_read_it(service, caller):
    """NOM-05."""
    message_id = await put(service)
    reader = await service.caller("messages:read", name="desk")
    for path in ("/v1/messages", f"/v1/messages/{message_id}"):
        assert ("anna@example.com" in (await caller.get(path)).text) == (path != "/v1/messages")
        masked = (await reader.get(path)).text
        assert "anna@" not in masked
        assert "a…@example.com" in masked


QUOTES = [
    "5.1.1 <anna@example.com>: no such user",
    "5.1.1 ANNA@EXAMPLE.COM unknown",
    "5.1.1 forwarded to secret.anna@other.example, who is gone",
    "5.1.1 rcpt=anna@example.com;host=mx",
]


@pytest.mark.parametrize("quote", QUOTES)
async def test_a_reply_that_quotes_an_address_is_masked_for_the_others(service, caller, quote):
    """NOM-05: the recipient's own address, and the one that his mail is led to."""
    message_id = await put(service)
    await end(service, await claim(service), "rejected", replace(NO_SUCH, reply=quote))
    reader = await service.caller("messages:read", name="desk")
    said = (await reader.get(f"/v1/messages/{message_id}")).json()["timeline"][-1]["reply"]
    assert "anna@" not in said.lower()
    assert "…@" in said
    assert (await caller.get(f"/v1/messages/{message_id}")).json()["timeline"][-1]["reply"] == quote


async def test_bodies_links_and_codes_stand_in_no_answer(service, caller):
    """A relay that quotes our link back to us, and a letter with facts of its own."""
    server = await FaultRelay().start()
    relays(service, server)
    server.will("eod", "554 5.7.1 spam: https://id.example.com/reset/choose#v1.abcdefghijklmnop.SECRETSECRET")
    message_id = await put(service, facts={"nonce": "NONCENONCE"})
    await service.deliver()
    await server.stop()
    answers = [await caller.get(path) for path in ("/v1/messages", f"/v1/messages/{message_id}", "/v1/relays")]
    answers.append(await caller.post("/v1/messages/search", {"email": "anna@example.com"}))
    told = " ".join(answer.text for answer in answers)
    assert "[link]" in told
    assert not re.search(r"SECRET|NONCE|v1\.abc|This email tests|facts|transcript", told)
    stored = await service.rows(
        "SELECT last_reply, (SELECT string_agg(transcript::text || reply, '') FROM attempt) FROM message"
    )
    assert "SECRET" not in str(stored)


def test_no_answer_of_ours_has_a_place_for_words_or_links():
    for view in (
        schemas.MessageWithTimeline,
        schemas.TimelineEntry,
        schemas.RelayView,
        schemas.WorkerRelayState,
        schemas.SuppressionView,
    ):
        assert not set(view.model_fields) & {"subject", "body", "text", "html", "facts", "link", "code_to_type", "raw"}


DOORS = [
    ("GET", "/v1/messages", "messages:read"),
    ("POST", "/v1/messages/search", "messages:read"),
    ("GET", "/v1/messages/{message_id}", "messages:read"),
    ("GET", "/v1/messages/{message_id}/stream", "messages:read"),
    ("POST", "/v1/messages/{message_id}/retry", "messages:send"),
    ("GET", "/v1/relays", "mail:operate"),
    ("GET", "/v1/mail/health", "mail:operate"),
    ("GET", "/v1/suppressions", "mail:operate"),
    ("POST", "/v1/suppressions/{suppression_id}/lift", "mail:operate"),
]


@pytest.mark.parametrize(("method", "path", "scope"), DOORS)
async def test_each_door_wants_its_scope_and_no_other_will_do(service, method, path, scope):
    others = await service.caller(*(name for name in SCOPES if name != scope), name="others")
    body = {"email": "a@b.example"} if "search" in path else {} if "retry" in path else None
    where = re.sub(r"\{\w+\}", str(uuid.uuid4()), path)
    answer = await others.http.request(method, where, json=body, headers=others.headers)
    assert (answer.status_code, answer.json()["scope"]) == (403, scope)
    assert (await service.http.request(method, where, json=body)).status_code == 401
    assert path in web.openapi_schema(service.app)["paths"]


async def test_a_message_that_is_none_is_not_found_and_a_path_that_is_none_is_refused(caller):
    answer = await caller.get(f"/v1/messages/{uuid.uuid4()}")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_message")
    assert (await caller.get("/v1/messages/1")).status_code == 422
