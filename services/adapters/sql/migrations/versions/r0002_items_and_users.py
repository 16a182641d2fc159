"""All the contract says of items, a version that counts changes of their availability, users, and their erasures."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    for column in (
        sa.Column("description", sa.Text(), server_default="", nullable=False),
        sa.Column("tags", sa.JSON(), server_default="[]", nullable=False),
        sa.Column("price_currency_code", sa.String(), nullable=True),
        sa.Column("price_units", sa.BigInteger(), nullable=True),
        sa.Column("price_nanos", sa.Integer(), nullable=True),
        sa.Column("hidden", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("available_from_us", sa.BigInteger(), nullable=True),
        sa.Column("available_until_us", sa.BigInteger(), nullable=True),
        sa.Column("embedding", sa.LargeBinary(), nullable=True),
        sa.Column("availability_version", sa.BigInteger(), server_default="0", nullable=False),
    ):
        op.add_column("items", column)
    op.create_index("ix_items_availability_version", "items", ["availability_version"])
    catalog_state = op.create_table(
        "catalog_state",
        sa.Column("state_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("availability_version", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("state_id", name="pk_catalog_state"),
    )
    op.bulk_insert(catalog_state, [{"state_id": 1, "availability_version": 0}])
    op.create_table(
        "users",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("attributes", sa.JSON(), nullable=False),
        sa.Column("update_time_us", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_users"),
    )
    op.create_table(
        "erasures",
        sa.Column("user_id", sa.String(), nullable=False),
        sa.Column("request_time_us", sa.BigInteger(), nullable=False),
        sa.Column("done_time", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("user_id", name="pk_erasures"),
    )
    not_done = sa.text("done_time IS NULL")
    op.create_index(
        "ix_erasures_open", "erasures", ["request_time_us"], sqlite_where=not_done, postgresql_where=not_done
    )


def downgrade() -> None:
    for table in ("erasures", "users", "catalog_state"):
        op.drop_table(table)
    op.drop_index("ix_items_availability_version", "items")
    with op.batch_alter_table("items") as items:
        for column in (
            "description",
            "tags",
            "price_currency_code",
            "price_units",
            "price_nanos",
            "hidden",
            "available_from_us",
            "available_until_us",
            "embedding",
            "availability_version",
        ):
            items.drop_column(column)
