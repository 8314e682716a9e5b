"""Staff: add, enrol, sign in, end; and the search through what staff did."""

import hashlib
import secrets
import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import pyotp
from sqlalchemy import Row, delete, func, insert, or_, select, update

from identity_service import keyring
from identity_service.console import rules
from identity_service.console.tables import RecoveryCode, Staff, StaffSession
from identity_service.database import AsyncSession, Database, settings_of
from identity_service.events import actions as events
from identity_service.events.tables import Event, Look
from identity_service.passwords import actions as passwords
from identity_service.passwords import strength
from identity_service.passwords.hashing import Hasher

_NAME = "abcdefghijklmnopqrstuvwxyz0123456789.-"
_LABEL = "totp"


class SignedIn(NamedTuple):
    """Somebody of the staff, and the session."""

    staff: Staff
    session: StaffSession

    @property
    def actor(self) -> str:
        """Return the name under which events tell of this person."""
        return f"staff:{self.staff.name}"


class Enrolling(NamedTuple):
    """What the enrolment page shows: whose it is, and the seed for the authenticator."""

    staff: Staff
    seed: str
    uri: str


async def add(session: AsyncSession, name: str, role: str, *, now: datetime) -> str:
    """Add a person; return the secret of the enrolment link, good once and for a day.

    Raises:
        rules.MalformedStaffName, StaffNameTaken, RoleMissing: there is no such role.
    """
    plain = name.strip().lower()
    if not 2 <= len(plain) <= 60 or not set(plain) <= set(_NAME):
        raise rules.MalformedStaffName
    if role not in rules.ROLES:
        raise rules.RoleMissing(f"There is no role {role[:20]!r}; there are: {', '.join(rules.ROLES)}.")
    if await _by_name(session, plain) is not None:
        raise rules.StaffNameTaken
    secret = secrets.token_urlsafe(32)
    seed = keyring.of(session).seal(_LABEL, pyotp.random_base32().encode())
    row = {
        "id": uuid.uuid4(), "name": plain, "role": role, "totp_sealed": seed, "enrol_hash": _hashed(secret),
        "enrol_until": now + rules.ENROLMENT, "added_at": now,
    }  # fmt: skip
    await session.execute(insert(Staff), row)
    await events.record(session, "staff.added", actor="operator", data={"staff": plain, "role": role}, now=now)
    return secret


async def remove(session: AsyncSession, name: str, *, now: datetime) -> None:
    """Take a person off the staff; every session ends at once.

    Raises:
        rules.UnknownStaff
    """
    staff = await _by_name(session, name)
    if staff is None:
        raise rules.UnknownStaff
    gone = {"removed_at": now, "phc": None, "totp_sealed": None, "enrol_hash": None}
    await session.execute(update(Staff).where(Staff.id == staff.id).values(**gone))
    await session.execute(delete(RecoveryCode).where(RecoveryCode.staff_id == staff.id))
    await events.record(session, "staff.removed", actor="operator", data={"staff": staff.name}, now=now)


async def listing(session: AsyncSession) -> Sequence[Staff]:
    """Return everybody on the staff."""
    return (await session.scalars(select(Staff).where(Staff.removed_at.is_(None)).order_by(Staff.name))).all()


async def enrolling(session: AsyncSession, secret: str, *, now: datetime) -> Enrolling:
    """Return whose enrolment link this is; looking spends nothing.

    Raises:
        rules.EnrolmentDead
    """
    staff = await session.scalar(select(Staff).where(Staff.enrol_hash == _hashed(secret)))
    if staff is None or staff.enrol_until is None or now >= staff.enrol_until or staff.removed_at is not None:
        raise rules.EnrolmentDead
    seed = keyring.of(session).unseal(_LABEL, staff.totp_sealed or b"").decode()
    issuer = settings_of(session).mail_from_name
    return Enrolling(staff, seed, pyotp.TOTP(seed).provisioning_uri(name=staff.name, issuer_name=issuer))


async def enrol(
    database: Database, hasher: Hasher, secret: str, password: str, code: str, *, now: datetime
) -> list[str]:
    """Set password and authenticator with the enrolment link, once; return the recovery codes, shown this once.

    Raises:
        rules.EnrolmentDead, WrongStaffSignIn: the one-time code does not fit; WeakPassword, HashingBusy
    """
    found = await database.short(lambda session: enrolling(session, secret, now=now))
    step = _step(found.seed, code, after=0, now=now)
    if step is None:
        raise rules.WrongStaffSignIn("The one-time code does not fit; the clock of the phone may be wrong.")
    phc = await passwords.make(hasher, database.settings, password, [found.staff.name])
    codes = [secrets.token_hex(8) for _ in range(rules.RECOVERY_CODES)]
    async with database.transaction() as session:
        mine = update(Staff).where(Staff.enrol_hash == _hashed(secret), Staff.enrol_until > now)
        done = mine.values(phc=phc, totp_step=step, enrol_hash=None, enrol_until=None).returning(Staff.id)
        staff_id = await session.scalar(done)
        if staff_id is None:
            raise rules.EnrolmentDead
        await session.execute(
            insert(RecoveryCode), [{"code_hash": _hashed(one), "staff_id": staff_id} for one in codes]
        )
        data = {"staff": found.staff.name}
        await events.record(session, "staff.enrolled", actor=f"staff:{found.staff.name}", data=data, now=now)
    return [f"{one[:8]}-{one[8:]}" for one in codes]


