"""Is this installation fit for use? Findings of `check --deploy`."""

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, register
from django.core.checks import Warning as Caution
from django.db import DatabaseError, connection

MAY_CHANGE = """
    SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = 'public' AND c.relname = ANY (%s) AND (
        has_table_privilege(c.oid, 'UPDATE') OR has_table_privilege(c.oid, 'DELETE')
        OR has_table_privilege(c.oid, 'TRUNCATE'))
    ORDER BY 1
"""


@register(Tags.security, deploy=True)
def ledger_rows_cannot_be_changed(**options: Any) -> Sequence[CheckMessage]:
    """May the running database role change or delete a row of an append-only table?"""
    from ledger import facade as ledger

    try:
        with connection.cursor() as cursor:
            cursor.execute(MAY_CHANGE, [list(ledger.APPEND_ONLY)])
            tables = [row[0] for row in cursor.fetchall()]
    except DatabaseError as error:
        return [Error(f"The database does not answer: {error}", id="o10.E001")]
    if not tables:
        return []
    return [
        Error(
            f"The database role {connection.settings_dict['USER']} may change "
            f"{', '.join(tables)}.",
            hint="Run `o10 migrate`, and run the application as the role it makes.",
            id="o10.E002",
        )
    ]


@register(Tags.security, deploy=True)
def signing_key_is_private(**options: Any) -> Sequence[CheckMessage]:
    """Can anybody else read the key that signs checkpoints?"""
    key = Path(settings.O10_SIGNING_KEY_FILE)
    if not key.exists():
        return [Caution(f"There is no signing key at {key} yet.", id="o10.W001")]
    if stat.S_IMODE(key.stat().st_mode) & 0o077:
        return [Error(f"{key} is readable by others: chmod 600.", id="o10.E003")]
    return []


@register(Tags.security, deploy=True)
def secret_key_was_chosen(**options: Any) -> Sequence[CheckMessage]:
    """Does every host of this installation know the same secret?"""
    if settings.O10_SECRET_KEY_GIVEN:
        return []
    return [
        Caution(
            "O10_SECRET_KEY is not set: the one kept under O10_HOME is used.",
            hint="Set it where more than one host runs o10.",
            id="o10.W002",
        )
    ]
