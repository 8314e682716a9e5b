"""Accounts from another system: staged by COPY, then taken in batches whose resume mark commits with them.

A batch is one transaction: accounts, references, passwords, consents, events, what is told of lines that did not become
accounts, and the line it ends at. Killed anywhere, a second run goes on at the mark; each row and event once, and the
report is of the whole file. No letter is sent. While a batch is written the next one is read and judged, which needs no
account to be there; whoever finds the mark moved meanwhile (a second import of the file) begins again behind it.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from identity_service import user_ids
from identity_service.consents import taking_over
from identity_service.database import AsyncSession, Database
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.life.incoming import Judge
from identity_service.life.tables import ImportJob, ImportRow, ImportTold

BATCH: Final = 2000
Row = tuple[int, Mapping[str, str]]
Progress = Callable[[int, int], None]
_SAME_ADDRESS: Final = "An account has this address already."
_SAME_REFERENCE: Final = "An account has this reference already."
_TRIES: Final = 5
_JUST_TAKEN: Final = "23505"
"""Somebody has just registered the same address, or a fresh User ID is taken."""


class Told(NamedTuple):
    """A line that does not become an account; `what` is `refused` or `duplicates`."""

    line: int
    what: str
    why: str


@dataclass(slots=True)
class Report:
    """What became of a file: counts, and the lines that were refused or found their account there already."""

    lines: int = 0
    added: int = 0
    told: list[Told] = field(default_factory=list)

    @property
    def duplicates(self) -> int:
        """Return how many lines found their account there already."""
        return self._count("duplicates")

    @property
    def refused(self) -> int:
        """Return how many lines cannot become an account."""
        return self._count("refused")

    def _count(self, what: str) -> int:
        return sum(told.what == what for told in self.told)


@dataclass(slots=True)
class _Batch:
    """Lines that follow one another: behind the mark `after`, up to `last`; the good ones as columns of an account."""

    after: int
    last: int
    lines: int
    good: list[dict[str, Any]]
    told: list[Told]


@dataclass(slots=True)
class _Taken:
    """The addresses and references that have an account, or get one now, so far as these rows ask for them."""

    keys: set[str] = field(default_factory=set)
    references: set[str] = field(default_factory=set)

    async def sort_out(self, session: AsyncSession, rows: Sequence[dict[str, Any]], source: str) -> list[Told]:
        """Return what is told of those of `rows` that are taken; the others take theirs."""
        keys = [row["email_key"] for row in rows if row["email_key"] is not None]
        references = [row["reference"] for row in rows if row["reference"] is not None]
        self.keys.update((await session.scalars(_KEYS, {"keys": keys})).all())
        self.references.update((await session.scalars(_THEIRS, {"source": source, "references": references})).all())
        told = []
        for row in rows:
            if row["email_key"] in self.keys or row["reference"] in self.references:
                why = _SAME_ADDRESS if row["email_key"] in self.keys else _SAME_REFERENCE
                told.append(Told(row["line"], "duplicates", why))
            else:
                self.keys.update(filter(None, [row["email_key"]]))
                self.references.update(filter(None, [row["reference"]]))
        return told


async def stage(database: Database, name: str, rows: AsyncIterator[Row]) -> uuid.UUID:
    """Copy a file's rows into the database, all or nothing; return the job. The same file again is the same job."""
    known = select(ImportJob.id).where(ImportJob.name == name)
    found = await database.short(lambda session: session.scalar(known))
    if found is not None:
        return found
    job_id = uuid.uuid4()

    async def records() -> AsyncIterator[tuple[uuid.UUID, int, str]]:
        async for line, row in rows:
            yield job_id, line, orjson.dumps(dict(row)).decode()

    connection = await database.connect()
    try:
        async with connection.transaction():
            # A large file takes longer than any request may; so does waiting for another import of it.
            await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            if await connection.fetchval(_BEGIN, job_id, name) is not None:
                columns = ("job_id", "line", "fields")
                await connection.copy_records_to_table("import_row", records=records(), columns=columns)
                return job_id
    finally:
        await connection.close()
    return (await database.short(lambda session: session.scalars(known))).one()


