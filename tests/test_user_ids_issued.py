"""New User IDs: random, never all digits, never a word that nobody should have to read aloud."""

import itertools
import random
import re
import subprocess
import sys
from collections import Counter

import pytest

from identity_service.values import user_ids
from identity_service.values.user_ids import ALPHABET, is_canonical, issue, parse, suggest

PLAIN = "7K3RC01PTYWX"[:10]
# Written here from the words alone, so that the list in the code is held against another one.
WORDS = (
    "fck fkk kkk wtf xxx cock fag tit piss prick crap rape shit twat whore arse porn bitch clit kike "
    "wank pimp hitler nazi fick fotze arsch wichs spast herpes sex"
).split()
NUMBERS = ["88", "1488", "666", "69"]
LOOKS_LIKE = {
    "a": "4", "b": "8", "c": "C", "e": "3", "f": "F", "g": "69", "h": "H", "i": "1", "k": "K", "l": "1", "m": "M",
    "n": "M", "o": "0", "p": "P", "r": "R", "s": "5", "t": "T7", "w": "W", "x": "X", "y": "Y", "z": "2",
}  # fmt: skip


def spellings(word: str) -> list[str]:
    return ["".join(symbols) for symbols in itertools.product(*(LOOKS_LIKE[letter] for letter in word))]


OFFENSIVE = [*NUMBERS, *(spelling for word in WORDS for spelling in spellings(word))]


def number(ten: str) -> int:
    """Return the random number that leads to these ten symbols."""
    return sum(ALPHABET.index(symbol) * 23**place for place, symbol in enumerate(ten))


def drawn(*tens: str) -> str:
    """Return what is issued when randomness gives these, one after the other; each bound is checked."""
    numbers = iter([number(ten) for ten in tens])

    def random_below(bound: int) -> int:
        assert bound == 23**10
        return next(numbers)

    return issue(random_below)


def test_ten_symbols_are_drawn_and_two_follow():
    """IDN-01, IDN-08: nothing goes in but the number drawn below 23^10; each number is another ID."""
    assert drawn(PLAIN) == suggest(PLAIN + "??")[0].user_id
    assert [drawn(ten)[:10] for ten in ("F000000000", "YYYYYYYYYY")] == ["F000000000", "YYYYYYYYYY"]
    assert number("YYYYYYYYYY") == 23**10 - 1


def test_an_id_of_digits_alone_is_drawn_again():
    """IDN-01: what looks like a telephone number is dialled."""
    digits = random.Random(1)
    ten = next(
        ten
        for ten in ("".join(digits.choices("0123457", k=10)) for _ in itertools.count())
        if suggest(ten + "??")[0].user_id.isdigit() and not any(bad in ten for bad in OFFENSIVE)
    )
    assert parse(suggest(ten + "??")[0].user_id).isdigit()
    assert drawn(ten, PLAIN)[:10] == PLAIN


@pytest.mark.parametrize("word", [*NUMBERS, *WORDS])
def test_no_offensive_sequence_is_issued(word):
    """IDN-10: in each spelling, with digits for the letters they resemble, at each place, over the dashes too."""
    for spelling in spellings(word) if word in WORDS else [word]:
        for place in range(11 - len(spelling)):
            ten = PLAIN[:place] + spelling + PLAIN[place + len(spelling) :]
            assert drawn(ten, PLAIN)[:10] == PLAIN, spelling


def test_no_offensive_sequence_is_made_by_the_check_symbols():
    """IDN-10: the last two symbols count as well."""
    pattern = re.compile("|".join(OFFENSIVE))
    seeded = random.Random(10).randrange
    assert [found for found in (issue(seeded) for _ in range(100_000)) if pattern.search(found)] == []


def test_what_is_no_longer_issued_is_still_read():
    """IDN-10, IDN-07: a list that grows takes nobody's ID away."""
    for spelling in OFFENSIVE:
        old = suggest((spelling + PLAIN)[:10] + "??")[0].user_id
        assert parse(old) == old


def test_avoiding_them_costs_few_ids():
    """IDN-01: of all IDs at least nine in ten can be issued, so 45 bits stay."""
    seeded, draws = random.Random(11), itertools.count()

    def counted(bound: int) -> int:
        next(draws)
        return seeded.randrange(bound)

    for _ in range(20_000):
        issue(counted)
    assert next(draws) < 20_000 / 0.9


def test_ids_show_no_order_and_no_favourite():
    """IDN-08: over 10^5 real ones; each bound is six standard deviations wide, so chance breaks it once in 10^8."""
    made = [issue() for _ in range(100_000)]
    rising = sum(a < b for a, b in itertools.pairwise(made))
    assert abs(rising - 50_000) < 6 * (100_000 / 12) ** 0.5
    for place in (*range(10), 10, 11):
        counts = Counter(user_id[place] for user_id in made)
        assert set(counts) == set(ALPHABET)
        assert max(counts.values()) < 1.2 * 100_000 / 23
    repeated = sum(a[place] == b[place] for a, b in itertools.pairwise(made) for place in range(10))
    assert abs(repeated - 1e6 / 23) < 0.05 * 1e6 / 23


def test_eight_processes_make_no_id_twice():
    """IDN-01, ASVS 11.5.2: 8 × 10^4; one pair meets by chance once in 13,000 runs, a shared state repeats thousands."""
    code = "from identity_service.values.user_ids import issue\nfor _ in range(10_000): print(issue())"
    running = [subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) for _ in range(8)]
    made = [line for process in running for line in process.communicate(timeout=120)[0].split()]
    assert [process.returncode for process in running] == [0] * 8
    assert len(made) == 80_000
    assert all(map(is_canonical, made))
    assert len(set(made)) >= 79_999


def test_the_real_source_of_randomness_is_the_operating_systems():
    """IDN-01, IDN-08: a seed of Python's own generator changes nothing."""
    made = set()
    for _ in range(100):
        random.seed(1)
        made.add(user_ids.issue())
    assert len(made) == 100
