"""The DNS records that receivers look up before they believe a brand's emails: SPF, DKIM, DMARC, MX, MTA-STS, TLS-RPT.

SPF is looked up at the domain of the return address (RFC 7208, 2.4), because that is where receivers look it up; DMARC
asks in addition that this domain, or the one that signs, belongs to the sender's (RFC 7489, 3.1).
"""

import asyncio
import re
from typing import Final, Literal, NamedTuple

import dns.asyncresolver
import dns.exception
import dns.resolver

from identity_service.brands.rules import Mail

MailVerdict = Literal["ok", "warning", "failed"]
MOST_LOOKUPS: Final = 10
"""RFC 7208, 4.6.4: with more, receivers treat the record as broken."""
_COSTS: Final = re.compile(r"[+~?-]?(include:|a(?=$|[:/])|mx(?=$|[:/])|ptr(?=$|:)|exists:)|redirect=", re.IGNORECASE)
_ALLOWS: Final = re.compile(
    r"(?:^|\s)(?:\+?(?:include:|a\b|mx\b|ptr\b|exists:|ip4:|ip6:|all\b)|redirect=)", re.IGNORECASE
)
_HAS_KEY: Final = re.compile(r"(?:^|;)\s*p\s*=\s*[^;\s]")
_FOLLOWED: Final = re.compile(r"[+~?-]?include:(\S+)|redirect=(\S+)", re.IGNORECASE)


class MailFinding(NamedTuple):
    """The result of one check."""

    what: str
    verdict: MailVerdict
    detail: str


class Unanswered(Exception):
    """The name servers of this machine cannot be asked."""


async def check_records(mail: Mail, resolver: dns.asyncresolver.Resolver) -> list[MailFinding]:
    """Return one finding per record, looked up at once: an unreachable name server costs one timeout only."""
    bounce = mail.bounce_domain or mail.domain
    checks = (
        ("SPF", bounce, _check_spf(resolver, bounce)),
        ("DMARC", f"_dmarc.{mail.domain}", _check_dmarc(resolver, mail, bounce)),
        ("MX of the bounce domain", bounce, _check_mx(resolver, bounce)),
        ("DKIM", f"{mail.dkim_selector}._domainkey.{mail.domain}", _check_dkim(resolver, mail)),
        ("MTA-STS", f"_mta-sts.{bounce}", _check_policy(resolver, f"_mta-sts.{bounce}", "v=STSv1", _NO_STS)),
        ("TLS-RPT", f"_smtp._tls.{bounce}", _check_policy(resolver, f"_smtp._tls.{bounce}", "v=TLSRPTv1", _NO_REPORTS)),
    )  # fmt: skip
    results = await asyncio.gather(*(check for _, _, check in checks), return_exceptions=True)
    found = []
    for (what, name, _), result in zip(checks, results, strict=True):
        if isinstance(result, Unanswered):
            found.append(MailFinding(what, "warning", f"{name}: DNS cannot be asked from here ({result})"))
        elif isinstance(result, BaseException):
            raise result
        else:
            found.append(MailFinding(what, *result))
    return found


async def check_alignment(mail: Mail, resolver: dns.asyncresolver.Resolver) -> list[MailFinding]:
    """Return the findings of SPF, DMARC and DKIM alone: what must be well before a brand's sender writes (BRD-07).

    Raises:
        Unanswered: the name servers of this machine cannot be asked, which says nothing about the records.
    """
    bounce = mail.bounce_domain or mail.domain
    found = (
        ("SPF", await _check_spf(resolver, bounce)), ("DMARC", await _check_dmarc(resolver, mail, bounce)),
        ("DKIM", await _check_dkim(resolver, mail)),
    )  # fmt: skip
    return [MailFinding(what, *result) for what, result in found]


_NO_STS: Final = "returned mail may be sent to us without TLS (RFC 8461)"
_NO_REPORTS: Final = "nobody tells us when mail to us could not be encrypted (RFC 8460)"
_Result = tuple[MailVerdict, str]