async def take(
    database: Database, job_id: uuid.UUID, *, source: str, now: datetime, progress: Progress | None = None
) -> Report:
    """Make accounts of what is staged, from the mark on, and forget the staged rows; return what became of the file."""
    judge, done = Judge(database.settings, now=now), 0
    total = await database.short(lambda session: session.scalar(_COUNT, {"job": job_id})) or 0
    batch = await _read(database, job_id, judge)
    while batch.lines:
        following, is_mine = await asyncio.gather(
            _read(database, job_id, judge, after=batch.last), _write(database, job_id, batch, source, now=now)
        )
        done += batch.lines
        if progress is not None:
            progress(min(done, total), total)
        batch = following if is_mine else await _read(database, job_id, judge)
    await database.short(lambda session: session.execute(delete(ImportRow).where(ImportRow.job_id == job_id)))
    return await database.short(lambda session: _report(session, job_id))


async def dry_run(database: Database, rows: AsyncIterator[Row], *, source: str, now: datetime) -> Report:
    """Judge every row and write nothing."""
    judge, taken, report, waiting = Judge(database.settings, now=now), _Taken(), Report(), list[Row]()

    async def compare() -> None:
        batch = _judged(judge, waiting, after=0)
        told = await database.short(lambda session: taken.sort_out(session, batch.good, source))
        report.lines += batch.lines
        report.added += len(batch.good) - len(told)
        report.told += sorted([*batch.told, *told])
        waiting.clear()

    async for row in rows:
        waiting.append(row)
        if len(waiting) == BATCH:
            await compare()
    await compare()
    return report


async def _read(database: Database, job_id: uuid.UUID, judge: Judge, *, after: int | None = None) -> _Batch:
    """Read the lines behind the mark, or behind another line, and judge them, away from the loop that writes."""

    async def staged(session: AsyncSession) -> tuple[int, list[Row]]:
        mark = after
        if mark is None:
            mark = (await session.scalars(select(ImportJob.done_line).where(ImportJob.id == job_id))).one()
        found = await session.execute(_STAGED, {"job": job_id, "after": mark, "batch": BATCH})
        return mark, [(line, orjson.loads(fields)) for line, fields in found]

    mark, rows = await database.short(staged)
    return await asyncio.to_thread(_judged, judge, rows, after=mark)


def _judged(judge: Judge, rows: Sequence[Row], *, after: int) -> _Batch:
    batch = _Batch(after, rows[-1][0] if rows else after, len(rows), [], [])
    for line, given in rows:
        try:
            batch.good.append({**judge.columns(given), "line": line})
        except Problem as refused:
            batch.told.append(Told(line, "refused", refused.sentence()))
    return batch


async def _write(database: Database, job_id: uuid.UUID, batch: _Batch, source: str, *, now: datetime) -> bool:
    """Write a batch and move the mark; False where the mark is no longer where the batch begins."""
    for tries_left in reversed(range(_TRIES)):
        try:
            return await database.short(lambda session: _write_once(session, job_id, batch, source, now=now))
        except DBAPIError as problem:
            if not tries_left or getattr(problem.orig, "sqlstate", None) != _JUST_TAKEN:
                raise
    raise AssertionError


async def _write_once(session: AsyncSession, job_id: uuid.UUID, batch: _Batch, source: str, *, now: datetime) -> bool:
    job = (await session.scalars(select(ImportJob).where(ImportJob.id == job_id).with_for_update())).one()
    if job.done_line != batch.after:
        return False
    duplicates = await _Taken().sort_out(session, batch.good, source)
    without = {told.line for told in duplicates}
    fresh = [row for row in batch.good if row["line"] not in without]
    # Issued in this try: one of a million may be taken already, and then the next try issues others.
    for row in fresh:
        row["user_id"] = user_ids.issue()
    if fresh:
        await _add(session, fresh, source, now=now)
    told = [{"job_id": job_id, **one._asdict()} for one in (*batch.told, *duplicates)]
    if told:
        await session.execute(insert(ImportTold), told)
    moved = {"done_line": batch.last, "lines": job.lines + batch.lines, "added": job.added + len(fresh)}
    await session.execute(update(ImportJob).where(ImportJob.id == job_id).values(moved))
    return True


