"""A customer who asks for a password, his letters, and what the database is told meanwhile."""

import contextlib
import difflib
import re
from collections.abc import Iterator
from typing import NamedTuple

from sqlalchemy import event, text

from identity_service.dev.mailbox import Behaviour
from tests.accounts.given import an_account, close, merge
from tests.browser import Browser
from tests.conftest import BASE, Service

ANNA = "anna@example.org"
GOOD = "violet teapot argues with gravity"
OTHER = "seven herons borrow a ladder"
KEPT_FRESH = (
    "FROM client ", "FROM redirect_uri JOIN ", "FROM revoked_token ", "FROM encryption_key", "FROM client \n",
    "FROM revoked_token \n",
)  # fmt: skip
"""What each process reads again every few seconds, whoever asks for what."""
STATES = ("known", "confirmed", "closed", "merged", "unknown", "without")


class Reset(NamedTuple):
    """A reset that was asked for and mailed."""

    browser: Browser
    watch: str
    letter: dict
    link: str
    code: str


def a_browser(service: Service, source: str = "198.51.100.9", **options) -> Browser:
    return Browser(service.app, BASE, source=source, **options)


async def ask(browser: Browser, address: str = ANNA) -> str:
    """Ask by the page; return the path where the letter is followed."""
    await browser.open("/reset")
    page = await browser.send("/reset", email=address)
    assert page.status_code == 200, browser.text
    return page.url.path


def link_in(letter: dict) -> str:
    """The fragment of the link in a letter of a reset."""
    return re.search(r"^https?://[^/\s]+/reset/choose/\S+?#(\S+)\s*$", letter["text"], re.M)[1]


def code_in(letter: dict) -> str:
    return re.search(r"^ {4}([0-9A-Z]{5}-[0-9A-Z]{5})\s*$", letter["text"], re.M)[1]


async def a_reset(service: Service, address: str = ANNA, source: str = "198.51.100.9") -> Reset:
    """Ask for the address's new password, and read the letter."""
    browser = a_browser(service, source)
    watch = await ask(browser, address)
    await service.deliver()
    letter = service.letter(address, "Reset your password")
    return Reset(browser, watch, letter, link_in(letter), code_in(letter))


async def choose(browser: Browser, link: str, password: str = GOOD):
    await browser.open("/reset/choose")
    return await browser.send("/reset/choose", link=link, password=password)


async def type_code(browser: Browser, watch: str, code: str, password: str = GOOD):
    await browser.open(f"{watch}/code")
    return await browser.send(f"{watch}/code", code=code, password=password)


async def a_password(service: Service, caller, address: str = ANNA, password: str = GOOD, **account) -> str:
    """An account whose mailbox was proven and whose password was set; a second later. Its User ID."""
    user_id = await an_account(caller, email=address, **account)
    reset = await a_reset(service, address, source="198.51.100.200")
    done = await choose(reset.browser, reset.link, password)
    assert done.url.path == "/reset/done", reset.browser.text
    service.clock.advance(seconds=1)
    return user_id


async def sign_in(browser: Browser, address: str = ANNA, password: str = GOOD):
    await browser.open("/signin")
    return await browser.send("/signin", email=address, password=password)


async def of_every_state(service: Service, caller, owner) -> dict[str, str]:
    """An address in each state that an account can be in, alike in length and first letter."""
    addresses = {state: f"a{number:05}@example.org" for number, state in enumerate(STATES)}
    made = {state: await an_account(caller, email=addresses[state]) for state in ("known", "closed", "merged")}
    await a_password(service, caller, addresses["confirmed"])
    await an_account(caller, email=addresses["without"])
    await merge(owner, made["merged"], into=made["known"])
    await close(owner, made["closed"])
    await service.deliver()
    await forget_limits(service)
    return addresses


async def forget_limits(service: Service) -> None:
    """Let an hour pass for the throttle, which goes by the database's clock."""
    async with service.database.transaction() as session:
        await session.execute(text("DELETE FROM rate_limit_counter"))


@contextlib.contextmanager
def told(service: Service) -> Iterator[list[str]]:
    """Every statement that the application's engine runs meanwhile, in order."""
    seen: list[str] = []

    def note(connection, cursor, statement, parameters, context, executemany) -> None:
        if not any(table in f"{statement} " for table in KEPT_FRESH):
            seen.append(statement)

    engine = service.database.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", note)


def alike(page: str) -> str:
    """A page without what differs by chance alone: handles, references, what was typed, the values of its forms."""
    page = re.sub(r"/(reset|signin|messages|welcome|confirm)/[A-Za-z0-9_-]{20,}", r"/\1/HANDLE", page)
    page = re.sub(r"typed=[A-Za-z0-9_-]{20,}", "typed=HANDLE", page)
    page = re.sub(r"(<dt>To</dt><dd><bdi>|For: <bdi>|autocomplete=.username. value=.)[^<\"]+", r"\1TYPED", page)
    page = re.sub(r'name="form_token" value="[^"]+"', "TOKEN", page)
    page = re.sub(r"try again at \d\d:\d\d UTC", "NEXT", page)
    page = re.sub(r"queued as [0-9A-F]{6}", "QUEUED", page)
    return re.sub(r'class="reference"[^>]*>(<bdi>)?[0-9A-Z]{4}-[0-9A-Z]{4}', "REFERENCE", page)


def same(found: dict[str, dict], *names: str) -> None:
    """What everybody saw under these names is the same."""
    first = next(iter(found))
    for name in names:
        for state, seen in found.items():
            assert seen[name] == found[first][name], _differences(name, first, state, found)


def _differences(name: str, first: str, state: str, found: dict[str, dict]) -> str:
    pair = [
        one[name].splitlines() if isinstance(one[name], str) else [*map(str, one[name])]
        for one in (found[first], found[state])
    ]
    return "\n".join([name, *difflib.unified_diff(*pair, first, state, n=0, lineterm="")])


async def rows_of(service: Service) -> dict[str, int]:
    """How many rows each table has."""
    names = await service.rows("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    return {
        name: (await service.rows(f"SELECT count(*) FROM {name}"))[0][0] for (name,) in names if "alembic" not in name
    }


async def everything(service: Service, owner) -> str:
    """Every row of every table as text: what a stolen dump says."""
    async with owner.begin() as connection:
        names = await connection.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"))
        whole = [await connection.execute(text(f"SELECT t::text FROM {name} t ORDER BY 1")) for (name,) in names.all()]
    return "\n".join(row[0] for rows in whole for row in rows.all())


def misbehave(service: Service, **behaviour) -> None:
    """Let the mail server refuse, drop or wait."""
    service.mailbox.behaviours.append(Behaviour(**behaviour))
