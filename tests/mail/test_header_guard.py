"""No value becomes a header: the relay sees exactly the names it should, on any Python (FACT-1).

The values go in at the door and, around it, by SQL as the owner of the database.
"""

import email
import email.policy
import re

import pytest

from identity_service.messages import rendering
from identity_service.messages.rendering import RenderedEmail, UnsafeHeader, UnsafeRecipient
from tests import letters
from tests.accounts.given import an_account, sql
from tests.mail.test_letters import KEY, NOW, claimed

NAMES = [
    "From", "To", "Subject", "Date", "Message-ID", "X-Outbox-Id", "Auto-Submitted", "X-Auto-Response-Suppress",
    "Feedback-ID", "MIME-Version", "Content-Type", "Content-Language",
]  # fmt: skip
EVIL = [
    "=?utf-8?q?a=0D=0ABcc=3A_e=40evil.com?=",
    "=?utf-8?b?YQ0KQmNjOiBlQGV2aWwuY29t?=",
    "=?us-ascii?q?a=0ABcc=3A_e=40evil.com?= and more",
    "a\r\nBcc: e@evil.com",
    "a\nBcc: e@evil.com",
    "a\rBcc: e@evil.com",
    "a\u2028Bcc: e@evil.com",
    "a\u2029Bcc: e@evil.com",
    "a\x85Bcc: e@evil.com",
    "a\x0bBcc: e@evil.com",
    "a\x0cBcc: e@evil.com",
    "a\x1cBcc: e@evil.com",
    "a\x00b",
    "a\x7fb",
]


def names(raw: bytes) -> list[str]:
    """Return the names at the head of a letter as they stand on the wire."""
    head = raw.partition(b"\r\n\r\n")[0]
    return [line.partition(b":")[0].decode() for line in head.split(b"\r\n") if line[:1] not in (b" ", b"\t")]


def on_the_wire(service) -> bytes:
    """Return the newest letter as the relay got it."""
    newest = max(service.mailbox.folder.glob("*.eml"))
    return newest.read_bytes().partition(b"\n")[2]


async def test_the_relay_sees_exactly_the_expected_names(service, caller):
    """ATT-40."""
    await an_account(caller, email="anna@example.com", display_name='Änne O\'Neill-Müller, "Dr." <x@y>')
    await service.deliver()
    assert sorted(names(on_the_wire(service))) == sorted(NAMES)


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
async def test_a_name_that_could_be_a_header_is_refused_at_the_door(service, caller, evil):
    """ATT-40."""
    answer = await caller.post("/v1/accounts", {"email": "anna@example.com", "display_name": evil})
    assert answer.status_code == 422
    assert await service.rows("SELECT 1 FROM message") == []


@pytest.mark.parametrize("evil", [evil for evil in EVIL if "\x00" not in evil], ids=ascii)
async def test_a_name_put_in_by_sql_stays_in_the_body(service, caller, owner, evil):
    """ATT-40: a display name reaches no header at all."""
    await an_account(caller, email="anna@example.com", display_name="Anna")
    await sql(owner, "UPDATE account SET display_name = :evil", evil=evil)
    await service.deliver()
    raw = on_the_wire(service)
    assert sorted(names(raw)) == sorted(NAMES)
    assert b"Bcc" not in raw.partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize("evil", [evil for evil in EVIL if "\x00" not in evil], ids=ascii)
@pytest.mark.parametrize("column", ["brand", "locale"])
async def test_a_brand_or_a_language_put_in_by_sql_reaches_no_header(service, caller, owner, column, evil):
    """ATT-40: each is looked up among those there are, and never written."""
    await an_account(caller, email="anna@example.com")
    await sql(owner, f"UPDATE message SET {column} = :evil", evil=evil)
    await service.deliver()
    raw = on_the_wire(service)
    head = raw.partition(b"\r\n\r\n")[0]
    assert sorted(names(raw)) == sorted(NAMES)
    assert b"Bcc" not in head
    assert b"\r\nContent-Language: en" in head


