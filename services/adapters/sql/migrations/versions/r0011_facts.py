"""A version that counts changes of the items' facts (categories, attributes, tags, price), so that serving reads those.

What is there already counts as the first change.
"""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    for table in ("items", "catalog_state"):
        op.add_column(table, sa.Column("facts_version", sa.BigInteger(), server_default="0", nullable=False))
    op.execute("UPDATE catalog_state SET facts_version = 1 WHERE EXISTS (SELECT 1 FROM items)")
    op.execute("UPDATE items SET facts_version = 1")
    op.create_index("ix_items_facts", "items", ["facts_version", "item_id"])


def downgrade() -> None:
    op.drop_index("ix_items_facts", "items")
    for table in ("items", "catalog_state"):
        with op.batch_alter_table(table) as altered:
            altered.drop_column("facts_version")
