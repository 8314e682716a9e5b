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
from tests.life.imported import SOURCE, each, imported, left, numbered, told, why

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
    {"email": "frida@example.com", "reference": "21"},
]
"""Lines 2 to 11: four of them become accounts."""
TOLD = [
    (3, "refused"), (4, "refused"), (6, "extended"), (7, "extended"), (8, "refused"), (10, "duplicates"),
]  # fmt: skip


async def found(caller, **by: str) -> dict:
    """The one account that a client finds."""
    (item,) = (await caller.post("/v1/accounts/search", by)).json()["items"]
    return await account(caller, item["user_id"])


async def test_a_broken_row_in_the_middle_is_told_and_the_rest_goes_on(service, caller):
    """A row whose address or number has an account adds its number to it; a number of somebody else is refused."""
    await an_account(caller, email="known@example.com")
    report = await imported(service, *MIXED)
    assert (report.lines, report.added, report.extended, report.duplicates, report.refused) == (10, 4, 2, 1, 3)
    assert [(told.line, told.kind) for told in report.told] == TOLD
    assert report.told[-1].reason == "An account already has this reference."
    rows = await left(service)
    assert (rows["accounts"], rows["references"], rows["events"], rows["staged"]) == (5, 5, 4, 0)
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
    dry = await imports.dry_run(service.database, each(numbered([*rows, *again])), source="new", now=service.clock())
    assert [(told.line, told.kind) for told in dry.told][-2:] == [
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
    assert {(actor, json.dumps(data)) for _, actor, data in events} == {
        ("operator", json.dumps({"source": SOURCE, "mailbox_confirmed_at": None}))
    }
    anna = await found(caller, email=ANNA)
    items = (await caller.get(f"/v1/accounts/{anna['user_id']}/events")).json()["items"]
    assert [item["type"].rpartition("imported")[1] for item in items] == ["imported"]


LONG = "x" * 201
REFUSED = {
    "nothing to find it by": ({"email": "", "display_name": "Anna"}, "the account could not be found again"),
    "a broken address": ({"email": "canary@"}, "a name, an @ and a domain"),
    "a field of its own": ({"phone": "canary"}, "There is no field 'phone'"),
    "a number without end": ({"reference": "7" * 10_000}, "reference: must be one printable line"),
    "a number with an encoded word": ({"reference": "=?utf-8?q?canary?="}, "reference: must be"),
    "another kind": ({"kind": "canary"}, "kind: must be consumer or business"),
    "a day of no calendar": ({"customer_since": "2009-02-30"}, "a time must be written like"),
    "a moment in words": ({"customer_since": "canary"}, "a time must be written like"),
    "a day that may be another": ({"customer_since": "05/06/2009"}, "a time must be written like"),
    "a year": ({"customer_since": "2009"}, "a time must be written like"),
    "a day of a spreadsheet": ({"customer_since": "39950.5"}, "a time must be written like"),
    "the first year": ({"customer_since": "0001-01-01T00:00:00+14:00"}, "a time must be between 1900 and now"),
    "milliseconds of the Middle Ages": ({"customer_since": "-1112111200000"}, "a time must be written like"),
    "verified perhaps": ({"email_verified": "canary"}, "email_verified: must be true or false"),
    "verified on no day": ({"email_verified_at": "canary"}, "email_verified_at: a time must be written like"),
    "a consumer with a company": (
        {"kind": "consumer", "company_name": "canary"}, "kind: says consumer, but company_name",
    ),
    "a VAT number alone": ({"vat_number": "DE136695976"}, "needs a company name and a country"),
    "a company nowhere": ({"company_name": "canary"}, "needs a company name and a country"),
    "tomorrow": ({"customer_since": "2999-01-01"}, "in the future"),
    "a business without a name": ({"kind": "business", "country": "DE"}, "needs a company name and a country"),
    "a business nowhere": ({"kind": "business", "company_name": "canary"}, "needs a company name and a country"),
    "no country": ({"kind": "business", "company_name": "canary", "country": "XX"}, "country code doesn't exist"),
    "a country in umlauts": ({"kind": "business", "company_name": "canary", "country": "ÄÖ"}, "code doesn't exist"),
}  # fmt: skip
COMPANY = {"company_name": "Berg", "country": "DE"}
LEFT_OUT = {
    "a name of two lines": ({"display_name": "canary\nBcc: x"}, "display_name: must be one printable line"),
    "a name turned round": ({"display_name": "cana\u202ery"}, "display_name: must be one printable line"),
    "a name without end": ({"display_name": LONG}, "at most 200 characters"),
    "no language": ({"locale": "canary!"}, "locale: must be a language tag"),
    "a broken VAT number": ({**COMPANY, "vat_number": "DE136695977"}, "vat_number: The check digit"),
    "a VAT number of another country": ({**COMPANY, "vat_number": "ATU10223006"}, "is for AT, but the company"),
    "an unknown hash": ({"password_hash": "canary"}, "unsupported format or too high cost"),
    "a name that is no name": ({"display_name": "NULL"}, "display_name: left out, because it is a word for nothing"),
    "a number that everybody has": ({"reference": "(null)"}, "reference: left out, because it is a word for nothing"),
    "a moment of zero": ({"customer_since": "0"}, "customer_since: left out"),
    "a country of nobody": ({"country": "DE"}, "country: left out, because only a business has one"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_a_row_that_cannot_be_is_refused_in_words(service, name):
    """ATT-38, ATT-40: as at every other door, and the sentence repeats nothing of what stands in the row."""
    row, words = REFUSED[name]
    sentence = await why(service, **row)
    assert words in sentence
    assert "canary" not in sentence


@pytest.mark.parametrize("name", LEFT_OUT)
async def test_a_value_that_is_not_needed_costs_itself_alone(service, caller, name):
    """The customer comes over, and what is missing is told with its column and nothing of what stood there."""
    row, words = LEFT_OUT[name]
    sentence = await told(service, **row)
    assert words in sentence
    assert "canary" not in sentence
    anna = await found(caller, email=ANNA)
    assert (anna["display_name"], anna["locale"], anna["has_password"]) == (None, "en", False)


READ = {
    "de-DE": ("locale", "de_DE"), "de-AT": ("locale", "DE-at"), "en-US": ("locale", "en_US.UTF-8"),
    "2009-05-17T12:00:00Z": ("customer_since", "1242561600"),
    "2009-05-17T12:00:00Z ": ("customer_since", "1242561600000"),
    "2009-05-17T12:00:00Z  ": ("customer_since", "1242561600000000"),
    "2009-05-17T12:00:00.500000Z": ("customer_since", "1242561600.5"),
    "2005-03-29T15:46:40Z": ("customer_since", "1112111200000"),
    "2009-05-17T00:00:00Z": ("customer_since", "17.05.2009"),
    "2009-05-17T14:30:00Z": ("customer_since", "17.5.2009 14:30"),
    "2009-05-17T00:00:00Z ": ("customer_since", "20090517"),
    "2009-05-17T12:00:00Z   ": ("customer_since", "2009-05-17 14:00:00 +0200"),
    "2009-05-17T12:00:00Z    ": ("customer_since", "2009-05-17 12:00:00 UTC"),
    "2009-05-17T12:00:00Z     ": ("customer_since", "2009-05-17 12:00:00"),
    "2009-05-17T12:00:00.123456Z": ("customer_since", "2009-05-17T12:00:00.123456789Z"),
    "business": ("kind", "Business"), "consumer": ("kind", "CONSUMER"),
}  # fmt: skip


@pytest.mark.parametrize("meant", READ)
async def test_a_value_is_read_in_any_dress(service, caller, meant):
    """A locale with a region, a kind in capitals, a moment in seconds or as a spreadsheet writes it; UTC without a
    zone."""
    field, given = READ[meant]
    company = COMPANY if given == "Business" else {}
    report = await imported(service, {"email": ANNA, field: given, **company})
    assert (report.added, report.told) == (1, [])
    assert (await found(caller, email=ANNA))[field] == meant.strip()


@pytest.mark.parametrize("nothing", ["\\N", "", "  ", "0000-00-00 00:00:00"])
async def test_what_says_nothing_is_nothing(service, nothing):
    """A number that everybody shares would make one customer of all."""
    rows = [{"email": f"c{n}@example.com", "reference": nothing, "customer_since": nothing} for n in range(3)]
    report = await imported(service, *rows)
    assert (report.added, report.told) == (3, [])
    assert await service.rows("SELECT 1 FROM external_reference") == []


@pytest.mark.parametrize(
    ("company", "country"),
    [(COMPANY, "DE"), ({**COMPANY, "country": "UK"}, "GB"), ({**COMPANY, "country": "el"}, "GR")],
)
async def test_a_company_makes_a_business_without_being_told_so(service, caller, company, country):
    assert (await imported(service, {"email": ANNA, **company})).told == []
    anna = await found(caller, email=ANNA)
    assert (anna["kind"], anna["business"]["company_name"], anna["business"]["country"]) == (
        "business",
        "Berg",
        country,
    )


CONFIRMED = {
    "2019-03-01T08:00:00+00:00": {"email_verified_at": "2019-03-01 08:00"},
    "2019-03-01T09:00:00+00:00": {"email_verified_at": "1551430800", "email_verified": "TRUE"},
    "now": {"email_verified": "1"},
    None: {"email_verified": "false", "email_verified_at": "2019-03-01"},
    "": {},
}


@pytest.mark.parametrize("at", CONFIRMED)
async def test_where_an_address_was_confirmed_is_kept_beside_the_password(service, caller, at):
    """The account stays unconfirmed: nobody has proven the mailbox here. The event tells it, too."""
    hashed = "$2b$04$qGiOszDvb1OEc4sRHOCSLuSm2yMM7HU6tOcYWDGNdWoLtYzsnbvk2"
    await imported(service, {"email": ANNA, "password_hash": hashed, **CONFIRMED[at]})
    assert (await found(caller, email=ANNA))["email_state"] == "unconfirmed"
    ((imported_at, confirmed_at),) = await service.rows("SELECT imported_at, mailbox_confirmed_at FROM password")
    assert imported_at == service.clock()
    expected = service.clock().isoformat() if at == "now" else at or None
    assert (confirmed_at and confirmed_at.isoformat()) == expected
    ((data,),) = await service.rows("SELECT data FROM event WHERE name = 'account.imported'")
    assert data["mailbox_confirmed_at"] == (expected and expected.replace("+00:00", "Z"))


async def test_a_number_of_somebody_else_is_refused_by_name(service):
    rows = [
        {"email": "a@example.com", "reference": "1"}, {"email": "b@example.com", "reference": "2"},
        {"email": "a@example.com", "reference": "2"}, {"email": "new@example.com", "reference": "1"},
        {"reference": "3"}, {"email": "c@example.com", "reference": "3"}, {"email": "c@example.com", "reference": "4"},
    ]  # fmt: skip
    report = await imported(service, *rows)
    assert (report.added, report.extended, report.refused) == (3, 2, 2)
    two, other, address, number = report.told
    assert "lead to two different accounts" in two.reason
    assert "leads to an account with another address" in other.reason
    assert address.reason == "Added to the account that is there: email."
    assert number.reason == "Added to the account that is there: reference."
    assert await service.rows("SELECT reference FROM external_reference ORDER BY 1") == [("1",), ("2",), ("3",), ("4",)]


async def test_a_file_sets_no_password_of_an_account_that_is_there(service, caller):
    """An account is taken over by its mailbox alone, and not by a file."""
    await an_account(caller, email=ANNA)
    hashed = "$2b$04$qGiOszDvb1OEc4sRHOCSLuSm2yMM7HU6tOcYWDGNdWoLtYzsnbvk2"
    report = await imported(service, {"email": ANNA, "password_hash": hashed})
    assert "a file sets no password of an account that is there" in report.told[0].reason
    assert await service.rows("SELECT 1 FROM password") == []


def test_every_field_is_said_or_refused_somewhere_here():
    """A new field needs its row in one of these tests."""
    given = [row for row, _ in (*REFUSED.values(), *LEFT_OUT.values())]
    said = set(itertools.chain.from_iterable([*given, *MIXED]))
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
