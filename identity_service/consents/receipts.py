"""Receipts: a customer's consent state as a signed statement, and the check that anybody can make of one.

A JWS of type `consent-receipt+jwt` with the fields of ISO/IEC TS 27560:2023 (and Kantara's consent receipt before it),
signed with our published keys. It names the User ID and no address, and opens nothing: every other door wants another
type. A receipt stays checkable when keys rotate, because old public keys stay published.
"""

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from identity_service import keyring, tokens, user_ids
from identity_service.accounts import actions as accounts
from identity_service.accounts import merges
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.consents import actions, rules
from identity_service.consents.tables import ConsentEntry, ConsentWording
from identity_service.database import AsyncSession, settings_of
from identity_service.errors import Unprocessable
from identity_service.tokens import InvalidToken, PublicKey

TYPE: Final = "consent-receipt+jwt"
STATEMENT_TYPE: Final = "permission-statement+jwt"
MEDIA_TYPE: Final = "application/jwt"
SCHEMA: Final = "ISO/IEC TS 27560:2023"


class ReceiptNotWhole(Unprocessable):
    """This is not a whole receipt: a part of it is missing, or it is something else."""


class ReceiptOfAnotherKind(Unprocessable):
    """This is signed, but it is no receipt."""


class ReceiptOfAnotherIssuer(Unprocessable):
    """This receipt was issued by somebody else, not by us."""


class ReceiptOfUnknownKey(Unprocessable):
    """This receipt was signed with a key that is not ours."""


class ReceiptAltered(Unprocessable):
    """This receipt is not ours as it stands: something in it was changed after it was signed."""


class ReceiptFromTheFuture(Unprocessable):
    """This receipt is dated later than now; its clock or ours is wrong, and it proves nothing yet."""


class Checked(NamedTuple):
    """A receipt that is ours and unaltered: what it says, in plain values."""

    user_id: str
    issued_at: datetime
    entry: int
    purposes: list[dict[str, Any]]
    claims: dict[str, Any]


async def issue(session: AsyncSession, account: Account, *, now: datetime) -> str:
    """Return the receipt of an account's consent as it stands now."""
    states = await actions.state(session, account.user_id)
    said = await _said(session, account.user_id)
    words = {entry.purpose: entry for entry in reversed(said)}
    newest = said[0].id if said else 0
    previous = said[1].id if len(said) > 1 else 0
    settings = settings_of(session)
    silent = all(rules.permission(state.decision) == "never" for state in states)
    purposes = [await _purpose(session, state, words.get(state.purpose), settings.public_url) for state in states]
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
        "language": account.locale,
        "pii_controllers": [{"name": settings.mail_from_name, "url": settings.public_url}],
        "promise": account_rules.PROMISE[account.locale] if silent else None,
        "purposes": purposes,
    }
    return tokens.sign(claims, keyring.of(session).signing(now), typ=TYPE)


def check(text: str, keys: Mapping[str, PublicKey], *, issuer: str, now: datetime) -> Checked:
    """Return what a receipt says, if it is ours, whole and unaltered; needs nothing but the published keys.

    Raises:
        ReceiptNotWhole, ReceiptOfAnotherKind, ReceiptOfAnotherIssuer, ReceiptOfUnknownKey, ReceiptAltered,
        ReceiptFromTheFuture: each with its own sentence.
    """
    token = "".join(text.split())
    if len(token.rpartition(".")[2]) < _SIGNATURE:
        raise ReceiptNotWhole
    header, claims = _look_inside(token)
    if header.get("typ") != TYPE:
        raise ReceiptOfAnotherKind
    if claims.get("iss") != issuer:
        raise ReceiptOfAnotherIssuer
    if str(header.get("kid")) not in keys:
        raise ReceiptOfUnknownKey
    try:
        verified = tokens.verify(token, keys, typ=TYPE, maximum=LARGEST)
    except InvalidToken:
        raise ReceiptAltered from None
    issued_at = datetime.fromtimestamp(int(verified["iat"]), UTC)
    if issued_at.timestamp() > now.timestamp() + tokens.LEEWAY:
        raise ReceiptFromTheFuture
    return Checked(verified["sub"], issued_at, int(verified["ledger_entry"]), verified["purposes"], verified)


LARGEST: Final = 64 * 1024
_SIGNATURE: Final = 86
"""Characters of a signature under ES256 or EdDSA, 64 bytes both: what is shorter was cut off."""


async def is_superseded(session: AsyncSession, checked: Checked) -> bool:
    """Tell whether the customer has spoken again since a receipt was issued, under this User ID or the one that
    answers for it by now (RCP-05). A proposal is not his word."""
    try:
        account = await accounts.current(session, user_ids.parse(checked.user_id))
    except account_rules.UnknownUserId:
        return False
    said = await _said(session, account.user_id)
    return bool(said) and said[0].id > checked.entry


async def _said(session: AsyncSession, user_id: str) -> list[ConsentEntry]:
    """Return the customer's own words, newest first, those under merged User IDs included."""
    ids = [user_id, *(member for member, _ in await merges.merged_into(session, user_id))]
    return [entry for entry in await actions.ledger(session, ids) if entry.decision != "proposed"]


def receipt_id(user_id: str, entry: int) -> str:
    """Return the id of the receipt that an account has after this ledger entry."""
    return hashlib.sha256(f"receipt {user_id} {entry}".encode()).hexdigest()[:32]


async def statement(
    session: AsyncSession, purpose: str, asked: list[str], allowed: list[str], *, client_id: str, now: datetime
) -> str:
    """Return the signed answer to a permission question: the marketing system's proof, good for an hour (NOM-06)."""
    issued = int(now.timestamp())
    claims = {
        "iss": settings_of(session).issuer,
        "aud": client_id,
        "iat": issued,
        "exp": issued + rules.STATEMENT_LIFE_S,
        "purpose": purpose,
        "asked": len(asked),
        "asked_sha256": _digest(asked),
        "allowed": len(allowed),
        "allowed_sha256": _digest(allowed),
    }
    return tokens.sign(claims, keyring.of(session).signing(now), typ=STATEMENT_TYPE)


async def _purpose(
    session: AsyncSession, state: actions.State, word: ConsentEntry | None, public_url: str
) -> dict[str, Any]:
    said: dict[str, Any] = {
        "purpose": state.purpose,
        "description": rules.PURPOSES.get(state.purpose, state.purpose),
        "legal_basis": "consent",
        "decision": state.decision or "never asked",
        "permission": rules.permission(state.decision),
        "since": None if state.since is None else f"{state.since.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "withdraw_at": f"{public_url}/me",
        "notice": None,
    }
    if word is not None and word.wording_id is not None and word.language is not None:
        wording = await session.get_one(ConsentWording, (word.wording_id, word.language))
        said["notice"] = {
            "id": wording.id, "language": wording.language, "text": wording.text,
            "sha256": wording.text_hash.hex(),
        }  # fmt: skip
    if word is not None:
        said["event"] = {"entry": word.id, "channel": word.channel, "actor": _who(word.actor)}
    return said


def _who(actor: str) -> str:
    return "customer" if actor == "customer" else actor.partition(":")[0]


def _digest(values: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(values)).encode()).hexdigest()


def _look_inside(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return header and claims as they stand, believed by nobody yet: they tell which sentence a refusal needs."""
    try:
        return tokens.unverified(token, maximum=LARGEST)
    except InvalidToken:
        raise ReceiptNotWhole from None
