"""How is it kept what a verifier found? One row a run; pages read the newest."""

from datetime import datetime
from enum import StrEnum
from typing import Any

from django.db import connection
from psycopg.types.json import Jsonb

from ledger.queries.integrity import Finding


class VerifierMode(StrEnum):
    """How far did the verifier look?"""

    TAIL = "tail"
    """Behind the sealer, continuously: images, leaves, links, sums of rollups."""
    INCREMENTAL = "incremental"
    """From the verifier's own last checkpoint."""
    FULL = "full"
    """Everything. Only this mode can make a broken ledger whole again."""


def record_verification(
    *,
    ledger_id: int,
    mode: VerifierMode,
    from_seq: int,
    upto_seq: int,
    finding: Finding | None,
    started_at: datetime,
    finished_at: datetime,
    cursor: Any = None,
) -> None:
    """What did this run find? `finding` is None when everything held.

    Units: positions (from_seq, upto_seq] were recomputed.
    """
    values = [
        *(ledger_id, mode.value, from_seq, upto_seq, finding is None),
        *(Jsonb(finding.as_json() if finding else {}), started_at, finished_at),
    ]
    if cursor is not None:
        cursor.execute(_INSERT, values)
        return
    with connection.cursor() as own:
        own.execute(_INSERT, values)


_INSERT = (
    "INSERT INTO ledger_verification"
    " (ledger_id, mode, from_seq, upto_seq, ok, finding, started_at, finished_at)"
    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"
)
