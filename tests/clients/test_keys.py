"""Signing keys rotate so that nobody meets a token he cannot check, and the master key changes under all of them."""

import asyncio
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidTag
from joserfc.jwk import ECKey, KeySet

from identity_service.clients import actions as clients
from identity_service.database.transactions import Database
from identity_service.key_store import actions as key_store
from identity_service.key_store import flows as key_store_flows
from identity_service.key_store.actions import WrongMasterKey
from identity_service.keys import encoding, signing
from identity_service.keys import ring as keys_ring
from identity_service.keys.ring import CACHE_TIME, TOKEN_LIFETIME
from tests.clients.given import a_client, status_with, token_of

NEW_MASTER = bytes(range(32))


async def rotate(service, algorithm: str = "ES256") -> str:
    master = service.database.settings.key()
    made, _ = await service.database.in_transaction(
        lambda s: key_store.rotate_signing_key(s, master, algorithm=algorithm, now=service.clock())
    )
    return made


async def rewrap(service, old: bytes, new: bytes) -> int:
    return await service.database.in_transaction(lambda s: key_store.rewrap_keys(s, old, new))


async def look(*processes_: object) -> None:
    for process in processes_:
        await process.app.state.gate.reload()


def kid_of(token: str) -> str:
    return encoding.strict_json_object(encoding.base64url_decode(token.partition(".")[0]))["kid"]


class CachingClient:
    """Another service: it keeps our key set as long as we allow and checks tokens with what it has."""

    def __init__(self, service) -> None:
        self.service, self.keys, self.until = service, {}, None

    async def check(self, token: str) -> None:
        now = self.service.clock()
        if self.until is None or now >= self.until:
            answer = await self.service.http.get("/oauth/jwks.json")
            age = int(answer.headers["Cache-Control"].removeprefix("public, max-age="))
            self.keys = {key.kid: key for key in KeySet.import_key_set(answer.json()).keys}
            self.until = now + timedelta(seconds=age)
        signing.verify_access_token(
            token, self.keys, issuer="https://id.example.com", audience="https://id.example.com/v1", now=now
        )


async def test_the_key_set_shows_public_keys_and_nothing_else(service, ring):
    """OAU-13, OAU-14: named by their thumbprint (RFC 7638), of our two kinds, without a private member."""
    await rotate(service, "EdDSA")
    await look(service)
    answer = await service.http.get("/oauth/jwks.json")
    assert answer.headers["Cache-Control"] == "public, max-age=300"
    first, second = answer.json()["keys"]
    assert first.keys() == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert second.keys() == {"kty", "crv", "x", "use", "alg", "kid"}
    assert [(key["kty"], key["crv"], key["alg"], key["use"]) for key in (first, second)] == [
        ("EC", "P-256", "ES256", "sig"), ("OKP", "Ed25519", "EdDSA", "sig"),
    ]  # fmt: skip
    for key, imported in zip((first, second), KeySet.import_key_set(answer.json()).keys, strict=True):
        assert key["kid"] == imported.thumbprint()


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA"])
async def test_a_new_key_is_seen_before_it_signs_and_the_old_one_outlives_its_tokens(
    service, other, ring, clock, algorithm
):
    """OAU-14: published at the next look, signing when every cache has it, checked until the last token is dead."""
    made = await a_client(service, "events:read")
    old = kid_of((await token_of(service, made)).json()["access_token"])
    new = await rotate(service, algorithm)
    await look(service, other)
    for process in (service, other):
        published = [key["kid"] for key in (await process.http.get("/oauth/jwks.json")).json()["keys"]]
        assert published == [old, new]
    clock.advance(seconds=2 * CACHE_TIME.total_seconds() - 1)
    last = (await token_of(service, made)).json()["access_token"]
    assert kid_of(last) == old
    clock.advance(seconds=2)
    first = (await token_of(other, made)).json()["access_token"]
    assert kid_of(first) == new
    assert [await status_with(process, token) for process in (service, other) for token in (last, first)] == [200] * 4
    ring_now = service.database.keys
    clock.advance(seconds=TOKEN_LIFETIME.total_seconds() - 3)
    assert await status_with(service, last) == 200
    clock.advance(seconds=CACHE_TIME.total_seconds() + 3)
    assert set(ring_now.verifying(clock())) == {new}
    assert [key["kid"] for key in ring_now.jwks()["keys"]] == [old, new]


