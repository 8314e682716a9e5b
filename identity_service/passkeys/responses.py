"""What a browser is asked for and answers with (WebAuthn Level 3, 7.1 and 7.2).

The library checks signature, challenge, origin and RP ID. It leaves to its caller, and we check: frames of other sites,
the user handle, a changed eligibility for backups, whether the new key is one of its algorithm, strict encodings, and
which attestations are looked at: none, or a signature by the key itself, so that no certificate of a stranger is parsed
(PKY-02, PKY-10, PKY-11, PKY-12). Its check of the counter is passed by, because a counter that goes back locks nobody
out.
"""

from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import webauthn
from webauthn.helpers import (
    decode_credential_public_key,
    decoded_public_key_to_cryptography,
    options_to_json_dict,
    parse_authentication_credential_json,
    parse_authenticator_data,
    parse_cbor,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSECRV, COSEKTY, COSEAlgorithmIdentifier
from webauthn.helpers.decode_credential_public_key import DecodedRSAPublicKey
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from identity_service.keys import encoding
from identity_service.passkeys import rules
from identity_service.settings import Settings

ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256, COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]  # fmt: skip
_CURVES: Final = {
    COSEAlgorithmIdentifier.ECDSA_SHA_256: (COSEKTY.EC2, COSECRV.P256),
    COSEAlgorithmIdentifier.EDDSA: (COSEKTY.OKP, COSECRV.ED25519),
}
_SHORTEST_RSA: Final = 256
_STATEMENTS: Final = {"none": frozenset[str](), "packed": frozenset({"alg", "sig"})}
"""What the statement of each format that is looked at has; a certificate is in none."""
_TIMEOUT_MS: Final = int(rules.CHALLENGE_LIFETIME.total_seconds() * 1000)


class Malformed(ValueError):
    """A response that is none, or not what was asked for."""


class NewCredential(NamedTuple):
    """What a browser registered."""

    credential_id: bytes
    public_key: bytes
    sign_count: int
    verified: bool
    backup_eligible: bool
    backed_up: bool
    transports: list[str]


class Claimed(NamedTuple):
    """Which credential a response says that it is of, and the user handle of its account."""

    credential_id: bytes
    user_handle: bytes


class Assertion(NamedTuple):
    """What a checked response says: whether this time a PIN or fingerprint was asked for, the counter, the copies."""

    verified: bool
    sign_count: int
    backup_eligible: bool
    backed_up: bool


def rp_id(settings: Settings) -> str:
    """Return the host that passkeys are bound to: the issuer's (BRD-05)."""
    return urlsplit(settings.issuer).hostname or ""


def creation_options(
    settings: Settings, *, name: str, handle: bytes, challenge: bytes, exclude: list[bytes], must_verify: bool = False
) -> dict[str, Any]:
    """Return the options for `navigator.credentials.create()`: a discoverable passkey, no attestation; with
    `must_verify` only one that asks for a PIN, fingerprint or face."""
    options = webauthn.generate_registration_options(
        rp_id=rp_id(settings), rp_name=settings.brands.find(None).name, user_id=handle, user_name=name,
        user_display_name=name, challenge=challenge, timeout=_TIMEOUT_MS, supported_pub_key_algs=ALGORITHMS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_verification(must_verify)
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in exclude],
    )  # fmt: skip
    return options_to_json_dict(options)


def request_options(settings: Settings, *, challenge: bytes, must_verify: bool = False) -> dict[str, Any]:
    """Return the options for `navigator.credentials.get()`: any passkey of ours, alike for everybody (PKY-06)."""
    options = webauthn.generate_authentication_options(
        rp_id=rp_id(settings),
        challenge=challenge,
        timeout=_TIMEOUT_MS,
        user_verification=_verification(must_verify),
    )
    return options_to_json_dict(options)


