"""consents, audit.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

APPEND_ONLY = ("checkpoint", "consent_wording", "consent_entry", "permission_check")
KINDS_BEFORE = (
    "kind IN ('welcome', 'reset', 'no_account', 'signin_code', 'no_account_signin', 'address_check', "
    "'address_taken', 'password_changed', 'test')"
)
KINDS = (
    "(kind, purpose) IN (('welcome', 'account'), ('reset', 'security'), ('no_account', 'security'), "
    "('signin_code', 'security'), ('no_account_signin', 'security'), ('address_check', 'account'), "
    "('address_taken', 'account'), ('consent_confirmation', 'privacy'), ('consent_granted', 'privacy'), "
    "('password_changed', 'security'), ('test', 'account'))"
)
PURPOSES_BEFORE = "purpose IN ('reset', 'signin', 'address')"
PURPOSES = "purpose IN ('reset', 'signin', 'consent', 'withdraw', 'address')"

# A letter that stood there before letters named their event gets the event that told of it, or one that says so now.
NAME_EVENTS = """
WITH told AS (
    SELECT DISTINCT ON (data->>'message_id') id, data->>'message_id' AS message_id
    FROM event WHERE name IN ('mail.queued', 'mail.suppressed') ORDER BY data->>'message_id', id
)
UPDATE message m SET event_id = told.id FROM told WHERE told.message_id = m.id::text
"""
MAKE_EVENTS = """
WITH made AS (
    INSERT INTO event (name, user_id, actor, at, data)
    SELECT 'mail.queued', user_id, 'worker', created_at,
           jsonb_build_object('message_id', id::text, 'kind', kind, 'cause', 'account.registered')
    FROM message WHERE event_id IS NULL RETURNING id, data->>'message_id' AS message_id
)
UPDATE message m SET event_id = made.id FROM made WHERE made.message_id = m.id::text
"""


def _check(table: str, name: str, condition: str) -> None:
    # NOT VALID first: the check of the rows that are there takes no lock that writers feel.
    op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID")
    op.execute(f"ALTER TABLE {table} VALIDATE CONSTRAINT {name}")


def upgrade() -> None:
    op.create_table(
        "checkpoint",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("seal", sa.LargeBinary(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("statement", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_checkpoint")),
        info={"append_only": True},
    )
    op.create_table(
        "consent_wording",
        sa.Column("id", sa.String(), nullable=False),
        sa.Column("language", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("text_hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", "language", name=op.f("pk_consent_wording")),
        info={"append_only": True},
    )
    op.create_table(
        "permission_check",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("client_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("user_ids", postgresql.ARRAY(sa.TEXT()), nullable=False),
        sa.Column("allowed", postgresql.ARRAY(sa.BOOLEAN()), nullable=False),
        sa.Column("with_addresses", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_permission_check")),
        info={"append_only": True},
    )
    op.create_index(op.f("ix_permission_check_at"), "permission_check", ["at"], unique=False)
    op.create_index(
        "ix_permission_check_user_ids", "permission_check", ["user_ids"], unique=False, postgresql_using="gin"
    )
    op.create_table(
        "consent_entry",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("wording_id", sa.String(), nullable=True),
        sa.Column("language", sa.String(), nullable=True),
        sa.Column("channel", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proof_id", sa.Uuid(), nullable=True),
        sa.Column("previous_id", sa.BigInteger(), nullable=True),
        sa.Column("evidence_hash", sa.LargeBinary(), nullable=True),
        sa.CheckConstraint(
            "channel IN ('page', 'letter', 'app', 'phone', 'paper', 'desk', 'import', 'merge')",
            name=op.f("ck_consent_entry_channel"),
        ),
        sa.CheckConstraint("decision = 'withdrawn' OR wording_id IS NOT NULL", name=op.f("ck_consent_entry_wording")),
        sa.CheckConstraint("decision IN ('proposed', 'granted', 'withdrawn')", name=op.f("ck_consent_entry_decision")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_consent_entry_user_id")),
        sa.ForeignKeyConstraint(
            ["wording_id", "language"],
            ["consent_wording.id", "consent_wording.language"],
            name=op.f("fk_consent_entry_wording_id_language"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_consent_entry")),
        sa.UniqueConstraint("proof_id", name=op.f("uq_consent_entry_proof_id")),
        info={"append_only": True},
    )
    op.create_index("ix_consent_entry_user_id_purpose", "consent_entry", ["user_id", "purpose", "id"], unique=False)
    op.create_table(
        "consent_state",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("decision", sa.String(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("decision IN ('granted', 'withdrawn')", name=op.f("ck_consent_state_decision")),
        sa.ForeignKeyConstraint(["user_id"], ["account.user_id"], name=op.f("fk_consent_state_user_id")),
        sa.PrimaryKeyConstraint("user_id", "purpose", name=op.f("pk_consent_state")),
    )
    op.create_table(
        "consent_evidence",
        sa.Column("entry_id", sa.BigInteger(), nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["entry_id"], ["consent_entry.id"], name=op.f("fk_consent_evidence_entry_id")),
        sa.PrimaryKeyConstraint("entry_id", name=op.f("pk_consent_evidence")),
    )
    op.create_index(op.f("ix_consent_evidence_user_id"), "consent_evidence", ["user_id"], unique=False)
    op.add_column("account", sa.Column("merged_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("message", sa.Column("event_id", sa.BigInteger(), nullable=True))
    op.execute(NAME_EVENTS)
    op.execute(MAKE_EVENTS)
    op.alter_column("message", "event_id", nullable=False)
    op.create_unique_constraint(op.f("uq_message_event_id"), "message", ["event_id"])
    op.create_foreign_key(op.f("fk_message_event_id"), "message", "event", ["event_id"], ["id"])
    _check("message", "ck_message_kind", KINDS)
    _check("proof", "ck_proof_purpose", PURPOSES)
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION refuse_change()"
        )
        op.execute(
            f"CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )


def downgrade() -> None:
    _check("proof", "ck_proof_purpose", PURPOSES_BEFORE)
    _check("message", "ck_message_kind", KINDS_BEFORE)
    op.drop_constraint(op.f("fk_message_event_id"), "message", type_="foreignkey")
    op.drop_constraint(op.f("uq_message_event_id"), "message", type_="unique")
    op.drop_column("message", "event_id")
    op.drop_column("account", "merged_at")
    op.drop_index(op.f("ix_consent_evidence_user_id"), table_name="consent_evidence")
    op.drop_table("consent_evidence")
    op.drop_table("consent_state")
    op.drop_index("ix_consent_entry_user_id_purpose", table_name="consent_entry")
    op.drop_table("consent_entry")
    op.drop_index("ix_permission_check_user_ids", table_name="permission_check", postgresql_using="gin")
    op.drop_index(op.f("ix_permission_check_at"), table_name="permission_check")
    op.drop_table("permission_check")
    op.drop_table("consent_wording")
    op.drop_table("checkpoint")
