"""The state: the only place that speaks SQL.

Functions here are synchronous over a SQLAlchemy `Connection`; `Database` runs them, in a writer thread for SQLite and over
asyncpg for PostgreSQL, so that every statement is written once.
"""
