"""VAT and registration numbers of companies, checked by python-stdnum. Pure.

A VAT number keeps the letters in front of it where the number fits them: Northern Ireland writes XI, Greece EL, and
some territories are under the VAT of another country. A number without letters gets those of the company's country. A
registration number is kept as it is written, if it fits one of the registers of the country.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from typing import Any, Final, NamedTuple

import stdnum
from babel import Locale
from stdnum.exceptions import InvalidChecksum, InvalidLength, ValidationError

from identity_service.errors import Unprocessable
from identity_service.values import pasted

_NO_COUNTRIES: Final = frozenset({"EU", "EZ", "QO", "UN", "XA", "XB", "ZZ"})
COUNTRIES: Final = frozenset(str(code) for code in Locale("en").territories if len(str(code)) == 2) - _NO_COUNTRIES
"""Codes of ISO 3166-1 alpha-2, and XK for Kosovo."""
_FRENCH: Final = ("RE", "GP", "MQ", "GF", "YT", "PM", "BL", "MF")
_VAT_LETTERS: Final[dict[str, tuple[str, ...]]] = {
    "GB": ("GB", "XI"), "IM": ("GB",), "GR": ("EL",), "MC": ("FR",), "AX": ("FI",), "SJ": ("NO",), "CH": ("CHE",),
    "LI": ("LI", "CHE"), "EA": ("ES",), "IC": ("ES",), **dict.fromkeys(_FRENCH, ("FR",)),
}  # fmt: skip
"""The letters of VAT numbers where they are not the country's code; the first are put in front of a number without."""
_MODULE_OF: Final = {"XI": "GB", "EL": "GR", "CHE": "CH"}
_VAT_FORMS: Final = {
    "AT": "ATU12345678", "BE": "BE0123456789", "BG": "BG123456789",
    "CHE": "CHE-123.456.789 with MWST, TVA, IVA or nothing behind it", "CY": "CY12345678L", "CZ": "CZ12345678",
    "DE": "DE123456789", "DK": "DK12345678", "EE": "EE123456789",
    "EL": "EL123456789", "ES": "ESX1234567X", "FI": "FI12345678", "FR": "FRXX and the nine digits of the SIREN",
    "GB": "GB123456789 (in Northern Ireland XI123456789)", "HR": "HR12345678901",
    "HU": "HU and the first eight digits of the tax number", "IE": "IE1234567WA", "IT": "IT12345678901",
    "LT": "LT123456789", "LU": "LU12345678", "LV": "LV12345678901", "MT": "MT12345678", "NL": "NL123456789B01",
    "NO": "NO 123456789 MVA", "PL": "PL and the ten digits of the NIP", "PT": "PT123456789", "RO": "RO1234567890",
    "SE": "SE, the ten digits of the organisation number, and 01", "SI": "SI12345678", "SK": "SK1234567890",
    "SM": "SM and up to five digits",
    "XI": "XI123456789",
}  # fmt: skip
"""How VAT numbers are written (European Commission, VIES, "structure of VAT numbers"), for refusals."""
_VAT_LABEL = re.compile(
    r"(?:(?:n[°º]|nr|no|num[ée]ro|numero|numer|number|nummer)[\s.]*(?:d[ei]\s+)?)?"
    r"(?:C\.? ?F\.? e )?"
    r"(?:VAT|USt|Umsatzsteuer(?:-Identifikationsnummer)?(?: gemäß § ?27 ?a UStG)?|UID|MwSt|TVA|BTW|P\.? ?IVA"
    r"|Partita IVA"
    r"|P\.I\.|IVA|NIPC|N\.?I\.?P|N\.?I\.?F|C\.?I\.?F|CUI|CVR|SE-?nr|DIČ|DPH|PVM|PVN(?: reģ)?|KMKR|ALV(?: rek)?|DDV"
    r"|PDV|OIB|VSK|ДДС|moms|adószám|ΑΦΜ|Α\.Φ\.Μ|A\.?F\.?M|Contribuinte|Identifikacijska št(?:evilka)?)"
    r"[\s.:-]*(?:(?:reg(?:istr\w*)?|ident\w*|id|no|nro|nr|idnr|number|nummer|numero|num|intra\w*|n\.?[º°])(?!\w)"
    r"[\s.:#-]*)*"
    r"(?=[A-Z0-9])",
    re.IGNORECASE,
)
_SIGNS = re.compile(r"[\s./,\u00b7\u2010-\u2015\u2212-]+")
# In Switzerland the number of the commercial register and of the VAT is one: "HR/MWST", "RC/TVA", "RC/IVA".
_SWISS_VAT = re.compile(r"(?<=\ACHE\d{9})VAT\Z")
_SWISS_REGISTER = re.compile(r"(?<=\d)(?:HR|RC)(?=(?:MWST|TVA|IVA)?\Z)")

