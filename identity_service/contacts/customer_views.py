"""What a customer sees of their support code, of a clerk's question, and of the calls in which they were verified."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from identity_service.contacts import limits, rules, screen_answers, support_codes
from identity_service.contacts.screen_answers import Call
from identity_service.database.transactions import DatabaseSession
from identity_service.values import contact_numbers, secret_codes

PURPOSE_WORDS = {
    "identify": "to know who is calling", "reset": "to send a new password",
    "business": "to change to a business account", "receipt": "to hand out a receipt",
}  # fmt: skip
METHOD_WORDS = {
    "email": "a code from an email", "text": "a code from a text message", "support_code": "a support code",
    "on_screen": "your answer on screen",
}  # fmt: skip


async def support_facts(
    session: DatabaseSession, user_ids: Sequence[str], *, answers: bool, now: datetime
) -> dict[str, Any]:
    """Return what the support page shows; `answers`: this session may answer a clerk's question (SUP-09). These are
    values, not rows: a refused form is shown again after its transaction."""
    user_id = user_ids[0]
    code = await support_codes.find_code(session, user_id, now=now)
    ask = await screen_answers.find_ask(session, user_id, now=now) if answers else None
    calls = await screen_answers.list_calls(session, user_ids)
    recent = [one for one in calls if now - one.check.requested_at < rules.DAY and one.check.matched]
    shown = None if code is None else {
        "code": secret_codes.show(support_codes.code_of(session, code)),
        "phrase": support_codes.phrase_of(session, code), "until": code.expires_at,
    }  # fmt: skip
    asked = None if ask is None else {"phrase": screen_answers.phrase_of(session, ask.check), **describe_call(ask)}
    return {
        "code": shown, "ask": asked, "recent": [describe_call(one) for one in recent],
        "state": state_of(None if code is None else str(code.id), ask, calls),
        "was_called": await support_codes.was_called(session, user_id, within=rules.UNEXPECTED_FOR, now=now),
        "strict": await limits.prefers_strong(session, user_id),
    }  # fmt: skip


async def read_state(session: DatabaseSession, user_ids: Sequence[str], *, answers: bool, now: datetime) -> str:
    """Return a text that changes when the support page would."""
    code = await support_codes.find_code(session, user_ids[0], now=now)
    ask = await screen_answers.find_ask(session, user_ids[0], now=now) if answers else None
    calls = await screen_answers.list_calls(session, user_ids)
    return state_of(None if code is None else str(code.id), ask, calls)


def state_of(code: str | None, ask: Call | None, calls: Sequence[Call]) -> str:
    """Return the ids of code and question, and how many calls there are; "" between two colons is none."""
    answered = sum(1 for one in calls if one.check.answered_at is not None)
    denied = sum(1 for one in calls if one.check.denied_at is not None)
    return f"{'' if ask is None else ask.check.id}:{code or ''}:{answered}:{denied}"


def describe_call(call: Call) -> dict[str, Any]:
    """Return desk, contact, purpose, method and time of a check, as its customer reads them."""
    check, contact = call
    return {
        "desk": contact.desk, "contact": contact_numbers.show(contact.number), "denied": check.denied_at is not None,
        "purpose": PURPOSE_WORDS[check.purpose], "method": METHOD_WORDS[check.method], "matched": check.matched,
        "at": check.answered_at or check.requested_at,
    }  # fmt: skip
