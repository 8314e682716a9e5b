"""Desk: why somebody looked stands beside the event, where erasing reaches it; and nobody approves his own request.

Revision ID: 0009
Revises: 0008
"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

SECOND_PERSON = "ck_pending_change_second_person"


def upgrade() -> None:
    op.create_table(
        "look",
        sa.Column("event_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("contact", sa.String(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["event_id"], ["event.id"], name=op.f("fk_look_event_id")),
        sa.PrimaryKeyConstraint("event_id", name=op.f("pk_look")),
    )
    op.create_index("ix_look_actor_at", "look", ["actor", "at"], unique=False)
    op.create_index("ix_look_contact_actor", "look", ["contact", "actor"], unique=False)
    op.create_index("ix_look_user_id", "look", ["user_id"], unique=False)
    # NOT VALID first: the check of the rows that are there takes no lock that writers feel.
    op.execute(f"ALTER TABLE pending_change ADD CONSTRAINT {SECOND_PERSON} CHECK (approved_by <> asked_by) NOT VALID")
    op.execute(f"ALTER TABLE pending_change VALIDATE CONSTRAINT {SECOND_PERSON}")


def downgrade() -> None:
    op.drop_constraint(SECOND_PERSON, "pending_change")
    op.drop_index("ix_look_user_id", table_name="look")
    op.drop_index("ix_look_contact_actor", table_name="look")
    op.drop_index("ix_look_actor_at", table_name="look")
    op.drop_table("look")
