"""Logout tokens on their way: to whoever registered, until it has heard, and to public addresses alone."""

import asyncio
import ipaddress
import re
import socket
from collections.abc import AsyncIterator
from typing import NamedTuple
from urllib.parse import parse_qs

import pytest

from identity_service.keys import signing
from identity_service.openid import deliveries
from identity_service.settings import Settings
from identity_service.web import outbound
from tests.console.given import a_clerk
from tests.openid.given import a_customer, a_shop, signed_in
from tests.resets.given import a_browser

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
EVENT = "http://schemas.openid.net/event/backchannel-logout"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"outbound_networks": (ipaddress.ip_network("127.0.0.0/8"),)})


class Receiver(NamedTuple):
    """A shop's address for logout tokens, what it heard, and what it answers with."""

    url: str
    heard: list[str]
    answers: list[bytes]

    def claims(self, service) -> dict:
        (token,) = parse_qs(self.heard[-1])["logout_token"]
        return signing.verify(token, service.database.keys.verifying_id_tokens(), typ="logout+jwt", also_rsa=True)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    heard: list[str] = []
    answers: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        heard.append((await reader.readexactly(length)).decode())
        writer.write(answers.pop(0) if answers else OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield Receiver(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/out", heard, answers)
    server.close()


async def sign_out(browser) -> None:
    await browser.open("/me")
    await browser.send("/signout")


async def deliver(service) -> int:
    return await deliveries.deliver_due(service.database, now=service.clock())


async def test_whoever_registered_hears_of_a_sign_out(service, caller, receiver):
    """OID-37: `logout+jwt` with ids alone, for this client's session, by its algorithm; signing out did not wait."""
    user_id = await a_customer(service, caller)
    shop, quiet = await a_shop(service, backchannel_logout_uri=receiver.url), await a_shop(service, "Quiet")
    browser = a_browser(service)
    issued = await signed_in(service, shop, browser)
    await signed_in(service, quiet, browser)
    await sign_out(browser)
    assert receiver.heard == []
    assert await deliver(service) == 1
    said, id_token = receiver.claims(service), shop.claims(issued["id_token"])
    assert (said["sub"], said["sid"], said["aud"]) == (user_id, id_token["sid"], shop.client_id)
    assert (said["events"], said["exp"] - said["iat"]) == ({EVENT: {}}, 120)
    assert "nonce" not in said
    assert await deliver(service) == 0


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n", b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", b""]
)
async def test_whoever_does_not_hear_is_told_again_with_a_new_token(service, caller, receiver, answer):
    """OID-37: away, led elsewhere or cut off is no answer; `jti` is new each time, because a receiver refuses one that
    it has seen."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service, backchannel_logout_uri=receiver.url), a_browser(service)
    await signed_in(service, shop, browser)
    await sign_out(browser)
    receiver.answers.append(answer)
    assert await deliver(service) == 1
    first = receiver.claims(service)["jti"]
    assert await deliver(service) == 0
    service.clock.advance(seconds=3)
    assert await deliver(service) == 1
    assert receiver.claims(service)["jti"] != first
    rows = await service.rows("SELECT outcome, attempts, last_answer FROM logout_delivery")
    assert [tuple(row) for row in rows] == [("told", 2, "200")]


async def test_a_refusal_is_the_end_and_so_is_a_day(service, caller, receiver):
    """OID-37: 400 means that it understood; who never answers is given up after 24 hours, and somebody is told."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service, backchannel_logout_uri=receiver.url), a_browser(service)
    for ending in (b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", b""):
        await signed_in(service, shop, browser)
        await sign_out(browser)
        receiver.answers.append(ending)
        if not ending:
            service.clock.advance(hours=25)
        await deliver(service)
    rows = await service.rows("SELECT outcome FROM logout_delivery ORDER BY created_at")
    assert [row.outcome for row in rows] == ["refused", "given_up"]


async def test_what_waits_is_measured_and_the_console_shows_who_was_not_told(service, caller, receiver):
    """OID-37: count and age of what is not delivered; on the account's page the application and its answer, until it
    has been told, and after it was given up."""
    user_id = await a_customer(service, caller)
    shop, browser = await a_shop(service, "Shoe Shop", backchannel_logout_uri=receiver.url), a_browser(service)
    clerk = await a_clerk(service)
    heading = "Applications that were not told of a sign-out"
    await signed_in(service, shop, browser)
    assert await waiting(service) == (0, 0)
    await sign_out(browser)
    service.clock.advance(seconds=90)
    assert await waiting(service) == (1, 90)
    number = await clerk.open_account(user_id)
    assert heading not in clerk.text, "it was not tried yet"
    receiver.answers.append(b"HTTP/1.1 503 Away\r\nContent-Length: 0\r\n\r\n")
    await deliver(service)
    page = f"/console/accounts/{user_id}?contact={number}"
    await clerk.open(page)
    assert f"{heading} Shoe Shop : tried 1×, next at" in clerk.text
    assert "it answered 503" in clerk.text
    service.clock.advance(seconds=3)
    await deliver(service)
    assert await waiting(service) == (0, 0)
    await clerk.open(page)
    assert heading not in clerk.text
    await signed_in(service, shop, browser)
    await sign_out(browser)
    receiver.answers.append(b"")
    # A clerk's session does not last for a day.
    service.clock.advance(minutes=10)
    await service.rows("UPDATE logout_delivery SET created_at = created_at - interval '1 day' RETURNING id")
    await deliver(service)
    await clerk.open(page)
    assert "Shoe Shop : given up after a day; no answer:" in clerk.text


async def waiting(service) -> tuple[float, float]:
    told = (await service.http.get("/metrics")).text
    names = ("identity_logouts_waiting", "identity_logouts_oldest_seconds")
    return tuple(float(re.search(rf"(?m)^{name} (\S+)$", told)[1]) for name in names)


async def test_a_worker_that_died_loses_nothing(service, caller, receiver):
    """OID-37: what it had taken is sent by another one when its lease is over."""
    await a_customer(service, caller)
    shop, browser = await a_shop(service, backchannel_logout_uri=receiver.url), a_browser(service)
    await signed_in(service, shop, browser)
    await sign_out(browser)
    taken = await service.database.in_transaction(lambda session: deliveries._take(session, service.clock()))
    assert len(taken) == 1
    assert await deliver(service) == 0
    service.clock.advance(seconds=61)
    assert await deliver(service) == 1
    assert len(receiver.heard) == 1


@pytest.mark.parametrize("address", [
    "169.254.169.254", "100.64.0.1", "127.0.0.1", "10.1.2.3", "0.0.0.0", "224.0.0.1", "::1", "fd00::1", "fe80::1%eth0",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "::",
    "::7f00:1", "::ffff:0:7f00:1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
])  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address):
    """WHK-01: every way to write what is not the internet; one public answer beside it does not help."""
    for addresses in ([address], ["93.184.215.14", address]):
        with pytest.raises(outbound.AddressRefusedError):
            outbound.check_addresses(addresses, ())


def test_public_addresses_and_networks_of_the_operator_are_reached():
    """WHK-01, WHK-02"""
    outbound.check_addresses(["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c"], ())
    outbound.check_addresses(["10.1.2.3"], [ipaddress.ip_network("10.1.0.0/16")])


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f.1", "2130706433", "localhost."])
async def test_a_name_that_leads_here_is_refused_when_connecting(settings, host):
    """WHK-01: it is the address that is looked at, however the name is written."""
    closed = settings.model_copy(update={"outbound_networks": ()})
    with pytest.raises((outbound.AddressRefusedError, socket.gaierror)):
        await outbound.post_form(closed, f"http://{host}:1/", {"a": "b"})


async def test_an_endless_answer_is_not_read_to_its_end(settings):
    """WHK-03"""
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while sent < 100_000_000:
                writer.write(b"x" * 65536)
                sent += 65536
                await writer.drain()
        except ConnectionError:
            pass

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await outbound.post_form(settings, f"http://127.0.0.1:{port}/", {"a": "b"}) == 200
    server.close()
    assert sent < 20_000_000
