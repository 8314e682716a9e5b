"""Which account an address or User ID resolves to after merges, and which User IDs belong to one customer."""

from datetime import datetime, timedelta
from typing import Final, NamedTuple

from sqlalchemy import func, select, text

from identity_service.accounts import actions, rules
from identity_service.accounts.tables import Account
from identity_service.database.transactions import DatabaseSession
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


class AddressOwner(NamedTuple):
    """The account that an address resolves to after merges: User ID, state and language, `None` if there is none.

    `address` is the one on file if the account is active, else the one that was asked for.
    """

    user_id: str | None
    state: str | None
    address: EmailAddress
    locale: str | None

    @property
    def active(self) -> str | None:
        """Return the User ID if the account is active, else `None`."""
        return self.user_id if self.state == "active" else None

    def language(self, asked_in: str) -> str:
        """Return the language of messages to this account, or that of whoever asks if it is not active (ADR-11)."""
        return self.locale if self.state == "active" and self.locale is not None else asked_in


async def owner_of_address(
    session: DatabaseSession, address: EmailAddress, *, recovers_at: datetime | None = None, hold: bool = False
) -> AddressOwner:
    """Return the account that an address on file, or a confirmed further one, resolves to, in any state.

    With `recovers_at`, a further address counts only if it may recover the account at that time (ADR-05). Always one
    statement and one row, so that timing does not reveal whether the address has an account (ATT-20, ATT-21, ATT-24).
    `hold` locks the account's row against erasure until the transaction ends, and reads it as erased if a concurrent
    transaction was first: no message is enqueued to an erased address.
    """
    values = {"key": address.key, "recovers_at": recovers_at}
    row = (await session.execute(_OWNER_LOCKED if hold else _OWNER, values)).one()
    on_file = EmailAddress(row.email, row.email_ascii, address.key)
    return AddressOwner(row.user_id, row.state, on_file if row.state == "active" else address, row.locale)


_CHAIN = """
    WITH RECURSIVE found AS (
        SELECT coalesce(a.user_id, f.user_id) AS user_id, coalesce(a.email, f.email) AS email,
            coalesce(a.email_ascii, f.email_ascii) AS email_ascii
        FROM (VALUES (CAST(:key AS text), CAST(:recovers_at AS timestamptz))) AS asked (key, at)
        LEFT JOIN account a ON a.email_key = asked.key
        LEFT JOIN further_address f ON f.email_key = asked.key AND f.confirmed_at IS NOT NULL
            AND f.removed_at IS NULL AND (asked.at IS NULL OR f.recovers_at <= asked.at)
    ), chain AS (
        SELECT a.user_id, a.merged_into, a.state, a.locale, f.email, f.email_ascii
        FROM found f LEFT JOIN account a ON a.user_id = f.user_id
        UNION ALL
        SELECT a.user_id, a.merged_into, a.state, a.locale, c.email, c.email_ascii
        FROM chain c JOIN account a ON a.user_id = c.merged_into
    )
    """
_LAST = "SELECT user_id, state, locale, email, email_ascii FROM chain WHERE merged_into IS NULL"
_LAST_LOCKED = """
    SELECT locked.user_id, locked.state, c.locale, c.email, c.email_ascii
    FROM chain c LEFT JOIN LATERAL (
        SELECT user_id, state FROM account WHERE account.user_id = c.user_id FOR KEY SHARE
    ) AS locked ON true
    WHERE c.merged_into IS NULL
    """
_OWNER, _OWNER_LOCKED = text(_CHAIN + _LAST), text(_CHAIN + _LAST_LOCKED)


async def active_user_id(
    session: DatabaseSession, who: EmailAddress | str, *, recovers_at: datetime | None = None
) -> str | None:
    """Return the User ID of the active account that an address or User ID resolves to after merges, else `None`.
    `recovers_at` as in `owner_of_address`.

    The same statement in every case, so that timing does not reveal whether an account exists.
    """
    if not isinstance(who, str):
        return (await owner_of_address(session, who, recovers_at=recovers_at)).active
    user_id: str | None = await session.scalar(_ACTIVE, {"user_id": who})
    return user_id


_ACTIVE = text(
    """
    WITH RECURSIVE chain AS (
        SELECT user_id, merged_into, state FROM account WHERE user_id = :user_id
        UNION ALL
        SELECT a.user_id, a.merged_into, a.state FROM account a JOIN chain c ON a.user_id = c.merged_into
    )
    SELECT user_id FROM chain WHERE merged_into IS NULL AND state = 'active'
    """
)


async def sessions_valid_after(session: DatabaseSession, user_id: str | None) -> datetime | None:
    """Return the moment before which no session of an account counts; the same statement if there is no account."""
    moments = func.greatest(Account.sessions_valid_after, Account.tokens_valid_after)
    found: datetime | None = await session.scalar(select(moments).where(Account.user_id == (user_id or "")))
    return found


