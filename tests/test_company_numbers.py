"""VAT and registration numbers as they stand on paper: what is kept, with which letters, and what a refusal says."""

import pytest

from identity_service.business import rules
from identity_service.values import company_numbers
from identity_service.values.company_numbers import WrongRegistrationNumber, WrongVatNumber

KEPT_VAT = [
    # Northern Ireland and Great Britain are one country with two sets of letters.
    ("GB", "XI980780684", "XI980780684"),
    ("GB", "GB 980 7806 84", "GB980780684"),
    ("GB", "980780684", "GB980780684"),
    # Territories under the VAT of another country.
    ("IM", "GB980780684", "GB980780684"),
    ("MC", "FR53000004605", "FR53000004605"),
    ("MC", "53000004605", "FR53000004605"),
    ("RE", "FR40303265045", "FR40303265045"),
    ("MQ", "FR 40 303 265 045", "FR40303265045"),
    ("GP", "40303265045", "FR40303265045"),
    ("AX", "FI20774740", "FI20774740"),
    # Greece writes EL; GR is read.
    ("GR", "EL094259216", "EL094259216"),
    ("GR", "GR 094259216", "EL094259216"),
    # Switzerland: three languages, or the UID alone. Liechtenstein may have them.
    ("CH", "CHE-107.787.577 MWST", "CHE107787577MWST"),
    ("CH", "CHE 107 787 577 TVA", "CHE107787577TVA"),
    ("CH", "CHE107787577IVA", "CHE107787577IVA"),
    ("CH", "CHE-107.787.577", "CHE107787577"),
    ("LI", "CHE-107.787.577 MWST", "CHE107787577MWST"),
    ("HU", "HU12892312", "HU12892312"),
    ("NO", "NO 995 525 828 MVA", "NO995525828MVA"),
    ("ES", "B58378431", "ESB58378431"),
    ("XK", "330123456", "330123456"),
    ("US", "EU372022452", "EU372022452"),
    # As it is pasted.
    ("DE", "USt-IdNr.: DE 136 695 976", "DE136695976"),
    ("DE", "USt-IdNr. DE136695976", "DE136695976"),
    ("AT", "UID ATU13585627", "ATU13585627"),
    ("GB", "VAT No. GB 980 7806 84", "GB980780684"),
    ("PL", "NIP 526-10-40-828", "PL5261040828"),
    ("DE", "ＤＥ１３６６９５９７６", "DE136695976"),
    ("DE", "\u200bDE136\u00ad695976\u202c", "DE136695976"),
    ("DE", "DE\u00a0136\u2011695\u2013976", "DE136695976"),
]
REFUSED_VAT = [
    ("DE", "ATU13585627", "belongs to AT, the company to DE"),
    ("IE", "XI980780684", "belongs to XI, the company to IE"),
    ("DE", "CHE107787577", "belongs to CHE"),
    ("DE", "DE13669597", "Its length is wrong: a VAT number of DE is written like DE123456789."),
    ("DE", "151/815/08156", "written like DE123456789"),
    ("DE", "DE136695975", "check digit"),
    ("SE", "556036-0793", "SE, the ten digits of the organisation number, and 01"),
    ("HU", "12892312-2-41", "HU and the first eight digits of the tax number"),
    ("NO", "NO 995 525 828", "NO 123456789 MVA"),
    ("FR", "303265045", "FRXX and the nine digits of the SIREN"),
    ("CH", "CHE-107.787.577 VAT", "CHE-123.456.789"),
    ("US", "x", "of US, has 1"),
    ("US", "12345☃", "U+2603 SNOWMAN"),
]
KEPT_REGISTRATION = [
    # Germany: with and without court, the letters of Charlottenburg, every register.
    ("DE", "HRB 12345", "HRB 12345"),
    ("DE", "HRB 12345 B", "HRB 12345 B"),
    ("DE", "hrb12345", "HRB 12345"),
    ("DE", "HRB Nr. 12345", "HRB 12345"),
    ("DE", "HRA 1", "HRA 1"),
    ("DE", "VR 123", "VR 123"),
    ("DE", "PR 77 Hamburg", "Hamburg PR 77"),
    ("DE", "GnR 12 Köln", "Köln GnR 12"),
    ("DE", "GsR 5 München", "München GsR 5"),
    ("DE", "Amtsgericht München HRB 12345", "München HRB 12345"),
    ("DE", "AG München, HRB 12345", "München HRB 12345"),
    ("DE", "HRB 12345 AG München", "München HRB 12345"),
    ("DE", "HRB 12345 Hof", "Hof HRB 12345"),
    ("DE", "Ulm HRB 12", "Ulm HRB 12"),
    ("DE", "HRB 12345 B, Amtsgericht Berlin-Charlottenburg", "Berlin (Charlottenburg) HRB 12345 B"),
    ("FR", "732 829 320", "732829320"),
    ("FR", "732 829 320 00074", "73282932000074"),
    ("FR", "RCS Paris B 552 032 534", "RCS Paris B 552032534"),
    ("FR", "552 032 534 RCS Paris", "552 032 534 RCS Paris"),
    ("RE", "732829320", "732829320"),
    ("PL", "192598184", "192598184"),
    ("PL", "REGON 192598184", "REGON 192598184"),
    ("PL", "0000127206", "0000127206"),
    ("PL", "KRS 0000127206", "KRS 0000127206"),
    ("PL", "NIP: 526-10-40-828", "5261040828"),
    ("SE", "556036-0793", "5560360793"),
    ("SE", "16556036-0793", "16556036-0793"),
    ("SE", "Org.nr 556036-0793", "Org.nr 556036-0793"),
    ("HU", "12892312-2-41", "12892312-2-41"),
    ("HU", "01-09-123456", "01-09-123456"),
    ("CH", "CHE-107.787.577", "CHE107787577"),
    ("CH", "CHE-107.787.577 MWST", "CHE107787577MWST"),
    ("CH", "CH-020.3.020.910-1", "CH-020.3.020.910-1"),
    ("AT", "FN 122119m", "122119m"),
    ("AT", "FN 122119m, Handelsgericht Wien", "FN 122119m, Handelsgericht Wien"),
    ("BE", "RPR Antwerpen 0403.019.261", "RPR Antwerpen 0403.019.261"),
    ("DK", "CVR-nr. 13585628", "CVR-nr. 13585628"),
    ("FI", "2077474-0", "20774740"),
    ("AX", "2077474-0", "20774740"),
    ("NO", "995\u00a0525\u00a0828", "995525828"),
    ("GB", "SC123456", "SC123456"),
    ("NL", "34137263", "34137263"),
    ("XK", "810123456", "810123456"),
    ("RO", "J52/750/2012", "J52/750/2012"),
    ("IT", "MI-1234567", "MI-1234567"),
]
REFUSED_REGISTRATION = [
    ("DE", "12345", "The register is missing"),
    ("DE", "HRB 12345 Musterstadt", "No register court has the name that stands beside HRB 12345"),
    ("FR", "552008444", "check digit"),
    ("PL", "526-10-40-827", "check digit"),
    ("SE", "5560360794", "check digit"),
    ("SE", "55603607", "556123-4567"),
    ("HU", "12345", "01-09-123456"),
    ("FR", "SARL", "a SIREN of nine digits"),
]


