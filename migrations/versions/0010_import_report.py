"""import report: what became of every line stands beside the mark, and commits with it.

Revision ID: 0010
Revises: 0009
"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("lines", "added"):
        op.add_column("import_job", sa.Column(name, sa.Integer(), server_default=sa.text("0"), nullable=False))
    op.create_table(
        "import_told",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("what", sa.String(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.CheckConstraint("what IN ('duplicates', 'refused')", name=op.f("ck_import_told_what")),
        sa.ForeignKeyConstraint(["job_id"], ["import_job.id"], name=op.f("fk_import_told_job_id")),
        sa.PrimaryKeyConstraint("job_id", "line", name=op.f("pk_import_told")),
    )


def downgrade() -> None:
    op.drop_table("import_told")
    for name in ("added", "lines"):
        op.drop_column("import_job", name)
