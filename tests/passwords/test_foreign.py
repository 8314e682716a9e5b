"""Hashes of other systems: what cannot be checked later is refused when it comes in, and never raises at a sign-in."""

import json

import pytest

from identity_service.passwords import foreign

WANTED = "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
BCRYPT = "$2b$04$qGiOszDvb1OEc4sRHOCSLuSm2yMM7HU6tOcYWDGNdWoLtYzsnbvk2"


def keycloak(about: str, proving: str) -> str:
    return json.dumps({"credentialData": about, "secretData": proving})


PROVING = json.dumps({"salt": "c2FsdA==", "value": WANTED})
REFUSED = {
    "nothing": "",
    "Django, base64 that ends in the middle": "pbkdf2_sha256$1$salt$MDE",
    "Django, base64 with a stray sign": f"pbkdf2_sha256$1$salt${WANTED}=",
    "Django, half a character": f"pbkdf2_sha256$1$\ud800${WANTED}",
    "Django, digits of another script": f"pbkdf2_sha256$١${WANTED}",
    "Django, a number without end": f"pbkdf2_sha256${'9' * 5000}$salt${WANTED}",
    "Django, more iterations than we give": f"pbkdf2_sha256$2000001$salt${WANTED}",
    "Keycloak, for ever": keycloak('{"algorithm": "pbkdf2-sha256", "hashIterations": 1e999}', PROVING),
    "Keycloak, deeper than anything": "{" + '"a":[' * 100_000,
    "Keycloak, base64 with a stray sign": keycloak(
        '{"algorithm": "pbkdf2-sha256", "hashIterations": 1}', json.dumps({"salt": "c2F*dA==", "value": WANTED})
    ),
    "bcrypt, digits of another script": BCRYPT.replace("04", "٠٤"),
    "bcrypt, 2^15 rounds": BCRYPT.replace("$04$", "$15$"),
    "argon2, a gigabyte": "$argon2id$v=19$m=1048576,t=2,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OTAxMjM0NQ",
    "argon2, a thousand passes": "$argon2id$v=19$m=19456,t=1000,p=1$c2FsdHNhbHQ$MDEyMzQ1Njc4OTAxMjM0NQ",
    "argon2, nothing": "$argon2id$v=19$m=0,t=0,p=0$c2FsdHNhbHQ$MDEyMzQ1Njc4OTAxMjM0NQ",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_what_could_not_be_checked_is_refused(text):
    """PWD-15: in a sentence; each of these once ended the import, or would have ended a sign-in."""
    with pytest.raises(foreign.UnknownPasswordHash):
        foreign.read(text)


@pytest.mark.parametrize("symbol", ["u", "v", "z"])
def test_a_bcrypt_salt_with_bits_that_mean_nothing_still_fits_its_password(symbol):
    """Some systems left them set; the library that checks raises on them."""
    stored = foreign.read(BCRYPT[:28] + symbol + BCRYPT[29:])
    assert stored == BCRYPT
    assert foreign.verify(stored, "secret words")
    assert not foreign.verify(stored, "other words")
