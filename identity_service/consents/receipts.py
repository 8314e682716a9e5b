"""Receipts: a customer's consent state as a signed statement, and the check of one, which anybody can do.

A JWS of type `consent-receipt+jwt` with the fields of ISO/IEC TS 27560:2023 (and Kantara's consent receipt before it),
signed with our published keys. It names the User ID and no address. It gives no access: every other token check demands
another type. A receipt stays verifiable when keys rotate, because old public keys stay published.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

import orjson

from identity_service import translations
from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.consents import actions, rules
from identity_service.consents.tables import ConsentEntry, ConsentWording
from identity_service.database.transactions import DatabaseSession
from identity_service.errors import Unprocessable
from identity_service.keys import hashing, signing
from identity_service.keys.signing import InvalidToken, PublicKey
from identity_service.values import pasted, user_ids

TYPE: Final = "consent-receipt+jwt"
ERASURE_TYPE: Final = "erasure-receipt+jwt"
"""What `privacy` signs when an account is erased; it is checked like a receipt of consents, and states none."""
STATEMENT_TYPE: Final = "permission-statement+jwt"
MEDIA_TYPE: Final = "application/jwt"
SCHEMA: Final = "ISO/IEC TS 27560:2023"


class ReceiptIncomplete(Unprocessable):
    """This isn't a complete receipt. Part of it is missing, or it's something else. Enter the whole text."""


class NotReceipt(Unprocessable):
    """This text is signed, but it isn't a receipt."""


class ReceiptOfAnotherIssuer(Unprocessable):
    """We didn't issue this receipt."""


class ReceiptOfUnknownKey(Unprocessable):
    """This receipt was signed with a key that isn't ours."""


class ReceiptOfRevokedKey(Unprocessable):
    """This receipt isn't ours. It was signed with one of our keys after we had revoked that key. Ask for a new
    receipt.
    """


class ReceiptAltered(Unprocessable):
    """This receipt isn't genuine. It was changed after it was signed."""


class ReceiptFromTheFuture(Unprocessable):
    """This receipt has a date in the future, so its clock or ours is wrong. It doesn't prove anything yet."""


class ReceiptResult(NamedTuple):
    """The content of a receipt that is ours and unaltered."""

    user_id: str
    issued_at: datetime
    entry: int
    purposes: list[dict[str, Any]]
    claims: dict[str, Any]


async def issue_receipt(session: DatabaseSession, account: Account, *, now: datetime) -> str:
    """Return the signed receipt of an account's current consent."""
    states = await actions.list_states(session, account.user_id)
    decisions = await _list_decisions(session, account.user_id)
    last = {entry.purpose: entry for entry in reversed(decisions)}
    newest = decisions[0].id if decisions else 0
    previous = decisions[1].id if len(decisions) > 1 else 0
    settings, brand = session.settings, session.settings.brands.find(account.brand)
    silent = all(account_rules.marketing_permission(state.decision) == "never" for state in states)
    purposes = [await _purpose(session, state, last.get(state.purpose), settings.public_url) for state in states]
    claims = {
        "iss": settings.issuer,
        "iat": int(now.timestamp()),
        "jti": receipt_id(account.user_id, newest),
        "sub": user_ids.show(account.user_id),
        "schema_version": SCHEMA,
        "record_id": f"{user_ids.show(account.user_id)}/{newest}",
        "receipt_id": receipt_id(account.user_id, newest),
        "previous_receipt_id": receipt_id(account.user_id, previous) if newest else None,
        "ledger_entry": newest,
        "pii_principal_id": user_ids.show(account.user_id),
        "language": translations.find_language(account.locale),
        "pii_controllers": [{"name": brand.legal_name or brand.name, "url": settings.public_url}],
        "promise": translations.catalogue(account.locale).gettext(account_rules.PROMISE) if silent else None,
        "purposes": purposes,
    }
    return signing.sign(claims, session.keys.signing(now), typ=TYPE)


_AROUND: Final = "\"'`<>()[]{}.,;*\u201c\u201d\u201e\u00ab\u00bb"
"""What may stand around a pasted receipt and cannot belong to it."""


def check_receipt(text: str, keys: Mapping[str, PublicKey], *, issuer: str, now: datetime) -> ReceiptResult:
    """Return the content of a receipt, if it is ours, complete and unaltered; needs only the published keys.

    Raises:
        ReceiptIncomplete, NotReceipt, ReceiptOfAnotherIssuer, ReceiptOfUnknownKey, ReceiptOfRevokedKey,
        ReceiptAltered, ReceiptFromTheFuture: each with its own sentence.
    """
    token = "".join(pasted.remove_invisible(text).split()).strip(_AROUND)
    if len(token.rpartition(".")[2]) < _SIGNATURE_LENGTH:
        raise ReceiptIncomplete
    header, claims = _decode_unverified(token)
    kind = header.get("typ")
    if kind not in (TYPE, ERASURE_TYPE):
        raise NotReceipt
    if claims.get("iss") != issuer:
        raise ReceiptOfAnotherIssuer
    if str(header.get("kid")) not in keys:
        raise ReceiptOfUnknownKey
    try:
        verified = signing.verify(token, keys, typ=kind, maximum=LARGEST)
    except signing.SignedAfterRevocation:
        raise ReceiptOfRevokedKey from None
    except InvalidToken:
        raise ReceiptAltered from None
    issued_at = datetime.fromtimestamp(int(verified["iat"]), UTC)
    if issued_at.timestamp() > now.timestamp() + signing.LEEWAY:
        raise ReceiptFromTheFuture
    entry, purposes = int(verified.get("ledger_entry", 0)), verified.get("purposes", [])
    return ReceiptResult(verified["sub"], issued_at, entry, purposes, verified)


