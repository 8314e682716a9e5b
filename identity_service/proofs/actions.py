"""Send a letter with a secret, follow it, check what comes back, and use it up once."""

import hashlib
import secrets
import uuid
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from sqlalchemy import delete, func, insert, select, update

from identity_service import keyring, user_ids
from identity_service.database import AsyncSession, Database, settings_of
from identity_service.email_addresses import EmailAddress
from identity_service.mail import actions as mail
from identity_service.mail.tables import Message
from identity_service.proofs import rules
from identity_service.proofs.rules import Life, LinkDead, MailboxProof
from identity_service.proofs.tables import Proof, Tracking
from identity_service.throttle import Throttle

_LONGEST: Final = timedelta(days=30)
"""No secret that `end_all` ends is alive for so long, its way to the mailbox included."""


class Found(NamedTuple):
    """A proof and the newest letter that was sent for it."""

    proof: Proof
    message: Message


async def send(
    session: AsyncSession,
    purpose: str,
    *,
    kind: str,
    to: EmailAddress,
    user_id: str | None,
    locale: str,
    facts: dict[str, Any] | None = None,
    once: bool = False,
    cause: str,
    actor: str,
    now: datetime,
) -> Proof:
    """Write a letter of this kind with a fresh secret into the outbox.

    With `once`, an ask joins the letter of the same purpose that is still on its way to the address, known or unknown
    alike, and gets the proof of that one (RST-08).
    """
    proof_id, to_hash = uuid.uuid4(), keyring.of(session).address_hash(to.key)
    letter: dict[str, Any] = {
        "to": to, "user_id": user_id, "locale": locale, "facts": {**(facts or {}), "proof": str(proof_id)},
        "cause": cause, "actor": actor, "now": now,
    }  # fmt: skip
    if once:
        message_id, is_new = await mail.put_or_join(session, kind, pending_key=f"{purpose}:{to_hash.hex()}", **letter)
        if not is_new:
            return await _of_letter(session, message_id)
    else:
        message_id = await mail.put(session, kind, **letter)
    row = {
        "id": proof_id, "purpose": purpose, "user_id": user_id, "to_hash": to_hash, "message_id": message_id,
        "asked_at": now, **_drawn(session),
    }  # fmt: skip
    proof: Proof = (await session.execute(_WRITE, row)).scalar_one()
    return proof


# On the tables and not on their classes, as for events: the ORM's way costs more than twice as much, and leaves out
# what is NULL, so that the statement would tell whether there is an account behind an address (ATT-21).
_PROOF, _TRACKING = (Proof.metadata.tables[name] for name in ("proof", "tracking"))
_WRITE = select(Proof).from_statement(insert(_PROOF).returning(*_PROOF.columns))
_TRACK = insert(_TRACKING)


def _drawn(session: AsyncSession) -> dict[str, Any]:
    """Return what is random in a proof: its public names, and the nonce that its secrets are derived from."""
    return {
        "handle": secrets.token_urlsafe(16),
        "reference": "".join(secrets.choice(user_ids.ALPHABET) for _ in range(rules.REFERENCE_LENGTH)),
        "nonce": secrets.token_bytes(16),
        "key_id": keyring.of(session).link_key()[0],
    }


async def _of_letter(session: AsyncSession, message_id: uuid.UUID) -> Proof:
    return (await session.scalars(select(Proof).where(Proof.message_id == message_id))).one()


async def track(session: AsyncSession, proof_id: uuid.UUID, *, now: datetime) -> str:
    """Return a new handle under which one who asked follows the letter."""
    handle = secrets.token_urlsafe(18)
    row = {"handle_hash": _hashed(handle), "proof_id": proof_id, "created_at": now, "until": now + rules.TRACKED_FOR}
    await session.execute(_TRACK, row)
    return handle


async def followed(
    session: AsyncSession, handle: str, purposes: Collection[str] = tuple(rules.LIVES), *, now: datetime
) -> Found:
    """Return what a tracking handle leads to, if its letter is for one of these purposes.

    Raises:
        rules.UnknownTracking: there is no such handle, or it has ended; the two cannot be told apart.
    """
    live = select(Proof).join(Tracking, Tracking.proof_id == Proof.id)
    proof = await session.scalar(live.where(Tracking.handle_hash == _hashed(handle), Tracking.until > now))
    if proof is None or proof.purpose not in purposes:
        raise rules.UnknownTracking
    return Found(proof, await mail.newest(session, proof.message_id))


