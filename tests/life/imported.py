"""Rows of another system, taken over through the action; and what an import must have left."""

import hashlib
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path

from identity_service.imports import actions as imports
from identity_service.imports.actions import Report
from tests.conftest import Service

SOURCE = "old"
HEADING = "email,reference"


async def each(rows: Iterable[imports.Row]) -> AsyncIterator[imports.Row]:
    for row in rows:
        yield row


def numbered(rows: Iterable[Mapping[str, str]]) -> list[imports.Row]:
    """Rows with the numbers of their lines, behind a heading."""
    return list(enumerate(rows, start=2))


async def imported(service: Service, *rows: Mapping[str, str], source: str = SOURCE) -> Report:
    """Import rows, as a file of its own."""
    lines = numbered(rows)
    name = hashlib.sha256(repr((lines, source)).encode()).hexdigest()
    job = await imports.stage_rows(service.database, name, each(lines))
    return await imports.load_rows(service.database, job, source=source, now=service.clock())


async def told(service: Service, **row: str) -> str:
    """Import one row that comes over without some value; return the sentence that is told of it."""
    report = await imported(service, {"email": "anna@example.com", **row})
    assert (report.lines, report.added, report.left_out, report.refused) == (1, 1, 1, 0)
    ((line, what, sentence),) = report.told
    assert (line, what) == (2, "left_out")
    return sentence


async def why(service: Service, **row: str) -> str:
    """Import one row that has to be refused; return the sentence that is told of it."""
    report = await imported(service, {"email": "anna@example.com", **row})
    assert (report.lines, report.added, report.duplicates, report.refused) == (1, 0, 0, 1)
    ((line, what, sentence),) = report.told
    assert (line, what) == (2, "refused")
    assert (await service.rows("SELECT count(*) FROM account"))[0][0] == 0
    return sentence


def a_file(folder: Path, customers: int, *broken: int) -> Path:
    """Write a file of so many customers; some lines (the first is the heading) are no customer."""
    path = folder / "customers.csv"
    lines = [f"c{n}@example.com,{n}" for n in range(2, customers + 2)]
    for line in broken:
        lines[line - 2] = f"c{line}@,{line}"
    path.write_text("\n".join([HEADING, *lines, ""]), encoding="utf-8")
    return path


async def left(service: Service) -> dict[str, int]:
    """How many rows of each kind there are: of whom, each of them once."""
    counts = {
        "accounts": "SELECT count(*), count(DISTINCT coalesce(email_key, user_id)) FROM account",
        "references": "SELECT count(*), count(DISTINCT reference) FROM external_reference WHERE source = 'old'",
        "events": "SELECT count(*), count(DISTINCT user_id) FROM event WHERE name = 'account.imported'",
        "letters": "SELECT count(*), count(*) FROM message",
        "staged": "SELECT count(*), count(*) FROM import_row",
    }
    found = {}
    for name, statement in counts.items():
        ((rows, distinct),) = await service.rows(statement)
        assert rows == distinct, name
        found[name] = rows
    return found
