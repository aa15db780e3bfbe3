"""Which hour and day cells does an entry change, and by how much?

Hour buckets are UTC, `minutes` wide (60, or 30 and 15 for zones with fractional offsets); day
buckets are calendar days of the ledger's zone, so a day of a clock change has 23 or 25 hours.
Both go by `effective_at`: a late entry changes the old cell. An entry that counts nothing has
no cell. Sums over all classes are the balance; `calls` are the sum of `n` without denials.
Source: docs/algorithms/chain-and-tree.md (rollups are caches, rebuilt and compared).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import IntEnum
from typing import Final, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from ledger.core.canonical import reader_of
from ledger.core.entry import EPOCH, Entry, Kind


class KindClass(IntEnum):
    """Which group of kinds shares a cell?"""

    CALL = 1
    HOLD = 2
    CORRECTION = 3
    ADJUSTMENT = 4
    COMMITMENT = 5
    DENIAL = 6
    RECORD = 7


CLASS_OF_KIND: Final[dict[int, KindClass]] = {
    Kind.ENVELOPE_CHANGE: KindClass.RECORD,
    Kind.RESERVE: KindClass.HOLD,
    Kind.HOLD: KindClass.RECORD,
    Kind.SETTLE: KindClass.CALL,
    Kind.RELEASE: KindClass.HOLD,
    Kind.EXPIRE: KindClass.HOLD,
    Kind.OVERRUN: KindClass.CALL,
    Kind.REVERSAL: KindClass.CORRECTION,
    Kind.ADJUST: KindClass.ADJUSTMENT,
    Kind.LEASE: KindClass.HOLD,
    Kind.LEASE_RETURN: KindClass.HOLD,
    Kind.WRITE_OFF: KindClass.HOLD,
    Kind.USAGE: KindClass.CALL,
    Kind.REVALUATION: KindClass.ADJUSTMENT,
    Kind.DENY: KindClass.DENIAL,
    Kind.COMMITMENT: KindClass.COMMITMENT,
    Kind.OUTCOME: KindClass.RECORD,
    Kind.EVAL: KindClass.RECORD,
    Kind.FEEDBACK: KindClass.RECORD,
    Kind.DRIVER: KindClass.RECORD,
    Kind.POLICY_CHANGE: KindClass.RECORD,
    Kind.PRICE_CHANGE: KindClass.RECORD,
    Kind.APPROVAL: KindClass.RECORD,
    Kind.TRIP: KindClass.RECORD,
    Kind.RESTORE: KindClass.RECORD,
    Kind.OVERRIDE: KindClass.RECORD,
    Kind.INVOICE_LINE: KindClass.RECORD,
    Kind.RECONCILE: KindClass.ADJUSTMENT,
    Kind.PERIOD_CLOSE: KindClass.RECORD,
    Kind.CHECKPOINT_REF: KindClass.RECORD,
    Kind.REPORT: KindClass.RECORD,
    Kind.REGISTRY: KindClass.RECORD,
}

_MICROS_PER_SLOT: Final = 15 * 60 * 1_000_000
_MINUTES_ALLOWED: Final = (60, 30, 15)
_IDS: Final = 5
Bucket = TypeVar("Bucket", datetime, date)


class Key(NamedTuple):
    """Which cell, apart from its bucket?"""

    use_case_id: int
    envelope_id: int
    venue_id: int
    model_id: int
    dims_id: int
    kind_class: int


class Increments(NamedTuple):
    """By how much does the cell change? Nanos, calls and tokens."""

    amount_nanos: int
    held_nanos: int
    unsettled_nanos: int
    reserved_nanos: int
    counter_nanos: int
    n: int
    tok_in: int
    tok_cache_read: int
    tok_cache_write: int
    tok_cache_write_1h: int
    tok_out: int
    tok_reasoning: int


# In image order: the kind and the instant, the other parts of `Key`, then `Increments`.
_READER: Final = reader_of(
    "kind",
    "effective_at",
    "envelope_id",
    "use_case_id",
    "dims_id",
    "venue_id",
    "model_id",
    *Increments._fields,
)


@dataclass(frozen=True, slots=True)
class Buckets:
    """How is time cut: the zone of the days and the width of the hours in minutes?"""

    zone: ZoneInfo
    minutes: int = 60

    def __post_init__(self) -> None:
        if self.minutes not in _MINUTES_ALLOWED:
            raise ValueError(f"rollup minutes {self.minutes} are none of {_MINUTES_ALLOWED}")

    def hour_of(self, instant: datetime) -> datetime:
        """In which UTC bucket does this instant lie (its start)?"""
        width = timedelta(minutes=self.minutes)
        return EPOCH + (instant - EPOCH) // width * width

    def day_of(self, instant: datetime) -> date:
        """On which calendar day of the ledger's zone does this instant lie?"""
        return instant.astimezone(self.zone).date()