@pytest.mark.parametrize(("country", "written", "kept"), KEPT_VAT)
def test_a_vat_number_keeps_the_letters_it_has(country, written, kept):
    assert company_numbers.check_vat_number(written, country) == kept
    assert company_numbers.check_vat_number(kept, country) == kept


@pytest.mark.parametrize(("country", "written", "sentence"), REFUSED_VAT)
def test_a_refused_vat_number_is_told_what_is_missing(country, written, sentence):
    with pytest.raises(WrongVatNumber) as refused:
        company_numbers.check_vat_number(written, country)
    assert sentence in refused.value.sentence()


@pytest.mark.parametrize(("country", "written", "kept"), KEPT_REGISTRATION)
def test_a_registration_number_is_accepted_as_it_is_written(country, written, kept):
    assert company_numbers.check_registration_number(written, country) == kept
    assert company_numbers.check_registration_number(kept, country) == kept


@pytest.mark.parametrize(("country", "written", "sentence"), REFUSED_REGISTRATION)
def test_a_refused_registration_number_is_told_what_is_missing(country, written, sentence):
    with pytest.raises(WrongRegistrationNumber) as refused:
        company_numbers.check_registration_number(written, country)
    assert sentence in refused.value.sentence()


def test_every_register_is_known_to_the_library():
    for country, names in company_numbers._REGISTERS.items():
        for name in names:
            assert company_numbers._module(country, name) is not None, (country, name)


@pytest.mark.parametrize(("code", "meant"), [("EL", "GR"), ("UK", "GB"), ("XI", "GB")])
def test_letters_that_are_in_use_for_other_things_are_answered_with_the_country(code, meant):
    with pytest.raises(rules.UnknownCountry) as refused:
        rules.check_country(code)
    assert f"The country code is {meant}" in refused.value.sentence()


def test_a_refusal_is_translated_before_its_places_are_filled():
    with pytest.raises(WrongVatNumber) as refused:
        company_numbers.check_vat_number("DE13669597", "DE")
    assert refused.value.sentence(lambda text: text.replace("length", "Länge")).startswith("Its Länge is wrong: a VAT")


@pytest.mark.parametrize(
    ("field", "value"),
    [("company_name", "Bau\u200bhaus"), ("company_name", "\u3164"), ("contact_person", "An\nna"),
     ("billing_address", "x" * 201)],
)  # fmt: skip
def test_a_company_is_made_of_printable_lines(field, value):
    with pytest.raises(rules.MalformedCompanyName):
        rules.checked_company({"company_name": "Berg GmbH", "country": "DE", field: value})


def test_a_company_is_kept_as_nfc_without_what_nobody_sees_at_its_ends():
    made = rules.checked_company({"company_name": "\ufeffMu\u0308ller Bau\u00a0\u200b", "country": "DE"})
    assert made.company_name == "M\u00fcller Bau"
