"""Import accounts: stage the file's rows by COPY, then load them in batches that commit with their resume point.

A batch is one transaction: accounts, references, passwords, consents, events, what is told of its lines, and the resume
point (`done_line`). After a crash at any point, a second run resumes there: each row and event is written once, and the
report covers the whole file. No email is sent. While a batch is written, the next one is read and validated, which
needs no stored account. If another import of the same file has advanced the resume point, this one restarts from there.
"""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import delete, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError

from identity_service.accounts import mailbox
from identity_service.brands import rules as brand_rules
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.imports import consents
from identity_service.imports.matching import Match, Matcher
from identity_service.imports.rows import LEFT_OUT, RowValidator
from identity_service.imports.tables import ImportIssue, ImportJob, ImportRow
from identity_service.passwords import dummies
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId

BATCH: Final = 2000
Row = tuple[int, Mapping[str, str]]
Progress = Callable[[int, int], None]
FORGET_AFTER: Final = timedelta(days=30)
"""How long the staged rows of an import that was broken off are kept."""
_WRITE_ATTEMPTS: Final = 5
_UNIQUE_VIOLATION: Final = "23505"
"""SQLSTATE when an address was registered concurrently, or a new User ID is already in use."""


class ImportNotice(NamedTuple):
    """What is told of a line. `kind`: `refused`; `duplicates` (the account is there, and the line adds nothing);
    `extended` (the line adds to an account); `left_out` (a value of the line was not taken)."""

    line: int
    kind: str
    reason: str


@dataclass(slots=True)
class Report:
    """The result of an import: counts, and what is told of lines."""

    lines: int = 0
    added: int = 0
    told: list[ImportNotice] = field(default_factory=list)

    @property
    def duplicates(self) -> int:
        """Return how many lines are about an account that is there, and add nothing to it."""
        return self._count("duplicates")

    @property
    def extended(self) -> int:
        """Return how many lines add something to an account."""
        return self._count("extended")

    @property
    def left_out(self) -> int:
        """Return of how many lines a value was left out."""
        return self._count("left_out")

    @property
    def refused(self) -> int:
        """Return how many lines were refused."""
        return self._count("refused")

    def _count(self, kind: str) -> int:
        return sum(notice.kind == kind for notice in self.told)


@dataclass(slots=True)
class _Batch:
    """Consecutive lines behind `after` up to `last`: valid ones as account columns, others as notices."""

    after: int
    last: int
    lines: int
    valid: list[dict[str, Any]]
    notices: list[ImportNotice]


@dataclass(slots=True)
class _Matched:
    """The rows of a batch that make an account, those that add to one, and what is told of them."""

    fresh: list[dict[str, Any]] = field(default_factory=list)
    additions: list[tuple[dict[str, Any], Match]] = field(default_factory=list)
    notices: list[ImportNotice] = field(default_factory=list)


async def stage_rows(database: Database, name: str, rows: AsyncIterator[Row]) -> uuid.UUID:
    """Copy a file's rows into the database in one transaction; return the job. The same `name` returns the same job."""
    known = update(ImportJob).where(ImportJob.name == name).values(begun_at=func.now()).returning(ImportJob.id)
    found = await database.in_transaction(lambda session: session.scalar(known))
    if found is not None:
        return found
    job_id = uuid.uuid4()

    async def records() -> AsyncIterator[tuple[uuid.UUID, int, str]]:
        async for line, row in rows:
            yield job_id, line, orjson.dumps(dict(row)).decode()

    connection = await database.connect()
    try:
        async with connection.transaction():
            # Staging a large file, or waiting for a concurrent import of it, takes longer than the limits for requests.
            await connection.execute("SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0")
            if await connection.fetchval(_BEGIN, job_id, name) is not None:
                columns = ("job_id", "line", "fields")
                await connection.copy_records_to_table("import_row", records=records(), columns=columns)
                return job_id
    finally:
        await connection.close()
    return (await database.in_transaction(lambda session: session.scalars(known))).one()


