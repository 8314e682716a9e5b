"""Set up, use and remove the authenticator app of a customer.

The factor of a customer is that of their own account, or else of one that was merged into it: a merge switches none
off, and its undo leaves each account with its own.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service import entry_points
from identity_service.accounts import actions as accounts
from identity_service.accounts import ownership
from identity_service.accounts.tables import Account
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.errors import Problem
from identity_service.events import actions as events
from identity_service.events.data_models import SessionsEndedReason
from identity_service.keys.ring import KeyRing
from identity_service.second_factors import rules, totp
from identity_service.second_factors.tables import SecondFactor, SecondFactorSetup
from identity_service.values import user_ids
from identity_service.values.user_ids import UserId

_LABEL = "second factor"


class Setup(NamedTuple):
    """What is shown once to set up an app: the seed in Base32, and the same as a QR code in a `data:` URI."""

    seed: str
    picture: str


async def find_factor(session: DatabaseSession, user_id: str) -> SecondFactor | None:
    """Return the factor that this customer is asked for, None if there is none."""
    found = await _of_accounts(session, await ownership.user_ids_of(session, UserId(user_id)))
    return found[0] if found else None


async def begin_setup(session: DatabaseSession, account: Account, *, now: datetime) -> Setup:
    """Return a new seed, valid for ten minutes; one that was begun before is over, a factor in use stays."""
    seed = totp.new_seed()
    sealed = session.keys.seal(f"{_LABEL} {account.user_id}", seed.encode())
    values = {"seed_sealed": sealed, "expires_at": now + rules.SETUP_LIFETIME}
    new = insert(SecondFactorSetup).values(user_id=account.user_id, **values)
    await session.execute(new.on_conflict_do_update(index_elements=["user_id"], set_=values))
    uri = totp.setup_uri(
        seed,
        name=account.email or user_ids.show(account.user_id),
        issuer=session.settings.brands.find(account.brand).name,
    )
    return Setup(seed, totp.qr_code(uri))


async def finish_setup(session: DatabaseSession, user_id: str, code: str, *, now: datetime) -> None:
    """Let the app that was set up count from now on, after its first code; it replaces the one before. Every session
    ends, and every mailbox is told.

    Raises:
        rules.SetupOver, rules.FactorCodeWrong
    """
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    mine = select(SecondFactorSetup).where(SecondFactorSetup.user_id == user_id, SecondFactorSetup.expires_at > now)
    pending = await session.scalar(mine.with_for_update())
    if pending is None or account.state != "active":
        raise rules.SetupOver
    step = totp.find_step(_unseal(session, user_id, pending.seed_sealed), code, now=now)
    if step is None:
        raise rules.FactorCodeWrong
    data = {"replaced": await find_factor(session, user_id) is not None}
    for table in (SecondFactorSetup, SecondFactor):
        await session.execute(delete(table).where(table.user_id == user_id))
    row = {"user_id": user_id, "seed_sealed": pending.seed_sealed, "last_step": step, "added_at": now}
    await session.execute(insert(SecondFactor).values(**row))
    await events.record_event(session, "second_factor.added", user_id=user_id, actor="customer", data=data, now=now)
    await _end_and_tell(session, user_id, "second_factor.added", actor="customer", now=now)


async def check_code(database: Database, user_id: str, code: str, *, now: datetime) -> None:
    """Use up a code of this customer's app. Whoever calls this has seen a first factor, so that strangers use up no
    tries (SFA-03).

    The try is counted in a transaction of its own before the code is looked at; then one UPDATE uses its time step up,
    so that a code works once, here or anywhere else (SFA-02).

    Raises:
        rules.NoSecondFactor, rules.FactorLocked, rules.TooManyFactorCodes, rules.FactorCodeWrong, rules.FactorCodeUsed
    """
    counted = await database.in_transaction(lambda session: _count(session, user_id, now=now))
    refused = await database.in_transaction(lambda session: _use(session, user_id, counted, code, now=now))
    if refused is not None:
        raise refused


async def remove_factor(session: DatabaseSession, user_id: str, *, actor: str, now: datetime) -> None:
    """Remove the app that this customer is asked for; every session ends, and every mailbox is told. The caller has
    seen what this takes. That of another merged account stays, and is asked for from then on: nobody has shown it.

    Raises:
        rules.NoSecondFactor
    """
    account = await accounts.find_account(session, UserId(user_id), lock=True)
    factor = await find_factor(session, account.user_id)
    if factor is None or not await remove_since(session, factor.user_id, None, actor=actor, now=now):
        raise rules.NoSecondFactor
    await _end_and_tell(session, account.user_id, "second_factor.removed", actor=actor, now=now)


async def remove_since(
    session: DatabaseSession, user_id: str, since: datetime | None, *, actor: str, now: datetime
) -> bool:
    """Remove the app of exactly this account if it was added since a moment, or without one in any case; return whether
    there was one."""
    await session.execute(delete(SecondFactorSetup).where(SecondFactorSetup.user_id == user_id))
    mine = delete(SecondFactor).where(SecondFactor.user_id == user_id)
    mine = mine if since is None else mine.where(SecondFactor.added_at >= since)
    removed = await session.scalar(mine.returning(SecondFactor.user_id)) is not None
    if removed:
        await events.record_event(session, "second_factor.removed", user_id=user_id, actor=actor, now=now)
    return removed


async def reseal(session: DatabaseSession, ring: KeyRing) -> None:
    """Seal every seed with the newest key of `ring`, so that a revoked one opens none of them."""
    for table in (SecondFactor, SecondFactorSetup):
        for user_id, sealed in (await session.execute(select(table.user_id, table.seed_sealed))).all():
            label = f"{_LABEL} {user_id}"
            again = ring.seal(label, ring.unseal(label, sealed))
            await session.execute(update(table).where(table.user_id == user_id).values(seed_sealed=again))


async def purge_setups(session: DatabaseSession) -> None:
    """Delete seeds whose first code never came."""
    await session.execute(delete(SecondFactorSetup).where(SecondFactorSetup.expires_at < func.now()))


class _Counted(NamedTuple):
    owner: str
    seed_sealed: bytes
    failures: int
    removal_asked: bool


async def _count(session: DatabaseSession, user_id: str, *, now: datetime) -> _Counted:
    """Count a try; the lock on the row lets no two see the same count."""
    found = await find_factor(session, user_id)
    mine = select(SecondFactor).where(SecondFactor.user_id == (found.user_id if found else ""))
    factor = await session.scalar(mine.with_for_update().execution_options(populate_existing=True))
    if factor is None:
        raise rules.NoSecondFactor
    before = rules.Tries(*(getattr(factor, name) for name in rules.Tries._fields))
    tries = rules.count_try(before, now=now)
    await session.execute(update(SecondFactor).where(SecondFactor.user_id == factor.user_id).values(**tries._asdict()))
    return _Counted(factor.user_id, factor.seed_sealed, tries.failures, factor.removal_asked_at is not None)


async def _use(
    session: DatabaseSession, user_id: str, counted: _Counted, code: str, *, now: datetime
) -> Problem | None:
    """Use up the code's time step, and forget what was counted; return why it is refused, which stays counted."""
    step = totp.find_step(_unseal(session, counted.owner, counted.seed_sealed), code, now=now)
    if step is not None:
        mine = update(SecondFactor).where(
            SecondFactor.user_id == counted.owner, SecondFactor.seed_sealed == counted.seed_sealed,
            SecondFactor.last_step < step,
        )  # fmt: skip
        today = func.greatest(SecondFactor.failures_today - 1, 0)
        values: dict[str, Any] = {"last_step": step, "failures": 0, "failures_today": today, "last_used_at": now}
        # Whoever shows the app has not lost it (SFA-08).
        values |= {"blocked_until": None, "locked_at": None, "removal_asked_at": None}
        if await session.scalar(mine.values(**values).returning(SecondFactor.user_id)) is not None:
            if counted.removal_asked:
                name = "second_factor.removal_stopped"
                await events.record_event(session, name, user_id=user_id, actor="customer", now=now)
            return None
    await _record_failure(session, user_id, counted.failures, now=now)
    return rules.FactorCodeWrong() if step is None else rules.FactorCodeUsed()


