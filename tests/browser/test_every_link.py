"""Every link that a message, a page or a command shows is clicked in a real Chromium and leads where it says."""

import re
from urllib.parse import urldefrag, urlsplit

import pytest
from playwright.async_api import expect

from identity_service.accounts import actions as accounts
from identity_service.addresses import further
from identity_service.approvals import actions as approvals
from identity_service.cli import dev
from identity_service.credentials import actions as credentials
from identity_service.dev import design, mailbox, phone, previews
from identity_service.messages.kinds import KINDS
from identity_service.one_time_tokens import actions as one_time_tokens
from identity_service.privacy import closing
from identity_service.second_factors import actions as second_factors
from identity_service.second_factors import removal
from identity_service.values import email_addresses
from identity_service.values.user_ids import UserId
from tests.browser import Browser
from tests.browser.conftest import GOOD
from tests.browser.walk import every_page
from tests.clients.conftest import command  # noqa: F401 (a fixture)
from tests.conftest import BASE
from tests.console.given import now_code
from tests.life.given import COMPANY, call, row_id
from tests.second_factors.given import shown

URL = re.compile(r"https?://[^\s\"'<>]+")
CLERK = {"X-Clerk-ID": "clerk-7"}
WITHOUT_LINK = {"account_erased", "caller_check", "test"} | {
    name for name, kind in KINDS.items() if kind.channel == "text"
}
COPIED = "(x509|bearer|jwt|\\.json$|/v1/|/oauth/)"


# The command prints the address that the settings name, so the settings name the browser's.
@pytest.fixture
def staff_link(command, site: str):  # noqa: F811
    async def added(name: str, role: str) -> str:
        ended = await command("staff", "add", name, "--role", role, IDENTITY_PUBLIC_URL=site)
        assert ended.status == 0, ended.err
        (link,) = URL.findall(ended.out)
        return link

    return added


async def test_staff_enrol_by_clicking_the_printed_link(visit, service, staff_link):
    """PHN-11: from the printed line to the console, with a weak password and a wrong code on the way."""
    one = await visit()
    one.expected = {422}
    link = await staff_link("ada", "lead")
    # A sign that a text program put behind the link stays out.
    await one.open(link + '".')
    await expect(one.page.locator("body.has-link")).to_be_visible()
    assert one.page.url == urldefrag(link)[0]
    await one.press("Begin")
    shown = await one.page.locator(".reference").inner_text()
    seed = shown.replace(" ", "")
    for password, code in ((GOOD, "000000"), ("short", now_code(service, seed))):
        await one.type("New password", password)
        await one.type("The six digits that the app shows now", code)
        await one.press("Enrol")
        await expect(one.page.get_by_role("alert")).to_be_visible()
        assert await one.page.locator(".reference").inner_text() == shown
    await one.type("New password", GOOD)
    await one.type("The six digits that the app shows now", now_code(service, seed))
    await one.press("Enrol")
    assert await one.page.locator(".codes li").count() == 10
    await one.follow("Sign in")
    service.clock.advance(seconds=40)
    await one.type("Name", "ada")
    await one.type("Password", GOOD)
    await one.type("One-time code, or a recovery code", now_code(service, seed))
    await one.press("Sign in")
    assert one.path == "/console"
    await one.open(link)
    one.expected = {410}
    await one.press("Begin")
    await expect(one.page.get_by_role("alert")).to_contain_text("This enrolment link doesn't work.")


@pytest.fixture
def developer(service, site: str) -> None:
    """The pages that only `identity-service run` has."""
    service.app.state.mailbox = service.mailbox
    service.app.include_router(mailbox.router)
    service.app.state.phone = phone.Phone()
    service.app.include_router(phone.router)
    service.app.include_router(previews.router)
    service.app.include_router(design.router)


