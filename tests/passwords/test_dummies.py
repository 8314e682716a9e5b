"""R18: one wrong sign-in takes no other time for an account that came by an import than for an unknown address."""

import base64
import hashlib

import bcrypt
import pytest
from sqlalchemy import text

from identity_service.passwords import dummies, legacy_schemes
from identity_service.passwords.dummies import Dummies, Kind
from identity_service.passwords.hashing import Hasher
from identity_service.worker import Worker
from tests.conftest import MASTER_KEY
from tests.life.imported import imported
from tests.resets.given import GOOD, OTHER, a_browser, sign_in

LOCK = """
    UPDATE password SET locked_at = now()
    WHERE user_id = (SELECT user_id FROM account WHERE email = 'locked@example.com')
    """
BCRYPT = bcrypt.hashpw(GOOD.encode(), bcrypt.gensalt(4)).decode()


def django(iterations: int) -> str:
    raw = hashlib.pbkdf2_hmac("sha256", GOOD.encode(), b"salt of many bytes", iterations)
    return f"pbkdf2_sha256${iterations}$salt of many bytes${base64.b64encode(raw).decode()}"


def kind_of(phc: str) -> str:
    return phc[:7] if phc.startswith("$2b$") else "$".join(phc.split("$")[:4])


async def test_the_kinds_of_the_table_are_loaded_with_their_shares(service):
    """Scheme and cost make a kind; the dummy of each has its parameters, and no password matches it."""
    rows = [{"email": f"b{n}@example.com", "password_hash": BCRYPT} for n in range(3)]
    rows += [{"email": f"d{n}@example.com", "password_hash": django(1000 + 1000 * (n % 2))} for n in range(4)]
    await imported(service, *rows)
    kinds = await service.database.in_transaction(dummies.load_kinds)
    assert sorted((kind_of(kind.dummy), kind.passwords) for kind in kinds) == [
        ("$2b$04$", 3), ("$pbkdf2$sha256$1000", 2), ("$pbkdf2$sha256$2000", 2),
    ]  # fmt: skip
    await service.database.in_transaction(dummies.count_kinds)
    assert sorted(await service.database.in_transaction(dummies.load_kinds)) == sorted(kinds)
    stored = {phc for (phc,) in await service.rows("SELECT phc FROM password")}
    for kind in kinds:
        assert legacy_schemes.is_storable(kind.dummy)
        assert kind.dummy not in stored
        assert not legacy_schemes.verify_hash(kind.dummy, GOOD)


async def test_a_worker_counts_again(service):
    """A kind that is still there keeps its dummy, and one that is gone goes."""
    await imported(service, {"email": "b@example.com", "password_hash": BCRYPT})
    (first,) = await service.database.in_transaction(dummies.load_kinds)
    worker = Worker(service.database, MASTER_KEY)
    await worker._count()
    assert await service.database.in_transaction(dummies.load_kinds) == [first]
    async with service.database.transaction() as session:
        await session.execute(text("DELETE FROM password"))
    await worker._count()
    assert await service.database.in_transaction(dummies.load_kinds) == []


@pytest.mark.parametrize("shares", [(1, 1), (1, 9), (5, 3, 2)])
def test_a_kind_is_drawn_as_often_as_it_is_there(shares):
    """And the same address draws the same kind again; where one kind shrinks, the others keep their addresses."""
    drawn = Dummies("default")
    assert drawn.pick(b"anybody") == "default"
    drawn.replace_kinds([Kind(str(n), share, str(n)) for n, share in enumerate(shares)])
    asked = [hashlib.sha256(str(number).encode()).digest() for number in range(5000)]
    before = [drawn.pick(one) for one in asked]
    assert before == [drawn.pick(one) for one in asked]
    for number, share in enumerate(shares):
        assert abs(before.count(str(number)) / 5000 - share / sum(shares)) < 0.03
    shrunk = (*shares[:-1], shares[-1] / 2)
    drawn.replace_kinds([Kind(str(n), share, str(n)) for n, share in enumerate(shrunk)])
    last = str(len(shares) - 1)
    assert all(old == new for old, new in zip(before, (drawn.pick(one) for one in asked), strict=True) if old != last)


async def test_what_is_verified_for_an_unknown_address_is_a_kind_of_the_table(service, monkeypatch):
    """Known, without a password, locked and unknown: each verifies one hash, of a kind that accounts have."""
    verified = []
    inner = Hasher._verify
    monkeypatch.setattr(Hasher, "_verify", lambda self, phc, typed: verified.append(phc) or inner(self, phc, typed))
    await imported(service, {"email": "known@example.com", "password_hash": BCRYPT}, {"email": "none@example.com"})
    await imported(service, {"email": "locked@example.com", "password_hash": BCRYPT})
    async with service.database.transaction() as session:
        await session.execute(text(LOCK))
    await dummies.reload_kinds(service.database, service.app.state.hasher.dummies)
    for name in ("known", "none", "locked", "unknown"):
        for _ in range(2):
            answer = await sign_in(a_browser(service), address=f"{name}@example.com", password=OTHER)
            assert answer.url.path == "/signin"
    assert [kind_of(phc) for phc in verified] == ["$2b$04$"] * 8
    assert (await sign_in(a_browser(service), address="locked@example.com", password=GOOD)).url.path == "/signin"
    assert (await sign_in(a_browser(service), address="known@example.com", password=GOOD)).url.path == "/me"


async def test_a_password_that_is_too_long_takes_the_same_kind(service, monkeypatch):
    verified = []
    inner = Hasher._verify
    monkeypatch.setattr(Hasher, "_verify", lambda self, phc, typed: verified.append(phc) or inner(self, phc, typed))
    await imported(service, {"email": "known@example.com", "password_hash": BCRYPT})
    await sign_in(a_browser(service), address="known@example.com", password="x" * 300)
    assert [kind_of(phc) for phc in verified] == ["$2b$04$"]
