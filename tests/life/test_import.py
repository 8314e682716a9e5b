"""Accounts come over from a file: what a row may say, what is refused in words, and what is there already."""

import itertools
import json
import secrets

import pytest

from identity_service.imports import actions as imports
from identity_service.imports.rows import FIELDS
from tests.accounts.given import an_account
from tests.consents.given import allowed
from tests.life.given import account, audited
from tests.life.imported import SOURCE, each, imported, left, numbered, why

ANNA = "anna@example.com"
MIXED = [
    {"email": ANNA, "reference": "17", "customer_since": "2009-05-17T12:00:00Z"},
    {"email": "ben@"},
    {"email": "cleo@example.com", "customer_since": "2999-01-01T00:00:00Z"},
    {"email": "dora@example.com"},
    {"email": "known@example.com", "reference": "18"},
    {"email": "DORA@Example.com", "reference": "19"},
    {"email": "ede@example.com", "reference": "17"},
    {"reference": "20"},
    {"reference": "20"},
    {"email": "frida@example.com", "reference": "18"},
]
"""Lines 2 to 11: four of them become accounts."""
TOLD = [(3, "refused"), (4, "refused"), (6, "duplicates"), (7, "duplicates"), (8, "duplicates"), (10, "duplicates")]


async def found(caller, **by: str) -> dict:
    """The one account that a client finds."""
    (item,) = (await caller.post("/v1/accounts/search", by)).json()["items"]
    return await account(caller, item["user_id"])


async def test_a_broken_row_in_the_middle_is_told_and_the_rest_goes_on(service, caller):
    """A row whose address or number has an account is told, and makes none; what it asked for is free for the next."""
    await an_account(caller, email="known@example.com")
    report = await imported(service, *MIXED)
    assert (report.lines, report.added, report.duplicates, report.refused) == (10, 4, 4, 2)
    assert [(told.line, told.kind) for told in report.told] == TOLD
    assert {told.reason for told in report.told if told.kind == "duplicates"} == {
        "An account already has this address.", "An account already has this reference.",
    }  # fmt: skip
    rows = await left(service)
    assert (rows["accounts"], rows["references"], rows["events"], rows["staged"]) == (5, 3, 4, 0)
    assert await service.rows("SELECT 1 FROM message WHERE recipient <> 'known@example.com'") == []


async def test_a_dry_run_tells_the_same_and_writes_nothing(service, caller):
    """Duplicates inside the file included, though nothing of it is there to be found."""
    await an_account(caller, email="known@example.com")
    dry = await imports.dry_run(service.database, each(numbered(MIXED)), source=SOURCE, now=service.clock())
    assert (await left(service))["events"] == (await left(service))["staged"] == 0
    assert await service.rows("SELECT 1 FROM import_job") == []
    assert dry == await imported(service, *MIXED)


async def test_a_duplicate_is_found_in_an_earlier_batch_too(service):
    rows = [{"email": f"c{n}@example.com", "reference": str(n)} for n in range(imports.BATCH)]
    again = [{"email": "C0@example.com"}, {"reference": "1"}]
    report = await imported(service, *rows, *again)
    assert [(told.line, told.kind) for told in report.told] == [
        (imports.BATCH + 2, "duplicates"), (imports.BATCH + 3, "duplicates"),
    ]  # fmt: skip


async def test_an_old_number_finds_the_account_for_the_client_it_belongs_to(service, caller):
    """The source is that of the service who knows the customers by it; for another one the number is his own."""
    await imported(service, {"email": ANNA, "reference": "17"}, source=caller.source)
    anna = await found(caller, external_ref="17")
    assert (anna["email"], anna["external_refs"]) == (ANNA, ["17"])
    stranger = await service.caller(name="stranger")
    assert (await stranger.post("/v1/accounts/search", {"external_ref": "17"})).json()["items"] == []
    report = await imported(service, {"email": "ben@example.com", "reference": "17"}, source=stranger.source)
    assert report.added == 1


async def test_what_a_row_says_is_what_the_account_says(service, caller):
    row = {
        "email": "Mueller@bücher.example", "display_name": " =Müller & Söhne; 🏗 ", "locale": "de",
        "customer_since": "2009-05-17T14:00:00+02:00", "reference": "K-17", "kind": "business",
        "company_name": "Müller Bau GmbH", "country": "de", "vat_number": "DE 136 695 976",
    }  # fmt: skip
    assert (await imported(service, row, source=caller.source)).added == 1
    told = await found(caller, external_ref="K-17")
    assert (told["display_name"], told["locale"], told["kind"]) == ("=Müller & Söhne; 🏗", "de", "business")
    assert told["customer_since"] == "2009-05-17T12:00:00Z"
    assert told["email"] == "Mueller@bücher.example"
    assert (told["email_state"], told["has_password"], told["state"]) == ("unconfirmed", False, "active")
    company = {name: told["business"][name] for name in ("company_name", "country", "vat_number")}
    assert company == {"company_name": "Müller Bau GmbH", "country": "DE", "vat_number": "DE136695976"}


