"""The second story from the customer's side: a forgotten password, the letter followed, the link used, signed in."""

import re

from tests.browser import Browser
from tests.conftest import BASE

GOOD = "violet teapot argues with gravity"


async def test_a_first_password_is_set_by_the_link_and_signs_in(service, caller):
    made = (await caller.post("/v1/accounts", {"email": "anna@example.org"})).json()
    browser = Browser(service.app, BASE)
    await browser.open("/reset")
    watch = await browser.send("/reset", email="Anna@Example.org")
    assert watch.status_code == 200, browser.text
    assert str(watch.url).startswith(f"{BASE}/reset/")
    assert "The email is waiting to be sent." in browser.text
    await service.deliver()
    await browser.open(watch.url.path)
    assert "We've sent the email." in browser.text
    letter = service.letter("anna@example.org", "Reset your password")
    path, link = re.search(r"https://id\.example\.com(/reset/choose/\S+?)#(\S+)", letter["text"]).groups()

    await browser.open(path)
    done = await browser.send(path, link=link, password=GOOD)
    assert done.url.path == "/reset/done", browser.text
    service.clock.advance(seconds=1)
    await browser.open("/signin")
    mine = await browser.send("/signin", email="anna@example.org", password=GOOD)
    assert mine.url.path == "/me", browser.text
    assert made["user_id"] in browser.text
    assert (await caller.get(f"/v1/accounts/{made['user_id']}")).json()["has_password"] is True

    await browser.open(path)
    assert "This link was used to set your password: " in browser.text
    await browser.open("/me")
    again = await browser.send(path, link=link, password=GOOD + "!")
    assert again.status_code == 410


async def test_the_code_does_it_without_scripts(service, caller):
    await caller.post("/v1/accounts", {"email": "anna@example.org", "locale": "de"})
    browser = Browser(service.app, BASE, language="de")
    await browser.open("/reset")
    watch = await browser.send("/reset", email="anna@example.org")
    await service.deliver()
    letter = service.letter("anna@example.org", "Legen Sie ein neues Kennwort fest")
    code = re.search(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", letter["text"], re.M)[1]
    await browser.open(f"{watch.url.path}/code")
    done = await browser.send(f"{watch.url.path}/code", code=code.lower(), password=GOOD)
    assert done.url.path == "/reset/done", browser.text


async def test_a_public_user_id_is_there_at_once_and_confirmed_by_the_letter(service, caller):
    browser = Browser(service.app, BASE)
    await browser.open("/")
    welcome = await browser.send("/", email="ben@example.org")
    shown = re.search(r"[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}", browser.text)[0]
    assert (await caller.get(f"/v1/accounts/{shown}")).json()["email"] is None
    await service.deliver()
    letter = service.letter("ben@example.org", "Please confirm your email address")
    assert shown in letter["text"]
    path, link = re.search(r"https://id\.example\.com(/confirm/\S+?)#(\S+)", letter["text"]).groups()
    await browser.open(path)
    done = await browser.send(path, link=link, code="")
    assert done.url.path == "/confirmed/address", browser.text
    assert "You don't have a password yet. Set a password Sign in" in browser.text
    await browser.open(welcome.url.path)
    assert "Your email address is confirmed." in browser.text
    assert "Check your email" not in browser.text
    account = (await caller.get(f"/v1/accounts/{shown}")).json()
    assert account["email_state"] == "confirmed"
