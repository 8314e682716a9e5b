"""Merge two accounts of one customer, and undo a merge within 30 days.

No data is moved: `merged_into` of the duplicate's row points to the survivor, and reads follow it. Undoing clears that
column. A service or a desk only requests a merge; both mailboxes confirm it, each by its own email.
"""

import hmac
import uuid
from datetime import datetime
from typing import Any, Final

from sqlalchemy import insert, or_, select, update

from identity_service import entry_points
from identity_service.accounts import actions as accounts
from identity_service.accounts import mailbox, ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.consents import actions as consents
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.merges import rules
from identity_service.merges.tables import MergeRequest
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.one_time_tokens.tables import OneTimeToken
from identity_service.passwords import actions as passwords
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId

_RETURN_OWN_ADDRESS: Final = "addresses.actions:return_own_address"


async def request_merge(
    session: DatabaseSession,
    survivor_id: UserId,
    duplicate_id: UserId,
    *,
    vouched: bool = False,
    asks_duplicate_first: bool = False,
    actor: str,
    now: datetime,
) -> MergeRequest:
    """Ask the mailboxes of both customers to confirm a merge.

    With `asks_duplicate_first`, the survivor's mailbox is asked after the other one has agreed.

    A side's mailbox is the address on file, else that of an account merged into it. A side without one has not agreed:
    then somebody else must vouch for it (`vouched`), a second person, the service whose own references name both, or
    its own session. If neither has a mailbox, vouched accounts are merged at once. While a request for the same merge
    can still be confirmed, it is returned and no mailbox is asked again: two halves of two requests would never make
    one merge.

    Raises:
        accounts.rules.UnknownUserId
        rules.CannotMerge, MailboxMissing
    """
    survivor, duplicate = await _lock_both(session, survivor_id, duplicate_id)
    rules.check_mergeable(survivor, duplicate)
    if not vouched and None in (await _mailbox(session, survivor), await _mailbox(session, duplicate)):
        raise rules.MailboxMissing
    request = await _find_open(session, survivor, duplicate, now=now)
    if request is not None:
        return request
    request = await _add_request(
        session, survivor, duplicate, asks_duplicate_first=asks_duplicate_first, actor=actor, now=now
    )
    await _merge_if_agreed(session, request, actor=actor, now=now)
    return request


async def _add_request(
    session: DatabaseSession,
    survivor: Account,
    duplicate: Account,
    *,
    asks_duplicate_first: bool,
    actor: str,
    now: datetime,
) -> MergeRequest:
    """Store a request and ask the mailboxes; a side without one agrees at once."""
    row: dict[str, Any] = {
        "id": uuid.uuid4(), "survivor": survivor.user_id, "duplicate": duplicate.user_id, "requested_by": actor,
        "requested_at": now,
    }  # fmt: skip
    data = {"duplicate": duplicate.user_id, "merge_id": row["id"]}
    await events.record_event(
        session, "account.merge_requested", user_id=survivor.user_id, actor=actor, data=data, now=now
    )
    for side, account, other in (("survivor", survivor, duplicate), ("duplicate", duplicate, survivor)):
        if await _mailbox(session, account) is None:
            row[f"{side}_agreed_at"] = now
        elif side == "duplicate" or not asks_duplicate_first:
            row[f"{side}_token_id"] = await _ask_mailbox(session, account, other, survivor, actor=actor, now=now)
    request: MergeRequest = (await session.execute(insert(MergeRequest).returning(MergeRequest), row)).scalar_one()
    return request


