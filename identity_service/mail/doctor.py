"""The drill for mail: each relay for real, the sender's DNS, the way back for bounces; and whether mail will flow."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from email.message import EmailMessage
from typing import Final, Literal, NamedTuple

import aiosmtplib
import dns.asyncresolver
import dns.exception
import dns.resolver

from identity_service.mail import letters
from identity_service.mail.smtp import Pool, Timeouts
from identity_service.settings import Settings

Verdict = Literal["ok", "warning", "failed"]
DNS_SECONDS: Final = 4.0


class Finding(NamedTuple):
    """One thing that was looked at."""

    what: str
    verdict: Verdict
    detail: str


async def examine(
    settings: Settings,
    key: bytes,
    *,
    timeouts: Timeouts | None = None,
    resolver: dns.asyncresolver.Resolver | None = None,
) -> AsyncIterator[Finding]:
    """Look at everything a letter needs, one finding after the other; DNS is asked as this machine asks it, or so."""
    if not settings.relays:
        yield Finding("relays", "failed", "IDENTITY_RELAYS names none")
    for relay in settings.relays:
        pool = Pool(relay, local_hostname=settings.sender_domain or "localhost", timeouts=timeouts)
        report, extensions = await pool.check()
        if report.code is None or (report.outcome == "relay_fault" and report.reply != "ready"):
            yield Finding(f"relay {relay.name}", "failed", f"{report.phase}: {report.reply}")
            continue
        secured = report.tls_version or "in clear, on this machine"
        offers = ", ".join(sorted(extensions)) or "no extensions"
        yield Finding(f"relay {relay.name}", "ok", f"{secured}; offers {offers}; {report.duration_ms} ms")
        if "dsn" not in extensions:
            yield Finding(
                f"relay {relay.name}", "warning", "offers no DSN: bounces come only if it sends them by itself"
            )
    asking = resolver or dns.asyncresolver.Resolver()
    asking.lifetime = DNS_SECONDS
    if "@" not in settings.mail_from:
        yield Finding("sender", "failed", "IDENTITY_MAIL_FROM is not an address")
        return
    for finding in await _names(settings, asking):
        yield finding
    yield await _bounce_loop(settings, key)


async def _names(settings: Settings, asking: dns.asyncresolver.Resolver) -> list[Finding]:
    """Look up what receivers look up, all at once: a name server that is away costs its time but once."""
    sender, bounce = settings.sender_domain, settings.bounce_domain or settings.sender_domain
    wanted = [
        (sender, "TXT", "v=spf1", "SPF", "receivers cannot tell that our relays may send for us"),
        (f"_dmarc.{sender}", "TXT", "v=DMARC1", "DMARC", "receivers do not know what to do with forgeries"),
        (bounce, "MX", "", "MX of the bounce domain", "returned mail finds no way back"),
    ]
    if settings.dkim_selector:
        name = f"{settings.dkim_selector}._domainkey.{sender}"
        wanted.append((name, "TXT", "p=", "DKIM", "the relay's signature cannot be checked"))
    found = list(await asyncio.gather(*(_record(asking, *record) for record in wanted)))
    if not settings.dkim_selector:
        found.append(Finding("DKIM", "warning", "IDENTITY_DKIM_SELECTOR is not set: the relay's key was not looked up"))
    return found


async def _record(
    asking: dns.asyncresolver.Resolver, name: str, kind: str, begins: str, what: str, without: str
) -> Finding:
    try:
        answer = await asking.resolve(name, kind)
        found = [b"".join(r.strings).decode("ascii", "replace") if kind == "TXT" else r.to_text() for r in answer]
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
        found = []
    except (dns.exception.DNSException, OSError) as away:
        return Finding(what, "warning", f"{name}: DNS cannot be asked from here ({type(away).__name__})")
    fitting = [text for text in found if begins in text]
    return (
        Finding(what, "ok", f"{name}: {fitting[0][:120]}")
        if fitting
        else Finding(what, "warning", f"{name}: {without}")
    )


async def _bounce_loop(settings: Settings, key: bytes) -> Finding:
    """Bring a notice about a letter that never was to our own bounce door; it is kept, and changes nothing."""
    message_id = uuid.uuid4().hex
    to = letters.return_address(message_id, settings, key)
    notice = EmailMessage()
    notice["From"], notice["To"], notice["Subject"] = "MAILER-DAEMON@localhost", to, "Drill: returned mail"
    notice["Auto-Submitted"] = "auto-replied"
    notice.set_content("This is a drill.")
    where = f"{settings.bounce_host}:{settings.bounce_port}"
    try:
        async with asyncio.timeout(5):
            await aiosmtplib.send(
                notice, sender="", recipients=[to], hostname=settings.bounce_host, port=settings.bounce_port,
                start_tls=False, local_hostname="localhost",
            )  # fmt: skip
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as problem:
        return Finding("bounce door", "warning", f"{where}: {problem or type(problem).__name__}")
    return Finding("bounce door", "ok", f"{where} keeps what comes back")


def will_flow(findings: list[Finding]) -> bool:
    """Tell whether letters can be made, and at least one relay takes them."""
    relay = any(finding.what.startswith("relay ") and finding.verdict == "ok" for finding in findings)
    return relay and not any(finding.what == "sender" and finding.verdict == "failed" for finding in findings)
