"""Propose, grant and withdraw; read the state; answer who may be marketed to."""

import hashlib
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import delete, insert, select, text
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from identity_service.accounts import actions as accounts
from identity_service.accounts import merges
from identity_service.accounts.tables import Account
from identity_service.consents import rules, wordings
from identity_service.consents.rules import LastWord
from identity_service.consents.tables import (
    ConsentEntry,
    ConsentEvidence,
    ConsentState,
    ConsentWording,
)
from identity_service.consents.wordings import Wording
from identity_service.database import AsyncSession, settings_of
from identity_service.events import actions as events
from identity_service.proofs import actions as proofs
from identity_service.proofs.actions import Found
from identity_service.proofs.rules import LinkDead
from identity_service.user_ids import UserId

_EVENTS = {
    "proposed": "consent.proposed",
    "granted": "consent.granted",
    "withdrawn": "consent.withdrawn",
}


class State(NamedTuple):
    """Where one purpose stands: the word that counts, what follows, and whether a proposal waits for the mailbox."""

    purpose: str
    decision: str | None
    since: datetime | None
    proposed_at: datetime | None


class Answers(NamedTuple):
    """Which of the accounts asked about may be contacted, in the order asked, and their addresses where wanted."""

    allowed: list[str]
    addresses: dict[str, str]


class Asked(NamedTuple):
    """How often marketing systems asked about a customer since a moment, and how often the answer was yes."""

    times: int
    allowed: int


async def propose(
    session: AsyncSession,
    user_id: UserId,
    purpose: str,
    wording_id: str,
    *,
    channel: str,
    evidence: str | None,
    actor: str,
    now: datetime,
) -> Account:
    """Note that a service or clerk says the customer would agree, and ask the mailbox; nothing is allowed until then.

    Said again while the letter's link is good, it is the same proposal: a customer is not written to twice for it.

    Raises:
        accounts.rules.UnknownUserId, NoEmail; rules.UnknownPurpose, UnknownWording
    """
    account = await accounts.current(session, user_id, lock=True)
    wording = asked_with(session, purpose, wording_id, account.locale)
    to = accounts.address_of(account)
    newest = await _newest(session, account.user_id, purpose)
    if newest is not None and rules.is_the_same_proposal(
        newest, wording.id, wording.language, valid_after=account.proofs_valid_after, now=now
    ):
        return account
    proof = await proofs.send(
        session, "consent", kind="consent_confirmation", to=to, user_id=account.user_id, locale=account.locale,
        facts={"purpose": purpose, "wording": wording.id}, cause="consent.proposed", actor=actor, now=now,
    )  # fmt: skip
    await _add(
        session, account.user_id, purpose, "proposed", wording, channel=channel, evidence=evidence, proof_id=proof.id,
        actor=actor, now=now,
    )  # fmt: skip
    return account


def asked_with(session: AsyncSession, purpose: str, wording_id: str, language: str) -> Wording:
    """Return the text that somebody was asked with.

    Raises:
        rules.UnknownPurpose, UnknownWording
    """
    return wordings.find(_known(session, purpose), wording_id, language)


async def grant(
    session: AsyncSession, user_id: str, purpose: str, wording: Wording, *, channel: str, actor: str, now: datetime
) -> None:
    """Note the customer's own yes (signed in, or by the link in his letter), and send the letter that confirms it and
    carries the link to withdraw.

    Raises:
        accounts.rules.UnknownUserId
    """
    account = await accounts.current(session, UserId(user_id), lock=True)
    await _add(session, account.user_id, purpose, "granted", wording, channel=channel, actor=actor, now=now)
    if account.email is not None:
        await proofs.send(
            session, "withdraw", kind="consent_granted", to=accounts.address_of(account), user_id=account.user_id,
            locale=account.locale, facts={"purpose": purpose, "wording": wording.id}, cause="consent.granted",
            actor=actor, now=now,
        )  # fmt: skip


