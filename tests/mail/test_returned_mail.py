"""What comes back: notices at the bounce door and in providers' hooks; only what is vouched for changes anything."""

import asyncio
import smtplib
from email.message import EmailMessage

import pytest
from sqlalchemy import text

from identity_service.messages import rendering
from identity_service.messages.inbound import bounce_server
from tests.conftest import Service
from tests.mail.given import everything_read

DSN = """\
From: MAILER-DAEMON@mx.example.net
To: {to}
Subject: Undelivered Mail Returned to Sender
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain

I am sorry. See https://id.example.com/reset/choose#v1.abcdefghijklmnop.qrstuvwxyz

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.net
{envid}
Final-Recipient: rfc822; anna@example.com
Action: {action}
Status: {status}
Remote-MTA: dns; mail.example.com
Diagnostic-Code: smtp; {diagnostic}

--b
Content-Type: message/rfc822

Subject: Your User ID

the whole letter
--b--
"""


def dsn(to="x@y.z", action="failed", status="5.1.1", diagnostic="550 5.1.1 no such user", envid="") -> bytes:
    text = DSN.format(to=to, action=action, status=status, diagnostic=diagnostic, envid=envid)
    return text.replace("\n\nFinal", "\nX: y\n\nFinal" if not envid else "\n\nFinal").encode()


class Letter:
    """A letter that a relay has taken, and the door its notices come back to."""

    def __init__(self, service: Service, caller, message: dict, port: int) -> None:
        self.service, self.caller, self.id, self.port = service, caller, message["id"], port
        key = service.database.keys.internal()
        self.to = rendering.return_address(self.id.replace("-", ""), service.database.settings.sender_domain, key)
        self.envid = rendering.envelope_id(self.id.replace("-", ""), key)

    async def returns(self, raw: bytes, to: str | None = None) -> None:
        def send() -> None:
            with smtplib.SMTP("127.0.0.1", self.port, local_hostname="mx.example.net") as smtp:
                smtp.sendmail("", [to or self.to], raw)

        await asyncio.to_thread(send)
        await self.read()

    async def read(self) -> None:
        """Wait until everything that was stored has been read."""
        await everything_read(self.service)

    async def message(self) -> dict:
        return (await self.caller.get(f"/v1/messages/{self.id}")).json()


class _Session:
    def __init__(self, service: Service) -> None:
        self.info = service.database.info


@pytest.fixture
async def letter(service: Service, caller):
    await caller.post("/v1/accounts", {"email": "anna@example.com"})
    await service.deliver()
    (message,) = (await caller.get("/v1/messages")).json()["items"]
    door = await bounce_server.listen_for_bounces(service.database, "127.0.0.1", 0)
    yield Letter(service, caller, message, door.sockets[0].getsockname()[1])
    door.close()
    await door.wait_closed()


async def test_a_hard_bounce_with_our_tag_moves_the_letter_and_leaves_the_address_alone(letter: Letter):
    await letter.returns(dsn())
    message = await letter.message()
    assert message["state"] == "bounced"
    last = message["timeline"][-1]
    assert (last["kind"], last["code"], last["enhanced"], last["reply"]) == (
        "bounced", 550, "5.1.1", "550 5.1.1 no such user",
    )  # fmt: skip
    (suppression,) = (await letter.caller.get("/v1/suppressions")).json()["items"]
    assert suppression["domain"] == "example.com"


async def test_the_envelope_id_vouches_as_well(letter: Letter):
    other = "b+00000000000000000000000000000000.0000000000@identity.example"
    await letter.returns(dsn(envid=f"Original-Envelope-Id: {letter.envid}\n"), to=other)
    assert (await letter.message())["state"] == "bounced"


async def test_a_letter_given_up_after_delays_has_bounced_and_its_address_is_not_dead(letter: Letter):
    await letter.returns(dsn(status="4.2.2", diagnostic="452 4.2.2 mailbox full"))
    assert (await letter.message())["state"] == "bounced"
    assert (await letter.caller.get("/v1/suppressions")).json()["items"] == []


async def test_a_delay_is_told_and_changes_no_state(letter: Letter):
    await letter.returns(dsn(action="delayed", status="4.4.1", diagnostic="connect timed out"))
    message = await letter.message()
    assert message["state"] == "accepted"
    assert message["delayed_since"] is not None
    assert "on its way" in message["timeline"][-1]["sentence"]


async def test_a_forged_notice_changes_nothing_and_is_kept_as_unmatched(letter: Letter):
    forged = letter.to.replace(letter.to.split(".")[1][:10], "0123456789")
    await letter.returns(dsn(to=forged), to=forged)
    assert (await letter.message())["state"] == "accepted"
    rows = await letter.service.rows("SELECT parse_status, message_id FROM inbound_mail")
    assert [tuple(row) for row in rows] == [("unmatched", None)]
    assert await letter.service.rows("SELECT 1 FROM suppression") == []


async def test_the_same_notice_twice_counts_once(letter: Letter):
    await letter.returns(dsn())
    await letter.returns(dsn())
    assert len([e for e in (await letter.message())["timeline"] if e["kind"] == "bounced"]) == 1


async def test_the_returned_letter_and_our_links_are_not_kept(letter: Letter):
    await letter.returns(
        dsn(diagnostic="550 5.7.1 rejected: https://id.example.com/reset/choose#v1.abcdefghij.klmnopq")
    )
    rows = await letter.service.rows("SELECT raw, detail::text FROM inbound_mail")
    kept = " ".join(str(value) for row in rows for value in row)
    assert "the whole letter" not in kept
    assert "v1.abcdefghij" not in kept


