"""What a browser is asked for and answers with (WebAuthn Level 3, 7.1 and 7.2).

The library checks signature, challenge, origin and RP ID. It leaves to its caller, and we check: frames of other sites,
the user handle, a changed eligibility for backups, and which attestations are looked at: none, or a signature by the
key itself, so that no certificate of a stranger is parsed (PKY-02, PKY-10, PKY-11). Its check of the counter is passed
by, because a counter that goes back locks nobody out.
"""

import json
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

import webauthn
from webauthn.helpers import (
    options_to_json_dict,
    parse_attestation_object,
    parse_authentication_credential_json,
    parse_authenticator_data,
    parse_registration_credential_json,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.structs import (
    AttestationFormat,
    AuthenticatorSelectionCriteria,
    CredentialDeviceType,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from identity_service.passkeys import rules
from identity_service.settings import Settings

ALGORITHMS: Final = [
    COSEAlgorithmIdentifier.ECDSA_SHA_256, COSEAlgorithmIdentifier.EDDSA,
    COSEAlgorithmIdentifier.RSASSA_PKCS1_v1_5_SHA_256,
]  # fmt: skip
_TIMEOUT_MS: Final = int(rules.CHALLENGE_LIFETIME.total_seconds() * 1000)
_PREFERRED: Final = UserVerificationRequirement.PREFERRED


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
    settings: Settings, *, name: str, handle: bytes, challenge: bytes, exclude: list[bytes]
) -> dict[str, Any]:
    """Return the options for `navigator.credentials.create()`: a discoverable passkey, no attestation."""
    options = webauthn.generate_registration_options(
        rp_id=rp_id(settings), rp_name=settings.brands.find(None).name, user_id=handle, user_name=name,
        user_display_name=name, challenge=challenge, timeout=_TIMEOUT_MS, supported_pub_key_algs=ALGORITHMS,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_PREFERRED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in exclude],
    )  # fmt: skip
    return options_to_json_dict(options)


def request_options(settings: Settings, *, challenge: bytes) -> dict[str, Any]:
    """Return the options for `navigator.credentials.get()`: any passkey of ours, alike for everybody (PKY-06)."""
    options = webauthn.generate_authentication_options(
        rp_id=rp_id(settings), challenge=challenge, timeout=_TIMEOUT_MS, user_verification=_PREFERRED
    )
    return options_to_json_dict(options)


def read_new(settings: Settings, text: str, challenge: bytes) -> NewCredential:
    """Return what a browser registered in answer to this challenge.

    Raises:
        Malformed
    """
    try:
        credential = parse_registration_credential_json(text)
        _check_top_frame(credential.response.client_data_json)
        statement = parse_attestation_object(credential.response.attestation_object)
        if statement.fmt not in (AttestationFormat.NONE, AttestationFormat.PACKED) or statement.att_stmt.x5c:
            raise Malformed
        made = webauthn.verify_registration_response(
            credential=credential, expected_challenge=challenge, expected_rp_id=rp_id(settings),
            expected_origin=settings.issuer, supported_pub_key_algs=ALGORITHMS,
        )  # fmt: skip
    # A stranger's bytes go through parsers of CBOR, COSE and keys: whatever these raise, it is never a 500 (PKY-12).
    except Exception as wrong:
        raise Malformed from wrong
    told = [one.value for one in credential.response.transports or ()]
    return NewCredential(
        made.credential_id, made.credential_public_key, made.sign_count, made.user_verified,
        made.credential_device_type == CredentialDeviceType.MULTI_DEVICE, made.credential_backed_up,
        [one for one in rules.TRANSPORTS if one in told],
    )  # fmt: skip


def read_claimed(text: str) -> Claimed:
    """Return whose response this claims to be; nothing of it is checked yet.

    Raises:
        Malformed
    """
    try:
        credential = parse_authentication_credential_json(text)
        return Claimed(credential.raw_id, credential.response.user_handle or b"")
    except Exception as wrong:
        raise Malformed from wrong


def check_assertion(settings: Settings, text: str, challenge: bytes, public_key: bytes) -> Assertion:
    """Return what a response to this challenge says, signed by this key.

    Raises:
        Malformed
    """
    try:
        credential = parse_authentication_credential_json(text)
        _check_top_frame(credential.response.client_data_json)
        made = webauthn.verify_authentication_response(
            credential=credential, expected_challenge=challenge, expected_rp_id=rp_id(settings),
            expected_origin=settings.issuer, credential_public_key=public_key, credential_current_sign_count=0,
        )  # fmt: skip
        flags = parse_authenticator_data(credential.response.authenticator_data).flags
    except Exception as wrong:
        raise Malformed from wrong
    return Assertion(made.user_verified, made.new_sign_count, flags.be, made.credential_backed_up)


def _check_top_frame(client_data: bytes) -> None:
    """Refuse what a page of another site asked for through a frame of ours (PKY-02)."""
    said = json.loads(client_data)
    if said.get("crossOrigin") not in (None, False) or "topOrigin" in said:
        raise Malformed
