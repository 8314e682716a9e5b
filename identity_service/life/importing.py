"""Accounts from another system: staged by COPY, then taken in batches whose resume mark commits with them.

A batch is one transaction: accounts, references, passwords, consents, events, and the line it ends at. Killed anywhere,
a second run goes on at the mark; each row and event once. No letter is sent. A line that cannot be is reported with its
number and its reason, and the others go in.
"""

import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import delete, select, text, update

from identity_service import email_addresses, user_ids
from identity_service.accounts import numbers
from identity_service.accounts import rules as account_rules
from identity_service.consents import actions as consents
from identity_service.consents import wordings
from identity_service.database import AsyncSession, Database
from identity_service.errors import Problem, Unprocessable
from identity_service.events import actions as events
from identity_service.life.tables import ImportJob, ImportRow
from identity_service.passwords import foreign

BATCH: Final = 2000
FIELDS: Final = (
    "email", "display_name", "locale", "customer_since", "reference", "password_hash", "kind", "company_name",
    "country", "vat_number", "consent_purpose", "consent_decision", "consent_wording", "consent_evidence", "consent_at",
)  # fmt: skip
"""What a row may say of an account; a mapping gives the file's own names for these."""


class CannotImport(Unprocessable):
    """This row cannot become an account."""


@dataclass(slots=True)
class Report:
    """What became of a file: counts, and the lines that were refused or found their account there already."""

    lines: int = 0
    added: int = 0
    duplicates: int = 0
    refused: int = 0
    told: list[dict[str, Any]] = field(default_factory=list)

    def tell(self, line: int, what: str, why: str) -> None:
        """Note a line that did not become an account."""
        setattr(self, what, getattr(self, what) + 1)
        self.told.append({"line": line, "what": what, "why": why})

    def take_in(self, part: "Report") -> None:
        """Add what became of a part of the file."""
        self.lines, self.added = self.lines + part.lines, self.added + part.added
        self.duplicates, self.refused = self.duplicates + part.duplicates, self.refused + part.refused
        self.told += part.told


Progress = Callable[[int, int], None]


async def stage(database: Database, name: str, rows: AsyncIterator[tuple[int, Mapping[str, str]]]) -> uuid.UUID:
    """Copy a file's rows into the database, all or nothing; return the job. The same file again is the same job."""
    known = await database.short(lambda session: session.scalar(select(ImportJob.id).where(ImportJob.name == name)))
    if known is not None:
        return known
    job_id = uuid.uuid4()

    async def records() -> AsyncIterator[tuple[uuid.UUID, int, str]]:
        async for line, row in rows:
            yield job_id, line, orjson.dumps(dict(row)).decode()

    connection = await database.connect()
    try:
        async with connection.transaction():
            await connection.execute("INSERT INTO import_job (id, name, done_line) VALUES ($1, $2, 0)", job_id, name)
            await connection.copy_records_to_table(
                "import_row", records=records(), columns=("job_id", "line", "fields")
            )
    finally:
        await connection.close()
    return job_id


async def take(
    database: Database, job_id: uuid.UUID, *, source: str, now: datetime, progress: Progress | None = None
) -> Report:
    """Make accounts of what is staged, from the mark on; forget the staged rows at the end."""
    report = Report()
    total = await database.short(lambda session: session.scalar(_COUNT, {"job": job_id})) or 0
    while True:
        part = await database.short(lambda session: _batch(session, job_id, source, now=now))
        report.take_in(part)
        if progress is not None:
            progress(report.lines, total)
        if not part.lines:
            break
    await database.short(lambda session: session.execute(delete(ImportRow).where(ImportRow.job_id == job_id)))
    return report


async def dry_run(database: Database, rows: AsyncIterator[tuple[int, Mapping[str, str]]], *, now: datetime) -> Report:
    """Judge every row and write nothing."""
    report, keys, waiting = Report(), set[str](), list[tuple[int, dict[str, Any]]]()

    async def compare() -> None:
        asked = {"keys": [row["email_key"] for _, row in waiting if row["email_key"]]}
        known = {key for (key,) in await database.short(lambda session: session.execute(_KNOWN, asked))}
        for line, row in waiting:
            if row["email_key"] in known or row["email_key"] in keys:
                report.tell(line, "duplicates", "an account has this address already")
            else:
                report.added += 1
                keys.update(filter(None, [row["email_key"]]))
        waiting.clear()

    async for line, given in rows:
        report.lines += 1
        try:
            waiting.append((line, judge(given, special_use=database.settings.development, now=now)))
        except Problem as refused:
            report.tell(line, "refused", refused.sentence())
        if len(waiting) == BATCH:
            await compare()
    await compare()
    return report


def judge(given: Mapping[str, str], *, special_use: bool, now: datetime) -> dict[str, Any]:
    """Return the columns of an account that a row asks for.

    Raises:
        Problem: what is wrong with the row, in a sentence.
    """
    unknown = set(given) - set(FIELDS)
    if unknown:
        raise CannotImport(f"There is no field {min(unknown)[:40]!r}; map it, or leave it out.")
    row = {name: (value or "").strip() or None for name, value in given.items()}
    address = None if row.get("email") is None else email_addresses.parse(row["email"] or "", special_use=special_use)
    since = _moment(row.get("customer_since")) or now
    if since > now:
        raise CannotImport("A customer cannot be one since a moment that is yet to come.")
    locale, kind = row.get("locale") or "en", row.get("kind") or "consumer"
    if locale not in account_rules.LANGUAGES or kind not in account_rules.KINDS:
        raise CannotImport("The locale, or the kind, is none that there is here.")
    return {
        "user_id": user_ids.issue(), "email": address and address.shown, "email_ascii": address and address.ascii,
        "email_key": address and address.key, "email_state": "none" if address is None else "unconfirmed",
        "display_name": row.get("display_name"), "locale": locale, "kind": kind, "customer_since": since,
        "reference": row.get("reference"), "company": _company(row, kind), "consent": _consent(row, locale, since),
        "password": None if row.get("password_hash") is None else foreign.read(row["password_hash"] or ""),
    }  # fmt: skip


