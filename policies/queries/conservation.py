"""Do balances and holds say what the ledger says? Every cache replayed from entries.

A balance is the sum of the effects of all entries of its envelope and those below, in its
period. A reservation's rest is the sum of its effects on held or unsettled money. Run it in one
snapshot, or on a quiet system: a transaction between the two reads would look like drift.
Source: ledger.md section 8, I6.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

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
    return [*_balance_findings(), *_reservation_findings()]


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
    for number, row in enumerate(balances):
        entries = sums[number]
        where = f"{names[row.envelope_id]} from {row.period_start:%Y-%m-%dT%H:%M:%SZ}"
        for column, expected in _columns(entries):
            found = getattr(row, f"{column}_nanos")
            if found != expected:
                yield Finding(where, column, str(expected), str(found))
        yield from _limit_finding(row, where)


def _limit_finding(row: EnvelopeBalance, where: str) -> Iterator[Finding]:
    guarded = row.settled_nanos - row.unguarded_nanos + row.held_nanos + row.unsettled_nanos
    lawful = limit_after(cap=row.cap_nanos, limit=row.limit_nanos, guarded=guarded)
    if row.limit_nanos != lawful:
        yield Finding(where, "limit", str(lawful), str(row.limit_nanos))


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
    sums = ledger.sum_effects_by_reservation([row.id for row in batch])
    nothing = ledger.Effects()
    for row in batch:
        entries = sums.get(row.id, nothing)
        expected_open = entries.held_nanos + entries.unsettled_nanos
        state_open = entries.unsettled_nanos if row.state == "expired" else entries.held_nanos
        where = f"{RESERVATION}{row.id}"
        if row.open_nanos != expected_open or row.open_nanos != state_open:
            yield Finding(where, "open", str(expected_open), str(row.open_nanos))
        if row.settled_nanos != entries.amount_nanos:
            yield Finding(where, "settled", str(entries.amount_nanos), str(row.settled_nanos))
        yield from _amount_finding(row, entries, where)


def _amount_finding(row: Reservation, entries: ledger.Effects, where: str) -> Iterator[Finding]:
    """What was ever taken is what is open plus what was spent from it or given back."""
    if not row.held and row.amount_nanos:
        yield Finding(where, "amount", "0", str(row.amount_nanos))
    if row.amount_nanos < row.open_nanos:
        yield Finding(where, "amount", f"at least {row.open_nanos}", str(row.amount_nanos))
