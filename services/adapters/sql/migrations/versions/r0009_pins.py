"""Which versions an operator keeps, and whose bundle was deleted."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("models", sa.Column("pin_actor", sa.String(), server_default="", nullable=False))
    op.add_column("models", sa.Column("pin_reason", sa.Text(), server_default="", nullable=False))
    op.add_column("models", sa.Column("deleted_time", sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("models") as models:
        for column in ("pin_actor", "pin_reason", "deleted_time"):
            models.drop_column(column)
