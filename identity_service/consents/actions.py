"""Propose, grant and withdraw; read the state; answer who may be marketed to."""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.dialects.postgresql import insert as upsert

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.consents import rules, wordings
from identity_service.consents.rules import LastDecision
from identity_service.consents.tables import ConsentEntry, ConsentEvidence, ConsentState, ConsentWording
from identity_service.consents.wordings import Wording
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.values.user_ids import UserId

SALT_BYTES = 16
"""The length of the random salt that the hash of an evidence is made with."""

_EVENTS = {
    "proposed": "consent.proposed",
    "granted": "consent.granted",
    "withdrawn": "consent.withdrawn",
}


class PurposeState(NamedTuple):
    """The state of one purpose: the decision that counts, since when, and when a proposal was sent that still waits."""

    purpose: str
    decision: str | None
    since: datetime | None
    proposed_at: datetime | None


async def propose_consent(
    session: DatabaseSession,
    user_id: UserId,
    purpose: str,
    wording_id: str,
    *,
    channel: str,
    evidence: str | None,
    actor: str,
    now: datetime,
) -> Account:
    """Record that the customer would agree, as a service or clerk states, and send the email that asks for consent.

    Nothing is allowed until the mailbox confirms. Repeating a pending proposal changes nothing and sends no email.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed, NoEmail; rules.UnknownPurpose, UnknownWording
    """
    account = await accounts.find_changeable_account(session, user_id)
    wording = asked_with(session, purpose, wording_id, account.locale)
    to = accounts.address_of(account)
    newest = await _newest(session, account.user_id, purpose)
    if newest is not None and rules.is_the_same_proposal(
        newest, wording.id, wording.language, valid_after=account.tokens_valid_after, now=now
    ):
        return account
    token_id = uuid.uuid4()
    await _add(
        session, account.user_id, purpose, "proposed", wording, channel=channel, evidence=evidence, token_id=token_id,
        actor=actor, now=now,
    )  # fmt: skip
    await one_time_tokens.send_token(
        session, "consent", kind="consent_confirmation", to=to, user_id=account.user_id, locale=account.locale,
        facts={"purpose": purpose, "wording": wording.id}, token_id=token_id, cause="consent.proposed", actor=actor,
        now=now,
    )  # fmt: skip
    return account


def asked_with(session: DatabaseSession, purpose: str, wording_id: str, language: str) -> Wording:
    """Return the wording of a known purpose, in this language or in English.

    Raises:
        rules.UnknownPurpose, UnknownWording
    """
    return wordings.find_wording(require_known_purpose(session, purpose), wording_id, language)


async def grant_consent(
    session: DatabaseSession, user_id: str, purpose: str, wording: Wording, *, channel: str, actor: str, now: datetime
) -> None:
    """Record the customer's own consent (signed in, or by the emailed link), and send the confirmation, which contains
    the link to withdraw.

    Raises:
        accounts.rules.UnknownUserId
    """
    account = await accounts.find_active_account(session, UserId(user_id), lock=True)
    await _add(session, account.user_id, purpose, "granted", wording, channel=channel, actor=actor, now=now)
    if account.email is not None:
        await one_time_tokens.send_token(
            session, "withdraw", kind="consent_granted", to=accounts.address_of(account), user_id=account.user_id,
            locale=account.locale, facts={"purpose": purpose, "wording": wording.id}, cause="consent.granted",
            actor=actor, now=now,
        )  # fmt: skip


async def withdraw_consent(
    session: DatabaseSession, user_id: UserId, purpose: str, *, channel: str, actor: str, now: datetime
) -> Account:
    """Record a withdrawal; it counts at once, through any channel, whether consent was granted before or not (PRV-04).
    While the newest entry is a withdrawal, another one changes nothing.

    It is never refused for the state of the account: that of a merged account counts for the one that it resolves to.

    Raises:
        accounts.rules.UnknownUserId; rules.UnknownPurpose
    """
    account = await accounts.find_active_account(session, user_id, lock=True)
    newest = await _newest(session, account.user_id, require_known_purpose(session, purpose))
    if newest is None or newest.decision != "withdrawn":
        await _add(session, account.user_id, purpose, "withdrawn", None, channel=channel, actor=actor, now=now)
    return account


async def withdraw_granted_since(
    session: DatabaseSession, user_id: str, since: datetime, *, channel: str, actor: str, now: datetime
) -> None:
    """Withdraw what was granted for an account since a moment, because somebody else may have granted it."""
    for state in await list_states(session, user_id):
        if state.decision == "granted" and state.since is not None and state.since >= since:
            await withdraw_consent(session, UserId(user_id), state.purpose, channel=channel, actor=actor, now=now)


