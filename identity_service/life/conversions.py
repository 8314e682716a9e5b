"""Consumer to business and back, with the letter that can undo it."""

from datetime import datetime
from typing import Any

from identity_service.accounts import actions as accounts
from identity_service.accounts import business, numbers, rules
from identity_service.accounts.business import Company
from identity_service.accounts.tables import Account
from identity_service.database import AsyncSession
from identity_service.proofs import actions as proofs
from identity_service.proofs.actions import Found
from identity_service.user_ids import UserId


def company(details: dict[str, Any]) -> Company:
    """Return a company whose numbers can be right.

    Raises:
        numbers.UnknownCountry, numbers.WrongVatNumber, numbers.WrongRegistrationNumber
    """
    given = Company(**details)
    numbers.check_country(given.country)
    changes = {}
    if given.vat_number is not None:
        changes["vat_number"] = numbers.vat(given.vat_number, given.country)
    if given.registration_number is not None:
        changes["registration_number"] = numbers.registration(given.registration_number, given.country)
    return Company(**{**details, **changes})


async def become_business(
    session: AsyncSession, user_id: UserId, details: Company, *, version: int | None = None, actor: str, now: datetime
) -> Account:
    """Make a customer a business at once, and send the notice with the link that undoes it.

    Raises:
        accounts.rules.UnknownUserId, AccountMoved, AccountNotActive, StaleVersion
    """
    before = (await accounts.find(session, user_id, lock=True)).kind
    account = await business.become(session, user_id, details, version=version, actor=actor, now=now)
    if before == "consumer" and account.kind == "business" and account.email is not None:
        await proofs.send(
            session, "business_undo", kind="business_undo", to=accounts.address_of(account), user_id=account.user_id,
            locale=account.locale, facts={"company": details.company_name}, cause="account.became_business",
            actor=actor, now=now,
        )  # fmt: skip
    return account


async def undo_by_link(session: AsyncSession, found: Found, *, now: datetime) -> None:
    """Go back to being a consumer by the link in the notice; everything that happened stays."""
    proof = await proofs.use_up(session, found, now=now)
    await business.leave(session, UserId(proof.user_id), version=None, actor="customer", now=now)


def preview(account: Account, details: Company) -> dict[str, list[str]]:
    """Return in sentences what becoming this business would change, and what it would not.

    Raises:
        accounts.rules.AccountMoved, AccountNotActive
    """
    rules.check_convertible(account.state, account.merged_into, account.version, None)
    changes = [f"kind: {account.kind} becomes business"] if account.kind != "business" else []
    changes += [f"company: {details.company_name}, {details.country}"]
    if account.kind != "business" and account.email is not None:
        changes += ["a notice goes to the address on file, with a link that undoes this for seven days"]
    stays = ["User ID", "password", "consents", "external references", "history", "sessions"]
    return {"changes": changes, "stays": stays}
