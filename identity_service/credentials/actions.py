"""Confirm an address with a proof of its mailbox; end what was gained through what no longer holds."""

import hmac
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from identity_service.accounts import actions as accounts
from identity_service.accounts import mailbox, ownership
from identity_service.accounts.tables import Account
from identity_service.approvals import actions as approvals
from identity_service.database.transactions import DatabaseSession
from identity_service.events.data_models import SessionsEndedReason
from identity_service.keys import hashing
from identity_service.messages import actions as messages
from identity_service.one_time_tokens.rules import MailboxProof
from identity_service.passkeys import actions as passkeys
from identity_service.passkeys import rules as passkey_rules
from identity_service.passwords import actions as passwords
from identity_service.phone_numbers import actions as phone_numbers
from identity_service.recovery_codes import actions as recovery_codes
from identity_service.second_factors import actions as second_factors
from identity_service.values.user_ids import UserId


def is_first_proof(session: DatabaseSession, account: Account, proof: MailboxProof) -> bool:
    """Return whether a proof is the first one of the address on file: unconfirmed so far, and of this very mailbox."""
    if account.email_key is None or account.email_state == "confirmed":
        return False
    return hmac.compare_digest(proof.recipient_hash or b"", session.keys.address_hash(account.email_key))


async def confirm_mailbox(
    session: DatabaseSession,
    user_id: str,
    proof: MailboxProof,
    *,
    ends_tokens: bool = True,
    ends_sessions: SessionsEndedReason | None = None,
    actor: str = "customer",
    now: datetime,
) -> Account:
    """Record that a mailbox of this customer was read; if it is the first proof of the address on file, confirm that.

    The first proof ends what existed before it, because whoever registered or imported the account may be somebody
    else: waiting changes, every session here and at the services, passkeys, a second factor, and a password that no
    proof has set, unless the system that it was imported from had confirmed the address (ATT-26). `ends_tokens` also
    invalidates all older one-time tokens (ATT-27).
    """
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    is_first = is_first_proof(session, account, proof)
    if is_first:
        await passwords.remove_password(
            session, user_id, only_unproven=True, reason="first_proof", actor=actor, now=now
        )
        await end_credentials(session, user_id, since=None, reason="first_proof", actor=actor, now=now)
        await approvals.stop_open_changes(session, [user_id], reason="first_proof", actor=actor, now=now)
    return await mailbox.record_mailbox_read(
        session, account, confirms=is_first, ends_tokens=ends_tokens or is_first,
        ends_sessions=ends_sessions or (SessionsEndedReason.FIRST_PROOF if is_first else None), actor=actor, now=now,
    )  # fmt: skip


async def end_access(
    session: DatabaseSession, user_id: str, *, reason: SessionsEndedReason, actor: str, now: datetime
) -> Account:
    """End every session, one-time token and waiting change of an account."""
    await approvals.stop_open_changes(session, [user_id], reason=reason, actor=actor, now=now)
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    return await mailbox.record_mailbox_read(
        session, account, confirms=False, ends_tokens=True, ends_sessions=reason, actor=actor, now=now
    )


async def remove_foreign_credentials(
    session: DatabaseSession, user_id: str, *, since: datetime, actor: str, now: datetime
) -> None:
    """Remove a password that was set since a moment by a mailbox that is not this customer's now, and every passkey
    recovery code and second factor that was added since: whoever added one may have come by the other account."""
    await end_credentials(session, user_id, since=since, reason="merge_undone", actor=actor, now=now)
    own = await ownership.mailbox_hashes_of(session, user_id)
    await passwords.remove_password(
        session, user_id, since=since, unless_proven_by=own, reason="merge_undone", actor=actor, now=now
    )


async def end_credentials(
    session: DatabaseSession, user_id: str, *, since: datetime | None, reason: str, actor: str, now: datetime
) -> None:
    """End what opens an account without its mailbox, if it was added since a moment; without one, all of it."""
    await remove_passkeys(session, user_id, since=since, actor=actor, now=now)
    await remove_factor(session, user_id, since=since, actor=actor, now=now)
    await remove_numbers(session, user_id, since=since, actor=actor, now=now)
    await recovery_codes.end_code(session, user_id, since=since, reason=reason, actor=actor, now=now)


async def remove_passkeys(
    session: DatabaseSession, user_id: str, *, since: datetime | None, actor: str, now: datetime
) -> None:
    """Remove the passkeys that this customer has added since a moment, all of them without one; tell every mailbox if
    there were any (PKY-08)."""
    if await passkeys.remove_since(session, user_id, since, actor=actor, now=now):
        await notify_mailboxes(session, "passkey_removed", [user_id], cause="passkey.removed", actor=actor, now=now)


