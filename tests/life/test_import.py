"""Accounts come over from a file: a row that cannot be one is told with its line, and the rest goes on."""

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
    assert [(told.line, told.what) for told in report.told] == [
        (3, "refused"), (4, "refused"), (6, "duplicates"),
    ]  # fmt: skip
    found = (await caller.post("/v1/accounts/search", {"email": "anna@example.com"})).json()
    assert "2009-05-17" in str(found)
    assert (await service.rows("SELECT count(*) FROM message WHERE to_addr = 'anna@example.com'"))[0][0] == 0


async def test_a_dry_run_writes_nothing(service, caller):
    report = await importing.dry_run(service.database, rows(), source="old", now=service.clock())
    assert (report.lines, report.refused) == (5, 2)
    assert (await service.rows("SELECT count(*) FROM account"))[0][0] == 0
