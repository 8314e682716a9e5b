"""What is said about consent: silence means no, a yes takes the mailbox, a no counts at once (PRV-01 to PRV-08)."""

import re

import pytest

from identity_service import translations
from identity_service.consents import actions, wordings
from tests.accounts.given import an_account, close, merge, sql
from tests.browser import Browser
from tests.conftest import BASE
from tests.consents.given import CODE, WORDING, a_customer, allowed, propose, states, withdraw

LEDGER = """
    SELECT purpose, decision, wording_id, language, channel, actor, previous_id IS NULL AS is_first, evidence_hash
    FROM consent_entry ORDER BY id
"""


@pytest.mark.parametrize("given", [{}, {"email": "anna@example.com"}, {"external_ref": "17"}, {"display_name": "Anna"}])
async def test_however_a_customer_is_registered_nothing_is_allowed(service, caller, given):
    """PRV-01: silence is no, in every answer that speaks of it."""
    user_id = await an_account(caller, **given)
    for purpose in ("email", "phone", "post"):
        assert await allowed(caller, user_id, purpose=purpose) == []
    account = (await caller.get(f"/v1/accounts/{user_id}")).json()
    assert account["marketing"] == {"email": "never", "phone": "never", "post": "never"}
    assert await states(caller, user_id) == {"email": None, "phone": None, "post": None}


async def test_who_takes_an_id_on_the_page_allows_nothing_and_is_not_asked(service, caller):
    """PRV-01, PRV-03: the page that registers has no box for consent, and no field but the address."""
    browser = Browser(service.app, BASE)
    await browser.open("/")
    fields = re.findall(r"<(?:input|select|textarea)[^>]*name=\"(\w+)\"", browser.page.text)
    # `back` is of the form below that chooses the language.
    assert sorted(set(fields)) == ["back", "email", "form_token"]
    assert "checked" not in browser.page.text
    await browser.send("/", email="ben@example.org")
    user_id = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", browser.text)[0]
    assert await allowed(caller, user_id) == []


async def test_consent_is_asked_for_apart_and_no_box_is_ticked(service, caller):
    """PRV-03: each purpose has a form of its own, that does nothing else."""
    customer = await a_customer(caller, service)
    await customer.sign_in()
    await customer.browser.open("/me")
    forms = re.findall(r"<form method=\"post\" action=\"/me/consents/(\w+)\">(.*?)</form>", customer.browser.page.text)
    assert sorted(purpose for purpose, _ in forms) == ["email", "phone", "post"]
    for purpose, form in forms:
        assert re.findall(r"name=\"(\w+)\"", form) == ["form_token", "wording", "decision"]
        assert wordings.newest_wording(purpose, "en").text in customer.browser.text
    assert "checked" not in customer.browser.page.text


async def test_yes_and_no_take_the_same_steps(service, caller):
    """PRV-04: one press of a button on the same page, both ways."""
    customer = await a_customer(caller, service)
    await customer.sign_in()
    for decision, word in (("granted", "Yes, I agree"), ("withdrawn", "Withdraw"), ("granted", "Yes, I agree")):
        page = await customer.browser.open("/me")
        form = re.search(r"action=\"/me/consents/email\">(.*?)</form>", page.text)[1]
        assert re.findall(r"value=\"(\w+)\">([^<]+)</button>", form) == [(decision, word)]
        await (customer.grants() if decision == "granted" else customer.withdraws())
        assert bool(await allowed(caller, customer.user_id)) is (decision == "granted")


async def test_a_proposal_waits_for_the_mailbox_and_its_link_makes_it_a_yes(service, caller):
    """PRV-06, PRV-02: 202, no permission, a letter with the very words; then the ledger holds both entries."""
    customer = await a_customer(caller, service, locale="de")
    answer = await propose(caller, customer.user_id, channel="phone", evidence="called on Monday")
    assert answer.status_code == 202
    assert answer.json() | {"proposed_at": None} == {
        "purpose": "email", "permission": "never", "decision": None, "since": None, "proposed_at": None,
    }  # fmt: skip
    assert answer.json()["proposed_at"] is not None
    assert await allowed(caller, customer.user_id) == []
    subject = translations.catalogue("de").gettext("Can we contact you? Please answer")
    link = await customer.link(subject)
    assert wordings.find_wording("email", WORDING, "de").text in service.letter(customer.email, subject)["text"]
    assert await customer.presses(*link) == 200
    assert await allowed(caller, customer.user_id) == [customer.user_id]
    first, second = await service.rows(LEDGER)
    actor = f"client:{caller.client_id}"
    assert first[:7] == ("email", "proposed", WORDING, "de", "phone", actor, True)
    assert len(first.evidence_hash) == 32
    assert second == ("email", "granted", WORDING, "de", "email_link", "customer", False, None)


