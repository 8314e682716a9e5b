"""Import jobs, their staged rows, and the lines that did not become accounts."""

import uuid
from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from identity_service.database.privacy import FACT, IDENTIFIER, PERSONAL, TablePrivacy
from identity_service.database.types import Base, UtcDateTime, one_of


class ImportJob(Base):
    """The import of one file. The resume point `done_line` and the counts commit with the accounts of each batch;
    `begun_at` is when it was begun or continued last."""

    __tablename__ = "import_job"
    privacy = TablePrivacy()

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True, info=IDENTIFIER)
    name: Mapped[str] = mapped_column(unique=True, info=IDENTIFIER)
    done_line: Mapped[int] = mapped_column(info=FACT)
    lines: Mapped[int] = mapped_column(server_default=text("0"), info=FACT)
    added: Mapped[int] = mapped_column(server_default=text("0"), info=FACT)
    begun_at: Mapped[datetime] = mapped_column(UtcDateTime, server_default=text("now()"), info=FACT)


class ImportRow(Base):
    """One staged line of a file; deleted when its job is done, or 30 days after a job that was broken off."""

    __tablename__ = "import_row"
    privacy = TablePrivacy()

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("import_job.id"), primary_key=True, info=IDENTIFIER)
    line: Mapped[int] = mapped_column(primary_key=True, info=IDENTIFIER)
    fields: Mapped[dict[str, str]] = mapped_column(JSONB, info=PERSONAL)


class ImportIssue(Base):
    """What is told of a line, without the line's content. It is kept, so that importing the same file again gives the
    same report."""

    __tablename__ = "import_issue"
    privacy = TablePrivacy()
    __table_args__ = (CheckConstraint(one_of("kind", ("duplicates", "extended", "left_out", "refused")), name="kind"),)

    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("import_job.id"), primary_key=True, info=IDENTIFIER)
    line: Mapped[int] = mapped_column(primary_key=True, info=IDENTIFIER)
    kind: Mapped[str] = mapped_column(primary_key=True, info=FACT)
    reason: Mapped[str] = mapped_column(info=FACT)
