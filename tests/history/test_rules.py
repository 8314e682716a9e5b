"""Amounts are exact: what goes in comes out, for every currency, and a sum is a sum."""

from decimal import Decimal

import pytest
from babel.numbers import list_currencies
from hypothesis import given
from hypothesis import strategies as st

from identity_service.history import rules
from identity_service.values.currencies import decimals_of, write_amount

CURRENCIES = sorted(list_currencies())


@st.composite
def amounts(draw):
    """An amount as a service writes it, with its currency."""
    currency = draw(st.sampled_from(CURRENCIES))
    decimals = decimals_of(currency)
    units = draw(st.integers(-(2**53) * 10**decimals, 2**53 * 10**decimals))
    return f"{Decimal(units).scaleb(-decimals) or Decimal(0):.{decimals}f}", currency


@given(amounts())
def test_what_goes_in_comes_out(written):
    text, currency = written
    value = rules.parse_amount(text, currency)
    assert write_amount(value, currency) == text


@given(st.text(max_size=30), st.sampled_from(CURRENCIES))
def test_any_text_is_an_amount_within_the_limits_or_refused(text, currency):
    try:
        value = rules.parse_amount(text, currency)
    except rules.MalformedAmount:
        return
    assert abs(value) <= rules.LARGEST
    assert -int(value.as_tuple().exponent) <= decimals_of(currency)


@given(
    st.lists(st.tuples(st.sampled_from(["order", "refund"]), st.sampled_from(["EUR", "JPY"]), st.integers(0, 10**9)))
)
def test_the_net_is_orders_less_refunds_per_currency(rows):
    found = rules.net_amount((kind, currency, Decimal(value)) for kind, currency, value in rows)
    for currency, total in found.items():
        mine = [value if kind == "order" else -value for kind, c, value in rows if c == currency]
        assert total == sum(mine)
    assert set(found) == {currency for _, currency, _ in rows}


@pytest.mark.parametrize(("text", "currency"), [(None, None)])
def test_nothing_is_no_amount(text, currency):
    assert rules.parse_amount(text, currency) is None
