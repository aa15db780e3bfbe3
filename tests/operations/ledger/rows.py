"""Builders of ledger rows for tests: keyword-only, plain defaults, one ledger."""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from django.db import transaction

from ledger import facade
from ledger.core.entry import Entry, Kind
from o10.kernel import ids

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
ORIGIN = "ledger.example.com/acme"
_numbers = itertools.count(1)


def make_ledger(**fields: Any) -> facade.LedgerRow:
    from ledger.operations.append import _ready_months
    from ledger.operations.intern import forget_numbers

    forget_numbers()
    _ready_months.clear()
    made: dict[str, Any] = {
        "origin": ORIGIN,
        "currency": "USD",
        "time_zone": "Europe/Berlin",
        "now": NOW,
        **fields,
    }
    return facade.create_ledger(**made)


def make_entry(**fields: Any) -> Entry:
    number = next(_numbers)
    base = Entry(
        ledger_id=1,
        kind=Kind.SETTLE,
        uid=ids.uid(scope="test", key=str(number), origin_ms=1_795_167_000_000 + number),
        effective_at=NOW + timedelta(seconds=number),
        recorded_at=NOW + timedelta(seconds=number),
        use_case_id=3,
        venue_id=2,
        model_id=41,
        amount_nanos=3_915_000,
        held_nanos=-3_915_000,
        n=1,
        tok_in=400,
        tok_out=670,
        attempt=1,
        ref="chatcmpl-8f2a",
    )
    return replace(base, **fields)


def write_entries(count: int = 1, **fields: Any) -> list[facade.StoredEntry]:
    return append_drafts([make_entry(**fields) for _ in range(count)])


def append_drafts(drafts: Sequence[Entry]) -> list[facade.StoredEntry]:
    with transaction.atomic():
        return facade.append(drafts)


def connect(url: str) -> "psycopg.Connection[Any]":
    return psycopg.connect(url, autocommit=True)
