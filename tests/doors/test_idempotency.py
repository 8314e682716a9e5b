"""`Idempotency-Key`: one effect and one answer however often a POST is sent; after a refusal or a crash, neither."""

import asyncio
import contextlib
import re

import pytest
from sqlalchemy import text

from identity_service.web import idempotency
from tests.accounts.given import an_account

BODY = {"display_name": "Anna Unmistakable", "email": "anna.unmistakable@example.com"}


async def count(service) -> int:
    ((found,),) = await service.rows("SELECT count(*) FROM account")
    return found


@contextlib.asynccontextmanager
async def trigger(owner, table: str, event: str, statement: str, *, constraint: bool = False):
    """Let the database do something at an event of a table."""
    kind, when = ("CONSTRAINT TRIGGER", "DEFERRABLE INITIALLY DEFERRED") if constraint else ("TRIGGER", "")
    async with owner.begin() as connection:
        await connection.execute(
            text(f"CREATE FUNCTION fault() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {statement} END $$")
        )
        await connection.execute(
            text(f"CREATE {kind} fault {event} ON {table} {when} FOR EACH ROW EXECUTE FUNCTION fault()")
        )
    try:
        yield
    finally:
        async with owner.begin() as connection:
            await connection.execute(text(f"DROP TRIGGER fault ON {table}"))
            await connection.execute(text("DROP FUNCTION fault()"))


