"""The judge finds what was planted."""

import pytest

from tests.faults.checker import Row, judge

GOOD = Row("1", "a@x.de", "accepted", possibly_sent=False, open_attempts=0)
INBOX = [("<1@x>", "a@x.de")]


def test_a_clean_run_has_nothing_wrong():
    assert judge(["a@x.de"], [GOOD], INBOX) == []


@pytest.mark.parametrize(
    ("rows", "inbox", "wrong"),
    [
        ([], [], "lost"),
        ([GOOD], [], "lost"),
        ([Row("1", "a@x.de", "bounced", possibly_sent=True, open_attempts=0)], [], "lost"),
        ([GOOD], INBOX * 2, "twice"),
        ([GOOD, Row("2", "a@x.de", "accepted", possibly_sent=False, open_attempts=0)], INBOX, "doubled"),
        ([GOOD, Row("2", "a@x.de", "queued", possibly_sent=False, open_attempts=0)], INBOX, "unended"),
        ([Row("2", "a@x.de", "queued", possibly_sent=False, open_attempts=0), GOOD], INBOX, "unended"),
        ([GOOD], [("<2@x>", "a@x.de")], "changed"),
        ([Row("1", "a@x.de", "deferred", possibly_sent=False, open_attempts=0)], [], "unended"),
        ([Row("1", "a@x.de", "accepted", possibly_sent=False, open_attempts=1)], INBOX, "open attempt"),
        ([Row("1", "a@x.de", "expired", possibly_sent=False, open_attempts=0)], INBOX, "untrue"),
        ([GOOD], [*INBOX, ("<2@x>", "b@x.de")], "invented"),
        (
            [Row("1", "a@x.de", "accepted", possibly_sent=True, open_attempts=0)],
            [*INBOX, ("<2@x>", "a@x.de")],
            "changed",
        ),
    ],
)
def test_a_planted_wrong_is_found(rows, inbox, wrong):
    assert any(sentence.startswith(wrong) for sentence in judge(["a@x.de"], rows, inbox))


def test_one_loss_and_one_duplicate_among_many_are_both_found_and_nothing_else_is():
    rows = [Row(str(n), f"a{n}@x.de", "accepted", possibly_sent=n == 7, open_attempts=0) for n in range(50)]
    inbox = [(f"<{n}@x>", f"a{n}@x.de") for n in range(50) if n != 20]
    found = judge([row.address for row in rows], rows, [*inbox, inbox[7], inbox[30]])
    lost, twice = sorted(found)
    assert lost == "lost: a20@x.de is accepted and lies in no inbox"
    assert twice == "twice: a31@x.de came 2 times and is not marked"


def test_a_marked_duplicate_is_no_wrong():
    assert judge(["a@x.de"], [Row("1", "a@x.de", "accepted", possibly_sent=True, open_attempts=0)], INBOX * 2) == []
