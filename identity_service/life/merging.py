"""Two accounts of one customer become one, and within 30 days two again.

Nothing is moved in the database: the duplicate's row says which account answers for it, and everything addressed to it
is read through that. Undoing is the removal of this one fact. Both mailboxes say yes, each with its own letter; a
service or a desk only starts it.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import insert, or_, select, update

from identity_service import user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts.tables import Account
from identity_service.consents import actions as consents
from identity_service.consents import rules as consent_rules
from identity_service.database import AsyncSession
from identity_service.events import actions as events
from identity_service.life import rules
from identity_service.life.tables import MergeRequest
from identity_service.passwords import actions as passwords
from identity_service.proofs import actions as proofs
from identity_service.proofs.actions import Found
from identity_service.proofs.rules import LinkDead
from identity_service.user_ids import UserId


async def ask(
    session: AsyncSession, survivor_id: UserId, duplicate_id: UserId, *, actor: str, now: datetime
) -> MergeRequest:
    """Ask both mailboxes whether the two accounts may become one; one that has no mailbox is not asked.

    Where neither has one, nothing is left to ask, and they become one at once.

    Raises:
        accounts.rules.UnknownUserId; rules.CannotMerge
    """
    survivor, duplicate = await _lock_both(session, survivor_id, duplicate_id)
    rules.check_mergeable(survivor, duplicate)
    row: dict[str, Any] = {
        "id": uuid.uuid4(), "survivor": survivor.user_id, "duplicate": duplicate.user_id, "asked_by": actor,
        "asked_at": now,
    }  # fmt: skip
    for side, account, other in (("survivor", survivor, duplicate), ("duplicate", duplicate, survivor)):
        if account.email is None:
            row[f"{side}_said_at"] = now
            continue
        facts = {"other": user_ids.show(other.user_id), "survivor": user_ids.show(survivor.user_id)}
        proof = await proofs.send(
            session, "merge", kind="merge_confirmation", to=accounts.address_of(account), user_id=account.user_id,
            locale=account.locale, facts=facts, cause="account.merge_asked", actor=actor, now=now,
        )  # fmt: skip
        row[f"{side}_proof_id"] = proof.id
    request = (await session.execute(insert(MergeRequest).returning(MergeRequest), row)).scalar_one()
    data = {"duplicate": user_ids.show(duplicate.user_id), "merge_id": str(request.id)}
    await events.record(session, "account.merge_asked", user_id=survivor.user_id, actor=actor, data=data, now=now)
    await _merge_if_agreed(session, request, actor=actor, now=now)
    return request


async def confirm(session: AsyncSession, found: Found, *, now: datetime) -> None:
    """Note one mailbox's yes; with the second one the accounts become one.

    Raises:
        LinkDead; rules.CannotMerge: one of them was closed or merged meanwhile.
    """
    mine = or_(MergeRequest.survivor_proof_id == found.proof.id, MergeRequest.duplicate_proof_id == found.proof.id)
    request = await session.scalar(select(MergeRequest).where(mine).with_for_update())
    if request is None or request.merged_at is not None:
        raise LinkDead
    await proofs.use_up(session, found, now=now)
    side = "survivor" if request.survivor_proof_id == found.proof.id else "duplicate"
    await session.execute(update(MergeRequest).where(MergeRequest.id == request.id).values({f"{side}_said_at": now}))
    await session.refresh(request)
    await _merge_if_agreed(session, request, actor="customer", now=now)


async def undoable(session: AsyncSession, user_id: UserId, *, now: datetime) -> UserId:
    """Return the account that answers for a User ID by a merge that can still be undone.

    Raises:
        accounts.rules.UnknownUserId; rules.NothingToUndo
    """
    duplicate = await accounts.find(session, user_id)
    if duplicate.merged_into is None or not rules.may_undo(duplicate.merged_at, now):
        raise rules.NothingToUndo
    return UserId((await accounts.current(session, user_id)).user_id)


async def has_mailbox(session: AsyncSession, *ids: UserId) -> bool:
    """Tell whether one of these accounts has a mailbox that can be asked."""
    return any([(await accounts.find(session, user_id)).email is not None for user_id in ids])


async def undo(session: AsyncSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Undo the merge that moved this User ID; both accounts are again what they were, but for a no.

    Whoever withdrew a consent while the two were one withdrew it for both: an older yes does not come back.

    Raises:
        accounts.rules.UnknownUserId; rules.NothingToUndo
    """
    # The account that answers is locked first, as everywhere: whoever erases it takes its merged ones after it.
    await accounts.find(session, await undoable(session, user_id, now=now), lock=True)
    duplicate = await accounts.find(session, user_id, lock=True)
    if duplicate.merged_into is None:
        raise rules.NothingToUndo
    survivor_id = duplicate.merged_into
    refused = await _refused_since(session, duplicate)
    restored = await accounts.unmove(session, user_id, actor=actor, now=now)
    for one in (survivor_id, restored.user_id):
        await consents.renew_upwards(session, one)
    for state in await consents.state(session, restored.user_id):
        if state.purpose in refused and state.decision == "granted":
            user = UserId(restored.user_id)
            await consents.withdraw(session, user, state.purpose, channel="merge", actor=actor, now=now)
    mine = update(MergeRequest).where(MergeRequest.duplicate == user_id, MergeRequest.merged_at.is_not(None))
    await session.execute(mine.where(MergeRequest.undone_at.is_(None)).values(undone_at=now))
    return restored