async def remove_numbers(
    session: DatabaseSession, user_id: str, *, since: datetime | None, actor: str, now: datetime
) -> None:
    """Remove the telephone numbers that this customer has added since a moment, all of them without one; tell every
    mailbox if there were any (ADR-07)."""
    if await phone_numbers.remove_since(session, user_id, since, actor=actor, now=now):
        await notify_mailboxes(session, "number_removed", [user_id], cause="phone_number.removed", actor=actor, now=now)


async def remove_factor(
    session: DatabaseSession, user_id: str, *, since: datetime | None, actor: str, now: datetime
) -> None:
    """Remove the second factor that this customer has set up since a moment, any without one; tell every mailbox if
    there was one. The caller ends the sessions. A reset does not do this (SFA-06)."""
    if await second_factors.remove_since(session, user_id, since, actor=actor, now=now):
        await notify_mailboxes(
            session, "second_factor_removed", [user_id], cause="second_factor.removed", actor=actor, now=now
        )


async def keep_passkeys(
    session: DatabaseSession, user_id: str, keep: Collection[str], *, actor: str, now: datetime
) -> None:
    """Remove this customer's passkeys but those of these ids; tell every mailbox if there were any (PKY-08, PKY-14)."""
    if await passkeys.remove_others(session, user_id, keep, actor=actor, now=now):
        await notify_mailboxes(session, "passkey_removed", [user_id], cause="passkey.removed", actor=actor, now=now)


async def require_passkey(session: DatabaseSession, account: Account, *, now: datetime) -> None:
    """Turn every way of signing in off but passkeys, and tell every mailbox: the password goes, every other session
    ends, and no email lets anybody in (PKY-15).

    Raises:
        passkeys.rules.TooFewPasskeys, passkeys.rules.AddressUnconfirmed
    """
    user_id = account.user_id
    await passkeys.require_passkey(session, account, now=now)
    for one in await ownership.user_ids_of(session, UserId(user_id)):
        await passwords.remove_password(session, one, reason="passkey_only", actor="customer", now=now)
    reason = SessionsEndedReason.PASSKEY_MADE_ONLY_WAY
    await accounts.end_sessions(session, user_id, reason, actor="customer", now=now)
    cause = "passkey.made_only_way"
    await notify_mailboxes(session, "passkey_only", [user_id], cause=cause, actor="customer", now=now)


async def allow_other_ways(session: DatabaseSession, user_id: str, *, actor: str, now: datetime) -> None:
    """Let other ways sign in again, and tell every mailbox if they did not."""
    if await passkeys.allow_other_ways(session, user_id, actor=actor, now=now):
        cause = "passkey.other_ways_allowed"
        await notify_mailboxes(session, "passkey_only_ended", [user_id], cause=cause, actor=actor, now=now)


async def tell_weaker_sign_in(session: DatabaseSession, user_id: str, browser: str, *, now: datetime) -> None:
    """Tell every mailbox of a customer who has passkeys that somebody has signed in without one, of one browser (by the
    name that its cookie has) once a day at most (PKY-14)."""
    if not await passkeys.list_passkeys(session, user_id):
        return
    facts = {"browser": hashing.hash_secret(browser).hex()}
    since = now - passkey_rules.TOLD_EVERY
    if await messages.has_message(session, "weaker_sign_in", user_id, facts, since=since):
        return
    await notify_mailboxes(
        session, "weaker_sign_in", [user_id], facts=facts, cause="sign_in.succeeded", actor="customer", now=now
    )


async def notify_mailboxes(
    session: DatabaseSession,
    kind: str,
    user_ids: Sequence[str],
    *,
    also: Sequence[ownership.Mailbox] = (),
    facts: dict[str, Any] | None = None,
    cause: str,
    actor: str,
    now: datetime,
) -> None:
    """Enqueue a notice of this kind to every mailbox of these customers, recently changed ones included, once each.

    `also` are mailboxes that the first of them had until now.
    """
    told: dict[str, tuple[str, ownership.Mailbox]] = {}
    for user_id in user_ids:
        for one in await ownership.mailboxes_of(session, user_id, recent_at=now):
            told.setdefault(one.address.key, (user_id, one))
    for one in also:
        told.setdefault(one.address.key, (user_ids[0], one))
    for user_id, one in told.values():
        await messages.enqueue(
            session, kind, to=one.address, user_id=user_id, locale=one.locale, facts=facts, cause=cause, actor=actor,
            now=now,
        )  # fmt: skip