_REGISTERS: Final[dict[str, tuple[str, ...]]] = {
    "AT": ("businessid",), "AU": ("acn", "abn"), "BE": ("businessid",), "BG": ("vat",), "BR": ("cnpj",), "CA": ("bn",),
    "CH": ("uid", "vat"), "CL": ("rut",), "CN": ("uscc",), "CO": ("nit",), "CZ": ("dic",), "DK": ("cvr",),
    "EE": ("registrikood",), "ES": ("cif", "nif"), "FI": ("ytunnus",), "FR": ("siren", "siret", "rcs"), "HR": ("oib",),
    "HU": ("anum",), "IL": ("hp",), "IN": ("gstin", "pan"), "IT": ("iva",), "JP": ("cn",), "KR": ("brn",),
    "LV": ("pvn",), "MD": ("idno",), "MX": ("rfc",), "NO": ("orgnr",), "PL": ("nip", "regon"), "PT": ("nif",),
    "RO": ("cui", "onrc"), "RS": ("pib",), "RU": ("inn", "ogrn"), "SE": ("orgnr",), "SG": ("uen",),
    "SI": ("businessid",), "TR": ("vkn",), "TW": ("ubn",), "UA": ("edrpou",), "US": ("ein",), "UY": ("rut",),
}  # fmt: skip
"""The modules of python-stdnum for company numbers, by country."""
_REGISTERS_OF: Final = {**dict.fromkeys(_FRENCH, "FR"), "AX": "FI", "SJ": "NO"}
_OTHER_REGISTERS: Final = {
    "CH": re.compile(r"(?<!\w)CH-?\d{3}\.?\d\.?\d{3}\.?\d{3}-?\d(?!\d)", re.IGNORECASE),
    "FR": re.compile(r"(?<!\w)W\d{9}(?!\d)", re.IGNORECASE),
    "HU": re.compile(r"(?<![\d-])\d\d[ -]?\d\d[ -]?\d{6}(?![\d-])"),
    "PL": re.compile(r"(?<![\d-])0(?: ?\d){9}(?![\d-])"),
}
"""Registers that python-stdnum does not know: the former Swiss commercial register, the French one of associations,
the Hungarian company register, the Polish court register (KRS). Their form tells them from all other numbers of the
country."""
_REGISTER_FORMS: Final = {
    "BE": "0123.456.789", "CH": "CHE-123.456.789", "DE": "HRB 12345", "DK": "12345678 (CVR)", "EE": "12345678",
    "FI": "1234567-8",
    "FR": "a SIREN of nine digits, a SIRET of 14, or RCS with its town",
    "HU": "12345678-1-23 (tax number) or 01-09-123456 (company register)", "NO": "123 456 789 (organisation number)",
    "PL": "a KRS or NIP of ten digits, or a REGON of nine or 14", "SE": "556123-4567 (organisation number)",
    "SI": "1234567000",
}  # fmt: skip
"""How the numbers are written in countries where every company has one; elsewhere other numbers are kept as written."""
_DIGITS = re.compile(r"\d(?:[\d .,/\u00a0-]*\d)?")
# Words that say that a number follows, and name no register and no place.
_REGISTRATION_LABEL = re.compile(
    r"(?!no\s)(?:(?:company|business|commercial|trade|registration|registered|register|registry|reg|number|nummer"
    r"|num|no"
    r"|nr|id|code|entity|file|numéro|numero|numer|(?:handels|vereins)?registernummer|firmenbuchnummer|firmennummer)"
    r"(?!\w)[\s.:#-]*)+(?=\w)",
    re.IGNORECASE,
)
_ANY_LABEL = re.compile(r"[^\d:]{1,60}:\s*(?=\S)")
_GERMAN_REGISTER: Final = (
    r"(?<!\w)(?:(?:(?:HR|Handelsregister)(?:[ ,]*Abt(?:eilung|\.))?|Abt(?:eilung|\.))[ .-]?[AB]|GnR|GsR|PR|VR)"
    r"(?![^\W\d_])"
)
_ONLY_GERMAN_REGISTER = re.compile(_GERMAN_REGISTER, re.IGNORECASE)
# Between register and number may stand the court: "HRB Köln 12345".
_GERMAN = re.compile(
    rf"({_GERMAN_REGISTER})((?:(?!{_GERMAN_REGISTER})\D){{0,60}}?)(?<!\d)0*"
    r"([1-9]\d{0,2}[ .]\d{3}|[1-9]\d{0,5})(?!\d)(?:\s*([A-ZÖ]{1,3})(?!\w))?(?!\w)",
    re.IGNORECASE,
)
_EUID = re.compile(r"\ADE[A-Z]\d{4}V?\.(?=[A-Z])", re.IGNORECASE)
_BEHIND_GERMAN = re.compile(r"[,;|]\s*(?=Gesch|GF\b|vertret|USt|Inhaber|Vorstand|Tel|E-?Mail)", re.IGNORECASE)
_GERMAN_NAMES: Final = {name.upper(): name for name in ("GnR", "GsR", "PR", "VR")}
_NOT_IN_COURTS: Final = frozenset(
    (
        "amtsgericht amtsgerichts amtsgerichtes registergericht registergerichts registergerichtes handelsregister "
        "handelsregisters vereinsregister vereinsregisters genossenschaftsregister partnerschaftsregister register "
        "registernummer handelsregisternummer registernr handelsregisternr nummer nr no eingetragen unter sitz "
        "registered at court abt abteilung "
        "ag a am an auf bei beim d dem den der des i im in v vor"
    ).split()
)
"""Words beside the names of courts, and those between a town and its river."""
_COURT_ADDITIONS: Final = {
    "Bad Homburg v.d.H.": "Höhe", "Frankfurt am Main": "Main", "Frankfurt/Oder": "Oder", "Freiburg": "Breisgau",
    "Friedberg": "Hessen", "Hagen": "Westfalen", "Hamm": "Westfalen", "Hof": "Saale", "Homburg": "Saar",
    "Kempten (Allgäu)": "Allgäu", "Köln": "Rhein", "Königstein": "Taunus Ts", "Landau": "Pfalz", "Limburg": "Lahn",
    "Ludwigshafen a.Rhein (Ludwigshafen)": "Rhein", "Marburg": "Lahn", "Mühlhausen": "Thüringen",
    "Münster": "Westfalen", "Neunkirchen": "Saar", "Neuss": "Rhein", "Offenbach am Main": "Main",
    "Oldenburg (Oldenburg)": "Oldb Oldbg", "Siegen": "Westfalen", "Weiden i. d. OPf.": "Oberpfalz OPf",
}  # fmt: skip
"""What stands behind the names of some towns, in full or in its first letters: Frankfurt a. M., Freiburg i. Br."""
_COURT_ALIASES: Final = {
    "Allgäu": "Kempten (Allgäu)", "Munich": "München", "Cologne": "Köln", "Nuremberg": "Nürnberg",
    "Hanover": "Hannover", "Ulm Donau": "Ulm", "Berlin": "Berlin (Charlottenburg)",
    "Charlottenburg": "Berlin (Charlottenburg)",
    "Paderborn früher Höxter": "Paderborn",
}  # fmt: skip