async def load_rows(
    database: Database,
    job_id: uuid.UUID,
    *,
    source: str,
    brand: str = brand_rules.DEFAULT,
    now: datetime,
    progress: Progress | None = None,
) -> Report:
    """Load the staged rows after the resume point and delete them; return the report on the whole file.

    `progress` is called after each batch with the rows done and the total of this run.
    """
    validator, done = RowValidator(database.settings, brand=brand, now=now), 0
    total = await database.in_transaction(lambda session: session.scalar(_COUNT, {"job": job_id})) or 0
    batch = await _read(database, job_id, validator)
    while batch.lines:
        following, is_mine = await asyncio.gather(
            _read(database, job_id, validator, after=batch.last), _write(database, job_id, batch, source, now=now)
        )
        done += batch.lines
        if progress is not None:
            progress(min(done, total), total)
        batch = following if is_mine else await _read(database, job_id, validator)
    await database.in_transaction(lambda session: session.execute(delete(ImportRow).where(ImportRow.job_id == job_id)))
    await database.in_transaction(dummies.count_kinds)
    return await database.in_transaction(lambda session: _report(session, job_id))


async def dry_run(database: Database, rows: AsyncIterator[Row], *, source: str, now: datetime) -> Report:
    """Validate every row and write nothing; return the report that an import would give now."""
    validator, matcher, report, pending = (
        RowValidator(database.settings, now=now),
        Matcher(source),
        Report(),
        list[Row](),
    )

    async def check_pending() -> None:
        batch = _validate(validator, pending, after=0)
        await database.in_transaction(lambda session: matcher.load(session, batch.valid, lock=False))
        matched = _match(matcher, batch)
        report.lines += batch.lines
        report.added += len(matched.fresh)
        report.told += _tell(batch, matched)
        pending.clear()

    async for row in rows:
        pending.append(row)
        if len(pending) == BATCH:
            await check_pending()
    await check_pending()
    return report


async def purge_rows(session: DatabaseSession) -> None:
    """Delete the staged rows of imports that were last begun more than 30 days ago and never finished; their jobs too,
    so that importing the file again begins anew. What such an import wrote stays."""
    # All rows at once, however many: an import that finds some of them missing would seem to be complete.
    await session.execute(text("SET LOCAL statement_timeout = 0"))
    staged = select(ImportRow.job_id).where(ImportRow.job_id == ImportJob.id).exists()
    old = select(ImportJob.id).where(ImportJob.begun_at < func.now() - FORGET_AFTER, staged)
    job_ids = (await session.scalars(old.with_for_update())).all()
    for table in (ImportRow, ImportIssue):
        await session.execute(delete(table).where(table.job_id.in_(job_ids)))
    await session.execute(delete(ImportJob).where(ImportJob.id.in_(job_ids)))


async def _read(database: Database, job_id: uuid.UUID, validator: RowValidator, *, after: int | None = None) -> _Batch:
    """Read the lines after the resume point or `after`, and validate them in a thread, beside the event loop."""

    async def read_rows(session: DatabaseSession) -> tuple[int, list[Row]]:
        start = after
        if start is None:
            start = (await session.scalars(select(ImportJob.done_line).where(ImportJob.id == job_id))).one()
        found = await session.execute(_STAGED, {"job": job_id, "after": start, "batch": BATCH})
        return start, [(line, orjson.loads(fields)) for line, fields in found]

    start, rows = await database.in_transaction(read_rows)
    return await asyncio.to_thread(_validate, validator, rows, after=start)


def _validate(validator: RowValidator, rows: Sequence[Row], *, after: int) -> _Batch:
    batch = _Batch(after, rows[-1][0] if rows else after, len(rows), [], [])
    for line, given in rows:
        left_out = [given[LEFT_OUT]] if given.keys() == {LEFT_OUT} else []
        try:
            if not left_out:
                columns, left_out = validator.read_columns(given)
                batch.valid.append({**columns, "line": line})
        except Problem as refused:
            batch.notices.append(ImportNotice(line, "refused", refused.sentence()))
            continue
        if left_out:
            batch.notices.append(ImportNotice(line, "left_out", " ".join(left_out)))
    return batch


