"""Whoever fills in a form writes nothing to anybody in our name: what a stranger typed stands in no message of ours."""

import re

import pytest

from identity_service.messages import kinds
from identity_service.values import names
from tests.console.given import a_clerk, an_account
from tests.contacts.given import a_tool
from tests.life.given import call, confirm, convert, merge, set_password
from tests.resets.given import forget_limits

ANNA, BEN = "anna@example.org", "ben@example.org"
MORE_THAN_A_NAME = (
    "customer, your account is locked: https://evil.example/unlock - do it today",
    "https://evil.example",
    "evil.example",
    "Anna evil.example",
    "EVIL.EXAMPLE/login",
    "www.evil",
    "www evil example",
    "Anna at http:evil",
    "mailto:a",
    "help@evil",
    "evil\u200b.\u200bexample",
    "evil\u3002example",
    "evil\uff0eexample",
    "evil\uff61example",
    "evil\u2024example",
    "\uff57\uff57\uff57\uff0eevil",
    "evil\u0301.\u0301example",
    "e.v.i.l",
    "evil..example",
    "192.0.2.1",
    "call 0900 123456 now",
    "//evil",
    "evil\\share",
    "a" * 41,
    " ",
)
A_NAME = (
    "Anna", "Dr. Anna Berg", "Anna O'Neill-Berg", "Berg & Sohn GmbH", "李小龍", "علی\u200cرضا", "Mu\u0308ller",
    "A. B.", "Anna, Ben (shared)", "Bäckerei 1848", "a" * 40,
)  # fmt: skip


@pytest.mark.parametrize("name", MORE_THAN_A_NAME)
def test_a_name_that_could_be_more_than_a_name_is_not_used(name):
    """R16, ATT-40."""
    assert names.name_for_message(name) is None


@pytest.mark.parametrize("name", A_NAME)
def test_an_ordinary_name_is_used_as_it_is(name):
    assert names.name_for_message(name) == name


async def welcome_of(service, address: str) -> dict:
    await service.deliver()
    return service.letter(address, "Your User ID is")


async def again(service, caller) -> None:
    """Send the welcome message again."""
    (row,) = await service.rows("SELECT id FROM message WHERE kind = 'welcome' ORDER BY created_at DESC LIMIT 1")
    answer = await caller.post(f"/v1/messages/{row.id}/retry", {})
    assert answer.status_code == 202, answer.text


@pytest.mark.parametrize("name", ["Anna", "Dr. Berg", *MORE_THAN_A_NAME[:3]])
@pytest.mark.parametrize("by", ["a service", "a first address"])
async def test_the_first_message_to_a_mailbox_greets_nobody(service, caller, name, by):
    """R16: nobody has read this mailbox yet, and its owner may never have heard of us."""
    user_id = await an_account(caller, ANNA if by == "a service" else None, display_name=name)
    if by == "a first address":
        answer = await caller.post(f"/v1/accounts/{user_id}/email-changes", {"email": ANNA})
        assert answer.status_code in (200, 202), answer.text
    letter = await welcome_of(service, ANNA)
    for part in (letter["text"], letter["html"]):
        assert "Hello," in part
        assert name not in part


@pytest.mark.parametrize(("name", "greeted"), [("Anna Berg", True), ("Anna evil.example", False), ("www.evil", False)])
async def test_a_mailbox_that_was_read_is_greeted_by_a_plain_name_alone(service, caller, name, greeted):
    """R16."""
    await an_account(caller, ANNA, display_name=name)
    await set_password(service, ANNA, "copper lantern forgets the tide")
    await again(service, caller)
    letter = await welcome_of(service, ANNA)
    assert (f"Hello {name}," in letter["text"]) == greeted
    assert (name in letter["html"]) == greeted


EVIL = "Zorro evil.example/pay"


async def test_what_strangers_typed_stands_in_no_message(service, caller):
    """R16: names, companies, addresses, notes, reasons, references, evidence and clerks' names, in every field."""
    anna = await an_account(caller, ANNA, display_name=EVIL, external_ref=EVIL)
    ben = await an_account(caller, BEN, display_name=EVIL)
    company = {"company_name": EVIL, "country": "DE", "contact_person": EVIL, "billing_address": EVIL}
    assert (await convert(caller, anna, company)).status_code == 200
    proposal = {"granted": True, "wording": "email-2026-11", "channel": "app", "evidence": EVIL}
    assert (await caller.put(f"/v1/accounts/{anna}/consents/email", proposal)).status_code == 202
    await confirm(service, ANNA, "Can we contact you?")
    entry = {"reference": EVIL, "kind": "order", "occurred_at": "2026-01-02T03:04:05Z"}
    await caller.post(f"/v1/accounts/{anna}/history", {"entries": [entry]})
    await set_password(service, ANNA, "copper lantern forgets the tide")
    await forget_limits(service)
    tool = await a_tool(service, "Zorro.evil")
    number = await tool.contact(anna)
    assert (await tool.post(f"/v1/contacts/{number}/notes", {"note": EVIL})).status_code == 201
    await tool.open_account(anna, number, EVIL)
    await tool.verify(service, anna, number, ANNA)
    assert (await call(tool.caller, "POST", f"/v1/accounts/{ben}/close", **tool.headers)).status_code == 202
    ada = await a_clerk(service)
    contact = await ada.open_account(anna, reason=EVIL)
    given = {"verb": "email", "value": "new@example.org", "reason": EVIL}
    await ada.do(f"/console/accounts/{anna}/ask", contact=contact, **given)
    (change,) = await service.rows("SELECT id FROM pending_change WHERE verb = 'email'")
    await (await a_clerk(service, "bob")).do(f"/console/approvals/{change.id}")
    await merge(service, caller, anna, ben)
    asked = await caller.post(f"/v1/accounts/{anna}/email-changes", {"email": "anna.new@example.org"})
    assert asked.status_code == 202, asked.text
    assert (await caller.post("/v1/resets", {"user_id": ben})).status_code in (200, 202)
    await service.deliver()
    sent = {row.kind for row in await service.rows("SELECT DISTINCT kind FROM message WHERE accepted_at IS NOT NULL")}
    assert len(sent) >= 11, sorted(sent)
    assert sent <= set(kinds.KINDS)
    letters = [letter for to in (ANNA, BEN, "anna.new@example.org") for letter in service.mailbox.letters(to)]
    assert len(letters) >= 12
    for letter in letters:
        assert not re.search("zorro|evil", f"{letter['subject']} {letter['text']} {letter['html']}", re.I), letter
