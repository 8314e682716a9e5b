"""Registration emails: the User ID, spelled out, the promise, and the link that confirms an address."""

import uuid
from dataclasses import replace

from identity_service import translations
from identity_service.accounts import actions as accounts
from identity_service.accounts import rules
from identity_service.consents import receipts
from identity_service.database.transactions import DatabaseSession, database_now
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import Attachment, RenderedEmail
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from identity_service.values import names, user_ids
from identity_service.values.email_addresses import EmailAddress
from identity_service.values.user_ids import UserId


async def build_welcome(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Build the welcome email from the current account; `None` if it is not active or has another address.

    For an account that was merged it names the User ID that its owner has now.

    It greets nobody by name before the mailbox has confirmed the address.
    """
    try:
        holder = await accounts.find_account(session, UserId(message.user_id or ""))
        account = await accounts.find_active_account(session, UserId(holder.user_id))
    except rules.UnknownUserId:
        return None
    if account.state != "active" or holder.email_ascii != message.recipient_ascii:
        return None
    settings = session.settings
    receipt = await receipts.issue_receipt(session, account, now=await database_now(session))
    name = f"receipt-{user_ids.show(account.user_id)}.jwt"
    # Nobody has read this mailbox before the address is confirmed, and whoever filled in the form chose the name.
    name_to_greet = names.name_for_message(account.display_name) if holder.email_state == "confirmed" else None
    say = translations.catalogue(message.locale).gettext
    email = rendering.render_message(
        session, message, "welcome", user_id=user_ids.show(account.user_id), customer=name_to_greet,
        spoken=user_ids.spell_groups(UserId(account.user_id), say), link=f"{settings.public_url}/receipt",
    )  # fmt: skip
    return replace(email, attachments=(Attachment(name, receipts.MEDIA_TYPE, receipt.encode()),))


async def build_address_check(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Build the email that asks to confirm an address: the new User ID, the promise, a link and a code."""
    return await _build_confirmation(session, message, "address_check")


async def build_address_taken(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Build the email to an address that has an account: it names that account and offers to merge the two.

    If no account has the address any more, build the ordinary confirmation instead.
    """
    address = EmailAddress(message.recipient, message.recipient_ascii, message.recipient_ascii.lower())
    holder = await accounts.find_by_email(session, address)
    if holder is None:
        return await _build_confirmation(session, message, "address_check")
    kept = await accounts.find_active_account(session, UserId(holder.user_id))
    words = "address_closed" if kept.state == "closed" else "address_taken"
    return await _build_confirmation(session, message, words, known_id=user_ids.show(holder.user_id))


async def _build_confirmation(
    session: DatabaseSession, message: ClaimedMessage, words: str, **facts: object
) -> RenderedEmail | None:
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    if found is None or message.user_id is None:
        return None
    return rendering.render_message(
        session, message, words,
        link=one_time_tokens.link_of(session, found, f"/confirm/{found.token.handle}"),
        code=token_rules.show_code(one_time_tokens.code_of(session, found.token)), **facts,
    )  # fmt: skip
