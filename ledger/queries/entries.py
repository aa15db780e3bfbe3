"""Which entries are there, in which order, and who stands beside one?

Newest first means by (xid, id), the order of sealing, so that entries not sealed yet stand in
the place they will get.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import connection

from ledger.core.entry import COLUMNS_V1, Entry
from ledger.queries.component_entries import component_clause
from o10.kernel.errors import FieldError, NotFound, ValidationFailed

PAGE_MAX: Final = 1_000
_COLUMNS: Final = ", ".join(f"e.{column.name}" for column in COLUMNS_V1)
_NAMES: Final = tuple(column.name for column in COLUMNS_V1)
_SELECT: Final = (
    f"SELECT e.id, e.xid::text, e.leaf, s.seq, s.chain, {_COLUMNS} FROM ledger_entry e"
    " LEFT JOIN ledger_seal s ON s.entry_id = e.id AND s.ledger_id = e.ledger_id"
)


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """Which entry is it, and where does it stand? No `seq` and `chain` until it is sealed."""

    entry: Entry
    id: int
    leaf: bytes
    seq: int | None = None
    chain: bytes | None = None

    @property
    def uid(self) -> UUID:
        """The identity of the entry."""
        return self.entry.uid


@dataclass(frozen=True, slots=True, kw_only=True)
class EntryFilter:
    """Which entries are asked for? Empty tuples and None ask for all.

    Units: `*_from` inclusive, `*_to` exclusive; `seq_from` and `seq_to` likewise. `component`
    of full cost.
    """

    use_case_ids: tuple[int, ...] = ()
    envelope_ids: tuple[int, ...] = ()
    kinds: tuple[int, ...] = ()
    venue_ids: tuple[int, ...] = ()
    model_ids: tuple[int, ...] = ()
    offer_ids: tuple[int, ...] = ()
    actor_ids: tuple[int, ...] = ()
    dims_ids: tuple[int, ...] = ()
    reservation: UUID | None = None
    decision: UUID | None = None
    parent: UUID | None = None
    reverses: UUID | None = None
    ref: str | None = None
    effective_from: datetime | None = None
    effective_to: datetime | None = None
    recorded_from: datetime | None = None
    recorded_to: datetime | None = None
    seq_from: int | None = None
    seq_to: int | None = None
    flags_any: int = 0
    component: str = ""


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Which entries are on this page, and with which cursor does the next one begin?"""

    items: tuple[StoredEntry, ...]
    next: str | None


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Who stands right before and after a position? None at the ends."""

    before: StoredEntry | None
    entry: StoredEntry
    after: StoredEntry | None
    chain_before: bytes
    """Chain hash that the entry's own link starts from."""


def find_by_uid(*, ledger_id: int, uid: UUID) -> StoredEntry | None:
    """Which entry has this uid, if any?"""
    rows = _rows(
        f"{_SELECT} JOIN ledger_idem i ON i.ledger_id = e.ledger_id AND i.xid = e.xid"
        " AND i.entry_id = e.id WHERE i.ledger_id = %s AND i.uid = %s AND e.uid = i.uid",
        [ledger_id, uid],
    )
    return rows[0][0] if rows else None


def get_by_uid(*, ledger_id: int, uid: UUID) -> StoredEntry:
    """Which entry has this uid?

    Raises: NotFound (`not_found`).
    """
    found = find_by_uid(ledger_id=ledger_id, uid=uid)
    if found is None:
        raise NotFound(kind="entry", id=str(uid))
    return found


def get_by_seq(*, ledger_id: int, seq: int) -> StoredEntry:
    """Which entry has this position?

    Raises: NotFound (`not_found`).
    """
    found = list_range(ledger_id=ledger_id, seq_from=seq, seq_to=seq + 1)
    if not found:
        raise NotFound(kind="position", id=str(seq))
    return found[0]


def list_range(*, ledger_id: int, seq_from: int, seq_to: int) -> list[StoredEntry]:
    """Which entries have these positions? In order; `seq_to` exclusive, at most PAGE_MAX."""
    rows = _rows(
        f"{_SELECT} WHERE s.ledger_id = %s AND s.seq >= %s AND s.seq < %s"
        " AND e.recorded_at = s.recorded_at ORDER BY s.seq LIMIT %s",
        [ledger_id, seq_from, seq_to, PAGE_MAX],
    )
    return [entry for entry, _ in rows]


