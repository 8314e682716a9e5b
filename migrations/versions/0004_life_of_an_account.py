"""life of an account.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

KINDS_BEFORE = (
    "(kind, purpose) IN (('welcome', 'account'), ('reset', 'security'), ('no_account', 'security'), "
    "('signin_code', 'security'), ('no_account_signin', 'security'), ('address_check', 'account'), "
    "('address_taken', 'account'), ('consent_confirmation', 'privacy'), ('consent_granted', 'privacy'), "
    "('password_changed', 'security'), ('test', 'account'))"
)
KINDS = (
    "(kind, purpose) IN (('welcome', 'account'), ('reset', 'security'), ('no_account', 'security'), "
    "('signin_code', 'security'), ('no_account_signin', 'security'), ('address_check', 'account'), "
    "('address_taken', 'account'), ('consent_confirmation', 'privacy'), ('consent_granted', 'privacy'), "
    "('business_undo', 'account'), ('email_change', 'security'), ('address_changed', 'security'), "
    "('merge_confirmation', 'security'), ('change_confirmation', 'security'), ('stop_link', 'security'), "
    "('account_closed', 'account'), ('password_changed', 'security'), ('test', 'account'))"
)
PURPOSES = (
    "purpose IN ('reset', 'signin', 'consent', 'withdraw', 'business_undo', 'email_change', 'email_undo', "
    "'merge', 'change', 'stop', 'address')"
)

PURPOSES_BEFORE = "purpose IN ('reset', 'signin', 'consent', 'withdraw', 'address')"


def _check(table: str, name: str, condition: str) -> None:
    # NOT VALID first: the check of the rows that are there takes no lock that writers feel.
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def upgrade() -> None:
    op.create_table(
        "business_time",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("company_name", sa.String(), nullable=True),
        sa.Column("country", sa.String(), nullable=False),
        sa.Column("vat_number", sa.String(), nullable=True),
        sa.Column("registration_number", sa.String(), nullable=True),
        sa.Column("contact_person", sa.String(), nullable=True),
        sa.Column("billing_address", sa.String(), nullable=True),
        sa.Column("began_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("country ~ '^[A-Z]{2}$'", name=op.f("ck_business_time_country")),
        sa.CheckConstraint("ended_at IS NULL OR ended_at >= began_at", name=op.f("ck_business_time_ended")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_business_time_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_business_time")),
    )
    op.create_index(
        "ix_business_time_company_name",
        "business_time",
        [sa.literal_column("lower(company_name)")],
        unique=False,
    )
    op.create_index(op.f("ix_business_time_user_id"), "business_time", ["user_id"], unique=False)
    op.create_index(
        "uq_business_time_open", "business_time", ["user_id"], unique=True, postgresql_where=sa.text("ended_at IS NULL")
    )
    op.create_table(
        "email_change",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("new_email", sa.String(), nullable=True),
        sa.Column("new_ascii", sa.String(), nullable=True),
        sa.Column("new_key", sa.String(), nullable=True),
        sa.Column("old_email", sa.String(), nullable=True),
        sa.Column("old_ascii", sa.String(), nullable=True),
        sa.Column("old_key", sa.String(), nullable=True),
        sa.Column("proof_id", sa.Uuid(), nullable=True),
        sa.Column("undo_proof_id", sa.Uuid(), nullable=True),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("old_email IS NULL OR old_key IS NOT NULL", name=op.f("ck_email_change_old_whole")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_email_change_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_email_change")),
        sa.UniqueConstraint("proof_id", name=op.f("uq_email_change_proof_id")),
        sa.UniqueConstraint("undo_proof_id", name=op.f("uq_email_change_undo_proof_id")),
    )
    op.create_index(op.f("ix_email_change_user_id"), "email_change", ["user_id"], unique=False)
    op.create_table(
        "history_entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("occurred_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("amount", sa.Numeric(precision=20, scale=4), nullable=True),
        sa.Column("currency", sa.String(), nullable=True),
        sa.Column("link", sa.String(), nullable=True),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint("(amount IS NULL) = (currency IS NULL)", name=op.f("ck_history_entry_amount_has_currency")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_history_entry_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_history_entry")),
        sa.UniqueConstraint("source", "reference", name=op.f("uq_history_entry_source_reference")),
    )
    op.create_index(
        "ix_history_entry_user_id_occurred_at",
        "history_entry",
        ["user_id", sa.literal_column("occurred_at DESC"), sa.literal_column("id DESC")],
        unique=False,
    )
    op.create_table(
        "merge_request",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("survivor", sa.String(), nullable=False),
        sa.Column("duplicate", sa.String(), nullable=False),
        sa.Column("survivor_proof_id", sa.Uuid(), nullable=True),
        sa.Column("duplicate_proof_id", sa.Uuid(), nullable=True),
        sa.Column("survivor_said_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("duplicate_said_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("merged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("undone_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("survivor <> duplicate", name=op.f("ck_merge_request_two")),
        sa.ForeignKeyConstraint(["duplicate"], ["account.user_id"], name=op.f("fk_merge_request_duplicate")),
        sa.ForeignKeyConstraint(["survivor"], ["account.user_id"], name=op.f("fk_merge_request_survivor")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_merge_request")),
        sa.UniqueConstraint("duplicate_proof_id", name=op.f("uq_merge_request_duplicate_proof_id")),
        sa.UniqueConstraint("survivor_proof_id", name=op.f("uq_merge_request_survivor_proof_id")),
    )
    op.create_index(op.f("ix_merge_request_duplicate"), "merge_request", ["duplicate"], unique=False)
    op.create_index(op.f("ix_merge_request_survivor"), "merge_request", ["survivor"], unique=False)
    op.create_table(
        "pending_change",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("verb", sa.String(), nullable=False),
        sa.Column("details", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("proof_id", sa.Uuid(), nullable=True),
        sa.Column("asked_by", sa.String(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=True),
        sa.Column("approved_by", sa.String(), nullable=True),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("done_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("stopped_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "verb IN ('business', 'consumer', 'merge', 'close', 'erase', 'email')", name=op.f("ck_pending_change_verb")
        ),
        sa.CheckConstraint(
            "NOT (done_at IS NOT NULL AND stopped_at IS NOT NULL)", name=op.f("ck_pending_change_one_end")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_pending_change_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_pending_change")),
        sa.UniqueConstraint("proof_id", name=op.f("uq_pending_change_proof_id")),
    )
    op.create_index(
        "ix_pending_change_due",
        "pending_change",
        ["due_at"],
        unique=False,
        postgresql_where=sa.text("done_at IS NULL AND stopped_at IS NULL"),
    )
    op.create_index(op.f("ix_pending_change_user_id"), "pending_change", ["user_id"], unique=False)
    _check("message", "ck_message_kind", KINDS)
    _check("proof", "ck_proof_purpose", PURPOSES)


def downgrade() -> None:
    _check("proof", "ck_proof_purpose", PURPOSES_BEFORE)
    _check("message", "ck_message_kind", KINDS_BEFORE)
    op.drop_index(op.f("ix_pending_change_user_id"), table_name="pending_change")
    op.drop_index(
        "ix_pending_change_due",
        table_name="pending_change",
        postgresql_where=sa.text("done_at IS NULL AND stopped_at IS NULL"),
    )
    op.drop_table("pending_change")
    op.drop_index(op.f("ix_merge_request_survivor"), table_name="merge_request")
    op.drop_index(op.f("ix_merge_request_duplicate"), table_name="merge_request")
    op.drop_table("merge_request")
    op.drop_index("ix_history_entry_user_id_occurred_at", table_name="history_entry")
    op.drop_table("history_entry")
    op.drop_index(op.f("ix_email_change_user_id"), table_name="email_change")
    op.drop_table("email_change")
    op.drop_index("uq_business_time_open", table_name="business_time", postgresql_where=sa.text("ended_at IS NULL"))
    op.drop_index(op.f("ix_business_time_user_id"), table_name="business_time")
    op.drop_index("ix_business_time_company_name", table_name="business_time")
    op.drop_table("business_time")
