"""A letter, two relays that misbehave, and the truth about both."""

import contextlib
import ipaddress
import ssl
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from identity_service.database.transactions import Database
from identity_service.dev import postgres
from identity_service.messages import actions as messages
from identity_service.messages import kinds, rendering
from identity_service.messages.delivery import reaper
from identity_service.messages.delivery.sender import OutboxSender
from identity_service.settings import Relay
from identity_service.values import email_addresses
from tests.conftest import QUICK, Service, Urls, empty
from tests.faults.processes import Cluster
from tests.faults.relay import FaultRelay


class Road:
    """The way of one letter (kind `test`: priority 0, 10 minutes) past relays A and B."""

    timeouts = QUICK

    def __init__(self, service: Service, a: FaultRelay, b: FaultRelay) -> None:
        self.service, self.a, self.b = service, a, b
        self.use(self.relay("a", a), self.relay("b", b))

    @staticmethod
    def relay(name: str, server: FaultRelay, **options) -> Relay:
        return Relay(name=name, host="127.0.0.1", port=server.port, **{"tls": "none", **options})

    def use(self, *relays: Relay) -> None:
        settings = self.service.database.settings.model_copy(update={"relays": relays})
        self.database = Database(settings, self.service.database._url)
        self.database.keys = self.service.database.keys
        self.service.database.settings = settings
        self.sender = OutboxSender(
            self.database, rendering.load_builders(), clock=self.service.clock, timeouts=self.timeouts
        )

    async def put(self, to: str = "anna@example.com", kind: str = "test", **options) -> None:
        address = email_addresses.parse(to, special_use=True)
        self.id = await self.database.in_transaction(
            lambda s: messages.enqueue(
                s, kind, to=address, locale="en", cause="mail.test_requested", actor="operator",
                now=self.service.clock(),
                **{"user_id": None, **options},
            )
        )  # fmt: skip

    async def turn(self) -> None:
        """Bring what is due, once."""
        await self.sender.once()

    async def turns(self, count: int) -> None:
        """Bring it, wait for the next try, bring it, …"""
        for number in range(count):
            if number:
                await self.wait_for_next()
            await self.turn()

    async def wait_for_next(self) -> None:
        message = await self.message()
        assert message["next_attempt_at"] is not None, message["sentence"]
        (due,) = await self.service.rows("SELECT next_attempt_at FROM message WHERE id = :id", id=self.id)
        self.service.clock.now = max(self.service.clock.now, due[0])

    async def tend(self) -> None:
        """What every worker does each 5 s."""
        now = self.service.clock()
        await self.database.in_transaction(lambda s: reaper.release_expired_leases(s, now=now))
        await self.database.in_transaction(lambda s: reaper.expire_messages(s, now=now))

    async def past_deadline(self) -> None:
        self.service.clock.now += kinds.KINDS["test"].hand_over
        await self.tend()

    async def message(self) -> dict:
        caller = await self.service.caller("messages:read", "accounts:read_personal", name="looker")
        answer = await caller.get(f"/v1/messages/{self.id}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def tries(self) -> list[tuple[str | None, str]]:
        return [(e["relay"], e["kind"]) for e in (await self.message())["timeline"] if e["attempt"] is not None]

    async def close(self) -> None:
        await self.sender.relays.close()
        await self.database.close()


@pytest.fixture
async def road(service: Service) -> AsyncIterator[Road]:
    a, b = await FaultRelay().start(), await FaultRelay().start()
    found = Road(service, a, b)
    yield found
    with contextlib.suppress(Exception):
        await found.close()
    await a.stop()
    await b.stop()


class Beside(Cluster):
    """Processes on the database of all tests, beside one relay, `relay`."""

    async def open(self, urls: Urls) -> None:
        self.relay = await FaultRelay().start()
        self.relays.append({"name": "a", "host": "127.0.0.1", "port": self.relay.port, "tls": "none"})
        self.join(postgres.Server(urls.owner, urls.application, self.folder))

    async def close(self) -> None:
        await self.stop()
        await self.relay.stop()


@pytest.fixture
async def beside(urls: Urls, owner, tmp_path, unused_tcp_port) -> AsyncIterator[Beside]:
    found = Beside(tmp_path, [], unused_tcp_port)
    await found.open(urls)
    yield found
    await found.close()
    await empty(owner)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory) -> ssl.SSLContext:
    """A certificate that nobody trusts, for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    folder = tmp_path_factory.mktemp("tls")
    pem = serialization.Encoding.PEM
    (folder / "key.pem").write_bytes(
        key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / "certificate.pem").write_bytes(signed.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    context.folder = folder
    return context
