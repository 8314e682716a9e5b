"""AUD-01, AUD-03, AUD-05: the ledger of consents and everything it is about, held against the sealed events."""

import pytest

from identity_service.consents import audit
from tests.accounts.given import an_account, merge
from tests.audit.given import finding, forge, ledger, walked
from tests.consents.given import a_customer, allowed, propose, withdraw

THIRD = "(SELECT id FROM consent_entry ORDER BY id OFFSET 2 LIMIT 1)"
EDITS = [
    "purpose = 'phone'", "decision = 'withdrawn'", "wording_id = 'post-2026-11'", "language = 'de'",
    "channel = 'desk'", "actor = 'staff:1'", "occurred_at = occurred_at - interval '1 s'", "previous_id = 1",
    "evidence_hash = ''",
    "token_id = gen_random_uuid()", "user_id = (SELECT user_id FROM account WHERE email = 'zoe@example.com')",
]  # fmt: skip


@pytest.fixture
async def anna(service, caller):
    """A customer with five entries: proposed, withdrawn, granted, granted for another purpose, withdrawn."""
    customer = await a_customer(caller, service)
    await an_account(caller, email="zoe@example.com")
    await propose(caller, customer.user_id, evidence="called on Monday")
    await withdraw(caller, customer.user_id)
    await customer.grants("email")
    await customer.grants("post")
    await withdraw(caller, customer.user_id, "post")
    while await service.seal():
        pass
    return customer


async def third(service) -> int:
    return (await service.rows(f"SELECT {THIRD}"))[0][0]


async def test_a_clean_ledger_holds(service, anna):
    assert await ledger(service) == (5, None)
    assert (await walked(service)).finding is None


@pytest.mark.parametrize("edit", EDITS)
async def test_an_edited_entry_is_named(service, anna, owner, edit):
    """AUD-03: whichever column it was."""
    number = await third(service)
    await forge(owner, f"UPDATE consent_entry SET {edit} WHERE id = {number}")
    checked, sentence = await ledger(service)
    assert (checked, f"Consent entry {number}, or the text it is about, was altered" in sentence) == (2, True)


async def test_a_removed_entry_is_named(service, anna, owner):
    number = await third(service)
    await forge(owner, f"DELETE FROM consent_entry WHERE id = {number}")
    assert await ledger(service) == (2, f"Consent entry {number} is missing, but its event is there.")


async def test_an_inserted_entry_is_named(service, anna, owner):
    """AUD-03: a grant that nobody gave, written by somebody who can write anything."""
    await forge(
        owner,
        """
        INSERT INTO consent_entry (id, user_id, purpose, decision, wording_id, language, channel, actor, occurred_at)
        OVERRIDING SYSTEM VALUE
        SELECT 1000000, user_id, 'phone', 'granted', wording_id, language, 'page', 'customer', occurred_at
        FROM consent_entry WHERE decision = 'granted' LIMIT 1
        """,
    )
    assert await ledger(service) == (5, "Consent entry 1000000 was inserted: no event records it.")


async def test_an_entry_that_the_application_slips_in_is_named(service, anna):
    """AUD-01: its role may add to the ledger; without an event it is found."""
    await service.rows(
        """
        INSERT INTO consent_entry (user_id, purpose, decision, wording_id, language, channel, actor, occurred_at)
        SELECT user_id, 'phone', 'granted', wording_id, language, 'page', 'customer', now()
        FROM consent_entry WHERE decision = 'granted' LIMIT 1 RETURNING id
        """
    )
    assert "was inserted: no event records it." in (await ledger(service))[1]


async def test_entry_and_event_removed_together_break_the_chain(service, anna, owner):
    """AUD-03: the ledger alone would hold."""
    number = await third(service)
    await forge(
        owner,
        f"DELETE FROM event WHERE data->>'entry' = '{number}'",
        f"DELETE FROM consent_entry WHERE id = {number}",
        "UPDATE consent_state SET decision = 'withdrawn' WHERE purpose = 'email'",
    )
    assert await ledger(service) == (4, None)
    assert "is missing" in (await finding(service)).sentence


