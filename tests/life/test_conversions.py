"""A consumer becomes a business and goes back, on the same User ID and with everything that ever happened."""

import hashlib

import pytest

from tests.life.given import (
    COMPANY,
    a_business,
    account,
    append,
    audited,
    call,
    confirm,
    consent,
    convert,
    every_row,
    link_to,
    merge,
    press,
    set_password,
    sign_in,
    two_accounts,
)
from tests.life.given import an_entry as entry

GOOD = "violet teapot argues with gravity"
ANNA = "anna@example.com"
NOTICE = "You have a business account now"
STAYS = ("password", "consent_entry", "consent_state", "sign_in_session", "external_reference", "history_entry")


@pytest.fixture
async def anna(caller):
    made = await caller.post("/v1/accounts", {"email": ANNA, "external_ref": "17"})
    return made.json()["user_id"]


async def back(caller, user_id, **headers):
    return await call(caller, "DELETE", f"/v1/accounts/{user_id}/business", **headers)


async def hash_of(service, *tables):
    """One hash over every row of these tables."""
    rows = await every_row(service)
    return hashlib.sha256(repr([sorted(rows[name]) for name in tables]).encode()).hexdigest()


async def test_everything_that_counts_stays_both_ways(service, caller, anna):
    """PRV-17: password, session, consents, references and history, row by row; the objection to marketing too."""
    await set_password(service, ANNA, GOOD)
    browser = await sign_in(service, ANNA, GOOD)
    await consent(service, caller, anna, ANNA)
    await call(caller, "PUT", f"/v1/accounts/{anna}/consents/phone", {"granted": False})
    await append(caller, anna, entry("a1", amount="12.50", currency="EUR"), entry("a2", kind="ticket"))
    before = await hash_of(service, *STAYS)
    assert (await convert(caller, anna)).status_code == 200
    assert await hash_of(service, *STAYS) == before
    assert (await back(caller, anna)).status_code == 200
    assert await hash_of(service, *STAYS) == before
    await browser.open("/me")
    assert anna in browser.text
    assert (await account(caller, anna))["external_refs"] == ["17"]
    await audited(service)


async def test_the_kind_rides_in_every_answer(service, caller, anna):
    answer = (await convert(caller, anna)).json()["account"]
    details = {"registration_number": None, "contact_person": None, "billing_address": None}
    assert (answer["kind"], answer["business"]) == ("business", {**COMPANY, **details})
    verified = await caller.post("/v1/accounts/verifications", {"user_ids": [anna]})
    assert verified.json()["results"][0]["kind"] == "business"
    assert (await caller.get(f"/v1/accounts/{anna}/desk-suggestion")).json()["desk"] == "business"
    await back(caller, anna)
    answer = await account(caller, anna)
    assert (answer["kind"], answer["business"]) == ("consumer", None)
    assert (await caller.get(f"/v1/accounts/{anna}/summary")).json()["earlier_kinds"] == ["business", "consumer"]
    assert await service.rows("SELECT company_name FROM business_period WHERE ended_at IS NOT NULL") == [
        (COMPANY["company_name"],)
    ]


async def test_a_notice_goes_out_whose_link_takes_it_back(service, caller, anna):
    """PHN-08: undo restores the kind, and history stays."""
    await convert(caller, anna)
    await append(caller, anna, entry("a1"))
    before = await hash_of(service, "history_entry")
    await confirm(service, ANNA, NOTICE)
    assert (await account(caller, anna))["kind"] == "consumer"
    assert await hash_of(service, "history_entry") == before


async def test_the_undo_link_lives_through_a_reset_and_seven_days(service, caller, anna):
    """ATT-19: after becoming a business the link is alive; what dies with a reset are proofs, not ways back."""
    await convert(caller, anna)
    link = await link_to(service, ANNA, NOTICE)
    await set_password(service, ANNA, GOOD)
    service.clock.advance(days=6, hours=23)
    assert (await press(service, link)).page.url.path == "/confirmed/business_undo"
    assert (await press(service, link)).page.status_code == 410


