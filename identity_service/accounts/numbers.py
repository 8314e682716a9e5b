"""VAT and registration numbers, by python-stdnum: the form and the check digits, never whether they were issued. Pure.

A number says which country it belongs to; one of another country is refused by name, because that is what people mix
up when they copy an invoice.
"""

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
    """This VAT number cannot be right."""


class WrongRegistrationNumber(Unprocessable):
    """This registration number cannot be right."""


class UnknownCountry(Unprocessable):
    """There is no such country (ISO 3166-1 alpha-2)."""


def vat(text: str, country: str) -> str:
    """Return a VAT number in its compact form with the country's letters, or refuse it.

    Raises:
        WrongVatNumber: with a sentence that says whether length, form, check digit or country is wrong.
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


def registration(text: str, country: str) -> str:
    """Return a registration number as its country writes it; where no rule is known, as it was given.

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
    """Refuse two letters that no country has.

    Raises:
        UnknownCountry
    """
    if code not in _COUNTRIES:
        raise UnknownCountry


def _is_foreign(compact: str) -> bool:
    """Tell whether a number begins like another country's: two letters that such a country puts before its own."""
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
            return "Its form is wrong."
        case _:
            return "It cannot be right."