async def _batch(session: AsyncSession, job_id: uuid.UUID, source: str, *, now: datetime) -> Report:
    report = Report()
    job = (await session.scalars(select(ImportJob).where(ImportJob.id == job_id).with_for_update())).one()
    staged = select(ImportRow).where(ImportRow.job_id == job_id, ImportRow.line > job.done_line)
    rows = (await session.scalars(staged.order_by(ImportRow.line).limit(BATCH))).all()
    good: list[dict[str, Any]] = []
    special_use = session.info["settings"].development
    for row in rows:
        report.lines += 1
        try:
            good.append({**judge(row.fields, special_use=special_use, now=now), "line": row.line})
        except Problem as refused:
            report.tell(row.line, "refused", refused.sentence())
    if good:
        await _write(session, good, source, report, now=now)
    if rows:
        await session.execute(update(ImportJob).where(ImportJob.id == job_id).values(done_line=rows[-1].line))
    session.expunge_all()
    return report


async def _write(
    session: AsyncSession, good: Sequence[dict[str, Any]], source: str, report: Report, *, now: datetime
) -> None:
    columns = "user_id email email_ascii email_key email_state display_name locale kind customer_since".split()
    plain = orjson.dumps([{name: row[name] for name in columns} for row in good]).decode()
    added = {user_id for (user_id,) in await session.execute(_ACCOUNTS, {"rows": plain})}
    fresh = [row for row in good if row["user_id"] in added]
    for row in good:
        if row["user_id"] not in added:
            report.tell(row["line"], "duplicates", "an account has this address already")
    report.added += len(fresh)
    about = {"source": source, "now": now}
    for statement, name in ((_REFERENCES, "reference"), (_PASSWORDS, "password"), (_COMPANIES, "company")):
        some = [{"user_id": row["user_id"], name: row[name]} for row in fresh if row[name] is not None]
        if some:
            await session.execute(statement, {"rows": orjson.dumps(some).decode(), **about})
    told = [("account.imported", row["user_id"], {"source": source}) for row in fresh]
    await events.record_all(session, told, actor="operator", now=now)
    for row in fresh:
        if row["consent"] is not None:
            await consents.take_over(session, row["user_id"], **row["consent"], actor="operator", now=now)


def _moment(given: str | None) -> datetime | None:
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        raise CannotImport("A moment is written like 2009-05-17T12:00:00Z.") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment


def _company(row: Mapping[str, str | None], kind: str) -> dict[str, str | None] | None:
    if kind == "consumer":
        return None
    name, country = row.get("company_name"), (row.get("country") or "").upper()
    if name is None or len(country) != 2 or not country.isalpha():
        raise CannotImport("A business needs a company name and a country of two letters.")
    vat = row.get("vat_number")
    return {"company_name": name, "country": country, "vat_number": None if vat is None else numbers.vat(vat, country)}


def _consent(row: Mapping[str, str | None], locale: str, since: datetime) -> dict[str, Any] | None:
    purpose, decision = row.get("consent_purpose"), row.get("consent_decision")
    if purpose is None and decision is None:
        return None
    if purpose is None or decision not in ("granted", "withdrawn"):
        raise CannotImport("A consent needs a purpose and a decision: granted or withdrawn.")
    if decision == "granted" and (row.get("consent_evidence") is None or row.get("consent_wording") is None):
        raise CannotImport("A grant needs its wording and its evidence.")
    wording = wordings.find(purpose, row.get("consent_wording") or "", locale) if decision == "granted" else None
    return {
        "purpose": purpose, "decision": decision, "wording": wording, "evidence": row.get("consent_evidence"),
        "said_at": _moment(row.get("consent_at")) or since,
    }  # fmt: skip


_ACCOUNTS = text(
    """
    INSERT INTO account
        (user_id, email, email_ascii, email_key, email_state, display_name, locale, kind, customer_since)
    SELECT * FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(user_id text, email text, email_ascii text,
        email_key text, email_state text, display_name text, locale text, kind text, customer_since timestamptz)
    ON CONFLICT DO NOTHING RETURNING user_id
    """
)
_REFERENCES = text(
    """
    INSERT INTO external_reference (client_id, reference, user_id, created_at)
    SELECT :source, reference, user_id, :now
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(user_id text, reference text) ON CONFLICT DO NOTHING
    """
)
_PASSWORDS = text(
    """
    INSERT INTO password (user_id, phc, set_at)
    SELECT user_id, password, CAST(:now AS timestamptz)
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(user_id text, password text)
    WHERE CAST(:source AS text) IS NOT NULL
    """
)
_COMPANIES = text(
    """
    INSERT INTO business_time (user_id, company_name, country, vat_number, began_at)
    SELECT user_id, company->>'company_name', company->>'country', company->>'vat_number', CAST(:now AS timestamptz)
    FROM jsonb_to_recordset(CAST(:rows AS jsonb)) AS r(user_id text, company jsonb)
    WHERE CAST(:source AS text) IS NOT NULL
    """
)
_KNOWN = text("SELECT email_key FROM account WHERE email_key = ANY(:keys)")
_COUNT = text(
    "SELECT count(*) FROM import_row r JOIN import_job j ON j.id = r.job_id WHERE j.id = :job AND r.line > j.done_line"
)
