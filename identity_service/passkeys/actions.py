"""Keep challenges and passkeys: begin and finish a registration, check a response to a sign-in, list and remove."""

import secrets
import uuid
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts import rules as account_rules
from identity_service.accounts.tables import Account
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.logs import log
from identity_service.passkeys import ceremonies, responses, rules
from identity_service.passkeys.ceremonies import Begun
from identity_service.passkeys.responses import Malformed
from identity_service.passkeys.tables import Passkey, PasskeyChallenge, PasskeyOnly
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId


class Registered(NamedTuple):
    """A checked response to a registration, which is not stored yet."""

    user_id: str
    user_handle: bytes
    credential: responses.NewCredential


class Proven(NamedTuple):
    """Whose passkey answered, whether a PIN or fingerprint was asked for this time (PKY-03), whether to tell its owner
    that it may have been copied (PKY-10), and the account that it was added to, which may be a merged one."""

    account: Account
    verified: bool
    added_to: str
    tell_copied: bool = False


async def begin_registration(session: DatabaseSession, account: Account, *, browser: str, now: datetime) -> Begun:
    """Return a challenge for a new passkey of this account, bound to the browser."""
    known = await _of_accounts(session, [account.user_id])
    handle = known[0].user_handle if known else secrets.token_bytes(64)
    challenge = secrets.token_bytes(32)
    row = {"purpose": "register", "user_id": account.user_id, "user_handle": handle, "challenge": challenge}
    ceremony = await ceremonies.store_challenge(session, PasskeyChallenge, row, browser=browser, now=now)
    options = responses.creation_options(
        session.settings, name=account.email or user_ids.show(account.user_id), handle=handle, challenge=challenge,
        exclude=[one.credential_id for one in known],
    )  # fmt: skip
    return Begun(ceremony, options)


async def begin_sign_in(session: DatabaseSession, *, browser: str, now: datetime) -> Begun:
    """Return a challenge for a sign-in by whoever has a passkey, bound to the browser."""
    challenge = secrets.token_bytes(32)
    row = {"purpose": "sign_in", "user_id": None, "user_handle": None, "challenge": challenge}
    ceremony = await ceremonies.store_challenge(session, PasskeyChallenge, row, browser=browser, now=now)
    return Begun(ceremony, responses.request_options(session.settings, challenge=challenge))


async def read_registration(
    database: Database, user_id: str, ceremony: str, response: str, *, browser: str, now: datetime
) -> Registered:
    """Return what a response to this account's challenge registers; it uses the challenge up, whatever it is (PKY-01).

    Raises:
        rules.PasskeyNotAdded
    """
    asked = await database.in_transaction(
        lambda session: ceremonies.take_challenge(
            session, PasskeyChallenge, "register", ceremony, browser=browser, now=now
        )
    )
    if asked is None or asked.user_id != user_id or asked.user_handle is None:
        raise rules.PasskeyNotAdded
    try:
        made = responses.read_new(database.settings, response, asked.challenge)
    except Malformed as wrong:
        log.info("passkey.refused", reason=type(wrong.__cause__).__name__)
        raise rules.PasskeyNotAdded from wrong
    return Registered(user_id, asked.user_handle, made)


