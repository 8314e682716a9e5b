"""Register a customer, and give an account without an address one."""

from datetime import datetime
from typing import NamedTuple

from identity_service.accounts import actions as accounts
from identity_service.accounts import merges
from identity_service.accounts.tables import Account
from identity_service.consents import actions as consents
from identity_service.database import AsyncSession
from identity_service.email_addresses import EmailAddress
from identity_service.events import actions as events
from identity_service.mail import actions as mail
from identity_service.proofs import actions as proofs
from identity_service.proofs.actions import Found
from identity_service.proofs.rules import LinkDead
from identity_service.user_ids import UserId


class Registered(NamedTuple):
    """An account, and whether it is new."""

    account: Account
    is_new: bool


async def register(
    session: AsyncSession,
    address: EmailAddress | None,
    *,
    display_name: str | None,
    locale: str,
    external_ref: str | None,
    client_id: str,
    now: datetime,
) -> Registered:
    """Issue a User ID, or return the account that this address, or this client's reference, has already.

    A new account with an address gets the welcome letter, in the same transaction. Twenty calls at once make one
    account: the insert yields to the one that came first.

    Raises:
        accounts.rules.ExternalRefTaken: the client knows another account by this reference.
    """
    actor = f"client:{client_id}"
    known = None
    if external_ref is not None:
        known = await accounts.find_by_reference(session, client_id, external_ref, lock=True)
    if known is not None and address is None:
        return Registered(known, is_new=False)
    account = await accounts.add(session, address, display_name=display_name, locale=locale, now=now)
    is_new = account is not None
    if account is None:
        assert address is not None  # noqa: S101
        account = await accounts.find_by_email(session, address)
        assert account is not None  # noqa: S101
    if external_ref is not None:
        await accounts.add_reference(session, account.user_id, client_id, external_ref, now=now)
    if is_new:
        await _welcome(session, account, address, actor=actor, now=now)
        data = {"kind": account.kind, "by": "email" if address else "nothing", "marketing": "never"}
        await events.record(session, "account.registered", user_id=account.user_id, actor=actor, data=data, now=now)
    return Registered(account, is_new)


async def add_email(
    session: AsyncSession, user_id: UserId, address: EmailAddress, *, actor: str, now: datetime
) -> Account:
    """Give an account without an address its first one, and send it the welcome letter.

    Raises:
        accounts.rules.UnknownUserId, EmailPresent, EmailTaken
    """
    before = (await accounts.find(session, user_id, lock=True)).email
    account = await accounts.add_email(session, user_id, address, actor=actor, now=now)
    if before is None:
        await _welcome(session, account, address, actor=actor, now=now)
    return account


class Started(NamedTuple):
    """A fresh account, and the handle under which its letter is followed."""

    account: Account
    handle: str


async def register_publicly(
    session: AsyncSession, address: EmailAddress, *, locale: str, where_from: str, now: datetime
) -> Started:
    """Issue a fresh User ID to whoever asks, at once; the address is attached when its mailbox proves it.

    The same statements whether the address is free, taken or closed: where it is taken, the letter names the account
    that is there and offers to join the two, and the page tells a stranger nothing (decision 6, ATT-24).
    """
    account = await accounts.add(session, None, display_name=None, locale=locale, now=now)
    assert account is not None  # noqa: S101
    holder = await merges.answering(session, address)
    data = {"kind": account.kind, "by": "page", "marketing": "never"}
    await events.record(session, "account.registered", user_id=account.user_id, actor="customer", data=data, now=now)
    proof = await proofs.send(
        session, "address", kind="address_check" if holder.user_id is None else "address_taken", to=address,
        user_id=account.user_id, locale=locale, facts={"from": where_from}, cause="account.registered",
        actor="customer", now=now,
    )  # fmt: skip
    return Started(account, await proofs.track(session, proof.id, now=now))


async def confirm_address(session: AsyncSession, found: Found, *, now: datetime) -> Account:
    """Attach the address whose mailbox was just read; where another account has it, join the fresh ID to that one.

    Raises:
        LinkDead: the letter's secret is used up or its time is over.
    """
    message = found.message
    if message.to_addr is None or message.to_ascii is None or found.proof.user_id is None:
        raise LinkDead
    address = EmailAddress(message.to_addr, message.to_ascii, message.to_ascii.lower())
    fresh = await accounts.find(session, UserId(found.proof.user_id), lock=True)
    if fresh.email is not None or fresh.state != "active":
        raise LinkDead
    proof = await proofs.use_up(session, found, now=now)
    holder = await accounts.find_by_email(session, address)
    if holder is None:
        return await accounts.confirm_new_email(session, proof.user_id, address, actor="customer", now=now)
    if (await accounts.current(session, UserId(holder.user_id))).user_id != fresh.user_id:
        # Otherwise they were merged meanwhile, the other way round, and joining them again would be a circle.
        await accounts.move(session, UserId(proof.user_id), UserId(holder.user_id), actor="customer", now=now)
        await consents.renew_upwards(session, holder.user_id)
    return await accounts.mailbox_proven(session, holder.user_id, ends_sessions=False, actor="customer", now=now)


async def _welcome(
    session: AsyncSession, account: Account, address: EmailAddress | None, *, actor: str, now: datetime
) -> None:
    if address is not None:
        await mail.put(
            session, "welcome", to=address, user_id=account.user_id, locale=account.locale,
            cause="account.registered", actor=actor, now=now,
        )  # fmt: skip
