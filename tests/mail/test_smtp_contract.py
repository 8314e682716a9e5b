"""What we stand on in aiosmtplib, pinned, and what the conversation does with a connection it cannot trust.

`protocol.write` and `protocol.read_response` are not documented: a new release that changes them must fail here first.
"""

import asyncio
import uuid

import aiosmtplib
import pytest
from aiosmtplib.errors import SMTPReadTimeoutError, SMTPServerDisconnected

from identity_service.messages.delivery.smtp import Pool
from identity_service.messages.rendering import SmtpEnvelope
from identity_service.settings import Relay
from tests.conftest import QUICK
from tests.faults.conftest import certificate  # noqa: F401 (a fixture)
from tests.faults.relay import DROP, HANG, FaultRelay

PAYLOAD = b"Subject: s\r\n\r\nt\r\n.\r\n"


@pytest.fixture
async def relay():
    found = await FaultRelay().start()
    yield found
    await found.stop()


@pytest.fixture
async def client(relay):
    found = aiosmtplib.SMTP(hostname="127.0.0.1", port=relay.port, timeout=2, start_tls=False, local_hostname="us")
    await found.connect()
    await found.ehlo()
    yield found
    found.close()


async def as_far_as_data(client) -> None:
    for words in ((b"MAIL", b"FROM:<a@x.example>"), (b"RCPT", b"TO:<b@x.example>"), (b"DATA",)):
        await client.execute_command(*words)


def test_this_is_a_release_we_have_read():
    """The two calls below were read in 5.1.3; a new major release wants to be read again."""
    assert [int(part) for part in aiosmtplib.__version__.split(".")[:2]] >= [5, 1]
    assert aiosmtplib.__version__.startswith("5.")


async def test_write_sends_the_bytes_as_they_are_and_read_response_gives_code_and_words(client, relay):
    await as_far_as_data(client)
    client.protocol.write(PAYLOAD)
    reply = await client.protocol.read_response(timeout=2)
    assert (reply.code, reply.message) == (250, "2.0.0 ok: queued as 4F2A")
    assert relay.mails[0][2] == PAYLOAD


async def test_write_waits_for_nothing(client):
    assert not asyncio.iscoroutine(client.protocol.write(b"NOOP\r\n"))
    assert (await client.protocol.read_response(timeout=2)).code == 500


async def test_a_refusal_after_the_dot_is_no_exception(client, relay):
    relay.will("eod", "554 5.6.0 no")
    await as_far_as_data(client)
    client.protocol.write(PAYLOAD)
    assert (await client.protocol.read_response(timeout=2)).code == 554


async def test_a_silent_relay_is_a_read_timeout_and_the_connection_stays_open(client, relay):
    """So closing it is up to us."""
    relay.will("eod", HANG)
    await as_far_as_data(client)
    client.protocol.write(PAYLOAD)
    with pytest.raises(SMTPReadTimeoutError):
        await client.protocol.read_response(timeout=0.1)
    assert client.is_connected


async def test_a_dropped_connection_is_told_as_such(client, relay):
    relay.will("eod", DROP)
    await as_far_as_data(client)
    client.protocol.write(PAYLOAD)
    with pytest.raises(SMTPServerDisconnected):
        await client.protocol.read_response(timeout=2)


async def test_an_answer_that_comes_between_write_and_read_would_be_lost(client):
    """Why nothing is awaited between the two."""
    await as_far_as_data(client)
    client.protocol.write(PAYLOAD)
    await asyncio.sleep(0.2)
    with pytest.raises((SMTPReadTimeoutError, SMTPServerDisconnected)):
        await client.protocol.read_response(timeout=0.2)


@pytest.fixture
async def pool(relay):
    found = Pool(Relay(name="a", host="127.0.0.1", port=relay.port, tls="none"), local_hostname="us", timeouts=QUICK)
    yield found
    await found.close()


def envelope(recipient: str = "anna@example.com") -> SmtpEnvelope:
    return SmtpEnvelope("b+1.2@identity.example", recipient, f"{uuid.uuid4().hex}.0123456789", PAYLOAD)


async def test_a_connection_is_used_again(pool, relay):
    for _ in range(3):
        assert (await pool.deliver(envelope(), priority=0)).outcome == "accepted"
    assert relay.connections == 1
    assert [line for line in relay.transcript if line == "C: EHLO us"] == ["C: EHLO us"]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA", "eod"])
async def test_after_a_refusal_and_a_good_rset_it_is_used_again(pool, relay, verb):
    relay.will(verb, "450 4.2.0 not now")
    report = await pool.deliver(envelope(), priority=0)
    assert (report.code, report.enhanced, report.reply) == (450, "4.2.0", "4.2.0 not now")
    assert (await pool.deliver(envelope(), priority=0)).outcome == "accepted"
    assert relay.connections == 1
    assert relay.transcript.count("C: RSET") == 1


DOUBTS = [
    ("MAIL", "421 4.3.2 closing"),
    ("RCPT", "354 what?"),
    ("DATA", "250 2.0.0 what?"),
    ("eod", "354 what?"),
    ("eod", HANG),
    ("RCPT", HANG),
]


@pytest.mark.parametrize(("verb", "act"), DOUBTS)
async def test_a_connection_in_doubt_is_never_used_again(pool, relay, verb, act):
    """A late answer must not be read as the next letter's."""
    relay.will(verb, act)
    assert (await pool.deliver(envelope(), priority=0)).outcome != "accepted"
    assert (await pool.deliver(envelope(), priority=0)).outcome == "accepted"
    assert relay.connections == 2
    assert [recipient for _, recipient, _ in relay.mails][-1] == "anna@example.com"


