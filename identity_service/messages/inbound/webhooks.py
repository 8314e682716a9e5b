"""Providers' webhooks: one adapter per provider turns an authenticated body into notices. Only `fetch` does I/O.

Another provider needs one more function with this signature in `ADAPTERS`: it checks the provider's proof of origin
and returns the notices in the raw body.
"""

import base64
import hmac
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import httpx2
import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from identity_service.errors import Unavailable
from identity_service.keys import encoding
from identity_service.messages.delivery import replies
from identity_service.messages.inbound.dsn import Notice, UnreadableNotice, UnsignedNotice
from identity_service.settings import Settings


class ProviderUnavailable(Unavailable):
    """The provider's own servers do not answer, so its notice cannot be checked; send it again later."""


FRESH: Final = timedelta(minutes=5)
_REGION = re.compile(r"[a-z]{2}(-[a-z]{2,12}){1,3}-\d{1,2}")
_SNS_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
Fetch = Callable[[str], Awaitable[bytes]]
"""Fetches a URL whose host has been checked; tests pass a function that returns their own certificate."""


async def ses(body: bytes, headers: Mapping[str, str], settings: Settings, fetch: Fetch, now: datetime) -> list[Notice]:
    """Read an Amazon SES event that SNS delivers.

    It must have a signature version 2 (SHA-256) by a certificate of `sns.<our topic's region>.amazonaws.com`, name our
    topic, and be at most 5 minutes old. A subscription is confirmed by one request to the same host.

    Raises:
        UnsignedNotice, UnreadableNotice, ProviderUnavailable
    """
    del headers
    notification = _json_object(body)
    await _check_sns(notification, settings, fetch, now)
    if notification["Type"] == "SubscriptionConfirmation":
        await _fetch(fetch, _checked_url(notification.get("SubscribeURL"), settings.ses_sns_topic_arn))
        return []
    event = _json_object(str(notification.get("Message", "")).encode())
    return _ses_notices(event, str(notification["MessageId"]), now)


async def postmark(
    body: bytes, headers: Mapping[str, str], settings: Settings, fetch: Fetch, now: datetime
) -> list[Notice]:
    """Read a Postmark webhook; it is not signed, so it must contain our secret, in a header or as a password.

    Raises:
        UnsignedNotice, UnreadableNotice
    """
    del fetch
    check_secret(headers, settings)
    event = _json_object(body)
    kind = _POSTMARK.get(str(event.get("RecordType", "")), "")
    if kind == "bounced":
        kind = _POSTMARK_BOUNCE.get(str(event.get("Type", "")), "soft_bounced")
    if not kind:
        return []
    metadata = event.get("Metadata")
    given = metadata.get("msg") if isinstance(metadata, dict) else None
    text = str(event.get("Details") or event.get("Description") or "")
    at = _parse_time(event.get("DeliveredAt") or event.get("BouncedAt"), now)
    event_id = f"{event.get('MessageID')}:{event.get('RecordType')}:{event.get('ID', '')}"
    return [_notice(kind, "postmark", event_id, at, given, text, permanent=event.get("Type") == "HardBounce")]


ADAPTERS: Final = {"ses": ses, "postmark": postmark}
"""Every provider whose webhooks are read, by the last segment of the path."""

_POSTMARK: Final = {"Delivery": "delivered", "Bounce": "bounced", "SpamComplaint": "complained"}
_POSTMARK_BOUNCE: Final = {
    "HardBounce": "bounced",
    "Transient": "delayed",
    "SoftBounce": "soft_bounced",
    "SMTPApiError": "dropped",
    "ManuallyDeactivated": "dropped",
    "AutoResponder": "autoreply",
    "SpamComplaint": "complained",
}
"""The meaning of a bounce's `Type`; the two that are dropped are addresses that Postmark marked as inactive."""
_SES: Final = {
    "Send": "provider_accepted",
    "DeliveryDelay": "delayed",
    "Delivery": "delivered",
    "Reject": "dropped",
    "Rendering Failure": "dropped",
    "Complaint": "complained",
}


def check_secret(headers: Mapping[str, str], settings: Settings) -> None:
    """Refuse a webhook without our secret, in X-Webhook-Secret or as the HTTP Basic password (any user name).

    If no secret is configured, every webhook is refused.

    Raises:
        UnsignedNotice
    """
    wanted = settings.webhook_secret.get_secret_value() if settings.webhook_secret else ""
    given = headers.get("x-hook-secret")
    if given is None:
        given = _password(headers.get("authorization", ""))
    if not wanted or not hmac.compare_digest(given.encode(), wanted.encode()):
        raise UnsignedNotice


