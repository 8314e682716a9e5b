"""Staff: add, enrol, renew, sign in, sign out, remove; and the search of what staff did."""

import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidTag
from sqlalchemy import Row, delete, func, insert, or_, select, update

from identity_service.account_access.tables import AccountAccess
from identity_service.console import rules
from identity_service.console.tables import Staff, StaffPasskey, StaffRecoveryCode, StaffSession
from identity_service.database.transactions import Database, DatabaseSession
from identity_service.events import actions as events
from identity_service.events.tables import Event
from identity_service.keys import encoding, hashing
from identity_service.keys.ring import KeyRing
from identity_service.passwords import actions as passwords
from identity_service.passwords import strength
from identity_service.passwords.hashing import Hasher
from identity_service.second_factors import totp
from identity_service.values import pasted

_NAME_SYMBOLS = "abcdefghijklmnopqrstuvwxyz0123456789.-"
_LABEL = "totp"
_ENROLMENT_LABEL = "enrolment seed"


class SignedInStaff(NamedTuple):
    """A staff member and their session."""

    staff: Staff
    session: StaffSession

    @property
    def actor(self) -> str:
        """Return the actor under which events record this person."""
        return f"staff:{self.staff.name}"


class PendingEnrolment(NamedTuple):
    """What the enrolment page shows: the staff member, the seed for the authenticator, and the seed sealed for this
    link, which the form sends back."""

    staff: Staff
    seed: str
    sealed_seed: str
    uri: str


async def add_staff(session: DatabaseSession, name: str, role: str, *, now: datetime) -> str:
    """Add a staff member; return the secret of the enrolment link, valid once and for a day.

    Raises:
        rules.MalformedStaffName, StaffNameTaken, RoleMissing: there is no such role.
    """
    plain = name.strip().lower()
    if not 2 <= len(plain) <= 60 or not set(plain) <= set(_NAME_SYMBOLS):
        raise rules.MalformedStaffName
    if role not in rules.ROLES:
        raise rules.RoleMissing(f"There is no role {role[:20]!r}; there are: {', '.join(rules.ROLES)}.")
    if await _by_name(session, plain) is not None:
        raise rules.StaffNameTaken
    secret = secrets.token_urlsafe(32)
    row = {
        "id": uuid.uuid4(), "name": plain, "role": role, "enrol_hash": hashing.hash_secret(secret),
        "enrol_until": now + rules.ENROLMENT, "added_at": now,
    }  # fmt: skip
    await session.execute(insert(Staff), row)
    await events.record_event(session, "staff.added", actor="operator", data={"staff": plain, "role": role}, now=now)
    return secret


async def remove_staff(session: DatabaseSession, name: str, *, now: datetime) -> None:
    """Remove a staff member; every session of theirs ends at once.

    Raises:
        rules.UnknownStaff
    """
    staff = await find_staff(session, name)
    await _end_credentials(session, staff, {"removed_at": now, "enrol_hash": None}, now=now)
    await events.record_event(session, "staff.removed", actor="operator", data={"staff": staff.name}, now=now)


async def renew_enrolment(session: DatabaseSession, by: SignedInStaff, name: str, *, now: datetime) -> str:
    """End everything that signs a staff member in, and return the secret of a new enrolment link, valid once and for a
    day (SFA-11). The old ways end at once, so that nobody takes a colleague's place unnoticed.

    Raises:
        rules.UnknownStaff, rules.OwnEnrolment, rules.RenewedByOperator
    """
    staff = await find_staff(session, name)
    if staff.id == by.staff.id:
        raise rules.OwnEnrolment
    if staff.role not in rules.RENEWED_BY_LEADS:
        raise rules.RenewedByOperator
    secret = secrets.token_urlsafe(32)
    values = {"enrol_hash": hashing.hash_secret(secret), "enrol_until": now + rules.ENROLMENT}
    await _end_credentials(session, staff, values, now=now)
    data = {"staff": staff.name}
    await events.record_event(session, "staff.enrolment_renewed", actor=by.actor, data=data, now=now)
    return secret


