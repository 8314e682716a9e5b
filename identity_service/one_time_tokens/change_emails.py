"""Emails about changes of an account: what happens, what the link does, and what to do if it was not you."""

import uuid
from typing import Final

from identity_service import translations
from identity_service.database.transactions import DatabaseSession
from identity_service.messages import rendering
from identity_service.messages.delivery.queue import ClaimedMessage
from identity_service.messages.rendering import RenderedEmail
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.one_time_tokens import rules as token_rules

_PAGES: Final = {
    "taken_back": "/signin", "account_reopened": "/signin", "company_changed": "/me/business",
    "business_ended": "/me/business",
}  # fmt: skip
"""Where a notice without a token leads, by its kind."""

VERB_DESCRIPTIONS: Final = {
    "business": "it will become the business account of {target}",
    "consumer": "it will become a private account",
    "merge": "it will be merged with your account {target}",
    "unmerge": "the merge with your account {target} will be undone",
    "close": "it will be closed",
    "erase": "everything personal in it will be erased",
    "email": "emails about it will go to {target}",
    "withdraw": "your consent has been withdrawn",
    "business_undo": "it is a private account again",
    "email_undo": "your old email address is back, and you've been signed out everywhere",
    "keep_factor": "its authenticator app stays",
    "address_undo": "your email addresses are as they were before, and you've been signed out everywhere",
    "stop": "the change that our support team had prepared has been stopped",
}
"""What a guarded change or a link to the account, as part of a sentence; `target` is what `describe_target` returns."""


async def build_change_email(session: DatabaseSession, message: ClaimedMessage) -> RenderedEmail | None:
    """Return the email about a change, with link and code if its kind has them; None if the token was used."""
    facts = message.facts
    given = {name: facts.get(name, "") for name in ("other", "survivor", "address")} | {"what": _what(message)}
    if "token" not in facts:
        page = _PAGES.get(message.kind)
        link = f"{session.settings.public_url}{page}" if page else None
        return rendering.render_message(session, message, message.kind, link=link, **given)
    found = await one_time_tokens.find_token(session, uuid.UUID(facts["token"]))
    if found is None or found.token.used_at is not None:
        return None
    link = one_time_tokens.link_of(session, found, f"/confirm/{found.token.handle}")
    code = token_rules.show_code(one_time_tokens.code_of(session, found.token))
    return rendering.render_message(session, message, message.kind, link=link, code=code, **given)


def _what(message: ClaimedMessage) -> str:
    """Return what happens to the account, as part of a sentence; nothing if the message is of no such change."""
    verb = message.facts.get("verb")
    if verb not in VERB_DESCRIPTIONS:
        return ""
    said = translations.catalogue(message.locale).gettext(VERB_DESCRIPTIONS[verb])
    return said.format(target=message.facts.get("target", ""))
