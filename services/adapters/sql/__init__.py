"""The catalog database on SQLite or PostgreSQL: items, models, assignments and runs; SQLAlchemy and Alembic."""
