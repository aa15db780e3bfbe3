"""Do balances and holds say what the ledger says? Every cache replayed from entries.

A balance is the sum of the effects of all entries of its envelope and those below, in its
period. A reservation's rest is the sum of its effects on held or unsettled money. Run it in one
snapshot, or on a quiet system: a transaction between the two reads would look like drift.
Source: ledger.md section 8, I6.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import connection

from ledger import facade as ledger
from policies.core.envelope import limit_after
from policies.models import Envelope, EnvelopeBalance, Reservation

BATCH = 5_000
RESERVATION = "reservation "
COLUMNS = ("settled", "held", "unsettled", "unguarded")


@dataclass(frozen=True, slots=True)
class Finding:
    """Which figure differs from its entries?

    Shape: `where` names envelope and period, or the reservation; `column` the column;
    `expected` is what the entries add up to. Units: nanos.
    """

    where: str
    column: str
    expected: str
    found: str

    @property
    def code(self) -> str:
        """What kind of cache drifted: `balance_drift` or `reservation_drift`?"""
        return "reservation_drift" if self.where.startswith(RESERVATION) else "balance_drift"


def check_conservation() -> list[Finding]:
    """Which balances and reservations differ from the replay of their entries?"""
    holds = list(_reservation_findings())
    # An edited hold is named itself; only a deleted one must be found by what it leaves.
    return [*_balance_findings(), *holds, *([] if holds else _owner_findings())]


def _balance_findings() -> Iterator[Finding]:
    balances = list(EnvelopeBalance.objects.order_by("envelope_id", "period_start"))
    below = _members()
    names = dict(Envelope.objects.values_list("id", "public"))
    cells = [
        (number, member, row.period_start, row.period_end)
        for number, row in enumerate(balances)
        for member in below[row.envelope_id]
    ]
    sums = ledger.sum_effects(cells)
    stated = ledger.stated_caps()
    for number, row in enumerate(balances):
        entries = sums[number]
        where = _where(names[row.envelope_id], row)
        for column, expected in _columns(entries):
            found = getattr(row, f"{column}_nanos")
            if found != expected:
                yield Finding(where, column, str(expected), str(found))
        yield from _cap_findings(row, stated, where)


def _cap_findings(
    row: EnvelopeBalance,
    stated: Mapping[tuple[int, datetime], ledger.StatedCap],
    where: str,
) -> Iterator[Finding]:
    """The cap is the one last stated; the limit is it, or an exposure on its way down to it."""
    known = stated.get((row.envelope_id, row.period_start))
    if known is None:
        yield Finding(where, "cap", "a period stated in the ledger", str(row.cap_nanos))
        return
    if (row.cap_nanos, row.period_end) != (known.cap, known.end):
        found = f"{row.cap_nanos} until {row.period_end.isoformat()}"
        yield Finding(where, "cap", f"{known.cap} until {known.end.isoformat()}", found)
    guarded = row.settled_nanos - row.unguarded_nanos + row.held_nanos + row.unsettled_nanos
    lawful = limit_after(cap=row.cap_nanos, limit=known.limit, guarded=guarded)
    within = row.limit_nanos == lawful or (
        row.limit_nanos is not None
        and lawful is not None
        and row.cap_nanos < row.limit_nanos <= lawful
    )
    if not within:
        yield Finding(where, "limit", str(lawful), str(row.limit_nanos))


def _owner_findings() -> Iterator[Finding]:
    """All held money belongs to open reservations; one that was deleted leaves a gap."""
    owned = _owned()
    for row in EnvelopeBalance.objects.select_related("envelope").order_by(
        "envelope_id", "period_start"
    ):
        holds = owned.get((row.envelope_id, row.period_start), 0)
        if holds != row.held_nanos:
            where = _where(row.envelope.public, row)
            yield Finding(where, "reservations", str(row.held_nanos), str(holds))


def _where(public: str, row: EnvelopeBalance) -> str:
    return f"{public} from {row.period_start:%Y-%m-%dT%H:%M:%SZ}"


def _owned() -> Mapping[tuple[int, datetime], int]:
    """How much do open reservations hold in each envelope and period? Nanos."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT cell.envelope_id, cell.period_start, sum(r.open_nanos)::bigint"
            " FROM reservation r, unnest(r.path_ids, r.path_periods)"
            " AS cell (envelope_id, period_start)"
            " WHERE r.state = 'open' AND r.held GROUP BY 1, 2"
        )
        return {(envelope, start): held for envelope, start, held in cursor.fetchall()}


def _columns(entries: ledger.Effects) -> Sequence[tuple[str, int]]:
    values = (
        entries.amount_nanos,
        entries.held_nanos,
        entries.unsettled_nanos,
        entries.unguarded_nanos,
    )
    return tuple(zip(COLUMNS, values, strict=True))


def _members() -> Mapping[int, tuple[int, ...]]:
    """Which envelopes count into each: itself and all below."""
    parents = dict(Envelope.objects.values_list("id", "parent_id"))
    members: dict[int, list[int]] = {number: [] for number in parents}
    for number in parents:
        above: int | None = number
        while above is not None:
            members[above].append(number)
            above = parents[above]
    return {number: tuple(found) for number, found in members.items()}


def _reservation_findings() -> Iterator[Finding]:
    rows = Reservation.objects.order_by("id").only(
        "id", "state", "held", "open_nanos", "amount_nanos", "settled_nanos"
    )
    batch: list[Reservation] = []
    for row in rows.iterator(chunk_size=BATCH):
        batch.append(row)
        if len(batch) >= BATCH:
            yield from _compare(batch)
            batch = []
    yield from _compare(batch)


def _compare(batch: Sequence[Reservation]) -> Iterator[Finding]:
    names = [row.id for row in batch]
    sums = ledger.sum_effects_by_reservation(names)
    taken = ledger.sum_taken_by_reservation(names)
    nothing = ledger.Effects()
    for row in batch:
        entries = sums.get(row.id, nothing)
        # What is open is held, and once expired it is unsettled: never both.
        still = entries.unsettled_nanos if row.state == "expired" else entries.held_nanos
        other = entries.held_nanos if row.state == "expired" else entries.unsettled_nanos
        for column, found, expected in (
            ("open", row.open_nanos, still),
            ("open in the other state", 0, other),
            ("settled", row.settled_nanos, entries.amount_nanos),
            ("amount", row.amount_nanos, taken.get(row.id, 0)),
        ):
            if found != expected:
                yield Finding(f"{RESERVATION}{row.id}", column, str(expected), str(found))
