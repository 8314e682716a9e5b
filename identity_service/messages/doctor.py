"""Diagnose mail delivery: relays, the sender's DNS records, the bounce server and providers' webhooks."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Final

import aiosmtplib
import dns.asyncresolver

from identity_service.brands import rules as brand_rules
from identity_service.messages import rendering, sender_records
from identity_service.messages.delivery.smtp import Pool, Timeouts
from identity_service.messages.inbound.registry import PROVIDERS
from identity_service.messages.inbound.webhooks import Provider
from identity_service.messages.sender_records import MailFinding
from identity_service.settings import Settings

DNS_SECONDS: Final = 4.0


async def examine_mail(
    settings: Settings,
    key: bytes,
    *,
    timeouts: Timeouts | None = None,
    resolver: dns.asyncresolver.Resolver | None = None,
) -> AsyncIterator[MailFinding]:
    """Yield one finding per check of relays, DNS and bounce server; `resolver` defaults to that of this machine."""
    if not settings.relays:
        yield MailFinding("relays", "failed", "IDENTITY_RELAYS names none")
    for relay in settings.relays:
        pool = Pool(relay, local_hostname=settings.sender_domain or "localhost", timeouts=timeouts)
        report, extensions = await pool.check()
        if report.code is None or (report.outcome == "relay_fault" and report.reply != "ready"):
            yield MailFinding(f"relay {relay.name}", "failed", f"{report.phase}: {report.reply}")
            continue
        encryption = report.tls_version or "in clear, on this machine"
        offers = ", ".join(sorted(extensions)) or "no extensions"
        yield MailFinding(f"relay {relay.name}", "ok", f"{encryption}; offers {offers}; {report.duration_ms} ms")
        if "dsn" not in extensions:
            yield MailFinding(
                f"relay {relay.name}", "warning", "offers no DSN: bounces come only if it sends them by itself"
            )
    for finding in _check_webhooks(settings):
        yield finding
    resolver = resolver or dns.asyncresolver.Resolver()
    resolver.lifetime = DNS_SECONDS
    if "@" not in settings.mail_from:
        yield MailFinding("sender", "failed", "IDENTITY_MAIL_FROM is not an address")
        return
    for brand in settings.brands.by_key.values():
        if brand.mail is not None:
            for finding in await sender_records.check_records(brand.mail, resolver):
                of = "" if brand.key == brand_rules.DEFAULT else f"{brand.key}: "
                yield finding._replace(what=of + finding.what)
    yield await _check_bounce_server(settings, key)


async def _check_bounce_server(settings: Settings, key: bytes) -> MailFinding:
    """Send a notice about a message that does not exist to our bounce server; it is stored and changes nothing."""
    message_id = uuid.uuid4().hex
    to = rendering.return_address(message_id, settings.bounce_domain or settings.sender_domain, key)
    notice = EmailMessage()
    notice["From"], notice["To"], notice["Subject"] = "MAILER-DAEMON@localhost", to, "Test: returned mail"
    notice["Auto-Submitted"] = "auto-replied"
    notice.set_content("This is a test.")
    where = f"{settings.bounce_host}:{settings.bounce_port}"
    try:
        async with asyncio.timeout(5):
            await aiosmtplib.send(
                notice, sender="", recipients=[to], hostname=settings.bounce_host, port=settings.bounce_port,
                start_tls=False, local_hostname="localhost",
            )  # fmt: skip
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as problem:
        return MailFinding("bounce server", "warning", f"{where}: {problem or type(problem).__name__}")
    return MailFinding("bounce server", "ok", f"{where} stores returned mail")


def _check_webhooks(settings: Settings) -> list[MailFinding]:
    """Check the key of each provider that has one in the settings, and that its relay is given our message id."""
    names = list(settings.webhook_keys) + ["ses"] * bool(settings.ses_sns_topic_arn)
    return [
        _check_webhook(name, PROVIDERS[name], settings)
        if name in PROVIDERS
        else MailFinding(
            f"webhook {name}", "failed", f"no such provider; IDENTITY_WEBHOOK_KEYS may name {', '.join(PROVIDERS)}"
        )
        for name in names
        if name != "dsn"
    ]


def _check_webhook(name: str, provider: Provider, settings: Settings) -> MailFinding:
    key = settings.webhook_keys.get(name)
    try:
        if provider.read_key is not None and key is not None:
            provider.read_key(key.get_secret_value())
    except ValueError:
        return MailFinding(f"webhook {name}", "failed", "its key in IDENTITY_WEBHOOK_KEYS cannot be read")
    sent = {header.lower() for relay in settings.relays for header in relay.headers}
    if provider.header is not None and provider.header[0].lower() not in sent:
        wanted = ": ".join(provider.header)
        return MailFinding(f"webhook {name}", "warning", f"no relay has the header {wanted}: events name no message")
    return MailFinding(f"webhook {name}", "ok", "its key can be read, and our message id comes back")


def will_flow(findings: list[MailFinding]) -> bool:
    """Return whether the sender is valid and at least one relay is usable, so that messages can be sent."""
    relay = any(finding.what.startswith("relay ") and finding.verdict == "ok" for finding in findings)
    return relay and not any(finding.what == "sender" and finding.verdict == "failed" for finding in findings)
