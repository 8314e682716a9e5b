"""contacts, caller checks, staff.

Revision ID: 0006
Revises: 0005
"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

KINDS_BEFORE = (
    "(kind, purpose) IN (('welcome', 'account'), ('reset', 'security'), ('no_account', 'security'), "
    "('signin_code', 'security'), ('no_account_signin', 'security'), ('address_check', 'account'), "
    "('address_taken', 'account'), ('consent_confirmation', 'privacy'), ('consent_granted', 'privacy'), "
    "('business_undo', 'account'), ('email_change', 'security'), ('address_changed', 'security'), "
    "('merge_confirmation', 'security'), ('change_confirmation', 'security'), ('stop_link', 'security'), "
    "('account_closed', 'account'), ('password_changed', 'security'), ('test', 'account'))"
)
KINDS = (
    "(kind, purpose) IN (('welcome', 'account'), ('reset', 'security'), ('no_account', 'security'), "
    "('signin_code', 'security'), ('no_account_signin', 'security'), ('address_check', 'account'), "
    "('address_taken', 'account'), ('consent_confirmation', 'privacy'), ('consent_granted', 'privacy'), "
    "('business_undo', 'account'), ('email_change', 'security'), ('address_changed', 'security'), "
    "('merge_confirmation', 'security'), ('change_confirmation', 'security'), ('stop_link', 'security'), "
    "('account_closed', 'account'), ('caller_check', 'security'), ('password_changed', 'security'), "
    "('test', 'account'))"
)
PURPOSES = (
    "purpose IN ('reset', 'signin', 'consent', 'withdraw', 'business_undo', 'email_change', 'email_undo', "
    "'merge', 'change', 'stop', 'caller_check', 'address')"
)

PURPOSES_BEFORE = (
    "purpose IN ('reset', 'signin', 'consent', 'withdraw', 'business_undo', 'email_change', 'email_undo', "
    "'merge', 'change', 'stop', 'address')"
)


def _check(table: str, name: str, condition: str) -> None:
    # NOT VALID first: the check of the rows that are there takes no lock that writers feel.
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def upgrade() -> None:
    op.create_table(
        "staff",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.Column("phc", sa.String(), nullable=True),
        sa.Column("totp_sealed", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("enrol_hash", sa.LargeBinary(), nullable=True),
        sa.Column("enrol_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("added_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("removed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("role IN ('clerk', 'lead', 'auditor')", name=op.f("ck_staff_role")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff")),
        sa.UniqueConstraint("enrol_hash", name=op.f("uq_staff_enrol_hash")),
    )
    op.create_index(
        "uq_staff_name",
        "staff",
        [sa.literal_column("lower(name)")],
        unique=True,
        postgresql_where=sa.text("removed_at IS NULL"),
    )
    op.create_table(
        "contact",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("desk", sa.String(), nullable=False),
        sa.Column("opened_by", sa.String(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("waiting_since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("waited_s", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("hand_overs", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_contact_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact")),
        sa.UniqueConstraint("number", name=op.f("uq_contact_number")),
    )
    op.create_index(
        "ix_contact_open", "contact", ["desk", "opened_at"], unique=False, postgresql_where=sa.text("closed_at IS NULL")
    )
    op.create_index(
        "ix_contact_user_id_opened_at", "contact", ["user_id", sa.literal_column("opened_at DESC")], unique=False
    )
    op.create_table(
        "recovery_code",
        sa.Column("code_hash", sa.LargeBinary(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_recovery_code_staff_id")),
        sa.PrimaryKeyConstraint("code_hash", name=op.f("pk_recovery_code")),
    )
    op.create_index(op.f("ix_recovery_code_staff_id"), "recovery_code", ["staff_id"], unique=False)
    op.create_table(
        "staff_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cookie_hash", sa.LargeBinary(), nullable=False),
        sa.Column("staff_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["staff_id"], ["staff.id"], name=op.f("fk_staff_session_staff_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_staff_session")),
        sa.UniqueConstraint("cookie_hash", name=op.f("uq_staff_session_cookie_hash")),
    )
    op.create_index(op.f("ix_staff_session_staff_id"), "staff_session", ["staff_id"], unique=False)
    op.create_table(
        "contact_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("by", sa.String(), nullable=False),
        sa.Column("desk", sa.String(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("words", sa.String(), nullable=True),
        sa.CheckConstraint(
            "what IN ('opened', 'note', 'handed_over', 'picked_up', 'verified', 'not_verified', 'did', 'closed')",
            name=op.f("ck_contact_entry_what"),
        ),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_contact_entry_contact_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_contact_entry")),
    )
    op.create_index("ix_contact_entry_contact_id_id", "contact_entry", ["contact_id", "id"], unique=False)
    op.create_table(
        "caller_check",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("contact_id", sa.Uuid(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("clerk", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("proof_id", sa.Uuid(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("matched", sa.Boolean(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "purpose IN ('identify', 'reset', 'business', 'receipt')", name=op.f("ck_caller_check_purpose")
        ),
        sa.CheckConstraint("(answered_at IS NULL) = (matched IS NULL)", name=op.f("ck_caller_check_answered")),
        sa.ForeignKeyConstraint(["contact_id"], ["contact.id"], name=op.f("fk_caller_check_contact_id")),
        sa.ForeignKeyConstraint(["proof_id"], ["proof.id"], name=op.f("fk_caller_check_proof_id")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_caller_check_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_caller_check")),
        sa.UniqueConstraint("proof_id", name=op.f("uq_caller_check_proof_id")),
    )
    op.create_index(op.f("ix_caller_check_contact_id"), "caller_check", ["contact_id"], unique=False)
    op.create_index(op.f("ix_caller_check_user_id"), "caller_check", ["user_id"], unique=False)
    _check("message", "ck_message_kind", KINDS)
    _check("proof", "ck_proof_purpose", PURPOSES)


def downgrade() -> None:
    _check("proof", "ck_proof_purpose", PURPOSES_BEFORE)
    _check("message", "ck_message_kind", KINDS_BEFORE)
    op.drop_index(op.f("ix_caller_check_user_id"), table_name="caller_check")
    op.drop_index(op.f("ix_caller_check_contact_id"), table_name="caller_check")
    op.drop_table("caller_check")
    op.drop_index("ix_contact_entry_contact_id_id", table_name="contact_entry")
    op.drop_table("contact_entry")
    op.drop_index(op.f("ix_staff_session_staff_id"), table_name="staff_session")
    op.drop_table("staff_session")
    op.drop_index(op.f("ix_recovery_code_staff_id"), table_name="recovery_code")
    op.drop_table("recovery_code")
    op.drop_index("ix_contact_user_id_opened_at", table_name="contact")
    op.drop_index("ix_contact_open", table_name="contact", postgresql_where=sa.text("closed_at IS NULL"))
    op.drop_table("contact")
    op.drop_index("uq_staff_name", table_name="staff", postgresql_where=sa.text("removed_at IS NULL"))
    op.drop_table("staff")