async def test_the_code_in_the_letter_says_yes_as_well(service, caller):
    customer = await a_customer(caller, service)
    await propose(caller, customer.user_id)
    path, _ = await customer.link("Please answer")
    code = CODE.search(service.letter(customer.email, "Please answer")["text"])[1]
    browser = Browser(service.app, BASE)
    await browser.open(path)
    await browser.send(path, link="", code=code)
    assert "Please tick the box" in browser.text
    assert await allowed(caller, customer.user_id) == []
    await browser.send(path, link="", code=code, agreed="yes")
    assert browser.page.url.path == "/confirmed/consent", browser.text
    assert await allowed(caller, customer.user_id) == [customer.user_id]


async def test_opening_the_links_page_says_nothing(service, caller):
    """PRV-06: a mail program that looks at every link is no customer."""
    customer = await a_customer(caller, service)
    await propose(caller, customer.user_id)
    path, _ = await customer.link("Please answer")
    await Browser(service.app, BASE).open(path)
    assert await allowed(caller, customer.user_id) == []


async def test_a_proposals_link_ends_after_seven_days(service, caller):
    customer = await a_customer(caller, service)
    await propose(caller, customer.user_id)
    path, secret = await customer.link("Please answer")
    browser = Browser(service.app, BASE)
    await browser.open(path)
    service.clock.advance(days=7, seconds=1)
    assert (await browser.send(path, link=secret, code="", agreed="yes")).status_code == 410
    await browser.open(path)
    assert "This link no longer works" in browser.text


async def test_the_same_proposal_again_sends_no_second_letter_while_the_first_is_good(service, caller):
    """PRV-08: a PUT that is repeated changes nothing, and nobody is asked the same thing again and again."""
    customer = await a_customer(caller, service)
    for _ in range(3):
        assert (await propose(caller, customer.user_id)).status_code == 202
    asks = "SELECT count(*) FROM message WHERE kind = 'consent_confirmation'"
    assert await service.rows(asks) == [(1,)]
    service.clock.advance(days=8)
    await propose(await service.caller(name="later"), customer.user_id)
    assert await service.rows(asks) == [(2,)]


@pytest.mark.parametrize("door", ["service", "desk", "page", "letter"])
async def test_a_no_counts_at_once_through_any_door(service, caller, door):
    """PRV-04, PRV-06: the very next question is answered with no, under the same clock."""
    customer = await a_customer(caller, service)
    await customer.grants()
    link = await customer.link("You said yes")
    assert await allowed(caller, customer.user_id) == [customer.user_id]
    if door == "page":
        await customer.withdraws()
    elif door == "letter":
        assert await customer.presses(*link) == 200
    else:
        by = await service.caller("consents:write", name=door, desk=door == "desk")
        named = {"X-Clerk-ID": "ada"} if door == "desk" else {}
        assert (await withdraw(by, customer.user_id, **named)).json()["permission"] == "never"
    assert await allowed(caller, customer.user_id) == []


async def test_an_objection_is_not_lifted_by_a_proposal_or_by_a_letter_from_before(service, caller):
    """PRV-06."""
    customer = await a_customer(caller, service)
    await propose(caller, customer.user_id)
    old = await customer.link("Please answer")
    await withdraw(caller, customer.user_id)
    assert await customer.presses(*old) == 410
    await propose(caller, customer.user_id)
    assert await allowed(caller, customer.user_id) == []
    assert (await states(caller, customer.user_id))["email"] == "withdrawn"


async def test_a_customer_can_withdraw_without_any_consent_and_without_an_address(service, caller):
    """PRV-04: an objection needs no reason."""
    user_id = await an_account(caller)
    assert (await withdraw(caller, user_id)).json()["decision"] == "withdrawn"
    assert (await propose(caller, user_id)).json()["code"] == "no_email"


@pytest.mark.parametrize("how", ["closed", "merged"])
async def test_an_old_letter_says_no_yes_for_an_account_that_is_not_itself_any_more(service, caller, owner, how):
    """PRV-06: what was said for the account that answers now is not lifted by a letter to the one before."""
    customer = await a_customer(caller, service)
    other = await an_account(caller, email="ben@example.com")
    await propose(caller, customer.user_id)
    link = await customer.link("Please answer")
    await (close(owner, customer.user_id) if how == "closed" else merge(owner, customer.user_id, other))
    assert await customer.presses(*link) == 410
    assert await allowed(caller, customer.user_id, other) == []


async def test_joining_two_ids_lets_the_stricter_word_win(service, caller):
    """PRV-17, PRV-06: an objection under the fresh User ID holds for the account that it is joined to."""
    customer = await a_customer(caller, service)
    await customer.grants()
    browser = Browser(service.app, BASE, source="10.9.9.9")
    await browser.open("/")
    await browser.send("/", email=customer.email)
    fresh = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", browser.text)[0]
    await withdraw(caller, fresh)
    assert await allowed(caller, customer.user_id) == [customer.user_id]
    service.clock.advance(seconds=1)
    assert await customer.presses(*await customer.link("confirm your email address")) == 200
    assert await allowed(caller, customer.user_id, fresh) == []
    assert (await states(caller, fresh))["email"] == "withdrawn"


