"""Convert a consumer to a business and back, and send the email that can undo it."""

from datetime import datetime
from typing import Any

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.tables import Account
from identity_service.business import periods
from identity_service.business import rules as business_rules
from identity_service.business.rules import Company
from identity_service.credentials import actions as credentials
from identity_service.database.transactions import DatabaseSession
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens.actions import TokenWithMessage
from identity_service.one_time_tokens.rules import LinkInvalid
from identity_service.values.user_ids import UserId


async def become_business(
    session: DatabaseSession,
    user_id: UserId,
    details: Company,
    *,
    actor: str,
    now: datetime,
) -> Account:
    """Make an account a business at once. Every mailbox of a consumer gets a notice with an undo link; of a business
    whose company changes, a notice.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed
    """
    before = await accounts.find_account(session, user_id, lock=True)
    was_business, version = before.kind == "business", before.version
    account = await periods.begin_period(session, user_id, details, actor=actor, now=now)
    if was_business and account.version != version:
        await credentials.notify_mailboxes(
            session, "company_changed", [account.user_id], cause="account.became_business", actor=actor, now=now
        )
    for one in [] if was_business else await ownership.mailboxes_of(session, account.user_id, recent_at=now):
        await one_time_tokens.send_token(
            session, "business_undo", kind="business_undo", to=one.address, user_id=account.user_id,
            locale=one.locale, facts={"company": details.company_name}, cause="account.became_business",
            actor=actor, now=now,
        )  # fmt: skip
    return account


async def become_consumer(session: DatabaseSession, user_id: UserId, *, actor: str, now: datetime) -> Account:
    """Make a business a consumer again, and tell every mailbox; the history and the ended period stay.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed
    """
    before = (await accounts.find_account(session, user_id, lock=True)).kind
    account = await periods.end_period(session, user_id, actor=actor, now=now)
    if before == "business":
        await credentials.notify_mailboxes(
            session, "business_ended", [account.user_id], cause="account.became_consumer", actor=actor, now=now
        )
    return account


async def undo_conversion(session: DatabaseSession, found: TokenWithMessage, *, now: datetime) -> None:
    """Make the account a consumer again by the undo link in the notice; all history stays.

    Raises:
        LinkInvalid: also if the account has been a consumer since, even if it became a business once more.
        accounts.rules.AccountMoved, AccountClosed
    """
    if await periods.business_since(session, found.token.user_id or "") != found.token.requested_at:
        raise LinkInvalid
    proof = await one_time_tokens.consume(session, found, now=now)
    await periods.end_period(session, UserId(proof.user_id), actor="customer", now=now)


async def preview_conversion(session: DatabaseSession, user_id: UserId, details: Company) -> dict[str, list[str]]:
    """Return as texts what becoming this business would change, and what would stay.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountClosed
    """
    account = await accounts.find_changeable_account(session, user_id)
    changes = [f"kind: {account.kind} becomes business"] if account.kind != "business" else []
    changes += [f"company: {details.company_name}, {details.country}"]
    if account.kind != "business" and account.email is not None:
        changes += ["an email to the address on file, with a link that undoes this for seven days"]
    stays = ["User ID", "password", "consents", "external references", "history", "sessions"]
    return {"changes": changes, "stays": stays}


async def apply_business(
    session: DatabaseSession, user_id: UserId, details: dict[str, Any], *, actor: str, now: datetime
) -> None:
    """Carry out an approved conversion to a business."""
    await become_business(session, user_id, business_rules.checked_company(details), actor=actor, now=now)


async def apply_consumer(
    session: DatabaseSession,
    user_id: UserId,
    details: dict[str, Any],  # noqa: ARG001 (every approved change has them)
    *,
    actor: str,
    now: datetime,
) -> None:
    """Carry out an approved return to a consumer."""
    await become_consumer(session, user_id, actor=actor, now=now)
