"""Where merges lead: who answers for an address or a User ID now, and which User IDs are one customer."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import text

from identity_service.accounts import actions, rules
from identity_service.database import AsyncSession
from identity_service.email_addresses import EmailAddress
from identity_service.user_ids import UserId


class Answering(NamedTuple):
    """Who answers for an address now, merges followed: User ID and state, None where nobody does; and the address, as
    it is on file where the account is active, else as it was asked for."""

    user_id: str | None
    state: str | None
    address: EmailAddress

    @property
    def active(self) -> str | None:
        """Return the User ID of an active account."""
        return self.user_id if self.state == "active" else None


async def answering(session: AsyncSession, address: EmailAddress, *, hold: bool = False) -> Answering:
    """Return who answers for a mailbox, whatever the state. One statement and one row, also for nobody: what is found
    must not take longer (ATT-20, ATT-21, ATT-24).

    With `hold`, nobody erases the account before this transaction ends, or it is seen as erased already: what is
    written to its address cannot come after its address was forgotten.
    """
    row = (await session.execute(_ANSWERING_HELD if hold else _ANSWERING, {"key": address.key})).one()
    on_file = EmailAddress(row.email, row.email_ascii, address.key)
    return Answering(row.user_id, row.state, on_file if row.state == "active" else address)


_ROAD = """
    WITH RECURSIVE road AS (
        SELECT a.user_id, a.merged_into, a.state, a.email, a.email_ascii
        FROM (VALUES (CAST(:key AS text))) AS asked (key) LEFT JOIN account a ON a.email_key = asked.key
        UNION ALL
        SELECT a.user_id, a.merged_into, a.state, r.email, r.email_ascii
        FROM road r JOIN account a ON a.user_id = r.merged_into
    )
    """
_NOW = "SELECT user_id, state, email, email_ascii FROM road WHERE merged_into IS NULL"
_HELD = """
    SELECT held.user_id, held.state, r.email, r.email_ascii
    FROM road r LEFT JOIN LATERAL (
        SELECT user_id, state FROM account WHERE account.user_id = r.user_id FOR KEY SHARE
    ) AS held ON true
    WHERE r.merged_into IS NULL
    """
_ANSWERING, _ANSWERING_HELD = text(_ROAD + _NOW), text(_ROAD + _HELD)


async def active_behind(session: AsyncSession, who: EmailAddress | str) -> str | None:
    """Return the User ID of the active account that answers for an address or a User ID, merges followed.

    The same statement in every case, and nothing that takes longer where there is one.
    """
    if not isinstance(who, str):
        return (await answering(session, who)).active
    user_id: str | None = await session.scalar(_BEHIND, {"user_id": who})
    return user_id


_BEHIND = text(
    """
    WITH RECURSIVE road AS (
        SELECT user_id, merged_into, state FROM account WHERE user_id = :user_id
        UNION ALL
        SELECT a.user_id, a.merged_into, a.state FROM account a JOIN road r ON a.user_id = r.merged_into
    )
    SELECT user_id FROM road WHERE merged_into IS NULL AND state = 'active'
    """
)


async def chain(session: AsyncSession, user_id: UserId) -> list[str]:
    """Return every User ID of the customer: the one that answers now first, then those merged into it.

    Raises:
        rules.UnknownUserId
    """
    account = await actions.current(session, user_id)
    return [account.user_id, *(member for member, _ in await merged_into(session, account.user_id))]


async def every_id(session: AsyncSession, user_id: UserId) -> list[str]:
    """Return what `chain` returns; for an ID that nobody has, that ID alone, because an empty list is no error."""
    try:
        return await chain(session, user_id)
    except rules.UnknownUserId:
        return [user_id]


async def merged_into(session: AsyncSession, user_id: str) -> list[tuple[str, datetime]]:
    """Return every User ID that this account answers for besides its own, with the moment of its merge."""
    return [(row[0], row[1]) for row in await session.execute(_MERGED_INTO, {"user_id": user_id})]


_MERGED_INTO = text(
    """
    WITH RECURSIVE member AS (
        SELECT user_id, merged_at FROM account WHERE merged_into = :user_id
        UNION ALL
        SELECT a.user_id, least(a.merged_at, m.merged_at) FROM account a JOIN member m ON a.merged_into = m.user_id
    )
    SELECT user_id, merged_at FROM member ORDER BY merged_at, user_id
    """
)
