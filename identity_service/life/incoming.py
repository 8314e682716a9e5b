"""What a row of an import may say, and what is refused. No row is asked of the database here."""

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from identity_service import email_addresses, lines
from identity_service.accounts import numbers
from identity_service.accounts import rules as account_rules
from identity_service.consents import rules as consent_rules
from identity_service.consents import wordings
from identity_service.errors import Unprocessable
from identity_service.passwords import foreign
from identity_service.settings import Settings

FIELDS: Final = (
    "email", "display_name", "locale", "customer_since", "reference", "password_hash", "kind", "company_name",
    "country", "vat_number", "consent_purpose", "consent_decision", "consent_wording", "consent_evidence", "consent_at",
)  # fmt: skip
"""What a row may say of an account; a mapping gives the file's own names for these."""
UNREADABLE: Final = ""
"""The field in which whoever reads a file says why a line could not be read; such a row has no other."""

_LONGEST: Final = {"consent_evidence": 2000}
_JUDGED_APART: Final = ("email", "password_hash", UNREADABLE)
_NO_COMPANY: Final[dict[str, str | None]] = {"company_name": None, "country": None, "vat_number": None}
_DOMAINS: Final = 10_000


class CannotImport(Unprocessable):
    """This row cannot become an account."""


class Judge:
    """What rows are judged by: the settings, the moment, and the domains that were read before."""

    def __init__(self, settings: Settings, *, now: datetime) -> None:
        """Begin with no domain read."""
        self._now = now
        self._purposes = {*consent_rules.PURPOSES, *settings.consent_purposes}
        read = functools.partial(email_addresses.read_domain, special_use=settings.development)
        self._read_domain = functools.lru_cache(_DOMAINS)(read)

    def columns(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return the columns of an account that a row asks for; its User ID is issued when it is written.

        Raises:
            Problem: what is wrong with the row, in a sentence.
        """
        row = _tidy(given)
        if row.get("email") is None and row.get("reference") is None:
            raise CannotImport("A row needs an address, or a reference: nobody would find this account again.")
        address = None if row.get("email") is None else email_addresses.parse(row["email"], read=self._read_domain)
        since = self._moment(row.get("customer_since")) or self._now
        locale, kind = row.get("locale", "en"), row.get("kind", "consumer")
        if locale not in account_rules.LANGUAGES or kind not in account_rules.KINDS:
            raise CannotImport("The locale, or the kind, is none that there is here.")
        password, said = row.get("password_hash"), self._said(row, locale, since)
        return {
            "email": address and address.shown, "email_ascii": address and address.ascii,
            "email_key": address and address.key, "email_state": "none" if address is None else "unconfirmed",
            "display_name": row.get("display_name"), "locale": locale, "kind": kind, "customer_since": since,
            "reference": row.get("reference"), "consent": said, **_company(row, kind),
            "password": None if password is None else foreign.read(password),
        }  # fmt: skip

    def _said(self, row: Mapping[str, str], locale: str, since: datetime) -> dict[str, Any] | None:
        purpose, decision = row.get("consent_purpose"), row.get("consent_decision")
        if purpose is None and decision is None:
            return None
        if purpose is None or decision not in ("granted", "withdrawn"):
            raise CannotImport("A consent needs a purpose and a decision: granted or withdrawn.")
        if purpose not in self._purposes:
            raise consent_rules.UnknownPurpose
        wording = None
        if decision == "granted":
            if "consent_evidence" not in row or "consent_wording" not in row:
                raise CannotImport("A grant needs its wording and its evidence.")
            wording = wordings.find(purpose, row["consent_wording"], locale)
        at = self._moment(row.get("consent_at")) or since
        evidence = row.get("consent_evidence")
        return {"purpose": purpose, "decision": decision, "wording": wording, "evidence": evidence, "at": at}

    def _moment(self, given: str | None) -> datetime | None:
        if given is None:
            return None
        try:
            moment = datetime.fromisoformat(given)
        except ValueError:
            raise CannotImport("A moment is written like 2009-05-17T12:00:00Z.") from None
        if not 1000 <= moment.year <= 9998:
            raise CannotImport("A moment is written like 2009-05-17T12:00:00Z.")
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        if moment > self._now:
            raise CannotImport("A customer cannot be one, or have said something, at a moment that is yet to come.")
        return moment


def _tidy(given: Mapping[str, str]) -> dict[str, str]:
    """Return what is said in a row, without blanks around it and without what is empty."""
    if UNREADABLE in given:
        raise CannotImport(given[UNREADABLE])
    unknown = given.keys() - set(FIELDS)
    if unknown:
        raise CannotImport(f"There is no field {min(unknown)[:40]!r}; map it, or leave it out.")
    row = {name: text for name, value in given.items() if (text := value.strip())}
    for name, text in row.items():
        longest = _LONGEST.get(name, lines.LONGEST)
        if name not in _JUDGED_APART and not lines.is_line(text, longest=longest):
            raise CannotImport(f"The {name} is to be one printable line of at most {longest} characters.")
    return row


def _company(row: Mapping[str, str], kind: str) -> dict[str, str | None]:
    if kind == "consumer":
        return _NO_COMPANY
    name, country = row.get("company_name"), row.get("country", "").upper()
    if name is None or len(country) != 2:
        raise CannotImport("A business needs a company name and a country of two letters.")
    account_rules.check_company_name(name)
    numbers.check_country(country)
    vat = row.get("vat_number")
    return {"company_name": name, "country": country, "vat_number": None if vat is None else numbers.vat(vat, country)}
