"""Columns and indexes that many tables have: times are milliseconds since 1970, a text is never NULL."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, Text, UniqueConstraint, text
from sqlalchemy.schema import SchemaItem

_ROW_KEY = BigInteger().with_variant(Integer(), "sqlite")
"""For SQLite an INTEGER is the key of the row itself; a BIGINT would be a second tree that every insert writes."""


def row_id(name: str = "id") -> Column[int]:
    return Column(name, _ROW_KEY, primary_key=True, autoincrement=False)


def where_set(name: str) -> dict[str, Any]:
    """For an index of a column that many rows leave empty; SQLite then leaves those rows out."""
    return {"sqlite_where": text(f"{name} IS NOT NULL")}


def found_by_code(table: str, *identity: str) -> tuple[SchemaItem, SchemaItem]:
    """An index of the code, which is made of the identity and stands at random: each new row writes a page of it.

    PostgreSQL also keeps two replicas from adding the same row there. SQLite's one writer looks before it adds, and has
    an index of a fifth of that size.
    """
    unique = UniqueConstraint("code", *identity, name=f"{table}_identity").ddl_if(dialect="postgresql")
    return unique, Index(f"{table}_code", "code").ddl_if(dialect="sqlite")


def moment(name: str) -> Column[int]:
    return Column(name, BigInteger, nullable=True)


def string(name: str) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="")


def number(name: str) -> Column[int]:
    return Column(name, Integer, nullable=False, server_default="0")


def flag(name: str) -> Column[bool]:
    return Column(name, Boolean, nullable=False, server_default="0")
