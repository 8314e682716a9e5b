"""Emails about changes of an account: what happens, what the link does, and what to do if it was not you."""

import uuid
from typing import Any, Final, NamedTuple

from identity_service import translations
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules
from identity_service.values import user_ids


class EmailCopy(NamedTuple):
    """The sentences of an email: subject, what happens, what the link does (None: no link), what to do otherwise."""

    subject: str
    happens: str
    link: str | None
    otherwise: str


_NOT_YOU: Final = "If this was not you, you need not do anything: without your confirmation nothing changes."

EMAIL_COPY: Final[dict[str, EmailCopy]] = {
    "business_undo": EmailCopy(
        "You are a business customer now",
        "Your account {user_id} is now a business account. Your User ID, password, consents and history stay the same.",
        "If you do not want this, this link takes it back within seven days; nothing that happened is lost:",
        "If you want it, you need not do anything.",
    ),
    "email_change": EmailCopy(
        "Please confirm your new address",
        "Somebody wants emails about the account {user_id} to come to this address from now on.",
        "Open this link within 30 minutes to confirm it:",
        _NOT_YOU,
    ),
    "address_changed": EmailCopy(
        "Your address was changed",
        "Emails about your account {user_id} go to another address from now on.",
        "If it was not you, this link takes it back within seven days, and ends every session:",
        "If it was you, you need not do anything.",
    ),
    "merge_confirmation": EmailCopy(
        "Shall your two accounts become one?",
        "Somebody asked for your account {user_id} and the account {other} to become one. "
        "Both are then found under {survivor}.",
        "Open this link to agree; the other mailbox is asked as well. It can be undone for 30 days:",
        _NOT_YOU,
    ),
    "change_confirmation": EmailCopy(
        "Please confirm what our desk has prepared",
        "Our desk has prepared this for your account {user_id}: {what}.",
        "Open this link to agree:",
        _NOT_YOU,
    ),
    "stop_link": EmailCopy(
        "A change is coming, and you can stop it",
        "Our desk has prepared this for your account {user_id}, because the caller can no longer read this mailbox: "
        "{what}.",
        "It happens in 72 hours. If this is not what you want, this link stops it:",
        "If you want it, you need not do anything.",
    ),
    "merged": EmailCopy(
        "Your two accounts are one now",
        "Your accounts {survivor} and {other} are one now; both User IDs belong to it.",
        None,
        "If you did not agree to it, please call us: it can be undone for 30 days.",
    ),
    "merge_undone": EmailCopy(
        "Your two accounts are separate again",
        "The joining of your accounts {survivor} and {other} is undone. Every session of both has ended, a password "
        "that was set by way of the other account no longer works, and consents given meanwhile are withdrawn.",
        None,
        "If it was not you, please call us. If you cannot sign in, please ask for a new password.",
    ),
    "taken_back": EmailCopy(
        "A link in our email has taken something back",
        "By a link in one of our emails, this was done for your account {user_id}: {what}.",
        "Some mail programs press buttons by themselves. If you did not want it, sign in here and do it again, or "
        "call us:",
        "If it was you, you need not do anything.",
    ),
    "company_changed": EmailCopy(
        "The details of your company were changed",
        "The details of the company of your account {user_id} were changed: name, numbers, contact person or billing "
        "address.",
        "You find them here, signed in:",
        "If it was not you, please sign in, put them right, end every session there, and call us.",
    ),
    "account_reopened": EmailCopy(
        "Your account is open again",
        "Your account {user_id} was closed and is open again, as it was. Nobody is signed in to it.",
        "You sign in here:",
        "If you did not want this, please sign in and close it, or call us.",
    ),
    "account_closed": EmailCopy(
        "Your account is closed",
        "Your account {user_id} is closed. Nobody can sign in to it any more; what happened with it stays on record.",
        "If this was a mistake, or was not you, this link opens it again within 30 days:",
        "If you want it closed, you need not do anything.",
    ),
}

_PAGES: Final = {"taken_back": "/signin", "account_reopened": "/signin", "company_changed": "/me/business"}
"""Where a notice without a token leads, by its kind."""

VERB_DESCRIPTIONS: Final = {
    "business": "it becomes the business account of {target}",
    "consumer": "it becomes a private account",
    "merge": "it is joined with your account {target}",
    "unmerge": "the joining with your account {target} is undone",
    "close": "it is closed",
    "erase": "everything personal in it is erased",
    "email": "emails about it go to {target}",
    "withdraw": "your consent is withdrawn",
    "business_undo": "it is a private account again",
    "email_undo": "your old address is back, and every session has ended",
    "stop": "the change that our desk had prepared is stopped",
}
"""What a guarded change or a link to the account, as part of a sentence; `target` is what `describe_target` returns."""


async def build_change_email(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email about a change, with link and code if its kind has them; None if the token was used."""
    copy = EMAIL_COPY[message.kind]
    signed = session.settings.mail_from_name
    if "token" not in message.facts:
        page = f"{session.settings.public_url}{_PAGES[message.kind]}" if copy.link else None
        return render_change_email(
            message.kind, message.locale, message.user_id or "", message.facts, signed, link=page
        )
    found = await one_time_tokens.find_token(session, uuid.UUID(message.facts["token"]))
    if found is None or found.token.used_at is not None:
        return None
    link = one_time_tokens.link_of(session, found.token, f"/confirm/{found.token.handle}")
    code = token_rules.show_code(one_time_tokens.code_of(session, found.token))
    return render_change_email(
        message.kind, message.locale, message.user_id or "", message.facts, signed, link=link, code=code
    )


def render_change_email(
    kind: str,
    locale: str,
    user_id: str,
    facts: dict[str, Any],
    signed: str,
    *,
    link: str | None = None,
    code: str | None = None,
) -> RenderedEmail:
    """Return the email about a change, rendered in `locale`."""
    copy, say = EMAIL_COPY[kind], translations.catalogue(locale).gettext
    verb = facts.get("verb")
    what = say(VERB_DESCRIPTIONS[verb]).format(target=facts.get("target", "")) if verb in VERB_DESCRIPTIONS else ""
    happens = say(copy.happens).format(
        user_id=user_ids.show(user_id), other=facts.get("other", ""), survivor=facts.get("survivor", ""), what=what
    )
    return rendering.render_email(
        "change", locale, subject=say(copy.subject), happens=happens, asks=say(copy.link) if copy.link else "",
        otherwise=say(copy.otherwise), link=link, code=code, signed=signed,
    )  # fmt: skip