LARGEST: Final = 64 * 1024
_SIGNATURE_LENGTH: Final = 86
"""Characters of a signature under ES256 or EdDSA, 64 bytes both; a shorter one was cut off."""


async def is_superseded(session: DatabaseSession, checked: ReceiptResult) -> bool:
    """Return whether the customer made another decision after a receipt was issued, under this User ID or the one that
    it resolves to now (RCP-05). A proposal does not count; nothing supersedes the receipt of an erasure."""
    if "removed" in checked.claims:
        return False
    try:
        account = await accounts.find_active_account(session, user_ids.parse(checked.user_id))
    except account_rules.UnknownUserId:
        return False
    decisions = await _list_decisions(session, account.user_id)
    return bool(decisions) and decisions[0].id > checked.entry


async def _list_decisions(session: DatabaseSession, user_id: str) -> list[ConsentEntry]:
    """Return the customer's grants and withdrawals, newest first, those under merged User IDs included."""
    ids = [user_id, *(member for member, _ in await ownership.merged_into(session, user_id))]
    return [entry for entry in await actions.read_ledger(session, ids) if entry.decision != "proposed"]


def receipt_id(user_id: str, entry: int) -> str:
    """Return the id of the receipt that an account has after this ledger entry."""
    return hashlib.sha256(f"receipt {user_id} {entry}".encode()).hexdigest()[:32]


def new_salt() -> str:
    """Return the key of a statement's two hashes, 256 random bits in hexadecimal."""
    return secrets.token_hex(32)


def permission_statement(
    session: DatabaseSession,
    purpose: str,
    asked: Sequence[str],
    allowed: Sequence[str],
    *,
    salt: str,
    client_id: str,
    now: datetime,
) -> str:
    """Return the signed answer to a permission question, valid for an hour: the marketing system's proof (NOM-06).

    It holds both lists as they were asked and answered, by their lengths and by hashes under a salt that it does not
    contain: who has lists and salt can recompute it, and nobody else can test whether an ID or address was asked about.
    """
    issued = int(now.timestamp())
    claims = {
        "iss": session.settings.issuer,
        "aud": client_id,
        "iat": issued,
        "exp": issued + rules.STATEMENT_LIFE_S,
        "purpose": purpose,
        "asked": len(asked),
        "asked_hmac": digest_list(asked, salt),
        "allowed": len(allowed),
        "allowed_hmac": digest_list(allowed, salt),
    }
    return signing.sign(claims, session.keys.signing(now), typ=STATEMENT_TYPE)


async def _purpose(
    session: DatabaseSession, state: actions.PurposeState, last: ConsentEntry | None, public_url: str
) -> dict[str, Any]:
    claim: dict[str, Any] = {
        "purpose": state.purpose,
        "description": rules.PURPOSES.get(state.purpose, state.purpose),
        "legal_basis": "consent",
        "decision": state.decision or "never asked",
        "permission": account_rules.marketing_permission(state.decision),
        "since": None if state.since is None else f"{state.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "withdraw_at": f"{public_url}/me",
        "notice": None,
    }
    if last is not None and last.wording_id is not None and last.language is not None:
        wording = await session.get_one(ConsentWording, (last.wording_id, last.language))
        claim["notice"] = {
            "id": wording.id, "language": wording.language, "text": wording.text,
            "sha256": wording.text_hash.hex(),
        }  # fmt: skip
    if last is not None:
        claim["event"] = {"entry": last.id, "channel": last.channel, "actor": _actor_kind(last.actor)}
    return claim


def _actor_kind(actor: str) -> str:
    return "customer" if actor == "customer" else actor.partition(":")[0]


def digest_list(values: Sequence[str], salt: str) -> str:
    """Return HMAC-SHA-256, in hexadecimal, over a list of texts in its order, in the canonical JSON of RFC 8785."""
    return hashing.hmac_sha256(bytes.fromhex(salt), orjson.dumps(list(values))).hex()


def _decode_unverified(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims without checking the signature; they only select the error."""
    try:
        return signing.unverified(token, maximum=LARGEST)
    except InvalidToken:
        raise ReceiptIncomplete from None
