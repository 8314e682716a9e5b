"""Hashes of other systems: each fits once as it was made, and is ours from then on; others are refused."""

import base64
import hashlib
import hmac
import json

import bcrypt
import pytest
from argon2.low_level import Type, hash_secret, hash_secret_raw
from passlib.hash import ldap_sha512_crypt, pbkdf2_sha512, phpass, scrypt, sha256_crypt, sha512_crypt

from identity_service.passwords import legacy_hashes, legacy_schemes
from identity_service.passwords.hashing import Hasher
from identity_service.passwords.legacy_hashes import FirebaseParameters
from tests.life.imported import imported
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


def keycloak_argon2(*, memory: int = 64, version: str = "1.3") -> str:
    """Keycloak 25 and later: https://www.keycloak.org/docs/latest/server_admin/#_password-policies."""
    raw = hash_secret_raw(GOOD.encode(), SALT, time_cost=2, memory_cost=64, parallelism=1, hash_len=32, type=Type.ID)
    more = {"hashLength": ["32"], "memory": [str(memory)], "type": ["id"], "version": [version], "parallelism": ["1"]}
    about = {"hashIterations": 2, "algorithm": "argon2", "additionalParameters": more}
    proving = {"value": encoded(raw), "salt": encoded(SALT), "additionalParameters": {}}
    return json.dumps({"credentialData": json.dumps(about), "secretData": json.dumps(proving)})


def scrypted(length: int = 64) -> bytes:
    return hashlib.scrypt(GOOD.encode(), salt=SALT, n=1024, r=8, p=1, dklen=length)


def wordpress() -> str:
    """WordPress 6.8 and later: `wp_hash_password` in wp-includes/pluggable.php."""
    return "$wp" + blowfish(b"2y", base64.b64encode(hmac.digest(b"wp-sha384", GOOD.encode(), "sha384")).decode())


def magento(version: str = "3_32_2_65536") -> str:
    """Magento 2 with libsodium: hash, salt and version, whose last numbers are passes and bytes of memory."""
    salt = "0123456789abcdefWXYZ"
    raw = hash_secret_raw(
        GOOD.encode(), salt[:16].encode(), time_cost=2, memory_cost=64, parallelism=1, hash_len=32, type=Type.ID
    )
    return f"{raw.hex()}:{salt}:{version}"


