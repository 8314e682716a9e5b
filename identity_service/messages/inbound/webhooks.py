"""Providers' webhooks: what all of them have in common. Only `fetch` does I/O.

`providers/` has a file for each provider: how it proves its origin, and what its events mean. Here an event becomes a
notice. A webhook is never refused for its age: providers repeat for hours or days what they could not deliver, and a
recording does no harm, because an event counts once.
"""

import base64
import functools
import hmac
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar

import httpx2
import orjson

from identity_service import logs
from identity_service.errors import Unavailable
from identity_service.keys import encoding
from identity_service.messages.delivery import replies
from identity_service.messages.inbound import verdicts
from identity_service.messages.inbound.dsn import Notice, UnreadableNotice, UnsignedNotice
from identity_service.settings import Settings


class ProviderUnavailable(Unavailable):
    """The provider's own servers do not answer, so its notice cannot be checked; send it again later."""


Key = TypeVar("Key")
MAXIMUM: Final = 1024 * 1024
"""Bytes of a webhook: SendGrid sends batches of 768 KB."""
MAXIMUM_RECIPIENTS: Final = 50
"""Recipients of one event that are read: ours have one, which may be a list of more."""
Fetch = Callable[[str], Awaitable[bytes]]
"""Fetches a URL whose host has been checked; tests pass a function that returns their own certificate."""


@dataclass(frozen=True, slots=True)
class Webhook:
    """One request to the endpoint of `provider`, not yet checked."""

    provider: str
    body: bytes
    headers: Mapping[str, str]
    settings: Settings
    fetch: Fetch
    now: datetime

    def key(self, read: Callable[[str], Key]) -> Key:
        """Return the provider's key from the settings, read by `read`; if there is none, the log says so once.

        Raises:
            UnsignedNotice: none is configured, or it cannot be read.
        """
        found = self.settings.webhook_keys.get(self.provider)
        try:
            if found is None or not found.get_secret_value():
                raise ValueError("missing")
            return read(found.get_secret_value())
        except ValueError as unusable:
            tell_misconfigured(self.provider, f"IDENTITY_WEBHOOK_KEYS has no usable key for {self.provider}")
            raise self.refusal("no usable key is configured") from unusable

    def refusal(self, reason: str) -> UnsignedNotice:
        """Return the refusal of this webhook; its reason is for the log only."""
        logs.log.warning("webhook.refused", provider=self.provider, reason=reason)
        return UnsignedNotice()


class Event(NamedTuple):
    """One event of a webhook whose origin is proven; `delivery_id` is what the transport calls it, if it does."""

    content: dict[str, Any]
    delivery_id: str = ""


class Meaning(NamedTuple):
    """What an event of a provider says about a message."""

    kind: str | None
    """A feedback type; None: the event is of no interest (opens and clicks are never recorded)."""
    is_gone: bool = False
    """The provider says that the mailbox does not exist; an exact status can still say otherwise."""
    otherwise: str | None = None
    """The feedback type if the event names no final failure: neither a status of class 5 nor a failed action."""


ACCEPTED: Final = Meaning("provider_accepted")
DELIVERED: Final = Meaning("delivered")
DELAYED: Final = Meaning("delayed")
BOUNCED: Final = Meaning("bounced")
GONE: Final = Meaning("bounced", is_gone=True)
DROPPED: Final = Meaning("dropped")
COMPLAINED: Final = Meaning("complained")
AUTOREPLY: Final = Meaning("autoreply")
OTHER: Final = Meaning("other")
IGNORED: Final = Meaning(None)


@dataclass(frozen=True, slots=True)
class Report:
    """What an event says, in the provider's own words.

    `names` are its names in the provider's table, the most exact first. `given` are the places where our message id may
    stand. `has_failed` means that the provider or a mail server calls the delivery failed for good.
    """

    names: tuple[str, ...]
    event_id: str
    given: tuple[object, ...]
    at: object
    words: str = ""
    status: str = ""
    code: int | None = None
    has_failed: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """One provider: `check` proves a webhook's origin and returns its events, `read` reads one of them.

    `header` is the name and value of the relay header by which our message id travels; None: it comes back by itself.
    `read_key` reads the provider's key from the settings, ValueError if it cannot; None: it has none.
    """

    check: Callable[[Webhook], Awaitable[list[Event]]]
    read: Callable[[Event], Report]
    meanings: Mapping[str, Meaning]
    header: tuple[str, str] | None = None
    read_key: Callable[[str], object] | None = None


