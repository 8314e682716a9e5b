"""What the desk sees: the change that it approves, a way to decline, and messages where there is no account."""

import re

import pytest

from tests.console.given import a_clerk, an_account
from tests.resets.given import a_browser, ask

ANNA = "anna@example.org"


async def asked(service, caller, **form):
    """Ada asks for a change of Anna's account because the mailbox is lost; return her and the User ID."""
    ada, anna = await a_clerk(service), await an_account(caller)
    number = await ada.open_account(anna)
    given = {"verb": "email", "value": "new@example.org", "reason": "provider closed the mailbox", **form}
    answer = await ada.do(f"/console/accounts/{anna}/ask", contact=number, **given)
    assert answer.status_code == 200, ada.text
    service.clock.advance(minutes=1)
    return ada, anna


async def change_of(service) -> str:
    ((change_id,),) = await service.rows("SELECT id FROM pending_change WHERE stopped_at IS NULL")
    return str(change_id)


async def test_who_approves_sees_the_change_itself(service, caller):
    _, anna = await asked(service, caller)
    bert = await a_clerk(service, "bert")
    await bert.open("/console/approvals")
    for said in (anna, "a…@example.org", "new@example.org", "provider closed the mailbox", "ada"):
        assert said in bert.text
    assert "Approve (starts in 72 hours)" in bert.text


async def test_who_approves_a_merge_sees_the_other_user_id(service, caller):
    other = await an_account(caller, "other@example.org")
    await asked(service, caller, verb="merge", value=other)
    bert = await a_clerk(service, "bert")
    await bert.open("/console/approvals")
    assert other in bert.text


@pytest.mark.parametrize("who", ["bert", "ada"])
async def test_a_change_is_declined_by_another_or_withdrawn_by_whoever_asked(service, caller, who):
    ada, _ = await asked(service, caller)
    person = ada if who == "ada" else await a_clerk(service, "bert")
    await person.open("/console/approvals")
    assert ("Withdraw" if who == "ada" else "Decline") in person.text
    change_id = await change_of(service)
    await person.do(f"/console/approvals/{change_id}/decline", reason="declined_details")
    assert "Nothing is waiting." in person.text
    rows = await service.rows("SELECT actor, data->>'reason' FROM event WHERE name = 'account.change_stopped'")
    assert [tuple(row) for row in rows] == [(f"staff:{who}", "declined_details")]


@pytest.mark.parametrize("reason", ["", "because", "replaced"])
async def test_a_reason_is_one_of_the_listed(service, caller, reason):
    ada, _ = await asked(service, caller)
    answer = await ada.do(f"/console/approvals/{await change_of(service)}/decline", reason=reason)
    assert answer.status_code == 404
    assert await service.rows("SELECT count(*) FROM pending_change WHERE stopped_at IS NULL") == [(1,)]


async def test_the_desk_finds_a_message_where_there_is_no_account(service):
    """The second story's commonest cause: a typing error. By the address, and by the reference of its page."""
    customer = a_browser(service)
    await ask(customer, "ana@example.org")
    await service.deliver()
    reference = re.search(r'class="reference"><bdi>([0-9A-Z]{4}-[0-9A-Z]{4})<', customer.page.text)[1]
    ada = await a_clerk(service)
    await ada.do("/console/find", typed="ana@example.org")
    assert "No account has this address." in ada.text
    assert "without an open account to a…@example.org" in ada.text
    await ada.do("/console/find", typed=reference)
    assert "No account has this address." in ada.text
    assert "without an open account to a…@example.org" in ada.text


async def test_an_address_of_nobody_is_told_as_that(service):
    ada = await a_clerk(service)
    await ada.do("/console/find", typed="nobody@example.org")
    assert "No message was sent to it, or the account it belonged to was erased." in ada.text


async def test_a_reference_of_a_message_is_called_one(service, caller):
    await an_account(caller)
    customer = a_browser(service)
    await ask(customer, ANNA)
    reference = re.search(r'class="reference"><bdi>([0-9A-Z]{4}-[0-9A-Z]{4})<', customer.page.text)[1]
    ada = await a_clerk(service)
    await ada.do("/console/find", typed=reference)
    assert "found by reference of a message" in ada.text
