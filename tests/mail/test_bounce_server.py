"""The bounce server stores whatever comes to our return addresses, answers 250, and reads it afterwards."""

import asyncio
import smtplib
import time

import pytest
from aiosmtpd.smtp import Envelope

from identity_service import logs
from identity_service.messages.inbound import bounce_server, dsn, feedback, reader_process, return_addresses
from tests.mail import test_returned_mail
from tests.mail.test_returned_mail import Letter

letter = test_returned_mail.letter
report = test_returned_mail.dsn


def wrapped(letter: Letter, form: str) -> str:
    """Return our return address in a form that another server makes of it."""
    local, _, domain = letter.to.partition("@")
    return form.format(local=local, upper=local.upper(), domain=domain)


FORMS = {
    "BATV": "prvs=0123abcdef={local}@{domain}",
    "BATV, older": "prvs={local}=0123abcdef@{domain}",
    "BATV with a number": "btv1==4719ab3f2c=={local}@{domain}",
    "SRS0": "SRS0=Ab3d=3K={domain}={local}@{domain}",
    "SRS0 with a plus": "SRS0+Ab3d=3K={domain}={local}@{domain}",
    "SRS1": "SRS1=xY=forward.example==Ab3d=3K={domain}={local}@{domain}",
    "quoted": '"{local}"@{domain}',
    "quoted BATV": '"prvs=0123abcdef={local}"@{domain}',
    "upper case": "{upper}@{domain}",
    "upper case domain": "{local}@IDENTITY.EXAMPLE",
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
async def test_our_return_address_is_known_inside_what_other_servers_make_of_it(letter: Letter, form):
    await letter.returns(report(), to=wrapped(letter, form))
    assert (await letter.message())["state"] == "bounced"
    ((detail,),) = await letter.service.rows("SELECT detail FROM inbound_mail")
    assert detail["matched_by"] == "return_address"


@pytest.mark.parametrize(
    "form", ["{local}@other.example", "x{local}@{domain}.evil.example", "postmaster@{domain}", "anna@{domain}"]
)
async def test_other_addresses_are_refused(letter: Letter, form):
    with pytest.raises(smtplib.SMTPRecipientsRefused):
        await letter.returns(report(), to=wrapped(letter, form))


def test_an_id_is_found_whole_or_not_at_all():
    whole = f"{'0' * 32}.{'a' * 10}"
    assert return_addresses.find_signed_ids(f"b=2B{whole}@x") == [("0" * 32, "a" * 10)]
    for longer in (f"0{whole}", f"{whole}0", whole.replace(".", "")):
        assert return_addresses.find_signed_ids(longer) == []


LONG = {
    "a header": (b"X-Filter: " + b"0123456789abcdef:" * 40_000 + b"\r\n", b""),
    "1,001 bytes": (b"X-Filter: " + b"x" * 991 + b"\r\n", b""),
    "a folded header": (b"X-Filter: a\r\n " + b"x" * 5000 + b"\r\n", b""),
    "the last line": (b"", b"\r\n" + b"<p>" * 2000),
    "a line without any break": (b"", b"\r\n" + b"0123456789abcdef" * 30_000),
}


@pytest.mark.parametrize("where", LONG)
async def test_a_line_of_any_length_is_taken(letter: Letter, where):
    """A notice has no sender who could send it again with shorter lines."""
    before, after = LONG[where]
    await letter.returns(before + report() + after)
    assert (await letter.message())["state"] == "bounced"


async def test_a_notice_without_any_header_is_taken_and_told_as_unreadable(letter: Letter):
    await letter.returns(b"\r\nsomething\r\n")
    last = (await letter.message())["timeline"][-1]
    assert (last["kind"], last["sentence"]) == ("unreadable", "We received a reply that we couldn't read.")
    assert [tuple(row) for row in await letter.service.rows("SELECT parse_status, unread FROM inbound_mail")] == [
        ("unreadable", None)
    ]


async def test_smtputf8_and_addresses_in_utf8_are_taken(letter: Letter):
    def send() -> None:
        with smtplib.SMTP("127.0.0.1", letter.port, local_hostname="mx.example.net") as smtp:
            smtp.ehlo()
            assert smtp.has_extn("smtputf8")
            smtp.docmd("MAIL FROM:<> SMTPUTF8 BODY=8BITMIME")
            smtp.rcpt(letter.to)
            text = report().replace(b"anna@example.com", "用户@例子.example".encode())
            text = text.replace(b"message/delivery-status", b"message/global-delivery-status")
            assert smtp.data(text)[0] == 250

    await asyncio.to_thread(send)
    await letter.read()
    assert (await letter.message())["state"] == "bounced"


async def test_what_a_stopped_server_left_unread_is_read_by_the_next(letter: Letter):
    service = letter.service
    async with service.database.transaction() as session:
        await feedback.keep_unread(
            session, report(), envelope_from="", envelope_to=letter.to, via="smtp", now=service.clock()
        )
    door = await bounce_server.listen_for_bounces(service.database, "127.0.0.1", 0)
    await letter.read()
    door.close()
    await door.wait_closed()
    assert (await letter.message())["state"] == "bounced"


async def test_a_kept_mail_is_applied_once_however_many_read_it(letter: Letter):
    service, now = letter.service, letter.service.clock()
    async with service.database.transaction() as session:
        kept_id = await feedback.keep_unread(
            session, report(), envelope_from="", envelope_to=letter.to, via="smtp", now=now
        )
        kept = feedback.UnreadMail(kept_id, None, letter.to, "smtp", report())
        reading = dsn.read_returned_mail(report(), "")
        results = [(await feedback.apply_reading(session, kept, reading, now=now))[0] for _ in range(2)]
    assert results == ["applied", "repeated"]


async def test_what_takes_too_long_is_unreadable_and_the_next_mail_is_read():
    """R07: the reader's time ends, and its process with it; a time of nothing is too short for any mail."""
    reader = reader_process.NoticeReader(seconds=0)
    late = await reader.read(b"From: a@b.example\r\nSubject: late\r\n\r\ntext", "")
    reader.seconds = 60
    read = await reader.read(report(), "")
    reader.close()
    assert (late.type, late.text) == ("unreadable", "From: a@b.example\nSubject: late")
    assert (read.type, read.cause) == ("bounced", "address")


async def test_a_slow_notice_holds_neither_the_server_nor_the_event_loop(letter: Letter):
    """R07."""
    slow = b'Content-Type: multipart/report; a="' + b"\r\n ".join([b";" * 60] * 4000) + b"\r\n\r\nx"
    sent = asyncio.create_task(letter.returns(slow))
    waited = 0.0
    while not sent.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        waited = max(waited, time.monotonic() - before)
    await sent
    assert waited < 1


async def test_a_failure_of_any_kind_is_answered_451_even_if_it_cannot_be_logged(letter: Letter):
    """In the readable format the logger failed on an exception, and the notice was lost with a 500."""
    logs.configure("console")
    handler = bounce_server.BounceServer(letter.service.database)
    without_recipient = Envelope()
    without_recipient.content = report()
    try:
        assert (await handler.handle_DATA(None, None, without_recipient)).startswith("451 ")
        assert (await handler.handle_exception(ValueError("x"))).startswith("451 ")
    finally:
        logs.configure("json")
