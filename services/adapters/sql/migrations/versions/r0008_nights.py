"""What a night does step by step, who holds a run, and how the answers of each worker go."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("runs", sa.Column("holder", sa.String(), server_default="", nullable=False))
    op.add_column("serving_workers", sa.Column("vitals", sa.JSON(), server_default="{}", nullable=False))
    op.create_table(
        "night_steps",
        sa.Column("run_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("start_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("end_time", sa.DateTime(timezone=True), nullable=True),
        sa.Column("inputs", sa.JSON(), nullable=False),
        sa.Column("outputs", sa.JSON(), nullable=True),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("log", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["run_id"], ["runs.run_id"], name="fk_night_steps_run_id"),
        sa.PrimaryKeyConstraint("run_id", "name", name="pk_night_steps"),
    )


def downgrade() -> None:
    op.drop_table("night_steps")
    op.drop_column("serving_workers", "vitals")
    op.drop_column("runs", "holder")