class Reader:
    """Opens every message that arrives and clicks every link in it, once."""

    def __init__(self, visit, service, site: str) -> None:
        self.visit, self.service, self.site = visit, service, site
        self.read: set[str] = set()

    async def read_all(self) -> None:
        await self.service.deliver()
        for message in reversed(self.service.mailbox.letters()):
            if message["name"] not in self.read:
                self.read.add(message["name"])
                await self.click_links(message)

    async def leave_unread(self) -> None:
        """Have what arrived so far never opened: what happens next ends its links."""
        await self.service.deliver()
        self.read |= {message["name"] for message in self.service.mailbox.letters()}

    async def click_links(self, message: dict) -> None:
        links = [link.rstrip(".") for link in URL.findall(message["text"])]
        shown = [link for link in re.findall(r'href="([^"]+)"', message["html"]) if not link.startswith("mailto:")]
        assert set(shown) == set(links), message["subject"]
        self.service.clock.advance(seconds=1)
        for link in links:
            assert link.startswith(self.site), link
            one = await self.visit()
            answer = await one.open(link)
            assert answer.ok, (link, message["subject"])
            if urldefrag(link)[1]:
                await self.press(one, message["subject"])

    async def press(self, one, subject: str) -> None:
        await expect(one.page.locator("body.has-link")).to_be_visible()
        password = one.page.get_by_label("New password", exact=True)
        if await password.count():
            await password.fill(GOOD)
        box = one.page.locator("form[data-link] input[name=agreed]")
        if await box.count():
            await box.check()
        # Where the address has an account, the page names both and asks for a tick.
        one.expected = {422}
        async with one.page.expect_navigation():
            await one.page.locator("form[data-link] button").click()
        if await box.count():
            await box.check()
            await one.page.locator("form[data-link] button").click()
        await one.page.wait_for_url(re.compile("/(confirmed/|reset/done)"))
        assert await one.page.get_by_role("alert").count() == 0, subject


async def account(caller, email: str) -> str:
    return (await caller.post("/v1/accounts", {"email": email})).json()["user_id"]


async def from_page(service, path: str, email: str) -> None:
    browser = Browser(service.app, BASE)
    await browser.open("/signin" if path == "/signin/code" else path)
    await browser.send(path, email=email)
    assert browser.page.status_code == 200, browser.text


async def approve_change(service, user_id: str, address: str) -> None:
    value = {"email": address, "ascii": address, "key": address}
    row = UserId(row_id(user_id))
    asked = await service.database.in_transaction(
        lambda s: approvals.request_approval(
            s, row, "email", value, reason="lost", actor="staff:a", now=service.clock()
        )
    )
    await service.database.in_transaction(
        lambda s: approvals.approve_change(s, asked.id, actor="staff:b", now=service.clock())
    )


async def tell_of_proofs(service, user_id: str) -> None:
    """The notices alone; how they come about is shown in test_passkeys.py and test_second_factor.py."""
    factor = ("second_factor_added", "second_factor_removed", "second_factor_failed")
    for kind in (
        "passkey_added",
        "passkey_removed",
        "passkey_copied",
        "passkey_only",
        "passkey_only_ended",
        "weaker_sign_in",
        "number_added",
        "number_removed",
        "password_changed_by_text",
        *factor,
    ):
        await service.database.in_transaction(
            lambda s, kind=kind: credentials.notify_mailboxes(
                s, kind, [row_id(user_id)], cause="passkey.added", actor="customer", now=service.clock()
            )
        )


async def tell_of_recovery(service, user_id: str, address: str) -> None:
    """The notices alone; how they come about is shown in tests/recovery and tests/contacts."""
    for kind, cause in (
        ("recovery_code_created", "recovery_code.created"), ("recovery_code_used", "recovery_code.used"),
        ("recovery_code_entered", "recovery.began"), ("recovery_code_missed", "recovery_code.missed"),
        ("call_denied", "caller.denied"),
    ):  # fmt: skip
        await service.database.in_transaction(
            lambda s, kind=kind, cause=cause: credentials.notify_mailboxes(
                s, kind, [row_id(user_id)], cause=cause, actor="customer", now=service.clock()
            )
        )
    to = email_addresses.parse(address)
    await service.database.in_transaction(
        lambda s: one_time_tokens.send_token(
            s, "recovery", kind="recovery_proof", to=to, user_id=row_id(user_id), locale="en",
            cause="recovery.second_proof_requested", actor="customer", now=service.clock(),
        )
    )  # fmt: skip


