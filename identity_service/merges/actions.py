"""Merge two accounts of one customer; `merges.undo` undoes it.

No data is moved: `merged_into` of the duplicate's row points to the survivor, and reads follow it. Undoing clears that
column. A service or a desk only requests a merge; both mailboxes confirm it, each by its own email.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select, update

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.consents import actions as consents
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.events import actions as events
from identity_service.merges import rules, undo
from identity_service.merges.tables import MergeRequest
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.passkeys import actions as passkeys
from identity_service.passwords import actions as passwords
from identity_service.second_factors import actions as second_factors
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId


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
    await _check_mergeable(session, survivor, duplicate)
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


async def confirm_merge(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> str:
    """Record that one mailbox agreed; the second agreement merges the accounts. Return `merge` or `merge_waits`.

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
    return "merge_waits" if request.merged_at is None else "merge"


async def require_mailboxes(session: DatabaseSession, *ids: UserId) -> None:
    """Refuse a merge, or the undo of one, of accounts of which one has no mailbox to confirm it.

    Raises:
        accounts.rules.UnknownUserId
        rules.MailboxMissing
    """
    for user_id in ids:
        if not await ownership.mailboxes_of(session, (await accounts.find_active_account(session, user_id)).user_id):
            raise rules.MailboxMissing


async def merge_by_mailbox(
    session: DatabaseSession,
    survivor_id: str,
    duplicate_id: str,
    token_id: uuid.UUID | None,
    *,
    actor: str,
    now: datetime,
) -> None:
    """Merge an account into another one because one mailbox was proven to be that of both, by a token of another
    purpose (None: by the undo of a change). It is kept like a requested merge, so that it ends like one."""
    await accounts.mark_merged(session, UserId(duplicate_id), UserId(survivor_id), actor=actor, now=now)
    await consents.recompute_ancestors(session, survivor_id)
    row = {
        "id": uuid.uuid4(), "survivor": survivor_id, "duplicate": duplicate_id, "survivor_token_id": token_id,
        "duplicate_token_id": token_id, "survivor_agreed_at": now, "duplicate_agreed_at": now, "requested_by": actor,
        "requested_at": now, "merged_at": now,
    }  # fmt: skip
    await session.execute(insert(MergeRequest), row)
    await tell_of_merge(session, survivor_id, duplicate_id, actor=actor, now=now)


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
    await _check_mergeable(session, survivor, duplicate)
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


async def _check_mergeable(session: DatabaseSession, survivor: Account, duplicate: Account) -> None:
    """Refuse what `rules.check_mergeable` refuses, and to let the ways into one account into one for passkeys alone."""
    rules.check_mergeable(survivor, duplicate)
    for account in (survivor, duplicate):
        if await passkeys.is_only_way(session, account):
            raise rules.CannotMerge("Only passkeys sign in to one of the accounts; its owner allows other ways first.")
    factors = [await second_factors.find_factor(session, account.user_id) for account in (survivor, duplicate)]
    if all(factors):
        # A sign-in asks for one app: that of the other account would be passed by (SFA-06).
        raise rules.CannotMerge("Both accounts have an authenticator app; the owner removes one of them first.")


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
        await undo.undo_merge(session, user_ids.parse(details["undo"]), actor=actor, now=now)
        return
    duplicate = user_ids.parse(details["duplicate"])
    await request_merge(session, user_id, duplicate, vouched=actor != "customer", actor=actor, now=now)
