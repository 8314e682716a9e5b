"""No returned mail makes its reader slow, whatever it is made of."""

import base64
import time
from datetime import UTC, datetime

import pytest

from identity_service.messages.inbound import dsn

BUDGET_CPU_SECONDS = 0.5
HEAD = b"From: a@b\r\nMIME-Version: 1.0\r\n"
REPORT = HEAD + b"Content-Type: multipart/report; "
SYSTEM = b"From: mailer-daemon@mx.example\r\nContent-Type: text/plain\r\n\r\n"
ENCLOSED = b"Content-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
PARTS = HEAD + b'Content-Type: multipart/mixed; boundary="b"\r\n\r\n'


def enclosed(content: bytes, times: int = 1) -> bytes:
    """Return a message that is enclosed in others, each in base64, of as many bytes as are read."""
    for _ in range(times):
        content = ENCLOSED + base64.encodebytes(content[: (dsn.MAXIMUM - 400) // 76 * 56])
    return HEAD + content


SLOW = {
    "base64 headers": enclosed(HEAD + b"A: b\r\n" * 40000),
    "base64 semicolons": enclosed(REPORT + b'a="' + b"\r\n ".join([b";" * 60] * 4000) + b"\r\n\r\nx"),
    "base64 parts": enclosed(PARTS + b"--b\r\nContent-Type: text/plain\r\n\r\n" * 9000),
    "nested base64": enclosed(SYSTEM + b"anna@example.com: failed\n" * 5000, times=8),
    "many base64 mails": PARTS
    + b"".join(b"--b\r\n" + ENCLOSED + base64.encodebytes(PARTS + b"--b\r\n\r\nA: b\r\n" * 200) for _ in range(49)),
    "many status parts": PARTS
    + (b"--b\r\nContent-Type: message/delivery-status\r\n\r\n" + b"Action: not\r\n\r\nStatus: 5.1.1\r\n\r\n" * 30) * 49,
    "applications": PARTS
    + (
        b"--b\r\nContent-Type: application/x\r\n\r\nFinal-Recipient: a@b\r\nAction: failed\r\n"
        + b"Diagnostic-Code: smtp; 550 user unknown quota full blocked spam sender verify later\r\n" * 40
    )
    * 49,
    "semicolons": REPORT + b'a="' + b";" * (dsn.MAXIMUM - 200) + b'"\r\n\r\nx',
    "folded semicolons": REPORT + b'a="' + b"\r\n ".join([b";" * 60] * 4000) + b"\r\n\r\nx",
    "parameters": REPORT + b"a;" * 120000 + b"\r\n\r\nx",
    "empty boundaries": REPORT + b'boundary=""\r\n\r\n' + b"--\r\n" * 60000,
    "boundaries": REPORT + b'boundary="b"\r\n\r\n' + b"--b\r\n\r\n" * 30000,
    "status blocks": REPORT
    + b'boundary="b"\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\n'
    + b"Action: x\r\n\r\n" * 20000,
    "nested parts": HEAD
    + b"".join(b'Content-Type: multipart/mixed; boundary="%d"\r\n\r\n--%d\r\n' % (n, n) for n in range(5000)),
    "nested mails": HEAD + b"Content-Type: message/rfc822\r\n\r\n" * 8000,
    "headers": HEAD + b"A: b\r\n" * 40000 + b"\r\n",
    "headers without a colon": b"x\r\n" * 80000,
    "encoded words": HEAD + b"Subject: " + b"=?utf-8?q?a?= " * 18000 + b"\r\n\r\n",
    "addresses": HEAD + b"To: " + b"a@b," * 60000 + b"\r\n\r\n",
    "comments": HEAD + b"To: " + b"(" * 200000 + b"\r\n\r\n",
    "blank lines": HEAD + b"\r\n" * 120000,
    **{
        name: SYSTEM + (words * (dsn.MAXIMUM // len(words) + 1))[: dsn.MAXIMUM - 200]
        for name, words in {
            "words without blanks": b"x",
            "addresses in words": b"anna@example.com: failed\n",
            "one line of addresses": b"a@b ",
            "half addresses": b"@" * 70 + b"\n",
            "words of each cause": b"user unknown quota full blocked spam sender verify later ",
            "almost words": b"user user user user address recipient account ",
            "codes": b"550 5.1.1 ",
            "digits": b"5.1.",
            "half a word": b"mailbox .................... ",
            "starts of old notices": b"This message was created automatically by mail delivery\nrcpt to:<<<<\n",
            "recipients of old notices": b"Delivery to the following recipient failed\n" + b"    a@b@" * 30 + b"\n",
            "tags": b"<" * 50 + b"style>",
            "negations": b"Final-Recipient: rfc822; a@b\nAction: " + b"not " * 900 + b"\n",
            "open comments": b"Final-Recipient: rfc822; a@b\nAction: " + b"(" * 3000 + b"\n",
            "indented fields": b"      Final-Recipient: rfc822; a@b\n      Action: x\n\n",
            "indentation": b" " * 4000 + b"\n",
            "fields in blocks": b"Final-Recipient: rfc822; a@b\n\nAction: x\n\nStatus: 5\n\n",
            "fields": b"Final-Recipient: rfc822; a@b\nAction: x\n",
            "long fields": b"Final-Recipient: rfc822; " + b"a" * 3000 + b"\nAction: failed\nStatus: 5\n\n",
            "hexadecimal digits": b"0123456789abcdef",
            "half ids": b"=2b" + b"0" * 32 + b".",
            "quoted lines": b"> " * 60 + b"\n",
            "separators": b"-" * 70 + b"\n",
            "encoded words in fields": b"Diagnostic-Code: " + b"=?utf-8?q?a?= " * 100 + b"\nFinal-Recipient: a\n",
            "html": b"<html><p " * 20,
        }.items()
    },
}


@pytest.mark.parametrize("raw", SLOW.values(), ids=SLOW.keys())
def test_reading_a_returned_mail_is_bounded_in_cpu(raw: bytes) -> None:
    """Folded semicolons took 44 s of CPU."""
    before = time.thread_time()
    dsn.read_notice(raw, envelope_from=None, envelope_to="b+x@y", check_tag=lambda *_: False, now=datetime.now(UTC))
    assert time.thread_time() - before < BUDGET_CPU_SECONDS
