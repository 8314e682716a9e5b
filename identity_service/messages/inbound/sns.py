"""Check what Amazon SNS signs, and return the Amazon SES event in it.

Anybody can make a topic and have Amazon sign for it, so a notification counts only for our topic. The certificate comes
from one path at the SNS host of the topic's region: other answers of that host can contain what their caller stored.
"""

import base64
import binascii
import re
from datetime import datetime
from typing import Any, Final

import httpx2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.x509.oid import NameOID

from identity_service import logs
from identity_service.messages.inbound import webhooks
from identity_service.messages.inbound.dsn import UnreadableNotice
from identity_service.messages.inbound.webhooks import Event, Webhook

CONFIRMATION: Final = ("Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type")
SIGNED: Final = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": CONFIRMATION,
    "UnsubscribeConfirmation": CONFIRMATION,
}
"""The signed fields of each type, in the order in which they are signed."""
_REGION = re.compile(r"[a-z]{2}(-[a-z]{2,12}){1,3}-\d{1,2}")
_CERTIFICATE = re.compile(r"/SimpleNotificationService-[0-9a-f]{32}\.pem")
_CONFIRMATION = re.compile(r"/\?Action=ConfirmSubscription&TopicArn=([^&]{1,300})&Token=[0-9A-Za-z]+")
_ONE_PEM = re.compile(
    rb"\s*-----BEGIN CERTIFICATE-----\r?\n(?:[A-Za-z0-9+/=]{1,76}\r?\n){1,200}-----END CERTIFICATE-----\s*"
)
_VALIDATION: Final = "Successfully validated SNS topic"
_RAW: Final = "raw message delivery is on: its events are not signed; turn it off in the SNS subscription"
_VERSION: Final = "the topic signs with SignatureVersion 1 (SHA-1); set the topic's SignatureVersion to 2"
_NO_TOPIC: Final = "IDENTITY_SES_SNS_TOPIC_ARN is not set, or names no topic"
_REMOVED: Final = "the SNS subscription was removed: no more events come; subscribe again"


async def check_notification(webhook: Webhook) -> list[Event]:
    """Return the SES event in a notification, as a list of at most one; a subscription is confirmed.

    It must have a signature version 2 (SHA-256) by a certificate of SNS in our topic's region, and name our topic. SES
    tests a new topic with a text that is no event; it is answered like an event.

    Raises:
        UnsignedNotice, UnreadableNotice, ProviderUnavailable
    """
    notification = webhooks.read_json(webhook.body)
    if not isinstance(notification, dict):
        raise UnreadableNotice
    await _check_signature(notification, webhook)
    if notification["Type"] == "SubscriptionConfirmation":
        await _fetch(webhook, _pinned(notification.get("SubscribeURL"), _CONFIRMATION, webhook))
        logs.log.info("webhook.subscribed", provider=webhook.provider)
        return []
    if notification["Type"] == "UnsubscribeConfirmation":
        webhooks.tell_misconfigured(webhook.provider, _REMOVED)
        return []
    return _event(notification, webhook)


def _event(notification: dict[str, Any], webhook: Webhook) -> list[Event]:
    text = str(notification.get("Message", ""))
    try:
        event = webhooks.read_json(text.encode("utf-8", "surrogatepass"))
    except UnreadableNotice:
        event = None
    if isinstance(event, dict):
        return [Event(event, str(notification["MessageId"]))]
    # Signed for our topic, so another delivery would bring the same text: it is logged and answered.
    if text.startswith(_VALIDATION):
        logs.log.info("webhook.validated", provider=webhook.provider)
    else:
        logs.log.warning("webhook.no_event", provider=webhook.provider)
    return []


async def _check_signature(notification: dict[str, Any], webhook: Webhook) -> None:
    topic = webhook.settings.ses_sns_topic_arn
    if not _region(topic):
        webhooks.tell_misconfigured(webhook.provider, _NO_TOPIC)
        raise webhook.refusal("no topic is configured")
    if "Type" not in notification and ("mail" in notification or webhook.headers.get("x-amz-sns-rawdelivery")):
        webhooks.tell_misconfigured(webhook.provider, _RAW)
        raise webhook.refusal("raw message delivery")
    if notification.get("TopicArn") != topic:
        raise webhook.refusal("another topic")
    if notification.get("SignatureVersion") == "1":
        webhooks.tell_misconfigured(webhook.provider, _VERSION)
    fields = SIGNED.get(str(notification.get("Type")))
    if fields is None or notification.get("SignatureVersion") != "2":
        raise webhook.refusal("another type or signature version")
    signed = "".join(f"{name}\n{notification[name]}\n" for name in fields if name in notification)
    url = _pinned(notification.get("SigningCertURL"), _CERTIFICATE, webhook)
    key = _public_key(await _fetch(webhook, url), notification, webhook)
    try:
        signature = base64.b64decode(str(notification.get("Signature")), validate=True)
        key.verify(signature, signed.encode("utf-8", "surrogatepass"), padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, binascii.Error, ValueError) as refused:
        raise webhook.refusal("the signature does not match") from refused


def _public_key(pem: bytes, notification: dict[str, Any], webhook: Webhook) -> rsa.RSAPublicKey:
    """Return the key of a file that is exactly one certificate of SNS, issued by Amazon and valid at publication.

    A notification that is repeated may be older than the end of its certificate.
    """
    if not _ONE_PEM.fullmatch(pem):
        raise webhook.refusal("the certificate's file is not one PEM certificate")
    try:
        certificate = x509.load_pem_x509_certificate(pem)
        key = certificate.public_key()
        subject = [name.value for name in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        issuer = [name.value for name in certificate.issuer.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
    except ValueError as refused:
        raise webhook.refusal("the certificate cannot be read") from refused
    if subject != ["sns.amazonaws.com"] or issuer != ["Amazon"]:
        raise webhook.refusal("the certificate is not one of Amazon for SNS")
    published = min(webhooks.read_time(notification.get("Timestamp"), webhook.now), webhook.now)
    if not isinstance(key, rsa.RSAPublicKey) or not _was_valid(certificate, published):
        raise webhook.refusal("the certificate is out of its time or of another kind")
    return key


def _was_valid(certificate: x509.Certificate, at: datetime) -> bool:
    return certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc


def _region(topic: str) -> str:
    region = topic.split(":")[3] if topic.count(":") == 5 else ""
    return region if _REGION.fullmatch(region) else ""


def _pinned(url: object, path: re.Pattern[str], webhook: Webhook) -> str:
    """Return the URL if it has this path at the SNS host of our topic's region, over https, and names no other topic
    (ATT-54).

    Any other host below amazonaws.com may belong to a customer of Amazon, for example as a bucket.
    """
    given, topic = str(url), webhook.settings.ses_sns_topic_arn
    host = f"https://sns.{_region(topic)}.amazonaws.com"
    found = path.fullmatch(given.removeprefix(host)) if given.startswith(host) else None
    if found is None or any(named.replace("%3A", ":") != topic for named in found.groups()):
        raise webhook.refusal("a URL is not the expected one of SNS in our topic's region")
    return given


async def _fetch(webhook: Webhook, url: str) -> bytes:
    """Return the content of a checked URL; a network error proves nothing about the notice."""
    try:
        return await webhook.fetch(url)
    except httpx2.HTTPError as failed:
        raise webhooks.ProviderUnavailable from failed
