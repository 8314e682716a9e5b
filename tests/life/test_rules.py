"""Which desk may serve, and which numbers can be right: pure."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity_service.business import rules as business_rules
from identity_service.contacts import rules
from identity_service.merges import rules as merge_rules
from identity_service.values import company_numbers

PLAIN = {
    "kind": "consumer", "email_domain": "gmail.com", "orders": 0, "totals": {}, "many_orders": 20,
    "large_amount": 5000,
}  # fmt: skip


@given(
    kind=st.sampled_from(["consumer", "business"]),
    email_domain=st.sampled_from([None, "gmail.com", "bau.example"]),
    orders=st.integers(0, 100),
    total=st.integers(-100, 10**5),
)
def test_whoever_calls_both_desks_may_serve_and_the_best_comes_first(kind, email_domain, orders, total):
    """The second story: being a consumer excludes nobody, and a reason is always given."""
    given_ = {**PLAIN, "kind": kind, "email_domain": email_domain, "orders": orders, "totals": {"EUR": Decimal(total)}}
    placed = rules.suggest_desk(**given_)
    assert set(placed.may_serve) == {"consumer", "business"}
    assert placed.may_serve[0] == placed.desk
    assert placed.reasons
    assert placed.offer_conversion == (placed.desk == "business" and kind == "consumer")


@pytest.mark.parametrize(
    ("given_", "desk"),
    [
        ({}, "consumer"), ({"kind": "business"}, "business"), ({"email_domain": None}, "consumer"),
        ({"email_domain": "bau.example"}, "consumer"), ({"orders": 19}, "consumer"), ({"orders": 20}, "business"),
        ({"totals": {"EUR": Decimal("4999.99")}}, "consumer"), ({"totals": {"EUR": Decimal(5000)}}, "business"),
    ],
)  # fmt: skip
def test_the_thresholds(given_, desk):
    assert rules.suggest_desk(**{**PLAIN, **given_}).desk == desk


@pytest.mark.parametrize("orders", [0, 20])
def test_a_domain_of_its_own_is_only_asked_about(orders):
    """A family has one, too: it makes nobody a business, and is named beside what does."""
    placed = rules.suggest_desk(**{**PLAIN, "email_domain": "bau.example", "orders": orders})
    assert placed.reasons[-1] == "writes from bau.example: is that a company?"
    assert (placed.offer_conversion, len(placed.reasons)) == (orders == 20, 2)


@pytest.mark.parametrize(("days", "may"), [(0, True), (30, True), (31, False)])
def test_a_merge_can_be_undone_for_thirty_days(days, may):
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert merge_rules.may_undo(now - timedelta(days=days), now) is may


def test_what_was_never_merged_cannot_be_undone():
    assert merge_rules.may_undo(None, datetime(2026, 1, 1, tzinfo=UTC)) is False


@given(text=st.text(min_size=1, max_size=30), country=st.sampled_from(["DE", "AT", "FR", "GR", "US", "CH", "NL", "IE"]))
def test_any_text_is_a_number_or_refused_with_a_sentence(text, country):
    for check, refusal in (
        (company_numbers.check_vat_number, company_numbers.WrongVatNumber),
        (company_numbers.check_registration_number, company_numbers.WrongRegistrationNumber)
    ):  # fmt: skip
        try:
            found = check(text, country)
        except refusal as refused:
            found = refused.detail
        assert found or not text.strip()


@given(digit=st.integers(0, 8), to=st.integers(0, 9))
def test_one_wrong_digit_in_a_vat_number_is_found(digit, to):
    right = "136695976"
    wrong = right[:digit] + str(to) + right[digit + 1 :]
    if wrong == right:
        assert company_numbers.check_vat_number(wrong, "DE") == f"DE{right}"
    else:
        with pytest.raises(company_numbers.WrongVatNumber):
            company_numbers.check_vat_number(wrong, "DE")


@pytest.mark.parametrize("code", ["ZZ", "EU", "XX", "UN", "QO", "AA"])
def test_letters_that_no_country_has_are_refused(code):
    with pytest.raises(business_rules.UnknownCountry):
        business_rules.check_country(code)


@pytest.mark.parametrize("code", ["DE", "AT", "CH", "US", "GR", "GB", "TW", "XK"])
def test_a_country_is_a_country(code):
    business_rules.check_country(code)
