"""Undo a merge within 30 days, and what was gained through it."""

import hmac
from datetime import datetime
from typing import Final

from sqlalchemy import select, update

from identity_service import entry_points
from identity_service.accounts import actions as accounts
from identity_service.accounts import mailbox, ownership
from identity_service.accounts.tables import Account
from identity_service.consents import actions as consents
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.events.data_models import SessionsEndedReason
from identity_service.merges import rules
from identity_service.merges.tables import MergeRequest
from identity_service.one_time_tokens.tables import OneTimeToken
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId

_RETURN_OWN_ADDRESS: Final = "addresses.undo:return_own_address"
_RESTORE_REMOVED: Final = "addresses.undo:restore_removed"


async def find_undoable_merge(session: DatabaseSession, user_id: UserId, *, now: datetime) -> UserId:
    """Return the User ID that a merged account resolves to, if its merge can still be undone.

    Raises:
        accounts.rules.UnknownUserId
        rules.NothingToUndo
    """
    duplicate = await accounts.find_account(session, user_id)
    if duplicate.merged_into is None or not rules.may_undo(duplicate.merged_at, now):
        raise rules.NothingToUndo
    return UserId((await accounts.find_active_account(session, user_id)).user_id)


async def undo_merge(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Undo the merge of this User ID and return its restored account.

    Both accounts are restored, except that a consent withdrawn while they were merged is withdrawn for both, and one
    given meanwhile too: nobody knows for whom it was given. What was gained through the merge ends: sessions, one-time
    tokens and waiting changes of both, and a password that the other one's mailbox set. Every mailbox of both is told.

    Raises:
        accounts.rules.UnknownUserId
        rules.NothingToUndo
    """
    # Lock the survivor first: erasure locks in the same order, which avoids a deadlock.
    await accounts.find_account(session, await find_undoable_merge(session, user_id, now=now), lock=True)
    duplicate = await accounts.find_account(session, user_id, lock=True)
    if duplicate.merged_into is None:
        raise rules.NothingToUndo
    survivor_id, merged_at = duplicate.merged_into, duplicate.merged_at or now
    before = await ownership.mailboxes_of(session, survivor_id)
    above = await ownership.accounts_above(session, duplicate.user_id)
    withdrawn = await _withdrawn_since(session, duplicate)
    restored = await accounts.unmark_merged(session, user_id, actor=actor, now=now)
    for one in (survivor_id, restored.user_id):
        await consents.recompute_ancestors(session, one)
    await _withdraw(session, UserId(restored.user_id), withdrawn, actor=actor, now=now)
    await consents.withdraw_granted_since(session, above[-1], merged_at, channel="merge", actor=actor, now=now)
    await _return_address(session, restored.user_id, above[-1], actor=actor, now=now)
    for one in (*above, restored.user_id):
        reason = SessionsEndedReason.MERGE_UNDONE
        await credentials.end_access(session, one, reason=reason, actor=actor, now=now)
    mine = update(MergeRequest).where(MergeRequest.duplicate == user_id, MergeRequest.merged_at.is_not(None))
    await session.execute(mine.where(MergeRequest.undone_at.is_(None)).values(undone_at=now))
    for one in (above[-1], restored.user_id):
        await _end_what_others_gained(session, one, of=restored.user_id, since=merged_at, actor=actor, now=now)
    facts = {"other": user_ids.show(restored.user_id), "survivor": user_ids.show(above[-1])}
    await credentials.notify_mailboxes(
        session, "merge_undone", [above[-1], restored.user_id], also=before, facts=facts, cause="account.unmerged",
        actor=actor, now=now,
    )  # fmt: skip
    return await accounts.find_account(session, user_id)


async def _end_what_others_gained(
    session: DatabaseSession, user_id: str, *, of: str, since: datetime, actor: str, now: datetime
) -> None:
    """End what the former other side changed for an account since a moment: its addresses, merges and password. `of` is
    the account that was merged: while it was, the other side alone could take addresses off it."""
    await entry_points.load(_RETURN_OWN_ADDRESS)(session, user_id, since=since, actor=actor, now=now)
    if user_id == of:
        await entry_points.load(_RESTORE_REMOVED)(session, user_id, since=since, actor=actor, now=now)
    await undo_foreign_merges(session, user_id, since=since, actor=actor, now=now)
    await credentials.remove_foreign_credentials(session, user_id, since=since, actor=actor, now=now)


async def undo_foreign_merges(
    session: DatabaseSession, user_id: str, *, since: datetime, actor: str, now: datetime
) -> None:
    """Undo the merges of an account since a moment to which a mailbox agreed for it that is not the customer's now.

    Called when a relation ends: what was agreed by way of it ends, too.
    """
    agreed = (
        select(MergeRequest.duplicate, OneTimeToken.recipient_hash)
        .join(
            OneTimeToken,
            ((MergeRequest.survivor == user_id) & (MergeRequest.survivor_token_id == OneTimeToken.id))
            | ((MergeRequest.duplicate == user_id) & (MergeRequest.duplicate_token_id == OneTimeToken.id)),
        )
        .where(MergeRequest.merged_at >= since, MergeRequest.undone_at.is_(None))
    )
    for duplicate, mailbox_hash in (await session.execute(agreed.order_by(MergeRequest.merged_at.desc()))).all():
        own = set(await ownership.mailbox_hashes_of(session, user_id))
        if duplicate != user_id:
            # What came with this very merge does not speak for the account that it came to.
            own -= set(await ownership.mailbox_hashes_of(session, duplicate))
        if mailbox_hash not in own and (await accounts.find_account(session, UserId(duplicate))).merged_into:
            await undo_merge(session, UserId(duplicate), actor=actor, now=now)


async def _withdraw(
    session: DatabaseSession, user_id: UserId, purposes: set[str], *, actor: str, now: datetime
) -> None:
    for state in await consents.list_states(session, user_id):
        if state.purpose in purposes and state.decision == "granted":
            await consents.withdraw_consent(session, user_id, state.purpose, channel="merge", actor=actor, now=now)


async def _return_address(
    session: DatabaseSession, restored_id: str, survivor_id: str, *, actor: str, now: datetime
) -> None:
    """Exchange the addresses of both accounts again, if the survivor took the one that agreed for the other account."""
    agreed = (
        select(OneTimeToken.recipient_hash)
        .join(MergeRequest, MergeRequest.duplicate_token_id == OneTimeToken.id)
        .where(MergeRequest.duplicate == restored_id, MergeRequest.merged_at.is_not(None))
        .where(MergeRequest.undone_at.is_(None))
    )
    was_on_file = await session.scalar(agreed)
    survivor = await accounts.find_account(session, UserId(survivor_id))
    if survivor.email_key is not None and hmac.compare_digest(
        session.keys.address_hash(survivor.email_key), was_on_file or b""
    ):
        await mailbox.exchange_emails(session, restored_id, survivor_id, actor=actor, now=now)


async def _withdrawn_since(session: DatabaseSession, merged: Account) -> set[str]:
    """Return the purposes whose newest decision by the accounts above a merged one is a withdrawal since the merge."""
    entries = reversed(await consents.read_ledger(session, await ownership.accounts_above(session, merged.user_id)))
    newest = {entry.purpose: entry for entry in entries if entry.decision != "proposed"}
    since = merged.merged_at
    return {
        one.purpose for one in newest.values() if one.decision == "withdrawn" and since and one.occurred_at >= since
    }