def read_new(settings: Settings, text: str, challenge: bytes) -> NewCredential:
    """Return what a browser registered in answer to this challenge.

    Raises:
        Malformed
    """
    try:
        _check_encoding(text, "clientDataJSON", "attestationObject")
        credential = parse_registration_credential_json(text)
        _check_client_data(credential.response.client_data_json, challenge)
        _check_statement(credential.response.attestation_object)
        made = webauthn.verify_registration_response(
            credential=credential, expected_challenge=challenge, expected_rp_id=rp_id(settings),
            expected_origin=settings.issuer, supported_pub_key_algs=ALGORITHMS,
        )  # fmt: skip
        _check_key(made.credential_public_key)
        if len(made.credential_id) > rules.LONGEST_ID:
            raise Malformed
        told = [one.value for one in credential.response.transports or ()]
        return NewCredential(
            made.credential_id, made.credential_public_key, made.sign_count, made.user_verified,
            made.credential_device_type == CredentialDeviceType.MULTI_DEVICE, made.credential_backed_up,
            [one for one in rules.TRANSPORTS if one in told],
        )  # fmt: skip
    # A stranger's bytes go through parsers of CBOR, COSE and keys: whatever these raise, it is never a 500 (PKY-12).
    except Exception as wrong:
        raise Malformed from wrong


def read_claimed(text: str) -> Claimed:
    """Return whose response this claims to be; nothing of it is checked yet.

    Raises:
        Malformed
    """
    try:
        _check_encoding(text, "clientDataJSON", "authenticatorData", "signature", "userHandle")
        credential = parse_authentication_credential_json(text)
        return Claimed(credential.raw_id, credential.response.user_handle or b"")
    except Exception as wrong:
        raise Malformed from wrong


def check_assertion(settings: Settings, text: str, challenge: bytes, public_key: bytes) -> Assertion:
    """Return what a response to this challenge says, signed by this key; `read_claimed` has read it before.

    Raises:
        Malformed
    """
    try:
        credential = parse_authentication_credential_json(text)
        _check_client_data(credential.response.client_data_json, challenge)
        made = webauthn.verify_authentication_response(
            credential=credential, expected_challenge=challenge, expected_rp_id=rp_id(settings),
            expected_origin=settings.issuer, credential_public_key=public_key, credential_current_sign_count=0,
        )  # fmt: skip
        flags = parse_authenticator_data(credential.response.authenticator_data).flags
        return Assertion(made.user_verified, made.new_sign_count, flags.be, made.credential_backed_up)
    except Exception as wrong:
        raise Malformed from wrong


def _verification(must_verify: bool) -> UserVerificationRequirement:
    return UserVerificationRequirement.REQUIRED if must_verify else UserVerificationRequirement.PREFERRED


def _check_encoding(text: str, *names: str) -> None:
    """Refuse members twice, and what is not base64url without padding; the library reads over other characters."""
    said = encoding.strict_json_object(text.encode())
    given = [said["id"], said["rawId"], *(said["response"].get(name) for name in names)]
    for one in given:
        if one is not None:
            encoding.base64url_decode(one)


def _check_client_data(client_data: bytes, challenge: bytes) -> None:
    """Refuse another challenge, and what a page of another site asked for through a frame of ours (PKY-02)."""
    said = encoding.strict_json_object(client_data)
    if said["challenge"] != encoding.base64url_encode(challenge):
        raise Malformed
    if said.get("crossOrigin") not in (None, False) or "topOrigin" in said:
        raise Malformed


def _check_statement(attestation: bytes) -> None:
    """Refuse any attestation but none and a signature by the key itself, before anything of it is read (PKY-11)."""
    said = parse_cbor(attestation)
    if said["attStmt"].keys() != _STATEMENTS[said["fmt"]]:
        raise Malformed


def _check_key(raw: bytes) -> None:
    """Refuse a key that is not one of its algorithm: sign-ins by it would all be refused (WebAuthn, 5.8.5)."""
    key = decode_credential_public_key(raw)
    fits = (
        len(key.n.lstrip(b"\0")) >= _SHORTEST_RSA
        if isinstance(key, DecodedRSAPublicKey)
        else (key.kty, getattr(key, "crv", None)) == _CURVES[key.alg]
    )
    if not fits or (isinstance(key, DecodedRSAPublicKey) and key.alg in _CURVES):
        raise Malformed
    decoded_public_key_to_cryptography(key)