SUBJECTS = [letters.sample(*one).subject for one in letters.EVERY]
RECIPIENTS = [
    *EVIL,
    "anna@example.com>\r\nRCPT TO:<evil@example.com",
    "anna@example.com, evil@example.com",
    "anna@example.com evil@example.com",
    "<anna@example.com>",
    '"anna"@example.com',
    "anna(comment)@example.com",
    "@a.example:anna@example.com",
    "anna%example.org@example.com",
    "example.org!anna@example.com",
    "anna@[127.0.0.1]",
    "a\u0308nna@example.com",
    "änna\u200b@example.com",
    "änna\r\nBcc: e@example.com",
    "änna @example.com",
    "аnna@example.com",
    "anna@exämple.com",
    "anna@EXAMPLE.com",
    "anna@example.com\n",
    "a" * 65 + "@example.com",
    "anna@",
    "@example.com",
    "anna",
    "",
]


@pytest.mark.parametrize("recipient_ascii", [*RECIPIENTS, EVIL[0] + "@example.com"], ids=ascii)
def test_a_stored_address_that_is_not_one_plain_mailbox_goes_to_nobody(settings, recipient_ascii):
    """ATT-40, ATT-41."""
    with pytest.raises(UnsafeRecipient):
        rendering.smtp_envelope(
            claimed(recipient_ascii=recipient_ascii), RenderedEmail("s", "t", "h"), settings, KEY, now=NOW
        )


@pytest.mark.parametrize("where", ["=?utf-8?q?a=0D=0ABcc=3A_e=40evil.com?=@example.com", "a b@example.com"])
async def test_an_address_put_in_by_sql_is_stopped_before_the_relay_hears_of_it(service, caller, owner, where):
    """ATT-40, ATT-41."""
    await an_account(caller, email="anna@example.com")
    await sql(owner, "UPDATE account SET email_ascii = :it", it=where)
    await sql(owner, "UPDATE message SET recipient_ascii = :it", it=where)
    await service.deliver()
    (message,) = (await caller.get("/v1/messages")).json()["items"]
    assert message["state"] == "failed"
    entry = (await caller.get(f"/v1/messages/{message['id']}")).json()["timeline"][-1]
    assert (entry["kind"], entry["phase"]) == ("aborted", "claimed")
    assert entry["sentence"] == "We can't send safely to the stored address, so we sent nothing."
    assert service.mailbox.letters() == []


@pytest.mark.parametrize("evil", EVIL, ids=ascii)
@pytest.mark.parametrize("where", ["subject", "name", "sender", "domain", "kind"])
def test_whatever_reaches_a_header_is_guarded(settings, where, evil):
    """ATT-40: the guard itself, value by value."""
    subject = evil if where == "subject" else "Subject"
    own = {
        "name": {"mail_from_name": evil}, "sender": {"mail_from": f"{evil}@identity.example"},
        "domain": {"mail_from": f"service@{evil}"},
    }.get(where, {})  # fmt: skip
    row = {"kind": evil} if where == "kind" else {}
    with pytest.raises(UnsafeHeader):
        rendering.smtp_envelope(
            claimed(**row), RenderedEmail(subject, "t", "h"), settings.model_copy(update=own), KEY, now=NOW
        )


@pytest.mark.parametrize(
    "subject", ["Ihre Kundennummer: ÄÖÜß €", "你好", "x" * 300, "ü" * 60, "= ? =", "?=", *SUBJECTS]
)
def test_a_long_or_foreign_subject_is_one_header(settings, subject):
    """And it comes out again as it went in."""
    payload = rendering.smtp_envelope(claimed(), RenderedEmail(subject, "t\n", "h"), settings, KEY, now=NOW).payload
    assert sorted(names(payload)) == sorted(NAMES)
    read = email.message_from_bytes(payload, policy=email.policy.default)
    assert re.sub(r"[ \t\r\n]+", " ", str(read["Subject"])) == subject
    assert max(map(len, payload.split(b"\r\n"))) <= 998
