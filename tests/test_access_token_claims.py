"""A right signature makes no access token: its claims must be exactly such as we make."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from identity_service.keys.signing import InvalidToken
from tests.forging import AT, AUDIENCE, CLAIMS, ISSUER, JSON, forge, read, refuse, without

TEXTS = ("iss", "aud", "sub", "client_id", "jti", "scope", "source")


@pytest.mark.parametrize("name", CLAIMS)
def test_a_missing_claim_is_refused(name):
    """FACT-10, OAU-26: each of the nine."""
    refuse(forge(claims=without(name, CLAIMS)))


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("wrong", [None, "", 0, 1, True, [], {}], ids=str)
def test_a_claim_that_is_no_text_is_refused(name, wrong):
    """OAU-26."""
    refuse(forge(claims={**CLAIMS, name: wrong}))


@pytest.mark.parametrize("name", TEXTS)
def test_a_list_of_the_right_text_is_refused(name):
    """OAU-26: an audience of ours and another's beside it, above all."""
    for value in ([CLAIMS[name]], [CLAIMS[name], "https://evil.example"], {CLAIMS[name]: 1}):
        refuse(forge(claims={**CLAIMS, name: value}))


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER + "/",
        ISSUER.upper(),
        "https://ID.example.com",
        "http://id.example.com",
        ISSUER + ":443",
        ISSUER + "\0",
        " " + ISSUER,
        ISSUER[:-1],
        AUDIENCE,
    ],
)
def test_another_issuer_is_refused(issuer):
    """OAU-26: compared character by character."""
    refuse(forge(claims={**CLAIMS, "iss": issuer}))


@pytest.mark.parametrize(
    "audience", [AUDIENCE + "/", AUDIENCE.upper(), ISSUER, "https://other.example", "*", AUDIENCE[:-1], "cli_shop"]
)
def test_another_audience_is_refused(audience):
    """OAU-26."""
    refuse(forge(claims={**CLAIMS, "aud": audience}))


@pytest.mark.parametrize(
    ("sub", "client_id"), [("cli_shop", "cli_other"), ("3W08K7QXM1C4", "cli_shop"), ("cli_shop", "CLI_SHOP")]
)
def test_a_subject_that_is_not_the_client_is_refused(sub, client_id):
    """OAU-26: services act for themselves."""
    refuse(forge(claims={**CLAIMS, "sub": sub, "client_id": client_id}))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize(
    "wrong", [str(AT + 10), f"{AT + 10}", True, False, AT + 10.0, AT + 0.5, 1e30, [AT], {}, "", "soon"], ids=str
)
def test_a_moment_that_is_no_whole_number_is_refused(name, wrong):
    """OAU-26: text, bool, fraction."""
    refuse(forge(claims={**CLAIMS, name: wrong}))


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
def test_a_moment_that_is_null_or_no_number_is_refused(name):
    """OAU-26: NaN compares with nothing, Infinity is later than everything."""
    for wrong in (b"null", b"NaN", b"Infinity", b"-Infinity", b"1" * 5_000):
        text = json.dumps({**CLAIMS, name: "X"}).encode().replace(b'"X"', wrong)
        refuse(forge(claims=text))


@pytest.mark.parametrize("exp", [AT, AT - 1, 0, -1, -(10**30)])
def test_a_token_that_has_ended_is_refused(exp):
    """FACT-10, OAU-26: a negative end is long ago."""
    refuse(forge(claims={**CLAIMS, "exp": exp}))


def test_a_token_dies_when_it_says_and_not_a_moment_later():
    """OAU-26: the leeway is for what lies ahead alone."""
    token = forge(claims={**CLAIMS, "exp": AT + 1})
    assert read(token).expires_at == AT + 1
    refuse(token, now=datetime.fromtimestamp(AT + 1, UTC))
    assert read(token, now=datetime.fromtimestamp(AT + 1, UTC) - timedelta(microseconds=1))


@pytest.mark.parametrize("name", ["iat", "nbf"])
def test_another_clock_may_run_half_a_minute_ahead_and_no_more(name):
    """OAU-26, REL-14."""
    assert read(forge(claims={**CLAIMS, name: AT + 30}))
    for ahead in (31, 90, 10**6, 10**30):
        refuse(forge(claims={**CLAIMS, "nbf": AT, name: AT + ahead}))


@settings(deadline=None, max_examples=300)
@given(st.sampled_from([*CLAIMS, "nbf"]), JSON)
def test_any_value_of_any_claim_is_either_right_or_refused(name, value):
    """OAU-26: nothing but InvalidToken is raised, and what passes has the types it should."""
    token = forge(claims={**CLAIMS, name: value})
    try:
        said = read(token)
    except InvalidToken:
        return
    assert (said.client_id, said.jti != "") == ("cli_shop", True)
    assert type(said.expires_at) is int
    assert all(isinstance(scope, str) for scope in said.scopes)
