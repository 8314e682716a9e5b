"""Who reaches what is for people: the lines of the matrix for staff and customers, at browsers of every kind."""

import re
from html import unescape

import pytest

from identity_service.console import rules as console_rules
from identity_service.web import scopes
from tests.browser import Browser
from tests.conftest import BASE
from tests.console.given import Clerk, a_clerk, an_account
from tests.test_matrix import BY_CUSTOMER, BY_ROLE, filled, token_of


@pytest.mark.parametrize("role", console_rules.ROLES)
async def test_each_role_reaches_its_doors_of_the_console_and_no_other(service, caller, role):
    """ASVS 8.2.1, PHN-11: refused by the role before anything else is looked at."""
    anna = await an_account(caller)
    who = await a_clerk(service, "ada", role)
    wrong = []
    for name, roles in sorted(BY_ROLE.items(), key=lambda line: "signout" in line[0]):
        method, path = filled(name, anna)
        if method == "GET":
            answer = await who.http.get(path)
        else:
            answer = await who.http.post(path, data={"form_token": who.token})
        may = "Your role doesn't allow this." not in unescape(answer.text)
        if may != (role in roles) or answer.status_code >= 500:
            wrong.append((name, answer.status_code))
    assert wrong == []


@pytest.mark.parametrize("who", ["a stranger", "a customer", "a client with every scope"])
async def test_nobody_else_reaches_the_console(service, caller, who):
    """ASVS 8.2.1, PHN-11: no customer's cookie and no token opens it."""
    anna = await an_account(caller)
    visitor = Browser(service.app, BASE)
    if who == "a customer":
        await signed_in(service, visitor, "anna@example.org")
    elif who == "a client with every scope":
        visitor.http.headers["Authorization"] = f"Bearer {await token_of(service, *scopes.SCOPES)}"
    await visitor.open("/console/signin")
    token = re.search(r'name="form_token" value="([^"]+)"', visitor.page.text)[1]
    visitor.http.follow_redirects = False
    for name in BY_ROLE:
        method, path = filled(name, anna)
        answer = await visitor.http.request(
            method, path, **({} if method == "GET" else {"data": {"form_token": token}})
        )
        assert answer.status_code in (303, 401), (name, answer.status_code)
        assert answer.headers.get("location", "/console/signin") == "/console/signin"


@pytest.mark.parametrize("who", ["a stranger", "staff"])
async def test_nobody_else_reaches_what_is_a_customers(service, caller, who):
    """ASVS 8.2.2: a lead's cookie of the console is no customer's."""
    visitor = Clerk(service.app, BASE) if who == "a stranger" else await a_clerk(service, "bob", "lead")
    await visitor.open("/signin")
    token = re.search(r'name="form_token" value="([^"]+)"', visitor.page.text)[1]
    visitor.http.follow_redirects = False
    for name in BY_CUSTOMER:
        method, path = filled(name, "")
        answer = await visitor.http.request(
            method, path, **({} if method == "GET" else {"data": {"form_token": token}})
        )
        assert answer.status_code in (303, 401), (name, answer.status_code)
        assert answer.headers.get("location", "/signin").partition("?")[0] == "/signin"


async def test_a_customer_reaches_his_own_and_nobody_elses(service, caller):
    """ASVS 8.2.2, ATT-50: Ben ends no session of Anna's, and reads nothing of hers."""
    await an_account(caller)
    await an_account(caller, "ben@example.org")
    anna, ben = Browser(service.app, BASE), Browser(service.app, BASE)
    await signed_in(service, anna, "anna@example.org")
    await signed_in(service, ben, "ben@example.org")
    hers = (await service.rows("SELECT id FROM sign_in_session ORDER BY created_at LIMIT 1"))[0].id
    await ben.open("/me")
    await ben.send(f"/me/sessions/{hers}/end")
    assert (await anna.open("/me")).url.path == "/me"
    for name in BY_CUSTOMER:
        method, path = filled(name, "")
        if method == "GET":
            assert "anna@example.org" not in (await ben.open(path)).text


async def signed_in(service, browser: Browser, email: str) -> None:
    """Sign a customer in by the code of a letter."""
    await browser.open("/signin")
    await browser.send("/signin/code", email=email)
    await service.deliver()
    text = next(m["text"] for m in service.mailbox.letters(email) if "/signin" in m["text"] or "ode" in m["subject"])
    code = re.search(r"([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", text, re.M)[1]
    await browser.send(browser.page.url.path, code=code)
    assert browser.page.url.path == "/me", browser.text
