"""What a process does about brands when it starts, and the proofs in DNS, looked up between two transactions."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import dns.asyncresolver

from identity_service import logs
from identity_service.brand_records import proofs, words
from identity_service.brands import proofs as rules
from identity_service.brands.proofs import Subject
from identity_service.brands.rules import Brand, Mail
from identity_service.database.transactions import Database, DatabaseSession, database_now
from identity_service.messages import sender_records
from identity_service.settings import Settings

DNS_SECONDS: Final = 4.0
RELOAD_EVERY: Final = 5.0


class Seen(NamedTuple):
    """What a look-up saw: whether it proves the subject, None if DNS did not answer, and a sentence for each record."""

    found: bool | None
    sentences: list[str]


async def start(database: Database) -> None:
    """Let a process that starts learn which proofs hold, and pin the words that it is the first to load (BRD-09)."""
    await load(database)

    async def pin(session: DatabaseSession) -> int:
        return await words.pin(session, now=await database_now(session))

    await database.in_transaction(pin)


async def load(database: Database) -> None:
    """Set `database.proofs`: what this process lets serve and write from now on."""
    if not rules.needed(database.settings.brands):
        return
    async with database.transaction() as session:
        database.proofs = await proofs.load(session, now=await database_now(session))


async def keep_fresh(database: Database, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
    """Load every 5 s until cancelled; a load that fails is logged, and what was loaded last counts until the next."""
    while not database.settings.development:
        await pause(RELOAD_EVERY)
        try:
            await load(database)
        except Exception as problem:  # noqa: BLE001
            # Without this loop a host that was proven would not be served before a restart.
            logs.log.warning("brand.reload_failed", error=type(problem).__name__)


async def prove_due(database: Database, resolver: dns.asyncresolver.Resolver | None = None) -> int:
    """Look up whatever is due, log what is not proven, and return how many; in development nothing is due."""
    if database.settings.development:
        return 0
    wanted = rules.needed(database.settings.brands)
    if not wanted:
        return 0
    async with database.transaction() as session:
        claimed = await proofs.claim(session, wanted, now=await database_now(session))
    for subject in claimed:
        seen = await prove(database, subject, actor="worker", resolver=resolver)
        if not seen.found:
            logs.log.warning("brand.not_proven", what=subject.what, subject=subject.name, seen=seen.sentences)
    return len(claimed)


async def prove(
    database: Database, subject: Subject, *, actor: str, resolver: dns.asyncresolver.Resolver | None = None
) -> Seen:
    """Look up one subject, record what was seen, and return it."""
    brand = rules.needed(database.settings.brands)[subject][0]
    seen = await look_up(database.settings, subject, brand, resolver or _resolver())
    async with database.transaction() as session:
        await proofs.record(
            session, subject, found=seen.found, seen=seen.sentences, actor=actor, now=await database_now(session)
        )
    return seen


async def look_up(settings: Settings, subject: Subject, brand: Brand, resolver: dns.asyncresolver.Resolver) -> Seen:
    """Return what DNS says of a subject, which `brand` uses."""
    resolver.lifetime = DNS_SECONDS
    try:
        if subject.what == "host":
            return await _look_up_host(settings, subject.name, resolver)
        mail = brand.mail or settings.brands.find(None).mail
        assert mail is not None  # noqa: S101 (a sender is the subject)
        return await _look_up_sender(mail, resolver)
    except sender_records.Unanswered as problem:
        return Seen(None, [f"DNS cannot be asked from here ({problem})"])


async def _look_up_host(settings: Settings, host: str, resolver: dns.asyncresolver.Resolver) -> Seen:
    name, value = rules.record_name(host), rules.record_value(settings.issuer, host)
    texts = await sender_records.find_texts(resolver, name)
    if value in texts:
        return Seen(True, [f"{name}: {value}"])
    there = f"has {len(texts)} TXT records, none of them ours" if texts else "has no TXT record"
    return Seen(False, [f"{name}: {there}"])


async def _look_up_sender(mail: Mail, resolver: dns.asyncresolver.Resolver) -> Seen:
    found = await sender_records.check_alignment(mail, resolver)
    return Seen(all(one.verdict == "ok" for one in found), [f"{one.what}: {one.detail}" for one in found])


def _resolver() -> dns.asyncresolver.Resolver:
    return dns.asyncresolver.Resolver()
