"""passwords, resets, sign in.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BEFORE = "kind IN ('welcome', 'test')"
KINDS = (
    "kind IN ('welcome', 'reset', 'no_account', 'signin_code', 'no_account_signin', 'address_check', "
    "'address_taken', 'password_changed', 'test')"
)


def _message_kinds(condition: str) -> None:
    # NOT VALID first: the check of the rows that are there takes no lock that writers feel.
    op.drop_constraint(op.f("ck_message_kind"), "message")
    op.execute(f"ALTER TABLE message ADD CONSTRAINT ck_message_kind CHECK ({condition}) NOT VALID")
    op.execute("ALTER TABLE message VALIDATE CONSTRAINT ck_message_kind")


def upgrade() -> None:
    _message_kinds(KINDS)
    op.create_table(
        "password_try",
        sa.Column("subject", sa.LargeBinary(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("blocked_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("subject", name=op.f("pk_password_try")),
    )
    op.create_index(op.f("ix_password_try_updated_at"), "password_try", ["updated_at"], unique=False)
    op.create_table(
        "password",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("phc", sa.String(), nullable=False),
        sa.Column("set_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("dead_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("phc LIKE '$%'", name=op.f("ck_password_phc")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_password_user_id")),
        sa.PrimaryKeyConstraint("user_id", name=op.f("pk_password")),
    )
    op.create_table(
        "proof",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("handle", sa.String(), nullable=False),
        sa.Column("reference", sa.String(), nullable=False),
        sa.Column("nonce", sa.LargeBinary(), nullable=False),
        sa.Column("key_id", sa.String(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=True),
        sa.Column("to_hash", sa.LargeBinary(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("code_tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint("purpose IN ('reset', 'signin', 'address')", name=op.f("ck_proof_purpose")),
        sa.CheckConstraint("length(nonce) = 16", name=op.f("ck_proof_nonce")),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name=op.f("fk_proof_message_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_proof")),
        sa.UniqueConstraint("handle", name=op.f("uq_proof_handle")),
        sa.UniqueConstraint("reference", name=op.f("uq_proof_reference")),
    )
    op.create_index(op.f("ix_proof_message_id"), "proof", ["message_id"], unique=False)
    op.create_index("ix_proof_to_hash_asked_at", "proof", ["to_hash", sa.literal_column("asked_at DESC")], unique=False)
    op.create_index(op.f("ix_proof_user_id"), "proof", ["user_id"], unique=False)
    op.create_table(
        "sign_in_session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("cookie_hash", sa.LargeBinary(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("way", sa.String(), nullable=False),
        sa.Column("browser", sa.String(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("way IN ('password', 'mail')", name=op.f("ck_sign_in_session_way")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_sign_in_session_user_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sign_in_session")),
        sa.UniqueConstraint("cookie_hash", name=op.f("uq_sign_in_session_cookie_hash")),
    )
    op.create_index(op.f("ix_sign_in_session_until"), "sign_in_session", ["until"], unique=False)
    op.create_index(op.f("ix_sign_in_session_user_id"), "sign_in_session", ["user_id"], unique=False)
    op.create_table(
        "tracking",
        sa.Column("handle_hash", sa.LargeBinary(), nullable=False),
        sa.Column("proof_id", sa.Uuid(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("until", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["proof_id"], ["proof.id"], name=op.f("fk_tracking_proof_id")),
        sa.PrimaryKeyConstraint("handle_hash", name=op.f("pk_tracking")),
    )
    op.create_index(op.f("ix_tracking_proof_id"), "tracking", ["proof_id"], unique=False)
    op.create_index(op.f("ix_tracking_until"), "tracking", ["until"], unique=False)
    op.create_index(op.f("ix_message_resend_of"), "message", ["resend_of"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_message_resend_of"), table_name="message")
    op.drop_index(op.f("ix_tracking_until"), table_name="tracking")
    op.drop_index(op.f("ix_tracking_proof_id"), table_name="tracking")
    op.drop_table("tracking")
    op.drop_index(op.f("ix_sign_in_session_user_id"), table_name="sign_in_session")
    op.drop_index(op.f("ix_sign_in_session_until"), table_name="sign_in_session")
    op.drop_table("sign_in_session")
    op.drop_index(op.f("ix_proof_user_id"), table_name="proof")
    op.drop_index("ix_proof_to_hash_asked_at", table_name="proof")
    op.drop_index(op.f("ix_proof_message_id"), table_name="proof")
    op.drop_table("proof")
    op.drop_table("password")
    op.drop_index(op.f("ix_password_try_updated_at"), table_name="password_try")
    op.drop_table("password_try")
    _message_kinds(BEFORE)
