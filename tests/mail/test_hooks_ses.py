"""Amazon SES by SNS: what each event does to a letter, in whatever order and however often it comes."""

import uuid

import pytest

from tests.mail.given import a_letter, claim, end, put
from tests.mail.sns import bounce, event, page

EVENTS = [
    ("Send", "accepted", "provider_accepted"),
    ("DeliveryDelay", "accepted", "delayed"),
    ("Delivery", "delivered", "delivered"),
    ("Reject", "bounced", "dropped"),
    ("Rendering Failure", "bounced", "dropped"),
    ("Complaint", "accepted", "complained"),
]


@pytest.mark.parametrize(("name", "state", "what"), EVENTS)
async def test_each_event_is_told_in_our_words(service, caller, sns, name, state, what):
    message_id = await a_letter(service, "accepted")
    assert (await sns.tell(event(name, message_id))).status_code == 200
    message = await page(caller, message_id)
    last = message["timeline"][-1]
    assert (message["state"], last["kind"], last["source"]) == (state, what, "ses")
    assert (message["delayed_since"] is not None) == (what == "delayed")


@pytest.mark.parametrize(
    ("kind", "subtype", "state", "left_alone"),
    [
        ("Permanent", "General", "bounced", True),
        ("Permanent", "NoEmail", "bounced", True),
        ("Permanent", "Suppressed", "bounced", False),
        ("Permanent", "OnAccountSuppressionList", "bounced", False),
        ("Transient", "MailboxFull", "bounced", True),
        ("Undetermined", "Undetermined", "bounced", True),
    ],
)
async def test_a_bounce_ends_the_letter_also_if_it_is_called_soft(
    service, caller, sns, kind, subtype, state, left_alone
):
    """SES has given up; whether nobody has the mailbox is decided by the mail server's words, here 5.1.1."""
    message_id = await a_letter(service, "accepted")
    await sns.tell(bounce(message_id, kind, subtype))
    message = await page(caller, message_id)
    last = message["timeline"][-1]
    assert (message["state"], last["code"], last["enhanced"]) == (state, 550, "5.1.1")
    assert last["reply"] == "550 5.1.1 user unknown"
    assert len((await caller.get("/v1/suppressions")).json()["items"]) == int(left_alone)


@pytest.mark.parametrize("name", ["Open", "Click", "Subscription", "Whatever"])
async def test_who_reads_his_mail_is_not_recorded(service, caller, sns, name):
    """Opens and clicks are never used, even where a provider sends them."""
    message_id = await a_letter(service, "accepted")
    assert (await sns.tell(event(name, message_id))).status_code == 200
    assert await service.rows("SELECT 1 FROM feedback") == []
    assert await service.rows("SELECT 1 FROM inbound_mail") == []


async def test_the_same_event_twice_is_one(service, caller, sns):
    """ATT-65: the same delivery, and the same event delivered again under another id."""
    message_id = await a_letter(service, "accepted")
    said = bounce(message_id)
    said["mail"]["messageId"] = "0100019example-000000"
    signed = sns.sign(sns.envelope(said))
    before = [(await sns.send(signed)).status_code for _ in range(3)]
    assert before == [200, 200, 200]
    assert (await sns.tell(said)).status_code == 200
    assert await service.rows("SELECT count(*) FROM feedback") == [(1,)]
    assert [entry["kind"] for entry in (await page(caller, message_id))["timeline"]].count("bounced") == 1


ORDERS = [
    (("Delivery", "Bounce"), "bounced"),
    (("Bounce", "Delivery"), "bounced"),
    (("Delivery", "Send"), "delivered"),
    (("Bounce", "Send", "Delivery", "DeliveryDelay"), "bounced"),
]


@pytest.mark.parametrize(("names", "state"), ORDERS)
async def test_in_whatever_order_events_come_the_page_shows_the_end(service, caller, sns, names, state):
    """ATT-65."""
    message_id = await a_letter(service, "accepted")
    for name in names:
        service.clock.advance(seconds=1)
        await sns.tell(bounce(message_id) if name == "Bounce" else event(name, message_id))
    message = await page(caller, message_id)
    assert message["state"] == state
    assert len(message["timeline"]) == 2 + len(names)


async def test_an_event_that_overtakes_our_own_commit_is_kept_and_applied(service, caller, sns):
    message_id = await put(service)
    claimed = await claim(service)
    await sns.tell(event("Delivery", message_id))
    assert (await page(caller, message_id))["state"] == "sending"
    await end(service, claimed, "accepted")
    assert (await page(caller, message_id))["state"] == "delivered"


@pytest.mark.parametrize("tags", [{}, {"msg": ["no id"]}, {"msg": [str(uuid.uuid4())]}, None])
async def test_an_event_about_no_letter_of_ours_is_kept_as_unmatched(service, caller, sns, tags):
    message_id = await a_letter(service, "accepted")
    answer = await sns.tell({**bounce(message_id), "mail": {"tags": tags} if tags is not None else None})
    assert answer.status_code == 200
    assert await service.rows("SELECT message_id FROM feedback") == [(None,)]
    assert (await page(caller, message_id))["state"] == "accepted"


@pytest.mark.parametrize("raw", [b"", b"[]", b"{", b'{"a":1,"a":2}', b"\xff", b"[" * 100_000], ids=range(6))
async def test_what_is_no_envelope_is_refused(service, sns, raw):
    answer = await service.http.post("/webhooks/ses", content=raw)
    assert (answer.status_code, answer.json()["code"]) == (400, "unreadable_notice")


async def test_a_hook_beyond_1_mib_is_refused(service, sns):
    answer = await service.http.post("/webhooks/ses", content=b"x" * (1024 * 1024 + 1))
    assert answer.status_code == 413