def _password(authorization: str) -> str:
    scheme, _, credentials = authorization.partition(" ")
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


async def _check_sns(notification: dict[str, Any], settings: Settings, fetch: Fetch, now: datetime) -> None:
    fields = _SNS_FIELDS.get(str(notification.get("Type")))
    if fields is None or notification.get("SignatureVersion") != "2":
        raise UnsignedNotice
    if not settings.ses_sns_topic_arn or notification.get("TopicArn") != settings.ses_sns_topic_arn:
        raise UnsignedNotice
    if abs(_parse_time(notification.get("Timestamp"), now - 2 * FRESH) - now) > FRESH:
        raise UnsignedNotice
    signed = "".join(f"{name}\n{notification[name]}\n" for name in fields if name in notification)
    try:
        url = _checked_url(notification.get("SigningCertURL"), settings.ses_sns_topic_arn)
        certificate = x509.load_pem_x509_certificate(await _fetch(fetch, url))
        key = certificate.public_key()
        signature = base64.b64decode(str(notification.get("Signature")), validate=True)
        if not isinstance(key, rsa.RSAPublicKey) or not _is_current(certificate, now):
            raise UnsignedNotice
        key.verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as refused:
        raise UnsignedNotice from refused


def _is_current(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _checked_url(url: object, topic: str) -> str:
    """Return the URL if it is at the SNS host of our topic's region, over https on the default port (ATT-54).

    Any other host below amazonaws.com may belong to a customer of Amazon, for example as a bucket.

    Raises:
        UnsignedNotice
    """
    region = topic.split(":")[3] if topic.count(":") == 5 else ""
    given = str(url)
    allowed = _REGION.fullmatch(region) and given.startswith(f"https://sns.{region}.amazonaws.com/")
    if not allowed or not given.isprintable():
        raise UnsignedNotice
    return given


async def _fetch(fetch: Fetch, url: str) -> bytes:
    """Return the content of a checked URL; a network error proves nothing about the notice."""
    try:
        return await fetch(url)
    except httpx2.HTTPError as failed:
        raise ProviderUnavailable from failed


def _ses_notices(event: dict[str, Any], event_id: str, now: datetime) -> list[Notice]:
    mail = event.get("mail")
    tags = mail.get("tags") if isinstance(mail, dict) else None
    given = (tags.get("msg") or [None])[0] if isinstance(tags, dict) else None
    name = str(event.get("eventType") or event.get("notificationType") or "")
    bounce = event.get("bounce")
    if name == "Bounce" and isinstance(bounce, dict):
        hard = bounce.get("bounceType") == "Permanent"
        recipients = bounce.get("bouncedRecipients")
        first = recipients[0] if isinstance(recipients, list) and recipients and isinstance(recipients[0], dict) else {}
        text = str(first.get("diagnosticCode") or bounce.get("bounceSubType") or "")
        at = _parse_time(bounce.get("timestamp"), now)
        permanent = hard and bounce.get("bounceSubType") in ("General", "NoEmail")
        return [_notice("bounced" if hard else "soft_bounced", "ses", event_id, at, given, text, permanent=permanent)]
    kind = _SES.get(name)
    return [] if kind is None else [_notice(kind, "ses", event_id, now, given, name, permanent=False)]


def _notice(
    kind: str,
    source: str,
    event_id: str,
    occurred_at: datetime,
    given: object,
    diagnostic: str,
    *,
    permanent: bool,
) -> Notice:
    try:
        message_id = uuid.UUID(str(given))
    except ValueError:
        message_id = None
    text = replies.scrub_reply(diagnostic.partition(";")[2].strip() or diagnostic)
    code = int(text[:3]) if re.match(r"[245]\d\d\b", text) else None
    return Notice(
        type=kind,
        source=source,
        source_event_id=replies.scrub_reply(event_id)[:200],
        occurred_at=occurred_at,
        message_id=message_id,
        code=code,
        enhanced=replies.enhanced_code(text[4:] if code else text),
        words=text,
        permanent=permanent,
        parse_status="read" if message_id else "unmatched",
        detail={"matched_by": "provider" if message_id else "nothing", "words": text},
    )


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        orjson.loads(body)
        return encoding.strict_json_object(body)
    except (ValueError, RecursionError) as refused:
        raise UnreadableNotice from refused


def _parse_time(given: Any, default: datetime) -> datetime:  # noqa: ANN401
    try:
        at = datetime.fromisoformat(str(given))
    except ValueError:
        return default
    return at if at.tzinfo is not None else default
