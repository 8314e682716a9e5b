"""A company, the checks of its name and country, and their errors; numbers are in `values/`. Pure."""

from dataclasses import dataclass, replace
from typing import Any, Final

from identity_service.errors import Unprocessable
from identity_service.values import company_numbers
from identity_service.values import text as values_text

_MEANT: Final = {"EL": "GR", "XI": "GB", "UK": "GB"}


class UnknownCountry(Unprocessable):
    """This country code doesn't exist. Use two letters, like DE (ISO 3166-1 alpha-2)."""


def check_country(code: str) -> None:
    """Refuse a code that is not a country's (ISO 3166-1 alpha-2).

    Raises:
        UnknownCountry
    """
    if code in _MEANT:
        raise UnknownCountry(
            "Use the country code {meant}. {code} is only used for other things, such as VAT numbers.",
            places={"meant": _MEANT[code], "code": code},
        )
    if code not in company_numbers.COUNTRIES:
        raise UnknownCountry


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
    """Enter the company name on one line, with no more than 200 printable characters."""


def check_company_name(name: str) -> None:
    """Refuse a company name that cannot go into an email subject ("=?" would start an encoded word, RFC 2047).

    Raises:
        MalformedCompanyName
    """
    sign = values_text.find_bad_sign(name)
    if sign is not None:
        raise MalformedCompanyName(
            "The company name can't contain {sign}. Enter it on one line, with no more than 200 printable characters.",
            places={"sign": sign},
        )
    if not values_text.is_line(name):
        raise MalformedCompanyName


def checked_company(details: dict[str, Any]) -> Company:
    """Return a company with its texts, country and numbers checked and normalized; texts are compared as NFC.

    Raises:
        MalformedCompanyName, UnknownCountry
        company_numbers.WrongVatNumber, company_numbers.WrongRegistrationNumber
    """
    read = {name: values_text.read_line(value) for name, value in details.items() if value is not None}
    given = Company(**{"company_name": "", "country": "", **{name: line for name, line in read.items() if line}})
    check_company_name(given.company_name)
    check_country(given.country)
    if not all(values_text.is_line(line) for line in (given.contact_person, given.billing_address) if line is not None):
        raise MalformedCompanyName(
            "Enter the contact person and the billing address on one line each, with printable characters only."
        )
    changes = {}
    if given.vat_number is not None:
        changes["vat_number"] = company_numbers.check_vat_number(given.vat_number, given.country)
    if given.registration_number is not None:
        changes["registration_number"] = company_numbers.check_registration_number(
            given.registration_number, given.country
        )
    return replace(given, **changes)
