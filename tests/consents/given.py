"""A customer with a browser and a mailbox, and every door through which something is said about consent."""

import re

import httpx2

from tests.accounts.given import an_account
from tests.browser import Browser
from tests.conftest import BASE, Caller, Service
from tests.life.given import press

WORDING = "email-2026-11"
LINK = re.compile(r"https://id\.example\.com(/confirm/\S+?)#(\S+)")
CODE = re.compile(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", re.M)


class Customer:
    """One customer: his User ID, his address, and his browser, signed in when he needs it."""

    def __init__(self, service: Service, user_id: str, email: str, *, language: str, source: str) -> None:
        self.service, self.user_id, self.email = service, user_id, email
        self.browser = Browser(service.app, BASE, language=language, source=source)
        self.signed_in = False

    async def sign_in(self) -> None:
        """Sign in by a mailed code, once."""
        if self.signed_in:
            return
        await self.service.deliver()
        await self.browser.open("/signin")
        page = await self.browser.send("/signin/code", email=self.email)
        await self.service.deliver()
        code = CODE.search(self.service.mailbox.letters(self.email)[0]["text"])
        await self.browser.send(page.url.path, code=code[1])
        assert self.browser.page.url.path == "/me", self.browser.text
        self.service.clock.advance(seconds=1)
        self.signed_in = True

    async def says(self, purpose: str, decision: str, **more: str) -> httpx2.Response:
        """Press the button on `/me`."""
        await self.sign_in()
        await self.browser.open("/me")
        return await self.browser.send(f"/me/consents/{purpose}", decision=decision, **more)

    async def grants(self, purpose: str = "email") -> None:
        page = await self.says(purpose, "granted", wording=f"{purpose}-2026-11")
        assert page.url.path == "/me", self.browser.text

    async def withdraws(self, purpose: str = "email") -> None:
        page = await self.says(purpose, "withdrawn")
        assert page.url.path == "/me", self.browser.text

    async def link(self, subject: str) -> tuple[str, str]:
        """Return path and fragment of the link in the newest letter with this subject."""
        await self.service.deliver()
        return LINK.search(self.service.letter(self.email, subject)["text"]).groups()

    async def presses(self, path: str, fragment: str) -> int:
        """Open a letter's link and press its button; return the status of the page that follows."""
        return (await press(self.service, (path, fragment))).page.status_code


async def a_customer(
    caller: Caller, service: Service, email: str = "anna@example.com", *, locale: str = "en", source: str = "10.1.0.1"
) -> Customer:
    user_id = await an_account(caller, email=email, locale=locale)
    return Customer(service, user_id, email, language=locale, source=source)


async def propose(caller: Caller, user_id: str, purpose: str = "email", **more) -> httpx2.Response:
    """Say over the API that the customer would agree."""
    body = {"granted": True, "wording": f"{purpose}-2026-11", **more}
    return await caller.put(f"/v1/accounts/{user_id}/consents/{purpose}", body)


async def withdraw(caller: Caller, user_id: str, purpose: str = "email", **headers: str) -> httpx2.Response:
    path = f"/v1/accounts/{user_id}/consents/{purpose}"
    return await caller.http.put(path, json={"granted": False}, headers={**caller.headers, **headers})


async def allowed(caller: Caller, *user_ids: str, purpose: str = "email") -> list[str]:
    """Return whom a marketing system may contact."""
    answer = await caller.post("/v1/marketing/permissions", {"purpose": purpose, "user_ids": list(user_ids)})
    assert answer.status_code == 200, answer.text
    return answer.json()["allowed"]


async def states(caller: Caller, user_id: str) -> dict[str, str | None]:
    """Return the decision that counts, by purpose."""
    answer = await caller.get(f"/v1/accounts/{user_id}/consents")
    return {item["purpose"]: item["decision"] for item in answer.json()["items"]}
