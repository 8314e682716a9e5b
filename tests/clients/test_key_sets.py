"""Public keys that a client publishes: fetched from the registered address alone, and not more often than needed."""

import asyncio
import ipaddress
import json
from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest

from identity_service.clients import actions as clients
from identity_service.clients import key_sets
from identity_service.clients.redirect_uris import MalformedRedirectUri
from identity_service.settings import Settings
from tests.clients.given import ASSERTION_TYPE, GRANT, a_key, assertion, key_set


class Publisher(NamedTuple):
    """A client's address for its public keys: what it answers, and how often it was asked."""

    url: str
    answers: list[bytes]
    asked: list[str]

    def publish(self, body: bytes | dict, status: str = "200 OK", head: str = "") -> None:
        said = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers[:] = [f"HTTP/1.1 {status}\r\n{head}Connection: close\r\n\r\n".encode() + said]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"outbound_networks": (ipaddress.ip_network("127.0.0.0/8"),)})


@pytest.fixture
async def publisher() -> AsyncIterator[Publisher]:
    answers: list[bytes] = []
    asked: list[str] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(answers[0])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    yield Publisher(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys.json", answers, asked)
    server.close()


async def a_publishing_client(service, url: str) -> str:
    made = await service.database.in_transaction(
        lambda session: clients.add_client(
            session, "shop", ["events:read"], desk=False, source="shop", jwks=None, jwks_uri=url, now=service.clock()
        )
    )
    assert made.client_secret is None
    return made.client_id


async def token(service, client_id: str, key, **header) -> int:
    signed = assertion(service, client_id, key, **header)
    form = {**GRANT, "client_assertion_type": ASSERTION_TYPE, "client_assertion": signed}
    return (await service.http.post("/oauth/token", data=form)).status_code


@pytest.fixture
def development(settings: Settings) -> None:
    """http:// on this machine may be registered."""
    settings.__dict__["development"] = True


async def test_keys_are_fetched_once_and_again_after_half_an_hour(service, publisher, development):
    """OID-40."""
    first, second = a_key(kid="first"), a_key(kid="second")
    client_id = await a_publishing_client(service, publisher.url)
    rsa = {"kty": "RSA", "kid": "rsa", "n": "AQAB", "e": "AQAB", "use": "sig"}
    publisher.publish({"keys": [rsa, *key_set(first)["keys"]]})
    assert [await token(service, client_id, first) for _ in range(3)] == [200] * 3
    assert len(publisher.asked) == 1
    assert publisher.asked[0].startswith("GET /keys.json HTTP/1.1\r\n")
    # A key that is new there is looked for at once, after the pause.
    publisher.publish(key_set(second))
    assert await token(service, client_id, second) == 401
    service.clock.advance(minutes=1)
    assert await token(service, client_id, second) == 200
    assert await token(service, client_id, first) == 401
    assert len(publisher.asked) == 2
    service.clock.advance(minutes=29)
    assert await token(service, client_id, second) == 200
    assert len(publisher.asked) == 2
    service.clock.advance(minutes=1)
    assert await token(service, client_id, second) == 200
    assert len(publisher.asked) == 3


async def test_unknown_keys_and_many_requests_make_one_fetch_a_minute(service, publisher, development):
    """OID-40: fifty at once, with keys that nobody has."""
    client_id = await a_publishing_client(service, publisher.url)
    publisher.publish(key_set(a_key(kid="there")))
    for minute in range(1, 4):
        tried = (token(service, client_id, a_key(kid=f"k{number}")) for number in range(50))
        assert set(await asyncio.gather(*tried)) <= {401, 429}
        assert len(publisher.asked) == minute
        service.clock.advance(minutes=1)


@pytest.mark.parametrize(("body", "status", "head"), [
    (b"", "200 OK", ""), (b"no", "200 OK", ""), (b"[]", "200 OK", ""), ({"keys": []}, "200 OK", ""),
    ({"keys": [1]}, "200 OK", ""), ({"keys": "x"}, "200 OK", ""), (b"{}", "404 Not Found", ""),
    (b"x" * 70_000, "200 OK", ""), (b"", "302 Found", "Location: http://127.0.0.1/other\r\n"),
    ({"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": "first"}]}, "200 OK", ""),
    ({"keys": [{"kty": "oct", "k": "AA", "kid": "first"}]}, "200 OK", ""), (b"\xff" * 10, "200 OK", ""),
])  # fmt: skip
async def test_what_is_no_key_set_leaves_the_keys_until_they_are_old(
    service, publisher, development, body, status, head
):
    """WHK-01: no redirect is followed, and no more is read than the limit."""
    key = a_key(kid="first")
    client_id = await a_publishing_client(service, publisher.url)
    publisher.publish(key_set(key))
    assert await token(service, client_id, key) == 200
    publisher.publish(body, status, head)
    service.clock.advance(minutes=2)
    assert await token(service, client_id, a_key(kid="other")) == 401
    assert await token(service, client_id, key) == 200
    service.clock.advance(hours=1)
    assert await token(service, client_id, key) == 401
    publisher.publish(key_set(key))
    service.clock.advance(minutes=1)
    assert await token(service, client_id, key) == 200


async def test_private_keys_there_are_not_taken(service, publisher, development):
    key = a_key(kid="first")
    client_id = await a_publishing_client(service, publisher.url)
    publisher.publish({"keys": [key.as_dict(private=True)]})
    assert await token(service, client_id, key) == 401


async def test_the_address_is_the_registered_one_and_public(service, database, publisher, development):
    """WHK-01: an assertion's `jku` changes nothing; an address in our own network is not asked."""
    key = a_key(kid="first")
    client_id = await a_publishing_client(service, publisher.url)
    publisher.publish(key_set(key))
    header = {"alg": "ES256", "kid": "first", "typ": "JWT", "jku": "https://evil.example/jwks.json"}
    assert await token(service, client_id, key, header=header) == 401
    assert publisher.asked == []
    database.settings.__dict__["outbound_networks"] = ()
    assert await token(service, client_id, key) == 401
    assert publisher.asked == []


@pytest.mark.parametrize("url", ["http://keys.example.com/", "file:///etc/passwd", "https://a@b.example/", "keys"])
async def test_other_addresses_cannot_be_registered(service, url):
    with pytest.raises(MalformedRedirectUri):
        await a_publishing_client(service, url)


async def test_a_client_with_registered_keys_is_never_fetched_for(service):
    made = await service.database.in_transaction(
        lambda session: clients.add_client(
            session, "shop", ["events:read"], desk=False, source="shop", jwks=key_set(a_key()), now=service.clock()
        )
    )
    assert (
        await service.database.in_transaction(
            lambda session: key_sets._claim(session, made.client_id, "unknown", now=service.clock())
        )
        is None
    )