async def withdraw(
    session: AsyncSession, user_id: UserId, purpose: str, *, channel: str, actor: str, now: datetime
) -> Account:
    """Note the customer's no; it counts at once, through whatever door it came, granted before or not (PRV-04).

    Raises:
        accounts.rules.UnknownUserId; rules.UnknownPurpose
    """
    account = await accounts.current(session, user_id, lock=True)
    await _add(
        session, account.user_id, _known(session, purpose), "withdrawn", None, channel=channel, actor=actor, now=now
    )
    return account


async def confirm(session: AsyncSession, found: Found, *, now: datetime) -> None:
    """Turn a proposal into a grant: the link in its letter was used. A word spoken since then counts instead, and for
    an account that was closed, or that another one answers for by now, nobody says yes by an old letter.

    Raises:
        LinkDead
    """
    proposal = await session.scalar(select(ConsentEntry).where(ConsentEntry.proof_id == found.proof.id))
    if proposal is None or proposal.wording_id is None or proposal.language is None:
        raise LinkDead
    account = await accounts.find(session, UserId(proposal.user_id), lock=True)
    newest = await _newest(session, proposal.user_id, proposal.purpose)
    if account.state != "active" or newest is None or newest.id != proposal.id:
        raise LinkDead
    proof = await proofs.use_up(session, found, now=now)
    wording = await session.get_one(ConsentWording, (proposal.wording_id, proposal.language))
    said = Wording(wording.id, wording.language, wording.text)
    await grant(session, proof.user_id, proposal.purpose, said, channel="letter", actor="customer", now=now)


async def withdraw_by_link(session: AsyncSession, found: Found, *, now: datetime) -> None:
    """Withdraw by the link in the letter that confirmed the grant; no sign-in is needed."""
    proof = await proofs.use_up(session, found, now=now)
    purpose = str(found.message.facts.get("purpose", ""))
    await withdraw(session, UserId(proof.user_id), purpose, channel="letter", actor="customer", now=now)


async def state(session: AsyncSession, user_id: str) -> list[State]:
    """Return where every purpose stands for an account."""
    counted = await session.scalars(select(ConsentState).where(ConsentState.user_id == user_id))
    known = {row.purpose: row for row in counted}
    newest = select(ConsentEntry).where(ConsentEntry.user_id == user_id).ext(distinct_on(ConsentEntry.purpose))
    entries = await session.scalars(newest.order_by(ConsentEntry.purpose, ConsentEntry.id.desc()))
    waiting = {entry.purpose: entry.at for entry in entries if entry.decision == "proposed"}
    found = []
    for purpose in purposes(session):
        proposed_at = waiting.get(purpose)
        row = known.get(purpose)
        found.append(State(purpose, row.decision if row else None, row.since if row else None, proposed_at))
    return found


async def ledger(session: AsyncSession, user_ids: Sequence[str]) -> Sequence[ConsentEntry]:
    """Return everything that was said about consent, newest first."""
    mine = select(ConsentEntry).where(ConsentEntry.user_id.in_(user_ids))
    return (await session.scalars(mine.order_by(ConsentEntry.id.desc()))).all()


async def permissions(
    session: AsyncSession, purpose: str, user_ids: Sequence[str], *, client_id: str, addresses: bool, now: datetime
) -> Answers:
    """Return which accounts may be contacted for a purpose; asked of the primary, and kept as one row (NOM-06).

    Addresses go out only for those who allow it, and only where the caller may have them (NOM-05).
    """
    _known(session, purpose)
    ids = " ".join(user_ids)
    rows = await session.execute(_ALLOWED, {"ids": ids, "purpose": purpose})
    yes = {row.user_id: row.email for row in rows}
    shown = {user_id: email for user_id, email in yes.items() if addresses and email is not None}
    row = {
        "id": uuid.uuid4(), "client_id": client_id, "purpose": purpose, "at": now, "ids": ids,
        "allowed": " ".join("t" if user_id in yes else "f" for user_id in user_ids), "with_addresses": len(shown),
    }  # fmt: skip
    await session.execute(_KEEP, row)
    return Answers([user_id for user_id in user_ids if user_id in yes], shown)