class WrongVatNumber(Unprocessable):
    """This VAT number isn't valid. Check it."""


class WrongRegistrationNumber(Unprocessable):
    """This registration number isn't valid. Check it."""


def check_vat_number(text: str, country: str) -> str:
    """Return a VAT number in compact form with its letters; `country` is the company's (ISO 3166-1 alpha-2).

    Raises:
        WrongVatNumber: with a sentence that says whether length, form, check digit or country is wrong.
    """
    compact = _compact_vat(text)
    letters = _VAT_LETTERS.get(country, (country,))
    given = next((one for one in letters if compact.startswith(one)), None)
    if given is None and compact[:2] in ("EU", "IM") and _fits("EU", "oss", compact):
        return compact
    if given is None and compact.startswith(country):
        # The country's own letters, where its VAT numbers have others.
        given, compact = letters[0], letters[0] + compact[2:]
    tried = [given] if given else list(letters)
    for one in tried:
        number = _fitting_vat(compact, one)
        if number is not None:
            return number
    if given is None and (foreign := _foreign_letters(compact)):
        raise WrongVatNumber(
            "This VAT number is for {foreign}, but the company is in {country}. Check both.",
            places={"foreign": foreign, "country": country},
        )
    return _unknown_vat(compact, country) if _vat_module(tried[0]) is None else _refuse_vat(compact, tried[0], country)


