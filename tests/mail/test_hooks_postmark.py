"""Postmark's webhooks, which are not signed: our secret proves their origin, in a header or as password (ATT-65)."""

import base64
import uuid

import pytest
from pydantic import SecretStr

from tests.mail.given import a_letter

SECRET = "a-secret-of-the-hooks"


@pytest.fixture(autouse=True)
def secret(service) -> None:
    settings = service.database.settings.model_copy(update={"webhook_secret": SecretStr(SECRET)})
    service.database.settings = settings


def basic(password: str, user: str = "postmark") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def event(record: str, message_id: str, **more) -> dict:
    return {
        "RecordType": record, "MessageID": "883953f4", "Recipient": "anna@example.com", "MessageStream": "outbound",
        "Metadata": {"msg": uuid.UUID(message_id).hex}, **more,
    }  # fmt: skip


def bounce(message_id: str, kind: str = "HardBounce", **more) -> dict:
    said = {
        "ID": 42,
        "Type": kind,
        "Details": "smtp;550 5.1.1 user unknown",
        "BouncedAt": "2019-11-05T16:33:54.9070259Z",
    }
    return event("Bounce", message_id, **said, **more)


async def tell(service, body: dict, headers: dict | None = None):
    return await service.http.post(
        "/webhooks/postmark", json=body, headers=basic(SECRET) if headers is None else headers
    )


async def page(caller, message_id: str) -> dict:
    return (await caller.get(f"/v1/messages/{message_id}")).json()


GOOD = [
    basic(SECRET),
    basic(SECRET, ""),
    basic(SECRET, "anybody"),
    {"X-Webhook-Secret": SECRET},
    {"Authorization": f"Bearer {SECRET}"},
]


@pytest.mark.parametrize("headers", GOOD, ids=lambda headers: next(iter(headers)))
async def test_who_knows_the_secret_is_believed(service, caller, headers):
    message_id = await a_letter(service, "accepted")
    assert (await tell(service, bounce(message_id), headers)).status_code == 200
    assert (await page(caller, message_id))["state"] == "bounced"


BAD = [
    {},
    basic("wrong"),
    basic(""),
    basic(SECRET + "x"),
    basic(SECRET[:-1]),
    basic("", SECRET),
    {"Authorization": "Bearer wrong"},
    {"Authorization": f"Basic {SECRET}"},
    {"Authorization": "Basic"},
    {"Authorization": "Basic ////"},
    {"X-Webhook-Secret": ""},
    {"X-Webhook-Secret": "wrong"},
    {"X-Webhook-Secret": "wrong", **basic(SECRET)},
]


@pytest.mark.parametrize("headers", BAD, ids=range(len(BAD)))
async def test_who_does_not_is_refused_and_nothing_is_kept(service, caller, headers):
    """ATT-65."""
    message_id = await a_letter(service, "accepted")
    answer = await tell(service, bounce(message_id), headers)
    assert (answer.status_code, answer.json()["code"]) == (403, "unsigned_notice")
    assert (await page(caller, message_id))["state"] == "accepted"
    assert await service.rows("SELECT 1 FROM inbound_mail") == []


@pytest.mark.parametrize("configured", [None, SecretStr("")])
@pytest.mark.parametrize("headers", [{}, {"X-Webhook-Secret": ""}, basic(""), basic("None")], ids=range(4))
async def test_without_a_configured_secret_the_hook_is_closed(service, configured, headers):
    """ATT-63, ATT-65: an empty secret is no secret."""
    settings = service.database.settings.model_copy(update={"webhook_secret": configured})
    service.database.settings = settings
    message_id = await a_letter(service, "accepted")
    assert (await tell(service, bounce(message_id), headers)).status_code == 403


BOUNCES = [
    ("HardBounce", "bounced", "bounced", True),
    ("Transient", "bounced", "bounced", True),
    ("SoftBounce", "bounced", "bounced", True),
    ("DnsError", "bounced", "bounced", True),
    ("Blocked", "bounced", "bounced", True),
    ("SMTPApiError", "bounced", "dropped", False),
    ("ManuallyDeactivated", "bounced", "dropped", False),
    ("AutoResponder", "accepted", "autoreply", False),
    ("SpamComplaint", "accepted", "complained", False),
    ("SomethingNew", "bounced", "bounced", True),
]