# Up to 10,000 User IDs go to the database as one text: as a list, the driver looks at each, which takes longer than
# all that PostgreSQL has to do. Who said yes is looked up first, in an index of them alone, which sorted IDs are found
# in twice as fast.
_ALLOWED = text(
    """
    SELECT a.user_id, a.email FROM consent_state s JOIN account a ON a.user_id = s.user_id
    WHERE s.user_id = ANY(string_to_array(:ids, ' ')) AND s.purpose = :purpose AND s.decision = 'granted'
        AND a.state = 'active'
    """
)
_KEEP = text(
    """
    INSERT INTO permission_check (id, client_id, purpose, at, user_ids, allowed, with_addresses)
    VALUES (:id, :client_id, :purpose, :at, string_to_array(:ids, ' '),
        CAST(string_to_array(:allowed, ' ') AS boolean[]), :with_addresses)
    """
)


async def ids_of_addresses(session: AsyncSession, keys: Sequence[str]) -> dict[str, str]:
    """Return the User IDs of the active accounts that have these addresses, by the address's key."""
    rows = await session.execute(_BY_ADDRESS, {"keys": list(keys)})
    return {row[0]: row[1] for row in rows}


_BY_ADDRESS = text("SELECT email_key, user_id FROM account WHERE email_key = ANY(:keys) AND state = 'active'")


async def asked(session: AsyncSession, user_ids: Sequence[str], *, since: datetime) -> Asked:
    """Return how often marketing systems asked about a customer since a moment, and how often they were allowed."""
    row = (await session.execute(_ASKED, {"ids": list(user_ids), "since": since})).one()
    return Asked(row.times, row.allowed)


_ASKED = text(
    """
    SELECT count(DISTINCT c.id) AS times, count(DISTINCT c.id) FILTER (WHERE answer) AS allowed
    FROM permission_check c, unnest(c.user_ids, c.allowed) AS one(user_id, answer)
    WHERE c.user_ids && CAST(:ids AS text[]) AND c.at >= :since AND one.user_id = ANY(:ids)
    """
)


def purposes(session: AsyncSession) -> list[str]:
    """Return every purpose there is here."""
    return [*rules.PURPOSES, *settings_of(session).consent_purposes]


async def renew(session: AsyncSession, user_id: str) -> None:
    """Derive an account's state anew from the last words of its ledger and of the accounts merged into it."""
    for purpose in purposes(session):
        counted = await derived(session, user_id, purpose)
        mine = (ConsentState.user_id == user_id) & (ConsentState.purpose == purpose)
        if counted.decision is None:
            await session.execute(delete(ConsentState).where(mine))
            continue
        row = {"user_id": user_id, "purpose": purpose, "decision": counted.decision, "since": counted.at}
        new = upsert(ConsentState).values(row)
        changed = {"decision": new.excluded.decision, "since": new.excluded.since}
        await session.execute(new.on_conflict_do_update(index_elements=["user_id", "purpose"], set_=changed))


async def renew_upwards(session: AsyncSession, user_id: str) -> None:
    """Derive the state anew of an account and of every account that answers for it, one after the other."""
    account = await accounts.find(session, UserId(user_id))
    await renew(session, account.user_id)
    while account.merged_into is not None:
        account = await accounts.find(session, UserId(account.merged_into))
        await renew(session, account.user_id)


async def derived(session: AsyncSession, user_id: str, purpose: str) -> LastWord:
    """Return the word that counts for an account, from the ledger alone."""
    members = await merges.merged_into(session, user_id)
    own = await _last_word(session, user_id, purpose)
    return rules.strictest(own, [(await _last_word(session, member, purpose), at) for member, at in members])


def this_year(now: datetime) -> datetime:
    """Return the moment since which a customer is told how often he was asked about."""
    return now - timedelta(days=365)