def _match(matcher: Matcher, batch: _Batch) -> _Matched:
    found = _Matched()
    for row in batch.valid:
        match = matcher.match(row)
        if isinstance(match, str):
            found.notices.append(ImportNotice(row["line"], "refused", match))
            continue
        row["user_id"] = match.customer.user_id
        if match.is_new:
            found.fresh.append(row)
            continue
        found.additions.append((row, match))
        found.notices.append(ImportNotice(row["line"], match.kind, match.reason))
    return found


def _tell(batch: _Batch, matched: _Matched) -> list[ImportNotice]:
    """Return one notice for each line and kind; of a line that was refused nothing else is told."""
    told: dict[tuple[int, str], list[str]] = {}
    refused = {notice.line for notice in (*batch.notices, *matched.notices) if notice.kind == "refused"}
    for notice in (*batch.notices, *matched.notices):
        if notice.kind == "refused" or notice.line not in refused:
            told.setdefault((notice.line, notice.kind), []).append(notice.reason)
    return [ImportNotice(line, kind, " ".join(reasons)) for (line, kind), reasons in sorted(told.items())]


async def _write(database: Database, job_id: uuid.UUID, batch: _Batch, source: str, *, now: datetime) -> bool:
    """Write a batch and its resume point; return false if another import has moved the resume point."""
    for attempts_left in reversed(range(_WRITE_ATTEMPTS)):
        try:
            return await database.in_transaction(lambda session: _write_once(session, job_id, batch, source, now=now))
        except DBAPIError as problem:
            if not attempts_left or getattr(problem.orig, "sqlstate", None) != _UNIQUE_VIOLATION:
                raise
    raise AssertionError


async def _write_once(
    session: DatabaseSession, job_id: uuid.UUID, batch: _Batch, source: str, *, now: datetime
) -> bool:
    job = (await session.scalars(select(ImportJob).where(ImportJob.id == job_id).with_for_update())).one()
    if job.done_line != batch.after:
        return False
    # Match in each attempt: an account may have come meanwhile, and a User ID that is in use needs another.
    matcher = Matcher(source)
    await matcher.load(session, batch.valid, lock=True)
    matched = _match(matcher, batch)
    if matched.fresh:
        await _add(session, matched.fresh, source, now=now)
    await _extend(session, matched, source, now=now)
    issues = [{"job_id": job_id, **notice._asdict()} for notice in _tell(batch, matched)]
    if issues:
        await session.execute(insert(ImportIssue), issues)
    values = {"done_line": batch.last, "lines": job.lines + batch.lines, "added": job.added + len(matched.fresh)}
    await session.execute(update(ImportJob).where(ImportJob.id == job_id).values(values))
    return True


async def _add(session: DatabaseSession, fresh: Sequence[dict[str, Any]], source: str, *, now: datetime) -> None:
    await session.execute(_ACCOUNTS, _by_column(fresh, _COLUMNS))
    for statement, names, parameters in (
        (_REFERENCES, ("reference",), {"source": source, "now": now}),
        (_PASSWORDS, ("password", "mailbox_confirmed_at"), {"now": now}),
        (_COMPANIES, ("company_name", "country", "vat_number"), {"now": now}),
    ):
        some = [row for row in fresh if row[names[0]] is not None]
        if some:
            await session.execute(statement, _by_column(some, ("user_id", *names)) | parameters)
    imported = [("account.imported", row["user_id"], _event_data(row, source)) for row in fresh]
    await events.record_events(session, imported, actor="operator", now=now)


def _event_data(row: Mapping[str, Any], source: str) -> dict[str, Any]:
    confirmed_at = row["mailbox_confirmed_at"]
    return {"source": source} | ({"mailbox_confirmed_at": confirmed_at.isoformat()} if confirmed_at else {})


