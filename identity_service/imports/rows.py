"""Validate the rows of an import and convert them to account columns.

A row is refused when it cannot be found again, or when what it says of consent, company or time cannot be right. A
value that an account does not need (name, language, password hash, VAT number) is left out when it cannot be read, and
the customer comes over without it; both are told with the line.
"""

import functools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from identity_service import translations
from identity_service.accounts import rules as account_rules
from identity_service.brands import rules as brand_rules
from identity_service.business import rules as business_rules
from identity_service.consents import rules as consent_rules
from identity_service.consents import wordings
from identity_service.errors import Problem
from identity_service.imports import fields
from identity_service.imports.fields import CannotImport
from identity_service.passwords import legacy_hashes
from identity_service.settings import Settings
from identity_service.values import company_numbers, email_addresses
from identity_service.values import text as values_text

FIELDS: Final = (
    "email", "email_verified", "email_verified_at", "display_name", "locale", "customer_since", "reference",
    "password_hash", "kind", "company_name", "country", "vat_number", "consent_purpose", "consent_decision",
    "consent_wording", "consent_evidence", "consent_at",
)  # fmt: skip
"""The fields that a row may have; `--map` gives the file's own names for them."""
UNREADABLE: Final = ""
"""The field in which `files` puts the reason why a line cannot be read; such a row has no other field."""
LEFT_OUT: Final = "left out"
"""The field in which `files` puts what it left out of a row, in sentences."""
LONGEST_EVIDENCE: Final = 2000

_MOMENTS: Final = frozenset({"customer_since", "consent_at", "email_verified_at"})
_COUNTRIES: Final = {"UK": "GB", "EL": "GR"}
"""Codes that are used for a country beside ISO 3166-1; the European Union uses both in VAT numbers."""
_NO_COMPANY: Final[dict[str, str | None]] = {"company_name": None, "country": None, "vat_number": None}
_CACHED_DOMAINS: Final = 10_000


