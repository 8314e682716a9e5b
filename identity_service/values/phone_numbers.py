"""Mobile telephone numbers: read from what people type, and masked. Pure.

Google's metadata for numbers (`phonenumbers`) knows which digits belong to which region and who pays for them. The
region decides where a text goes, never the calling code: +1 leads to islands too, +44 to others (TXT-05).
"""

import re
import unicodedata
from typing import Final, NamedTuple

import phonenumbers
from phonenumbers import PhoneNumberType

from identity_service.errors import Unprocessable

LONGEST: Final = 40
PREFIX_DIGITS: Final = 4
"""Digits after the calling code by which numbers of one series are counted together (TXT-03)."""

_TYPED: Final = re.compile(r"[\d\s+().\-/]+")
_MOBILE: Final = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)
_NUMBER_IN_TEXT: Final = re.compile(r"(?<![A-Za-z0-9])(?:\+|%2B)?\(?\d(?:[\s().\-/]{0,2}\d){6,17}(?![A-Za-z0-9])", re.I)
HIDDEN: Final = "[number]"


class MalformedPhoneNumber(Unprocessable):
    """This isn't a telephone number. Enter it with its country code, like +49 1512 3456789."""


class NoTextsThere(Unprocessable):
    """We can't send text messages to this number. Use a mobile number of a country in the list."""


class PhoneNumber(NamedTuple):
    """A number in E.164 (`+4915123456789`), and its region in ISO 3166 (`DE`)."""

    e164: str
    region: str

    @property
    def prefix(self) -> str:
        """Return calling code and first digits, `+49 1512`: those of one series of numbers."""
        parsed = phonenumbers.parse(self.e164)
        return f"+{parsed.country_code} {phonenumbers.national_significant_number(parsed)[:PREFIX_DIGITS]}"

    # What the outbox asks of every recipient, as of an email address.

    @property
    def shown(self) -> str:
        """Return the number as it is stored with a message."""
        return self.e164

    @property
    def ascii(self) -> str:
        """Return the number as carriers take it."""
        return self.e164

    @property
    def key(self) -> str:
        """Return the text whose keyed hash names this number."""
        return self.e164

    @property
    def domain(self) -> str:
        """Return what recipients are counted by: the region."""
        return self.region


def read_phone_number(typed: str, regions: frozenset[str]) -> PhoneNumber:
    """Return a mobile number of one of these regions. A number without its country code is read as one of the only
    region, if there is one alone.

    Raises:
        MalformedPhoneNumber: it is no number: letters, an extension, too many digits.
        NoTextsThere: its region is not in `regions`, or it is no mobile number: premium, shared-cost, satellite, short.
    """
    narrow = unicodedata.normalize("NFKC", typed).strip()
    if len(typed) > LONGEST or not _TYPED.fullmatch(narrow):
        raise MalformedPhoneNumber
    own = next(iter(regions)) if len(regions) == 1 else None
    if narrow.startswith("00"):
        narrow = f"+{narrow[2:]}"
    try:
        parsed = phonenumbers.parse(narrow, own)
    except phonenumbers.NumberParseException as refused:
        raise MalformedPhoneNumber from refused
    if not phonenumbers.is_valid_number(parsed):
        raise MalformedPhoneNumber
    region = phonenumbers.region_code_for_number(parsed) or ""
    if region not in regions or phonenumbers.number_type(parsed) not in _MOBILE:
        raise NoTextsThere
    return PhoneNumber(phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164), region)


def of_e164(e164: str) -> PhoneNumber:
    """Return a number that was stored.

    Raises:
        ValueError: it is none.
    """
    try:
        parsed = phonenumbers.parse(e164)
    except phonenumbers.NumberParseException as refused:
        raise ValueError(HIDDEN) from refused
    return PhoneNumber(
        phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164),
        phonenumbers.region_code_for_number(parsed) or "",
    )


def is_region(code: str) -> bool:
    """Return whether numbers of a region are known: an ISO 3166 code that has a calling code."""
    return code in phonenumbers.SUPPORTED_REGIONS


def mask(e164: str) -> str:
    """Return what may be shown of a number: its last two digits (ADR-10)."""
    return f"•••• {e164[-2:]}"


def mask_all(text: str | None) -> str | None:
    """Return a text with everything that may be a telephone number replaced (TXT-12)."""
    return text if text is None else _NUMBER_IN_TEXT.sub(HIDDEN, text)