async def read_notices(provider: Provider, webhook: Webhook) -> list[Notice]:
    """Return the notices in a webhook; an event of an unknown type is logged and left out.

    Raises:
        UnsignedNotice, UnreadableNotice, ProviderUnavailable
    """
    notices = []
    for event in await provider.check(webhook):
        report = provider.read(event)
        meaning = next((provider.meanings[name] for name in report.names if name in provider.meanings), None)
        if meaning is None:
            name = replies.scrub_reply(report.names[-1])[:60]
            logs.log.warning("webhook.event_unknown", provider=webhook.provider, name=name)
        elif meaning.kind is not None:
            notices.append(_notice(webhook.provider, meaning, report, webhook.now))
    return notices


@functools.cache
def tell_misconfigured(provider: str, what: str) -> None:
    """Log a webhook that is set up wrongly, once per process; `what` is one of our own sentences."""
    logs.log.error("webhook.misconfigured", provider=provider, what=what)


async def check_shared_secret(webhook: Webhook) -> list[Event]:
    """Return the events of a provider that does not sign, if the webhook has our secret.

    Raises:
        UnsignedNotice, UnreadableNotice
    """
    check_secret(webhook.headers, webhook.settings, webhook.provider)
    return read_events(webhook.body)


def check_secret(headers: Mapping[str, str], settings: Settings, provider: str) -> None:
    """Refuse a webhook without our secret: in X-Webhook-Secret, as HTTP Basic password (any name) or bearer token.

    If no secret is configured, every webhook is refused.

    Raises:
        UnsignedNotice
    """
    secret = settings.webhook_keys.get(provider) or settings.webhook_secret
    wanted = secret.get_secret_value() if secret else ""
    given = headers.get("x-webhook-secret")
    if given is None:
        given = _credential(headers.get("authorization", ""))
    if not wanted:
        tell_misconfigured(provider, "IDENTITY_WEBHOOK_SECRET is not set: every webhook of this provider is refused")
    if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        logs.log.warning("webhook.refused", provider=provider, reason="the secret is missing or wrong")
        raise UnsignedNotice