async def confirm_consent(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Turn a proposal into a grant, by the link in its email.

    Raises:
        LinkInvalid: a newer entry supersedes the proposal, or the account was closed or merged since.
    """
    proposal = await session.scalar(select(ConsentEntry).where(ConsentEntry.token_id == found.token.id))
    if proposal is None or proposal.wording_id is None or proposal.language is None:
        raise LinkInvalid
    account = await accounts.find_account(session, UserId(proposal.user_id), lock=True)
    newest = await _newest(session, proposal.user_id, proposal.purpose)
    if account.state != "active" or newest is None or newest.id != proposal.id:
        raise LinkInvalid
    proof = await one_time_tokens.consume(session, found, now=now)
    wording = await session.get_one(ConsentWording, (proposal.wording_id, proposal.language))
    agreed = Wording(wording.id, wording.language, wording.text)
    await grant_consent(
        session, proof.user_id, proposal.purpose, agreed, channel="email_link", actor="customer", now=now
    )


async def withdraw_by_link(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Withdraw by the link in the email that confirmed the grant; needs no sign-in."""
    proof = await one_time_tokens.consume(session, found, now=now)
    purpose = str(found.message.facts.get("purpose", ""))
    await withdraw_consent(session, UserId(proof.user_id), purpose, channel="email_link", actor="customer", now=now)


async def list_states(session: DatabaseSession, user_id: str) -> list[PurposeState]:
    """Return the state of every purpose for an account."""
    states = await session.scalars(select(ConsentState).where(ConsentState.user_id == user_id))
    known = {row.purpose: row for row in states}
    newest = select(ConsentEntry).where(ConsentEntry.user_id == user_id).ext(distinct_on(ConsentEntry.purpose))
    entries = await session.scalars(newest.order_by(ConsentEntry.purpose, ConsentEntry.id.desc()))
    waiting = {entry.purpose: entry.occurred_at for entry in entries if entry.decision == "proposed"}
    found = []
    for purpose in session.settings.purposes:
        proposed_at = waiting.get(purpose)
        row = known.get(purpose)
        found.append(PurposeState(purpose, row.decision if row else None, row.since if row else None, proposed_at))
    return found


async def read_ledger(session: DatabaseSession, user_ids: Sequence[str]) -> Sequence[ConsentEntry]:
    """Return all ledger entries of these accounts, newest first."""
    entries = select(ConsentEntry).where(ConsentEntry.user_id.in_(user_ids))
    return (await session.scalars(entries.order_by(ConsentEntry.id.desc()))).all()


# than PostgreSQL's part. Grants are found first, by their partial index; sorted IDs make that twice as fast.
async def recompute_state(session: DatabaseSession, user_id: str) -> None:
    """Derive an account's state again, from the newest decisions of the account and of those merged into it."""
    for purpose in session.settings.purposes:
        last = await derive_state(session, user_id, purpose)
        mine = (ConsentState.user_id == user_id) & (ConsentState.purpose == purpose)
        if last.decision is None:
            await session.execute(delete(ConsentState).where(mine))
            continue
        row = {"user_id": user_id, "purpose": purpose, "decision": last.decision, "since": last.occurred_at}
        new = upsert(ConsentState).values(row)
        changed = {"decision": new.excluded.decision, "since": new.excluded.since}
        await session.execute(new.on_conflict_do_update(index_elements=["user_id", "purpose"], set_=changed))


async def recompute_ancestors(session: DatabaseSession, user_id: str) -> None:
    """Derive the state again of an account, and of each account that it was merged into, one after the other."""
    account = await accounts.find_account(session, UserId(user_id))
    await recompute_state(session, account.user_id)
    while account.merged_into is not None:
        account = await accounts.find_account(session, UserId(account.merged_into))
        await recompute_state(session, account.user_id)


async def derive_state(session: DatabaseSession, user_id: str, purpose: str) -> LastDecision:
    """Return the decision that counts for an account, from the ledger alone."""
    members = await ownership.merged_into(session, user_id)
    own = await _last_decision(session, user_id, purpose)
    return rules.strictest(own, [(await _last_decision(session, member, purpose), at) for member, at in members])


async def _add(
    session: DatabaseSession,
    user_id: str,
    purpose: str,
    decision: rules.Decision,
    wording: Wording | None,
    *,
    channel: str,
    actor: str,
    now: datetime,
    evidence: str | None = None,
    token_id: uuid.UUID | None = None,
) -> None:
    if wording is not None:
        await store_wording(session, wording)
    salt = secrets.token_bytes(SALT_BYTES)
    row = {
        "user_id": user_id,
        "purpose": purpose,
        "decision": decision,
        "wording_id": wording and wording.id,
        "language": wording and wording.language,
        "channel": channel,
        "actor": actor,
        "occurred_at": now,
        "token_id": token_id,
        "previous_id": await _newest_id(session, user_id, purpose),
        "evidence_hash": evidence_hash(evidence, salt),
    }
    entry = (await session.scalars(insert(ConsentEntry).returning(ConsentEntry), row)).one()
    if evidence is not None:
        noted = {"entry_id": entry.id, "user_id": user_id, "text": evidence, "salt": salt}
        await session.execute(insert(ConsentEvidence), noted)
    await recompute_state(session, user_id)
    await _record(session, entry, wording and wording.text_hash, now=now)


async def _record(session: DatabaseSession, entry: ConsentEntry, text_hash: bytes | None, *, now: datetime) -> None:
    """Record the event of an entry: the seal then covers the entry's hash and the permission that follows from it."""
    state = await session.get(ConsentState, (entry.user_id, entry.purpose), populate_existing=True)
    name, user_id, data = event_of(entry, state.decision if state else None, text_hash)
    await events.record_event(session, name, user_id=user_id, actor=entry.actor, data=data, now=now)


def event_of(entry: ConsentEntry, decision: str | None, text_hash: bytes | None) -> tuple[str, str, dict[str, Any]]:
    """Return name, User ID and data of the event that records an entry; `decision` is the one that counts now."""
    data = {
        "purpose": entry.purpose,
        "permission": account_rules.marketing_permission(decision),
        "entry": entry.id,
        "entry_hash": fingerprint(entry, text_hash),
    }
    return _EVENTS[entry.decision], entry.user_id, data


def evidence_hash(evidence: str | None, salt: bytes) -> bytes | None:
    """Return SHA-256 of salt and evidence; the ledger keeps it when both are erased, and then it confirms no guess."""
    return None if evidence is None else hashlib.sha256(salt + evidence.encode()).digest()


async def store_wording(session: DatabaseSession, wording: Wording) -> None:
    """Store the exact text of a wording, if it is not stored yet (PRV-02).

    Raises:
        wordings.WordingEdited: another text is stored under this id and language.
    """
    row = {**wording._asdict(), "text_hash": wording.text_hash}
    await session.execute(upsert(ConsentWording).on_conflict_do_nothing(), row)
    stored = await session.get_one(ConsentWording, (wording.id, wording.language))
    if stored.text_hash != wording.text_hash:
        raise wordings.WordingEdited(wording.id)


def fingerprint(entry: ConsentEntry, text_hash: bytes | None) -> str:
    """Return SHA-256 over an entry and the text it is about, in hexadecimal; the entry's event stores it, so the seal
    covers it."""
    fields = [
        entry.id, entry.user_id, entry.purpose, entry.decision, entry.wording_id, entry.language, entry.channel,
        entry.actor, entry.occurred_at.isoformat(timespec="microseconds"), entry.previous_id,
        None if entry.evidence_hash is None else entry.evidence_hash.hex(),
        None if entry.token_id is None else str(entry.token_id), None if text_hash is None else text_hash.hex(),
    ]  # fmt: skip
    return hashlib.sha256(repr(fields).encode()).hexdigest()


async def _newest(session: DatabaseSession, user_id: str, purpose: str) -> ConsentEntry | None:
    mine = select(ConsentEntry).where(ConsentEntry.user_id == user_id, ConsentEntry.purpose == purpose)
    found: ConsentEntry | None = await session.scalar(mine.order_by(ConsentEntry.id.desc()).limit(1))
    return found


async def _newest_id(session: DatabaseSession, user_id: str, purpose: str) -> int | None:
    newest = await _newest(session, user_id, purpose)
    return None if newest is None else newest.id


async def _last_decision(session: DatabaseSession, user_id: str, purpose: str) -> LastDecision:
    mine = select(ConsentEntry).where(
        ConsentEntry.user_id == user_id, ConsentEntry.purpose == purpose, ConsentEntry.decision != "proposed"
    )
    entry = await session.scalar(mine.order_by(ConsentEntry.id.desc()).limit(1))
    return LastDecision(None, None) if entry is None else LastDecision(entry.decision, entry.occurred_at, entry.id)


def require_known_purpose(session: DatabaseSession, purpose: str) -> str:
    """Return the purpose.

    Raises:
        rules.UnknownPurpose
    """
    if purpose not in session.settings.purposes:
        raise rules.UnknownPurpose
    return purpose
