"""Ask for a new password, follow the letter, and set the password by link or code."""

import uuid
from datetime import datetime, timedelta
from typing import NamedTuple

from identity_service import keyring
from identity_service.accounts import actions as accounts
from identity_service.accounts import merges
from identity_service.accounts.tables import Account
from identity_service.database import AsyncSession, Database
from identity_service.email_addresses import EmailAddress
from identity_service.events import actions as events
from identity_service.mail import actions as mail
from identity_service.passwords import actions as passwords
from identity_service.passwords.hashing import Hasher
from identity_service.proofs import actions as proofs
from identity_service.proofs import rules as proof_rules
from identity_service.proofs.actions import Found
from identity_service.proofs.rules import LinkDead
from identity_service.proofs.tables import Proof
from identity_service.resets import rules
from identity_service.throttle import Throttle
from identity_service.user_ids import UserId

PURPOSE = ("reset",)


class Asked(NamedTuple):
    """A reset that was asked for, and the handle under which its asker follows the letter. `again_at`: this address
    has had its share, no new letter went out, and the newest one is followed instead."""

    proof: Proof
    handle: str
    again_at: datetime | None = None


async def ask_within_limit(
    session: AsyncSession,
    limits: Throttle,
    address: EmailAddress,
    *,
    locale: str,
    where_from: str | None,
    actor: str,
    now: datetime,
) -> Asked:
    """Ask as `ask` does; beyond the limit of an address, known or unknown, follow its newest letter (ATT-18)."""
    wait = await limits.wait("reset-address", rules.PER_ADDRESS, keyring.of(session).address_hash(address.key).hex())
    if wait:
        newest = await proofs.latest(session, "reset", address)
        if newest is not None:
            asked = await _asked(session, newest, actor=actor, now=now)
            return asked._replace(again_at=now + timedelta(seconds=wait))
    return await ask(session, address, locale=locale, where_from=where_from, actor=actor, now=now)


async def ask(
    session: AsyncSession, address: EmailAddress, *, locale: str, where_from: str | None, actor: str, now: datetime
) -> Asked:
    """Ask for a new password by address. The same statements and rows whether or not there is an account (ATT-21).

    A second ask while the letter is still on its way joins it; after hand-over a new letter goes out, and the link in
    the older one lives on (RST-08). The letter goes to the address on file, never to the typed one (ATT-02).
    """
    found = await merges.answering(session, address, hold=True)
    proof = await proofs.send(
        session, "reset", kind="no_account" if found.active is None else "reset", to=found.address,
        user_id=found.active, locale=locale, facts={"from": where_from}, once=True, cause="reset.asked", actor=actor,
        now=now,
    )  # fmt: skip
    return await _asked(session, proof, actor=actor, now=now)


async def ask_for(
    session: AsyncSession, user_id: UserId, *, where_from: str | None, actor: str, now: datetime
) -> Asked:
    """Ask for a new password for an account, for a service or desk: the letter goes to its address on file.

    Raises:
        accounts.rules.UnknownUserId, NoEmail; rules.AccountClosed
    """
    account = await accounts.current(session, user_id, lock=True)
    if account.state != "active":
        raise rules.AccountClosed
    proof = await proofs.send(
        session, "reset", kind="reset", to=accounts.address_of(account), user_id=account.user_id,
        locale=account.locale, facts={"from": where_from}, once=True, cause="reset.asked", actor=actor, now=now,
    )  # fmt: skip
    return await _asked(session, proof, actor=actor, now=now)


async def find(session: AsyncSession, reset_id: uuid.UUID) -> Found:
    """Return a reset with its letter.

    Raises:
        rules.UnknownReset
    """
    found = await proofs.find(session, reset_id)
    if found is None or found.proof.purpose != "reset":
        raise rules.UnknownReset
    return found


async def note_opened(session: AsyncSession, link: str, *, now: datetime) -> None:
    """Note that a person's browser opened the link; spends nothing, and says nothing of whether it was one."""
    try:
        found = await proofs.by_link(session, PURPOSE, link)
    except LinkDead:
        return
    if await proofs.note_opened(session, found.proof.id, now=now) and found.proof.user_id is not None:
        data = {"reset_id": str(found.proof.id)}
        await events.record(session, "reset.opened", user_id=found.proof.user_id, actor="customer", data=data, now=now)


