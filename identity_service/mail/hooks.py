"""Providers' webhooks: one small adapter each turns a signed body into notices. Pure but for the certificate fetch.

A third provider is one more function of the same shape in `ADAPTERS`: raw body and headers in, notices out, after the
provider's own proof of origin has been checked.
"""

import base64
import hmac
import re
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from identity_service import tokens
from identity_service.errors import Unavailable
from identity_service.mail import rules
from identity_service.mail.bounces import Notice, UnreadableNotice, UnsignedNotice
from identity_service.settings import Settings


class ProviderAway(Unavailable):
    """The provider's own servers do not answer, so its notice cannot be checked right now."""


FRESH: Final = timedelta(minutes=5)
_REGION = re.compile(r"[a-z]{2}(-[a-z]{2,12}){1,3}-\d{1,2}")
_SNS_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
Fetch = Callable[[str], Awaitable[bytes]]
"""Fetches a URL whose host has been checked; tests hand in their own certificate."""


async def ses(body: bytes, headers: Mapping[str, str], settings: Settings, fetch: Fetch, now: datetime) -> list[Notice]:
    """Read an Amazon SES event that SNS delivers.

    Signature version 2 (SHA-256) by a certificate of `sns.<our topic's region>.amazonaws.com` alone, our topic, at most
    5 minutes old. A subscription is confirmed once, at the same host.

    Raises:
        UnsignedNotice, UnreadableNotice, ProviderAway
    """
    del headers
    envelope = _object(body)
    await _check_sns(envelope, settings, fetch, now)
    if envelope["Type"] == "SubscriptionConfirmation":
        await _fetched(fetch, _pinned(envelope.get("SubscribeURL"), settings.ses_topic))
        return []
    event = _object(str(envelope.get("Message", "")).encode())
    return _ses_notices(event, str(envelope["MessageId"]), now)


async def postmark(
    body: bytes, headers: Mapping[str, str], settings: Settings, fetch: Fetch, now: datetime
) -> list[Notice]:
    """Read a Postmark webhook, which is not signed: our secret vouches for it, in a header or as a password.

    Raises:
        UnsignedNotice, UnreadableNotice
    """
    del fetch
    check_secret(headers, settings)
    event = _object(body)
    kind = _POSTMARK.get(str(event.get("RecordType", "")), "")
    if kind == "bounced":
        kind = _POSTMARK_BOUNCE.get(str(event.get("Type", "")), "soft_bounced")
    if not kind:
        return []
    metadata = event.get("Metadata")
    given = metadata.get("msg") if isinstance(metadata, dict) else None
    words = str(event.get("Details") or event.get("Description") or "")
    at = _moment(event.get("DeliveredAt") or event.get("BouncedAt"), now)
    identity = f"{event.get('MessageID')}:{event.get('RecordType')}:{event.get('ID', '')}"
    return [_notice(kind, "postmark", identity, at, given, words, dead=event.get("Type") == "HardBounce")]


ADAPTERS: Final = {"ses": ses, "postmark": postmark}
"""Every provider whose hooks are read, by the last part of the path."""

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
"""What a bounce's `Type` means; the two that are dropped are addresses Postmark holds to be inactive."""
_SES: Final = {
    "Send": "provider_accepted",
    "DeliveryDelay": "delayed",
    "Delivery": "delivered",
    "Reject": "dropped",
    "Rendering Failure": "dropped",
    "Complaint": "complained",
}


def check_secret(headers: Mapping[str, str], settings: Settings) -> None:
    """Refuse a hook without our secret, as X-Hook-Secret or as the password of HTTP Basic (its user name is free).

    Without a configured secret the hook is closed.
    """
    wanted = settings.hook_secret.get_secret_value() if settings.hook_secret else ""
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
    """Fetch a small file over TLS; a redirect is refused."""
    async with httpx.AsyncClient(timeout=5, follow_redirects=False) as client:
        answer = await client.get(url)
    if answer.status_code >= 500:
        raise ProviderAway
    if answer.status_code != 200 or len(answer.content) > 64 * 1024:
        raise UnsignedNotice
    return answer.content


