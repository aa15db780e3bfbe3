"""What do the numbers of entries mean, and which number has a name?"""

import json
from collections.abc import Collection
from typing import Any, Final

from django.db import connection

from ledger.queries.ledgers import COMPANY_LEDGER

_FIELDS: Final = frozenset({"id", "slug"})


def numbers_of(
    *, domain: str, field: str, values: Collection[str], ledger_id: int = COMPANY_LEDGER
) -> dict[str, int]:
    """Which number has each of these names? Those nobody bound are left out.

    `field` is `slug` or `id`, the key of the registry body. The newest binding holds.
    """
    if field not in _FIELDS:
        raise KeyError(f"registry bodies are found by {sorted(_FIELDS)}, not by {field!r}")
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT ON (body ->> %s) body ->> %s, number FROM ledger_registry"
            " WHERE ledger_id = %s AND domain = %s AND body ->> %s = ANY(%s)"
            " ORDER BY body ->> %s, created_at DESC",
            [field, field, ledger_id, str(domain), field, list(values), field],
        )
        return dict(cursor.fetchall())


def meanings_of(
    *, domain: str, numbers: Collection[int], ledger_id: int = COMPANY_LEDGER
) -> dict[int, dict[str, Any]]:
    """What does each of these numbers mean now? Unknown ones are left out."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT ON (number) number, body FROM ledger_registry"
            " WHERE ledger_id = %s AND domain = %s AND number = ANY(%s)"
            " ORDER BY number, created_at DESC",
            [ledger_id, str(domain), list(numbers)],
        )
        return {number: _body(body) for number, body in cursor.fetchall()}


def list_meanings(*, domain: str, ledger_id: int = COMPANY_LEDGER) -> dict[int, dict[str, Any]]:
    """What does every number of this domain mean now?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT DISTINCT ON (number) number, body FROM ledger_registry"
            " WHERE ledger_id = %s AND domain = %s ORDER BY number, created_at DESC",
            [ledger_id, str(domain)],
        )
        return {number: _body(body) for number, body in cursor.fetchall()}


def _body(value: Any) -> dict[str, Any]:
    # Django's cursors give jsonb as text.
    loaded: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return loaded
