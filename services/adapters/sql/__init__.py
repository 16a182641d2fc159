"""The catalog database: items, models, assignments and runs, on SQLite or PostgreSQL, through SQLAlchemy and Alembic."""
