"""Validate the rows of an import and convert them to account columns."""

import functools
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from identity_service.accounts import rules as account_rules
from identity_service.business import rules as business_rules
from identity_service.consents import rules as consent_rules
from identity_service.consents import wordings
from identity_service.errors import Unprocessable
from identity_service.passwords import legacy_hashes
from identity_service.settings import Settings
from identity_service.values import company_numbers, email_addresses
from identity_service.values import text as values_text

FIELDS: Final = (
    "email", "display_name", "locale", "customer_since", "reference", "password_hash", "kind", "company_name",
    "country", "vat_number", "consent_purpose", "consent_decision", "consent_wording", "consent_evidence", "consent_at",
)  # fmt: skip
"""The fields that a row may have; `--map` gives the file's own names for them."""
UNREADABLE: Final = ""
"""The field in which `files` puts the reason why a line cannot be read; such a row has no other field."""

_LONGEST: Final = {"consent_evidence": 2000}
_CHECKED_ELSEWHERE: Final = ("email", "password_hash", UNREADABLE)
_NO_COMPANY: Final[dict[str, str | None]] = {"company_name": None, "country": None, "vat_number": None}
_CACHED_DOMAINS: Final = 10_000


class CannotImport(Unprocessable):
    """This row cannot become an account."""


class RowValidator:
    """Validates rows against the settings and the current time; caches parsed email domains."""

    def __init__(self, settings: Settings, *, now: datetime) -> None:
        """Start with an empty cache; `now` is the newest time that a row may have."""
        self._now = now
        self._purposes = set(settings.purposes)
        read = functools.partial(email_addresses.read_domain, special_use=settings.development)
        self._read_domain = functools.lru_cache(_CACHED_DOMAINS)(read)

    def columns(self, given: Mapping[str, str]) -> dict[str, Any]:
        """Return the account columns of a row; the User ID is issued when it is written.

        Raises:
            Problem: with a sentence that says what is wrong with the row and repeats none of its values.
        """
        row = _clean(given)
        if row.get("email") is None and row.get("reference") is None:
            raise CannotImport("A row needs an email or a reference; without one the account could not be found again.")
        address = (
            None if row.get("email") is None else email_addresses.parse_pasted(row["email"], read=self._read_domain)
        )
        since = self._time(row.get("customer_since")) or self._now
        locale, kind = row.get("locale", "en"), row.get("kind", "consumer")
        if locale not in account_rules.LANGUAGES or kind not in tuple(account_rules.AccountKind):
            raise CannotImport("The locale or the kind is unknown.")
        password, consent = row.get("password_hash"), self._consent(row, locale, since)
        return {
            "email": address and address.shown, "email_ascii": address and address.ascii,
            "email_key": address and address.key, "email_state": "none" if address is None else "unconfirmed",
            "display_name": row.get("display_name"), "locale": locale, "kind": kind, "customer_since": since,
            "reference": row.get("reference"), "consent": consent, **_company(row, kind),
            "password": None if password is None else legacy_hashes.read_hash(password),
        }  # fmt: skip

    def _consent(self, row: Mapping[str, str], locale: str, since: datetime) -> dict[str, Any] | None:
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
            wording = wordings.find_wording(purpose, row["consent_wording"], locale)
        at = self._time(row.get("consent_at")) or since
        evidence = row.get("consent_evidence")
        return {"purpose": purpose, "decision": decision, "wording": wording, "evidence": evidence, "occurred_at": at}

    def _time(self, given: str | None) -> datetime | None:
        if given is None:
            return None
        try:
            time = datetime.fromisoformat(given)
        except ValueError:
            raise CannotImport("A time must be written like 2009-05-17T12:00:00Z.") from None
        if not 1000 <= time.year <= 9998:
            raise CannotImport("A time must be written like 2009-05-17T12:00:00Z.")
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
        if time > self._now:
            raise CannotImport("A time must not be in the future.")
        return time


def _clean(given: Mapping[str, str]) -> dict[str, str]:
    """Return the fields of a row, stripped and without empty ones, or refuse it."""
    if UNREADABLE in given:
        raise CannotImport(given[UNREADABLE])
    unknown = given.keys() - set(FIELDS)
    if unknown:
        raise CannotImport(f"There is no field {min(unknown)[:40]!r}; map it, or leave it out.")
    row = {name: text for name, value in given.items() if (text := values_text.read_line(value))}
    for name, text in row.items():
        longest = _LONGEST.get(name, values_text.LONGEST)
        if name not in _CHECKED_ELSEWHERE and not values_text.is_line(text, longest=longest):
            raise CannotImport(f"The {name} must be one printable line of at most {longest} characters.")
    return row


def _company(row: Mapping[str, str], kind: str) -> dict[str, str | None]:
    if kind == "consumer":
        return _NO_COMPANY
    name, country = row.get("company_name"), row.get("country", "").upper()
    if name is None or len(country) != 2:
        raise CannotImport("A business needs a company name and a country code of two letters.")
    business_rules.check_company_name(name)
    business_rules.check_country(country)
    vat = row.get("vat_number")
    return {
        "company_name": name,
        "country": country,
        "vat_number": None if vat is None else company_numbers.check_vat_number(vat, country),
    }