async def test_what_is_not_said_is_what_a_new_customer_is(service, caller):
    """PRV-01: nothing about marketing, no password; a customer since now."""
    await imported(service, {"email": ANNA, "display_name": "  ", "consent_purpose": "", "password_hash": ""})
    anna = await found(caller, email=ANNA)
    assert (anna["kind"], anna["locale"], anna["display_name"]) == ("consumer", "en", None)
    assert anna["customer_since"][:19] == service.clock().isoformat()[:19]
    assert (anna["has_password"], anna["external_refs"], set(anna["marketing"].values())) == (False, [], {"never"})
    assert await allowed(caller, anna["user_id"]) == []


async def test_the_event_of_each_tells_where_it_came_from_and_nothing_personal(service, caller):
    """AUD-01: an event holds the User ID and the source; the whole is sealed and found right."""
    await imported(service, *MIXED)
    await audited(service)
    events = await service.rows("SELECT user_id, actor, data FROM event WHERE name = 'account.imported'")
    assert {user_id for user_id, _, _ in events} == {u for (u,) in await service.rows("SELECT user_id FROM account")}
    assert {(actor, json.dumps(data)) for _, actor, data in events} == {("operator", json.dumps({"source": SOURCE}))}
    anna = await found(caller, email=ANNA)
    items = (await caller.get(f"/v1/accounts/{anna['user_id']}/events")).json()["items"]
    assert [item["type"].rpartition("imported")[1] for item in items] == ["imported"]


LONG = "x" * 201
REFUSED = {
    "nothing to find it by": ({"email": "", "display_name": "Anna"}, "the account could not be found again"),
    "a broken address": ({"email": "canary@"}, "a mailbox, an @ and a domain"),
    "a field of its own": ({"phone": "canary"}, "There is no field 'phone'"),
    "a name of two lines": ({"display_name": "canary\nBcc: x"}, "The display_name must be one printable line"),
    "a name turned round": ({"display_name": "canary\u202e"}, "The display_name must be one printable line"),
    "a name without end": ({"display_name": LONG}, "at most 200 characters"),
    "a number without end": ({"reference": "7" * 10_000}, "The reference must be one printable line"),
    "a number with an encoded word": ({"reference": "=?utf-8?q?canary?="}, "The reference must be"),
    "another language": ({"locale": "tlh"}, "The locale or the kind"),
    "another kind": ({"kind": "canary"}, "The locale or the kind"),
    "a day of no calendar": ({"customer_since": "2009-02-30"}, "A time must be written like"),
    "a moment in words": ({"customer_since": "canary"}, "A time must be written like"),
    "the first year": ({"customer_since": "0001-01-01T00:00:00+14:00"}, "A time must be written like"),
    "tomorrow": ({"customer_since": "2999-01-01"}, "in the future"),
    "a business without a name": ({"kind": "business", "country": "DE"}, "needs a company name and a country"),
    "a business nowhere": ({"kind": "business", "company_name": "canary"}, "needs a company name and a country"),
    "no country": ({"kind": "business", "company_name": "canary", "country": "XX"}, "country code does not exist"),
    "a country in umlauts": ({"kind": "business", "company_name": "canary", "country": "ÄÖ"}, "code does not exist"),
    "a broken VAT number": (
        {"kind": "business", "company_name": "canary", "country": "DE", "vat_number": "DE136695977"}, "check digit",
    ),
    "a VAT number of another country": (
        {"kind": "business", "company_name": "canary", "country": "DE", "vat_number": "ATU10223006"}, "belongs to AT",
    ),
    "an unknown hash": ({"password_hash": "canary"}, "unsupported format or too high cost"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_a_row_that_cannot_be_is_refused_in_words(service, name):
    """ATT-38, ATT-40: as at every other door, and the sentence repeats nothing of what stands in the row."""
    row, words = REFUSED[name]
    sentence = await why(service, **row)
    assert words in sentence
    assert "canary" not in sentence


def test_every_field_is_said_or_refused_somewhere_here():
    """A new field needs its row in one of these tests."""
    said = set(itertools.chain.from_iterable([*(row for row, _ in REFUSED.values()), *MIXED]))
    assert set(FIELDS) - said == {name for name in FIELDS if name.startswith("consent_")}


async def test_a_fresh_id_that_is_taken_is_issued_anew(service, monkeypatch):
    """IDN-01: of a million fresh ones and a million that are there, one is taken in every twentieth import."""
    drawn = itertools.chain([17, 17], itertools.repeat(None))
    real = secrets._sysrand

    class Dice:
        def _randbelow(self, below: int) -> int:
            given = next(drawn)
            return real._randbelow(below) if given is None else given

    monkeypatch.setattr(secrets, "_sysrand", Dice())
    report = await imported(service, {"email": ANNA}, {"email": "ben@example.com"})
    assert (report.added, report.told) == (2, [])
    assert (await left(service))["events"] == 2
