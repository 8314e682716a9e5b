"""International addresses on the wire (RFC 6531, 6532, 6533): sent where a relay offers SMTPUTF8, else said clearly."""

import email
import email.policy
import uuid

import pytest

from identity_service.messages import rendering
from identity_service.messages.delivery.smtp import Pool
from identity_service.messages.rendering import RenderedEmail, SmtpEnvelope
from identity_service.settings import Relay
from tests.conftest import QUICK
from tests.faults.relay import FaultRelay
from tests.mail.given import put, relays
from tests.mail.sns import page
from tests.mail.test_letters import KEY, NOW, claimed

PAYLOAD = b"Subject: s\r\n\r\nt\r\n.\r\n"
UTF8 = ("8BITMIME", "SMTPUTF8")
WHERE = ["用户@example.com", "jürgen.groß@example.com", "нина@xn--bcher-kva.de"]


@pytest.fixture
async def relay():
    found = await FaultRelay(extensions=UTF8).start()
    yield found
    await found.stop()


@pytest.fixture
async def other():
    found = await FaultRelay(extensions=()).start()
    yield found
    await found.stop()


@pytest.fixture
async def pool(relay):
    found = Pool(Relay(name="a", host="127.0.0.1", port=relay.port, tls="none"), local_hostname="us", timeouts=QUICK)
    yield found
    await found.close()


def envelope(recipient: str) -> SmtpEnvelope:
    return SmtpEnvelope("b+1.2@identity.example", recipient, f"{uuid.uuid4().hex}.0123456789", PAYLOAD)


def commands(relay: FaultRelay) -> list[str]:
    return [line[3:] for line in relay.transcript if line.startswith(("C: MAIL", "C: RCPT"))]


@pytest.mark.parametrize("recipient", WHERE)
async def test_the_parameter_is_given_where_it_is_needed_and_offered(pool, relay, recipient):
    """RFC 6531, 3.4."""
    assert (await pool.deliver(envelope(recipient), priority=0)).outcome == "accepted"
    assert (await pool.deliver(envelope("anna@example.com"), priority=0)).outcome == "accepted"
    assert commands(relay) == [
        "MAIL FROM:<b+1.2@identity.example> SMTPUTF8",
        f"RCPT TO:<{recipient}>",
        "MAIL FROM:<b+1.2@identity.example>",
        "RCPT TO:<anna@example.com>",
    ]


@pytest.mark.parametrize(
    ("recipient", "orcpt"),
    [
        ("用户@example.com", r"utf-8;\x{7528}\x{6237}@example.com"),
        ("jürgen+x=y@example.com", r"utf-8;j\x{FC}rgen\x{2B}x\x{3D}y@example.com"),
    ],
)
async def test_notices_are_asked_for_with_the_address_type_utf_8(pool, relay, recipient, orcpt):
    """RFC 6533, 3."""
    relay.extensions = (*UTF8, "DSN")
    await pool.deliver(envelope(recipient), priority=0)
    sender, recipient_command = commands(relay)
    assert sender.startswith("MAIL FROM:<b+1.2@identity.example> SMTPUTF8 RET=HDRS ENVID=")
    assert recipient_command == f"RCPT TO:<{recipient}> NOTIFY=FAILURE,DELAY ORCPT={orcpt}"


@pytest.mark.parametrize("recipient", WHERE)
async def test_a_relay_without_smtputf8_hears_nothing_and_is_used_again(pool, relay, recipient):
    relay.extensions = ("8BITMIME",)
    for _ in range(3):
        report = await pool.deliver(envelope(recipient), priority=0)
        assert (report.outcome, report.reply_class, report.phase) == ("permanent", "permanent.utf8", "mail")
        assert (report.code, report.reply) == (None, "the relay offers no SMTPUTF8; nothing was sent")
    assert (await pool.deliver(envelope("anna@example.com"), priority=0)).outcome == "accepted"
    assert commands(relay)[0] == "MAIL FROM:<b+1.2@identity.example>"
    assert (relay.connections, len(relay.mails)) == (1, 1)