async def _record_failure(session: DatabaseSession, user_id: str, failures: int, *, now: datetime) -> None:
    data = {"failures": failures}
    names = ["second_factor.failed", *(["second_factor.locked"] if failures == rules.LOCKED_AFTER else [])]
    for name in names:
        await events.record_event(session, name, user_id=user_id, actor="customer", data=data, now=now)
    if failures == rules.IN_A_ROW:
        await _tell(session, user_id, "second_factor.failed", actor="customer", now=now)


async def _end_and_tell(session: DatabaseSession, user_id: str, event: str, *, actor: str, now: datetime) -> None:
    reason = SessionsEndedReason.SECOND_FACTOR_CHANGED
    await accounts.end_sessions(session, user_id, reason, actor=actor, now=now)
    await _tell(session, user_id, event, actor=actor, now=now)


async def _tell(session: DatabaseSession, user_id: str, event: str, *, actor: str, now: datetime) -> None:
    tell = entry_points.load("credentials.actions:notify_mailboxes")
    await tell(session, event.replace(".", "_"), [user_id], cause=event, actor=actor, now=now)


async def _of_accounts(session: DatabaseSession, owners: Sequence[str]) -> Sequence[SecondFactor]:
    """Return the factors of these accounts, that of the first one first."""
    mine = select(SecondFactor).where(SecondFactor.user_id.in_(owners))
    return (await session.scalars(mine.order_by(SecondFactor.user_id != owners[0], SecondFactor.added_at))).all()


def _unseal(session: DatabaseSession, user_id: str, sealed: bytes) -> str:
    return session.keys.unseal(f"{_LABEL} {user_id}", sealed).decode()