FIREBASE = FirebaseParameters(
    signer_key=base64.b64decode(
        "jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA=="
    ),
    salt_separator=base64.b64decode("Bw=="), rounds=8, mem_cost=14,
)  # fmt: skip
FIREBASE_HASH = "lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ=="
"""The published example of Firebase's scrypt (github.com/firebase/scrypt): "user1password" with this salt."""
FIREBASE_SALT = "42xEC+ixf3L2lw=="


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
    "Keycloak's argon2": keycloak_argon2(),
    "argon2 behind Django's word": "argon2" + argon(Type.ID),
    "argon2 behind Spring's word": "{argon2}" + argon(Type.ID),
    "argon2 behind Spring's newer word": "{argon2@SpringSecurity_v5_8}" + argon(Type.ID),
    "argon2 without its first sign": argon(Type.ID)[1:],
    "argon2 of the first version, which is not said": argon(Type.I, version=16).replace("$v=16", ""),
    "argon2 with padding": argon(Type.ID).replace("c2l4dGVlbiBieXRlcyBvaw", "c2l4dGVlbiBieXRlcyBvaw==") + "=",
    "bcrypt behind Django's word": "bcrypt$" + blowfish(),
    "bcrypt behind Spring's word": "{bcrypt}" + blowfish(b"2a"),
    "bcrypt behind LDAP's word": "{CRYPT}" + blowfish(b"2y"),
    "bcrypt of SHA-256, as Django writes it": "bcrypt_sha256$"
    + blowfish(password=hashlib.sha256(GOOD.encode()).hexdigest()),
    "WordPress since 6.8": wordpress(),
    "WordPress before it": phpass.using(rounds=7).hash(GOOD),
    "phpBB": phpass.using(rounds=8, ident="H").hash(GOOD),
    "SHA-256 crypt": sha256_crypt.using(rounds=5000).hash(GOOD),
    "SHA-512 crypt": sha512_crypt.using(rounds=1000).hash(GOOD),
    "SHA-512 crypt of LDAP": ldap_sha512_crypt.using(rounds=1000).hash(GOOD),
    "PBKDF2 of passlib": pbkdf2_sha512.using(rounds=1000).hash(GOOD),
    "PBKDF2 of Werkzeug": f"pbkdf2:sha256:1000${SALT.decode()}${stretched('sha256').hex()}",
    "scrypt of Django": f"scrypt$1024${SALT.decode()}$8$1${encoded(scrypted())}",
    "scrypt of passlib": scrypt.using(rounds=8).hash(GOOD),
    "scrypt of Werkzeug": f"scrypt:1024:8:1${SALT.decode()}${scrypted().hex()}",
    "Magento's argon2": magento(),
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
    "salted SHA-1 of Django": f"sha1$salt${hashlib.sha1(b'x').hexdigest()}",
    "salted SHA-256 of Magento": f"{hashlib.sha256(b'x').hexdigest()}:salt:1",
    "phpass that is cut": "$P$B12345678abcdefghijklmnopqrstu",
    "crypt without a hash": "$6$rounds=5000$saltsalt$",
    "crypt of no rounds": "$6$rounds=0999$saltsalt$" + "a" * 86,
    "crypt of MD5": "$1$saltsalt$" + "a" * 22,
    "scrypt of no power of two": f"scrypt$1000$salt$8$1${encoded(scrypted())}",
    "scrypt of no blocks": f"scrypt$1024$salt$0$1${encoded(scrypted())}",
    "scrypt of a short hash": f"scrypt$1024$salt$8$1${encoded(scrypted(8))}",
    "WordPress that is cut": wordpress()[:-1],
    "Magento of no memory": magento("3_32_2_0"),
    "Keycloak's argon2 of a future version": keycloak_argon2(version="2.0"),
    "Keycloak's argon2 without parameters": _with(_KEYCLOAK, "pbkdf2-sha256", "argon2"),
    "argon2 without a hash": "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$",
    "argon2 of no memory": _with(argon(Type.ID), "m=64", "m=0"),
    "argon2 of a future version": _with(argon(Type.ID), "v=19", "v=99"),
    "argon2 of other digits": _with(argon(Type.ID), "m=64", "m=٦٤"),
    "bcrypt that is cut": blowfish()[:-1],
    "bcrypt of PHP's mistake": blowfish(b"2x"),
    "bcrypt of other digits": _with(blowfish(), "$04$", "$٠٤$"),
    "bcrypt that costs nothing": _with(blowfish(), "$04$", "$03$"),
    "bcrypt that is cut in its salt": blowfish()[:20],
    "Django's bcrypt that is cut": f"bcrypt_sha256${blowfish()[:9]}",
    "Keycloak's argon2 of nothing": _with(keycloak_argon2(), '[\\"1.3\\"]', "[]"),
    "Django that is cut": django("sha256")[:-2],
    "Django of another hash": _with(django("sha1"), "sha1", "md5"),
    "Django, but short": f"pbkdf2_sha256$1000$salt${encoded(b'short')}",
    "Django without rounds": _with(django("sha256"), "$1000$", "$0$"),
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
    "Keycloak's argon2": keycloak_argon2(memory=1_048_576),
    "phpass": "$P$G12345678abcdefghijklmnopqrstuv",
    "SHA-512 crypt": "$6$rounds=1000001$saltsalt$" + "a" * 86,
    "scrypt of memory": f"scrypt$1048576$salt$8$1${encoded(scrypted())}",
    "scrypt of lanes": f"scrypt$131072$salt$8$16${encoded(scrypted())}",
    "WordPress": "$wp" + _with(blowfish(b"2y"), "$04$", "$15$"),
    "Magento of memory": magento("3_32_2_1073741824"),
}


