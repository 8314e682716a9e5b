"""Finish a sign-in that waits for its second factor (SFA-01)."""

from datetime import datetime
from typing import NamedTuple, cast

from sqlalchemy import delete, select

from identity_service.accounts.tables import Account
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.keys import hashing
from identity_service.second_factors import actions as second_factors
from identity_service.sign_in import actions, rules
from identity_service.sign_in.actions import NewSession, Proofs
from identity_service.sign_in.tables import PendingSignIn


class Waiting(NamedTuple):
    """A sign-in that waits, and whose it is."""

    pending: PendingSignIn
    account: Account


async def find_waiting(session: DatabaseSession, cookie: str, *, now: datetime) -> Waiting:
    """Return the sign-in of a cookie that waits for its second factor.

    Raises:
        rules.SignInOver: there is none, it is older than five minutes, or what ends sessions has ended it.
    """
    mine = select(PendingSignIn, Account).join(Account, Account.user_id == PendingSignIn.user_id)
    row = (await session.execute(mine.where(PendingSignIn.cookie_hash == hashing.hash_secret(cookie)))).one_or_none()
    if row is None or _is_over(row[0], row[1], now=now):
        raise rules.SignInOver
    return Waiting(row[0], row[1])


async def finish(database: Database, cookie: str, code: str, *, replaces: str | None, now: datetime) -> NewSession:
    """Finish a sign-in with a code of the customer's app; return the new session. `replaces` as in
    `actions.sign_in_by_password`.

    Raises:
        rules.SignInOver
        second_factors.rules.FactorCodeWrong, FactorCodeUsed, TooManyFactorCodes, FactorLocked
    """
    waiting = await database.in_transaction(lambda session: find_waiting(session, cookie, now=now))
    await second_factors.check_code(database, waiting.account.user_id, code, now=now)
    return await database.in_transaction(lambda session: _open(session, cookie, replaces=replaces, now=now))


async def _open(session: DatabaseSession, cookie: str, *, replaces: str | None, now: datetime) -> NewSession:
    """Open the session, once: the row is used up, and everything that ends sessions is looked at again."""
    waiting = await find_waiting(session, cookie, now=now)
    mine = delete(PendingSignIn).where(PendingSignIn.cookie_hash == waiting.pending.cookie_hash)
    row = await session.scalar(mine.returning(PendingSignIn))
    if row is None:
        raise rules.SignInOver
    proofs = Proofs(cast("rules.Method", row.method), "totp", row.proven_by, now)
    return await actions.open_session(session, row.user_id, proofs, browser=row.browser, replaces=replaces, now=now)


def _is_over(pending: PendingSignIn, account: Account, *, now: datetime) -> bool:
    why = rules.why_over(
        created_at=pending.created_at, seen_at=pending.created_at, expires_at=pending.expires_at, ended_at=None,
        account_state=account.state, valid_after=actions.valid_after(account), now=now,
    )  # fmt: skip
    return why is not None