async def test_after_seven_days_the_notice_undoes_nothing(service, caller, anna):
    await convert(caller, anna)
    link = await link_to(service, ANNA, NOTICE)
    service.clock.advance(days=7, seconds=1)
    assert (await press(service, link)).page.status_code == 410
    assert await service.rows("SELECT kind FROM account") == [("business",)]


async def test_the_same_again_changes_nothing(service, caller, anna):
    """Decision 8: a state that is PUT; one time, one event, one notice."""
    first = (await convert(caller, anna)).json()["account"]["version"]
    assert (await convert(caller, anna)).json()["account"]["version"] == first
    assert await service.rows("SELECT count(*) FROM business_period") == [(1,)]
    assert await service.rows("SELECT count(*) FROM event WHERE name = 'account.became_business'") == [(1,)]
    assert await service.rows("SELECT count(*) FROM message WHERE kind = 'business_undo'") == [(1,)]


async def test_other_details_begin_a_new_time_and_the_old_one_stays(service, caller, anna):
    await convert(caller, anna)
    service.clock.advance(seconds=30)
    moved = await convert(caller, anna, {**COMPANY, "company_name": "Müller & Söhne"})
    assert moved.json()["account"]["business"]["company_name"] == "Müller & Söhne"
    times = await service.rows("SELECT company_name, ended_at IS NULL FROM business_period ORDER BY id")
    assert times == [("Müller Bau GmbH", False), ("Müller & Söhne", True)]


async def test_a_clock_that_is_a_moment_behind_is_no_error(service, caller, anna):
    """The one who came second may have read his clock first: no time ends before it began."""
    await convert(caller, anna)
    service.clock.advance(milliseconds=-5)
    later = await convert(caller, anna, {**COMPANY, "company_name": "Other"})
    assert later.status_code == 200, later.text
    assert (await back(caller, anna)).status_code == 200


async def test_a_preview_says_what_changes_and_what_stays_and_does_nothing(service, caller, anna):
    before = await every_row(service)
    told = (await convert(caller, anna, query="/preview")).json()
    assert told["changes"][0] == "kind: consumer becomes business"
    assert {"User ID", "password", "consents", "history", "external references"} <= set(told["stays"])
    assert await every_row(service) == before


async def test_of_two_who_read_the_same_version_the_second_is_told(caller, anna):
    """API-04: If-Match guards the way there and the way back."""
    one = await convert(caller, anna, **{"If-Match": '"1"'})
    assert (one.status_code, one.headers["ETag"]) == (200, '"2"')
    assert (
        await convert(caller, anna, {**COMPANY, "country": "FR", "vat_number": None}, **{"If-Match": '"1"'})
    ).status_code == 412
    assert (await back(caller, anna, **{"If-Match": '"1"'})).json()["code"] == "stale_version"
    assert (await account(caller, anna))["business"]["country"] == "DE"


@pytest.mark.parametrize("query", ["", "/preview"])
async def test_what_is_merged_closed_or_erased_is_not_converted(service, caller, query):
    anna, firm = await two_accounts(caller)
    await merge(service, caller, anna, firm, ANNA, "firm@example.com")
    moved = await convert(caller, firm, query=query)
    assert (moved.status_code, moved.json()["code"], moved.json()["moved_to"]) == (409, "account_moved", anna)
    await caller.post(f"/v1/accounts/{anna}/close")
    assert (await convert(caller, anna, query=query)).json()["code"] == "account_closed"
    await caller.post(f"/v1/accounts/{anna}/erase")
    assert (await convert(caller, anna, query=query)).json()["code"] == "account_erased"