async def list_staff(session: DatabaseSession) -> Sequence[Staff]:
    """Return all staff who were not removed, by name."""
    return (await session.scalars(select(Staff).where(Staff.removed_at.is_(None)).order_by(Staff.name))).all()


async def find_enrolment(
    session: DatabaseSession, secret: str, sealed_seed: str | None = None, *, now: datetime
) -> PendingEnrolment:
    """Return the staff member of an enrolment link and a seed, without consuming the link.

    Each call draws a seed, unless it is given the one of an earlier call: whoever has seen the link, before or after
    its owner, has not seen the owner's seed.

    Raises:
        rules.EnrolmentLinkInvalid
        rules.EnrolmentPageInvalid: `sealed_seed` was not made for this link.
    """
    hashed = hashing.hash_secret(rules.read_enrolment_secret(secret))
    staff = await session.scalar(select(Staff).where(Staff.enrol_hash == hashed))
    if staff is None or staff.enrol_until is None or now >= staff.enrol_until or staff.removed_at is not None:
        raise rules.EnrolmentLinkInvalid
    label = f"{_ENROLMENT_LABEL} {hashed.hex()}"
    if sealed_seed is None:
        seed = totp.new_seed()
        sealed_seed = encoding.base64url_encode(session.keys.seal(label, seed.encode()))
    else:
        try:
            seed = session.keys.unseal(label, encoding.base64url_decode(sealed_seed)).decode()
        except (InvalidTag, ValueError) as refused:
            raise rules.EnrolmentPageInvalid from refused
    uri = totp.setup_uri(seed, name=staff.name, issuer=session.settings.mail_from_name)
    return PendingEnrolment(staff, seed, sealed_seed, uri)


async def enrol_staff(
    database: Database, hasher: Hasher, secret: str, sealed_seed: str, password: str, code: str, *, now: datetime
) -> list[str]:
    """Set password and authenticator with the enrolment link, once; return the recovery codes, shown this once.

    Raises:
        rules.EnrolmentLinkInvalid, EnrolmentPageInvalid, WrongStaffSignIn: the one-time code does not match
        WeakPassword, HashingBusy
    """
    found = await database.in_transaction(lambda session: find_enrolment(session, secret, sealed_seed, now=now))
    step = totp.find_step(found.seed, code, now=now)
    if step is None:
        raise rules.WrongStaffSignIn("The one-time code does not match; check the clock of the phone.")
    phc = await passwords.make_hash(hasher, database.settings, password, [found.staff.name])
    codes = [secrets.token_hex(8) for _ in range(rules.RECOVERY_CODES)]
    async with database.transaction() as session:
        mine = update(Staff).where(Staff.enrol_hash == found.staff.enrol_hash, Staff.enrol_until > now)
        values = {"phc": phc, "totp_sealed": session.keys.seal(_LABEL, found.seed.encode()), "totp_step": step}
        done = mine.values(**values, enrol_hash=None, enrol_until=None).returning(Staff.id)
        staff_id = await session.scalar(done)
        if staff_id is None:
            raise rules.EnrolmentLinkInvalid
        await session.execute(
            insert(StaffRecoveryCode), [{"code_hash": hashing.hash_secret(one), "staff_id": staff_id} for one in codes]
        )
        data = {"staff": found.staff.name}
        await events.record_event(session, "staff.enrolled", actor=f"staff:{found.staff.name}", data=data, now=now)
    return [f"{one[:8]}-{one[8:]}" for one in codes]


async def sign_in_staff(
    database: Database, hasher: Hasher, name: str, password: str, code: str, *, now: datetime
) -> str:
    """Sign in with name, password and a one-time or recovery code; return the session's cookie (PHN-11).

    Every older session of this person ends: a cookie that was left or stolen somewhere is not good beside a new one
    (ASVS 7.2.4).

    Raises:
        rules.WrongStaffSignIn: a credential is wrong. The error and the hashing do not depend on which one.
        rules.StaffCodeUsed: name and password are right, and the one-time code was used already.
        rules.LeadHasPasskey: all is right, but for this person only a passkey is enough (PKY-15).
    """
    staff = await database.in_transaction(lambda session: _by_name(session, name))
    matches = await hasher.verify(None if staff is None else staff.phc, strength.normalise(password))
    try:
        if staff is None or not matches:
            raise rules.WrongStaffSignIn
        return await database.in_transaction(lambda session: _begin(session, staff.id, code, now=now))
    except (rules.WrongStaffSignIn, rules.StaffCodeUsed, rules.LeadHasPasskey):
        # An unknown name may be a password typed into the wrong field, so the event does not contain it.
        data = {"staff": None if staff is None else staff.name}
        await database.in_transaction(
            lambda s: events.record_event(s, "staff.sign_in_failed", actor="staff", data=data, now=now)
        )
        raise