@pytest.mark.parametrize("kinds", [("consumer", "business"), ("business", "consumer")])
async def test_consumer_and_business_keep_ledger_and_objection(service, caller, owner, kinds):
    """PRV-17: the kind is a column; nothing that was said depends on it."""
    customer = await a_customer(caller, service)
    await customer.grants("post")
    await withdraw(caller, customer.user_id, "email")
    mine = f"/v1/accounts/{customer.user_id}/consents"
    told = []
    for kind in kinds:
        await sql(owner, "UPDATE account SET kind = :kind", kind=kind)
        told.append((await caller.get(mine)).json() | {"asked": 0, "allowed": 0})
        assert await allowed(caller, customer.user_id) == []
        assert await allowed(caller, customer.user_id, purpose="post") == [customer.user_id]
    assert told[0] == told[1]


async def test_a_wording_in_use_stays_and_an_edited_file_is_refused(service, caller, database):
    """PRV-02: what the customer read is kept word for word; the same version with other words is nobody's consent."""
    customer = await a_customer(caller, service)
    await customer.grants()
    kept = await service.rows("SELECT text, text_hash FROM consent_wording")
    edited = wordings.all_wordings()["email-2026-11", "en"]._replace(text="You may send me anything.")
    with pytest.raises(wordings.WordingEdited):
        await database.in_transaction(lambda s: _grant(s, customer.user_id, edited, service.clock()))
    assert await service.rows("SELECT text, text_hash FROM consent_wording") == kept


async def _grant(session, user_id, wording, now):
    plain = user_id.replace("-", "")
    await actions.grant_consent(session, plain, "email", wording, channel="page", actor="customer", now=now)


async def test_the_history_tells_everything_newest_first(service, caller):
    """PRV-02, PRV-09: who, through which door, with which words, and when."""
    customer = await a_customer(caller, service)
    await propose(caller, customer.user_id, channel="desk")
    service.clock.advance(seconds=60)
    await withdraw(caller, customer.user_id)
    history = (await caller.get(f"/v1/accounts/{customer.user_id}/consents")).json()["history"]
    actor = f"client:{caller.client_id}"
    assert [(e["decision"], e["channel"], e["wording"], e["actor"]) for e in history] == [
        ("withdrawn", "app", None, actor),
        ("proposed", "desk", WORDING, actor),
    ]
    assert history[0]["occurred_at"] > history[1]["occurred_at"]


async def test_a_further_purpose_comes_from_a_setting(service, caller):
    service.database.settings = service.database.settings.model_copy(update={"consent_purposes": ("fairs",)})
    user_id = await an_account(caller)
    assert (await states(caller, user_id)).keys() == {"email", "phone", "post", "fairs"}
    assert (await withdraw(caller, user_id, "fairs")).json()["decision"] == "withdrawn"
    assert await allowed(caller, user_id, purpose="fairs") == []


async def test_events_carry_the_permission_that_follows(service, caller):
    customer = await a_customer(caller, service)
    await propose(caller, customer.user_id)
    await customer.presses(*await customer.link("Please answer"))
    await withdraw(caller, customer.user_id)
    told = await service.rows("SELECT name, data->>'permission' FROM event WHERE name LIKE 'consent.%' ORDER BY id")
    assert told == [("consent.proposed", "never"), ("consent.granted", "allowed"), ("consent.withdrawn", "never")]


UNKNOWN = {
    "unknown purpose": ("horoscopes", WORDING, "unknown_purpose", "We don't know this purpose. Check its name."),
    "unknown wording": ("email", "email-1999-01", "unknown_wording", "This purpose has no such wording"),
    "another purpose's wording": ("email", "post-2026-11", "unknown_wording", "This purpose has no such wording"),
}


@pytest.mark.parametrize("case", UNKNOWN)
async def test_each_bad_word_has_its_own_sentence_in_the_api_and_on_the_page(service, caller, case):
    purpose, wording, code, sentence = UNKNOWN[case]
    customer = await a_customer(caller, service)
    body = {"granted": True, "wording": wording}
    answer = await caller.put(f"/v1/accounts/{customer.user_id}/consents/{purpose}", body)
    assert answer.json()["code"] == code
    assert sentence in answer.json()["detail"]
    await customer.says(purpose, "granted", wording=wording)
    assert sentence in customer.browser.text
    assert await service.rows("SELECT 1 FROM consent_entry") == []


async def test_a_grant_without_a_wording_is_a_shape_that_does_not_fit(service, caller):
    user_id = await an_account(caller, email="anna@example.com")
    answer = await caller.put(f"/v1/accounts/{user_id}/consents/email", {"granted": True})
    assert answer.status_code == 422
    assert "wording" in answer.text


async def test_a_letter_of_yes_works_for_ten_years(service, caller):
    """PRV-04: who said yes long ago need not look for another way out."""
    customer = await a_customer(caller, service)
    await customer.grants()
    link = await customer.link("You said yes")
    service.clock.advance(days=3640)
    assert await customer.presses(*link) == 200
    later = await service.caller(name="later")
    assert await allowed(later, customer.user_id) == []