async def test_mail_for_other_addresses_is_refused_at_the_door(letter: Letter):
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await letter.returns(dsn(), to="postmaster@identity.example")


async def test_a_notice_of_fifty_megabytes_is_refused_and_the_letter_stays_as_it_was(letter: Letter):
    with pytest.raises((smtplib.SMTPDataError, smtplib.SMTPServerDisconnected, smtplib.SMTPSenderRefused, OSError)):
        await letter.returns(dsn() + b"x" * 50_000_000)
    assert (await letter.message())["state"] == "accepted"


async def test_a_notice_with_a_thousand_nested_parts_is_kept_as_unreadable(letter: Letter):
    nested = b"".join(
        b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (number, number) for number in range(1000)
    )
    await letter.returns(b"Subject: deep\r\nMIME-Version: 1.0\r\n" + nested)
    assert (await letter.message())["state"] == "accepted"
    assert [row[0] for row in await letter.service.rows("SELECT parse_status FROM inbound_mail")] == ["unreadable"]


async def test_a_complaint_is_kept_and_is_no_state(letter: Letter):
    mail = EmailMessage()
    mail["Subject"], mail["To"] = "abuse", letter.to
    raw = (
        f"To: {letter.to}\nMIME-Version: 1.0\nContent-Type: multipart/report; report-type=feedback-report; "
        'boundary="b"\n\n--b\nContent-Type: message/feedback-report\n\nFeedback-Type: abuse\nVersion: 1\n\n--b--\n'
    ).encode()
    await letter.returns(raw)
    message = await letter.message()
    assert message["state"] == "accepted"
    assert message["timeline"][-1]["kind"] == "complained"


@pytest.mark.parametrize(
    ("subject", "kept"),
    [
        (b"=?utf-8?q?Abwesend=3A_?=\r\n =?iso-8859-1?q?M=FCller?=", "Abwesend: Müller"),
        ("Müller".encode(), "Müller"),
        (b"M\xfcller", "M\ufffdller"),
        (b"=?utf-8?b?abcde?=", "=?utf-8?b?abcde?="),
        (b"=?utf-8?q?=FC?=", "=?utf-8?q?=FC?="),
        (b"=?no-charset?q?a?=", "=?no-charset?q?a?="),
        (b"=?zip?b?AAAA?=", "=?zip?b?AAAA?="),
    ],
)
async def test_what_a_header_says_is_read_or_kept_as_it_came(letter: Letter, subject, kept):
    """RFC 2047; the address is one on which the standard library's newer policies raise (found by the fuzzer)."""
    await letter.returns(
        b"From:, :a, .B?=ect=?u.m\r\nSubject: " + subject + b"\r\nAuto-Submitted: auto-replied\r\n\r\n"
    )
    ((detail, raw),) = await letter.service.rows("SELECT detail, raw FROM inbound_mail")
    assert detail["words"] == kept
    assert f"From: , :a, .B?=ect=?u.m\nSubject: {kept}\n" in raw


async def test_an_automatic_answer_is_no_bounce(letter: Letter):
    """ATT-48."""
    await letter.returns(b"Subject: Out of office\r\nAuto-Submitted: auto-replied\r\n\r\nI am away\r\n")
    message = await letter.message()
    assert (message["state"], message["timeline"][-1]["kind"]) == ("accepted", "autoreply")


async def test_a_bounce_that_overtakes_our_own_commit_is_applied_when_the_lease_ends(service: Service, caller):
    await caller.post("/v1/accounts", {"email": "anna@example.com"})
    from identity_service.messages import rules as message_rules
    from identity_service.messages.delivery import queue
    from identity_service.messages.inbound import dsn as returned_mail
    from identity_service.messages.inbound import feedback
    from tests.faults.test_workers import TAKEN

    now = service.clock()
    (claimed,), _ = await service.database.in_transaction(
        lambda s: queue.claim_messages(s, worker="w", priority=5, limit=1, relay="first", now=now)
    )
    key = service.database.keys.internal()
    to = rendering.return_address(claimed.id.hex, service.database.settings.sender_domain, key)

    async def returned(session):
        reading = returned_mail.read_returned_mail(dsn(), None)
        notice = feedback.notice_of(session, reading, dsn(), envelope_from=None, envelope_to=to, now=now)
        return await feedback.apply_notice(session, notice, via="smtp", now=now)

    assert await service.database.in_transaction(returned) == "kept"
    finish = queue.AttemptResult(claimed, 1, TAKEN, message_rules.Transition("accepted"))
    await service.database.in_transaction(lambda s: queue.record_results(s, [finish], now=now))
    (row,) = await service.rows("SELECT state FROM message")
    assert row[0] == "bounced"


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_a_notice_that_cannot_be_stored_is_answered_451_in_both_log_formats(
    letter: Letter, owner, log, log_format
):
    """R21, X1: the sending server keeps the mail and tries again; the log has the kind of the error."""
    log.configure(log_format)
    async with owner.begin() as connection:
        await connection.execute(text("ALTER TABLE inbound_mail RENAME TO away"))
    try:
        with pytest.raises(smtplib.SMTPDataError) as refused:
            await letter.returns(dsn())
    finally:
        async with owner.begin() as connection:
            await connection.execute(text("ALTER TABLE away RENAME TO inbound_mail"))
    assert refused.value.smtp_code == 451
    assert "bounce.not_kept" in log.text
    assert "ProgrammingError" in log.text
    assert "anna@example.com" not in log.text
    await letter.returns(dsn())
    assert (await letter.message())["state"] == "bounced"