def _credential(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return credentials.strip()
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:
        return ""


async def fetch_over_tls(url: str) -> bytes:
    """Return a file of at most 64 KiB, fetched over TLS without following redirects.

    Raises:
        ProviderUnavailable: the server answered 5xx.
        UnsignedNotice: any other answer than 200, or a larger file.
    """
    async with httpx2.AsyncClient(timeout=5, follow_redirects=False) as client:
        answer = await client.get(url)
    if answer.status_code >= 500:
        raise ProviderUnavailable
    if answer.status_code != 200 or len(answer.content) > 64 * 1024:
        raise UnsignedNotice
    return answer.content


def read_events(body: bytes) -> list[Event]:
    """Return the events in a body that is one JSON object or an array of them.

    Raises:
        UnreadableNotice
    """
    value = read_json(body)
    found = value if isinstance(value, list) else [value]
    if not all(isinstance(event, dict) for event in found):
        raise UnreadableNotice
    return [Event(event) for event in found]


def read_json(body: bytes) -> Any:  # noqa: ANN401
    """Return the JSON value of a body that can be read in one way only.

    Raises:
        UnreadableNotice
    """
    try:
        orjson.loads(body)
        return encoding.strict_json(body)
    except (ValueError, RecursionError) as refused:
        raise UnreadableNotice from refused


def member(value: object, *path: str) -> Any:  # noqa: ANN401
    """Return a member of nested objects; None if one of them is missing or no object."""
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def first_text(*values: object) -> str:
    """Return the first value that is a text with content, or an empty text."""
    return next((value for value in values if isinstance(value, str) and value.strip()), "")


def worst_text(value: object) -> str:
    """Return the diagnosis that says the worst about the mailbox, of one text or a list of them."""
    given = value[:MAXIMUM_RECIPIENTS] if isinstance(value, list) else [value]
    texts = [text for text in given if isinstance(text, str) and text.strip()]
    return max(texts, key=lambda text: verdicts.severity(None, text), default="")


_OUR_HEADERS: Final = ("x-outbox-id", "message-id")


def header_ids(headers: object) -> tuple[object, ...]:
    """Return our id from the headers of the message, which some providers repeat as a list of names and values."""
    found = {
        str(member(header, "name")).lower(): member(header, "value")
        for header in (headers if isinstance(headers, list) else [])
    }
    return tuple(found.get(name) for name in _OUR_HEADERS)


_ID = re.compile(
    r"(?<![0-9a-f])(?:[0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?![0-9a-f])", re.IGNORECASE
)
_DIAGNOSTIC_TYPE = re.compile(r"\s*(?:smtp|dns|x-[a-z0-9-]{1,30})\s*;", re.IGNORECASE)
_CODE = re.compile(
    r"^(?:[^\d:]{0,40}:\s*)?([245]\d\d)(?=[\s-]|$)|(?<![\d.])([245]\d\d)[ -](?=[245]\.\d{1,3}\.\d)", re.IGNORECASE
)
_ENHANCED = re.compile(r"(?<![\d.])[245]\.\d{1,3}\.\d{1,3}(?![\d.]*\d)")


def _notice(provider: str, meaning: Meaning, report: Report, now: datetime) -> Notice:
    words = replies.scrub_reply(without_type(report.words))
    found = _CODE.search(words)
    code = report.code or (int(found[1] or found[2]) if found else None)
    exact, status = _ENHANCED.search(words), _ENHANCED.search(report.status)
    enhanced = exact[0] if exact else status[0] if status else None
    has_failed = report.has_failed or (enhanced or "").startswith("5") or (code or 0) >= 500
    kind = meaning.otherwise if meaning.otherwise is not None and not has_failed else meaning.kind
    message_id = _message_id(report.given)
    return Notice(
        type=str(kind),
        source=provider,
        source_event_id=replies.scrub_reply(report.event_id)[:200],
        occurred_at=read_time(report.at, now),
        message_id=message_id,
        code=code,
        enhanced=enhanced,
        words=words,
        permanent=kind == "bounced" and _is_gone(meaning, words, status[0] if status else None),
        parse_status="read" if message_id else "unmatched",
        detail={"matched_by": "provider" if message_id else "nothing", "words": words},
    )


def _is_gone(meaning: Meaning, words: str, status: str | None) -> bool:
    """Return whether a failure says that nobody has this mailbox.

    Code and words decide as in a returned message; where they leave it open, the event's type does.
    """
    verdict = verdicts.judge_failure(status, words)
    is_open = verdict.cause is None or (verdict.enhanced in verdicts.EITHER and not verdicts.says_alive(words))
    return meaning.is_gone if is_open else verdict.cause is verdicts.Cause.ADDRESS


def without_type(diagnosis: str) -> str:
    """Return a diagnosis without its type ("smtp;")."""
    return _DIAGNOSTIC_TYPE.sub("", diagnosis, count=1).strip()


def _message_id(given: tuple[object, ...]) -> uuid.UUID | None:
    """Return our message id from the first place that has one: bare, within JSON, or as the start of a Message-ID."""
    found = (_ID.search(str(value)[:1000]) for value in given if value is not None)
    return next((uuid.UUID(match[0]) for match in found if match), None)


def read_time(given: object, default: datetime) -> datetime:
    """Return the moment that a provider names: ISO 8601 with a zone, or seconds or milliseconds since 1970.

    `default` is returned for everything else, and for years that no message of ours has.
    """
    try:
        if isinstance(given, str) and not re.fullmatch(r"\d{9,13}(\.\d{1,9})?", given):
            at = datetime.fromisoformat(given)
        else:
            seconds = float(given) if isinstance(given, int | float | str) else -1.0
            at = datetime.fromtimestamp(seconds / 1000 if seconds > 1e11 else seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return default
    return at if at.tzinfo is not None and 2000 < at.year < 2200 else default