async def user_ids_of(session: DatabaseSession, user_id: UserId) -> list[str]:
    """Return every User ID of the customer: first that of the current account, then those merged into it.

    Raises:
        rules.UnknownUserId
    """
    account = await actions.find_active_account(session, user_id)
    return [account.user_id, *(member for member, _ in await merged_into(session, account.user_id))]


class Mailbox(NamedTuple):
    """An address of a customer, and the language of the account that has it."""

    address: EmailAddress
    locale: str


EMAIL_UNDO: Final = timedelta(days=7)
"""How long an address that was changed counts as a mailbox of the customer, and may take the change back."""


async def mailboxes_of(session: DatabaseSession, user_id: str, *, recent_at: datetime | None = None) -> list[Mailbox]:
    """Return the mailboxes that a customer is told things at: the address on file first, then those of accounts merged
    into it, then confirmed further addresses for notices (ADR-07).

    With `recent_at`, those that were changed or removed within `EMAIL_UNDO` before that time follow, unless that was
    undone: their owner may have lost the account, and must read of what is done to it (RST-11, PHN-09).
    """
    found = await _read_mailboxes(session, user_id, recent_at)
    return [mailbox for mailbox, is_told in found if is_told]


async def mailbox_hashes_of(
    session: DatabaseSession, user_id: str, *, recent_at: datetime | None = None
) -> list[bytes]:
    """Return the keyed hashes of what `mailboxes_of` returns, and of confirmed addresses that get no notices; proofs
    carry that of the mailbox they were read at."""
    found = await _read_mailboxes(session, user_id, recent_at)
    return [session.keys.address_hash(mailbox.address.key) for mailbox, _ in found]


async def _read_mailboxes(
    session: DatabaseSession, user_id: str, recent_at: datetime | None
) -> list[tuple[Mailbox, bool]]:
    values = {"user_id": user_id, "since": None if recent_at is None else recent_at - EMAIL_UNDO}
    rows = (await session.execute(_MAILBOXES, values)).all()
    found = {
        row.key: (Mailbox(EmailAddress(row.email, row.ascii, row.key), row.locale), row.is_told)
        for row in reversed(rows)
    }
    return list(reversed(found.values()))


# Plain SQL, because this module may not import changes of addresses: they import accounts.
_MAILBOXES = text(
    """
    WITH RECURSIVE member AS (
        SELECT user_id, 0 AS depth FROM account WHERE user_id = :user_id
        UNION ALL
        SELECT a.user_id, m.depth + 1 FROM account a JOIN member m ON a.merged_into = m.user_id
    )
    SELECT a.email, a.email_ascii AS ascii, a.email_key AS key, a.locale, true AS is_told, m.depth AS place
    FROM account a JOIN member m USING (user_id) WHERE a.email IS NOT NULL
    UNION ALL
    SELECT f.email, f.email_ascii, f.email_key, a.locale, f.for_notices OR f.removed_at IS NOT NULL,
        CASE WHEN f.removed_at IS NULL THEN 100 + m.depth ELSE 1000 END
    FROM further_address f JOIN member m USING (user_id) JOIN account a USING (user_id)
    WHERE f.confirmed_at IS NOT NULL AND (f.removed_at IS NULL OR f.removed_at > CAST(:since AS timestamptz))
    UNION ALL
    SELECT c.old_email, c.old_ascii, c.old_key, a.locale, true, 1000
    FROM email_change c JOIN member m USING (user_id) JOIN account a USING (user_id)
    WHERE c.old_email IS NOT NULL AND c.undone_at IS NULL AND c.changed_at > CAST(:since AS timestamptz)
    ORDER BY place, key
    """
)


async def accounts_above(session: DatabaseSession, user_id: str) -> list[str]:
    """Return the User IDs that an account is merged into, directly or through others; the last one is current."""
    return list(await session.scalars(_ABOVE, {"user_id": user_id}))


_ABOVE = text(
    """
    WITH RECURSIVE chain AS (
        SELECT merged_into, 1 AS depth FROM account WHERE user_id = :user_id
        UNION ALL
        SELECT a.merged_into, c.depth + 1 FROM account a JOIN chain c ON a.user_id = c.merged_into
    )
    SELECT merged_into FROM chain WHERE merged_into IS NOT NULL ORDER BY depth
    """
)


async def user_ids_or_self(session: DatabaseSession, user_id: UserId) -> list[str]:
    """Return what `user_ids_of` returns; an unknown ID gives itself, so that its list is empty and not an error."""
    try:
        return await user_ids_of(session, user_id)
    except rules.UnknownUserId:
        return [user_id]


async def merged_into(session: DatabaseSession, user_id: str) -> list[tuple[str, datetime]]:
    """Return every User ID merged into this account, directly or through others, with the time of its merge."""
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
