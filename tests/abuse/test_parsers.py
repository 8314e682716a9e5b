"""IDN-11, ASVS 1.3.12: whatever the bytes, a parser reads or refuses; nothing else is ever raised.

Two ways of search: Hypothesis bends good inputs, with Python alone; atheris follows the coverage, where it is there.
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.abuse import budget
from tests.abuse.parsers import PARSERS

NASTY = [
    b"\0", b"\n", b"\r\n", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", "٣".encode(), "\u2028".encode(), b'"', b"\\ud800",
    b"\\u0000", b"=?utf-8?q?=00?=", b"NaN", b"1e999", b"9" * 5000, b"-1", b"@", b"." * 300, b"a" * 3000, b"[" * 3000,
    b"{}", b"null", b"=", b"$", b",", b";", b"\t", b"xn--", b"0001-01-01T00:00:00+23:59",
    b"Content-Type: message/rfc822\n\n",
]  # fmt: skip


@st.composite
def bent(draw, seeds: list[bytes]) -> bytes:
    """An input that is nearly good: pieces of one left out, doubled, or replaced by what hurts."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(0, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 12)))
        piece = draw(st.sampled_from(NASTY) | st.binary(max_size=6) | st.just(bytes(data[start:end]) * 2))
        data[start:end] = piece
    return bytes(data)


@pytest.mark.parametrize("name", PARSERS)
def test_whatever_the_bytes_it_is_read_or_refused(name):
    """IDN-11, FACT-5, ATT-55: the properties of `parsers.py` for bent and for any bytes."""
    holds, seeds = PARSERS[name]

    @settings(
        max_examples=budget.examples(200, 100), derandomize=not budget.SECONDS, database=None, deadline=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(bent(seeds) | st.binary(max_size=200))
    def search(data: bytes) -> None:
        holds(data)

    search()


@pytest.mark.parametrize("name", PARSERS)
def test_every_seed_holds(name):
    for seed in PARSERS[name].seeds:
        PARSERS[name].holds(seed)
