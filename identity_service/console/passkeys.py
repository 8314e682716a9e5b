"""Passkeys of staff: add, sign in, list, remove. Each use has to be verified by PIN, fingerprint or face, so that a
passkey alone is two factors (PKY-03, PKY-15)."""

import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, delete, func, select, update
from sqlalchemy.dialects.postgresql import insert

from identity_service.console import actions, rules
from identity_service.console.actions import SignedInStaff
from identity_service.console.tables import Staff, StaffPasskey, StaffPasskeyChallenge
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.logs import log
from identity_service.passkeys import ceremonies, responses
from identity_service.passkeys import rules as passkey_rules
from identity_service.passkeys.ceremonies import Begun
from identity_service.passkeys.responses import Malformed


async def begin_registration(session: DatabaseSession, staff: Staff, *, browser: str, now: datetime) -> Begun:
    """Return a challenge for a new passkey of this staff member, bound to the browser."""
    known = await list_passkeys(session, staff)
    handle = known[0].user_handle if known else secrets.token_bytes(64)
    challenge = secrets.token_bytes(32)
    row = {"purpose": "register", "staff_id": staff.id, "user_handle": handle, "challenge": challenge}
    ceremony = await ceremonies.store_challenge(session, StaffPasskeyChallenge, row, browser=browser, now=now)
    options = responses.creation_options(
        session.settings, name=f"{staff.name} (console)", handle=handle, challenge=challenge,
        exclude=[one.credential_id for one in known], must_verify=True,
    )  # fmt: skip
    return Begun(ceremony, options)


async def begin_sign_in(session: DatabaseSession, *, browser: str, now: datetime) -> Begun:
    """Return a challenge for a sign-in by whoever of the staff has a passkey, bound to the browser."""
    challenge = secrets.token_bytes(32)
    row = {"purpose": "sign_in", "staff_id": None, "user_handle": None, "challenge": challenge}
    ceremony = await ceremonies.store_challenge(session, StaffPasskeyChallenge, row, browser=browser, now=now)
    return Begun(ceremony, responses.request_options(session.settings, challenge=challenge, must_verify=True))


async def add_passkey(
    database: Database, who: SignedInStaff, ceremony: str, response: str, name: str, *, browser: str, now: datetime
) -> str:
    """Store what a response to this person's challenge registers, and sign them in with it; return the new cookie. The
    challenge is used up, whatever the response is (PKY-01).

    Raises:
        rules.StaffPasskeyNotAdded, rules.LeadHasPasskey, passkeys.rules.PasskeyExists, passkeys.rules.TooManyPasskeys
    """
    asked = await database.in_transaction(
        lambda session: ceremonies.take_challenge(
            session, StaffPasskeyChallenge, "register", ceremony, browser=browser, now=now
        )
    )
    if asked is None or asked.staff_id != who.staff.id or asked.user_handle is None:
        raise rules.StaffPasskeyNotAdded
    handle = asked.user_handle
    try:
        made = responses.read_new(database.settings, response, asked.challenge)
        if not made.verified:
            raise Malformed
    except Malformed as wrong:
        log.info("passkey.refused", reason=type(wrong.__cause__).__name__)
        raise rules.StaffPasskeyNotAdded from wrong
    return await database.in_transaction(lambda session: _add(session, who, made, handle, name, now=now))


async def _add(
    session: DatabaseSession, who: SignedInStaff, made: responses.NewCredential, handle: bytes, name: str, *,
    now: datetime,
) -> str:  # fmt: skip
    """Store a passkey. The lock on the staff row makes the limit hold for several at once (PKY-07)."""
    staff = await _lock(session, who.staff.id)
    if staff is None or await actions.has_ended(session, who):
        raise rules.StaffPasskeyNotAdded
    known = await list_passkeys(session, staff)
    if known and rules.lacks_passkey(staff.role, who.session.method, leads_need=session.settings.leads_need_passkey):
        raise rules.LeadHasPasskey
    if len(known) >= passkey_rules.MOST:
        raise passkey_rules.TooManyPasskeys
    if known and known[0].user_handle != handle:
        # Two tabs began before there was a first one: a person has one handle.
        raise rules.StaffPasskeyNotAdded
    row = {
        **made._asdict(), "id": uuid.uuid4(), "staff_id": staff.id, "user_handle": handle,
        "label": ceremonies.read_label(name), "created_at": now,
    }  # fmt: skip
    del row["verified"]
    added = insert(StaffPasskey).values(**row).on_conflict_do_nothing().returning(StaffPasskey.id)
    passkey_id = await session.scalar(added)
    if passkey_id is None:
        raise passkey_rules.PasskeyExists
    data = {"staff": staff.name, "passkey_id": str(passkey_id)}
    await events.record_event(session, "staff.passkey_added", actor=who.actor, data=data, now=now)
    return await actions.begin_session(session, staff, "passkey", now=now)


