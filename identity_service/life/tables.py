"""Changes that wait for somebody: a mailbox, two of them, or time."""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database import Base, UtcDateTime, one_of
from identity_service.life import rules


class PendingChange(Base):
    """A guarded change that a desk asked for. It happens when the mailbox confirms, or, where the mailbox is lost, when
    a second person has approved and `due_at` has passed with nobody stopping it."""

    __tablename__ = "pending_change"
    __table_args__ = (
        CheckConstraint(one_of("verb", rules.GUARDED), name="verb"),
        CheckConstraint("approved_by <> asked_by", name="second_person"),
        CheckConstraint("NOT (done_at IS NOT NULL AND stopped_at IS NOT NULL)", name="one_end"),
        Index("ix_pending_change_due", "due_at", postgresql_where=text("done_at IS NULL AND stopped_at IS NULL")),
    )

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True)
    verb: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(JSONB)
    proof_id: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    asked_by: Mapped[str]
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    reason: Mapped[str | None]
    approved_by: Mapped[str | None]
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    done_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    stopped_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class EmailChange(Base):
    """Another address for an account: asked, confirmed by the new mailbox, and for seven days undone by the old one."""

    __tablename__ = "email_change"
    __table_args__ = (CheckConstraint("old_email IS NULL OR old_key IS NOT NULL", name="old_whole"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True)
    new_email: Mapped[str | None]
    new_ascii: Mapped[str | None]
    new_key: Mapped[str | None]
    old_email: Mapped[str | None]
    old_ascii: Mapped[str | None]
    old_key: Mapped[str | None]
    proof_id: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    undo_proof_id: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    asked_by: Mapped[str]
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    changed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class ImportJob(Base):
    """One file that is taken over; the mark `done_line` and the counts commit with the accounts of its lines."""

    __tablename__ = "import_job"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    done_line: Mapped[int]
    lines: Mapped[int] = mapped_column(server_default=text("0"))
    added: Mapped[int] = mapped_column(server_default=text("0"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=text("now()"))


class ImportRow(Base):
    """A staged line of a file, until its job is done."""

    __tablename__ = "import_row"

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("import_job.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    fields: Mapped[dict[str, str]] = mapped_column(JSONB)


class ImportTold(Base):
    """A line that did not become an account, and why; never what stood in it. It stays, so that a file that is
    imported again gets the same report."""

    __tablename__ = "import_told"
    __table_args__ = (CheckConstraint(one_of("what", ("duplicates", "refused")), name="what"),)

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("import_job.id"), primary_key=True)
    line: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str]
    why: Mapped[str]


class MergeRequest(Base):
    """Two accounts that are to become one; each mailbox says yes for its own. A side without a mailbox needs none."""

    __tablename__ = "merge_request"
    __table_args__ = (CheckConstraint("survivor <> duplicate", name="two"),)

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    survivor: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True)
    duplicate: Mapped[str] = mapped_column(ForeignKey("account.user_id"), index=True)
    survivor_proof_id: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    duplicate_proof_id: Mapped[uuid.UUID | None] = mapped_column(unique=True)
    survivor_said_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    duplicate_said_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    asked_by: Mapped[str]
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime)
    merged_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    undone_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
