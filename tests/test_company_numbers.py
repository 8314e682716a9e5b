"""VAT and registration numbers as they stand on paper: what is kept, with which letters, and what a refusal says."""

import contextlib
import time

import pytest

from identity_service.business import rules
from identity_service.values import company_numbers
from identity_service.values.company_numbers import WrongRegistrationNumber, WrongVatNumber

KEPT_VAT = [
    ("IT", "P.I. 00905811006", "IT00905811006"),
    ("IT", "C.F. e P.IVA 00905811006", "IT00905811006"),
    ("ES", "N.I.F. A-28015865", "ESA28015865"),
    ("GR", "A.F.M. 094014249", "EL094014249"),
    ("RO", "C.I.F. RO18547290", "RO18547290"),
    ("RO", "CUI RO18547290", "RO18547290"),
    ("PT", "NIPC PT501964843", "PT501964843"),
    ("PT", "Contribuinte n.º 501964843", "PT501964843"),
    ("LV", "PVN reģ. Nr. LV40003521600", "LV40003521600"),
    ("FI", "ALV rek. FI20774740", "FI20774740"),
    ("BG", "ДДС BG175074752", "BG175074752"),
    ("IS", "VSK nr. 12345", "IS12345"),
    ("CH", "CHE-107.787.577 VAT", "CHE107787577"),
    ("SI", "Identifikacijska št. SI50223054", "SI50223054"),
    ("DE", "Umsatzsteuer-Identifikationsnummer gemäß §27a UStG: DE136695976", "DE136695976"),
    ("DK", "SE-nr. 13585628", "DK13585628"),
    ("SE", "SE556188840401", "SE556188840401"),
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
    # The country's own letters, where its VAT numbers have others.
    ("CH", "CH107787577", "CHE107787577"),
    ("MC", "MC53000004605", "FR53000004605"),
    ("RE", "RE 40 303 265 045", "FR40303265045"),
    ("AX", "AX20774740", "FI20774740"),
    ("IM", "IM980780684", "GB980780684"),
    # Letters that the rule of the country does not read.
    ("SM", "SM24165", "SM24165"),
    ("SM", "24165", "SM24165"),
    ("SM", "SM 24.165", "SM24165"),
    ("RU", "RU7707083893", "RU7707083893"),
    ("TR", "TR 4540536920", "TR4540536920"),
    # The Swiss commercial register and the VAT in one.
    ("CH", "CHE-107.787.577 HR/MWST", "CHE107787577MWST"),
    ("CH", "CHE-107.787.577 RC/TVA", "CHE107787577TVA"),
    ("CH", "CHE-107.787.577 RC/IVA", "CHE107787577IVA"),
    ("CH", "CHE-107.787.577 HR", "CHE107787577"),
    # Labels.
    ("GB", "VAT Registration Number 980 7806 84", "GB980780684"),
    ("GB", "VAT Reg. No. GB980780684", "GB980780684"),
    ("SE", "Momsreg.nr SE556188840401", "SE556188840401"),
    ("SE", "Momsregistreringsnummer SE556188840401", "SE556188840401"),
    ("DE", "Umsatzsteuer-Identifikationsnummer DE136695976", "DE136695976"),
    ("FR", "N° TVA FR40303265045", "FR40303265045"),
    ("FR", "Numéro de TVA intracommunautaire FR 40 303 265 045", "FR40303265045"),
    ("FI", "ALV-numero FI20774740", "FI20774740"),
    ("PL", "Numer NIP 5261040828", "PL5261040828"),
]
REFUSED_VAT = [
    ("DE", "ATU13585627", "is for AT, but the company is in DE"),
    ("IE", "XI980780684", "is for XI, but the company is in IE"),
    ("DE", "CHE107787577", "is for CHE, but the company is in DE"),
    ("DE", "DE13669597", "The VAT number has the wrong length. For DE, write it like this: DE123456789."),
    ("DE", "151/815/08156", "write it like this: DE123456789"),
    ("DE", "DE136695975", "check digit"),
    ("SE", "556036-0793", "SE, the ten digits of the organisation number, and 01"),
    ("HU", "12892312-2-41", "HU and the first eight digits of the tax number"),
    ("NO", "NO 995 525 828", "NO 123456789 MVA"),
    ("FR", "303265045", "FRXX and the nine digits of the SIREN"),
    ("CH", "CH107787578", "check digit"),
    ("CH", "CH12", "CHE-123.456.789"),
    ("MC", "MC53000004606", "check digit"),
    ("SM", "SM999999", "SM and up to five digits"),
    ("US", "x", "for US, has 1"),
    ("US", "12345☃", "U+2603 SNOWMAN"),
]
KEPT_REGISTRATION = [
    ("FR", "W751234567", "W751234567"),
    ("FR", "RNA W313001234", "RNA W313001234"),
    ("DE", "DEB8537.HRB123456", "HRB 123456"),
    ("DE", "Sitz Köln, HRB 12345", "Köln HRB 12345"),
    ("DE", "Handelsregister B des Amtsgerichts Köln, HRB 12345", "Köln HRB 12345"),
    ("DE", "Amtsgericht Köln, Abteilung B, Nr. 12345", "Köln HRB 12345"),
    ("DE", "Munich HRB 12345", "München HRB 12345"),
    ("DE", "Registered at AG Köln, HRB 12345", "Köln HRB 12345"),
    ("DE", "Amtsgericht Ulm (Donau) HRB 12345", "Ulm HRB 12345"),
    ("DE", "HRB 12345, Amtsgericht Köln, Geschäftsführer: Max Meier", "Köln HRB 12345"),
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
    # Courts with a river or region, in full or short.
    ("DE", "Frankfurt am Main HRB 7", "Frankfurt am Main HRB 7"),
    ("DE", "Amtsgericht Frankfurt am Main HRB 12345", "Frankfurt am Main HRB 12345"),
    ("DE", "HRB 7 Frankfurt a.M.", "Frankfurt am Main HRB 7"),
    ("DE", "Frankfurt/Main HRB 7", "Frankfurt am Main HRB 7"),
    ("DE", "Frankfurt aM HRB 7", "Frankfurt am Main HRB 7"),
    ("DE", "Frankfurt (Oder) HRB 7", "Frankfurt/Oder HRB 7"),
    ("DE", "Frankfurt a. d. O. HRB 7", "Frankfurt/Oder HRB 7"),
    ("DE", "Amtsgericht Offenbach am Main HRB 7", "Offenbach am Main HRB 7"),
    ("DE", "HRB 7 Offenbach a. M.", "Offenbach am Main HRB 7"),
    ("DE", "AG Freiburg i. Br. HRB 7", "Freiburg HRB 7"),
    ("DE", "Freiburg im Breisgau HRB 7", "Freiburg HRB 7"),
    ("DE", "HRB 7 Bad Homburg", "Bad Homburg v.d.H. HRB 7"),
    ("DE", "Bad Homburg vor der Höhe HRB 7", "Bad Homburg v.d.H. HRB 7"),
    ("DE", "Homburg HRB 7", "Homburg HRB 7"),
    ("DE", "Weiden i.d.OPf. HRB 7", "Weiden i. d. OPf. HRB 7"),
    ("DE", "Sankt Ingbert HRB 7", "St. Ingbert (St Ingbert) HRB 7"),
    ("DE", "HRB 7 B Charlottenburg (Berlin)", "Berlin (Charlottenburg) HRB 7 B"),
    ("DE", "Munchen HRB 7", "München HRB 7"),
    # A colon, and words that are no court.
    ("DE", "Amtsgericht Köln: HRB 12345", "Köln HRB 12345"),
    ("DE", "Köln: HRB 12345", "Köln HRB 12345"),
    ("DE", "Registergericht: Amtsgericht Köln; Registernummer: HRB 12345", "Köln HRB 12345"),
    ("DE", "Amtsgericht Köln, Nr.: HRB 12345", "Köln HRB 12345"),
    ("DE", "Registernummer: HRB 12345", "HRB 12345"),
    ("DE", "HRB 12345 (Amtsgericht München)", "München HRB 12345"),
    ("DE", "HRB 12345 in Köln", "Köln HRB 12345"),
    ("DE", "Handelsregister B des Amtsgerichts Köln, Nr. 12345", "Köln HRB 12345"),
    # What stands between register and number, and within the number.
    ("DE", "HRB-12345", "HRB 12345"),
    ("DE", "HRB-Nr. 12345", "HRB 12345"),
    ("DE", "HRB #12345", "HRB 12345"),
    ("DE", "HRB: 12 345", "HRB 12345"),
    ("DE", "HRB 12.345 B", "HRB 12345 B"),
    ("DE", "HR B 12345", "HRB 12345"),
    ("DE", "HRB Köln 12345", "Köln HRB 12345"),
    ("DE", "Hamburg HRB 012345", "Hamburg HRB 12345"),
    ("DE", "VR-Nr. 0123 Köln", "Köln VR 123"),
    ("DE", "HRB 12345 A", "HRB 12345 A"),
    ("DE", "W-IdNr.: DE136695976-00001", "DE136695976-00001"),
    ("FR", "732 829 320", "732829320"),
    ("FR", "RCS Paris: 552 032 534", "552032534"),
    ("FR", "732 829 320 00074", "73282932000074"),
    ("FR", "RCS Paris B 552 032 534", "RCS Paris B 552032534"),
    ("FR", "552 032 534 RCS Paris", "552 032 534 RCS Paris"),
    ("RE", "732829320", "732829320"),
    ("PL", "192598184", "192598184"),
    ("PL", "REGON 192598184", "REGON 192598184"),
    ("PL", "0000127206", "0000127206"),
    ("PL", "KRS 0000127206", "KRS 0000127206"),
    ("PL", "KRS: 0000028860", "KRS: 0000028860"),
    ("PL", "KRS nr 0000028860", "KRS nr 0000028860"),
    ("PL", "Nr KRS 0000028860", "KRS 0000028860"),
    ("PL", "Numer KRS 00000 28860", "KRS 00000 28860"),
    ("PL", "Sąd Rejonowy w Gdańsku, KRS 0000028860", "Sąd Rejonowy w Gdańsku, KRS 0000028860"),
    ("PL", "NIP: 526-10-40-828", "5261040828"),
    ("SE", "556036-0793", "5560360793"),
    ("SE", "16556036-0793", "16556036-0793"),
    ("SE", "Org.nr 556036-0793", "Org.nr 556036-0793"),
    ("HU", "12892312-2-41", "12892312-2-41"),
    ("HU", "01-09-123456", "01-09-123456"),
    ("HU", "Cg. 01-10-041585", "Cg. 01-10-041585"),
    ("HU", "Cg.01-10-041585", "Cg.01-10-041585"),
    ("HU", "Cégjegyzékszám: 01-10-041585", "Cégjegyzékszám: 01-10-041585"),
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
    ("CH", "Firmennummer CH-020.3.020.910-1", "CH-020.3.020.910-1"),
    ("GB", "SC123456", "SC123456"),
    ("GB", "Company number: SC123456", "SC123456"),
    ("GB", "Company No. 01234567", "01234567"),
    # A colon behind a place: without it the number may be another's.
    ("US", "Delaware: 1234567", "Delaware: 1234567"),
    ("IT", "REA Milano: 1234567", "REA Milano: 1234567"),
    ("NL", "34137263", "34137263"),
    ("XK", "810123456", "810123456"),
    ("RO", "J52/750/2012", "J52/750/2012"),
    ("IT", "MI-1234567", "MI-1234567"),
]
REFUSED_REGISTRATION = [
    ("DE", "12345", "The register is missing"),
    ("DE", "HRB 12345 Musterstadt", "We don't know a register court with the name next to HRB 12345"),
    ("DE", "Landau an der Isar HRB 7", "We don't know a register court"),
    ("DE", "Frankfurt HRB 7", "We don't know a register court"),
    ("DE", "VR Bank Köln HRB 123", "We don't know a register court"),
    ("DE", "HRA 123, HRB 456", "We don't know a register court"),
    ("DE", "HRB 12 345678", "We don't know a register court"),
    ("DE", "HRB 1234567", "write it like this: HRB 12345"),
    ("DE", "HRB", "write it like this: HRB 12345"),
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


COURTS = company_numbers._module("DE", "businessid").GERMAN_COURTS
COURT_FORMS = [
    "{0} HRB 7", "Amtsgericht {0} HRB 7", "AG {0}, HRB 7", "HRB 7 {0}", "HRB 7 AG {0}", "HRB 7 ({0})", "HRB {0} 7",
    "Amtsgericht {0}: HRB 7", "Registergericht: Amtsgericht {0}; Registernummer: HRB 7", "HRB-Nr. 7, {0}",
]  # fmt: skip
SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss"})


@pytest.mark.parametrize("form", COURT_FORMS)
def test_every_register_court_is_read_in_every_form(form):
    for court in COURTS:
        for name in (court, court.upper(), court.lower(), court.translate(SPELLED_OUT)):
            read = company_numbers.check_registration_number(form.format(name), "DE")
            assert read == f"{court} HRB 7", name


def test_every_addition_belongs_to_a_court():
    assert {*company_numbers._COURT_ADDITIONS, *company_numbers._COURT_ALIASES.values()} <= set(COURTS)


@pytest.mark.parametrize("unit", ["HRB ", "HRB", "0", "0 ", "a:", "nr ", "VAT ", "USt id ", "ident", "01-", "(", "CH-"])
def test_a_long_text_is_read_or_refused_at_once(unit):
    """ATT-17."""
    for start in ("", "HRB 1 ", "VAT reg "):
        long = start + unit * (20_000 // len(unit))
        for country in ("DE", "PL", "HU", "CH", "US"):
            begun = time.process_time()
            with contextlib.suppress(WrongRegistrationNumber):
                company_numbers.check_registration_number(long, country)
            with contextlib.suppress(WrongVatNumber):
                company_numbers.check_vat_number(long, country)
            assert time.process_time() - begun < 2


def test_every_register_is_known_to_the_library():
    for country, names in company_numbers._REGISTERS.items():
        for name in names:
            assert company_numbers._module(country, name) is not None, (country, name)


@pytest.mark.parametrize(("code", "meant"), [("EL", "GR"), ("UK", "GB"), ("XI", "GB")])
def test_letters_that_are_in_use_for_other_things_are_answered_with_the_country(code, meant):
    with pytest.raises(rules.UnknownCountry) as refused:
        rules.check_country(code)
    assert f"Use the country code {meant}." in refused.value.sentence()


def test_a_refusal_is_translated_before_its_places_are_filled():
    with pytest.raises(WrongVatNumber) as refused:
        company_numbers.check_vat_number("DE13669597", "DE")
    said = refused.value.sentence(lambda text: text.replace("length", "Länge"))
    assert said.startswith("The VAT number has the wrong Länge. For DE")


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
