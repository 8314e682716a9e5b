"""What a secret is derived from, and that none is good for anything else: pure."""

import ast
import itertools
import secrets
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import identity_service
from identity_service.one_time_tokens import rules as token_rules
from identity_service.one_time_tokens.rules import CodeIsUserId, CodeWrong, LinkInvalid
from identity_service.values import user_ids

KEY, OTHER_KEY = bytes(range(32)), bytes(range(1, 33))
NONCE, OTHER_NONCE = b"n" * 16, b"m" * 16
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(("one", "other"), [*itertools.permutations(token_rules.LIFETIMES, 2)])
def test_no_secret_of_one_purpose_is_one_of_another(one, other):
    """ATT-05, RST-16: every pair of purposes, under the same key and nonce; for link and code."""
    assert token_rules.derive_secret(KEY, one, NONCE) != token_rules.derive_secret(KEY, other, NONCE)
    assert token_rules.derive_code(KEY, one, NONCE) != token_rules.derive_code(KEY, other, NONCE)


def test_link_and_code_do_not_tell_each_other():
    """RST-05, ATT-05: the label is part of what is derived."""
    link, code = token_rules.derive_secret(KEY, "reset", NONCE), token_rules.derive_code(KEY, "reset", NONCE)
    assert code not in link
    assert link not in code
    with pytest.raises(CodeWrong):
        token_rules.read_code(link)
    with pytest.raises(LinkInvalid):
        token_rules.read_link(code)


def test_a_secret_is_the_same_again_and_needs_both_key_and_nonce():
    """RST-04: every worker makes the same bytes; one half of it makes others."""
    assert token_rules.derive_secret(KEY, "reset", NONCE) == token_rules.derive_secret(KEY, "reset", NONCE)
    assert len({token_rules.derive_secret(k, "reset", n) for k in (KEY, OTHER_KEY) for n in (NONCE, OTHER_NONCE)}) == 4
    assert len(token_rules.derive_secret(KEY, "reset", NONCE)) == 43
    assert len({token_rules.derive_code(k, "reset", n) for k in (KEY, OTHER_KEY) for n in (NONCE, OTHER_NONCE)}) == 4


def test_ten_thousand_secrets_are_distinct_and_without_structure():
    """ATT-12, REC-01, SES-05, ASVS 6.5.4, 7.2.3: 256 bits a link, 45 a code; chi-square over symbols and places."""
    nonces = [secrets.token_bytes(16) for _ in range(10_000)]
    links = [token_rules.derive_secret(KEY, "reset", nonce) for nonce in nonces]
    codes = [token_rules.derive_code(KEY, "reset", nonce) for nonce in nonces]
    assert len(set(links)) == len(set(codes)) == len(set(nonces)) == 10_000
    for place in range(token_rules.CODE_LENGTH):
        seen = Counter(code[place] for code in codes)
        expected = 10_000 / len(user_ids.ALPHABET)
        chi = sum((seen[symbol] - expected) ** 2 / expected for symbol in user_ids.ALPHABET)
        # 22 degrees of freedom: above 68 once in a million runs.
        assert chi < 68
    assert sorted(links) != links


@given(st.text(max_size=300))
def test_any_text_is_a_code_or_refused_in_a_word(text):
    """RST-05, ATT-17: nothing raises but the two sentences."""
    try:
        symbols = token_rules.read_code(text)
    except (CodeWrong, CodeIsUserId):
        return
    assert len(symbols) == token_rules.CODE_LENGTH
    assert set(symbols) <= set(user_ids.ALPHABET)


@given(st.text(max_size=300))
def test_any_text_is_a_link_or_dead(text):
    """ATT-17, RST-14."""
    try:
        presented = token_rules.read_link(text)
    except LinkInvalid:
        return
    assert f"v1.{presented.handle}.{presented.secret}" in text


@pytest.mark.parametrize("dressed", ["{0}-{1}", "{0} {1}", " {0}{1} ", "{0}–{1}"])
def test_a_code_is_read_as_people_type_it(dressed):
    """RST-05, IDN-03: case, blanks, dashes, and the letters that are no symbols."""
    code = token_rules.derive_code(KEY, "reset", NONCE)
    typed = dressed.format(code[:5], code[5:])
    assert token_rules.read_code(typed) == token_rules.read_code(typed.lower()) == code


def test_a_user_id_in_the_codes_place_is_recognised():
    """RST-05."""
    with pytest.raises(CodeIsUserId):
        token_rules.read_code(user_ids.show(user_ids.issue()))


@pytest.mark.parametrize("text", ["x" * 1_000_000, "9" * 1_000_000, "\0", "\ud800", "é" * 10, "v1." * 70])
def test_huge_and_strange_secrets_are_refused_without_being_read(text):
    """ATT-17."""
    with pytest.raises(CodeWrong):
        token_rules.read_code(text)
    with pytest.raises(LinkInvalid):
        token_rules.read_link(text)


MINUTE = timedelta(minutes=1)
OUTLIVES = ("withdraw", "business_undo", "email_undo", "address_undo", "stop", "keep_factor", "reopen")


@pytest.mark.parametrize(
    ("taken", "end"),
    [(0, 30), (60, 90), (89, 119), (90, 120), (100, 120), (None, 120)],
)
def test_a_link_lives_thirty_minutes_from_hand_over_and_two_hours_at_most(taken, end):
    """RST-07: before the 250 it counts from the last moment it may come."""
    accepted = None if taken is None else NOW + taken * MINUTE
    found = token_rules.ends_at(
        30 * MINUTE, 120 * MINUTE, requested_at=NOW, accepted_at=accepted, deadline_at=NOW + 90 * MINUTE
    )
    assert found == NOW + end * MINUTE


@pytest.mark.parametrize("purpose", token_rules.LIFETIMES)
def test_what_was_proven_before_dies_unless_it_undoes(purpose):
    """RST-09, RST-16: of the same moment is older; undo and stop links go on."""
    life = token_rules.LIFETIMES[purpose]
    for requested_at, dies in ((NOW - MINUTE, True), (NOW, True), (NOW + MINUTE, False)):
        assert token_rules.is_revoked(life, requested_at, NOW) is (dies and not life.outlives)
    assert not token_rules.is_revoked(life, NOW, None)
    assert life.outlives is (purpose in OUTLIVES)


def test_a_proof_is_made_in_one_place():
    """ATT-03, ATT-04, ASVS 2.3.1: the one caller of MailboxProof is the UPDATE that uses up."""
    root = Path(identity_service.__file__).parent
    made = [
        path.relative_to(root).as_posix()
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and "MailboxProof" in ast.unparse(node.func)
    ]
    assert made == ["one_time_tokens/actions.py"]
