"""What customers said to another system comes over with its evidence, or not at all."""

import hashlib

import pytest

from tests.consents.given import allowed, propose, states, withdraw
from tests.life.given import WORDING, account, audited, row_id
from tests.life.imported import imported, why

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


@pytest.mark.parametrize("before", ["withdrawn", "proposed", "silent"])
async def test_a_yes_in_a_file_changes_nothing_for_an_account_that_is_there(service, caller, before):
    """PRV-06: an objection stands, and a proposal waits for the mailbox as before."""
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
    assert await allowed(caller, user_id) == []
    assert await service.rows("SELECT * FROM consent_entry") == ledger


REFUSED = {
    "a yes without evidence": ({**YES, "consent_evidence": ""}, "needs its wording and its evidence"),
    "a yes without words": ({**YES, "consent_wording": ""}, "needs its wording and its evidence"),
    "a yes to unknown words": ({**YES, "consent_wording": "email-1999-01"}, "There is no such wording"),
    "a yes to words about something else": ({**YES, "consent_wording": "phone-2026-11"}, "There is no such wording"),
    "a yes to nothing": ({**YES, "consent_purpose": ""}, "needs a purpose and a decision"),
    "neither yes nor no": ({**YES, "consent_decision": "true"}, "needs a purpose and a decision"),
    "a proposal": ({**YES, "consent_decision": "proposed"}, "needs a purpose and a decision"),
    "no decision": ({**YES, "consent_decision": ""}, "needs a purpose and a decision"),
    "a yes to an unknown purpose": ({**YES, "consent_purpose": "fax"}, "There is no such purpose"),
    "a no to an unknown purpose": ({**NO, "consent_purpose": "fax"}, "There is no such purpose"),
    "a yes of tomorrow": ({**YES, "consent_at": "2999-01-01"}, "in the future"),
    "evidence of two lines": ({**YES, "consent_evidence": "canary\nor not"}, "one printable line"),
    "evidence without end": ({**YES, "consent_evidence": "x" * 2001}, "at most 2000 characters"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_proves_nothing_is_refused_with_its_row(service, name):
    """PRV-01, PRV-06: the account does not come over without what the file says of it, nor with half of it."""
    row, words = REFUSED[name]
    assert words in await why(service, **row)
    assert await service.rows("SELECT 1 FROM consent_entry") == []