async def _extend(session: DatabaseSession, matched: _Matched, source: str, *, now: datetime) -> None:
    """Write references and addresses that rows add, and the consents of all rows in their order."""
    for row, match in matched.additions:
        if match.adds_email:
            address = EmailAddress(row["email"], row["email_ascii"], row["email_key"])
            await mailbox.add_email(session, UserId(row["user_id"]), address, actor="operator", now=now)
    references = [row for row, match in matched.additions if match.reference is not None]
    if references:
        parameters = {"source": source, "now": now}
        await session.execute(_REFERENCES, _by_column(references, ("user_id", "reference")) | parameters)
    given = [(row["line"], row["user_id"], row["consent"]) for row in matched.fresh]
    given += [(row["line"], row["user_id"], match.consent) for row, match in matched.additions]
    in_order = [
        consents.ImportedConsent(user_id, **consent) for _, user_id, consent in sorted(given, key=lambda one: one[0])
        if consent is not None
    ]  # fmt: skip
    if in_order:
        await consents.import_consents(session, in_order, actor="operator", now=now)


async def _report(session: DatabaseSession, job_id: uuid.UUID) -> Report:
    job = await session.get_one(ImportJob, job_id)
    mine = select(ImportIssue.line, ImportIssue.kind, ImportIssue.reason).where(ImportIssue.job_id == job_id)
    issues = await session.execute(mine.order_by(ImportIssue.line, ImportIssue.kind))
    return Report(job.lines, job.added, [ImportNotice(*row) for row in issues])


def _by_column(rows: Sequence[Mapping[str, Any]], names: Iterable[str]) -> dict[str, Any]:
    """Return each column as one list, for one INSERT … SELECT FROM unnest: the fastest way to insert many rows."""
    return {name: [row[name] for row in rows] for name in names}


_COLUMNS: Final = (
    "user_id", "email", "email_ascii", "email_key", "email_state", "display_name", "locale", "kind", "customer_since",
    "brand",
)  # fmt: skip
_BEGIN = "INSERT INTO import_job (id, name, done_line) VALUES ($1, $2, 0) ON CONFLICT (name) DO NOTHING RETURNING id"
_STAGED = text(
    "SELECT line, fields::text FROM import_row WHERE job_id = :job AND line > :after ORDER BY line LIMIT :batch"
)
_ACCOUNTS = text(
    """
    INSERT INTO account
        (user_id, email, email_ascii, email_key, email_state, display_name, locale, kind, customer_since, brand)
    SELECT * FROM unnest(
        CAST(:user_id AS text[]), CAST(:email AS text[]), CAST(:email_ascii AS text[]), CAST(:email_key AS text[]),
        CAST(:email_state AS text[]), CAST(:display_name AS text[]), CAST(:locale AS text[]), CAST(:kind AS text[]),
        CAST(:customer_since AS timestamptz[]), CAST(:brand AS text[])
    )
    """
)
_REFERENCES = text(
    """
    INSERT INTO external_reference (source, reference, user_id, created_at)
    SELECT :source, reference, user_id, :now
    FROM unnest(CAST(:user_id AS text[]), CAST(:reference AS text[])) AS r(user_id, reference)
    """
)
_PASSWORDS = text(
    """
    INSERT INTO password (user_id, phc, set_at, imported_at, mailbox_confirmed_at)
    SELECT user_id, phc, CAST(:now AS timestamptz), CAST(:now AS timestamptz), confirmed_at
    FROM unnest(
        CAST(:user_id AS text[]), CAST(:password AS text[]), CAST(:mailbox_confirmed_at AS timestamptz[])
    ) AS r(user_id, phc, confirmed_at)
    """
)
_COMPANIES = text(
    """
    INSERT INTO business_period (user_id, company_name, country, vat_number, began_at)
    SELECT r.*, CAST(:now AS timestamptz) FROM unnest(
        CAST(:user_id AS text[]), CAST(:company_name AS text[]), CAST(:country AS text[]), CAST(:vat_number AS text[])
    ) AS r
    """
)
_COUNT = text(
    "SELECT count(*) FROM import_row r JOIN import_job j ON j.id = r.job_id WHERE j.id = :job AND r.line > j.done_line"
)
