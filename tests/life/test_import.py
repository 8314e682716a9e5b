"""Accounts come over from a file: a row that cannot be one is told with its line, and the rest goes on."""

import io

import pytest

from identity_service.commands import importing as files
from identity_service.life import importing
from tests.accounts.given import an_account

ROWS = [
    (2, {"email": "anna@example.com", "reference": "17", "customer_since": "2009-05-17T12:00:00Z"}),
    (3, {"email": "ben@"}),
    (4, {"email": "cleo@example.com", "customer_since": "2999-01-01T00:00:00Z"}),
    (5, {"email": "dora@example.com"}),
    (6, {"email": "known@example.com"}),
]


async def rows():
    for row in ROWS:
        yield row


async def test_a_broken_row_in_the_middle_is_told_and_the_rest_goes_on(service, caller):
    await an_account(caller, email="known@example.com")
    job = await importing.stage(service.database, "old.csv", rows())
    report = await importing.take(service.database, job, source="old", now=service.clock())
    assert (report.lines, report.added, report.duplicates, report.refused) == (5, 2, 1, 2)
    assert [(told["line"], told["what"]) for told in report.told] == [
        (3, "refused"), (4, "refused"), (6, "duplicates"),
    ]  # fmt: skip
    found = (await caller.post("/v1/accounts/search", {"email": "anna@example.com"})).json()
    assert "2009-05-17" in str(found)
    assert (await service.rows("SELECT count(*) FROM message WHERE to_addr = 'anna@example.com'"))[0][0] == 0


async def test_a_dry_run_writes_nothing(service, caller):
    report = await importing.dry_run(service.database, rows(), now=service.clock())
    assert (report.lines, report.refused) == (5, 2)
    assert (await service.rows("SELECT count(*) FROM account"))[0][0] == 0


KILLED_THE_FILE = {
    "a character the database cannot keep": {"display_name": "Anna\0Berg"},
    "half a character": {"display_name": "Anna \ud800"},
    "half a character in the name of a field": {"\ud800": "x"},
    "a name that runs backwards": {"display_name": "Anna \u202egreB"},
    "a name without end": {"display_name": "a" * 201},
    "a country of no letters that we know": {"kind": "business", "company_name": "Berg", "country": "ÄÖ"},
    "a country that there is not": {"kind": "business", "company_name": "Berg", "country": "XX"},
    "a purpose that there is not": {"consent_purpose": "fax", "consent_decision": "withdrawn"},
    "a moment before all time": {"customer_since": "0001-01-01T00:00:00+14:00"},
    "a password hash that breaks off": {"password_hash": "pbkdf2_sha256$1$salt$MDE"},
}


@pytest.mark.parametrize("row", KILLED_THE_FILE.values(), ids=KILLED_THE_FILE.keys())
async def test_no_row_can_stop_the_file(service, row):
    """Each of these once stopped the rows around it: a refusal of the database undoes a whole batch."""

    async def around():
        yield 2, {"email": "anna@example.com"}
        yield 3, row
        yield 4, {"email": "ben@example.com"}

    judged = await importing.dry_run(service.database, around(), now=service.clock())
    job = await importing.stage(service.database, "old.csv", around())
    report = await importing.take(service.database, job, source="old", now=service.clock())
    for found in (judged, report):
        assert (found.added, [(told["line"], told["what"]) for told in found.told]) == (2, [(3, "refused")])
        assert "".join(told["why"] for told in found.told).isprintable()


UNREADABLE = {
    "Latin-1": "email\nanna@example.com\nmüller@example.com\n".encode("latin-1"),
    "a cell without end": b'email\n"' + b"a" * 200_000,
}


@pytest.mark.parametrize("content", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_file_that_is_no_text_is_refused_in_a_sentence(content):
    text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8", newline="")
    with pytest.raises(importing.CannotImport, match=r"^This file is no CSV"):
        list(files.lines(text, as_csv=True))


def test_a_line_that_is_nested_without_end_is_one_bad_line():
    found = list(files.lines(["[" * 200_000, '{"email": "anna@example.com"}'], as_csv=False))
    assert found == [(1, {"this line is no JSON": ""}), (2, {"email": "anna@example.com"})]
