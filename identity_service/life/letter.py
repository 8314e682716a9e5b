"""The letters of registering: the User ID, spelled out, the promise, and the link that proves a mailbox."""

import uuid
from dataclasses import replace

from identity_service import languages, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import rules
from identity_service.consents import receipts
from identity_service.database import AsyncSession, clock, settings_of
from identity_service.email_addresses import EmailAddress
from identity_service.mail import letters
from identity_service.mail.letters import Attachment, Letter
from identity_service.mail.outbox import Claimed
from identity_service.proofs import actions as proofs
from identity_service.proofs import rules as proof_rules
from identity_service.proofs.watch import SUBJECTS
from identity_service.user_ids import UserId


async def welcome(session: AsyncSession, message: Claimed) -> Letter | None:
    """Make the welcome letter from the account as it is now; None where it is gone or has another address."""
    try:
        account = await accounts.find(session, UserId(message.user_id or ""))
    except rules.UnknownUserId:
        return None
    if account.state != "active" or account.email_ascii != message.to_ascii:
        return None
    settings = settings_of(session)
    receipt = await receipts.issue(session, account, now=await clock(session))
    name = f"receipt-{user_ids.show(account.user_id)}.jwt"
    letter = words(
        account.user_id, account.display_name, message.locale, settings.mail_from_name, f"{settings.public_url}/receipt"
    )
    return replace(letter, attachments=(Attachment(name, receipts.MEDIA_TYPE, receipt.encode()),))


async def address_check(session: AsyncSession, message: Claimed) -> Letter | None:
    """Return the letter that asks to confirm an address: the new User ID, the promise, a link and a code."""
    return await _confirming(session, message, "address_check")


async def address_taken(session: AsyncSession, message: Claimed) -> Letter | None:
    """Return the letter to an address that has an account: it names that one, and offers to join the two."""
    address = EmailAddress(message.to_addr, message.to_ascii, message.to_ascii.lower())
    holder = await accounts.find_by_email(session, address)
    if holder is None:
        return await _confirming(session, message, "address_check")
    return await _confirming(session, message, "address_taken", known_id=user_ids.show(holder.user_id))


async def _confirming(session: AsyncSession, message: Claimed, name: str, **facts: object) -> Letter | None:
    found = await proofs.find(session, uuid.UUID(message.facts["proof"]))
    if found is None or message.user_id is None:
        return None
    settings = settings_of(session)
    return letters.render(
        name, message.locale, subject=languages.catalogue(message.locale).gettext(SUBJECTS["address"]),
        user_id=user_ids.show(message.user_id),
        link=proofs.link_of(session, found.proof, f"/confirm/{found.proof.handle}"),
        code=proof_rules.show_code(proofs.code_of(session, found.proof)), promise=rules.PROMISE[message.locale],
        where_from=letters.came_from(message), asked_at=letters.moment(message.created_at),
        signed=settings.mail_from_name, **facts,
    )  # fmt: skip


def words(user_id: str, name: str | None, locale: str, signed: str, receipt_page: str) -> Letter:
    """Return the welcome letter's words."""
    spoken = user_ids.spell(UserId(user_id), languages.catalogue(locale).gettext("as in"))
    return letters.render(
        "welcome",
        locale,
        user_id=user_ids.show(user_id),
        groups=[spoken[start : start + user_ids.GROUP] for start in range(0, user_ids.LENGTH, user_ids.GROUP)],
        customer=name,
        promise=rules.PROMISE[locale],
        receipt_page=receipt_page,
        signed=signed,
    )