async def _check_sns(envelope: dict[str, Any], settings: Settings, fetch: Fetch, now: datetime) -> None:
    fields = _SNS_FIELDS.get(str(envelope.get("Type")))
    if fields is None or envelope.get("SignatureVersion") != "2":
        raise UnsignedNotice
    if not settings.ses_topic or envelope.get("TopicArn") != settings.ses_topic:
        raise UnsignedNotice
    if abs(_moment(envelope.get("Timestamp"), now - 2 * FRESH) - now) > FRESH:
        raise UnsignedNotice
    signed = "".join(f"{name}\n{envelope[name]}\n" for name in fields if name in envelope)
    try:
        url = _pinned(envelope.get("SigningCertURL"), settings.ses_topic)
        certificate = x509.load_pem_x509_certificate(await _fetched(fetch, url))
        key = certificate.public_key()
        signature = base64.b64decode(str(envelope.get("Signature")), validate=True)
        if not isinstance(key, rsa.RSAPublicKey) or not _in_time(certificate, now):
            raise UnsignedNotice
        key.verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError) as refused:
        raise UnsignedNotice from refused


def _in_time(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _pinned(url: object, topic: str) -> str:
    """Return a URL at the notification host of our topic's own region, over https on its usual port (ATT-54).

    Any other name below amazonaws.com may be a customer's, a bucket's for one.
    """
    region = topic.split(":")[3] if topic.count(":") == 5 else ""
    given = str(url)
    own = _REGION.fullmatch(region) and given.startswith(f"https://sns.{region}.amazonaws.com/")
    if not own or not given.isprintable():
        raise UnsignedNotice
    return given


async def _fetched(fetch: Fetch, url: str) -> bytes:
    """Return what stands at a pinned URL; a network that fails says nothing about the notice."""
    try:
        return await fetch(url)
    except httpx.HTTPError as away:
        raise ProviderAway from away


def _ses_notices(event: dict[str, Any], identity: str, now: datetime) -> list[Notice]:
    mail = event.get("mail")
    tags = mail.get("tags") if isinstance(mail, dict) else None
    given = (tags.get("msg") or [None])[0] if isinstance(tags, dict) else None
    name = str(event.get("eventType") or event.get("notificationType") or "")
    bounce = event.get("bounce")
    if name == "Bounce" and isinstance(bounce, dict):
        hard = bounce.get("bounceType") == "Permanent"
        recipients = bounce.get("bouncedRecipients")
        first = recipients[0] if isinstance(recipients, list) and recipients and isinstance(recipients[0], dict) else {}
        words = str(first.get("diagnosticCode") or bounce.get("bounceSubType") or "")
        at = _moment(bounce.get("timestamp"), now)
        dead = hard and bounce.get("bounceSubType") in ("General", "NoEmail")
        return [_notice("bounced" if hard else "soft_bounced", "ses", identity, at, given, words, dead=dead)]
    kind = _SES.get(name)
    return [] if kind is None else [_notice(kind, "ses", identity, now, given, name, dead=False)]


def _notice(
    kind: str,
    source: str,
    identity: str,
    at: datetime,
    given: object,
    words: str,
    *,
    dead: bool,
) -> Notice:
    try:
        message_id = uuid.UUID(str(given))
    except ValueError:
        message_id = None
    text = rules.scrub(words.partition(";")[2].strip() or words)
    code = int(text[:3]) if re.match(r"[245]\d\d\b", text) else None
    return Notice(
        type=kind,
        source=source,
        source_event_id=rules.scrub(identity)[:200],
        occurred_at=at,
        message_id=message_id,
        code=code,
        enhanced=rules.enhanced_code(text[4:] if code else text),
        words=text,
        permanent=dead,
        parse_status="read" if message_id else "unmatched",
        detail={"matched_by": "provider" if message_id else "nothing", "words": text},
    )


def _object(body: bytes) -> dict[str, Any]:
    try:
        orjson.loads(body)
        return tokens.strict_object(body)
    except (ValueError, RecursionError) as refused:
        raise UnreadableNotice from refused


def _moment(given: Any, otherwise: datetime) -> datetime:  # noqa: ANN401
    try:
        at = datetime.fromisoformat(str(given))
    except ValueError:
        return otherwise
    return at if at.tzinfo is not None else otherwise