async def sign_in(database: Database, hasher: Hasher, name: str, password: str, code: str, *, now: datetime) -> str:
    """Sign in with name, password and a one-time or recovery code; return the session's cookie (PHN-11).

    Raises:
        rules.WrongStaffSignIn: the same whatever does not fit, after the same work.
    """
    staff = await database.short(lambda session: _by_name(session, name))
    fits = await hasher.verify(None if staff is None else staff.phc, strength.normal(password))
    try:
        if staff is None or not fits:
            raise rules.WrongStaffSignIn
        return await database.short(lambda session: _begin(session, staff.id, code, now=now))
    except rules.WrongStaffSignIn:
        # A name that nobody has may be a password in the wrong field: it is told without the name.
        data = {"staff": None if staff is None else staff.name}
        await database.short(lambda s: events.record(s, "staff.sign_in_failed", actor="staff", data=data, now=now))
        raise


async def find(session: AsyncSession, cookie: str, *, by_script: bool = False, now: datetime) -> SignedIn | None:
    """Return who is behind a cookie of the console. What a page fetches by itself keeps nobody's session alive."""
    mine = select(StaffSession, Staff).join(Staff, Staff.id == StaffSession.staff_id)
    row = (await session.execute(mine.where(StaffSession.cookie_hash == _hashed(cookie)))).one_or_none()
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
    return SignedIn(staff, own)


async def sign_out(session: AsyncSession, who: SignedIn, *, now: datetime) -> None:
    """End this session."""
    await session.execute(update(StaffSession).where(StaffSession.id == who.session.id).values(ended_at=now))
    await events.record(session, "staff.signed_out", actor=who.actor, data={"staff": who.staff.name}, now=now)


async def end_all(session: AsyncSession, *, now: datetime) -> int:
    """End every session at the console; return how many. After a restore one that was ended would live again."""
    living = update(StaffSession).where(StaffSession.ended_at.is_(None), StaffSession.created_at > now - rules.SESSION)
    return len((await session.scalars(living.values(ended_at=now).returning(StaffSession.id))).all())


async def purge(session: AsyncSession) -> None:
    """Forget sessions that began more than a week ago; what was done in them stands in the events."""
    await session.execute(delete(StaffSession).where(StaffSession.created_at < func.now() - timedelta(days=7)))


async def deeds(
    session: AsyncSession, *, staff: str | None, user_id: str | None, name: str | None, limit: int
) -> Sequence[Row[Any]]:
    """Return what staff did, newest first: by person, by customer, by what it was."""
    by_staff = or_(Event.actor.startswith("staff:"), Event.actor.contains("/"), Event.name.startswith("staff."))
    told = select(Event.at, Event.name, Event.user_id, Event.actor, Event.data, Look.reason)
    wanted = told.outerjoin(Look, Look.event_id == Event.id).where(by_staff)
    if staff:
        wanted = wanted.where(Event.actor == f"staff:{staff}")
    if user_id:
        wanted = wanted.where(Event.user_id == user_id)
    if name:
        wanted = wanted.where(Event.name == name)
    return (await session.execute(wanted.order_by(Event.id.desc()).limit(limit))).all()


async def _begin(session: AsyncSession, staff_id: uuid.UUID, code: str, *, now: datetime) -> str:
    staff = await session.scalar(
        select(Staff).where(Staff.id == staff_id, Staff.removed_at.is_(None)).with_for_update()
    )
    if staff is None or staff.totp_sealed is None or not await _second_factor(session, staff, code, now=now):
        raise rules.WrongStaffSignIn
    cookie = secrets.token_urlsafe(32)
    row = {"id": uuid.uuid4(), "cookie_hash": _hashed(cookie), "staff_id": staff.id, "created_at": now, "seen_at": now}
    await session.execute(insert(StaffSession), row)
    data = {"staff": staff.name, "role": staff.role}
    await events.record(session, "staff.signed_in", actor=f"staff:{staff.name}", data=data, now=now)
    return cookie


async def _second_factor(session: AsyncSession, staff: Staff, code: str, *, now: datetime) -> bool:
    """Use up a one-time code's time step, or a recovery code; each is good once, whoever comes at the same time."""
    typed = "".join(symbol for symbol in code if symbol.isalnum()).lower()
    seed = keyring.of(session).unseal(_LABEL, staff.totp_sealed or b"").decode()
    step = _step(seed, typed, after=staff.totp_step, now=now)
    if step is not None:
        await session.execute(update(Staff).where(Staff.id == staff.id).values(totp_step=step))
        return True
    mine = update(RecoveryCode).where(
        RecoveryCode.code_hash == _hashed(typed), RecoveryCode.staff_id == staff.id, RecoveryCode.used_at.is_(None)
    )
    return await session.scalar(mine.values(used_at=now).returning(RecoveryCode.staff_id)) is not None


def _step(seed: str, code: str, *, after: int, now: datetime) -> int | None:
    """Return the time step that a one-time code belongs to, if it is newer than the last one used."""
    totp = pyotp.TOTP(seed)
    this = int(now.timestamp()) // totp.interval
    for step in range(this - rules.TOTP_WINDOW, this + rules.TOTP_WINDOW + 1):
        # Bytes: people type digits of other scripts as well, and the comparison of texts knows ASCII alone.
        if step > after and secrets.compare_digest(totp.at(step * totp.interval).encode(), code.encode()):
            return step
    return None


async def _by_name(session: AsyncSession, name: str) -> Staff | None:
    mine = select(Staff).where(func.lower(Staff.name) == name.strip().lower()[:60], Staff.removed_at.is_(None))
    found: Staff | None = await session.scalar(mine)
    return found


def _hashed(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
