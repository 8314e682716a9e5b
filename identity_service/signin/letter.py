"""The letters of signing in by mail."""

import uuid

from identity_service import languages
from identity_service.accounts import actions as accounts
from identity_service.database import AsyncSession, settings_of
from identity_service.mail import letters
from identity_service.mail.letters import Letter
from identity_service.mail.outbox import Claimed
from identity_service.proofs import actions as proofs
from identity_service.proofs import rules as proof_rules
from identity_service.proofs.watch import SUBJECTS


async def signin_code(session: AsyncSession, message: Claimed) -> Letter | None:
    """Return the letter with the code, or None where everything asked at that time has died since."""
    found = await proofs.find(session, uuid.UUID(message.facts["proof"]))
    account = await accounts.find_for_sign_in(session, message.user_id or "")
    life = proof_rules.LIVES["signin"]
    if found is None or account is None or proof_rules.is_older(life, found.proof.asked_at, account.proofs_valid_after):
        return None
    code = proof_rules.show_code(proofs.code_of(session, found.proof))
    return _render(session, "signin_code", message, code=code, code_minutes=life.code.seconds // 60)


async def no_account(session: AsyncSession, message: Claimed) -> Letter:
    """Return the letter to an address that has no account."""
    return _render(session, "no_account_signin", message)


def _render(session: AsyncSession, name: str, message: Claimed, **facts: object) -> Letter:
    settings = settings_of(session)
    return letters.render(
        name, message.locale, subject=languages.catalogue(message.locale).gettext(SUBJECTS["signin"]),
        asked_at=letters.moment(message.created_at), where_from=letters.came_from(message),
        link=f"{settings.public_url}/",
        signed=settings.mail_from_name, **facts,
    )  # fmt: skip
