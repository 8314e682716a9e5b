"""Register accounts again that a restore has lost, under the User IDs that their holders have in their letters.

What is known of them comes from outside: a service's list, or the events that a reader of the feed kept. An account
comes back with what the list says, unconfirmed, and with nothing else: no password, no consent and no history.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from identity_service import translations
from identity_service.accounts import actions as accounts
from identity_service.accounts import references
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.brands import rules as brand_rules
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.errors import Conflict, Problem, Unprocessable
from identity_service.events import actions as events
from identity_service.settings import Settings
from identity_service.values import email_addresses, user_ids
from identity_service.values import text as values_text
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId

FIELDS: Final = ("user_id", "email", "display_name", "locale", "reference")
"""The fields of a service's list; all but the first may be missing or empty."""
_BEGAN: Final = ("account.registered", "account.imported", "account.restored")
Line = tuple[int, Mapping[str, Any]]
"""The number of a line in its file, and its fields."""


class UserIdExists(Conflict):
    """This User ID has an account here, or had one that was erased; nothing was changed."""


class UnreadableLine(Unprocessable):
    """This line has no `user_id`, or a field that is not one of user_id, email, display_name, locale and reference, or
    a value that is not one printable line of at most 200 characters."""


class LostAccount(NamedTuple):
    """What is known of an account that was lost, and from what."""

    user_id: UserId
    address: EmailAddress | None
    display_name: str | None
    locale: str
    reference: str | None
    since: datetime
    by: Literal["list", "feed"]


class Restoration(NamedTuple):
    """How many accounts were restored, how many events were of accounts that are here or were erased since, and the
    lines that were refused, each with the reason."""

    restored: int
    skipped: int
    refused: list[tuple[int, str]]


class _DryRun(Exception):
    pass


async def restore_accounts(
    database: Database, lines: Iterable[Line], *, source: str | None, dry_run: bool = False, now: datetime
) -> Restoration:
    """Restore each account that the lines name, in a transaction of its own; `source` is that of the references,
    and may be missing only if no line has one.

    A line of a list that cannot be followed is refused. An event of the feed is skipped if its account is here, because
    then it was not lost, and if a later event says that it was erased. Sends no email.
    """
    numbered = list(lines)
    erased = {str(line.get("subject")) for _, line in numbered if line.get("type") == "account.erased"}
    restored = skipped = 0
    refused: list[tuple[int, str]] = []
    for number, line in numbered:
        try:
            lost = read_line(line, database.settings, now=now)
            if lost is None:
                continue
            if user_ids.show(lost.user_id) in erased or not await _restore_one(
                database, lost, source=source, dry_run=dry_run, now=now
            ):
                skipped += 1
            else:
                restored += 1
        except Problem as problem:
            refused.append((number, str(problem)))
    return Restoration(restored, skipped, refused)


async def _restore_one(
    database: Database, lost: LostAccount, *, source: str | None, dry_run: bool, now: datetime
) -> bool:
    """Return whether the account was lost; an account of a list that is here is an error instead."""

    async def restore(session: DatabaseSession) -> None:
        await restore_account(session, lost, source=source, now=now)
        if dry_run:
            raise _DryRun

    try:
        await database.in_transaction(restore)
    except UserIdExists:
        if lost.by == "list":
            raise
        return False
    except _DryRun:
        pass
    return True


async def restore_account(session: DatabaseSession, lost: LostAccount, *, source: str | None, now: datetime) -> Account:
    """Add the account under its own User ID, with an unconfirmed address.

    Raises:
        UserIdExists, accounts.rules.EmailTaken, accounts.rules.ExternalRefTaken
    """
    if await session.scalar(select(Account.user_id).where(Account.user_id == lost.user_id)) is not None:
        raise UserIdExists
    row = {
        "user_id": lost.user_id, "display_name": lost.display_name, "locale": lost.locale, "customer_since": lost.since,
        "brand": brand_rules.DEFAULT, **accounts.address_columns(lost.address),
    }  # fmt: skip
    account: Account | None = await session.scalar(insert(Account).on_conflict_do_nothing().returning(Account), row)
    if account is None:
        raise account_rules.EmailTaken
    data = {"by": lost.by}
    await events.record_event(session, "account.restored", user_id=lost.user_id, actor="operator", data=data, now=now)
    if lost.reference is not None and source is not None:
        await references.add_reference(session, lost.user_id, source, lost.reference, now=now)
    return account


def read_line(line: Mapping[str, Any], settings: Settings, *, now: datetime) -> LostAccount | None:
    """Return the account that a line of a list or an event of the feed names; None for an event of another type.

    Raises:
        UnreadableLine, user_ids.MalformedUserId, email_addresses.MalformedEmailAddress
    """
    if "specversion" in line:
        if line.get("type") not in _BEGAN:
            return None
        user_id = user_ids.parse(str(line.get("subject")))
        return LostAccount(user_id, None, None, "en", None, _time(line.get("time"), now), "feed")
    fields = {name: text.strip() for name, text in line.items() if isinstance(text, str) and text.strip()}
    wrong = line.keys() - set(FIELDS) or {name for name, text in line.items() if not isinstance(text, str | None)}
    if wrong or "user_id" not in fields or not all(values_text.is_line(text) for text in fields.values()):
        raise UnreadableLine
    locale = fields.get("locale", "en")
    try:
        locale = translations.read_tag(str(locale))
    except ValueError as wrong:
        raise UnreadableLine(f"The locale {wrong}.") from None
    address = fields.get("email")
    return LostAccount(
        user_ids.parse(fields["user_id"]),
        None if address is None else email_addresses.parse(address, special_use=settings.development),
        fields.get("display_name"), locale, fields.get("reference"), now, "list",
    )  # fmt: skip


def _time(text: object, now: datetime) -> datetime:
    """Return the time of an event, or `now` if it has none that can be right."""
    try:
        time = datetime.fromisoformat(str(text))
    except ValueError:
        return now
    return now if time.tzinfo is None or time > now else time.astimezone(UTC)
