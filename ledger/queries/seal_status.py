"""How far is the sealer, how far the verifier, and does everything hold?"""

import json
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from django.db import connection

from ledger.queries.ledgers import COMPANY_LEDGER

WAITING_MAX: Final = 100_000
"""Unsealed entries are counted up to here; a page needs no more."""

FRESH_S: Final = 120
"""A verifier that has said nothing for this long while entries were sealed is not there."""


@dataclass(frozen=True, slots=True)
class SealStatus:
    """How far is the sealer?

    Units: `lag_seconds` age of the oldest entry without a position, 0.0 when none waits;
    `waiting` entries without a position (counted up to WAITING_MAX); `head` hex chain hash.
    """

    seq: int
    waiting: int
    lag_seconds: float
    head: str
    checkpoint_size: int


class SealVerdict(StrEnum):
    """What does the side bar say?"""

    VERIFIED = "verified"
    UNVERIFIED = "unverified"
    BROKEN = "broken"
    EMPTY = "empty"


@dataclass(frozen=True, slots=True)
class SealBadge:
    """What stands in the side bar: verdict, entries, age of the last look, head, finding?

    `age_seconds` is None while nothing was verified. `finding` has the keys code, seq, uid,
    column, expected, found.
    """

    state: SealVerdict
    entries: int
    age_seconds: float | None
    head: str
    finding: dict[str, Any] | None
    verified_seq: int
    verified_at: datetime | None


@dataclass(frozen=True, slots=True)
class VerificationRow:
    """What did a verifier find? `finding` is empty when it is ok."""

    mode: str
    ok: bool
    from_seq: int
    upto_seq: int
    finished_at: datetime
    finding: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CheckpointRow:
    """Which size and root were signed, when, by which key?"""

    size: int
    root: bytes
    chain: bytes
    note: str
    key_id: bytes
    signed_at: datetime


def seal_state(*, now: datetime, ledger_id: int = COMPANY_LEDGER) -> SealStatus:
    """How far is the sealer at this instant?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH reached AS (SELECT coalesce((SELECT last_xid FROM ledger_seal_state"
            " WHERE ledger_id = %s), '0') AS xid, coalesce((SELECT last_id"
            " FROM ledger_seal_state WHERE ledger_id = %s), 0) AS id),"
            " waiting AS (SELECT e.recorded_at FROM ledger_entry e, reached c"
            " WHERE e.ledger_id = %s AND (e.xid, e.id) > (c.xid, c.id) LIMIT %s)"
            " SELECT (SELECT count(*) FROM waiting), (SELECT min(recorded_at) FROM waiting),"
            " (SELECT seq FROM ledger_seal_state WHERE ledger_id = %s),"
            " (SELECT chain FROM ledger_seal_state WHERE ledger_id = %s),"
            " (SELECT max(size) FROM ledger_checkpoint WHERE ledger_id = %s)",
            [*[ledger_id] * 3, WAITING_MAX, *[ledger_id] * 3],
        )
        waiting, oldest, seq, chain, size = cursor.fetchone()
    return SealStatus(
        seq=seq or 0,
        waiting=waiting,
        lag_seconds=max((now - oldest).total_seconds(), 0.0) if oldest else 0.0,
        head=bytes(chain).hex() if chain else "",
        checkpoint_size=size or 0,
    )


def seal_badge(*, now: datetime, ledger_id: int = COMPANY_LEDGER) -> SealBadge:
    """What does the side bar say now?

    A difference stays until a full verification has found none: a later look at other entries
    does not make it good.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT seq, chain, updated_at FROM ledger_seal_state WHERE ledger_id = %s",
            [ledger_id],
        )
        state = cursor.fetchone()
        cursor.execute(
            "SELECT finding, upto_seq, finished_at FROM ledger_verification"
            " WHERE ledger_id = %s AND NOT ok AND id > coalesce((SELECT max(id)"
            " FROM ledger_verification WHERE ledger_id = %s AND ok AND mode = 'full'), 0)"
            " ORDER BY id DESC LIMIT 1",
            [ledger_id, ledger_id],
        )
        broken = cursor.fetchone()
        cursor.execute(
            "SELECT upto_seq, finished_at FROM ledger_verification"
            " WHERE ledger_id = %s AND ok ORDER BY id DESC LIMIT 1",
            [ledger_id],
        )
        good = cursor.fetchone()
    seq, chain, sealed_at = state or (0, b"", None)
    verified_seq, verified_at = good or (0, None)
    if broken:
        verdict = SealVerdict.BROKEN
    elif not seq:
        verdict = SealVerdict.EMPTY
    elif verified_at is None or (
        verified_seq < seq and (now - verified_at).total_seconds() > FRESH_S
    ):
        verdict = SealVerdict.UNVERIFIED
    else:
        verdict = SealVerdict.VERIFIED
    seen_at = broken[2] if broken else verified_at
    return SealBadge(
        state=verdict,
        entries=seq,
        age_seconds=max((now - seen_at).total_seconds(), 0.0) if seen_at else None,
        head=bytes(chain).hex(),
        finding=_json(broken[0]) if broken else None,
        verified_seq=broken[1] if broken else verified_seq,
        verified_at=seen_at,
    )


def verified_upto(*, ledger_id: int = COMPANY_LEDGER) -> int:
    """Up to which position was everything found in order at least once? 0 = it never ran.

    A run that has just begun anew stands further back than an earlier one that reached the end.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(max(upto_seq), 0) FROM ledger_verification"
            " WHERE ledger_id = %s AND ok",
            [ledger_id],
        )
        return int(cursor.fetchone()[0])


def last_verification(*, ledger_id: int = COMPANY_LEDGER) -> VerificationRow | None:
    """What did the verifier say last, if it ever ran?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT mode, ok, from_seq, upto_seq, finished_at, finding FROM ledger_verification"
            " WHERE ledger_id = %s ORDER BY id DESC LIMIT 1",
            [ledger_id],
        )
        row = cursor.fetchone()
    return VerificationRow(*row[:5], _json(row[5])) if row else None


def latest_checkpoint(*, ledger_id: int = COMPANY_LEDGER) -> CheckpointRow | None:
    """What was signed last, if anything?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT size, root, chain, note, key_id, signed_at FROM ledger_checkpoint"
            " WHERE ledger_id = %s ORDER BY size DESC LIMIT 1",
            [ledger_id],
        )
        row = cursor.fetchone()
    if row is None:
        return None
    size, root, chain, note, key_id, signed_at = row
    return CheckpointRow(size, bytes(root), bytes(chain), note, bytes(key_id), signed_at)


def find_horizon_holder() -> tuple[int, float] | None:
    """Which backend holds back the sealer's horizon: its pid and the age of its transaction?

    Units: seconds. None when no transaction with an xid is older than a second.
    """
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, extract(epoch FROM clock_timestamp() - xact_start)::float8"
            " FROM pg_stat_activity WHERE datname = current_database()"
            " AND backend_xid IS NOT NULL AND xact_start < clock_timestamp() - interval '1 s'"
            " ORDER BY age(backend_xid) DESC LIMIT 1"
        )
        row = cursor.fetchone()
    return (row[0], row[1]) if row else None


def _json(value: Any) -> dict[str, Any]:
    # Django's cursors give jsonb as text.

    loaded: dict[str, Any] = json.loads(value) if isinstance(value, str) else value
    return loaded
