"""Studies of better settings, and their trials."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "tuning_studies",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("data_version", sa.BigInteger(), nullable=False),
        sa.Column("fit_end_us", sa.BigInteger(), nullable=False),
        sa.Column("cut_us", sa.BigInteger(), nullable=False),
        sa.Column("fixed", sa.JSON(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_tuning_studies"),
    )
    op.create_table(
        "tuning_trials",
        sa.Column("study", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("settings", sa.JSON(), nullable=False),
        sa.Column("worker", sa.String(), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("limit_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("ndcg_at_10", sa.Float(), nullable=True),
        sa.Column("epoch_ndcgs", sa.JSON(), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("study", "number", name="pk_tuning_trials"),
        sa.ForeignKeyConstraint(["study"], ["tuning_studies.name"], name="fk_tuning_trials_study"),
    )


def downgrade() -> None:
    for table in ("tuning_trials", "tuning_studies"):
        op.drop_table(table)
