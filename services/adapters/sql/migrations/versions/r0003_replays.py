"""The memory of dead records that were sent again."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "replays",
        sa.Column("source_topic", sa.String(), nullable=False),
        sa.Column("source_partition", sa.Integer(), nullable=False),
        sa.Column("source_offset", sa.BigInteger(), nullable=False),
        sa.Column("target_partition", sa.Integer(), nullable=False),
        sa.Column("target_offset", sa.BigInteger(), nullable=False),
        sa.Column("claim_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("source_topic", "source_partition", "source_offset", name="pk_replays"),
    )


def downgrade() -> None:
    op.drop_table("replays")