@pytest.mark.parametrize(("kind", "state", "what", "left_alone"), BOUNCES)
async def test_each_kind_of_bounce_is_told_in_our_words(service, caller, kind, state, what, left_alone):
    """The mail server's words, here 5.1.1, are more exact than Postmark's classes of failures."""
    message_id = await a_letter(service, "accepted")
    await tell(service, bounce(message_id, kind))
    message = await page(caller, message_id)
    last = message["timeline"][-1]
    assert (message["state"], last["kind"], last["source"]) == (state, what, "postmark")
    assert (last["code"], last["enhanced"], last["reply"]) == (550, "5.1.1", "550 5.1.1 user unknown")
    assert len((await caller.get("/v1/suppressions")).json()["items"]) == int(left_alone)


@pytest.mark.parametrize(("record", "state"), [("Delivery", "delivered"), ("SpamComplaint", "accepted")])
async def test_deliveries_and_complaints_are_told(service, caller, record, state):
    message_id = await a_letter(service, "accepted")
    await tell(service, event(record, message_id, DeliveredAt="2019-11-05T16:33:54.9070259Z"))
    assert (await page(caller, message_id))["state"] == state
    assert await service.rows("SELECT count(*) FROM feedback") == [(1,)]


@pytest.mark.parametrize("record", ["Open", "Click", "SubscriptionChange", "", None, 7])
async def test_who_reads_his_mail_is_not_recorded(service, record):
    message_id = await a_letter(service, "accepted")
    assert (await tell(service, {**event("Open", message_id), "RecordType": record})).status_code == 200
    assert await service.rows("SELECT 1 FROM feedback UNION ALL SELECT 1 FROM inbound_mail") == []


async def test_the_same_event_twice_is_one(service, caller):
    """ATT-65."""
    message_id = await a_letter(service, "accepted")
    for _ in range(3):
        assert (await tell(service, bounce(message_id))).status_code == 200
    assert await service.rows("SELECT count(*) FROM feedback") == [(1,)]


@pytest.mark.parametrize("order", [("Delivery", "Bounce"), ("Bounce", "Delivery")])
async def test_in_either_order_the_bounce_is_the_end(service, caller, order):
    """ATT-65."""
    message_id = await a_letter(service, "accepted")
    for record in order:
        await tell(service, bounce(message_id) if record == "Bounce" else event(record, message_id))
    message = await page(caller, message_id)
    assert (message["state"], len(message["timeline"])) == ("bounced", 4)


NOBODYS = str(uuid.UUID(int=7))


@pytest.mark.parametrize("metadata", [None, [], {}, {"msg": None}, {"msg": "x"}, {"msg": NOBODYS}], ids=str)
async def test_an_event_about_no_letter_of_ours_is_kept_as_unmatched(service, caller, metadata):
    message_id = await a_letter(service, "accepted")
    assert (await tell(service, {**bounce(message_id), "Metadata": metadata})).status_code == 200
    assert await service.rows("SELECT message_id FROM feedback") == [(None,)]
    assert (await page(caller, message_id))["state"] == "accepted"


async def test_what_the_recipients_server_said_is_scrubbed(service, caller):
    message_id = await a_letter(service, "accepted")
    details = "smtp;550 5.7.1 see\x00 https://id.example.com/x#v1.abcdefghijkl.SECRETSECRET"
    await tell(service, {**bounce(message_id), "Details": details})
    reply = (await page(caller, message_id))["timeline"][-1]["reply"]
    assert reply.endswith("[link]")
    kept = await service.rows("SELECT detail::text, raw FROM inbound_mail")
    assert "SECRET" not in str(kept)
    assert "\x00" not in reply


@pytest.mark.parametrize("raw", [b"", b"[1]", b"nothing", b'{"a": NaN}', b'{"a":1,"a":1}'], ids=range(5))
async def test_what_cannot_be_read_in_one_way_is_refused(service, raw):
    answer = await service.http.post("/webhooks/postmark", content=raw, headers=basic(SECRET))
    assert (answer.status_code, answer.json()["code"]) == (400, "unreadable_notice")


async def test_a_body_beyond_1_mib_is_refused(service):
    answer = await service.http.post("/webhooks/postmark", content=b" " * (1024 * 1024 + 1), headers=basic(SECRET))
    assert answer.status_code == 413


@pytest.mark.parametrize("provider", ["sparkpost", "mailgun/x", "SES", ""])
async def test_a_provider_we_do_not_know_has_no_door(service, provider):
    assert (await service.http.post(f"/webhooks/{provider}", json={})).status_code in (404, 422)