async def find(session: AsyncSession, proof_id: uuid.UUID) -> Found | None:
    """Return a proof by its id."""
    proof = await session.get(Proof, proof_id, populate_existing=True)
    return None if proof is None else Found(proof, await mail.newest(session, proof.message_id))


async def find_by_reference(session: AsyncSession, reference: str) -> Found | None:
    """Return a proof by the short reference that its asker reads out on the phone."""
    proof = await session.scalar(select(Proof).where(Proof.reference == reference))
    return None if proof is None else Found(proof, await mail.newest(session, proof.message_id))


async def latest(session: AsyncSession, purpose: str, to: EmailAddress) -> Proof | None:
    """Return the newest proof of this purpose that was sent to an address."""
    to_hash = keyring.of(session).address_hash(to.key)
    mine = select(Proof).where(Proof.to_hash == to_hash, Proof.purpose == purpose)
    found: Proof | None = await session.scalar(mine.order_by(Proof.asked_at.desc()).limit(1))
    return found


async def newest_of(session: AsyncSession, purpose: str, user_id: str) -> Found | None:
    """Return the newest proof of this purpose for an account."""
    mine = select(Proof).where(Proof.user_id == user_id, Proof.purpose == purpose)
    proof = await session.scalar(mine.order_by(Proof.asked_at.desc()).limit(1))
    return None if proof is None else Found(proof, await mail.newest(session, proof.message_id))


async def named(session: AsyncSession, handle: str) -> Found | None:
    """Return a proof by its public name, which stands in the link."""
    if "\0" in handle:
        # PostgreSQL keeps no NUL: there is no such name, and asking for it would be an error of ours.
        return None
    proof = await session.scalar(select(Proof).where(Proof.handle == handle[:64]))
    return None if proof is None else Found(proof, await mail.newest(session, proof.message_id))


async def by_link(session: AsyncSession, purposes: tuple[str, ...], text: str) -> Found:
    """Return the proof whose link this is, by deriving its secret again; whether it is alive is another question.

    Raises:
        rules.LinkDead: not one of ours, or for another purpose.
    """
    presented = rules.read_link(text)
    found = await named(session, presented.handle)
    if found is None or found.proof.purpose not in purposes:
        raise LinkDead
    if not rules.same(presented.secret, secret_of(session, found.proof)):
        raise LinkDead
    return found


async def spend_try(database: Database, limits: Throttle, proof: Proof) -> None:
    """Count a code that is about to be compared, before it is: five per letter, and five per address and hour, which a
    new letter does not refill (RST-06, ATT-11). Both counts stand whatever becomes of the request.

    Raises:
        throttle.TooManyRequests, rules.LinkDead: there are no tries left.
    """
    await limits.hit("code", rules.CODE_TRIES_PER_ADDRESS, proof.purpose, (proof.to_hash or b"").hex())
    mine = update(Proof).where(Proof.id == proof.id, Proof.code_tries < rules.CODE_TRIES)
    counted = mine.values(code_tries=Proof.code_tries + 1).returning(Proof.code_tries)
    if await database.short(lambda session: session.scalar(counted)) is None:
        raise LinkDead


def check_code(session: AsyncSession, proof: Proof, typed: str) -> None:
    """Compare a code with the proof's; count first.

    Raises:
        rules.CodeWrong
    """
    if not rules.same(typed, code_of(session, proof)):
        raise rules.CodeWrong


def check_alive(
    session: AsyncSession, found: Found, *, valid_after: datetime | None, by: str = "link", now: datetime
) -> None:
    """Refuse a secret that is used, expired, withdrawn, or older than everything that still counts.

    `valid_after` is the account's `proofs_valid_after`; `by` is `link` or `code`.

    Raises:
        rules.LinkDead
    """
    proof, message = found
    if (
        proof.used_at is not None
        or message.state == "cancelled"
        or rules.is_older(rules.LIVES[proof.purpose], proof.asked_at, valid_after)
        or now >= ends_at(session, found, by=by)
    ):
        raise LinkDead


