"""Hashes of other systems: each fits once as it was made, and is ours from then on; others are refused."""

import base64
import hashlib
import json

import bcrypt
import pytest
from argon2.low_level import Type, hash_secret

from identity_service.passwords import legacy_hashes
from identity_service.passwords.hashing import Hasher
from tests.life.imported import imported, why
from tests.resets.given import ANNA, GOOD, OTHER, a_browser, sign_in

SALT, LONG = b"sixteen bytes ok", GOOD + " and " * 20


def argon(kind: Type, *, memory: int = 64, passes: int = 2, priorities: int = 2, version: int = 19) -> str:
    return hash_secret(
        GOOD.encode(), SALT, time_cost=passes, memory_cost=memory, parallelism=priorities, hash_len=32, type=kind,
        version=version,
    ).decode()  # fmt: skip


def blowfish(prefix: bytes = b"2b", password: str = GOOD) -> str:
    made = bcrypt.hashpw(password.encode()[:72], bcrypt.gensalt(4))
    return made.replace(b"$2b$", b"$%s$" % prefix).decode()


def stretched(algorithm: str, iterations: int = 1000) -> bytes:
    return hashlib.pbkdf2_hmac(algorithm, GOOD.encode(), SALT, iterations)


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def django(algorithm: str) -> str:
    """As Django writes it: https://docs.djangoproject.com/en/5.2/topics/auth/passwords/."""
    return f"pbkdf2_{algorithm}$1000${SALT.decode()}${encoded(stretched(algorithm))}"


def keycloak(name: str, algorithm: str, *, as_text: bool = True) -> str:
    """A credential of Keycloak's export: the two parts are JSON inside JSON, or objects."""
    about = {"hashIterations": 1000, "algorithm": name, "additionalParameters": {}}
    proving = {"value": encoded(stretched(algorithm)), "salt": encoded(SALT), "additionalParameters": {}}
    form = json.dumps if as_text else dict
    return json.dumps({"type": "password", "credentialData": form(about), "secretData": form(proving)})


KNOWN = {
    "argon2id": argon(Type.ID),
    "argon2id without priorities": argon(Type.ID, priorities=1, memory=8, passes=1),
    "argon2i": argon(Type.I),
    "argon2d": argon(Type.D),
    "argon2id of the first version": argon(Type.ID, version=16),
    "bcrypt 2a": blowfish(b"2a"),
    "bcrypt 2b": blowfish(b"2b"),
    "bcrypt 2y, as PHP writes it": blowfish(b"2y"),
    "Django sha256": django("sha256"),
    "Django sha1": django("sha1"),
    "Django sha512": django("sha512"),
    "Keycloak sha256": keycloak("pbkdf2-sha256", "sha256"),
    "Keycloak sha512": keycloak("pbkdf2-sha512", "sha512"),
    "Keycloak sha1": keycloak("pbkdf2", "sha1"),
    "Keycloak as objects": keycloak("pbkdf2-sha256", "sha256", as_text=False),
}


async def stored(service) -> str:
    ((phc,),) = await service.rows("SELECT phc FROM password")
    return phc


@pytest.mark.parametrize("scheme", KNOWN)
async def test_an_imported_password_fits_once_and_is_ours_from_then_on(service, scheme):
    """PWD-09: checked as the other system made it, then made anew as ours; a wrong one changes nothing."""
    report = await imported(service, {"email": ANNA, "password_hash": KNOWN[scheme]})
    assert (report.added, report.told) == (1, [])
    before = await stored(service)
    assert (await sign_in(a_browser(service), password=OTHER)).url.path == "/signin"
    assert await stored(service) == before
    assert (await sign_in(a_browser(service))).url.path == "/me"
    after = await stored(service)
    assert after.startswith("$argon2id$")
    assert after != before
    assert not service.app.state.hasher.is_outdated(after)
    assert (await sign_in(a_browser(service))).url.path == "/me"
    assert await stored(service) == after


async def test_bcrypt_is_cut_where_the_other_system_cut_it_and_ours_no_more(service):
    """PWD-02: the first sign-in takes what the old system took; what was typed then counts whole."""
    await imported(service, {"email": ANNA, "password_hash": blowfish(password=LONG)})
    assert (await sign_in(a_browser(service), password=LONG)).url.path == "/me"
    assert (await sign_in(a_browser(service), password=LONG[:72])).url.path == "/signin"
    assert (await sign_in(a_browser(service), password=LONG)).url.path == "/me"


def _with(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new)


