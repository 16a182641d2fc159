"""How a version came about: whose work it is, what it started from, its settings and what it cost."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("models", sa.Column("origin", sa.String(), server_default="", nullable=False))
    op.add_column("models", sa.Column("parent", sa.String(), nullable=True))
    op.add_column("models", sa.Column("provenance", sa.JSON(), server_default="{}", nullable=False))
    op.create_index("ix_models_origin", "models", ["origin"])


def downgrade() -> None:
    op.drop_index("ix_models_origin", "models")
    with op.batch_alter_table("models") as models:
        for column in ("origin", "parent", "provenance"):
            models.drop_column(column)
