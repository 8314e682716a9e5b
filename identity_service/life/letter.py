"""The welcome letter: the User ID, spelled out, and the promise."""

from identity_service import languages, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import rules
from identity_service.database import AsyncSession, settings_of
from identity_service.mail import letters
from identity_service.mail.letters import Letter
from identity_service.mail.outbox import Claimed
from identity_service.user_ids import UserId


async def welcome(session: AsyncSession, message: Claimed) -> Letter | None:
    """Make the welcome letter from the account as it is now; None where it is gone or has another address."""
    try:
        account = await accounts.find(session, UserId(message.user_id or ""))
    except rules.UnknownUserId:
        return None
    if account.state != "active" or account.email_ascii != message.to_ascii:
        return None
    return words(account.user_id, account.display_name, message.locale, settings_of(session).mail_from_name)


def words(user_id: str, name: str | None, locale: str, signed: str) -> Letter:
    """Return the welcome letter's words."""
    spoken = user_ids.spell(UserId(user_id), languages.catalogue(locale).gettext("as in"))
    return letters.render(
        "welcome",
        locale,
        user_id=user_ids.show(user_id),
        groups=[spoken[start : start + user_ids.GROUP] for start in range(0, user_ids.LENGTH, user_ids.GROUP)],
        customer=name,
        promise=rules.PROMISE[locale],
        signed=signed,
    )
