"""The letters about changes of an account: what happens, what the link does, and what to do if it was not you."""

import uuid
from typing import Any, Final, NamedTuple

from identity_service import languages, user_ids
from identity_service.database import AsyncSession, settings_of
from identity_service.mail import letters
from identity_service.mail.letters import Letter
from identity_service.mail.outbox import Claimed
from identity_service.proofs import actions as proofs
from identity_service.proofs import rules as proof_rules


class Words(NamedTuple):
    """Subject, what happens, what the link does (None: there is no link), and what to do if it was not you."""

    subject: str
    happens: str
    link: str | None
    otherwise: str


_NOT_YOU: Final = "If this was not you, you need not do anything: without your confirmation nothing changes."

WORDS: Final[dict[str, Words]] = {
    "business_undo": Words(
        "You are a business customer now",
        "Your account {user_id} is now a business account. Your User ID, password, consents and history stay the same.",
        "If you do not want this, this link takes it back within seven days; nothing that happened is lost:",
        "If you want it, you need not do anything.",
    ),
    "email_change": Words(
        "Please confirm your new address",
        "Somebody wants e-mails about the account {user_id} to come to this address from now on.",
        "Open this link within 30 minutes to confirm it:",
        _NOT_YOU,
    ),
    "address_changed": Words(
        "Your address was changed",
        "E-mails about your account {user_id} go to another address from now on.",
        "If it was not you, this link takes it back within seven days, and ends every session:",
        "If it was you, you need not do anything.",
    ),
    "merge_confirmation": Words(
        "Shall your two accounts become one?",
        "Somebody asked for your account {user_id} and the account {other} to become one. "
        "{survivor} then answers for both.",
        "Open this link to agree; the other mailbox is asked as well. It can be undone for 30 days:",
        _NOT_YOU,
    ),
    "change_confirmation": Words(
        "Please confirm what our desk has prepared",
        "Our desk has prepared this for your account {user_id}: {what}.",
        "Open this link to agree:",
        _NOT_YOU,
    ),
    "stop_link": Words(
        "A change is coming, and you can stop it",
        "Our desk has prepared this for your account {user_id}, because the caller can no longer read this mailbox: "
        "{what}.",
        "It happens in 72 hours. If this is not what you want, this link stops it:",
        "If you want it, you need not do anything.",
    ),
    "account_closed": Words(
        "Your account is closed",
        "Your account {user_id} is closed. Nobody can sign in to it any more; what happened with it stays on record.",
        None,
        "If it was not you, please call us.",
    ),
}

CHANGES: Final = {
    "business": "it becomes a business account",
    "consumer": "it becomes a private account",
    "merge": "it is joined with another account of yours",
    "unmerge": "the joining with another account of yours is undone",
    "close": "it is closed",
    "erase": "everything personal in it is erased",
    "email": "e-mails about it go to another address",
}
"""What a guarded verb does, in words."""


async def compose(session: AsyncSession, message: Claimed) -> Letter | None:
    """Return the letter of a change, with its link and code where it has one."""
    words = WORDS[message.kind]
    if words.link is None:
        return write(
            message.kind, message.locale, message.user_id or "", message.facts, settings_of(session).mail_from_name
        )
    found = await proofs.find(session, uuid.UUID(message.facts["proof"]))
    if found is None or found.proof.used_at is not None:
        return None
    link = proofs.link_of(session, found.proof, f"/confirm/{found.proof.handle}")
    code = proof_rules.show_code(proofs.code_of(session, found.proof))
    signed = settings_of(session).mail_from_name
    return write(message.kind, message.locale, message.user_id or "", message.facts, signed, link=link, code=code)


def write(
    kind: str,
    locale: str,
    user_id: str,
    facts: dict[str, Any],
    signed: str,
    *,
    link: str | None = None,
    code: str | None = None,
) -> Letter:
    """Return the words of a letter about a change."""
    words, say = WORDS[kind], languages.catalogue(locale).gettext
    verb = facts.get("verb")
    what = say(CHANGES[verb]) if verb in CHANGES else ""
    happens = say(words.happens).format(
        user_id=user_ids.show(user_id), other=facts.get("other", ""), survivor=facts.get("survivor", ""), what=what
    )
    return letters.render(
        "change", locale, subject=say(words.subject), happens=happens, asks=say(words.link) if words.link else "",
        otherwise=say(words.otherwise), link=link, code=code, signed=signed,
    )  # fmt: skip
