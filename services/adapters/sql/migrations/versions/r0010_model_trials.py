"""Canary and shadow: the changes of both, and what workers say of them."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "model_trials",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("share", sa.Float(), nullable=False),
        sa.Column("first", sa.Integer(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("override", sa.Boolean(), nullable=False),
        sa.Column("change_time", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["version"], ["models.version"], name="fk_model_trials_version"),
        sa.PrimaryKeyConstraint("number", name="pk_model_trials"),
    )
    op.create_table(
        "trial_reports",
        sa.Column("first", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("worker_id", sa.String(), nullable=False),
        sa.Column("report_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_held", sa.Boolean(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.Column("figures", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("first", "worker_id", name="pk_trial_reports"),
    )


def downgrade() -> None:
    op.drop_table("trial_reports")
    op.drop_table("model_trials")
