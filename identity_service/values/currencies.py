"""Currencies and their decimals, by ISO 4217. Pure.

The decimals are those of list one of ISO 4217 (published 2025-05-12), column "minor unit". CLDR has others for 16 of
these currencies, because it counts the coins in use: HUF has 2 here and 0 there. Which codes exist is known to Babel,
withdrawn ones included, since a history holds amounts of former years.
"""

from decimal import Decimal
from typing import Final

from babel.numbers import list_currencies

_USUAL: Final = 2
_DECIMALS: Final = {
    code: decimals
    for decimals, codes in {
        0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
        3: "BHD IQD JOD KWD LYD OMR TND",
        4: "CLF UYW",
    }.items()
    for code in codes.split()
}
_WITHOUT_UNIT: Final = frozenset("XAG XAU XBA XBB XBC XBD XDR XPD XPT XSU XTS XUA XXX".split())
"""Metals, bond units and the codes for tests and for no currency: ISO 4217 gives them no minor unit."""
MOST_DECIMALS: Final = 4


def exists(code: str) -> bool:
    """Return whether `code` is or was the code of a currency (three capital letters)."""
    return code in list_currencies()


def decimals_of(code: str) -> int:
    """Return how many decimals an amount may have: the minor unit of ISO 4217, 2 for a withdrawn currency, and four
    where ISO 4217 gives none."""
    return MOST_DECIMALS if code in _WITHOUT_UNIT else _DECIMALS.get(code, _USUAL)


def write_amount(value: Decimal, code: str, *, grouped: bool = False) -> str:
    """Return an amount as text with the decimals of its currency; `grouped` sets commas between thousands."""
    return f"{value:{',' if grouped else ''}.{decimals_of(code)}f}"
