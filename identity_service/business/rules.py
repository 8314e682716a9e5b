"""A company, the checks of its name, country, VAT and registration number, and their errors. Pure."""

from dataclasses import dataclass
from typing import Any, Final

import stdnum
from babel import Locale
from stdnum.exceptions import InvalidChecksum, InvalidComponent, InvalidFormat, InvalidLength, ValidationError

from identity_service.errors import Unprocessable

_REGISTRATION: Final = ("businessid", "orgnr", "kvk", "siren", "crn", "uid", "cvr", "nip", "ico", "regon", "rut")
_PREFIX: Final = {"GR": "EL"}
_COUNTRY_OF: Final = {prefix: country for country, prefix in _PREFIX.items()}
_NO_COUNTRIES: Final = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
_COUNTRIES: Final = frozenset(str(code) for code in Locale("en").territories if len(str(code)) == 2) - _NO_COUNTRIES


class WrongVatNumber(Unprocessable):
    """This VAT number is not valid."""


class WrongRegistrationNumber(Unprocessable):
    """This registration number is not valid."""


class UnknownCountry(Unprocessable):
    """This country code does not exist; use two letters (ISO 3166-1 alpha-2)."""


def check_vat_number(text: str, country: str) -> str:
    """Return a VAT number in compact form with its country prefix.

    Raises:
        WrongVatNumber: with a detail that says whether length, format, check digit or country is wrong.
    """
    prefix = _PREFIX.get(country, country)
    compact = "".join(text.split()).upper().replace("-", "").replace(".", "")
    if compact[:2] != prefix and _is_foreign(compact) and not _is_own(compact, country):
        raise WrongVatNumber(f"This VAT number belongs to {compact[:2]}, the company to {country}.")
    module = _module(country, "vat")
    if module is None:
        if not 4 <= len(compact) <= 20 or not compact.isalnum():
            raise WrongVatNumber("A VAT number is 4 to 20 letters and digits.")
        return compact
    try:
        number = str(module.validate(compact))
    except ValidationError as refused:
        raise WrongVatNumber(_why(refused)) from refused
    return number if number[:2] == prefix else prefix + number


def check_registration_number(text: str, country: str) -> str:
    """Return a registration number in its country's form; if no rule is known, as given with single spaces.

    Raises:
        WrongRegistrationNumber
    """
    for name in _REGISTRATION:
        module = _module(country, name)
        if module is not None:
            try:
                return str(module.validate(text))
            except ValidationError as refused:
                raise WrongRegistrationNumber(_why(refused)) from refused
    return " ".join(text.split())


def check_country(code: str) -> None:
    """Refuse a code that is not a country's (ISO 3166-1 alpha-2).

    Raises:
        UnknownCountry
    """
    if code not in _COUNTRIES:
        raise UnknownCountry


def _is_foreign(compact: str) -> bool:
    """Return whether a number starts with the prefix of a country whose VAT rule is known."""
    letters = _COUNTRY_OF.get(compact[:2], compact[:2])
    return letters in _COUNTRIES and _module(letters, "vat") is not None


def _is_own(compact: str, country: str) -> bool:
    module = _module(country, "vat")
    return module is not None and bool(module.is_valid(compact))


def _module(country: str, name: str) -> Any:  # noqa: ANN401
    found = stdnum.get_cc_module(country.lower(), name)
    return found if found is not None and hasattr(found, "validate") else None


def _why(refused: ValidationError) -> str:
    match refused:
        case InvalidLength():
            return "Its length is wrong."
        case InvalidChecksum():
            return "Its check digit does not fit: a digit is mistyped, or two are swapped."
        case InvalidFormat() | InvalidComponent():
            return "Its format is wrong."
        case _:
            return "It is not valid."


@dataclass(frozen=True, slots=True)
class Company:
    """The details of a company; `country` is ISO 3166-1 alpha-2."""

    company_name: str
    country: str
    vat_number: str | None = None
    registration_number: str | None = None
    contact_person: str | None = None
    billing_address: str | None = None


class MalformedCompanyName(Unprocessable):
    """A company name must be one printable line of at most 200 characters."""


def check_company_name(name: str) -> None:
    """Refuse a company name that cannot go into an email subject ("=?" would start an encoded word, RFC 2047).

    Raises:
        MalformedCompanyName
    """
    if not name.strip() or len(name) > 200 or not name.isprintable() or "=?" in name:
        raise MalformedCompanyName


def checked_company(details: dict[str, Any]) -> Company:
    """Return a company with its country and numbers checked and normalized.

    Raises:
        UnknownCountry, WrongVatNumber, WrongRegistrationNumber
    """
    given = Company(**details)
    check_country(given.country)
    changes = {}
    if given.vat_number is not None:
        changes["vat_number"] = check_vat_number(given.vat_number, given.country)
    if given.registration_number is not None:
        changes["registration_number"] = check_registration_number(given.registration_number, given.country)
    return Company(**{**details, **changes})
