"""permission check: its User IDs are random, so nothing is gained by trying to compress them.

Revision ID: 0011
Revises: 0010
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE permission_check ALTER COLUMN user_ids SET STORAGE EXTERNAL")


def downgrade() -> None:
    op.execute("ALTER TABLE permission_check ALTER COLUMN user_ids SET STORAGE EXTENDED")
