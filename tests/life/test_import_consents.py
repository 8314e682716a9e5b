"""What customers said to another system comes over with its evidence, or not at all."""

import hashlib

import pytest
from sqlalchemy import text

from identity_service.imports import actions as imports
from tests.consents.given import allowed, propose, states, withdraw
from tests.life.given import WORDING, account, audited, row_id
from tests.life.imported import SOURCE, each, imported, numbered, why

ANNA = "anna@example.com"
EVIDENCE = "form 4711, box ticked, canary"
YES = {
    "email": ANNA, "consent_purpose": "email", "consent_decision": "granted", "consent_wording": WORDING,
    "consent_evidence": EVIDENCE, "consent_at": "2019-03-01T08:00:00+01:00",
}  # fmt: skip
NO = {"email": ANNA, "consent_purpose": "email", "consent_decision": "withdrawn"}
NOTED = f"2019-03-01T07:00:00+00:00 {EVIDENCE}"


async def anna(caller) -> str:
    (item,) = (await caller.post("/v1/accounts/search", {"email": ANNA})).json()["items"]
    return item["user_id"]


async def test_a_yes_with_its_evidence_counts(service, caller):
    """PRV-02, PRV-06: the ledger says which words, through which door, when; the evidence stands beside it."""
    await imported(service, YES)
    user_id = await anna(caller)
    assert await allowed(caller, user_id) == [user_id]
    assert (await account(caller, user_id))["marketing"]["email"] == "allowed"
    ((*entry, hashed),) = await service.rows(
        "SELECT decision, wording_id, language, channel, actor, previous_id, evidence_hash FROM consent_entry"
    )
    assert entry == ["granted", WORDING, "en", "import", "operator", None]
    assert await service.rows("SELECT user_id, text FROM consent_evidence") == [(row_id(user_id), NOTED)]
    assert len(hashed) == 32
    assert bytes(hashed) != hashlib.sha256(NOTED.encode()).digest(), "the salt went with the evidence"
    kept = await service.rows("SELECT id, language FROM consent_wording")
    assert kept == [(WORDING, "en")]


async def test_the_ledger_and_its_events_are_found_right(service, caller):
    """AUD-01, AUD-02: many at once, each with an event of its own that holds its entry's hash and nothing personal."""
    rows = [{**YES, "email": f"c{n}@example.com", "locale": ("en", "de")[n % 2]} for n in range(10)]
    rows += [{**NO, "email": f"d{n}@example.com"} for n in range(10)]
    rows += [{"email": f"e{n}@example.com"} for n in range(10)]
    assert (await imported(service, *rows)).added == 30
    await audited(service)
    told = await service.rows("SELECT name, count(*), string_agg(data::text, '') FROM event GROUP BY name")
    counts = {name: count for name, count, _ in told if name.startswith(("consent.", "account.imported"))}
    assert counts == {"account.imported": 30, "consent.granted": 10, "consent.withdrawn": 10}
    assert not any("canary" in text or "@" in text for _, _, text in told)
    languages = await service.rows("SELECT language, count(*) FROM consent_entry GROUP BY language ORDER BY language")
    assert languages == [("de", 5), ("en", 5), (None, 10)]


async def test_erasing_takes_the_evidence_and_leaves_its_hash(service, caller):
    """PRV-10, AUD-01."""
    await imported(service, YES)
    user_id = await anna(caller)
    erased = await caller.post(f"/v1/accounts/{user_id}/erase")
    assert erased.status_code == 200, erased.text
    assert await service.rows("SELECT text FROM consent_evidence") == []
    ((hashed,),) = await service.rows("SELECT evidence_hash FROM consent_entry WHERE channel = 'import'")
    assert len(hashed) == 32
    assert bytes(hashed) != hashlib.sha256(NOTED.encode()).digest(), "the salt went with the evidence"
    await audited(service)


async def test_a_no_needs_no_evidence_and_counts(service, caller):
    await imported(service, NO)
    user_id = await anna(caller)
    assert (await states(caller, user_id))["email"] == "withdrawn"
    assert await allowed(caller, user_id) == []


async def test_a_yes_is_no_word_of_another_purpose(service, caller):
    await imported(service, YES)
    user_id = await anna(caller)
    for purpose in ("phone", "post"):
        assert await allowed(caller, user_id, purpose=purpose) == []


async def test_after_an_imported_yes_a_no_counts_at_once(service, caller):
    """PRV-04: and the entry knows the one before."""
    await imported(service, YES)
    user_id = await anna(caller)
    assert (await withdraw(caller, user_id)).status_code == 200
    assert await allowed(caller, user_id) == []
    ((first, _), (_, previous)) = await service.rows("SELECT id, previous_id FROM consent_entry ORDER BY id")
    assert previous == first
    await audited(service)


@pytest.mark.parametrize("before", ["withdrawn", "proposed"])
async def test_a_yes_in_a_file_changes_nothing_for_an_account_that_is_there(service, caller, before):
    """PRV-06: an objection stands, a proposal waits for the mailbox as before; why is told."""
    made = await caller.post("/v1/accounts", {"email": ANNA})
    user_id = made.json()["user_id"]
    match before:
        case "withdrawn":
            await withdraw(caller, user_id)
        case "proposed":
            assert (await propose(caller, user_id, channel="phone")).status_code == 202
    ledger = await service.rows("SELECT * FROM consent_entry")
    report = await imported(service, YES)
    assert (report.added, report.duplicates) == (0, 1)
    assert "The grant was not taken" in report.told[0].reason
    assert await allowed(caller, user_id) == []
    assert await service.rows("SELECT * FROM consent_entry") == ledger