async def loses_an_app(service, user_id: str) -> None:
    """Set an app up, and say that it is lost."""
    row, now = UserId(row_id(user_id)), service.clock()

    async def act(session) -> None:
        setup = await second_factors.begin_setup(session, await accounts.find_account(session, row), now=now)
        await second_factors.finish_setup(session, row, shown(service, setup.seed), now=now)
        await removal.ask_removal(session, row, now=now)

    await service.database.in_transaction(act)


async def further_addresses(service, reader: Reader, user_id: str) -> None:
    """One is added and confirmed, removed and brought back; another is added and undone. Of several links that undo the
    same, the first one that is used ends the others."""
    row = UserId(row_id(user_id))

    async def read_only(to: str) -> None:
        await service.deliver()
        mine = {message["name"] for message in service.mailbox.letters(to)}
        reader.read |= {message["name"] for message in service.mailbox.letters()} - mine
        await reader.read_all()
        service.clock.advance(seconds=1)

    async def act(verb, *what, **how) -> None:
        await service.database.in_transaction(lambda s: verb(s, row, *what, **how, now=service.clock()))

    uses = {"for_recovery": True, "for_notices": True}
    await act(further.add_address, email_addresses.parse("jana2@example.org"), **uses)
    await read_only("jana2@example.org")
    ((address_id,),) = await service.rows("SELECT id FROM further_address WHERE confirmed_at IS NOT NULL")
    await act(further.remove_address, address_id)
    await read_only("jana2@example.org")
    await reader.leave_unread()
    await act(further.add_address, email_addresses.parse("jana3@example.org"), **uses)
    await read_only("jana@example.org")
    await reader.leave_unread()


async def reopened(service, reader: Reader, user_id: str) -> None:
    """Staff open a closed account again; its own link in the message about the closing is left alone."""
    await reader.read_all()
    row = UserId(row_id(user_id))
    for act in (closing.close_account, closing.reopen_account):
        await service.database.in_transaction(lambda s, act=act: act(s, row, actor="staff:a", now=service.clock()))
        if act is closing.close_account:
            await reader.leave_unread()
    await reader.read_all()