async def test_a_caching_client_never_meets_a_token_it_cannot_check(service, other, ring, clock):
    """REL-24, OAU-14: a key every minute for forty minutes, two processes, four clients whose caches age apart."""
    made = await a_client(service, "events:read")
    watchers, held, checked, signers = [CachingClient(process) for process in (service, other) * 2], [], 0, set()
    for minute in range(40):
        await rotate(service, ("ES256", "EdDSA")[minute % 2])
        # The other process has not looked yet: it goes on with what it knows.
        await look((service, other)[minute % 2])
        for process in (service, other):
            token = (await token_of(process, made)).json()["access_token"]
            held.append((clock(), token))
            signers.add(kid_of(token))
        held = [(issued, token) for issued, token in held if clock() - issued < TOKEN_LIFETIME]
        for number, watcher in enumerate(watchers):
            if minute >= number:
                for _, token in held:
                    await watcher.check(token)
                    checked += 1
        for _, token in held[-4:]:
            assert [await status_with(process, token) for process in (service, other)] == [200, 200]
        clock.advance(seconds=60)
        await look(service, other)
    assert len(signers) > 25
    assert checked > 2000


async def test_what_was_signed_long_ago_can_still_be_checked(service, ring, clock):
    """OAU-14, REL-24: receipts outlive rotation, so no public key is ever taken out of the set."""
    key = service.database.keys.signing(clock())
    receipt = signing.sign({"said": "no"}, key, typ="receipt+jwt")
    for _ in range(3):
        await rotate(service)
        clock.advance(days=400)
    await look(service)
    keys = KeySet.import_key_set((await service.http.get("/oauth/jwks.json")).json()).keys
    assert signing.verify(receipt, {key.kid: key for key in keys}, typ="receipt+jwt") == {"said": "no"}
    assert key.kid not in service.database.keys.verifying(clock())


async def test_a_new_master_key_leaves_every_key_as_it_was(service, ring, clock, settings):
    """ASVS 13.3.4: the same key set, tokens, hashes and sealed values, under another wrapping."""
    master, before = settings.key(), service.database.keys
    kept = before.seal("note", b"kept")
    assert await rewrap(service, master, NEW_MASTER) == len(ring)
    after = await service.database.in_transaction(lambda s: key_store.load_keys(s, NEW_MASTER))
    assert after.jwks() == before.jwks()
    assert after.address_hash("a") == before.address_hash("a")
    assert after.unseal("note", kept) == b"kept"
    assert after.signing(clock()).as_dict(private=True) == before.signing(clock()).as_dict(private=True)


async def test_the_old_master_key_opens_nothing_and_adds_nothing(service, ring, settings, urls):
    """A key wrapped by another than the rest would lock everybody out of the ring at the next start."""
    old = settings.key()
    await rewrap(service, old, NEW_MASTER)
    starting = Database(settings, urls.application)
    for attempt in (
        lambda: service.database.in_transaction(lambda s: key_store.load_keys(s, old)),
        lambda: rewrap(service, old, bytes(32)),
        lambda: rotate(service),
        lambda: key_store_flows.load_key_ring(starting, old),
    ):
        with pytest.raises(WrongMasterKey):
            await attempt()
    await starting.close()
    opened = await service.database.in_transaction(lambda s: key_store.load_keys(s, NEW_MASTER))
    assert len(opened.jwks()["keys"]) == 1


async def test_a_missing_key_is_not_made_under_the_wrong_master_key(service, ring, owner):
    """As when a newer version brings a new purpose, and starts with the wrong key."""
    async with owner.begin() as connection:
        await connection.exec_driver_sql("DELETE FROM encryption_key WHERE purpose = 'link'")
    with pytest.raises(WrongMasterKey):
        await service.database.in_transaction(lambda s: key_store.ensure_keys(s, NEW_MASTER, now=service.clock()))
    assert len(await service.rows("SELECT 1 FROM encryption_key")) == len(ring) - 1


