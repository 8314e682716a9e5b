"""The change of address that waits for its new mailbox. An account has one at most: a newer request ends the older."""

from datetime import datetime
from typing import Final, NamedTuple

from sqlalchemy import select, update

from identity_service.accounts.tables import Account
from identity_service.addresses.tables import EmailChange
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import kinds
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid

_LONGEST: Final = kinds.KINDS["email_change"].hand_over + token_rules.LIFETIMES["email_change"].link


class Waiting(NamedTuple):
    """The new address as it was typed, and when it was asked for."""

    address: str
    since: datetime


async def find_waiting(session: DatabaseSession, account: Account, *, now: datetime) -> Waiting | None:
    """Return the change whose link or code may still be used.

    It is returned as long for an address that another account has: nobody reads here which addresses have accounts.
    """
    mine = select(EmailChange).where(
        EmailChange.user_id == account.user_id, EmailChange.changed_at.is_(None), EmailChange.undone_at.is_(None),
        EmailChange.new_email.is_not(None), EmailChange.requested_at > now - _LONGEST,
    )  # fmt: skip
    if account.tokens_valid_after is not None:
        mine = mine.where(EmailChange.requested_at > account.tokens_valid_after)
    found = await session.scalar(mine.order_by(EmailChange.requested_at.desc()).limit(1))
    return None if found is None or found.new_email is None else Waiting(found.new_email, found.requested_at)


async def end_waiting(session: DatabaseSession, user_id: str, *, now: datetime) -> None:
    """End every change of an account that waits: neither link nor code of its email works any more."""
    mine = update(EmailChange).where(EmailChange.user_id == user_id, EmailChange.changed_at.is_(None))
    await session.execute(mine.where(EmailChange.undone_at.is_(None)).values(undone_at=now))


async def check_waits(session: DatabaseSession, found: TokenWithMessage) -> None:
    """Refuse the link or code of a change that was cancelled or replaced by a newer request.

    Raises:
        LinkInvalid
    """
    mine = select(EmailChange).where(EmailChange.token_id == found.token.id)
    change = await session.scalar(mine.execution_options(populate_existing=True))
    if change is None or change.new_email is None or (change.changed_at is None and change.undone_at is not None):
        raise LinkInvalid