POST = {**YES, "consent_purpose": "post", "consent_wording": "post-2026-11"}
PAIRS = {
    "a yes, then a no": ([YES, NO], {"email": "withdrawn"}, ["extended"]),
    "a no, then a yes": ([NO, YES], {"email": "withdrawn"}, ["duplicates"]),
    "another purpose": ([YES, POST], {"email": "granted", "post": "granted"}, ["extended"]),
    "a purpose each, and a no": (
        [YES, POST, {**NO, "consent_purpose": "post"}], {"email": "granted", "post": "withdrawn"}, ["extended"] * 2,
    ),
    "nothing, then a yes": ([{"email": ANNA}, YES], {"email": "granted"}, ["extended"]),
    "the same twice": ([YES, {**YES, "locale": "en"}], {"email": "granted"}, ["duplicates"]),
    "a no by the number": (
        [{**YES, "reference": "17"}, {"reference": "17", "consent_purpose": "email", "consent_decision": "WITHDRAWN"}],
        {"email": "withdrawn"}, ["extended"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("files", [1, 2], ids=["in one file", "in a file each"])
@pytest.mark.parametrize("name", PAIRS)
async def test_every_row_about_somebody_counts(service, caller, name, files):
    """PRV-04, PRV-06: a no counts wherever it stands, a yes where nothing was said; the ledger is found right."""
    rows, expected, kinds = PAIRS[name]
    dry = await imports.dry_run(service.database, each(numbered(rows)), source=SOURCE, now=service.clock())
    parts = [rows] if files == 1 else [[row] for row in rows]
    reports = [await imported(service, *part) for part in parts]
    assert [told.kind for report in reports for told in report.told] == kinds
    assert files == 2 or dry == reports[0]
    user_id = await anna(caller)
    decided = {purpose: state for purpose, state in (await states(caller, user_id)).items() if state != "never"}
    assert {purpose: state for purpose, state in decided.items() if state} == expected
    chain = await service.rows("SELECT id, purpose, previous_id FROM consent_entry ORDER BY id")
    newest: dict[str, int] = {}
    for entry, purpose, previous in chain:
        assert previous == newest.get(purpose)
        newest[purpose] = entry
    await audited(service)


async def test_a_no_counts_for_an_account_that_was_merged_or_closed(service, caller):
    """PRV-04: the address of a merged account leads to the one that answers."""
    for number, name in enumerate(("left", "right")):
        await imported(service, {**YES, "email": f"{name}@example.com", "reference": str(number)})
    ((right,),) = await service.rows("SELECT user_id FROM account WHERE email = 'right@example.com'")
    ((left,),) = await service.rows("SELECT user_id FROM account WHERE email = 'left@example.com'")
    merge = "UPDATE account SET state = 'merged', merged_into = :into, merged_at = now() WHERE user_id = :user_id"
    async with service.database.transaction() as session:
        await session.execute(text(merge), {"into": right, "user_id": left})
    assert (await imported(service, {**NO, "email": "left@example.com"})).extended == 1
    assert await service.rows("SELECT decision FROM consent_state WHERE user_id = :u", u=right) == [("withdrawn",)]
    await imported(service, {**YES, "email": ANNA})
    closed = await caller.post(f"/v1/accounts/{await anna(caller)}/close")
    assert closed.status_code == 200, closed.text
    report = await imported(service, {**NO, "reference": "99"})
    assert (report.extended, "The account is closed" in report.told[0].reason) == (1, True)
    assert await service.rows("SELECT 1 FROM external_reference WHERE reference = '99'") == []


@pytest.mark.parametrize("evidence", ["form 4711\nbox ticked", "a\r\nb", "tab\there"])
async def test_evidence_may_have_several_lines(service, evidence):
    assert (await imported(service, {**YES, "consent_evidence": evidence})).told == []
    ((kept,),) = await service.rows("SELECT text FROM consent_evidence")
    assert kept.endswith(evidence)


REFUSED = {
    "a yes without evidence": ({**YES, "consent_evidence": ""}, "needs its wording and its evidence"),
    "a yes without words": ({**YES, "consent_wording": ""}, "needs its wording and its evidence"),
    "a yes to unknown words": ({**YES, "consent_wording": "email-1999-01"}, "This purpose has no such wording"),
    "a yes to words about something else": ({**YES, "consent_wording": "phone-2026-11"}, "has no such wording"),
    "a yes to nothing": ({**YES, "consent_purpose": ""}, "needs a purpose and a decision"),
    "neither yes nor no": ({**YES, "consent_decision": "true"}, "needs a purpose and a decision"),
    "a proposal": ({**YES, "consent_decision": "proposed"}, "needs a purpose and a decision"),
    "no decision": ({**YES, "consent_decision": ""}, "needs a purpose and a decision"),
    "a yes to an unknown purpose": ({**YES, "consent_purpose": "fax"}, "We don't know this purpose"),
    "a no to an unknown purpose": ({**NO, "consent_purpose": "fax"}, "We don't know this purpose"),
    "a yes of tomorrow": ({**YES, "consent_at": "2999-01-01"}, "in the future"),
    "evidence turned round": ({**YES, "consent_evidence": "cana\u202ery"}, "consent_evidence: must be printable text"),
    "evidence without end": ({**YES, "consent_evidence": "x" * 2001}, "at most 2000 characters"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_proves_nothing_is_refused_with_its_row(service, name):
    """PRV-01, PRV-06: the account does not come over without what the file says of it, nor with half of it."""
    row, words = REFUSED[name]
    assert words in await why(service, **row)
    assert await service.rows("SELECT 1 FROM consent_entry") == []
