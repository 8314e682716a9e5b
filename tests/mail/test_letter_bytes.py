"""The bytes of a letter are put together by hand; what the standard library reads from them is what was written."""

import email
import email.policy
import uuid
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail, UnsafeHeader
from identity_service.settings import Settings

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.just("\n"), min_size=1, max_size=400)
LINE = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), min_size=1, max_size=150).filter(
    lambda line: "=?" not in line and line.strip() == line and "  " not in line
)


def made(subject: str = "Hello", text: str = "text", html: str = "<p>", name: str = "Example Shop") -> bytes:
    message = ClaimedMessage(
        uuid.UUID(int=7), "test", None, "anna@example.com", "anna@example.com", "en", {}, "default", 0,
        NOW, NOW, 1, 1, uuid.UUID(int=8), None,
    )  # fmt: skip
    settings = Settings(environment="development", mail_from="service@identity.example", mail_from_name=name)
    return rendering.smtp_envelope(message, RenderedEmail(subject, text, html), settings, bytes(32), now=NOW).payload


def read(payload: bytes) -> email.message.EmailMessage:
    assert payload.endswith(b"\r\n.\r\n")
    lines = payload[: -len(b".\r\n")].split(b"\r\n")
    assert all(len(line) <= 998 and b"\n" not in line and b"\r" not in line for line in lines)
    assert all(line.startswith(b"..") for line in lines if line.startswith(b"."))
    plain = b"\r\n".join(line[1:] if line.startswith(b".") else line for line in lines)
    return email.message_from_bytes(plain, policy=email.policy.default)


@given(LINE, WORDS, WORDS)
def test_what_is_read_is_what_was_written(subject: str, text: str, html: str):
    mail = read(made(subject, text, html))
    parts = list(mail.iter_parts())
    assert [part.get_content_type() for part in parts] == ["text/plain", "text/html"]
    assert [part.get_content().replace("\r\n", "\n") for part in parts] == [text, html]
    assert mail["Subject"] == subject
    assert [defect for part in [mail, *parts] for defect in part.defects] == []


@given(LINE)
def test_any_name_of_the_sender_is_one_mailbox(name: str):
    (mailbox,) = read(made(name=name))["From"].addresses
    assert (mailbox.display_name, mailbox.addr_spec) == (name, "service@identity.example")


@pytest.mark.parametrize("subject", ["a\r\nBcc: x@y", "a\nb", "=?utf-8?q?x?=", "a\x00b", "a\u2028b"])
def test_words_that_could_be_another_header_are_refused(subject: str):
    """ATT-41, FACT-1."""
    with pytest.raises(UnsafeHeader):
        made(subject)