BAD = {
    "check digit": ({"vat_number": "DE136695975"}, "wrong_vat_number", "check digit"),
    "another country": ({"vat_number": "ATU13585627"}, "wrong_vat_number", "is for AT, but the company"),
    "greek prefix elsewhere": ({"vat_number": "EL094259216"}, "wrong_vat_number", "is for EL, but the company"),
    "too short": ({"vat_number": "DE13669597"}, "wrong_vat_number", "length"),
    "letters": ({"vat_number": "DE13669597X"}, "wrong_vat_number", "form"),
    "no country": ({"country": "ZZ", "vat_number": None}, "unknown_country", "country code doesn't exist"),
    "union": ({"country": "EU", "vat_number": None}, "unknown_country", "country code doesn't exist"),
    "registration": (
        {"country": "FR", "vat_number": None, "registration_number": "552008444"},
        "wrong_registration_number", "check digit",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("given", "code", "sentence"), BAD.values(), ids=BAD)
async def test_a_number_that_cannot_be_right_is_refused_with_the_reason(caller, anna, given, code, sentence):
    """ASVS 2.2.3: number and country are looked at together."""
    refused = await convert(caller, anna, {**COMPANY, **given})
    assert (refused.status_code, refused.json()["code"]) == (422, code)
    assert sentence in refused.json()["detail"]
    assert (await account(caller, anna))["kind"] == "consumer"


GOOD_NUMBERS = [
    ("DE", "136 695 976", "DE136695976"), ("DE", "de-136.695.976", "DE136695976"), ("GR", "EL094259216", "EL094259216"),
    ("GR", "094259216", "EL094259216"), ("AT", "ATU13585627", "ATU13585627"), ("US", "AB-123456", "AB123456"),
]  # fmt: skip


@pytest.mark.parametrize(("country", "given", "kept"), GOOD_NUMBERS)
async def test_a_number_is_kept_in_one_form(caller, anna, country, given, kept):
    answer = await convert(caller, anna, {**COMPANY, "country": country, "vat_number": given})
    assert answer.status_code == 200, answer.text
    assert answer.json()["account"]["business"]["vat_number"] == kept


@pytest.mark.parametrize("field", ["kind", "user_id", "version", "email", "began_at", "proof"])
async def test_no_other_field_comes_in_by_this_door(caller, anna, field):
    """ATT-49, ATT-30: nothing but a company's details; no field asserts a proof."""
    refused = await convert(caller, anna, {**COMPANY, field: "x"})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_shape")
    assert (await account(caller, anna))["kind"] == "consumer"


async def test_a_business_on_the_phone_is_found_and_never_sent_away(service, caller):
    """The second story: a consumer of twenty orders is the business desk's, with the offer to convert."""
    plain = (await caller.post("/v1/accounts", {"email": "anna@gmail.com"})).json()["user_id"]
    told = (await caller.get(f"/v1/accounts/{plain}/desk-suggestion")).json()
    assert (told["desk"], told["offer_conversion"]) == ("consumer", False)
    await append(caller, plain, *(entry(f"o{n}", amount="1.00", currency="EUR") for n in range(30)))
    told = (await caller.get(f"/v1/accounts/{plain}/desk-suggestion")).json()
    assert (told["desk"], told["offer_conversion"], told["reasons"]) == ("business", True, ["has placed 30 orders"])
    assert set(told["may_serve"]) == {"consumer", "business"}
    await a_business(caller, email="bau@example.com")


async def test_going_back_is_told_to_every_mailbox_once(service, caller, anna):
    """Whoever turned it back may not be its owner; a consumer who goes back again hears nothing."""
    assert (await convert(caller, anna)).status_code == 200
    for _ in range(2):
        assert (await back(caller, anna)).status_code == 200
    await service.deliver()
    text = service.letter(ANNA, "You have a private account again")["text"]
    assert f"Your account {anna} is a private account again." in text
    assert await service.rows("SELECT count(*) FROM message WHERE kind = 'business_ended'") == [(1,)]