_KEYCLOAK = keycloak("pbkdf2-sha256", "sha256", as_text=False)
UNKNOWN = {
    "plain": GOOD,
    "MD5": hashlib.md5(GOOD.encode()).hexdigest(),
    "SHA-256": hashlib.sha256(GOOD.encode()).hexdigest(),
    "phpass": "$P$B12345678abcdefghijklmnopqrstuv",
    "crypt": "$6$rounds=5000$saltsalt$" + "a" * 86,
    "scrypt of Django": "scrypt$16384$salt$8$1$" + "A" * 88,
    "Django that is not usable": "!" + "a" * 40,
    "argon2 without a hash": "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
    "argon2 of no memory": _with(argon(Type.ID), "m=64", "m=0"),
    "argon2 of a future version": _with(argon(Type.ID), "v=19", "v=99"),
    "argon2 of other digits": _with(argon(Type.ID), "m=64", "m=٦٤"),
    "bcrypt that is cut": blowfish()[:-1],
    "bcrypt of PHP's mistake": blowfish(b"2x"),
    "bcrypt of other digits": _with(blowfish(), "$04$", "$٠٤$"),
    "bcrypt that costs nothing": _with(blowfish(), "$04$", "$03$"),
    "Django that is cut": django("sha256")[:-2],
    "Django of another hash": _with(django("sha1"), "sha1", "md5"),
    "Django, but short": f"pbkdf2_sha256$1000$salt${encoded(b'short')}",
    "Django without rounds": _with(django("sha256"), "$1000$", "$0$"),
    "Keycloak's argon2": _with(_KEYCLOAK, "pbkdf2-sha256", "argon2"),
    "Keycloak without a salt": _with(_KEYCLOAK, '"salt"', '"pepper"'),
    "Keycloak with numbers for texts": _with(_KEYCLOAK, f'"{encoded(SALT)}"', "17"),
    "Keycloak of other letters": _with(_KEYCLOAK, encoded(SALT), "é" * 24),
    "Keycloak without end": _with(_KEYCLOAK, "1000", "Infinity"),
    "Keycloak of no number": _with(_KEYCLOAK, "1000", "NaN"),
    "JSON of nothing": "{}",
    "JSON that is cut": _KEYCLOAK[:-1],
    "JSON of lists": '{"credentialData": [[]], "secretData": [[]]}',
    "a well without ground": '{"credentialData":' * 100_000,
}
TOO_MUCH = {
    "argon2 of memory": _with(argon(Type.ID), "m=64", "m=1048576"),
    "argon2 of passes": _with(argon(Type.I), "t=2", "t=1000"),
    "argon2 of priorities": _with(argon(Type.ID), "p=2", "p=64"),
    "argon2 without end": _with(argon(Type.ID), "m=64", "m=" + "9" * 5000),
    "bcrypt": _with(blowfish(), "$04$", "$15$"),
    "Django": _with(django("sha256"), "$1000$", "$2000001$"),
    "Django without end": _with(django("sha256"), "$1000$", f"${'9' * 5000}$"),
    "Django with a salt without end": _with(django("sha256"), SALT.decode(), "s" * 3000),
    "Keycloak": _with(_KEYCLOAK, "1000", "2000001"),
}


@pytest.mark.parametrize("name", [*UNKNOWN, *(f"too much: {name}" for name in TOO_MUCH)])
async def test_what_cannot_be_checked_is_refused_when_it_is_read(name):
    """PWD-15: nothing is stored that asks for more than we give, and nothing that breaks a sign-in later."""
    text = TOO_MUCH[name.removeprefix("too much: ")] if name.startswith("too much: ") else UNKNOWN[name]
    with pytest.raises(legacy_hashes.UnknownPasswordHash):
        legacy_hashes.read_hash(text)


async def test_a_row_with_such_a_hash_is_told_and_the_sentence_has_nothing_of_it(service):
    """NOM-05: the hash of a password is no word for a terminal."""
    sentence = await why(service, password_hash=UNKNOWN["MD5"])
    assert sentence == legacy_hashes.UnknownPasswordHash.title()


@pytest.mark.parametrize("scheme", KNOWN)
def test_what_is_stored_is_bounded_and_read_back(settings, scheme):
    """PWD-15: a stored foreign hash is never longer than what may be read, and fits by the hasher alone."""
    phc = legacy_hashes.read_hash(KNOWN[scheme])
    assert phc.startswith("$")
    assert len(phc) <= legacy_hashes.LONGEST
    hasher = Hasher(settings)
    assert hasher._verify(phc, GOOD)
    assert not hasher._verify(phc, OTHER)
    assert hasher.is_outdated(phc)
    hasher.close()


@pytest.mark.parametrize("phc", ["$2b$04$" + "z" * 53, "$2b$04$short", "$pbkdf2$sha256$9999999$c2FsdA$" + "A" * 43])
def test_a_stored_row_that_cannot_be_is_no_error(settings, phc):
    """PWD-14, PWD-15: whoever wrote it, nothing fits it."""
    hasher = Hasher(settings)
    assert not hasher._verify(phc, GOOD)
    hasher.close()


@pytest.mark.parametrize("symbol", ["u", "v", "z"])
def test_a_bcrypt_salt_with_bits_that_mean_nothing_still_fits_its_password(symbol):
    """Some systems left them set; the library that checks raises on them."""
    plain = "$2b$04$qGiOszDvb1OEc4sRHOCSLuSm2yMM7HU6tOcYWDGNdWoLtYzsnbvk2"
    stored = legacy_hashes.read_hash(plain[:28] + symbol + plain[29:])
    assert stored == plain
    assert legacy_hashes.verify_hash(stored, "secret words")
    assert not legacy_hashes.verify_hash(stored, "other words")
