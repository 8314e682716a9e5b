"""The letters themselves: what a mail program gets, in every language, and what never stands in one."""

import email
import email.policy
import re
import uuid
from datetime import UTC, datetime
from email.message import EmailMessage
from html.parser import HTMLParser

import pytest

from identity_service import translations
from identity_service.accounts.rules import PROMISE
from identity_service.dev import previews
from identity_service.dev.previews import router
from identity_service.messages import copy, kinds, rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail
from identity_service.settings import Relay
from tests import letters
from tests.accounts.given import an_account, sql

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
KEY = bytes(range(32))
TRACKERS = ("img", "script", "link", "iframe", "object", "embed", "form", "input", "video", "audio", "svg", "base")


def claimed(**columns) -> ClaimedMessage:
    message_id = uuid.uuid4()
    return ClaimedMessage(**{
        "id": message_id, "kind": "test", "user_id": None, "recipient": "anna@example.com",
        "recipient_ascii": "anna@example.com", "locale": "en", "facts": {},
        "brand": "default", "priority": 0, "created_at": NOW,
        "deadline_at": NOW,
        "attempts": 1, "deliveries": 1, "token": uuid.uuid4(), "prefer_relay": None, **columns,
    })  # fmt: skip


def parsed(payload: bytes) -> EmailMessage:
    return email.message_from_bytes(payload.removesuffix(b".\r\n"), policy=email.policy.default)


