"""No password makes the check of its strength slow, whatever it is made of."""

import contextlib
import time

import pytest

from identity_service.passwords import strength
from identity_service.passwords.rules import WeakPassword

BUDGET_CPU_SECONDS = 0.25
SLOW = {
    "every substitution sign": ("(4@8({[<369&#!1/|0$5+7%2)" * 3)[:72],
    "substitution signs in words": "p4ssw8rd@(" * 7,
    "signs for two letters": "1|7!" * 18,
    "four kinds": "4" * 18 + "8" * 18 + "@" * 18 + "(" * 18,
    "dates": "19991231" * 9,
    "repeats": "ab" * 36,
    "repeated words": "password1" * 8,
    "sequences": "abcdefghijklmnopqrstuvwxyz0123456789" * 2,
    "rows of the keyboard": "qwertyuiopasdfghjklzxcvbnm" * 2,
    "the longest": "4@8({[<369" * 100,
}


@pytest.mark.parametrize("password", SLOW.values(), ids=SLOW.keys())
def test_the_check_of_strength_is_bounded_in_cpu(password: str) -> None:
    """It took up to 4.9 s of CPU for 25 of these signs."""
    strength.check_guessable("violet teapot argues with gravity", minimum=8, own_words=())
    before = time.thread_time()
    with contextlib.suppress(WeakPassword):
        strength.check_guessable(password, minimum=8, own_words=())
    assert time.thread_time() - before < BUDGET_CPU_SECONDS


@pytest.mark.parametrize("password", ["P4$$w0rd!", "1l0v3y0u!!"])
def test_substituted_words_are_still_known(password: str) -> None:
    with pytest.raises(WeakPassword):
        strength.check_guessable(password, minimum=8, own_words=())