async def sign_in_by_passkey(database: Database, ceremony: str, response: str, *, browser: str, now: datetime) -> str:
    """Sign in with the response of a passkey to a challenge of this browser; return the session's cookie. Whatever is
    wrong is refused alike.

    Raises:
        rules.StaffPasskeyRefused
    """
    asked = await database.in_transaction(
        lambda session: ceremonies.take_challenge(
            session, StaffPasskeyChallenge, "sign_in", ceremony, browser=browser, now=now
        )
    )
    try:
        if asked is None:
            raise Malformed
        claimed, challenge = responses.read_claimed(response), asked.challenge
        return await database.in_transaction(lambda session: _sign_in(session, claimed, response, challenge, now=now))
    except Malformed as wrong:
        log.info("passkey.refused", reason=type(wrong.__cause__).__name__)
        data = {"staff": None}
        await database.in_transaction(
            lambda s: events.record_event(s, "staff.sign_in_failed", actor="staff", data=data, now=now)
        )
        raise rules.StaffPasskeyRefused from wrong


async def _sign_in(
    session: DatabaseSession, claimed: responses.Claimed, response: str, challenge: bytes, *, now: datetime
) -> str:
    # The row of the person is locked before those of their passkeys, as where all of these end together.
    mine = StaffPasskey.credential_id == claimed.credential_id
    owner = await session.scalar(select(StaffPasskey.staff_id).where(mine))
    staff = None if owner is None else await _lock(session, owner)
    passkey = await session.scalar(select(StaffPasskey).where(mine).with_for_update())
    if staff is None or passkey is None:
        raise Malformed
    said = ceremonies.check_response(session.settings, passkey, claimed, response, challenge)
    if not said.verified:
        raise Malformed
    if ceremonies.went_back(passkey, said):
        data = {"staff": staff.name, "passkey_id": str(passkey.id)}
        name = "staff.passkey_counter_went_back"
        await events.record_event(session, name, actor=f"staff:{staff.name}", data=data, now=now)
    values = ceremonies.columns_after(passkey, said, now=now)
    await session.execute(update(StaffPasskey).where(StaffPasskey.id == passkey.id).values(values))
    return await actions.begin_session(session, staff, "passkey", now=now)


async def list_passkeys(session: DatabaseSession, staff: Staff) -> Sequence[StaffPasskey]:
    """Return the passkeys of a staff member, oldest first."""
    mine = select(StaffPasskey).where(StaffPasskey.staff_id == staff.id)
    return (await session.scalars(mine.order_by(StaffPasskey.created_at, StaffPasskey.id))).all()


async def list_staff_with_passkeys(session: DatabaseSession) -> Sequence[Row[Staff, int, datetime | None]]:
    """Return all staff who were not removed, by name, with the number of their passkeys and when one was last used."""
    counted = func.count(StaffPasskey.id), func.max(StaffPasskey.last_used_at)
    everybody = select(Staff, *counted).outerjoin(StaffPasskey, StaffPasskey.staff_id == Staff.id)
    mine = everybody.where(Staff.removed_at.is_(None)).group_by(Staff.id).order_by(Staff.name)
    return (await session.execute(mine)).all()


async def remove_own_passkey(
    session: DatabaseSession, who: SignedInStaff, passkey_id: uuid.UUID, *, now: datetime
) -> None:
    """Remove a passkey of one's own, unless it is the last one of a lead who needs one.

    Raises:
        passkeys.rules.UnknownPasskey, rules.LastStaffPasskey
    """
    await _lock(session, who.staff.id)
    needs = session.settings.leads_need_passkey and who.staff.role == "lead"
    if needs and len(await list_passkeys(session, who.staff)) == 1:
        raise rules.LastStaffPasskey
    await _remove(session, who.staff, passkey_id, actor=who.actor, now=now)


async def remove_passkey(session: DatabaseSession, name: str, passkey_id: uuid.UUID, *, now: datetime) -> None:
    """Remove a passkey of a staff member for the operator; the sessions of that person end.

    Raises:
        rules.UnknownStaff, passkeys.rules.UnknownPasskey
    """
    staff = await actions.find_staff(session, name)
    await _lock(session, staff.id)
    await _remove(session, staff, passkey_id, actor="operator", now=now)
    await actions.end_sessions_of(session, staff, now=now)


async def _remove(session: DatabaseSession, staff: Staff, passkey_id: uuid.UUID, *, actor: str, now: datetime) -> None:
    mine = delete(StaffPasskey).where(StaffPasskey.id == passkey_id, StaffPasskey.staff_id == staff.id)
    if await session.scalar(mine.returning(StaffPasskey.id)) is None:
        raise passkey_rules.UnknownPasskey
    data = {"staff": staff.name, "passkey_id": str(passkey_id)}
    await events.record_event(session, "staff.passkey_removed", actor=actor, data=data, now=now)


async def purge_challenges(session: DatabaseSession) -> None:
    """Delete challenges whose time is over."""
    await session.execute(delete(StaffPasskeyChallenge).where(StaffPasskeyChallenge.expires_at < func.now()))


async def _lock(session: DatabaseSession, staff_id: uuid.UUID) -> Staff | None:
    """Return a staff member who was not removed, locked."""
    mine = select(Staff).where(Staff.id == staff_id, Staff.removed_at.is_(None)).with_for_update()
    found: Staff | None = await session.scalar(mine)
    return found