async def preview(session: AsyncSession, survivor_id: UserId, duplicate_id: UserId) -> list[dict[str, str]]:
    """Return every point where the two differ, and what comes out.

    Raises:
        accounts.rules.UnknownUserId; rules.CannotMerge
    """
    survivor, duplicate = await accounts.find(session, survivor_id), await accounts.find(session, duplicate_id)
    rules.check_mergeable(survivor, duplicate)
    found = [
        _point("User ID", user_ids.show(survivor.user_id), user_ids.show(duplicate.user_id), "the first one answers; "
               "the second goes on leading to it"),
        _point("kind", survivor.kind, duplicate.kind, survivor.kind),
        _point(
            "password", await _password(session, survivor), await _password(session, duplicate),
            await _password(session, survivor),
        ),
    ]  # fmt: skip
    theirs = {state.purpose: state.decision for state in await consents.state(session, duplicate.user_id)}
    for state in await consents.state(session, survivor.user_id):
        own, other = (consent_rules.permission(word) for word in (state.decision, theirs.get(state.purpose)))
        outcome = "allowed" if own == other == "allowed" else "never"
        found.append(_point(f"consent: {state.purpose}", own, other, outcome))
    found.append(_point("history, external references", "kept", "kept", "read as one"))
    return found


async def _merge_if_agreed(session: AsyncSession, request: MergeRequest, *, actor: str, now: datetime) -> None:
    if request.survivor_said_at is None or request.duplicate_said_at is None:
        return
    survivor, duplicate = await _lock_both(session, UserId(request.survivor), UserId(request.duplicate))
    rules.check_mergeable(survivor, duplicate)
    await accounts.move(session, UserId(duplicate.user_id), UserId(survivor.user_id), actor=actor, now=now)
    await consents.renew(session, survivor.user_id)
    await session.execute(update(MergeRequest).where(MergeRequest.id == request.id).values(merged_at=now))
    await session.refresh(request)


async def _refused_since(session: AsyncSession, merged: Account) -> set[str]:
    """Return the purposes for which the last word of those who answered for a merged account, since then, was no."""
    above = []
    account = merged
    while account.merged_into is not None:
        account = await accounts.find(session, UserId(account.merged_into))
        above.append(account.user_id)
    entries = reversed(await consents.ledger(session, above))
    said = {entry.purpose: entry for entry in entries if entry.decision != "proposed"}
    since = merged.merged_at
    return {one.purpose for one in said.values() if one.decision == "withdrawn" and since and one.at >= since}


async def _lock_both(session: AsyncSession, first: UserId, second: UserId) -> tuple[Account, Account]:
    """Return both accounts, locked in one order, so that two merges of the same two never wait for each other."""
    locked = {user_id: await accounts.find(session, user_id, lock=True) for user_id in sorted({first, second})}
    return locked[first], locked[second]


async def _password(session: AsyncSession, account: Account) -> str:
    return "set" if await passwords.exists(session, account.user_id) else "none"


def _point(what: str, survivor: str, duplicate: str, outcome: str) -> dict[str, str]:
    return {"what": what, "survivor": survivor, "duplicate": duplicate, "outcome": outcome}