async def choose_by_link(database: Database, hasher: Hasher, link: str, password: str, *, now: datetime) -> None:
    """Set the password with the link from the letter. A weak password does not spend it (RST-13).

    Raises:
        LinkDead, passwords.rules.WeakPassword, passwords.rules.HashingBusy
    """
    async with database.transaction() as session:
        found = await proofs.by_link(session, PURPOSE, link)
        account = await _living(session, found, by="link", now=now)
        words = _own_words(account, found)
    phc = await passwords.make(hasher, database.settings, password, words)
    async with database.transaction() as session:
        await _spend(session, found.proof.id, phc, by="link", now=now)


async def choose_by_code(
    database: Database, hasher: Hasher, limits: Throttle, handle: str, code: str, password: str, *, now: datetime
) -> None:
    """Set the password with the code from the letter, at the page where it was asked for.

    The password is judged first, so that a weak one costs no try; then the try is counted, then the code is compared,
    and only behind the right one is anything hashed or said that depends on the account. A code typed for an unknown
    address costs and reads the same (RST-14).

    Raises:
        proofs.rules.UnknownTracking, CodeWrong, CodeIsUserId; LinkDead; WeakPassword; HashingBusy;
        TooManyRequests
    """
    typed = proof_rules.read_code(code)
    found = await database.short(lambda session: proofs.followed(session, handle, PURPOSE, now=now))
    await passwords.judge(hasher, database.settings, password, _own_words(None, found))
    await proofs.spend_try(database, limits, found.proof)
    async with database.transaction() as session:
        proofs.check_code(session, found.proof, typed)
        account = await _living(session, found, by="code", now=now)
    phc = await passwords.make(hasher, database.settings, password, _own_words(account, found))
    async with database.transaction() as session:
        await _spend(session, found.proof.id, phc, by="code", now=now)


def where_from(network: str) -> str:
    """Return roughly where an ask came from, for its letter: the first half of the network, no more (PRV-13)."""
    if ":" in network:
        return network.split(":", maxsplit=1)[0] + ":…"
    return ".".join(network.split(".")[:2]) + ".…" if network.count(".") == 3 else "…"


async def _asked(session: AsyncSession, proof: Proof, *, actor: str, now: datetime) -> Asked:
    handle = await proofs.track(session, proof.id, now=now)
    data = {"reset_id": str(proof.id)}
    await events.record(session, "reset.asked", user_id=proof.user_id, actor=actor, data=data, now=now)
    return Asked(proof, handle)


async def _living(session: AsyncSession, found: Found, *, by: str, now: datetime) -> Account:
    """Return the account behind a secret that is alive; closed, erased or never there is as dead as used (RST-14)."""
    account = await accounts.find_for_sign_in(session, found.proof.user_id or "")
    if account is None:
        raise LinkDead
    proofs.check_alive(session, found, valid_after=account.proofs_valid_after, by=by, now=now)
    return account


async def _spend(session: AsyncSession, proof_id: uuid.UUID, phc: str, *, by: str, now: datetime) -> None:
    """Use the reset up and set the password: all of it or nothing (RST-09, RST-10)."""
    found = await find(session, proof_id)
    if found.proof.user_id is not None:
        # Whoever comes with another link of this account waits here, and then finds his own dead.
        await accounts.find(session, UserId(found.proof.user_id), lock=True)
    await _living(session, found, by=by, now=now)
    proof = await proofs.use_up(session, found, now=now)
    await passwords.set_password(session, proof, phc, now=now)
    account = await accounts.mailbox_proven(session, proof.user_id, ends_sessions=True, actor="customer", now=now)
    await mail.put(
        session, "password_changed", to=_mailbox(account, found), user_id=account.user_id, locale=account.locale,
        facts={"at": now.isoformat(), "from": found.message.facts.get("from")}, cause="password.set",
        actor="customer", now=now,
    )  # fmt: skip
    data = {"reset_id": str(proof_id), "by": by}
    await events.record(session, "reset.used", user_id=account.user_id, actor="customer", data=data, now=now)


def _mailbox(account: Account, found: Found) -> EmailAddress:
    """Return where to tell of it: the address on file, or, where a merge leads here from one, the mailbox that asked.

    Raises:
        LinkDead: the customer was erased meanwhile.
    """
    if account.email is not None:
        return accounts.address_of(account)
    shown, plain = found.message.to_addr, found.message.to_ascii
    if shown is None or plain is None:
        raise LinkDead
    return EmailAddress(shown, plain, plain.lower())


def _own_words(account: Account | None, found: Found) -> list[str]:
    """Return what a password must not be made of: the address it was asked with, and the account's name."""
    address = found.message.to_addr or ""
    local, _, domain = address.rpartition("@")
    name = (account.display_name or "") if account is not None else ""
    return [address, local, domain, domain.partition(".")[0], name, *name.split()]
