"""No returned mail makes its reader slow, whatever it is made of."""

import time
from datetime import UTC, datetime

import pytest

from identity_service.messages.inbound import dsn

BUDGET_CPU_SECONDS = 0.5
HEAD = b"From: a@b\r\nMIME-Version: 1.0\r\n"
REPORT = HEAD + b"Content-Type: multipart/report; "
SLOW = {
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
}


@pytest.mark.parametrize("raw", SLOW.values(), ids=SLOW.keys())
def test_reading_a_returned_mail_is_bounded_in_cpu(raw: bytes) -> None:
    """Folded semicolons took 44 s of CPU."""
    before = time.thread_time()
    dsn.read_notice(raw, envelope_from=None, envelope_to="b+x@y", check_tag=lambda *_: False, now=datetime.now(UTC))
    assert time.thread_time() - before < BUDGET_CPU_SECONDS