async def _add(session: AsyncSession, fresh: Sequence[dict[str, Any]], source: str, *, now: datetime) -> None:
    await session.execute(_ACCOUNTS, _by_column(fresh, _COLUMNS))
    for statement, names, more in (
        (_REFERENCES, ("reference",), {"source": source, "now": now}),
        (_PASSWORDS, ("password",), {"now": now}),
        (_COMPANIES, ("company_name", "country", "vat_number"), {"now": now}),
    ):
        some = [row for row in fresh if row[names[0]] is not None]
        if some:
            await session.execute(statement, _by_column(some, ("user_id", *names)) | more)
    told = [("account.imported", row["user_id"], {"source": source}) for row in fresh]
    await events.record_all(session, told, actor="operator", now=now)
    said = [taking_over.Said(row["user_id"], **row["consent"]) for row in fresh if row["consent"] is not None]
    if said:
        await taking_over.take_over(session, said, actor="operator", now=now)


async def _report(session: AsyncSession, job_id: uuid.UUID) -> Report:
    job = await session.get_one(ImportJob, job_id)
    mine = select(ImportTold.line, ImportTold.what, ImportTold.why).where(ImportTold.job_id == job_id)
    told = await session.execute(mine.order_by(ImportTold.line))
    return Report(job.lines, job.added, [Told(*row) for row in told])


def _by_column(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    """Return each column as one list: the cheapest way for many rows into one statement, on both sides."""
    return {name: [row[name] for row in rows] for name in names}


_COLUMNS: Final = (
    "user_id", "email", "email_ascii", "email_key", "email_state", "display_name", "locale", "kind", "customer_since",
)  # fmt: skip
_BEGIN = "INSERT INTO import_job (id, name, done_line) VALUES ($1, $2, 0) ON CONFLICT (name) DO NOTHING RETURNING id"
_STAGED = text(
    "SELECT line, fields::text FROM import_row WHERE job_id = :job AND line > :after ORDER BY line LIMIT :batch"
)
_KEYS = text("SELECT email_key FROM account WHERE email_key = ANY(:keys)")
_THEIRS = text("SELECT reference FROM external_reference WHERE client_id = :source AND reference = ANY(:references)")
_ACCOUNTS = text(
    """
    INSERT INTO account
        (user_id, email, email_ascii, email_key, email_state, display_name, locale, kind, customer_since)
    SELECT * FROM unnest(
        CAST(:user_id AS text[]), CAST(:email AS text[]), CAST(:email_ascii AS text[]), CAST(:email_key AS text[]),
        CAST(:email_state AS text[]), CAST(:display_name AS text[]), CAST(:locale AS text[]), CAST(:kind AS text[]),
        CAST(:customer_since AS timestamptz[])
    )
    """
)
_REFERENCES = text(
    """
    INSERT INTO external_reference (client_id, reference, user_id, created_at)
    SELECT :source, reference, user_id, :now
    FROM unnest(CAST(:user_id AS text[]), CAST(:reference AS text[])) AS r(user_id, reference)
    """
)
_PASSWORDS = text(
    """
    INSERT INTO password (user_id, phc, set_at)
    SELECT user_id, phc, CAST(:now AS timestamptz)
    FROM unnest(CAST(:user_id AS text[]), CAST(:password AS text[])) AS r(user_id, phc)
    """
)
_COMPANIES = text(
    """
    INSERT INTO business_time (user_id, company_name, country, vat_number, began_at)
    SELECT r.*, CAST(:now AS timestamptz) FROM unnest(
        CAST(:user_id AS text[]), CAST(:company_name AS text[]), CAST(:country AS text[]), CAST(:vat_number AS text[])
    ) AS r
    """
)
_COUNT = text(
    "SELECT count(*) FROM import_row r JOIN import_job j ON j.id = r.job_id WHERE j.id = :job AND r.line > j.done_line"
)
