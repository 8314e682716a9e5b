"""What a clerk reads when something is refused: in the console, with what was typed, the remedy, and a way back."""

import re

import pytest

from identity_service.messages import actions as messages
from identity_service.messages import suppressions
from tests.browser import Browser
from tests.conftest import BASE
from tests.console.given import a_clerk, an_account, another, code_of
from tests.console.test_seen_by_desk import asked, change_of
from tests.life.given import link_to, press

ANNA, BEN = "anna@example.org", "ben@example.org"


@pytest.fixture
async def anna(caller):
    return await an_account(caller)


@pytest.fixture
async def ada(service):
    return await a_clerk(service)


@pytest.mark.parametrize(
    ("form", "fields", "kept"),
    [
        ("business", {"company_name": "Hansen ApS", "country": "DK", "vat_number": "DK1"},
         ['value="DK" selected', 'value="DK1"', 'value="Hansen ApS"', "Convert to business"]),
        ("ask", {"verb": "merge", "value": "not an id", "reason": "lost"},
         ['value="merge" selected', 'value="not an id"', 'value="lost"', "Request the change"]),
    ],
)  # fmt: skip
async def test_a_refused_form_of_an_account_stays_in_the_console(service, ada, anna, form, fields, kept):
    """Nothing that was typed is lost, the fields have their own names, and the account is one press away."""
    number = await ada.open_account(anna)
    await ada.verify(service, anna, number, ANNA)
    refused = await ada.do(f"/console/accounts/{anna}/{form}", contact=number, **fields)
    assert refused.status_code == 422
    assert all(one in refused.text for one in kept), refused.text
    assert "Operations" in ada.text
    assert "Forgot password?" not in ada.text
    back = re.search(r'href="([^"]+)">Back to the account', refused.text)[1]
    assert (await ada.open(back)).status_code == 200


@pytest.mark.parametrize(
    ("path", "fields", "kept"),
    [
        ("/console/contacts", {"desk": "consumer", "user_id": "nonsense", "note": "no reset"}, ["nonsense", "no re"]),
        ("/console/contacts/{}/issue", {"email": "no address", "language": "de"}, ["no address", '"de" selected']),
        ("/console/contacts/{}/hand-over", {"desk": "nowhere", "note": "look here"}, ["look here"]),
        ("/console/accounts/open", {"user_id": "{}", "contact": "", "reason": " ", "desk": "consumer"}, ["Reason"]),
    ],
)  # fmt: skip
async def test_a_refused_form_of_a_contact_stays_in_the_console(ada, anna, path, fields, kept):
    number = await ada.open_account(anna)
    given = {name: value.format(anna) for name, value in fields.items()}
    refused = await ada.do(path.format(number), **given)
    assert refused.status_code in (404, 422), ada.text
    assert "This didn't work" in ada.text
    assert all(one in refused.text for one in kept), refused.text


async def test_a_note_outlives_the_session_that_wrote_it(ada, anna):
    """The first answer already says to sign in elsewhere and send it again, and has the note."""
    number = await ada.open_account(anna)
    await ada.do("/console/signout")
    refused = await ada.do(f"/console/contacts/{number}/notes", note="half a sentence")
    assert refused.status_code in (401, 403)
    assert "half a sentence" in refused.text
    assert 'href="/console/signin" target="_blank"' in refused.text
    assert "Forgot password?" not in ada.text


async def test_a_path_that_is_not_there_stays_in_the_console(ada):
    missing = await ada.open("/console/nowhere")
    assert missing.status_code == 404
    assert "Find a customer" in ada.text
    assert "Forgot password?" not in ada.text


async def test_a_wrong_code_says_how_many_tries_are_left(service, ada, anna):
    number = await ada.open_account(anna)
    path = f"/console/accounts/{anna}/check/{await ada.start_check(anna, number)}"
    wrong = another(await code_of(service, ANNA))
    for said in ("The code doesn't match. 2 tries are left.", "1 try is left.", "The code was wrong 3 times"):
        await ada.do(path, contact=number, code=wrong)
        assert said in ada.text, ada.text
    assert "Send a code" in ada.text


async def test_a_declined_change_is_seen_where_it_was_requested(service, caller):
    ada, anna = await asked(service, caller)
    bert = await a_clerk(service, "bert")
    await bert.open("/console/approvals")
    await bert.do(f"/console/approvals/{await change_of(service)}/decline", reason="declined_details")
    await ada.open_account(anna)
    assert "declined: the details are wrong by bert" in " ".join(ada.text.split())


async def test_each_side_of_a_merge_reads_whom_it_is_merged_with(service, caller):
    """R13's sibling: the stop link of the other customer names the account that stays, not their own."""
    other = await an_account(caller, BEN)
    _, anna = await asked(service, caller, verb="merge", value=other)
    bert = await a_clerk(service, "bert")
    await bert.do(f"/console/approvals/{await change_of(service)}")
    await service.deliver()
    for address, named in ((ANNA, other), (BEN, anna)):
        text = service.letter(address, "You can stop it")["text"]
        assert f"merged with your account {named}" in text
    links = [await link_to(service, address, "You can stop it") for address in (ANNA, BEN)]
    assert "Your account stays as it is." in (await press(service, links[1])).text
    late = Browser(service.app, BASE)
    await late.open(links[0][0])
    assert "This has already been done" in late.text
    assert "Your account stays as it is." in late.text


@pytest.mark.parametrize("typed", ["a symbol that no User ID has", "a symbol too few", "a symbol too many"])
async def test_what_may_be_a_user_id_is_explained_as_one(ada, anna, typed):
    heard = {"a symbol that no User ID has": f"A{anna[1:]}", "a symbol too few": anna[:-1]}.get(typed, f"{anna}7")
    await ada.do("/console/find", typed=heard)
    assert "Nothing was found" not in ada.text
    assert ("Ask the caller: is it" in ada.text) is (typed == "a symbol that no User ID has")
    assert "User ID" in ada.text


async def test_a_lead_sends_to_an_address_that_came_back_and_a_clerk_reads_why_not(service, ada, anna):
    letter = (await service.rows("SELECT id FROM message"))[0].id
    await service.deliver()
    async with service.database.transaction() as session:
        message = await messages.find_message(session, letter)
        await suppressions.suppress_address(session, message, feedback_id=None, now=service.clock())
    lead = await a_clerk(service, "lea", "lead")
    for person, status in ((ada, 409), (lead, 200)):
        number = await person.open_account(anna)
        done = await person.do(f"/console/accounts/{anna}/messages/{letter}/retry", contact=number, relay="")
        assert done.status_code == status, person.text
    assert "We're sending the email again." in lead.text