async def _check_spf(resolver: dns.asyncresolver.Resolver, domain: str) -> _Result:
    record = await _find(resolver, domain, "v=spf1")
    if record is None:
        return "warning", f"{domain}: receivers cannot check whether our relays may send for us"
    if not _ALLOWS.search(record):
        return "warning", f"{domain}: {record[:120]} lets nobody send"
    cost = await _lookups(resolver, record, seen=frozenset({domain}))
    if cost > MOST_LOOKUPS:
        return "warning", f"{domain}: needs {cost} look-ups and may have {MOST_LOOKUPS}; receivers ignore it (RFC 7208)"
    return "ok", f"{domain}: {record[:120]} ({cost} of {MOST_LOOKUPS} look-ups)"


async def _lookups(resolver: dns.asyncresolver.Resolver, record: str, *, seen: frozenset[str]) -> int:
    """Return how many look-ups a record costs a receiver, with those of the records that it includes."""
    cost = sum(bool(_COSTS.match(term)) for term in record.split())
    for match in _FOLLOWED.finditer(record):
        name = (match[1] or match[2]).lower().rstrip(".")
        if name not in seen and cost <= MOST_LOOKUPS:
            included = await _find(resolver, name, "v=spf1")
            cost += 0 if included is None else await _lookups(resolver, included, seen=seen | {name})
    return cost


async def _check_dmarc(resolver: dns.asyncresolver.Resolver, mail: Mail, bounce: str) -> _Result:
    name = f"_dmarc.{mail.domain}"
    record = await _find(resolver, name, "v=DMARC1") or await _find(
        resolver, f"_dmarc.{_organisation(mail.domain)}", "v=DMARC1"
    )
    if record is None:
        return "warning", f"{name}: receivers do not know what to do with forgeries"
    if _organisation(bounce) != _organisation(mail.domain):
        return "warning", f"{name}: {bounce} does not belong to {mail.domain}: SPF counts for nothing, DKIM alone does"
    return "ok", f"{name}: {record[:120]}"


async def _check_mx(resolver: dns.asyncresolver.Resolver, domain: str) -> _Result:
    found = await _ask(resolver, domain, "MX")
    return ("ok", f"{domain}: {found[0][:120]}") if found else ("warning", f"{domain}: returned mail finds no way back")


async def _check_dkim(resolver: dns.asyncresolver.Resolver, mail: Mail) -> _Result:
    if not mail.dkim_selector:
        return (
            "warning",
            "no selector is set (mail.dkim_selector or IDENTITY_DKIM_SELECTOR): the relay's key is unknown",
        )
    name = f"{mail.dkim_selector}._domainkey.{mail.domain}"
    record = await _find(resolver, name, "p=")
    if record is None:
        return "warning", f"{name}: the signature cannot be checked"
    if not _HAS_KEY.search(record):
        return "warning", f"{name}: the key is revoked: p= is empty (RFC 6376, 3.6.1)"
    return "ok", f"{name}: {record[:120]}"


async def _check_policy(resolver: dns.asyncresolver.Resolver, name: str, prefix: str, without: str) -> _Result:
    record = await _find(resolver, name, prefix)
    return ("ok", f"{name}: {record[:120]}") if record else ("warning", f"{name}: {without}")


def _organisation(domain: str) -> str:
    """Return the last two labels: what relaxed alignment compares, but for public suffixes of two labels."""
    return ".".join(domain.rstrip(".").split(".")[-2:])


async def find_texts(resolver: dns.asyncresolver.Resolver, name: str) -> list[str]:
    """Return the TXT records of a name; none if it does not exist.

    Raises:
        Unanswered
    """
    return await _ask(resolver, name, "TXT")


async def _find(resolver: dns.asyncresolver.Resolver, name: str, part: str) -> str | None:
    return next((text for text in await find_texts(resolver, name) if part in text), None)


async def _ask(resolver: dns.asyncresolver.Resolver, name: str, kind: str) -> list[str]:
    try:
        answer = await resolver.resolve(name, kind)
    except (dns.resolver.NoAnswer, dns.resolver.NXDOMAIN):
        return []
    except (dns.exception.DNSException, OSError) as problem:
        raise Unanswered(type(problem).__name__) from problem
    return [b"".join(r.strings).decode("ascii", "replace") if kind == "TXT" else r.to_text() for r in answer]
