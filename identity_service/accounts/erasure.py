"""Leave tombstones, and hold an account back from becoming one while something is added to it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import select, update

from identity_service.accounts import rules
from identity_service.accounts.actions import columns
from identity_service.accounts.tables import Account
from identity_service.database import AsyncSession
from identity_service.user_ids import UserId


async def erase(session: AsyncSession, ids: Sequence[str], *, now: datetime) -> int:
    """Leave tombstones that nothing tells apart from unknown IDs, and that are never issued again.

    A merged ID becomes one as well: as long as it named its successor, it would say that somebody was there.
    """
    nothing = {**columns(None), "display_name": None, "version": Account.version + 1}
    ended: dict[str, Any] = {"state": "erased", "merged_into": None, "merged_at": None}
    ended |= {"sessions_valid_after": now, "proofs_valid_after": now}
    await session.execute(update(Account).where(Account.user_id.in_(ids)).values(**nothing, **ended))
    return len(ids)


async def hold(session: AsyncSession, user_id: UserId) -> Account:
    """Return an account that cannot be erased until the transaction ends; others may add to it at the same time.

    Raises:
        rules.UnknownUserId
    """
    wanted = select(Account).where(Account.user_id == user_id, Account.state != "erased")
    account = await session.scalar(wanted.with_for_update(read=True, key_share=True))
    if account is None:
        raise rules.UnknownUserId
    return account