def ends_at(session: AsyncSession, found: Found, *, by: str = "link") -> datetime:
    """Return when the link (or the code) of a proof ends."""
    life = _life(session, found.proof.purpose)
    return rules.ends_at(
        life.link if by == "link" else life.code,
        life.cap,
        asked_at=found.proof.asked_at,
        accepted_at=found.message.accepted_at,
        deadline_at=found.message.deadline_at,
    )


async def note_opened(session: AsyncSession, proof_id: uuid.UUID, *, now: datetime) -> bool:
    """Note that the link was opened by a person's browser; True the first time. It spends nothing (RST-01)."""
    mine = update(Proof).where(Proof.id == proof_id, Proof.opened_at.is_(None), Proof.used_at.is_(None))
    return await session.scalar(mine.values(opened_at=now).returning(Proof.id)) is not None


async def use_up(session: AsyncSession, found: Found, *, now: datetime) -> MailboxProof:
    """Use a proof up, once and for ever, whoever comes at the same time (ATT-08); the one maker of a MailboxProof.

    Call it in the transaction of what is proven, with a secret that was checked and is alive.

    Raises:
        rules.LinkDead: somebody was faster, or there is no account behind it.
    """
    mine = update(Proof).where(Proof.id == found.proof.id, Proof.used_at.is_(None), Proof.user_id.is_not(None))
    user_id = await session.scalar(mine.values(used_at=now).returning(Proof.user_id))
    if user_id is None:
        raise LinkDead
    return MailboxProof(user_id, found.proof.purpose)


async def end_all(session: AsyncSession, *, now: datetime) -> int:
    """End every secret that is out; return how many. After a restore one that was used would be good again (ATT-07).

    Links that undo, stop or withdraw go on: what they did was lost with the rest, and may be done again.
    """
    mortal = [purpose for purpose, life in rules.LIVES.items() if not life.outlives]
    living = update(Proof).where(Proof.used_at.is_(None), Proof.purpose.in_(mortal), Proof.asked_at > now - _LONGEST)
    return len((await session.scalars(living.values(used_at=now).returning(Proof.id))).all())


def secret_of(session: AsyncSession, proof: Proof) -> str:
    """Return the secret of a proof's link, derived again (RST-04)."""
    return rules.secret(_key(session, proof), proof.purpose, proof.nonce)


def code_of(session: AsyncSession, proof: Proof) -> str:
    """Return the code of a proof, derived again (RST-05)."""
    return rules.code(_key(session, proof), proof.purpose, proof.nonce)


def link_of(session: AsyncSession, proof: Proof, path: str) -> str:
    """Return the link for a letter: the configured base alone, the secret in the fragment (RST-03, ATT-32)."""
    return f"{settings_of(session).public_url}{path}#v1.{proof.handle}.{secret_of(session, proof)}"


async def forget_address(session: AsyncSession, hashes: Sequence[bytes]) -> None:
    """Take these addresses out of proofs that belong to no account which ever had one of them: an erased customer's."""
    nobodys = Proof.user_id.is_(None) | Proof.purpose.in_(("address", "email_change"))
    await session.execute(update(Proof).where(Proof.to_hash.in_(hashes), nobodys).values(to_hash=None))


async def purge(session: AsyncSession) -> None:
    """Forget handles that have ended."""
    await session.execute(delete(Tracking).where(Tracking.until < func.now()))


def _key(session: AsyncSession, proof: Proof) -> bytes:
    return keyring.of(session).link_key(proof.key_id)[1]


def _life(session: AsyncSession, purpose: str) -> Life:
    life = rules.LIVES[purpose]
    if purpose == "reset":
        settings = settings_of(session)
        link, code = timedelta(minutes=settings.reset_link_minutes), timedelta(minutes=settings.reset_code_minutes)
        return life._replace(link=link, code=code)
    return life


def _hashed(handle: str) -> bytes:
    return hashlib.sha256(handle.encode()).digest()
