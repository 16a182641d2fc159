"""Who serves, and what the workers are asked to get ready."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_table(
        "serving_workers",
        sa.Column("worker_id", sa.String(), nullable=False),
        sa.Column("replica", sa.String(), nullable=False),
        sa.Column("pid", sa.Integer(), nullable=False),
        sa.Column("alive_time", sa.DateTime(timezone=True), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("held", sa.JSON(), nullable=False),
        sa.Column("answered", sa.Integer(), nullable=False),
        sa.Column("problem", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name="pk_serving_workers"),
    )
    made = op.create_table(
        "preparations",
        sa.Column("row_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("version", sa.String(), nullable=False),
        sa.Column("expected_generation", sa.Integer(), nullable=False),
        sa.Column("deadline", sa.DateTime(timezone=True), nullable=False),
        sa.Column("is_open", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("row_id", name="pk_preparations"),
    )
    never = sa.func.current_timestamp()  # of a closed preparation nobody reads the deadline
    op.execute(
        sa.insert(made).values(row_id=1, number=0, version="", expected_generation=0, deadline=never, is_open=False)
    )


def downgrade() -> None:
    op.drop_table("preparations")
    op.drop_table("serving_workers")
