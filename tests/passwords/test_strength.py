"""What a good password is: long, not on the list, not of one's own words, not soon guessed; and nothing else."""

import random
import secrets
import string
import sys
import unicodedata

import pytest
from pydantic import SecretStr, ValidationError

from identity_service import translations
from identity_service.passwords import rules, strength
from identity_service.passwords.rules import WeakPassword
from identity_service.settings import Settings
from tests.conftest import MASTER_KEY

OWN = (
    "anna.kaltenbrunner@example.org",
    "anna.kaltenbrunner",
    "example.org",
    "example",
    "Example Shop",
    "Kaltenbrunner",
)


def reason(password: str, minimum: int = 15) -> str | None:
    try:
        strength.check_guessable(strength.normalise(password), minimum=minimum, own_words=OWN)
    except WeakPassword as weak:
        return weak.members["reason"]
    return None


def a_random(length: int) -> str:
    # The same in each run: eight characters may spell a word by chance.
    drawn = random.Random(length)
    return "".join(drawn.choice(string.ascii_letters + string.digits + " !$") for _ in range(length - 2)) + "xQ"


@pytest.mark.parametrize(
    ("minimum", "length", "expected"),
    [
        (15, 14, "too_short"),
        (15, 15, None),
        (8, 7, "too_short"),
        (8, 8, None),
        (15, 64, None),
        (15, 200, None),
        (15, 256, None),
        (15, 257, "too_long"),
    ],
)
def test_the_length_decides_at_its_edges(minimum, length, expected):
    """PWD-01, PWD-02, ASVS 6.2.1, 6.2.9."""
    assert reason(a_random(length), minimum) == expected


@pytest.mark.parametrize("minimum", [7, 0, -1, 65])
def test_a_minimum_below_eight_cannot_be_set(minimum):
    """PWD-01: the process does not start."""
    with pytest.raises(ValidationError):
        Settings(master_key=SecretStr(MASTER_KEY), password_minimum=minimum)
    assert Settings(password_minimum=8).password_minimum == 8
    assert Settings().password_minimum == 15


def test_a_code_point_is_a_character_and_bytes_have_a_limit_of_their_own():
    """PWD-02, PWD-03: 256 emoji are 1024 bytes; nothing is cut."""
    emoji = "".join(chr(0x1F300 + secrets.randbelow(200)) for _ in range(256))
    strength.check_length(emoji, minimum=15)
    with pytest.raises(WeakPassword):
        strength.check_length(emoji + "a", minimum=15)
    strength.check_length("é" * 15, minimum=15)
    with pytest.raises(WeakPassword):
        strength.check_length("é" * 14, minimum=15)


def test_composed_and_decomposed_are_the_same_and_nothing_else_is_changed():
    """PWD-03, ASVS 6.2.8: NFC; blanks, case and compatibility forms stay as typed."""
    assert strength.normalise("cafe\u0301") == strength.normalise("caf\u00e9") == "caf\u00e9"
    for kept in ("  lead and trail  ", "MiXeD", "ｆｕｌｌ", "a\u0000b", "\u202eright to left", "ﬁ", "a\r\nb"):
        assert strength.normalise(kept) == kept


CATEGORIES = sorted({unicodedata.category(chr(point)) for point in range(sys.maxunicode)} - {"Cs"})


@pytest.mark.parametrize("category", CATEGORIES)
def test_signs_of_any_kind_are_taken(category):
    """PWD-05, ASVS 6.2.5: no composition rule; sixteen of one category are as good as of four."""
    members = [chr(p) for p in range(0x30000) if unicodedata.category(chr(p)) == category]
    password = "".join(secrets.choice(members) for _ in range(16)) + a_random(8)
    assert reason(password) is None


LISTED = [
    "password password",
    "passwordpassword",
    "Password1Password1",
    "123456789012345",
    "qwertyuiopasdfgh",
    "aaaaaaaaaaaaaaaa",
    "abcabcabcabcabcabc",
    "letmein.letmein!",
    "dragon-monkey-dragon",
    "zxcvbnmasdfghjkl",
    "iloveyouiloveyou",
    "abcdefghijklmnop",
    "football football",
    "QWERTZUIOP-123456",
]


@pytest.mark.parametrize("password", LISTED)
def test_what_many_people_take_is_refused(password):
    """PWD-04, ASVS 6.2.4."""
    assert reason(password) == "common"


def test_the_list_has_thousands_of_entries_that_are_long_enough():
    """PWD-04, ASVS 6.2.4: at fifteen characters people say a common password twice, or put two together."""
    words = sorted(word for word in strength._common() if len(word) >= 8 and word.isalnum())
    entries = {word * 2 for word in words} | {f"{word}-dragon" for word in words}
    long = sorted(entry for entry in entries if len(entry) >= 15)
    assert len(long) > 3000
    assert [entry for entry in secrets.SystemRandom().sample(long, 2000) if not strength.is_common(entry)] == []


CONTEXT = [
    "Kaltenbrunner 2026!",
    "kaltenbrunnerkaltenbrunner",
    "anna.kaltenbrunner1",
    "ANNA_KALTENBRUNNER",
    "Example Shop 12345",
    "anna.kaltenbrunner@example.org",
    "example1234567890",
]


@pytest.mark.parametrize("password", CONTEXT)
def test_ones_own_words_are_refused(password):
    """PWD-04, ASVS 6.2.11."""
    assert reason(password) == "context"


@pytest.mark.parametrize("password", ["aaaaaaaaaaaaaaab", "abc123abc123abc1", "qwerty123456789a"])
def test_what_is_soon_guessed_is_refused(password):
    """PWD-04: by zxcvbn, or by the list before it."""
    assert reason(password) in ("guessable", "common")


@pytest.mark.parametrize(
    "password",
    [
        "Winter coat lends itself badly",
        "kaltenbrunner likes green herons",
        "example of a violet teapot",
        "my password is not this one at all",
    ],
)
def test_a_passphrase_may_hold_a_common_word(password):
    """PWD-04: no substring rule."""
    assert reason(password) is None


def test_the_longest_password_is_read_without_an_error():
    """PWD-04, FACT-8: zxcvbn itself takes 72 characters."""
    assert reason(a_random(256)) is None
    assert reason("ab" * 128) == "common"


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("why", ["too_short", "too_long", "common", "context", "guessable", "breached"])
def test_each_reason_is_a_sentence_in_every_language(language, why):
    """PWD-04, RST-13."""
    weak = WeakPassword(why, 15)
    said = weak.sentence(translations.catalogue(language).gettext)
    assert said.endswith(".")
    assert "{" not in said


def test_ten_tries_are_free_and_then_delays_double_to_an_hour():
    """PWD-06."""
    delays = [rules.delay_after(failures) for failures in (0, 9, 10, 11, 12, 16, 17, 18, 99, 10**6)]
    seconds = [None if delay is None else int(delay.total_seconds()) for delay in delays]
    assert seconds == [None, None, 30, 60, 120, 1920, 3600, 3600, 3600, 3600]