async def find_staff_session(
    session: DatabaseSession, cookie: str, *, by_script: bool = False, now: datetime
) -> SignedInStaff | None:
    """Return the staff member and session of a console cookie; requests by scripts do not extend the session."""
    mine = select(StaffSession, Staff).join(Staff, Staff.id == StaffSession.staff_id)
    row = (await session.execute(mine.where(StaffSession.cookie_hash == hashing.hash_secret(cookie)))).one_or_none()
    if row is None:
        return None
    own, staff = row
    over = rules.is_over(
        created_at=own.created_at, seen_at=own.seen_at, ended_at=own.ended_at, removed_at=staff.removed_at, now=now
    )
    if over:
        return None
    if not by_script and now - own.seen_at > timedelta(minutes=1):
        await session.execute(update(StaffSession).where(StaffSession.id == own.id).values(seen_at=now))
    return SignedInStaff(staff, own)


async def sign_out_staff(session: DatabaseSession, who: SignedInStaff, *, now: datetime) -> None:
    """End a session at the console and record it."""
    await session.execute(update(StaffSession).where(StaffSession.id == who.session.id).values(ended_at=now))
    await events.record_event(session, "staff.signed_out", actor=who.actor, data={"staff": who.staff.name}, now=now)


async def end_sessions_of(session: DatabaseSession, staff: Staff, *, now: datetime) -> None:
    """End every session of a staff member."""
    active = update(StaffSession).where(StaffSession.staff_id == staff.id, StaffSession.ended_at.is_(None))
    await session.execute(active.values(ended_at=now))


async def has_ended(session: DatabaseSession, who: SignedInStaff) -> bool:
    """Return whether a session has ended since its request began."""
    mine = select(StaffSession.id).where(StaffSession.id == who.session.id, StaffSession.ended_at.is_(None))
    return await session.scalar(mine) is None


async def end_staff_sessions(session: DatabaseSession, *, now: datetime) -> int:
    """End every session at the console; return how many. A restore would otherwise revive sessions that had ended."""
    active = update(StaffSession).where(StaffSession.ended_at.is_(None), StaffSession.created_at > now - rules.SESSION)
    return len((await session.scalars(active.values(ended_at=now).returning(StaffSession.id))).all())


async def reseal_second_factors(session: DatabaseSession, ring: KeyRing) -> None:
    """Seal every authenticator's seed with the newest key of `ring`, so that a revoked one opens none of them."""
    for staff in await session.scalars(select(Staff).where(Staff.totp_sealed.is_not(None))):
        sealed = ring.seal(_LABEL, ring.unseal(_LABEL, staff.totp_sealed or b""))
        await session.execute(update(Staff).where(Staff.id == staff.id).values(totp_sealed=sealed))


async def purge_staff_sessions(session: DatabaseSession) -> None:
    """Delete sessions that began more than a week ago; events record what was done in them."""
    await session.execute(delete(StaffSession).where(StaffSession.created_at < func.now() - timedelta(days=7)))