async def add_passkey(session: DatabaseSession, new: Registered, name: str, *, now: datetime) -> Passkey:
    """Store a passkey; the account is locked, so that of several at once no more are stored than there may be (PKY-07).

    Raises:
        rules.PasskeyNotAdded, rules.PasskeyExists, rules.TooManyPasskeys
    """
    account = await accounts.find_account(session, UserId(new.user_id), lock=True)
    if account.state != "active":
        raise rules.PasskeyNotAdded
    known = await _of_accounts(session, [account.user_id])
    if len(known) >= rules.MOST:
        raise rules.TooManyPasskeys
    if known and known[0].user_handle != new.user_handle:
        # Two tabs began before there was a first one: an account has one handle.
        raise rules.PasskeyNotAdded
    row = {
        **new.credential._asdict(), "id": uuid.uuid4(), "user_id": new.user_id, "user_handle": new.user_handle,
        "label": ceremonies.read_label(name), "created_at": now,
    }  # fmt: skip
    passkey: Passkey | None = await session.scalar(
        insert(Passkey).values(**row).on_conflict_do_nothing().returning(Passkey)
    )
    if passkey is None:
        raise rules.PasskeyExists
    data = {"passkey_id": str(passkey.id), "verified": passkey.verified}
    await events.record_event(session, "passkey.added", user_id=account.user_id, actor="customer", data=data, now=now)
    return passkey


async def check_response(database: Database, ceremony: str, response: str, *, browser: str, now: datetime) -> Proven:
    """Return whose passkey answered this browser's challenge. Whatever is wrong is refused alike (PKY-04, PKY-06).

    The state of the account is looked at after the signature (PKY-13). A merged account's passkey leads to the one
    that answers for it.

    Raises:
        rules.PasskeyRefused
    """
    asked = await database.in_transaction(
        lambda session: ceremonies.take_challenge(
            session, PasskeyChallenge, "sign_in", ceremony, browser=browser, now=now
        )
    )
    try:
        if asked is None:
            raise Malformed
        claimed = responses.read_claimed(response)
        return await database.in_transaction(
            lambda session: _check(session, claimed, response, asked.challenge, now=now)
        )
    except Malformed as wrong:
        log.info("passkey.refused", reason=type(wrong.__cause__).__name__)
        raise rules.PasskeyRefused from wrong


async def list_passkeys(session: DatabaseSession, user_id: str) -> Sequence[Passkey]:
    """Return the passkeys that sign this customer in, those of merged accounts included, oldest first."""
    return await _of_accounts(session, await ownership.user_ids_of(session, UserId(user_id)))


async def remove_passkey(session: DatabaseSession, user_id: str, passkey_id: uuid.UUID, *, now: datetime) -> Passkey:
    """Remove a passkey of this customer, unless it is the only way in.

    Raises:
        rules.UnknownPasskey, rules.LastWayIn, rules.TwoMustStay
    """
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    mine = await list_passkeys(session, user_id)
    found = next((one for one in mine if one.id == passkey_id), None)
    if found is None:
        raise rules.UnknownPasskey
    if len(mine) == 1 and account.email_state != "confirmed":
        raise rules.LastWayIn
    if len(mine) <= rules.FOR_ONLY and await is_only_way(session, account):
        raise rules.TwoMustStay
    await _delete(session, [found], actor="customer", now=now)
    return found


async def remove_since(
    session: DatabaseSession, user_id: str, since: datetime | None, *, actor: str, now: datetime
) -> int:
    """Remove this customer's passkeys that were added since a moment, all of them without one; return how many."""
    mine = await list_passkeys(session, user_id)
    found = [one for one in mine if since is None or one.created_at >= since]
    await _delete(session, found, actor=actor, now=now)
    if len(found) == len(mine):
        await allow_other_ways(session, user_id, actor=actor, now=now)
    return len(found)


async def remove_others(
    session: DatabaseSession, user_id: str, keep: Collection[str], *, actor: str, now: datetime
) -> int:
    """Remove this customer's passkeys but those of these ids; return how many."""
    found = [one for one in await list_passkeys(session, user_id) if str(one.id) not in keep]
    await _delete(session, found, actor=actor, now=now)
    return len(found)


def enough_for_only(found: Sequence[Passkey], *, now: datetime) -> bool:
    """Return whether these passkeys can be the only way in. New ones do not count: until then a reset takes them away,
    if somebody else has added them."""
    good = [one for one in found if one.verified and not rules.is_new(one.created_at, now=now)]
    return len(good) >= rules.FOR_ONLY


