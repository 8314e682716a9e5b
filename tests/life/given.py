"""What the tests of an account's life begin with: verbs that the caller has no word for, letters, rows."""

import re
from typing import Any

from identity_service.audit import actions as audit
from identity_service.consents import audit as consent_audit
from tests.browser import Browser
from tests.conftest import BASE, Caller, Service

COMPANY = {"company_name": "Müller Bau GmbH", "country": "DE", "vat_number": "DE136695976"}
LINK = re.compile(r"https://id\.example\.com(/confirm/\S+?)#(\S+)")
WORDING = "email-2026-11"


async def call(caller: Caller, method: str, path: str, json: Any = None, **headers: str):
    """Call any door as a client."""
    body = {} if json is None else {"json": json}
    return await caller.http.request(method, path, headers={**caller.headers, **headers}, **body)


async def convert(caller: Caller, user_id: str, company: dict | None = None, *, query: str = "", **headers: str):
    """Ask for an account to be a business."""
    method = "POST" if query else "PUT"
    return await call(caller, method, f"/v1/accounts/{user_id}/business{query}", company or COMPANY, **headers)


async def account(caller: Caller, user_id: str) -> dict:
    """Read an account that is there."""
    answer = await caller.get(f"/v1/accounts/{user_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


async def a_business(caller: Caller, **given) -> str:
    """Register a customer and make it a business; return the User ID as it is shown."""
    made = await caller.post("/v1/accounts", given)
    answer = await convert(caller, made.json()["user_id"])
    assert answer.status_code == 200, answer.text
    return made.json()["user_id"]


def an_entry(reference: str, **given) -> dict:
    """An order, but for what is named."""
    return {"reference": reference, "kind": "order", "occurred_at": "2026-01-02T03:04:05Z", **given}


async def append(caller: Caller, user_id: str, *entries: dict, **given):
    """Append history; `given` stands beside the entries."""
    return await caller.post(f"/v1/accounts/{user_id}/history", {"entries": list(entries), **given})


async def references(caller: Caller, user_id: str) -> list[str]:
    """Read the references of a customer's history, newest first."""
    answer = await caller.get(f"/v1/accounts/{user_id}/history?limit=200")
    assert answer.status_code == 200, answer.text
    return [entry["reference"] for entry in answer.json()["items"]]


async def link_to(service: Service, to: str, subject: str) -> tuple[str, str]:
    """Deliver what is due; return page and secret of the newest letter with a link and these words in its subject."""
    await service.deliver()
    letters = [letter["text"] for letter in service.mailbox.letters(to) if subject in letter["subject"]]
    return next(found.groups() for found in map(LINK.search, letters) if found)


async def press(service: Service, link: tuple[str, str]) -> Browser:
    """Open a letter's link and press its button, as a person does; a box that it asks for is ticked."""
    browser = Browser(service.app, BASE)
    path, secret = link
    await browser.open(path)
    if 'name="form_token"' not in browser.page.text:
        # The page of a link that has ended has no form; an open tab, or an attacker, still sends it.
        await browser.open("/signin")
    for _ in range(2):
        ticked = {"agreed": "yes"} if 'name="agreed"' in browser.page.text else {}
        await browser.send(path, link=secret, code="", **ticked)
        if 'name="agreed"' not in browser.page.text:
            break
    return browser


async def confirm(service: Service, to: str, subject: str) -> Browser:
    """Do what the newest letter of this subject is about; it has to work."""
    service.clock.advance(seconds=1)
    browser = await press(service, await link_to(service, to, subject))
    assert browser.page.url.path.startswith("/confirmed/"), browser.text
    return browser


async def merge(service: Service, caller: Caller, survivor: str, duplicate: str, *mailboxes: str) -> None:
    """Merge two accounts: asked for, and agreed to by these mailboxes."""
    asked = await caller.post(f"/v1/accounts/{survivor}/merge", {"duplicate": duplicate})
    assert asked.status_code == 202, asked.text
    for mailbox in mailboxes:
        await confirm(service, mailbox, "Do you want to merge your two accounts?")


async def two_accounts(caller: Caller) -> tuple[str, str]:
    """Anna's private account and the one of her firm."""
    ids = []
    for name, ref in (("anna", "17"), ("firm", "18")):
        made = await caller.post("/v1/accounts", {"email": f"{name}@example.com", "external_ref": ref})
        ids.append(made.json()["user_id"])
    return ids[0], ids[1]


async def renew(service: Service, caller: Caller) -> None:
    """Get the caller a fresh token: the clock has gone on."""
    answer = await service.http.post(
        "/oauth/token", data={"grant_type": "client_credentials"}, auth=(caller.client_id, caller.client_secret)
    )
    caller.token = answer.json()["access_token"]


async def days_later(service: Service, caller: Caller, **by: float) -> None:
    """Let time go by, and get the caller a token that is good then."""
    service.clock.advance(**by)
    await renew(service, caller)


def row_id(user_id: str) -> str:
    """A shown User ID as the tables have it."""
    return user_id.replace("-", "")


async def every_row(service: Service) -> dict[str, list[str]]:
    """Every row of every table, as text."""
    tables = [name for (name,) in await service.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")]
    return {name: [text for (text,) in await service.rows(f"SELECT t::text FROM {name} t")] for name in tables}


async def set_password(service: Service, address: str, password: str) -> None:
    """Set a password by the reset letter, as the customer does."""
    browser = Browser(service.app, BASE)
    await browser.open("/reset")
    await browser.send("/reset", email=address)
    await service.deliver()
    text = service.letter(address, "Reset your password")["text"]
    link = re.search(r"https://id\.example\.com/reset/choose/\S+?#(\S+)", text)[1]
    service.clock.advance(seconds=1)
    await browser.open("/reset/choose")
    done = await browser.send("/reset/choose", link=link, password=password)
    assert done.url.path == "/reset/done", browser.text
    service.clock.advance(seconds=1)


async def sign_in(service: Service, address: str, password: str) -> Browser:
    """Sign in; return the browser, wherever that leads."""
    browser = Browser(service.app, BASE)
    await browser.open("/signin")
    await browser.send("/signin", email=address, password=password)
    return browser


async def consent(service: Service, caller: Caller, user_id: str, address: str, purpose: str = "email") -> None:
    """Have the customer say yes to marketing, by his letter."""
    path = f"/v1/accounts/{user_id}/consents/{purpose}"
    asked = await call(caller, "PUT", path, {"granted": True, "wording": f"{purpose}-2026-11", "channel": "app"})
    assert asked.status_code == 202, asked.text
    letter = await link_to(service, address, "")
    service.clock.advance(seconds=1)
    browser = await press(service, letter)
    assert browser.page.url.path == "/confirmed/consent", browser.text


async def audited(service: Service) -> None:
    """Seal everything, and walk events and consents as an auditor does; nothing may be found."""
    while await service.seal():
        pass
    async with service.database.transaction() as session:
        walked = await audit.audit_events(session)
        _, finding = await consent_audit.audit_consents(session)
    assert (walked.finding, finding) == (None, None)