Cells = dict[tuple[datetime, Key], Increments]
DayCells = dict[tuple[date, Key], Increments]


@dataclass(slots=True)
class Folded:
    """Which cells did a run of entries change? Hours by UTC bucket start, days by date."""

    hours: Cells = field(default_factory=dict)
    days: DayCells = field(default_factory=dict)


def cell_of(entry: Entry) -> tuple[Key, Increments] | None:
    """Which cell does the entry change and by how much, or None when it counts nothing?"""
    increments = Increments(*(getattr(entry, name) for name in Increments._fields))
    if not any(increments):
        return None
    key = Key(
        use_case_id=entry.use_case_id,
        envelope_id=entry.envelope_id,
        venue_id=entry.venue_id,
        model_id=entry.model_id,
        dims_id=entry.dims_id,
        kind_class=CLASS_OF_KIND[entry.kind],
    )
    return key, increments


def fold(entries: Iterable[Entry], *, buckets: Buckets) -> Folded:
    """Which cells do these entries change in sum?"""
    folded = Folded()
    for entry in entries:
        cell = cell_of(entry)
        if cell is not None:
            hour, day = buckets.hour_of(entry.effective_at), buckets.day_of(entry.effective_at)
            _add(folded.hours, (hour, cell[0]), cell[1])
            _add(folded.days, (day, cell[0]), cell[1])
    return folded


def fold_images(images: Iterable[bytes], *, buckets: Buckets) -> Folded:
    """Which cells do these images change in sum? As `fold`, without making entries of them.

    Adds up by quarter hour first: hour and day are looked up once for each slot and cell.
    """
    slots: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    unpack = _READER.unpack_from
    for image in images:
        kind, effective, *ids_and_counts = unpack(image)
        counted = tuple(ids_and_counts[_IDS:])
        if any(counted):
            # Every zone's offset since 2000 is a whole number of quarter hours.
            place = (effective // _MICROS_PER_SLOT, kind, *ids_and_counts[:_IDS])
            slots.setdefault(place, []).append(counted)
    return _by_bucket(slots, buckets)


def _by_bucket(slots: dict[tuple[int, ...], list[tuple[int, ...]]], buckets: Buckets) -> Folded:
    folded = Folded()
    times: dict[int, tuple[datetime, date]] = {}
    for (slot, kind, envelope, use_case, dims, venue, model), counted in slots.items():
        if slot not in times:
            start = EPOCH + timedelta(microseconds=slot * _MICROS_PER_SLOT)
            times[slot] = buckets.hour_of(start), buckets.day_of(start)
        hour, day = times[slot]
        key = Key(use_case, envelope, venue, model, dims, CLASS_OF_KIND[kind])
        total = Increments(*map(sum, zip(*counted, strict=True)))
        _add(folded.hours, (hour, key), total)
        _add(folded.days, (day, key), total)
    return folded


def _add(
    cells: dict[tuple[Bucket, Key], Increments],
    place: tuple[Bucket, Key],
    increments: Increments,
) -> None:
    present = cells.get(place)
    if present is None:
        cells[place] = increments
    else:
        cells[place] = Increments(*map(int.__add__, present, increments))
