"""The exports of other systems in `tests/corpus/imports` are read as `expected.toml` says."""

import re
import tomllib
from pathlib import Path

import pytest

from identity_service.cli import imports as command_line
from identity_service.imports import actions as imports
from identity_service.imports import files, formats
from tests.life.imported import SOURCE

FOLDER = Path(__file__).parent.parent / "corpus" / "imports"
EXPECTED = tomllib.loads((FOLDER / "expected.toml").read_text("utf-8"))
PASSWORD = "a kettle sings at dawn"
COUNTS = ("lines", "added", "extended", "duplicates", "refused", "left_out")
ACCOUNTS = """
    SELECT a.email, r.reference, a.display_name, a.locale, a.kind, b.company_name, b.country, b.vat_number,
        to_char(a.customer_since AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') AS customer_since,
        to_char(p.mailbox_confirmed_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') AS confirmed, p.phc,
        (SELECT string_agg(purpose || ' ' || decision, ', ' ORDER BY purpose) FROM consent_state s
        WHERE s.user_id = a.user_id) AS consents
    FROM account a
    LEFT JOIN (SELECT user_id, string_agg(reference, ' ' ORDER BY reference) AS reference FROM external_reference
        GROUP BY user_id) r USING (user_id)
    LEFT JOIN business_period b USING (user_id) LEFT JOIN password p USING (user_id)
    ORDER BY a.email, r.reference
    """
USUAL = {"locale": "en", "kind": "consumer"}


def options(entry: dict) -> files.FileOptions:
    firebase = entry.get("firebase_parameters")
    return files.FileOptions(
        format_name=entry.get("format"), encoding=entry.get("encoding"), constants=entry.get("set", {}),
        firebase=firebase and command_line.read_firebase_parameters(FOLDER / firebase),
    )  # fmt: skip


def described(row, hasher) -> dict:
    """An account as the expectation writes it: what is usual is left out."""
    found = {name: value for name, value in row._asdict().items() if value is not None and USUAL.get(name) != value}
    phc = found.pop("phc", None)
    if phc is not None:
        assert hasher._verify(phc, PASSWORD)
        assert not hasher._verify(phc, PASSWORD + " ")
        found["password"] = True
    return found


@pytest.mark.parametrize("name", EXPECTED)
async def test_an_export_is_read_as_it_is_meant(service, name):
    """Each account, and each line of which something is told; the dry run tells the same."""
    entry = EXPECTED[name]
    now = service.clock()
    dry = await imports.dry_run(
        service.database, files.read_rows(FOLDER / name, options(entry)), source=SOURCE, now=now
    )
    job = await imports.stage_rows(service.database, name, files.read_rows(FOLDER / name, options(entry)))
    report = await imports.load_rows(service.database, job, source=SOURCE, now=now)
    assert dry == report
    assert [getattr(report, count) for count in COUNTS] == entry["counts"]
    told = {(notice.line, notice.kind): notice.reason for notice in report.told}
    assert sorted(told) == sorted((line, kind) for line, kind, _ in entry.get("told", []))
    for line, kind, words in entry.get("told", []):
        assert words in told[line, kind]
    today = now.isoformat()
    accounts = [described(row, service.app.state.hasher) for row in await service.rows(ACCOUNTS)]
    for account, expected in zip(accounts, entry["accounts"], strict=True):
        expected = {key: today[:10] if value == "today" else value for key, value in expected.items()}  # noqa: PLW2901
        if "customer_since" not in expected:
            assert account.pop("customer_since") == today[:19].replace("T", " ")
        assert account == expected


def test_every_sample_has_its_expectation_and_every_product_a_sample():
    samples = {path.name for path in FOLDER.iterdir()} - {"README.md", "expected.toml", "firebase-parameters.txt"}
    assert samples == set(EXPECTED)
    assert {re.search(r"[a-z]{4,}[0-9]?|auth0", name)[0] for name in samples} >= set(formats.FORMATS)