class Page(HTMLParser):
    """What a page is made of."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.attributes, self.words = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attributes]

    def handle_data(self, data) -> None:
        self.words.append(data)


@pytest.fixture
def letter(settings) -> EmailMessage:
    words = letters.sample("welcome", "en")
    return parsed(rendering.smtp_envelope(claimed(kind="welcome"), words, settings, KEY, now=NOW).payload)


def test_every_kind_of_letter_can_be_made_and_looked_at():
    emails = {name for name, kind in kinds.KINDS.items() if kind.channel == "email"}
    assert set(rendering.load_builders()) == emails <= set(copy.COPY)


@pytest.mark.parametrize(("kind", "locale"), letters.EVERY)
def test_a_letter_reads_well_without_html(kind, locale):
    made = letters.sample(kind, locale)
    assert 5 <= len(made.subject) <= 78
    assert "\n" not in made.subject
    assert not re.search(r"[<>{}]|%\(|&\w+;", made.text)
    assert made.text.rstrip().endswith("+44 20 7946 0000")


@pytest.mark.parametrize(("kind", "locale"), letters.EVERY)
def test_a_letter_reads_well_on_a_phone_and_in_the_dark(kind, locale):
    html = letters.sample(kind, locale).html
    attributes = Page(html).attributes
    assert ("html", "lang", locale) in attributes
    assert ("meta", "content", "light dark") in attributes
    assert ("meta", "content", "width=device-width, initial-scale=1") in attributes
    assert "prefers-color-scheme: dark" in html


@pytest.mark.parametrize(("kind", "locale"), letters.EVERY)
def test_a_letter_loads_nothing_and_counts_nobody(kind, locale):
    made = letters.sample(kind, locale)
    page = Page(made.html)
    assert not set(page.tags) & set(TRACKERS)
    assert not [found for found in page.attributes if found[1] in ("src", "background", "srcset")]
    assert "url(" not in made.html
    links = [target for _, name, target in page.attributes if name == "href"]
    assert len(links) <= 1
    assert all(target in made.text for target in links)
    assert set(re.findall(r"https?://([^/\s\"<]*)", made.text + made.html)) <= {"id.example.com"}


@pytest.mark.parametrize(("kind", "locale"), letters.EVERY)
def test_text_and_html_say_the_same(kind, locale):
    made = letters.sample(kind, locale)
    page = Page(made.html)
    shown, links = " ".join(" ".join(page.words).split()), [to for _, name, to in page.attributes if name == "href"]
    for line in filter(None, (" ".join(line.split()) for line in made.text.splitlines())):
        assert line in links if line.startswith("https://") else line in shown or line == "--"


@pytest.mark.parametrize("locale", translations.languages())
def test_a_button_says_where_it_leads(locale):
    """The host stands beside the button: a reader sees it without a mail program that shows it."""
    page = Page(letters.sample("reset", locale).html)
    assert "id.example.com" in [word.strip() for word in page.words]
    assert ("html", "dir", "rtl" if locale == "ar" else "ltr") in page.attributes


SUPPORTED = {
    "background-color", "border", "border-left", "border-right", "color", "font-family", "font-size", "font-weight",
    "line-height", "margin", "max-width", "padding", "text-decoration",
}  # fmt: skip
"""CSS that Outlook, Gmail and Apple Mail all know (caniemail.com); everything else is left out or ignored."""


@pytest.mark.parametrize(("kind", "locale"), letters.EVERY)
def test_a_letter_is_built_of_what_every_mail_program_knows(kind, locale):
    """Tables for the layout, style inline, no shorthand that Outlook drops, nothing wider than a phone."""
    page = Page(letters.sample(kind, locale).html)
    assert set(page.tags) <= {
        "html", "head", "meta", "title", "style", "body", "table", "tr", "td", "span", "a", "br",
    }  # fmt: skip
    styles = [value for _, name, value in page.attributes if name == "style"]
    used = {part.split(":")[0].strip() for style in styles for part in style.split(";") if part.strip()}
    assert used <= SUPPORTED
    tables = page.tags.count("table")
    assert tables == sum(value == "presentation" for _, name, value in page.attributes if name == "role")


def test_a_german_letter_is_german():
    for kind in copy.COPY:
        assert letters.sample(kind, "de").subject != letters.sample(kind, "en").subject
    assert translations.catalogue("de").gettext(PROMISE) in letters.sample("welcome", "de").text


def test_a_fact_that_is_missing_is_an_error_and_no_gap():
    with pytest.raises(KeyError):
        rendering.render_email("reset", "en", letters.SHOP, user_id="KQ7X", link="https://id.example.com/")


def test_what_a_customer_typed_stands_there_as_he_typed_it():
    """ATT-38: nothing a name holds becomes markup or a template."""
    evil = "<svg onload=alert(1)>{{7*7}}${7*7}%(user_id)s"
    made = rendering.render_email("welcome", "en", letters.SHOP, customer=evil, user_id="KQ7X-M1C4-3W08")
    assert evil in made.text
    assert "svg" not in Page(made.html).tags
    assert evil in "".join(Page(made.html).words)


def test_the_headers_are_those_of_a_letter_that_no_machine_answers(letter):
    """RFC 3834: generated by a machine; no bulk mail, no subscription."""
    message_id = uuid.UUID(letter["X-Outbox-Id"])
    assert {
        name: str(letter[name]) for name in letter if name not in ("Content-Type", "Message-ID", "X-Outbox-Id")
    } == {
        "From": "Example Shop <service@identity.example>",
        "To": "anna@example.com",
        "Subject": letters.sample("welcome", "en").subject,
        "Date": "Sun, 01 Mar 2026 12:00:00 +0000",
        "Auto-Submitted": "auto-generated",
        "X-Auto-Response-Suppress": "All",
        "Feedback-ID": "welcome:::identity",
        "Content-Language": "en",
        "MIME-Version": "1.0",
    }
    assert letter["Message-ID"] == f"<{message_id.hex}@identity.example>"


def test_text_comes_first_and_both_are_quoted_printable_utf_8(letter):
    plain, html = letter.iter_parts()
    assert letter.get_content_type() == "multipart/alternative"
    for part, kind in ((plain, "text/plain"), (html, "text/html")):
        assert (part.get_content_type(), part.get_content_charset()) == (kind, "utf-8")
        assert part["Content-Transfer-Encoding"] == "quoted-printable"
    assert plain.get_content().replace("\r\n", "\n") == letters.sample("welcome", "en").text


def test_the_return_address_is_signed_for_this_letter_alone(settings):
    message, other = claimed(), claimed()
    sender = rendering.smtp_envelope(message, letters.sample("test", "en"), settings, KEY, now=NOW).sender
    found = re.fullmatch(r"b\+([0-9a-f]{32})\.([0-9a-f]{10})@identity\.example", sender)
    assert found[1] == message.id.hex
    assert rendering.tag_is_ours(found[1], found[2], KEY)
    assert not rendering.tag_is_ours(other.id.hex, found[2], KEY)
    assert not rendering.tag_is_ours(found[1], found[2], bytes(32))


def test_the_same_letter_is_the_same_bytes_but_for_its_boundary(settings):
    """A try that is repeated carries the same words under the same Message-ID."""
    message, words = claimed(), letters.sample("test", "en")
    first, second = (
        re.sub(rb"part-[0-9a-f]+", b"", rendering.smtp_envelope(message, words, settings, KEY, now=NOW).payload)
        for _ in range(2)
    )
    assert first == second


def test_a_relay_gets_the_headers_it_wants(settings):
    """SES and Postmark tell our own id back in their hooks."""
    message = claimed()
    made = rendering.smtp_envelope(message, letters.sample("test", "en"), settings, KEY, now=NOW)
    relay = Relay(name="ses", host="127.0.0.1", port=1, tls="none", headers={"X-SES-MESSAGE-TAGS": "msg={id}"})
    assert parsed(made.payload_for(relay.headers))["X-SES-MESSAGE-TAGS"] == f"msg={message.id.hex}"
    assert "X-SES-MESSAGE-TAGS" not in parsed(made.payload)


def test_a_relay_header_cannot_carry_another(settings):
    made = rendering.smtp_envelope(claimed(), letters.sample("test", "en"), settings, KEY, now=NOW)
    with pytest.raises(rendering.UnsafeHeader):
        made.payload_for({"X-Tag": "a\r\nBcc: evil@example.com"})


@pytest.mark.parametrize(
    "line", [".", "..", ".hidden", "a\rb", "a\nb", ".\r.\n.", "x" * 10_000, "ü" * 4_000, "\x00\x0b\x0c"], ids=ascii
)
def test_no_line_of_a_letter_can_end_it_or_is_too_long(settings, line):
    """ATT-46: CRLF only, dots stuffed, at most 998 bytes between them (RFC 5321, 4.5.3.1.6)."""
    words = RenderedEmail("Subject", f"before\n{line}\nafter\n", f"<p>{line}</p>")
    payload = rendering.smtp_envelope(claimed(), words, settings, KEY, now=NOW).payload
    assert payload.endswith(b"\r\n.\r\n")
    lines = payload.removesuffix(b".\r\n").split(b"\r\n")
    assert not any(b"\r" in found or b"\n" in found for found in lines)
    assert not any(found == b"." or re.match(rb"\.[^.]", found) for found in lines)
    assert max(map(len, lines)) <= 998


async def test_the_previews_show_every_letter_and_are_kept_apart(service):
    service.app.include_router(router)
    page = await service.http.get("/dev/messages?language=de")
    assert page.status_code == 200
    brand = service.database.settings.brands.find(None)
    for kind, locale in letters.EVERY:
        if locale not in ("de", "ar"):
            continue
        assert (f"/dev/messages/{kind}/{locale}" in page.text) == (locale == "de")
        shown = await service.http.get(f"/dev/messages/{kind}/{locale}")
        assert shown.text == previews.sample(kind, locale, brand).html
        assert "sandbox" in shown.headers["content-security-policy"]
    assert (await service.http.get("/dev/messages/offer/en")).status_code == 404


@pytest.mark.parametrize(
    "change", ["state = 'closed'", "email_ascii = 'other@example.com', email_key = 'other@example.com'"]
)
async def test_a_welcome_that_is_no_longer_wanted_is_withdrawn(service, caller, owner, change):
    await an_account(caller, email="anna@example.com")
    await sql(owner, f"UPDATE account SET {change}")
    await service.deliver()
    (message,) = (await caller.get("/v1/messages")).json()["items"]
    assert (message["state"], message["may_arrive_twice"]) == ("cancelled", False)
    assert service.mailbox.letters() == []
