"""Every notice of the corpus is read as it is meant: type, cause, recipient, status, and our tag in it."""

import tomllib
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from identity_service.messages import rules
from identity_service.messages.inbound import dsn, verdicts

FOLDER = Path(__file__).parents[1] / "corpus" / "bounces"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text("utf-8"))
MESSAGE_ID, TAG = "0193f2a1b2c3d4e5f60718293a4b5c6d", "0123456789"
NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
FAILURES = {
    verdicts.Cause.ADDRESS: "bounced", verdicts.Cause.MAILBOX: "soft_bounced", verdicts.Cause.POLICY: "refused",
    None: "unexplained",
}  # fmt: skip


def received(name: str) -> tuple[bytes, str]:
    """Return a notice with our addresses in place of its placeholders, and its envelope recipient."""
    local = f"b+{MESSAGE_ID}.{TAG}"
    raw = (FOLDER / name).read_bytes().replace(b"@TAG@", local.encode())
    raw = raw.replace(b"@MESSAGE_ID@", b"1@example.com").replace(b"@ENVID@", f"{MESSAGE_ID}.{TAG}".encode())
    to = EXPECTED[name].get("envelope_to", "@TAG@@bounce.example.com")
    return raw, to.replace("@TAG@", local)


def notice_in(name: str, *, envelope_to: str | None = None) -> tuple[dsn.Reading, dsn.Notice]:
    """Return the reading of a notice and what becomes of it."""
    raw, to = received(name)
    reading = dsn.read_returned_mail(raw, "")
    notice = dsn.make_notice(
        reading, raw, envelope_from="", envelope_to=to if envelope_to is None else envelope_to,
        check_tag=lambda *pair: pair == (MESSAGE_ID, TAG), now=NOW,
    )  # fmt: skip
    return reading, notice


def kind_of(reading: dsn.Reading) -> str:
    """Return a reading in the words of the corpus."""
    if reading.type == "bounced":
        return FAILURES[reading.cause]
    return "not_a_report" if reading.type in ("other", "unreadable") else reading.type


@pytest.mark.parametrize("name", EXPECTED)
def test_a_notice_is_read_as_it_is_meant(name):
    entry, (reading, notice) = EXPECTED[name], notice_in(name)
    assert kind_of(reading) in {entry["kind"], *entry.get("accept", ())}, reading
    assert notice.message_id is not None
    if entry["kind"] in FAILURES.values():
        assert (reading.recipient or "").lower() == entry["recipient"].lower()
    assert reading.enhanced == entry.get("status", reading.enhanced)


@pytest.mark.parametrize("name", [name for name in EXPECTED if received(name)[0] != (FOLDER / name).read_bytes()])
def test_our_tag_is_found_wherever_it_stands_in_a_notice(name):
    if b"@TAG@" in (FOLDER / name).read_bytes() or b"@ENVID@" in (FOLDER / name).read_bytes():
        assert notice_in(name, envelope_to="postmaster@example.com")[1].message_id is not None


def test_enough_bounces_are_found_and_no_living_address_is_suppressed():
    counted: Counter[str] = Counter()
    for name, entry in EXPECTED.items():
        right = {entry["kind"], *entry.get("accept", ())}
        notice = notice_in(name)[1]
        has_bounced = rules.state_after_feedback("accepted", notice.type) == "bounced"
        if entry["kind"] in FAILURES.values():
            counted["failures"] += 1
            counted["linked"] += has_bounced and notice.message_id is not None
        elif "bounced" not in right and "refused" not in right and "soft_bounced" not in right:
            counted["wrong states"] += has_bounced
        counted["wrong suppressions"] += notice.permanent and "bounced" not in right
    assert counted["linked"] >= 0.95 * counted["failures"]
    assert (counted["wrong states"], counted["wrong suppressions"]) == (0, 0)