async def confirm_merge(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Record that one mailbox agreed; the second agreement merges the accounts.

    Raises:
        LinkInvalid
        rules.CannotMerge: one of the accounts was closed or merged meanwhile.
    """
    mine = or_(MergeRequest.survivor_token_id == found.token.id, MergeRequest.duplicate_token_id == found.token.id)
    request = await session.scalar(select(MergeRequest).where(mine).with_for_update())
    if request is None or request.merged_at is not None:
        raise LinkInvalid
    await one_time_tokens.consume(session, found, now=now)
    side = "survivor" if request.survivor_token_id == found.token.id else "duplicate"
    await session.execute(update(MergeRequest).where(MergeRequest.id == request.id).values({f"{side}_agreed_at": now}))
    await session.refresh(request)
    await _merge_if_agreed(session, request, actor="customer", now=now)


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


async def require_mailboxes(session: DatabaseSession, *ids: UserId) -> None:
    """Refuse a merge, or the undo of one, of accounts of which one has no mailbox to confirm it.

    Raises:
        accounts.rules.UnknownUserId
        rules.MailboxMissing
    """
    for user_id in ids:
        if not await ownership.mailboxes_of(session, (await accounts.find_active_account(session, user_id)).user_id):
            raise rules.MailboxMissing


async def undo_merge(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Undo the merge of this User ID and return its restored account.

    Both accounts are restored, except that a consent withdrawn while they were merged is withdrawn for both. What was
    gained through the merge ends: sessions, one-time tokens and waiting changes of both, and a password that the other
    one's mailbox set. Every mailbox of both is told.

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
    await _return_address(session, restored.user_id, above[-1], actor=actor, now=now)
    for one in (*above, restored.user_id):
        reason = SessionsEndedReason.MERGE_UNDONE
        await credentials.end_access(session, one, reason=reason, actor=actor, now=now)
    mine = update(MergeRequest).where(MergeRequest.duplicate == user_id, MergeRequest.merged_at.is_not(None))
    await session.execute(mine.where(MergeRequest.undone_at.is_(None)).values(undone_at=now))
    for one in (above[-1], restored.user_id):
        await entry_points.load(_RETURN_OWN_ADDRESS)(session, one, since=merged_at, actor=actor, now=now)
        await undo_foreign_merges(session, one, since=merged_at, actor=actor, now=now)
        await credentials.remove_foreign_password(session, one, since=merged_at, actor=actor, now=now)
    facts = {"other": user_ids.show(restored.user_id), "survivor": user_ids.show(above[-1])}
    await credentials.notify_mailboxes(
        session, "merge_undone", [above[-1], restored.user_id], also=before, facts=facts, cause="account.unmerged",
        actor=actor, now=now,
    )  # fmt: skip
    return await accounts.find_account(session, user_id)


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


async def tell_of_merge(
    session: DatabaseSession, survivor_id: str, duplicate_id: str, *, actor: str, now: datetime
) -> None:
    """Tell every mailbox of a customer, those that were changed lately too, that two accounts became one."""
    facts = {"other": user_ids.show(duplicate_id), "survivor": user_ids.show(survivor_id)}
    await credentials.notify_mailboxes(
        session, "merged", [survivor_id], facts=facts, cause="account.merged", actor=actor, now=now
    )


async def preview_merge(session: DatabaseSession, survivor_id: UserId, duplicate_id: UserId) -> list[dict[str, str]]:
    """Return each point of a merge: the value of both accounts, and the outcome.

    Raises:
        accounts.rules.UnknownUserId
        rules.CannotMerge
    """
    survivor, duplicate = (
        await accounts.find_account(session, survivor_id),
        await accounts.find_account(session, duplicate_id),
    )
    rules.check_mergeable(survivor, duplicate)
    found = [
        _difference(
            "User ID", user_ids.show(survivor.user_id), user_ids.show(duplicate.user_id),
            "the first one stays; the second one resolves to it",
        ),
        _difference("kind", survivor.kind, duplicate.kind, survivor.kind),
        _difference(
            "password", await _password(session, survivor), await _password(session, duplicate),
            await _password(session, survivor),
        ),
    ]  # fmt: skip
    theirs = {state.purpose: state.decision for state in await consents.list_states(session, duplicate.user_id)}
    for state in await consents.list_states(session, survivor.user_id):
        own, other = (
            account_rules.marketing_permission(decision) for decision in (state.decision, theirs.get(state.purpose))
        )
        outcome = "allowed" if own == other == "allowed" else "never"
        found.append(_difference(f"consent: {state.purpose}", own, other, outcome))
    found.append(_difference("history, external references", "kept", "kept", "read together"))
    return found


async def _find_open(
    session: DatabaseSession, survivor: Account, duplicate: Account, *, now: datetime
) -> MergeRequest | None:
    """Return the newest request for this merge, if each side of it has agreed or still can."""
    mine = select(MergeRequest).where(
        MergeRequest.survivor == survivor.user_id,
        MergeRequest.duplicate == duplicate.user_id,
        MergeRequest.merged_at.is_(None),
    )
    request = await session.scalar(mine.order_by(MergeRequest.requested_at.desc()).limit(1))
    if request is None:
        return None
    for side, account in (("survivor", survivor), ("duplicate", duplicate)):
        agreed_at, token_id = getattr(request, f"{side}_agreed_at"), getattr(request, f"{side}_token_id")
        if agreed_at is not None and _is_over(agreed_at, account):
            return None
        if agreed_at is None and token_id is not None and await one_time_tokens.has_ended(session, token_id, now=now):
            return None
    return request


async def _merge_if_agreed(session: DatabaseSession, request: MergeRequest, *, actor: str, now: datetime) -> None:
    if request.survivor_agreed_at is None and request.duplicate_agreed_at is None:
        return
    survivor, duplicate = await _lock_both(session, UserId(request.survivor), UserId(request.duplicate))
    rules.check_mergeable(survivor, duplicate)
    if await _asked_new_mailbox(session, request, survivor, duplicate, now=now):
        return
    if request.survivor_agreed_at is None or request.duplicate_agreed_at is None:
        return
    if _is_over(request.survivor_agreed_at, survivor) or _is_over(request.duplicate_agreed_at, duplicate):
        raise LinkInvalid
    await accounts.mark_merged(session, UserId(duplicate.user_id), UserId(survivor.user_id), actor=actor, now=now)
    await consents.recompute_state(session, survivor.user_id)
    await session.execute(update(MergeRequest).where(MergeRequest.id == request.id).values(merged_at=now))
    await session.refresh(request)
    await tell_of_merge(session, survivor.user_id, duplicate.user_id, actor=actor, now=now)


def _is_over(agreed_at: datetime, account: Account) -> bool:
    """Return whether an agreement has ended with the account's older links: it is worth as much as one of them."""
    return account.tokens_valid_after is not None and agreed_at < account.tokens_valid_after


async def _mailbox(session: DatabaseSession, account: Account) -> ownership.Mailbox | None:
    """Return the mailbox that speaks for an account: the address on file, else that of an account merged into it."""
    return next(iter(await ownership.mailboxes_of(session, account.user_id)), None)


async def _ask_mailbox(
    session: DatabaseSession, account: Account, other: Account, survivor: Account, *, actor: str, now: datetime
) -> uuid.UUID:
    facts = {"other": user_ids.show(other.user_id), "survivor": user_ids.show(survivor.user_id)}
    asked = await _mailbox(session, account)
    assert asked is not None  # noqa: S101
    token = await one_time_tokens.send_token(
        session, "merge", kind="merge_confirmation", to=asked.address, user_id=account.user_id,
        locale=asked.locale, facts=facts, cause="account.merge_requested", actor=actor, now=now,
    )  # fmt: skip
    return token.id


async def _asked_new_mailbox(
    session: DatabaseSession, request: MergeRequest, survivor: Account, duplicate: Account, *, now: datetime
) -> bool:
    """Ask a mailbox that was not asked yet, and drop what somebody vouched for its side before; return whether."""
    asked = False
    for side, account, other in (("survivor", survivor, duplicate), ("duplicate", duplicate, survivor)):
        if getattr(request, f"{side}_token_id") is None and await _mailbox(session, account) is not None:
            token_id = await _ask_mailbox(session, account, other, survivor, actor=request.requested_by, now=now)
            values = {f"{side}_agreed_at": None, f"{side}_token_id": token_id}
            await session.execute(update(MergeRequest).where(MergeRequest.id == request.id).values(values))
            asked = True
    await session.refresh(request)
    return asked


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


async def _lock_both(session: DatabaseSession, first: UserId, second: UserId) -> tuple[Account, Account]:
    """Return both accounts, locked in the order of their User IDs, so that concurrent merges cannot deadlock."""
    locked = {user_id: await accounts.find_account(session, user_id, lock=True) for user_id in sorted({first, second})}
    return locked[first], locked[second]


async def _password(session: DatabaseSession, account: Account) -> str:
    return "set" if await passwords.has_password(session, account.user_id) else "none"


def _difference(what: str, survivor: str, duplicate: str, outcome: str) -> dict[str, str]:
    return {"what": what, "survivor": survivor, "duplicate": duplicate, "outcome": outcome}


async def apply_merge(
    session: DatabaseSession, user_id: UserId, details: dict[str, Any], *, actor: str, now: datetime
) -> None:
    """Carry out an approved merge, or an approved undo of one; a second person vouches for a side, a customer not."""
    if "undo" in details:
        await undo_merge(session, user_ids.parse(details["undo"]), actor=actor, now=now)
        return
    duplicate = user_ids.parse(details["duplicate"])
    await request_merge(session, user_id, duplicate, vouched=actor != "customer", actor=actor, now=now)
