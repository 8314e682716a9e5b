"""A migration of tomorrow, applied while today's code serves: no request fails, and nobody waits behind it.

The migrations are planted in a copy of the product, as a later version would bring them; `identity-service migrate` of
that copy runs beside the application as it is. What another direction would need, yesterday's code on today's tables,
cannot be had here: there is no release yet.
"""

import asyncio
import os
import shutil
import sys
from collections import Counter
from collections.abc import AsyncIterator
from itertools import count
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import text

from identity_service import app as web
from identity_service import database_schema
from identity_service.database.transactions import Database
from identity_service.key_store import flows as key_store_flows
from tests.conftest import BASE, Caller, Fresh, Service

HERE = Path(database_schema.__file__).parent
COLUMN = """
op.add_column("account", sa.Column("colour", sa.String(), server_default="none", nullable=False))
op.execute("ALTER TABLE account ADD CONSTRAINT ck_account_colour CHECK (colour <> '') NOT VALID")
"""
SLOW = 'op.execute("SELECT pg_sleep(7)")'
INDEX = """
with op.get_context().autocommit_block():
    op.execute("SET lock_timeout = 0")
    op.create_index("ix_account_colour", "account", ["colour"], postgresql_concurrently=True)
    op.execute("SET lock_timeout = '1s'")
op.execute("ALTER TABLE account VALIDATE CONSTRAINT ck_account_colour")
"""


class Later:
    """A copy of the product with migrations that do not exist yet."""

    def __init__(self, folder: Path, fresh: Fresh) -> None:
        self.folder, self.fresh = folder, fresh
        quiet = shutil.ignore_patterns("__pycache__")
        shutil.copytree(HERE, folder / "identity_service", ignore=quiet)
        shutil.copytree(database_schema.MIGRATIONS, folder / "migrations", ignore=quiet)
        self.head = database_schema.head_revision()

    def plant(self, revision: str, steps: str) -> None:
        body = "".join(f"    {line}\n" for line in steps.strip().splitlines())
        (self.folder / f"migrations/versions/{revision}_planted.py").write_text(
            f"import sqlalchemy as sa\nfrom alembic import op\n\nrevision = {revision!r}\n"
            f"down_revision = {self.head!r}\nbranch_labels = None\ndepends_on = None\n\n\ndef upgrade():\n{body}"
        )
        self.head = revision

    async def migrate(self) -> tuple[int, str, str]:
        """Run `identity-service migrate` of the copy."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from identity_service.cli.main import main; main()", "migrate",
            cwd=self.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
            env={
                "PATH": os.environ["PATH"], "PYTHONPATH": str(self.folder),
                "DATABASE_URL": self.fresh.urls.application, "DATABASE_OWNER_URL": self.fresh.urls.owner,
            },
        )  # fmt: skip
        out, complaint = await process.communicate()
        return process.returncode, out.decode(), complaint.decode()


class Traffic:
    """Callers who go on and on: register, verify, add to the history, read the feed."""

    def __init__(self, caller: Caller) -> None:
        self.caller, self.told, self.over = caller, Counter(), asyncio.Event()
        self._numbers = count()

    async def __aenter__(self) -> "Traffic":
        self._tasks = [asyncio.create_task(self._go_on()) for _ in range(4)]
        return self

    async def __aexit__(self, *_) -> None:
        self.over.set()
        await asyncio.gather(*self._tasks)

    async def _go_on(self) -> None:
        while not self.over.is_set():
            number = next(self._numbers)
            made = await self._ask("POST", "/v1/accounts", json={"email": f"c{number}@example.com"})
            user_id = made["user_id"]
            verified = await self._ask("POST", "/v1/accounts/verifications", json={"user_ids": [user_id]})
            assert verified["results"][0]["status"] == "valid"
            entry = {"reference": f"o{number}", "kind": "order", "occurred_at": "2026-03-01T12:00:00Z"}
            await self._ask("POST", f"/v1/accounts/{user_id}/history", json={"entries": [entry]})
            await self._ask("GET", "/v1/events", params={"limit": 1})

    async def _ask(self, method: str, path: str, **options) -> dict:
        answer = await self.caller.http.request(method, path, headers=self.caller.headers, **options)
        self.told[answer.status_code] += 1
        assert answer.status_code in (200, 201), answer.text
        return answer.json()


@pytest.fixture
async def today(fresh: Fresh, settings, clock) -> AsyncIterator[Service]:
    """The application as it is, on a database at head."""
    await fresh.migrate()
    database = Database(settings, fresh.urls.application)
    await key_store_flows.load_key_ring(database, settings.key())
    app = web.create_app(database, settings.key(), clock=clock)
    clock.advance(minutes=1)
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, raise_app_exceptions=False, client=("198.51.100.7", 40000))
        async with httpx2.AsyncClient(transport=transport, base_url=BASE, timeout=30) as http:
            yield Service(app, http, database, None, clock)
    await database.close()


@pytest.fixture
def later(fresh: Fresh, tmp_path: Path) -> Later:
    return Later(tmp_path / "later", fresh)


async def test_no_request_fails_while_migrations_are_applied(today, later: Later):
    """REL-26: a lock is given back before the next step begins, which takes longer than any request would wait."""
    for revision, steps in (("9001", COLUMN), ("9002", SLOW), ("9003", INDEX)):
        later.plant(revision, steps)
    async with Traffic(await today.caller()) as traffic:
        assert await later.migrate() == (0, "The database is at the newest migration: 9003\n", "")
    assert set(traffic.told) == {200, 201}
    assert traffic.told[200] > 50
    assert await later.fresh.rows(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_account_colour'::regclass"
    ) == [(True,)]


async def test_a_table_that_somebody_holds_is_not_waited_for_and_nobody_waits_behind(today, later: Later):
    """REL-26: a report that reads an hour long holds up the migration alone, and the next run does the rest."""
    later.plant("9001", 'op.create_table("planted", sa.Column("id", sa.Integer()))')
    later.plant("9002", COLUMN)
    async with later.fresh.engine.connect() as report, Traffic(await today.caller()) as traffic:
        await report.execute(text("SELECT count(*) FROM account"))
        code, _, complaint = await later.migrate()
        assert (code, complaint.strip()) == (1, database_schema.LockTimeout.title())
        assert await today.rows("SELECT version_num FROM alembic_version") == [("9001",)]
        await report.rollback()
        assert (await later.migrate())[0] == 0
    assert set(traffic.told) == {200, 201}


async def test_today_goes_on_and_starts_again_on_the_tables_of_tomorrow(today, later: Later, fresh: Fresh):
    """REL-26: processes stay ready while the database goes ahead of them, and the version before may come back."""
    later.plant("9001", COLUMN)
    assert (await later.migrate())[0] == 0
    ready = await today.http.get("/readyz")
    assert (ready.status_code, ready.json()["migrations"]) == (200, "head")
    assert await today.database.in_transaction(database_schema.at_head)
    assert await database_schema.migrate(fresh.urls.owner, fresh.role) == "9001"
    async with Traffic(await today.caller()) as traffic:
        while traffic.told[201] < 8:  # noqa: ASYNC110 (the callers tell when they have been served)
            await asyncio.sleep(0.05)
    assert set(traffic.told) == {200, 201}