async def require_passkey(session: DatabaseSession, account: Account, *, now: datetime) -> None:
    """Let only passkeys sign in to an account (PKY-15).

    Raises:
        rules.TooFewPasskeys
        rules.AddressUnconfirmed: whoever reads that mailbox may be its real owner.
    """
    await accounts.find_account(session, UserId(account.user_id), lock=True)
    if not enough_for_only(await list_passkeys(session, account.user_id), now=now):
        raise rules.TooFewPasskeys
    if account.email_state == "unconfirmed":
        raise rules.AddressUnconfirmed
    row = {"user_id": account.user_id, "since": now}
    added = insert(PasskeyOnly).values(**row).on_conflict_do_nothing().returning(PasskeyOnly.user_id)
    if await session.scalar(added) is not None:
        name = "passkey.made_only_way"
        await events.record_event(session, name, user_id=account.user_id, actor="customer", data={}, now=now)


async def allow_other_ways(session: DatabaseSession, user_id: str, *, actor: str, now: datetime) -> bool:
    """Let other ways sign in to an account again; return whether they did not."""
    mine = delete(PasskeyOnly).where(PasskeyOnly.user_id == user_id).returning(PasskeyOnly.user_id)
    if await session.scalar(mine) is None:
        return False
    name = "passkey.other_ways_allowed"
    await events.record_event(session, name, user_id=user_id, actor=actor, data={}, now=now)
    return True


async def is_only_way(session: DatabaseSession, account: Account) -> bool:
    """Return whether only passkeys sign in to this account. An address that nobody has confirmed belongs to whoever
    reads its mail: while there is one, the wish counts for nothing, and its first proof ends it."""
    mine = await session.scalar(select(PasskeyOnly.user_id).where(PasskeyOnly.user_id == account.user_id))
    return mine is not None and account.email_state != "unconfirmed"


async def purge_challenges(session: DatabaseSession) -> None:
    """Delete challenges whose time is over."""
    await session.execute(delete(PasskeyChallenge).where(PasskeyChallenge.expires_at < func.now()))


async def _of_accounts(session: DatabaseSession, owners: Sequence[str]) -> Sequence[Passkey]:
    mine = select(Passkey).where(Passkey.user_id.in_(owners)).order_by(Passkey.created_at, Passkey.id)
    return (await session.scalars(mine)).all()


async def _check(
    session: DatabaseSession, claimed: responses.Claimed, response: str, challenge: bytes, *, now: datetime
) -> Proven:
    mine = select(Passkey).where(Passkey.credential_id == claimed.credential_id).with_for_update()
    passkey = await session.scalar(mine)
    if passkey is None:
        raise Malformed
    said = ceremonies.check_response(session.settings, passkey, claimed, response, challenge)
    try:
        account = await accounts.find_active_account(session, UserId(passkey.user_id))
    except (account_rules.AccountErased, account_rules.UnknownUserId) as gone:
        raise Malformed from gone
    if account.state != "active":
        raise Malformed
    went_back, before = ceremonies.went_back(passkey, said), passkey.went_back_at
    if went_back:
        data = {"passkey_id": str(passkey.id)}
        name = "passkey.counter_went_back"
        await events.record_event(session, name, user_id=account.user_id, actor="service", data=data, now=now)
    values = ceremonies.columns_after(passkey, said, now=now)
    await session.execute(update(Passkey).where(Passkey.id == passkey.id).values(values))
    return Proven(
        account, said.verified, passkey.user_id, went_back and (before is None or now - before >= rules.TOLD_EVERY)
    )


async def _delete(session: DatabaseSession, found: Sequence[Passkey], *, actor: str, now: datetime) -> None:
    for one in found:
        await session.execute(delete(Passkey).where(Passkey.id == one.id))
        data = {"passkey_id": str(one.id)}
        await events.record_event(session, "passkey.removed", user_id=one.user_id, actor=actor, data=data, now=now)
