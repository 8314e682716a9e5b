"""AUD-05: nothing personal in what is never removed. Canaries go in everywhere; the tables are searched for them."""

import pytest

from identity_service.messages import rendering
from identity_service.messages import rules as message_rules
from identity_service.messages.inbound import dsn, feedback
from identity_service.settings import Relay
from tests.accounts.given import an_account
from tests.faults.relay import FaultRelay

CANARY = "kanarienvogel"
ADDRESS = f"{CANARY}@{CANARY}.example"
KEPT_FOR_EVER = ("event", "sealed_event", "feedback")
NOTICE = f"""\
From: MAILER-DAEMON@{CANARY}.example
To: {{to}}
Subject: {CANARY} is unknown here
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

{CANARY} has moved away.

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.{CANARY}.example

Original-Recipient: rfc822; {ADDRESS}
Final-Recipient: rfc822; {ADDRESS}
Action: failed
Status: 5.1.1
Diagnostic-Code: smtp; 550 5.1.1 {CANARY}: no such user

--b--
"""


@pytest.fixture
async def relay():
    """A relay that names the customer in everything it says, and at first refuses him."""
    server = await FaultRelay().start()
    server.will("RCPT", f"451 4.2.0 <{ADDRESS}> later")
    server.will("EOD", f"250 2.0.0 Ok: queued as {CANARY} for <{ADDRESS}>")
    yield Relay(name="talks", host="127.0.0.1", port=server.port, tls="none")
    await server.stop()


async def deliver(service, relay) -> None:
    sender = service.sender(relay)
    try:
        await sender.once()
    finally:
        await sender.relays.close()
        await sender.database.close()


async def comes_back(service) -> str:
    """A hard bounce of the newest letter, as the bounce door takes it in."""
    async with service.database.transaction() as session:
        ((message_id,),) = await service.rows("SELECT id FROM message ORDER BY created_at LIMIT 1")
        key = session.keys.internal()
        to = rendering.return_address(message_id.hex, service.database.settings.sender_domain, key)
        raw = NOTICE.format(to=to).encode()
        notice = feedback.notice_of(
            session, dsn.read_returned_mail(raw, ADDRESS), raw,
            envelope_from=ADDRESS, envelope_to=to, now=service.clock(),
        )  # fmt: skip
        return await feedback.apply_notice(session, notice, via="smtp", now=service.clock())


async def a_whole_life(service, caller, relay) -> None:
    """Everything that can be told about a customer so far, with the canary wherever text may stand."""
    user_id = await an_account(caller, external_ref=f"ref {CANARY}", display_name=f"Anna {CANARY}", locale="de")
    key = {"Idempotency-Key": CANARY}
    added = await caller.post(f"/v1/accounts/{user_id}/email-changes", {"email": ADDRESS}, headers=key)
    assert added.status_code == 200
    await caller.patch(f"/v1/accounts/{user_id}", {"display_name": f"{CANARY} Berg"})
    await caller.post("/v1/accounts/search", {"email": ADDRESS})
    await caller.post("/v1/accounts/verifications", {"user_ids": [CANARY]})
    await deliver(service, relay)
    service.clock.now += message_rules.GREYLIST_WAIT * 20
    caller.token = (await service.caller(name="later")).token
    await deliver(service, relay)
    assert await comes_back(service) == "applied"
    ((message_id,),) = await service.rows("SELECT id FROM message")
    await caller.post(f"/v1/messages/{message_id}/retry", {})
    ((suppression,),) = await service.rows("SELECT id FROM suppression")
    lifted = await caller.post(f"/v1/suppressions/{suppression}/lift")
    assert lifted.status_code == 200, lifted.text


async def test_no_word_about_a_customer_stands_in_what_is_kept_for_ever(service, caller, relay):
    """AUD-05, AUD-01: ids, codes and hashes; of a person only the User ID."""
    await a_whole_life(service, caller, relay)
    await service.seal()
    told = {row[0] for row in await service.rows("SELECT DISTINCT name FROM event")}
    assert {"mail.deferred", "mail.accepted", "mail.bounced", "mail.retried", "account.updated"} <= told
    assert "mail.suppression_lifted" in told
    for table in KEPT_FOR_EVER:
        assert await service.rows(f"SELECT t::text FROM {table} t WHERE t::text ILIKE '%{CANARY}%'") == []
        assert await service.rows(f"SELECT count(*) > 0 FROM {table}") == [(True,)]


async def test_no_word_about_a_customer_stands_in_the_feed(service, caller, relay):
    """AUD-05: what other services copy cannot be taken back."""
    await a_whole_life(service, caller, relay)
    await service.seal()
    answer = await caller.get("/v1/events", params={"limit": 200})
    assert len(answer.json()["items"]) > 8
    assert CANARY not in answer.text.lower()


async def test_the_canary_did_get_as_far_as_what_can_be_erased(service, caller, relay):
    """Else the two above would prove nothing."""
    await a_whole_life(service, caller, relay)
    for table in ("account", "external_reference", "message", "attempt", "inbound_mail", "idempotency_key"):
        found = await service.rows(f"SELECT count(*) FROM {table} t WHERE t::text ILIKE '%{CANARY}%'")
        assert found[0][0] > 0, table