async def _add(
    session: AsyncSession,
    user_id: str,
    purpose: str,
    decision: rules.Decision,
    wording: Wording | None,
    *,
    channel: str,
    actor: str,
    now: datetime,
    evidence: str | None = None,
    proof_id: uuid.UUID | None = None,
) -> None:
    if wording is not None:
        await keep(session, wording)
    row = {
        "user_id": user_id,
        "purpose": purpose,
        "decision": decision,
        "wording_id": wording and wording.id,
        "language": wording and wording.language,
        "channel": channel,
        "actor": actor,
        "at": now,
        "proof_id": proof_id,
        "previous_id": await _newest_id(session, user_id, purpose),
        "evidence_hash": evidence_hash(evidence),
    }
    entry = (await session.scalars(insert(ConsentEntry).returning(ConsentEntry), row)).one()
    if evidence is not None:
        await session.execute(insert(ConsentEvidence), {"entry_id": entry.id, "user_id": user_id, "text": evidence})
    await renew(session, user_id)
    await _tell(session, entry, wording and wording.text_hash, now=now)


async def _tell(session: AsyncSession, entry: ConsentEntry, text_hash: bytes | None, *, now: datetime) -> None:
    """Record the event of an entry: its hash stands under the seal, and the permission that follows from it."""
    counted = await session.get(ConsentState, (entry.user_id, entry.purpose), populate_existing=True)
    name, user_id, data = event_of(entry, counted.decision if counted else None, text_hash)
    await events.record(session, name, user_id=user_id, actor=entry.actor, data=data, now=now)


def event_of(entry: ConsentEntry, counts: str | None, text_hash: bytes | None) -> tuple[str, str, dict[str, Any]]:
    """Return name, User ID and data of the event that tells of an entry; `counts` is the decision that counts now."""
    data = {
        "purpose": entry.purpose,
        "permission": rules.permission(counts),
        "entry": entry.id,
        "entry_hash": fingerprint(entry, text_hash),
    }
    return _EVENTS[entry.decision], entry.user_id, data


def evidence_hash(evidence: str | None) -> bytes | None:
    """Return what the ledger keeps of evidence: it may be erased, and is still what it was."""
    return None if evidence is None else hashlib.sha256(evidence.encode()).digest()


async def keep(session: AsyncSession, wording: Wording) -> None:
    """Keep a text word for word, or find it kept already; the file of one that was used must not change (PRV-02)."""
    row = {**wording._asdict(), "text_hash": wording.text_hash}
    await session.execute(upsert(ConsentWording).on_conflict_do_nothing(), row)
    kept = await session.get_one(ConsentWording, (wording.id, wording.language))
    if kept.text_hash != wording.text_hash:
        raise wordings.WordingEdited(wording.id)


def fingerprint(entry: ConsentEntry, text_hash: bytes | None) -> str:
    """Return SHA-256 over an entry and the text it is about, in hexadecimal: it stands in the entry's event, and so
    under the seal."""
    fields = [
        entry.id, entry.user_id, entry.purpose, entry.decision, entry.wording_id, entry.language, entry.channel,
        entry.actor, entry.at.isoformat(timespec="microseconds"), entry.previous_id,
        None if entry.evidence_hash is None else entry.evidence_hash.hex(),
        None if entry.proof_id is None else str(entry.proof_id), None if text_hash is None else text_hash.hex(),
    ]  # fmt: skip
    return hashlib.sha256(repr(fields).encode()).hexdigest()


async def _newest(session: AsyncSession, user_id: str, purpose: str) -> ConsentEntry | None:
    mine = select(ConsentEntry).where(ConsentEntry.user_id == user_id, ConsentEntry.purpose == purpose)
    found: ConsentEntry | None = await session.scalar(mine.order_by(ConsentEntry.id.desc()).limit(1))
    return found


async def _newest_id(session: AsyncSession, user_id: str, purpose: str) -> int | None:
    newest = await _newest(session, user_id, purpose)
    return None if newest is None else newest.id


async def _last_word(session: AsyncSession, user_id: str, purpose: str) -> LastWord:
    mine = select(ConsentEntry).where(
        ConsentEntry.user_id == user_id, ConsentEntry.purpose == purpose, ConsentEntry.decision != "proposed"
    )
    entry = await session.scalar(mine.order_by(ConsentEntry.id.desc()).limit(1))
    return LastWord(None, None) if entry is None else LastWord(entry.decision, entry.at, entry.id)


def _known(session: AsyncSession, purpose: str) -> str:
    if purpose not in purposes(session):
        raise rules.UnknownPurpose
    return purpose