@pytest.mark.parametrize("change", ["text = 'You may do anything.'", "text_hash = sha256('x')"])
async def test_an_edited_wording_is_named(service, anna, owner, change):
    """PRV-02: what somebody agreed to is under the seal as well."""
    await forge(owner, f"UPDATE consent_wording SET {change} WHERE id = 'email-2026-11'")
    assert await ledger(service) == (0, "The wording email-2026-11 (en) was altered.")


async def test_a_wording_replaced_with_a_hash_that_fits_is_found_at_the_first_entry(service, anna, owner):
    await forge(owner, "UPDATE consent_wording SET text = 'x', text_hash = sha256('x') WHERE id = 'email-2026-11'")
    (first,) = (await service.rows("SELECT min(id) FROM consent_entry"))[0]
    checked, sentence = await ledger(service)
    assert (checked, f"Consent entry {first}, or the text" in sentence) == (0, True)


async def test_edited_evidence_is_named_and_erased_evidence_is_not(service, anna, owner):
    """AUD-01, AUD-05: free text stands beside the ledger, its hash within; erasing takes the text alone."""
    (first,) = (await service.rows("SELECT min(id) FROM consent_entry"))[0]
    await service.rows("UPDATE consent_evidence SET text = 'called on Tuesday' RETURNING 1")
    assert await ledger(service) == (0, f"The evidence of consent entry {first} was altered.")
    await service.rows("DELETE FROM consent_evidence RETURNING 1")
    assert await ledger(service) == (5, None)


STATES = {
    "a no turned into a yes": "UPDATE consent_state SET decision = 'granted' WHERE purpose = 'post'",
    "a yes turned into a no": "UPDATE consent_state SET decision = 'withdrawn' WHERE purpose = 'email'",
    "a no forgotten": "DELETE FROM consent_state WHERE purpose = 'post'",
    "a yes from nowhere": "INSERT INTO consent_state SELECT max(user_id), 'phone', 'granted', now() FROM account",
}


@pytest.mark.parametrize("change", STATES)
async def test_a_state_that_the_ledger_does_not_lead_to_is_named(service, anna, owner, change):
    """AUD-03: whoever disables the trigger writes the state that permissions are answered from; the audit finds it."""
    await forge(owner, STATES[change])
    checked, sentence = await ledger(service)
    assert checked == 5
    assert "but the ledger says otherwise" in sentence


async def test_where_accounts_were_joined_the_words_of_both_lead_to_the_state(service, caller, anna, owner):
    """PRV-17: the stricter word is right, and a looser one is found."""
    old = await an_account(caller, email="old@example.com")
    await withdraw(caller, old, "email")
    await merge(owner, old, anna.user_id)
    await forge(owner, "UPDATE account SET merged_at = :now WHERE state = 'merged'", now=service.clock())
    await withdraw(caller, anna.user_id, "phone")
    assert await allowed(caller, anna.user_id) == []
    assert (await ledger(service))[1] is None
    await forge(owner, "UPDATE consent_state SET decision = 'granted' WHERE purpose = 'email'")
    assert "for email is granted, but the ledger says otherwise" in (await ledger(service))[1]


@pytest.mark.parametrize("page", [1, 2, 5, 6])
async def test_the_ledger_is_walked_page_by_page(service, anna, page):
    assert await service.database.in_transaction(lambda s: audit.audit_consents(s, page=page)) == (5, None)


async def test_no_address_and_no_evidence_stands_in_ledger_or_chain(service, caller, anna):
    """AUD-05: only the User ID."""
    for table in ("event", "sealed_event", "consent_entry", "consent_state", "checkpoint"):
        (said,) = (await service.rows(f"SELECT coalesce(string_agg(t::text, ' '), '') FROM {table} t"))[0]
        assert "anna" not in said.lower()
        assert "Monday" not in said
