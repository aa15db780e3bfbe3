"""How is a statement sent that runs on every call?

Django's cursor puts parameters into the text, so PostgreSQL parses and plans each call anew.
These statements go to the server with parameters apart and are prepared once a connection.
They run on Django's own connection, in its transaction.
"""

from collections.abc import Sequence
from typing import Any

import psycopg
from django.db import DEFAULT_DB_ALIAS, connections
from psycopg.types.numeric import Int8Dumper

Row = tuple[Any, ...]


def run(statement: str, parameters: Sequence[object]) -> psycopg.Cursor[Row]:
    """Which rows does this statement give? The cursor is open; read it before the next one.

    Raises: the errors of django.db, like any other statement.
    """
    # Looked up once: each attribute of Django's proxy costs as much as sending a statement.
    connection = connections[DEFAULT_DB_ALIAS]
    if connection.connection is None:
        connection.ensure_connection()
    with connection.wrap_database_errors:
        cursor = psycopg.Cursor(connection.connection)
        # One type for every integer: by size, each mix of sizes would be a plan of its own.
        cursor.adapters.register_dumper(int, Int8Dumper)
        cursor.execute(statement, parameters, prepare=True)
    return cursor


def rows(statement: str, parameters: Sequence[object]) -> list[Row]:
    """Which rows, all at once?"""
    return run(statement, parameters).fetchall()


def row(statement: str, parameters: Sequence[object]) -> Row | None:
    """Which first row, if any?"""
    return run(statement, parameters).fetchone()
