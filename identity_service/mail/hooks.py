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
from urllib.parse import urlsplit

import httpx
import orjson
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from identity_service import tokens
from identity_service.mail import rules
from identity_service.mail.bounces import Notice, UnreadableNotice, UnsignedNotice
from identity_service.settings import Settings

FRESH: Final = timedelta(minutes=5)
_SNS_HOST = re.compile(r"sns\.[a-z0-9-]{3,30}\.amazonaws\.com")
_SNS_FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"),
}
Fetch = Callable[[str], Awaitable[bytes]]
"""Fetches a URL whose host has been checked; tests hand in their own certificate."""


async def ses(body: bytes, headers: Mapping[str, str], settings: Settings, fetch: Fetch, now: datetime) -> list[Notice]:
    """Read an Amazon SES event that SNS delivers.

    Signature version 2 (SHA-256) by a certificate of `sns.<region>.amazonaws.com` alone, our topic, at most 5 minutes
    old. A subscription is confirmed once, at the same hosts.

    Raises:
        UnsignedNotice, UnreadableNotice
    """
    del headers
    envelope = _object(body)
    await _check_sns(envelope, settings, fetch, now)
    if envelope["Type"] == "SubscriptionConfirmation":
        await fetch(_pinned(str(envelope["SubscribeURL"])))
        return []
    event = _object(str(envelope.get("Message", "")).encode())
    return _ses_notices(event, str(envelope["MessageId"]), now)


async def postmark(
    body: bytes, headers: Mapping[str, str], settings: Settings, fetch: Fetch, now: datetime
) -> list[Notice]:
    """Read a Postmark webhook, which is not signed: a secret header of ours vouches for it.

    Raises:
        UnsignedNotice, UnreadableNotice
    """
    del fetch
    check_secret(headers, settings)
    event = _object(body)
    kind = _POSTMARK.get(str(event.get("RecordType", "")), "")
    if kind == "bounced":
        kind = {"HardBounce": "bounced", "Transient": "delayed", "SoftBounce": "soft_bounced"}.get(
            str(event.get("Type", "")), "soft_bounced"
        )
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
_SES: Final = {
    "Send": "provider_accepted",
    "DeliveryDelay": "delayed",
    "Delivery": "delivered",
    "Reject": "dropped",
    "Rendering Failure": "dropped",
    "Complaint": "complained",
}


def check_secret(headers: Mapping[str, str], settings: Settings) -> None:
    """Refuse a hook without our secret header; without a configured secret the hook is closed."""
    wanted = settings.hook_secret.get_secret_value() if settings.hook_secret else ""
    if not wanted or not hmac.compare_digest(headers.get("x-hook-secret", "").encode(), wanted.encode()):
        raise UnsignedNotice


async def fetch_over_tls(url: str) -> bytes:
    """Fetch a small file over TLS; a redirect is refused."""
    async with httpx.AsyncClient(timeout=5, follow_redirects=False) as client:
        answer = await client.get(url)
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
        certificate = x509.load_pem_x509_certificate(await fetch(_pinned(str(envelope.get("SigningCertURL")))))
        key = certificate.public_key()
        signature = base64.b64decode(str(envelope.get("Signature")), validate=True)
        if not isinstance(key, rsa.RSAPublicKey) or not _in_time(certificate, now):
            raise UnsignedNotice
        key.verify(signature, signed.encode(), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError, httpx.HTTPError) as refused:
        raise UnsignedNotice from refused


def _in_time(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc


def _pinned(url: str) -> str:
    """Return a URL whose host is one of Amazon's notification hosts, over https on its usual port (ATT-54)."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not _SNS_HOST.fullmatch(parts.netloc):
        raise UnsignedNotice
    return url


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