async def test_the_same_request_gets_the_first_answer_again(service, caller):
    """API-02: status, body, Location and ETag are those of the first; nothing happens again."""
    first = await caller.post("/v1/accounts", BODY, headers={"Idempotency-Key": "k1"})
    again = await caller.post("/v1/accounts", BODY, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    for name in ("Location", "ETag", "Content-Type", "Cache-Control", "X-Content-Type-Options"):
        assert again.headers[name] == first.headers[name]
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["X-Request-ID"] != first.headers["X-Request-ID"]
    assert await count(service) == 1
    assert await service.rows("SELECT count(*) FROM message") == [(1,)]


async def test_the_first_answer_stays_when_the_account_has_changed(caller):
    first = await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"})
    await caller.patch(f"/v1/accounts/{first.json()['user_id']}", {"display_name": "Eve"})
    again = await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"})
    assert again.json() == first.json()


async def test_the_order_of_fields_and_blanks_make_no_other_body(service, caller):
    headers = {**caller.headers, "Content-Type": "application/json", "Idempotency-Key": "k1"}
    for body in (b'{"display_name": "Anna", "locale": "de"}', b'{ "locale":"de","display_name":"\\u0041nna" }'):
        assert (await service.http.post("/v1/accounts", content=body, headers=headers)).status_code == 201
    assert await count(service) == 1


async def test_without_a_key_every_request_is_its_own(service, caller):
    """API-02."""
    for _ in range(2):
        assert (await caller.post("/v1/accounts", {})).status_code == 201
    assert await count(service) == 2


@pytest.mark.parametrize(
    "other", [{}, {**BODY, "locale": "de"}, {**BODY, "display_name": "anna unmistakable"}], ids=str
)
async def test_another_body_under_the_same_key_is_refused(service, caller, other):
    """API-02."""
    await caller.post("/v1/accounts", BODY, headers={"Idempotency-Key": "k1"})
    refused = await caller.post("/v1/accounts", other, headers={"Idempotency-Key": "k1"})
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")
    assert "nmistakable" not in refused.text
    assert await count(service) == 1


async def test_the_same_key_of_another_client_is_another_key(service, caller):
    """REL-20: neither effect nor answer is shared."""
    other = await service.caller(name="billing")
    mine = await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"})
    theirs = await other.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"})
    assert (mine.status_code, theirs.status_code) == (201, 201)
    assert mine.json()["user_id"] != theirs.json()["user_id"]


async def test_the_same_key_on_another_route_is_another_key(service, caller):
    user_id = await an_account(caller)
    first = await caller.post("/v1/accounts", {"email": "a@example.com"}, headers={"Idempotency-Key": "k1"})
    path = f"/v1/accounts/{user_id}/email-changes"
    added = await caller.post(path, {"email": "b@example.com"}, headers={"Idempotency-Key": "k1"})
    assert (first.status_code, added.status_code) == (201, 200)


async def test_the_same_key_for_another_account_is_refused(caller):
    """The path is part of what was asked: the answer about one customer is never given for another."""
    one, two = await an_account(caller), await an_account(caller)
    headers, body = {"Idempotency-Key": "k1"}, {"email": "b@example.com"}
    assert (await caller.post(f"/v1/accounts/{one}/email-changes", body, headers=headers)).status_code == 200
    refused = await caller.post(f"/v1/accounts/{two}/email-changes", body, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (422, "idempotency_key_reused")


@pytest.mark.parametrize("key", ["k", "k" * 255, "with blanks inside", "!#$%&'()*+,-./:;<=>?@[]^_`{|}~"])
async def test_a_key_may_be_quoted_or_not(service, caller, key):
    """API-02; draft 08 writes it in quotes, most clients do not."""
    bare = await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": key})
    quoted = await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": f'"{key}"'})
    assert bare.status_code == 201
    assert quoted.json() == bare.json()
    assert await count(service) == 1


@pytest.mark.parametrize("key", ["", '""', '"', "k" * 256, '"' + "k" * 256 + '"', "ä", "a\tb", "k" * 5000])
async def test_a_key_that_is_none_is_refused(service, caller, key):
    """API-02: 256 characters are too many."""
    refused = await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": key.encode()})
    assert (refused.status_code, refused.json()["code"]) in ((422, "malformed_idempotency_key"), (422, "invalid_shape"))
    assert await count(service) == 0


async def test_after_a_day_the_key_means_a_new_request(service, caller):
    """API-02: 24 hours, as is published; the access token has ended long before."""
    await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"})
    service.clock.advance(hours=23, minutes=59)
    caller.token = await a_new_token(service, caller)
    again = await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"})
    assert again.headers["Idempotency-Replayed"] == "true"
    service.clock.advance(minutes=2)
    fresh = await caller.post("/v1/accounts", {"locale": "de"}, headers={"Idempotency-Key": "k1"})
    assert fresh.status_code == 201
    assert await count(service) == 2


async def a_new_token(service, caller) -> str:
    answer = await service.http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(caller.client_id, caller.client_secret)
    )
    return answer.json()["access_token"]


async def test_upkeep_forgets_what_is_over_and_keeps_the_rest(service, caller, owner):
    for key in ("old", "new"):
        await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": key})
    async with owner.begin() as connection:
        await connection.execute(
            text("UPDATE idempotency_key SET expires_at = now() - interval '1s' WHERE key = 'old'")
        )
    await service.database.in_transaction(idempotency.purge_keys)
    assert await service.rows("SELECT key FROM idempotency_key") == [("new",)]


@pytest.mark.parametrize(
    ("body", "status"),
    [({"email": "x"}, 422), ({"colour": 1}, 422), ({"external_ref": "17", "email": "c@example.com"}, 409)],
    ids=["malformed", "wrong shape", "conflict"],
)
async def test_a_refused_request_is_not_remembered(service, caller, body, status):
    """API-03: what was undone leaves no key, so the caller may mend his request and keep it."""
    await an_account(caller, external_ref="17")
    refused = await caller.post("/v1/accounts", body, headers={"Idempotency-Key": "k1"})
    assert refused.status_code == status
    assert await service.rows("SELECT count(*) FROM idempotency_key") == [(0,)]
    assert (await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"})).status_code == 201


CRASHES = {
    "when the answer is kept": ("idempotency_key", "BEFORE UPDATE", False),
    "when the event is written": ("event", "BEFORE INSERT", False),
    "at the commit": ("account", "AFTER INSERT", True),
}


@pytest.mark.parametrize(("statement", "status"), [
    ("RAISE EXCEPTION 'fault';", 500),
    ("PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW;", 503),
], ids=["error", "connection lost"])  # fmt: skip
@pytest.mark.parametrize(("table", "event", "constraint"), CRASHES.values(), ids=CRASHES.keys())
async def test_a_crash_between_effect_and_answer_keeps_neither(
    service, caller, owner, table, event, constraint, statement, status
):
    """API-03: a 5xx is not remembered, and the same request then has its effect once."""
    async with trigger(owner, table, event, f"SET LOCAL search_path = public; {statement}", constraint=constraint):
        failed = await caller.post("/v1/accounts", BODY, headers={"Idempotency-Key": "k1"})
        assert failed.status_code == status
        assert "nmistakable" not in failed.text
    for table_ in ("account", "message", "event WHERE name NOT LIKE 'client%'", "idempotency_key"):
        assert await service.rows(f"SELECT count(*) FROM {table_}") == [(0,)], table_
    made = await caller.post("/v1/accounts", BODY, headers={"Idempotency-Key": "k1"})
    assert made.status_code == 201
    assert "Idempotency-Replayed" not in made.headers
    assert await count(service) == 1


async def test_a_stored_answer_holds_no_address(service, caller):
    """API-03: it is sealed; a dump of the table shows neither address nor name nor the key of the mailbox."""
    made = await caller.post("/v1/accounts", BODY, headers={"Idempotency-Key": "k1"})
    assert BODY["email"] in made.text
    ((answer, whole),) = await service.rows("SELECT answer, row_to_json(k)::text FROM idempotency_key k")
    assert len(answer) > 100
    for form in (bytes(answer), bytes.fromhex(re.search(r'"answer":"\\\\x([0-9a-f]+)"', whole)[1]), whole.encode()):
        assert not re.search(rb"(?i)unmistakable|example\.com", form)


async def test_a_hundred_at_once_have_one_effect(service, caller):
    """REL-20: one effect; the rest wait and get its answer, or 409 with Retry-After, and nothing else."""
    answers = await asyncio.gather(
        *(caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"}) for _ in range(100))
    )
    assert await count(service) == 1
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.text for answer in made}) == 1
    assert sum("Idempotency-Replayed" not in answer.headers for answer in made) == 1
    for busy in (answer for answer in answers if answer.status_code == 409):
        assert (busy.json()["code"], int(busy.headers["Retry-After"]) > 0) == ("request_in_progress", True)


async def test_a_first_request_that_takes_long_is_not_run_twice(service, caller, owner):
    """API-02: the second waits at most 2 s, then 409 with Retry-After; afterwards it finds the answer."""
    async with owner.connect() as connection:
        await connection.execute(text("LOCK TABLE account IN SHARE MODE"))
        first = asyncio.create_task(caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"}))
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        async with asyncio.timeout(4):
            while await service.rows(waiting) == [(0,)]:  # noqa: ASYNC110 (the database tells, nobody else knows)
                await asyncio.sleep(0.02)
        second = await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"})
        assert (second.status_code, second.json()["code"]) == (409, "request_in_progress")
        assert second.headers["Retry-After"] == "2"
        await connection.rollback()
    assert (await first).status_code == 201
    again = await caller.post("/v1/accounts", {}, headers={"Idempotency-Key": "k1"})
    assert again.json() == (await first).json()
    assert await count(service) == 1