@pytest.mark.parametrize("act", [HANG, DROP, "500 5.5.1 no"])
async def test_a_connection_whose_rset_fails_is_closed_and_the_refusal_kept(pool, relay, act):
    relay.will("RCPT", "550 5.1.1 no such user").will("RSET", act)
    assert (await pool.deliver(envelope(), priority=0)).reply == "5.1.1 no such user"
    assert (await pool.deliver(envelope(), priority=0)).outcome == "accepted"
    assert relay.connections == 2


@pytest.mark.parametrize("extensions", [("DSN",), ("SIZE 1000",)])
async def test_notices_are_asked_for_where_the_relay_knows_how(pool, relay, extensions):
    """RFC 3461: headers only, and our own envelope id."""
    relay.extensions = extensions
    letter = envelope("anna+x=y@example.com")
    await pool.deliver(letter, priority=0)
    said = [line[3:] for line in relay.transcript if line.startswith(("C: MAIL", "C: RCPT"))]
    sender, recipient = "MAIL FROM:<b+1.2@identity.example>", "RCPT TO:<anna+x=y@example.com>"
    if extensions == ("DSN",):
        sender += f" RET=HDRS ENVID={letter.envid}"
        recipient += " NOTIFY=FAILURE,DELAY ORCPT=rfc822;anna+2Bx+3Dy@example.com"
    assert said == [sender, recipient]


async def test_the_relay_is_told_exactly_one_recipient(pool, relay):
    """ATT-41: what is said is compared byte by byte."""
    await pool.deliver(envelope(), priority=0)
    assert relay.transcript.count("C: RCPT TO:<anna@example.com>") == 1
    assert sum(line.startswith("C: RCPT") for line in relay.transcript) == 1


async def test_a_smuggled_end_of_data_stays_inside_the_letter(settings, pool, relay):
    """ATT-46: CVE-2023-51764 and its kin; the relay sees one letter."""
    from identity_service.messages import rendering
    from tests.mail.test_letters import KEY, NOW, claimed

    evil = "a\n.\nMAIL FROM:<x@evil.example>\r.\rRCPT TO:<y@evil.example>\r\n.\r\nDATA\n"
    made = rendering.smtp_envelope(
        claimed(), rendering.RenderedEmail("s", evil, f"<p>{evil}</p>"), settings, KEY, now=NOW
    )
    assert (await pool.deliver(made, priority=0)).outcome == "accepted"
    assert (await pool.deliver(envelope(), priority=0)).outcome == "accepted"
    assert [recipient for _, recipient, _ in relay.mails] == ["anna@example.com"] * 2
    assert not any("evil" in line for line in relay.transcript)


def secured(relay, folder=None, tls="starttls", **options) -> Pool:
    trusted = folder / "certificate.pem" if folder else None
    given = Relay(name="a", host="127.0.0.1", port=relay.port, tls=tls, ca_file=trusted, **options)
    return Pool(given, local_hostname="us", timeouts=QUICK)


async def test_with_starttls_the_letter_goes_encrypted(relay, certificate):  # noqa: F811
    """ASVS 12.3.4: by the authority that is named for this relay."""
    relay.extensions, relay.tls = ("STARTTLS", "AUTH PLAIN"), certificate
    report = await secured(relay, certificate.folder, username="u", password="p").deliver(envelope(), priority=0)
    assert (report.outcome, report.tls_version) == ("accepted", "TLSv1.3")
    verbs = [line["verb"] for line in report.transcript]
    assert verbs == ["greeting", "EHLO", "STARTTLS", "EHLO", "AUTH", "MAIL", "RCPT", "DATA", "payload"]


@pytest.mark.parametrize("reply", ["454 4.7.0 not now", "500 5.5.1 what?", DROP, HANG])
async def test_a_relay_that_will_not_encrypt_hears_nothing_more(relay, reply):
    """ATT-47: no login, no address, no letter in clear."""
    relay.extensions = ("STARTTLS", "AUTH PLAIN")
    relay.will("STARTTLS", reply)
    report = await secured(relay, username="u", password="p").deliver(envelope(), priority=0)
    assert (report.outcome, report.phase) == ("relay_fault", "tls")
    assert [line for line in relay.transcript if line.startswith("C: ")] == ["C: EHLO us", "C: STARTTLS"]


@pytest.mark.parametrize("offered", [(), ("STARTTLS",)], ids=["not offered", "offered to strangers"])
async def test_without_a_certificate_we_trust_no_password_is_sent(relay, certificate, offered):  # noqa: F811
    """ATT-47, ASVS 12.3.2, 12.3.4: signed by nobody we know, it is none."""
    relay.extensions, relay.tls = (*offered, "AUTH PLAIN"), certificate
    report = await secured(relay, username="u", password="p").deliver(envelope(), priority=0)
    assert report.outcome == "relay_fault"
    assert not any("AUTH …" in line or "MAIL" in line for line in relay.transcript)


async def test_what_was_said_in_clear_behind_the_starttls_reply_is_not_believed(relay, certificate):  # noqa: F811
    """ATT-47: GHSA-vxj7-4xrp-5vr4, an answer injected before the encryption begins."""
    relay.extensions, relay.tls = ("STARTTLS",), certificate
    relay.will("STARTTLS", "220 2.0.0 ready\r\n250-evil\r\n250 AUTH PLAIN")
    report = await secured(relay, certificate.folder).deliver(envelope(), priority=0)
    assert report.tls_version == "TLSv1.3"
    assert "evil" not in str(report.transcript)
    assert "AUTH" not in report.transcript[3]["text"]
