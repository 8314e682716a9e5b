"""Amounts have the decimals of ISO 4217, in the API, for the customer and at the desk."""

from decimal import Decimal

import pytest

from identity_service.contacts import rules as contact_rules
from identity_service.history import rules
from identity_service.values import currencies
from identity_service.web import pages

ACTIVE = """
AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF CHW CLF
CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF
IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT
MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD
SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS
VED VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG
""".split()
"""List one of ISO 4217, without the thirteen codes that have no minor unit."""
NONE = set("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split())
THREE = set("BHD IQD JOD KWD LYD OMR TND".split())


def decimals(currency: str) -> int:
    return 0 if currency in NONE else 3 if currency in THREE else 4 if currency in ("CLF", "UYW") else 2


@pytest.mark.parametrize("currency", ACTIVE)
def test_every_active_currency_has_the_decimals_of_its_minor_unit(currency):
    """J04: RSD, IQD, HUF and thirteen others, where CLDR counts the coins in use."""
    places = decimals(currency)
    written = f"1499.{'9' * places}" if places else "1499"
    value = rules.parse_amount(written, currency)
    assert currencies.write_amount(value, currency) == written
    with pytest.raises(rules.MalformedAmount, match=f"{currency} has at most {places} decimals"):
        rules.parse_amount(f"1499.{'9' * (places + 1)}", currency)


@pytest.mark.parametrize("currency", ["DEM", "ITL", "HRK", "TRL", "XEU"])
def test_a_history_holds_amounts_of_former_currencies(currency):
    assert rules.parse_amount("1.50", currency) == Decimal("1.5")


@pytest.mark.parametrize(
    ("written", "value"),
    [("-0", "0"), ("-0.00", "0"), ("007.50", "7.50"), (str(2**53), str(2**53)), (str(-(2**53)), str(-(2**53))),
     ("0" * 30 + "1", "1"), ("0.01", "0.01")],
)  # fmt: skip
def test_an_amount_at_the_edge_is_exact(written, value):
    found = rules.parse_amount(written, "EUR")
    assert (found, found.is_signed()) == (Decimal(value), value.startswith("-"))


@pytest.mark.parametrize(
    ("locale", "currency", "value", "shown"),
    [("en", "KWD", "1.234", "KWD1.234"), ("de", "RSD", "1499.99", "1.499,99 RSD"),
     ("de", "HUF", "1499.5", "1.499,50 HUF"), ("en", "JPY", "1500", "¥1,500"), ("de", "EUR", "-1.5", "-1,50 €")],
)  # fmt: skip
def test_the_customer_reads_each_currency_with_its_own_decimals(locale, currency, value, shown):
    money = pages._format_money(Decimal(value), currency, tag=locale)
    assert money.replace("\u00a0", " ") == shown


@pytest.mark.parametrize(
    ("totals", "said"),
    [({"KWD": "5000.5"}, "KWD 5,000.500"), ({"JPY": "900000"}, "JPY 900,000"),
     ({"EUR": "7000", "USD": "1"}, "EUR 7,000.00"), ({"HUF": "123456.7"}, "HUF 123,456.70")],
)  # fmt: skip
def test_the_desk_reads_which_currency_a_customer_bought_for(totals, said):
    """J05."""
    placed = contact_rules.suggest_desk(
        kind="consumer", email_domain=None, orders=0, totals={code: Decimal(total) for code, total in totals.items()},
        many_orders=20, large_amount=5000,
    )  # fmt: skip
    assert placed.reasons == (f"has bought for {said}",)
