"""The letters of a reset: the link and the code are made here, at sending time, and stand nowhere else."""

import uuid
from datetime import datetime, timedelta

from identity_service import languages
from identity_service.accounts import actions as accounts
from identity_service.database import AsyncSession, clock, settings_of
from identity_service.mail import letters
from identity_service.mail.letters import Letter
from identity_service.mail.outbox import Claimed
from identity_service.proofs import actions as proofs
from identity_service.proofs import rules as proof_rules
from identity_service.proofs.actions import Found
from identity_service.proofs.watch import SUBJECTS
from identity_service.user_ids import show


async def reset(session: AsyncSession, message: Claimed) -> Letter | None:
    """Return the letter with link and code; where everything asked at that time has died since, one that says so.

    It is never left out: a letter that is withdrawn would show on its page, and tell a stranger of an account.
    """
    found = await proofs.find(session, uuid.UUID(message.facts["proof"]))
    account = await accounts.find_for_sign_in(session, message.user_id or "")
    if found is None:
        return None
    life = proof_rules.LIVES["reset"]
    if account is None or proof_rules.is_older(life, found.proof.asked_at, account.proofs_valid_after):
        return _over(session, message)
    settings = settings_of(session)
    now = await clock(session)
    return letters.render(
        "reset", message.locale, subject=subject(message.locale),
        link=proofs.link_of(session, found.proof, "/reset/choose"),
        code=proof_rules.show_code(proofs.code_of(session, found.proof)),
        link_until=letters.moment(min(now + timedelta(minutes=settings.reset_link_minutes), _last_end(found))),
        code_minutes=settings.reset_code_minutes, user_id=show(account.user_id),
        asked_at=letters.moment(found.proof.asked_at),
        where_from=letters.came_from(message), signed=settings.mail_from_name,
    )  # fmt: skip


def _over(session: AsyncSession, message: Claimed) -> Letter:
    settings = settings_of(session)
    return letters.render(
        "reset_over", message.locale, subject=subject(message.locale), link=f"{settings.public_url}/reset",
        asked_at=letters.moment(message.created_at), where_from=letters.came_from(message),
        signed=settings.mail_from_name,
    )  # fmt: skip


async def no_account(session: AsyncSession, message: Claimed) -> Letter | None:
    """Return the letter to an address that has no account (or a closed one): like in size and build to the other."""
    settings = settings_of(session)
    return letters.render(
        "no_account", message.locale, subject=subject(message.locale), link=f"{settings.public_url}/reset",
        asked_at=letters.moment(message.created_at), where_from=letters.came_from(message),
        signed=settings.mail_from_name,
    )  # fmt: skip


async def password_changed(session: AsyncSession, message: Claimed) -> Letter:
    """Return the notice that a password was set (RST-11): what, when, and how to object; nothing that signs in."""
    settings = settings_of(session)
    return letters.render(
        "password_changed", message.locale, changed_at=letters.moment(message.created_at),
        user_id=show(message.user_id or ""),
        where_from=letters.came_from(message), link=f"{settings.public_url}/reset", signed=settings.mail_from_name,
    )  # fmt: skip


def subject(locale: str) -> str:
    """Return the subject: the same for known and unknown addresses, so that the page may name it."""
    return languages.catalogue(locale).gettext(SUBJECTS["reset"])


def _last_end(found: Found) -> datetime:
    cap = proof_rules.LIVES["reset"].cap
    assert cap is not None  # noqa: S101
    return found.proof.asked_at + cap