def list_entries(
    *, ledger_id: int, where: EntryFilter, cursor: str | None = None, limit: int = 50
) -> EntryPage:
    """Which entries match, newest first?

    Raises: ValidationFailed (`validation_failed`) for a cursor that is none of ours or a limit
    outside 1..PAGE_MAX.
    """
    if not 1 <= limit <= PAGE_MAX:
        raise _invalid("/limit", f"A page has 1 to {PAGE_MAX} entries.")
    clauses, values = _clauses(where)
    clauses.insert(0, "e.ledger_id = %s")
    values.insert(0, ledger_id)
    if cursor is not None:
        clauses.append("(e.xid, e.id) < (%s::xid8, %s)")
        values += _cursor_values(cursor)
    rows = _rows(
        f"{_SELECT} WHERE {' AND '.join(clauses)} ORDER BY e.xid DESC, e.id DESC LIMIT %s",
        [*values, limit + 1],
    )
    page = rows[:limit]
    more = len(rows) > limit
    return EntryPage(
        items=tuple(entry for entry, _ in page),
        next=f"{page[-1][1]}.{page[-1][0].id}" if more else None,
    )


def get_neighbours(*, ledger_id: int, seq: int, chain_start: bytes) -> Neighbours:
    """Who stands before and after this position, and which chain hash does its link start from?

    `chain_start` is the chain hash of the empty ledger.
    Raises: NotFound (`not_found`).
    """
    near = {
        entry.seq: entry
        for entry in list_range(ledger_id=ledger_id, seq_from=seq - 1, seq_to=seq + 2)
    }
    if seq not in near:
        raise NotFound(kind="position", id=str(seq))
    before = near.get(seq - 1)
    chain_before = before.chain if before is not None else None
    return Neighbours(
        before=before,
        entry=near[seq],
        after=near.get(seq + 1),
        chain_before=chain_before if chain_before is not None else chain_start,
    )


_EQUALS: Final = {
    "reservation": "e.reservation = %s",
    "decision": "e.decision = %s",
    "parent": "e.parent = %s",
    "reverses": "e.reverses = %s",
    "ref": "e.ref = %s",
    "effective_from": "e.effective_at >= %s",
    "effective_to": "e.effective_at < %s",
    "recorded_from": "e.recorded_at >= %s",
    "recorded_to": "e.recorded_at < %s",
    "seq_from": "s.seq >= %s",
    "seq_to": "s.seq < %s",
}
_IN: Final = {
    "use_case_ids": "use_case_id",
    "envelope_ids": "envelope_id",
    "kinds": "kind",
    "venue_ids": "venue_id",
    "model_ids": "model_id",
    "offer_ids": "offer_id",
    "actor_ids": "actor_id",
    "dims_ids": "dims_id",
}


def _clauses(where: EntryFilter) -> tuple[list[str], list[object]]:
    clauses: list[str] = []
    values: list[object] = []
    for field in fields(where):
        value = getattr(where, field.name)
        if field.name in _IN and value:
            clauses.append(f"e.{_IN[field.name]} = ANY(%s)")
            values.append(list(value))
        elif field.name in _EQUALS and value is not None:
            clauses.append(_EQUALS[field.name])
            values.append(value)
    if where.reservation is not None:
        # Says what the partial index says, so that the planner may use it.
        clauses.append("e.reservation <> '00000000-0000-0000-0000-000000000000'")
    if where.flags_any:
        clauses.append("e.flags & %s <> 0")
        values.append(where.flags_any)
    if where.component:
        clause, of_component = component_clause(where.component)
        clauses.append(f"({clause})")
        values += of_component
    return clauses, values


def _cursor_values(cursor: str) -> list[object]:
    xid, _, number = cursor.partition(".")
    if not (xid.isdecimal() and number.isdecimal() and len(xid) < 20 and len(number) < 19):
        raise _invalid("/cursor", "A cursor is what `next` of the page before said.")
    return [xid, int(number)]


def _invalid(pointer: str, message: str) -> ValidationFailed:
    return ValidationFailed(errors=[FieldError(pointer, "invalid", message)])


def _rows(statement: str, values: Sequence[object]) -> list[tuple[StoredEntry, str]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        found = cursor.fetchall()
    return [(_stored(row), row[1]) for row in found]


def _stored(row: Sequence[object]) -> StoredEntry:
    number, _, leaf, seq, chain, *values = row
    named = dict(zip(_NAMES, values, strict=True))
    named["doc"] = bytes(named["doc"])
    return StoredEntry(
        entry=Entry(**named),
        id=number,
        leaf=bytes(leaf),
        seq=seq,
        chain=None if chain is None else bytes(chain),
    )