REFUSALS = [
    ("MAIL", "555 5.5.4 unsupported parameter", "permanent.utf8"),
    ("MAIL", "501 5.5.4 syntax", "permanent.utf8"),
    ("MAIL", "550 5.6.7 the next server cannot", "permanent.utf8"),
    ("RCPT", "553 5.6.7 the next server cannot", "permanent.utf8"),
    ("eod", "554 5.6.7 the next server cannot", "permanent.utf8"),
    ("MAIL", "550 5.7.1 not you", "sender_refused"),
    ("RCPT", "550 5.1.1 no such user", "permanent.address"),
]


@pytest.mark.parametrize(("verb", "reply", "meaning"), REFUSALS)
async def test_a_relay_that_offers_it_and_cannot_is_not_at_fault(pool, relay, verb, reply, meaning):
    """Anybody can ask for an email to such an address: its refusal must not count against the relay."""
    relay.will(verb, reply)
    report = await pool.deliver(envelope(WHERE[0]), priority=0)
    assert (report.reply_class, report.code) == (meaning, int(reply[:3]))


@pytest.mark.parametrize("recipient", WHERE)
def test_the_address_stands_in_the_header_in_utf_8(settings, recipient):
    """RFC 6532; everything else is ASCII, so that nothing needs 8BITMIME."""
    made = rendering.smtp_envelope(
        claimed(recipient_ascii=recipient), RenderedEmail("Änderung", "ä\n", "<p>ä</p>"), settings, KEY, now=NOW
    )
    head, _, body = made.payload.partition(b"\r\n\r\n")
    assert (made.recipient, made.needs_smtputf8) == (recipient, True)
    assert f"\r\nTo: {recipient}\r\n".encode() in head
    assert head.replace(recipient.encode(), b"").isascii()
    assert body.isascii()
    assert str(email.message_from_bytes(made.payload, policy=email.policy.SMTPUTF8)["To"]) == recipient


async def test_the_relay_that_offers_it_gets_the_email(service, caller, relay, other):
    relays(service, other, relay)
    message_id = await put(service, "用户@example.com")
    await service.deliver()
    message = await page(caller, message_id)
    assert (message["state"], message["accepted_relay"], message["to"]) == ("accepted", "b", "用户@example.com")
    assert message["timeline"][1]["sentence"].startswith("a can't send to addresses with letters other than A to Z")
    assert [recipient for _, recipient, _ in relay.mails] == ["用户@example.com"]
    assert other.mails == []


async def test_where_no_relay_offers_it_the_timeline_says_so(service, caller, other):
    second = await FaultRelay(extensions=("8BITMIME",)).start()
    relays(service, other, second)
    message_id = await put(service, "jürgen@example.com")
    await service.deliver()
    message = await page(caller, message_id)
    assert (message["state"], message["attempts"]) == ("rejected", 2)
    assert "can't send to addresses with letters other than A to Z before the @" in message["sentence"]
    assert [entry["reply"] for entry in message["timeline"][1:]] == [
        "the relay offers no SMTPUTF8; nothing was sent"
    ] * 2
    assert (await caller.get("/v1/suppressions")).json()["items"] == []
    await second.stop()


async def test_it_waits_for_the_relay_that_may_offer_it(service, caller, relay, other):
    """A relay that is down for a moment has not refused the address."""
    relays(service, relay, other)
    port = relay.port
    await relay.stop()
    message_id = await put(service, "нина@example.com")
    await service.deliver()
    assert (await page(caller, message_id))["state"] == "deferred"
    again = await FaultRelay(extensions=UTF8).start(port)
    service.clock.advance(minutes=1)
    await service.deliver()
    assert (await page(caller, message_id))["state"] == "accepted"
    await again.stop()


async def test_a_customer_registers_with_such_an_address_in_either_form(service, caller):
    """The stored form is NFC, and the development mailbox gets the welcome."""
    first = await caller.post("/v1/accounts", {"email": "ju\u0308rgen@example.com"})
    again = await caller.post("/v1/accounts", {"email": "JÜRGEN@example.com"})
    assert first.status_code == 201
    assert again.status_code in (200, 409)
    assert await service.rows("SELECT email, email_key FROM account") == [("jürgen@example.com", "jürgen@example.com")]
    await service.deliver()
    assert len(service.mailbox.letters("jürgen@example.com")) == 1