@pytest.mark.timeout(300)
async def test_every_link_of_every_message_works(visit, service, caller, site: str):
    """A message of each kind is caused, delivered and read; each link is opened, and its page's button works."""
    reader = Reader(visit, service, site)
    anna, ben = [await account(caller, f"{name}@example.org") for name in ("anna", "ben")]
    await reader.read_all()
    for path, email in (
        ("/", "carla@example.org"), ("/", "anna@example.org"), ("/reset", "nobody@example.org"),
        ("/reset", "anna@example.org"), ("/signin/code", "nobody@example.org"), ("/signin/code", "anna@example.org"),
    ):  # fmt: skip
        await from_page(service, path, email)
        await reader.read_all()
    await reader.read_all()
    await from_page(service, "/reset", "ben@example.org")
    await call(caller, "POST", f"/v1/accounts/{ben}/close")
    await reader.read_all()
    yes = {"granted": True, "wording": "email-2026-11", "channel": "app"}
    await call(caller, "PUT", f"/v1/accounts/{anna}/consents/email", yes)
    await reader.read_all()
    await reader.read_all()
    await call(caller, "PUT", f"/v1/accounts/{anna}/business", {**COMPANY, "billing_address": "Elsewhere 1"})
    service.clock.advance(seconds=1)
    await call(caller, "PUT", f"/v1/accounts/{anna}/business", COMPANY)
    await reader.read_all()
    await caller.post(f"/v1/accounts/{anna}/email-changes", {"email": "anna2@example.org"})
    await reader.read_all()
    await reader.read_all()
    dora, emil = [await account(caller, f"{name}@example.org") for name in ("dora", "emil")]
    await caller.post(f"/v1/accounts/{dora}/merge", {"duplicate": emil})
    await reader.read_all()
    await call(caller, "POST", f"/v1/accounts/{emil}/merge/undo")
    await reader.read_all()
    tool = await service.caller(name="desk tool", desk=True)
    await call(tool, "PUT", f"/v1/accounts/{dora}/business", COMPANY, **CLERK)
    await reader.read_all()
    frida = await account(caller, "frida@example.org")
    await approve_change(service, frida, "frida2@example.org")
    await reader.read_all()
    await reopened(service, reader, await account(caller, "greta@example.org"))
    hans = await account(caller, "hans@example.org")
    await call(caller, "PUT", f"/v1/accounts/{hans}/business", COMPANY)
    await reader.leave_unread()
    await call(caller, "DELETE", f"/v1/accounts/{hans}/business")
    await reader.read_all()
    iris = await account(caller, "iris@example.org")
    await tell_of_proofs(service, iris)
    await reader.read_all()
    await tell_of_recovery(service, iris, "iris@example.org")
    await reader.read_all()
    await loses_an_app(service, await account(caller, "jonas@example.org"))
    await reader.read_all()
    await reader.read_all()
    await further_addresses(service, reader, await account(caller, "jana@example.org"))
    kinds = {row.kind for row in await service.rows("SELECT kind FROM message WHERE state = 'accepted'")}
    assert kinds >= set(KINDS) - WITHOUT_LINK


async def links_on(one) -> set[str]:
    # A link to a place on the same page opens nothing; after a refused form its address would be the form's.
    found = await one.page.evaluate("[...document.querySelectorAll('a[href]:not([href^=\"#\"])')].map(a => a.href)")
    return {urldefrag(link)[0] for link in found}


@pytest.mark.timeout(300)
async def test_every_link_of_every_page_works(visit, service, letters, developer, site: str):
    """Customers' pages in every state, then the console and `/docs`: no link leads to an error page."""
    one = await visit()
    found: set[str] = set()
    async for _ in every_page(one, service, letters, "en"):
        found |= await links_on(one)
    found |= {
        f"{site}{path}"
        for path in ("/console/signin", "/docs", "/dev/mailbox", "/dev/phone", "/dev/messages", "/dev/design")
    }
    opened: set[str] = set()
    stranger = await visit()
    # Where the account has ended, signed-in pages lead to the sign-in page, which is an answer, too.
    stranger.expected = {404}
    while found - opened:
        link = sorted(found - opened)[0]
        opened.add(link)
        assert link.startswith(site), link
        if urlsplit(link).path.startswith(("/welcome/", "/confirm/")):
            continue
        answer = await stranger.context.request.get(link, headers={"Accept": "text/html"})
        assert answer.ok, (link, answer.status)
        if "text/html" in answer.headers["content-type"]:
            await stranger.open(link)
            found |= {more for more in await links_on(stranger) if not re.search(COPIED, more)}
    assert len(opened) > 15


async def test_every_address_that_run_prints_works(visit, service, developer, site: str):
    """The lines that a newcomer reads first: each address in them is opened."""
    text = dev.greeting(service.database.settings, {"client_id": "c"})
    pages = {link for link in URL.findall(text) if not re.search("/v1/|/oauth/|messages", link)}
    pages |= {f"{site}{path}" for path in ("/reset", "/signin", "/me", "/receipt")}
    one = await visit()
    for link in pages:
        assert (await one.open(link)).ok, link
    assert {urlsplit(link).path for link in pages} >= {"/", "/console", "/dev/mailbox", "/docs"}