def check_registration_number(text: str, country: str) -> str:
    """Return a registration number as its register writes it, or with single blanks as it was given.

    Raises:
        WrongRegistrationNumber: with a sentence that says what is missing or wrong.
    """
    given = pasted.remove_wrapping(pasted.read_narrow(pasted.remove_invisible(" ".join(text.split()))))
    given = pasted.remove_label(given, _REGISTRATION_LABEL)
    if not given:
        raise WrongRegistrationNumber("A registration number must contain digits.")
    if country == "DE":
        return _check_german(given)
    country = _REGISTERS_OF.get(country, country)
    own = _OTHER_REGISTERS.get(country)
    if own is not None and own.search(given):
        return given
    refusals = []
    for candidate in _candidates(given, country):
        for name in _REGISTERS.get(country, ()):
            try:
                number = str(_module(country, name).validate(candidate.text))
            except ValidationError as refused:
                # Digits out of a longer text are judged only where every company has this number.
                refusals += [refused] if candidate.is_whole or country in _REGISTER_FORMS else []
            else:
                return number if candidate.is_whole else given
    if any(isinstance(refused, InvalidChecksum) for refused in refusals):
        raise WrongRegistrationNumber(
            "The check digit doesn't match. Check the number for a mistyped digit, or two that are swapped."
        )
    if country in _REGISTER_FORMS:
        raise WrongRegistrationNumber(
            "The format of the registration number isn't right. For {country}, write it like this: {form}.",
            places={"country": country, "form": _REGISTER_FORMS[country]},
        )
    return given


def _compact_vat(text: str) -> str:
    plain = pasted.remove_dress(pasted.read_narrow(pasted.remove_invisible(text)))
    label = _VAT_LABEL.match(plain)
    # "CIF" and "NIF" may also begin a number; only what follows a blank or sign is a label in front of one.
    plain = plain[label.end() :] if label and not label[0].isalpha() else plain
    return _SWISS_VAT.sub("", _SWISS_REGISTER.sub("", _SIGNS.sub("", plain).upper()))


def _fitting_vat(compact: str, letters: str) -> str | None:
    """Return the number with its letters, if it fits the rule of their country."""
    country = _MODULE_OF.get(letters, letters)
    if letters == "CHE" and _fits("CH", "uid", compact):
        return str(_module("CH", "uid").validate(compact))
    module = _vat_module(letters)
    # Not every module of python-stdnum reads the letters.
    written = (compact, compact.removeprefix(letters))
    fitting = next((one for one in written if module is not None and module.is_valid(one)), None)
    if fitting is None:
        return None
    number = str(module.validate(fitting))
    prefix = letters if country != "CH" else "CH"
    return number if number.startswith(prefix) else prefix + number


def _unknown_vat(compact: str, country: str) -> str:
    sign = next((sign for sign in compact if not (sign.isascii() and sign.isalnum())), None)
    if sign is not None:
        raise WrongVatNumber(
            "A VAT number has 4 to 20 letters and digits. {sign} is neither, so remove it.",
            places={"sign": pasted.name_sign(sign)},
        )
    if not 4 <= len(compact) <= 20:
        raise WrongVatNumber(
            "A VAT number has 4 to 20 letters and digits. This one, for {country}, has {has}.",
            places={"country": country, "has": len(compact)},
        )
    return compact


def _refuse_vat(compact: str, letters: str, country: str) -> str:
    places = {"country": country, "form": _VAT_FORMS.get(letters, f"{letters} and its digits")}
    is_uid = letters == "CHE" and len(compact) == len("CHE123456789")
    module = _module("CH", "uid") if is_uid else _vat_module(letters)
    try:
        module.validate(compact if letters == "CHE" else compact.removeprefix(letters))
    except InvalidChecksum as refused:
        raise WrongVatNumber(
            "The check digit doesn't match. Check the number for a mistyped digit, or two that are swapped."
        ) from refused
    except InvalidLength as refused:
        raise WrongVatNumber(
            "The VAT number has the wrong length. For {country}, write it like this: {form}.", places=places
        ) from refused
    except ValidationError as refused:
        raise WrongVatNumber(
            "The format of the VAT number isn't right. For {country}, write it like this: {form}.", places=places
        ) from refused
    return compact


def _foreign_letters(compact: str) -> str | None:
    """Return the letters in front of a number, if a country whose VAT rule is known has them."""
    letters = "CHE" if compact.startswith("CHE") else compact[:2]
    known = letters.isalpha() and (letters in _MODULE_OF or letters in COUNTRIES) and _vat_module(letters) is not None
    return letters if known else None


class _Candidate(NamedTuple):
    text: str
    is_whole: bool


