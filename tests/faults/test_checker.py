"""The judge finds what was planted."""

import pytest

from tests.faults.checker import Row, judge

GOOD = Row("1", "a@x.de", "accepted", maybe_sent=False, open_attempts=0)
INBOX = [("<1@x>", "a@x.de")]


def test_a_clean_run_has_nothing_wrong():
    assert judge(["a@x.de"], [GOOD], INBOX) == []


@pytest.mark.parametrize(
    ("rows", "inbox", "wrong"),
    [
        ([], [], "lost"),
        ([GOOD], [], "lost"),
        ([GOOD], INBOX * 2, "twice"),
        ([Row("1", "a@x.de", "deferred", maybe_sent=False, open_attempts=0)], [], "unended"),
        ([Row("1", "a@x.de", "accepted", maybe_sent=False, open_attempts=1)], INBOX, "open attempt"),
        ([Row("1", "a@x.de", "expired", maybe_sent=False, open_attempts=0)], INBOX, "untrue"),
        ([GOOD], [*INBOX, ("<2@x>", "b@x.de")], "invented"),
        ([Row("1", "a@x.de", "accepted", maybe_sent=True, open_attempts=0)], [*INBOX, ("<2@x>", "a@x.de")], "changed"),
    ],
)
def test_a_planted_wrong_is_found(rows, inbox, wrong):
    assert any(sentence.startswith(wrong) for sentence in judge(["a@x.de"], rows, inbox))


def test_a_marked_duplicate_is_no_wrong():
    assert judge(["a@x.de"], [Row("1", "a@x.de", "accepted", maybe_sent=True, open_attempts=0)], INBOX * 2) == []
