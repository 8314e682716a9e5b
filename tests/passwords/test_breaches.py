"""A password from a known breach is refused; the service that knows them learns five digits, and delays nobody."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Callable

import pytest

from tests.accounts.given import an_account
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, a_reset, choose, sign_in


def digest(password: str) -> str:
    return hashlib.sha1(password.encode()).hexdigest().upper()


class Range:
    """A range service on loopback: what it was asked, and what it answers."""

    def __init__(self, answer: Callable[[str], bytes | None]) -> None:
        self.answer, self.asked, self.heads = answer, [], []

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        self.heads.append(head.lower())
        self.asked.append(head.split(" ")[1])
        said = self.answer(self.asked[-1].rpartition("/")[2])
        if said is None:
            await reader.read()
        else:
            writer.write(said)
            await writer.drain()
        writer.close()


def knows(password: str, times: int = 3) -> Callable[[str], bytes]:
    """Answer as the real ones do: every suffix of the range with its count, and others beside it."""
    body = f"{'0' * 35}:7\r\n{digest(password)[5:]}:{times}\r\n{'F' * 35}:0".encode()
    return lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@contextlib.asynccontextmanager
async def looked_up(service, answer: Callable[[str], bytes | None]) -> AsyncIterator[Range]:
    found = Range(answer)
    server = await asyncio.start_server(found.talk, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/range"
    kept = service.database.settings
    service.database.settings = kept.model_copy(update={"breached_passwords_url": url})
    try:
        yield found
    finally:
        service.database.settings = kept
        server.close()


async def test_a_breached_password_is_refused_and_the_link_works_on(service, caller):
    """PWD-04, RST-13, ASVS 6.2.12: the reason is said, and another password is taken."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    async with looked_up(service, knows(GOOD)):
        refused = await choose(reset.browser, reset.link)
        assert refused.status_code == 422
        assert "appeared in a data breach" in refused.text
        taken = await choose(reset.browser, reset.link, OTHER)
    assert taken.url.path == "/reset/done"


async def test_the_service_learns_five_digits_and_no_more(service, caller):
    """LOG-03, ASVS 14.2.3: neither the password, nor whose it is; an answer is padded, so its length tells nothing."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    async with looked_up(service, knows(GOOD, times=0)) as service_of_ranges:
        assert (await choose(reset.browser, reset.link)).url.path == "/reset/done", "a count of 0 is padding"
    assert service_of_ranges.asked == [f"/range/{digest(GOOD)[:5]}"]
    (head,) = service_of_ranges.heads
    assert "add-padding: true" in head
    assert not any(word in head for word in (digest(GOOD)[5:].lower(), "anna", "violet", "cookie", "authorization"))


REDIRECT = b"HTTP/1.1 302 Found\r\nLocation: /range/elsewhere\r\nContent-Length: 0\r\n\r\n"
AWAY = {
    "silent": lambda _: None,
    "ill": lambda _: b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n",
    "elsewhere": lambda _: REDIRECT,
    "no HTTP": lambda _: b"\x00\x01\x02",
}


@pytest.mark.parametrize("answer", AWAY.values(), ids=AWAY.keys())
async def test_a_service_that_is_away_refuses_nobody(service, caller, written, answer):
    """REL-40, ASVS 15.3.2, 16.5.2: the password is taken, the log says so; a redirect is not followed."""
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    async with looked_up(service, answer) as service_of_ranges, asyncio.timeout(20):
        assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"
        assert len(service_of_ranges.asked) == 1
    assert '"event": "password.breach_list_unavailable"' in written.getvalue()
    service.clock.advance(seconds=1)
    assert (await sign_in(a_browser(service))).url.path == "/me"


async def test_without_a_service_nobody_is_asked(service, caller):
    await an_account(caller, email=ANNA)
    reset = await a_reset(service)
    async with looked_up(service, knows(GOOD)) as service_of_ranges:
        service.database.settings = service.database.settings.model_copy(update={"breached_passwords_url": ""})
        assert (await choose(reset.browser, reset.link)).url.path == "/reset/done"
    assert service_of_ranges.asked == []
