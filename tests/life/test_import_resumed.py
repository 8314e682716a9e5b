"""REL-41: an import that is killed, repeated, or doubled makes each account once, and tells the whole of it."""

import asyncio
import json

import pytest
from sqlalchemy import text

from identity_service.cli import imports as command_line
from identity_service.imports import actions as imports
from identity_service.imports import files as imports_files
from identity_service.values import user_ids
from tests.life.imported import SOURCE, a_file, each, imported, left, numbered

OPTIONS = imports_files.FileOptions()
CUSTOMERS = 2 * imports.BATCH + 500
FIRST, LAST = 3, 2 * imports.BATCH + 10
"""Lines that cannot be an account, in the first batch and in the last."""
BEHIND_THE_FIRST, BEHIND_THE_SECOND = imports.BATCH + 1, 2 * imports.BATCH + 1
ACCOUNTS = {"accounts": CUSTOMERS - 2, "references": CUSTOMERS - 2, "events": CUSTOMERS - 2, "letters": 0, "staged": 0}
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
IN_THE_SECOND = imports.BATCH + 100
SOMEBODY = "INSERT INTO account (user_id, email, email_ascii, email_key, email_state, locale, brand, customer_since) "
HOLDS = {
    "its accounts": SOMEBODY
    + "SELECT '000000000000', address, address, address, 'unconfirmed', 'en', 'default', now() "
    f"FROM (VALUES ('c{IN_THE_SECOND}@example.com')) AS a(address)",
    "its references": SOMEBODY + "VALUES ('000000000000', NULL, NULL, NULL, 'none', 'en', 'default', now());"
    f"INSERT INTO external_reference VALUES ('{SOURCE}', '{IN_THE_SECOND}', '000000000000', now())",
}
"""What makes the second batch wait, while somebody else has not committed it."""


def words(file) -> tuple[str, ...]:
    return ("import", str(file), "--source", SOURCE, "--json")


async def waiting(connection, count: int) -> None:
    """Wait until so many wait for a lock."""
    async with asyncio.timeout(300):
        while await connection.scalar(text(WAITING)) < count:
            await connection.rollback()
            await asyncio.sleep(0.02)


async def killed(process) -> None:
    process.kill()
    await process.wait()


async def whole(service, process) -> None:
    """The report, the rows, the events: as if nothing had happened."""
    out, err = await process.communicate()
    assert process.returncode == 1, err.decode()
    told = json.loads(out)
    assert {name: told[name] for name in ("lines", "added", "duplicates", "refused")} == {
        "lines": CUSTOMERS, "added": CUSTOMERS - 2, "duplicates": 0, "refused": 2,
    }  # fmt: skip
    assert [line["line"] for line in told["told"]] == [FIRST, LAST]
    assert await left(service) == ACCOUNTS


async def mark(service) -> int:
    ((line,),) = await service.rows("SELECT done_line FROM import_job")
    return line


async def raw(connection, statements: str) -> None:
    driver = (await connection.get_raw_connection()).driver_connection
    # A busy machine holds it for longer than the product lets a transaction wait.
    await driver.execute(f"SET idle_in_transaction_session_timeout = 0; BEGIN; {statements}")


@pytest.mark.parametrize("at", HOLDS)
async def test_killed_in_the_middle_of_a_batch_it_goes_on_behind_the_one_before(service, owner, begun, tmp_path, at):
    """REL-41: what the second batch had written already is not there, and comes once."""
    file = a_file(tmp_path, CUSTOMERS, FIRST, LAST)
    async with owner.connect() as holding, owner.connect() as looking:
        await raw(holding, HOLDS[at])
        first = await begun(*words(file))
        await waiting(looking, 1)
        await killed(first)
        await raw(holding, "ROLLBACK")
    assert await mark(service) == BEHIND_THE_FIRST
    assert (await left(service))["events"] == imports.BATCH - 1
    await whole(service, await begun(*words(file)))


async def test_killed_between_two_batches_it_goes_on_behind_them(service, owner, begun, tmp_path):
    """REL-41: the second batch is committed, the third has not begun."""
    file = a_file(tmp_path, CUSTOMERS, FIRST, LAST)
    async with owner.connect() as holding, owner.connect() as looking, service.database.engine.connect() as between:
        await raw(holding, HOLDS["its accounts"])
        first = await begun(*words(file))
        await waiting(looking, 1)
        # Queued behind the second batch, and before the third: a table is given on in order, a row to whoever is quick.
        queued = asyncio.create_task(between.execute(text("LOCK TABLE import_job IN EXCLUSIVE MODE")))
        await waiting(looking, 2)
        await raw(holding, "ROLLBACK")
        await queued
        assert await between.scalar(text("SELECT done_line FROM import_job")) == BEHIND_THE_SECOND
        await waiting(looking, 1)
        await killed(first)
    assert await mark(service) == BEHIND_THE_SECOND
    await whole(service, await begun(*words(file)))