async def test_a_process_that_still_has_the_old_master_key_goes_on_and_still_forgets_the_dead(service, ring, clock):
    """OAU-10: until it is restarted it signs with the keys it has, and a closed client dies in it as ever."""
    made, kept = await a_client(service), await a_client(service)
    token, good = [(await token_of(service, one)).json()["access_token"] for one in (made, kept)]
    await rewrap(service, service.database.settings.key(), NEW_MASTER)
    await service.database.in_transaction(lambda s: clients.close_client(s, made.client_id, now=clock()))
    with pytest.raises(WrongMasterKey):
        await service.app.state.gate.reload()
    assert await status_with(service, token) == 401
    assert await status_with(service, good) == 200
    assert (await token_of(service, kept)).status_code == 200


async def test_rotating_and_rewrapping_at_once_leaves_one_ring(service, ring, settings):
    """Whoever comes second either finds the new wrapping and is refused, or is wrapped with the rest."""
    await asyncio.gather(
        *(rotate(service) for _ in range(4)), rewrap(service, settings.key(), NEW_MASTER),
        *(rotate(service) for _ in range(4)), return_exceptions=True,
    )  # fmt: skip
    opened = await service.database.in_transaction(lambda s: key_store.load_keys(s, NEW_MASTER))
    assert len(opened.jwks()["keys"]) >= 1


@pytest.mark.parametrize("column", ["id", "purpose"])
async def test_a_row_of_the_ring_cannot_stand_for_another(service, ring, owner, settings, column):
    """What is sealed is bound to its row: the bytes of the address key are not taken for the link key."""
    async with owner.begin() as connection:
        if column == "id":
            await connection.exec_driver_sql("UPDATE encryption_key SET id = 'link-00000000' WHERE purpose = 'link'")
        else:
            await connection.exec_driver_sql("UPDATE encryption_key SET purpose = 'internal' WHERE purpose = 'link'")
    with pytest.raises(WrongMasterKey):
        await service.database.in_transaction(lambda s: key_store.load_keys(s, settings.key()))


async def test_no_key_stands_readable_in_the_database(service, ring):
    key: ECKey = service.database.keys.signing(service.clock())
    internal = service.database.keys.internal()
    for row in ring:
        for secret in (b"PRIVATE KEY", key.as_der(private=True)[-32:], internal):
            assert secret not in row["sealed"]
    assert len({row["sealed"][:12] for row in ring}) == len(ring)


def test_what_is_sealed_is_read_under_its_label_alone(a_ring):
    sealed = a_ring.seal("contact 7", b"anna")
    assert a_ring.unseal("contact 7", sealed) == b"anna"
    assert a_ring.seal("contact 7", b"anna") != sealed
    assert b"anna" not in sealed
    for label in ("contact 8", "", "contact 7 "):
        with pytest.raises(InvalidTag):
            a_ring.unseal(label, sealed)


def test_every_flipped_bit_and_every_cut_is_noticed(a_ring):
    """ASVS 11.3.3."""
    sealed = a_ring.seal("note", b"twelve words")
    altered = [
        sealed[:at] + bytes([sealed[at] ^ 1 << bit]) + sealed[at + 1 :] for at in range(len(sealed)) for bit in range(8)
    ]
    for text in (*altered, *(sealed[:length] for length in range(len(sealed))), sealed + b"\0"):
        with pytest.raises(InvalidTag):
            a_ring.unseal("note", text)


@pytest.fixture
def a_ring():
    return keys_ring.KeyRing([keys_ring.OpenedKey("internal-1", "internal", None, bytes(range(32)), None)])


async def test_a_clock_that_fell_behind_every_key_still_signs(service):
    """REL-13: with the oldest key, which everybody has; once it was an error of ours."""
    client = await a_client(service)
    service.clock.advance(hours=-1)
    answer = await token_of(service, client)
    assert kid_of(answer.json()["access_token"]) in service.database.keys.published()