def _candidates(given: str, country: str) -> Iterator[_Candidate]:
    """Yield what may be the number itself: all that was given, what stands behind a label, and its digits without
    register, court or town."""
    yield _Candidate(given, is_whole=True)
    if label := _ANY_LABEL.match(given):
        yield _Candidate(given[label.end() :], is_whole=True)
    digits = _DIGITS.search(given)
    if digits is None:
        return
    number = _SIGNS.sub("", digits[0])
    if country == "SE" and len(number) == 12 and number.startswith("16"):
        # The tax agency writes the organisation number with the century of a legal person in front.
        number = number[2:]
    if country == "HU" and len(number) == 11:
        # The tax number of eight digits, followed by its VAT code and county.
        number = number[:8]
    if number != given:
        yield _Candidate(number, is_whole=False)


def _check_german(given: str) -> str:
    """Return register, number and, where it was named, the court: `München HRB 12345`."""
    # The European identifier (EUID) names the court by a code; behind the number often stand the managers.
    given = _BEHIND_GERMAN.split(_EUID.sub("", given))[0]
    found = _GERMAN.search(given)
    if found is None:
        return _refuse_german(given)
    register = _GERMAN_NAMES.get(found[1].upper(), f"HR{found[1][-1].upper()}")
    number, suffix = re.sub("[ .]", "", found[3]), (found[4] or "").upper()
    named = _ONLY_GERMAN_REGISTER.sub(" ", f"{given[: found.start()]} {found[2]} {given[found.end() :]}")
    court, court_with_suffix = _court_words(named), _court_words(f"{named} {suffix.title()}")
    is_word = len(suffix) > 1 and (court_with_suffix == court or suffix == "BAD")
    if is_word or (court not in _courts() and court_with_suffix in _courts()):
        # It is no suffix but belongs to the court: "AG" and "in" in front of its name, Hof and Ulm are courts.
        court, suffix = court_with_suffix, ""
    whole = " ".join(part for part in (register, number, suffix) if part)
    if not court:
        return whole
    if court not in _courts():
        raise WrongRegistrationNumber(
            "We don't know a register court with the name next to {number}. Check the name, or leave it out.",
            places={"number": whole},
        )
    return f"{_courts()[court]} {whole}"


def _refuse_german(given: str) -> str:
    plain = pasted.remove_dress(given)
    if _fits("DE", "vat", plain.partition("-")[0]):
        return plain
    if _ONLY_GERMAN_REGISTER.search(given):
        raise WrongRegistrationNumber(
            "The format of the registration number isn't right. For {country}, write it like this: {form}.",
            places={"country": "DE", "form": _REGISTER_FORMS["DE"]},
        )
    raise WrongRegistrationNumber(
        "The register is missing. A registration number for DE starts with HRA, HRB, GnR, GsR, PR or VR."
    )


def _court_words(text: str) -> frozenset[str]:
    """Return the words by which a court is known, ä as a or ae, without those that stand beside every court."""
    spaced = re.sub(r"\b([aiv])(d?)(?=[A-ZÄÖÜ])", r"\1 \2 ", text)
    plain = unicodedata.normalize("NFD", spaced.casefold()).replace("sankt", "st")
    letters = "".join(sign for sign in plain if not unicodedata.combining(sign))
    words = {re.sub("([aou])e", r"\1", word) for word in re.findall(r"[^\W_]+", letters)}
    return frozenset(words - _NOT_IN_COURTS)


@cache
def _courts() -> dict[frozenset[str], str]:
    """Return the register courts of python-stdnum by the words of their names; what names two of them names none."""
    names: dict[frozenset[str], set[str]] = {}
    courts = [(court, court) for court in _module("DE", "businessid").GERMAN_COURTS]
    for court, name in [*courts, *((court, alias) for alias, court in _COURT_ALIASES.items())]:
        additions = _court_words(_COURT_ADDITIONS.get(court, ""))
        shortened = {word[:length] for word in additions for length in range(1, len(word) + 1)}
        words = _court_words(name)
        town = words - shortened
        for known in (words, town, *(town | {addition} for addition in shortened)):
            names.setdefault(known, set()).add(court)
    return {known: found.pop() for known, found in names.items() if known and len(found) == 1}


def _vat_module(letters: str) -> Any:  # noqa: ANN401
    return _module(_MODULE_OF.get(letters, letters), "vat")


def _module(country: str, name: str) -> Any:  # noqa: ANN401
    found = stdnum.get_cc_module(country.lower(), name)
    return found if found is not None and hasattr(found, "validate") else None


def _fits(country: str, name: str, number: str) -> bool:
    return bool(_module(country, name).is_valid(number))