class RowValidator:
    """Validates rows against the settings and the current time; caches parsed email domains."""

    def __init__(self, settings: Settings, *, brand: str = brand_rules.DEFAULT, now: datetime) -> None:
        """Start with an empty cache; the accounts are of `brand`, and `now` is the newest time that a row may have."""
        self._now, self._brand = now, brand
        self._purposes = set(settings.purposes)
        read = functools.partial(email_addresses.read_domain, special_use=settings.development)
        self._read_domain = functools.lru_cache(_CACHED_DOMAINS)(read)

    def read_columns(self, given: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
        """Return the account columns of a row, and a sentence for each value that was left out.

        The User ID is issued when the row is written.

        Raises:
            Problem: with a sentence that says what is wrong with the row and repeats none of its values.
        """
        row, left_out = _clean(given)
        if "email" not in row and "reference" not in row:
            raise CannotImport("A row needs an email or a reference; without one the account could not be found again.")
        address = email_addresses.parse_pasted(row["email"], read=self._read_domain) if "email" in row else None
        since = self._moment(row, "customer_since") or self._now
        locale = _locale(row, left_out)
        columns = {
            "email": address and address.shown, "email_ascii": address and address.ascii,
            "email_key": address and address.key, "email_state": "none" if address is None else "unconfirmed",
            "mailbox_confirmed_at": None if address is None else self._confirmed_at(row),
            "display_name": _optional(row, "display_name", fields.read_line, left_out), "locale": locale,
            "brand": self._brand,
            "customer_since": since, "reference": _reference(row), "consent": self._consent(row, locale, since),
            "password": _password(row, left_out), **_company(row, left_out),
        }  # fmt: skip
        return columns, left_out

    def _confirmed_at(self, row: Mapping[str, str]) -> datetime | None:
        """Return when the other system confirmed the address; if it does not say when, it was before the import."""
        confirmed_at = self._moment(row, "email_verified_at")
        if "email_verified" in row and not fields.read_yes("email_verified", row["email_verified"]):
            return None
        return confirmed_at or (self._now if "email_verified" in row else None)

    def _consent(self, row: Mapping[str, str], locale: str, since: datetime) -> dict[str, Any] | None:
        purpose, decision = row.get("consent_purpose", "").casefold(), row.get("consent_decision", "").casefold()
        if not purpose and not decision:
            return None
        if not purpose or decision not in ("granted", "withdrawn"):
            raise CannotImport("A consent needs a purpose and a decision: granted or withdrawn.")
        if purpose not in self._purposes:
            raise consent_rules.UnknownPurpose
        wording = None
        if decision == "granted":
            if "consent_evidence" not in row or "consent_wording" not in row:
                raise CannotImport("A grant needs its wording and its evidence.")
            wording = wordings.find_wording(purpose, row["consent_wording"], locale)
        evidence = row.get("consent_evidence")
        if evidence is not None:
            evidence = fields.read_lines("consent_evidence", evidence, longest=LONGEST_EVIDENCE)
        at = self._moment(row, "consent_at") or since
        return {"purpose": purpose, "decision": decision, "wording": wording, "evidence": evidence, "occurred_at": at}

    def _moment(self, row: Mapping[str, str], name: str) -> datetime | None:
        return fields.read_moment(name, row[name], self._now) if name in row else None


def _clean(given: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Return the fields of a row that say something, and a sentence for each word for nothing; or refuse the row."""
    if UNREADABLE in given:
        raise CannotImport(given[UNREADABLE])
    left_out = [given[LEFT_OUT]] if LEFT_OUT in given else []
    unknown = given.keys() - {*FIELDS, LEFT_OUT}
    if unknown:
        raise CannotImport(f"There is no field {min(unknown)[:40]!r}; map it, or leave it out.")
    row = {}
    for name, value in given.items():
        text = values_text.read_line(value)
        if name == LEFT_OUT or fields.is_nothing(text):
            continue
        if fields.is_word_for_nothing(text) or (name in _MOMENTS and text == "0"):
            left_out.append(f"{name}: left out, because it is a word for nothing; write nothing instead.")
            continue
        row[name] = text
    return row, left_out


def _optional(row: Mapping[str, str], name: str, read: Callable[[str, str], str], left_out: list[str]) -> str | None:
    """Return a value that an account does not need, or None with a sentence in `left_out`."""
    if name not in row:
        return None
    try:
        return read(name, row[name])
    except Problem as refused:
        sentence = refused.sentence()
        left_out.append(f"{sentence if sentence.startswith(name) else f'{name}: {sentence}'} The value was left out.")
        return None


def _locale(row: Mapping[str, str], left_out: list[str]) -> str:
    def read(name: str, text: str) -> str:
        try:
            return translations.read_tag(text)
        except ValueError as wrong:
            raise CannotImport(f"{name}: {wrong}.") from None

    return _optional(row, "locale", read, left_out) or translations.SOURCE


def _reference(row: Mapping[str, str]) -> str | None:
    return fields.read_line("reference", row["reference"]) if "reference" in row else None


def _password(row: Mapping[str, str], left_out: list[str]) -> str | None:
    if "password_hash" in row and legacy_hashes.is_unusable(row["password_hash"]):
        return None

    def read(_: str, text: str) -> str:
        return legacy_hashes.read_hash(text)

    return _optional(row, "password_hash", read, left_out)


def _company(row: Mapping[str, str], left_out: list[str]) -> dict[str, str | None]:
    """Return kind and company. Without a kind, a company's name or VAT number makes a business."""
    belongs = [name for name in ("company_name", "vat_number") if name in row]
    kind = row.get("kind", "business" if belongs else "consumer").casefold()
    if kind not in tuple(account_rules.AccountKind):
        raise CannotImport("kind: must be consumer or business.")
    if kind == "consumer":
        if belongs:
            raise CannotImport(f"kind: says consumer, but {belongs[0]} belongs to a business; correct one of them.")
        if "country" in row:
            left_out.append("country: left out, because only a business has one here.")
        return {"kind": kind, **_NO_COMPANY}
    country = row.get("country", "").upper()
    country = _COUNTRIES.get(country, country)
    if "company_name" not in row or len(country) != 2:
        raise CannotImport("A business needs a company name and a country code of two letters.")
    name = fields.read_line("company_name", row["company_name"])
    business_rules.check_company_name(name)
    business_rules.check_country(country)
    vat = _optional(row, "vat_number", lambda _, text: company_numbers.check_vat_number(text, country), left_out)
    return {"kind": kind, "company_name": name, "country": country, "vat_number": vat}