@pytest.mark.parametrize("name", [*UNKNOWN, *(f"too much: {name}" for name in TOO_MUCH)])
async def test_what_cannot_be_checked_is_refused_when_it_is_read(name):
    """PWD-15: nothing is stored that asks for more than we give, and nothing that breaks a sign-in later."""
    text = TOO_MUCH[name.removeprefix("too much: ")] if name.startswith("too much: ") else UNKNOWN[name]
    with pytest.raises(legacy_hashes.UnknownPasswordHash):
        legacy_hashes.read_hash(text)


async def test_such_a_hash_costs_the_password_and_the_sentence_has_nothing_of_it(service):
    """NOM-05: the hash of a password is no word for a terminal."""
    report = await imported(service, {"email": ANNA, "password_hash": UNKNOWN["MD5"]})
    ((line, kind, sentence),) = report.told
    assert (report.added, line, kind) == (1, 2, "left_out")
    assert sentence.startswith(f"password_hash: {legacy_hashes.UnknownPasswordHash.title()}")
    assert UNKNOWN["MD5"] not in sentence
    assert await service.rows("SELECT 1 FROM password") == []


@pytest.mark.parametrize("mark", ["!" + "a" * 40, "!", "*", "!!", "*LK*", "x", "*0"])
async def test_the_mark_of_no_password_is_no_password_and_no_fault(service, mark):
    report = await imported(service, {"email": ANNA, "password_hash": mark})
    assert (report.added, report.told) == (1, [])
    assert await service.rows("SELECT 1 FROM password") == []


def test_the_hash_of_firebase_fits_its_published_example(settings):
    """The signer key is not in what is stored, and with another key nothing fits."""
    phc = legacy_hashes.firebase_hash(FIREBASE_HASH, FIREBASE_SALT, FIREBASE)
    assert legacy_schemes.is_storable(phc)
    assert legacy_schemes.verify_hash(phc, "user1password")
    assert not legacy_schemes.verify_hash(phc, "user2password")
    assert legacy_schemes.encode(FIREBASE.signer_key) not in phc
    other = legacy_hashes.firebase_hash(FIREBASE_HASH, FIREBASE_SALT, FIREBASE._replace(signer_key=bytes(64)))
    assert not legacy_schemes.verify_hash(other, "user1password")
    with pytest.raises(legacy_hashes.UnknownPasswordHash):
        legacy_hashes.firebase_hash(FIREBASE_HASH[:40], FIREBASE_SALT, FIREBASE)


@pytest.mark.parametrize("scheme", KNOWN)
def test_what_is_stored_is_bounded_and_read_back(settings, scheme):
    """PWD-15: a stored foreign hash is never longer than what may be read, and fits by the hasher alone."""
    phc = legacy_hashes.read_hash(KNOWN[scheme])
    assert phc.startswith("$")
    assert len(phc) <= legacy_schemes.LONGEST
    hasher = Hasher(settings)
    assert hasher._verify(phc, GOOD)
    assert not hasher._verify(phc, OTHER)
    assert hasher.is_outdated(phc)
    dummy = legacy_schemes.make_dummy(phc)
    assert dummy != phc
    assert legacy_schemes.is_storable(dummy)
    assert not hasher._verify(dummy, GOOD)
    hasher.close()


@pytest.mark.parametrize(
    "phc", ["$2b$04$" + "z" * 53, "$2b$04$short", "$pbkdf2$sha256$9999999$c2FsdA$" + "A" * 43, "$x$y"]
)
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
    assert legacy_schemes.verify_hash(stored, "secret words")
    assert not legacy_schemes.verify_hash(stored, "other words")