async def staff_actions(
    session: DatabaseSession, *, staff: str | None, user_id: str | None, name: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Return what staff did, newest first, filtered by person, customer and event name."""
    by_staff = or_(Event.actor.startswith("staff:"), Event.actor.contains("/"), Event.name.startswith("staff."))
    recorded = select(Event.occurred_at, Event.name, Event.user_id, Event.actor, Event.data, AccountAccess.reason)
    wanted = recorded.outerjoin(AccountAccess, AccountAccess.event_id == Event.id).where(by_staff)
    if staff:
        wanted = wanted.where(Event.actor == f"staff:{staff}")
    if user_id:
        wanted = wanted.where(Event.user_id == user_id)
    if name:
        wanted = wanted.where(Event.name == name)
    return (await session.execute(wanted.order_by(Event.id.desc()).limit(limit))).all()


async def _begin(session: DatabaseSession, staff_id: uuid.UUID, code: str, *, now: datetime) -> str:
    staff = await session.scalar(
        select(Staff).where(Staff.id == staff_id, Staff.removed_at.is_(None)).with_for_update()
    )
    method = None if staff is None else await _second_factor(session, staff, code, now=now)
    if staff is None or method is None:
        raise rules.WrongStaffSignIn
    lacks = rules.lacks_passkey(staff.role, method, leads_need=session.settings.leads_need_passkey)
    if lacks and await has_passkey(session, staff):
        raise rules.LeadHasPasskey
    return await begin_session(session, staff, method, now=now)


async def has_passkey(session: DatabaseSession, staff: Staff) -> bool:
    """Return whether a staff member has a passkey."""
    return await session.scalar(select(StaffPasskey.id).where(StaffPasskey.staff_id == staff.id).limit(1)) is not None


async def begin_session(session: DatabaseSession, staff: Staff, method: rules.Method, *, now: datetime) -> str:
    """End the older sessions of a staff member who has proven themselves by this method; return the new cookie."""
    await end_sessions_of(session, staff, now=now)
    cookie = secrets.token_urlsafe(32)
    row = {
        "id": uuid.uuid4(),
        "cookie_hash": hashing.hash_secret(cookie),
        "staff_id": staff.id,
        "method": method,
        "created_at": now,
        "seen_at": now,
    }
    await session.execute(insert(StaffSession), row)
    data = {"staff": staff.name, "role": staff.role, "by": method}
    await events.record_event(session, "staff.signed_in", actor=f"staff:{staff.name}", data=data, now=now)
    return cookie


async def _second_factor(session: DatabaseSession, staff: Staff, code: str, *, now: datetime) -> rules.Method | None:
    """Consume a one-time code's time step or a recovery code, and return which it was; None if it is neither. The lock
    on the staff row makes each valid only once.

    Raises:
        rules.StaffCodeUsed
    """
    if staff.totp_sealed is None:
        return None
    typed = pasted.read_digits(code)
    seed = session.keys.unseal(_LABEL, staff.totp_sealed).decode()
    step = totp.find_step(seed, code, now=now)
    if step is not None:
        if step <= staff.totp_step:
            raise rules.StaffCodeUsed
        await session.execute(update(Staff).where(Staff.id == staff.id).values(totp_step=step))
        return "code"
    mine = update(StaffRecoveryCode).where(
        StaffRecoveryCode.code_hash == hashing.hash_secret(typed),
        StaffRecoveryCode.staff_id == staff.id,
        StaffRecoveryCode.used_at.is_(None),
    )
    used = await session.scalar(mine.values(used_at=now).returning(StaffRecoveryCode.staff_id))
    return None if used is None else "recovery_code"


async def find_staff(session: DatabaseSession, name: str) -> Staff:
    """Return the staff member of this name.

    Raises:
        rules.UnknownStaff
    """
    staff = await _by_name(session, name)
    if staff is None:
        raise rules.UnknownStaff
    return staff


async def _end_credentials(session: DatabaseSession, staff: Staff, values: dict[str, Any], *, now: datetime) -> None:
    """End what signs a staff member in, and their sessions; `values` go into their row."""
    ended = {"phc": None, "totp_sealed": None, **values}
    await session.execute(update(Staff).where(Staff.id == staff.id).values(**ended))
    for table in (StaffRecoveryCode, StaffPasskey):
        await session.execute(delete(table).where(table.staff_id == staff.id))
    await end_sessions_of(session, staff, now=now)


async def _by_name(session: DatabaseSession, name: str) -> Staff | None:
    mine = select(Staff).where(
        func.lower(Staff.name) == pasted.trim_ends(name).lower()[:60], Staff.removed_at.is_(None)
    )
    found: Staff | None = await session.scalar(mine)
    return found