async def test_killed_before_the_first_batch_nothing_is_lost(service, owner, begun, tmp_path):
    """REL-41: the file is staged, no account is there."""
    file = a_file(tmp_path, CUSTOMERS, FIRST, LAST)
    await imports.stage_rows(
        service.database, command_line._job_name(file, SOURCE, OPTIONS), imports_files.read_rows(file, OPTIONS)
    )
    async with owner.connect() as holding, owner.connect() as looking:
        await raw(holding, "SELECT id FROM import_job FOR UPDATE")
        first = await begun(*words(file))
        await waiting(looking, 1)
        await killed(first)
        await raw(holding, "ROLLBACK")
    assert await left(service) == {"accounts": 0, "references": 0, "events": 0, "letters": 0, "staged": CUSTOMERS}
    await whole(service, await begun(*words(file)))


async def test_what_breaks_while_a_file_is_staged_leaves_nothing(service):
    """REL-41: all or nothing; the next run stages it again."""
    rows = numbered({"email": f"c{n}@example.com", "reference": str(n)} for n in range(3000))

    async def breaking():
        for row in rows:
            if row[0] == 2900:
                raise OSError("the disk is gone")
            yield row

    with pytest.raises(OSError, match="the disk is gone"):
        await imports.stage_rows(service.database, "a file", breaking())
    assert await service.rows("SELECT 1 FROM import_job") == []
    job = await imports.stage_rows(service.database, "a file", each(rows))
    report = await imports.load_rows(service.database, job, source=SOURCE, now=service.clock())
    assert (report.lines, report.added) == (3000, 3000)


async def test_the_same_file_again_changes_nothing_and_tells_the_same(service, begun, tmp_path):
    """REL-41: whoever lost the report gets it again."""
    file = a_file(tmp_path, CUSTOMERS, FIRST, LAST)
    for _ in range(2):
        await whole(service, await begun(*words(file)))
    again = file.rename(tmp_path / "under another name.csv")
    await whole(service, await begun(*words(again)))


async def test_two_imports_of_the_same_file_at_once_share_it(service, begun, tmp_path):
    """REL-41: whichever batch is whose, each account is made once, and both tell the whole."""
    file = a_file(tmp_path, CUSTOMERS, FIRST, LAST)
    for process in [await begun(*words(file)) for _ in range(2)]:
        await whole(service, process)


async def test_two_files_with_the_same_customers_in_another_order_make_each_once(service, other):
    """REL-41: each waits for what the other has begun; the database ends one, which tries again."""
    customers = [{"email": f"c{n}@example.com", "reference": str(n)} for n in range(imports.BATCH)]
    files = {"forwards": numbered(customers), "backwards": numbered(reversed(customers))}
    jobs = [await imports.stage_rows(service.database, name, each(rows)) for name, rows in files.items()]
    reports = await asyncio.gather(
        *(
            imports.load_rows(database, job, source=SOURCE, now=service.clock())
            for database, job in zip((service.database, other.database), jobs, strict=True)
        )
    )
    assert [report.lines for report in reports] == [len(customers)] * 2
    assert sum(report.added for report in reports) == sum(report.duplicates for report in reports) == len(customers)
    expected = {"accounts": len(customers), "references": len(customers), "events": len(customers)}
    assert await left(service) == {**expected, "letters": 0, "staged": 0}


@pytest.mark.parametrize("at", HOLDS)
async def test_an_account_that_is_registered_meanwhile_is_a_duplicate(service, owner, at):
    """Address or number were free when the batch looked; the other account comes while the batch waits for it."""
    row = {"email": f"c{IN_THE_SECOND}@example.com", "reference": str(IN_THE_SECOND)}
    async with owner.connect() as holding, owner.connect() as looking:
        await raw(holding, HOLDS[at].replace("000000000000", user_ids.issue()))
        importing_it = asyncio.create_task(imported(service, row, {"email": "anna@example.com", "reference": "17"}))
        await waiting(looking, 1)
        await raw(holding, "COMMIT")
        report = await importing_it
    assert (report.lines, report.added, [told.line for told in report.told]) == (2, 1, [2])
    assert (await left(service))["events"] == 1
