"""Do balances, leases and holds say what the ledger says? Every cache replayed from entries.

A balance is the sum of the effects of all entries of its envelope and those below, in its
period. What became of a lease is the sum of the entries that name it. A reservation's rest is
the sum of its own effects on held or unsettled money; inside a lease it has none, and its
decision says how much it was. Run it in one snapshot, or on a quiet system: a transaction
between the two reads would look like drift.
Source: ledger.md section 8, I6.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import connection
from django.db.models import Sum

from ledger import facade as ledger
from policies.core import invariants
from policies.core.envelope import limit_after
from policies.core.lending import LeaseSums
from policies.models import DecisionLog, Envelope, EnvelopeBalance, Lease, Reservation
from policies.queries.policy_drift import find_policy_drift

BATCH = 5_000
RESERVATION = "reservation "
LEASE = "lease "
POLICY = "policy "
COLUMNS = ("settled", "held", "unsettled", "unguarded")
LEASE_COLUMNS = ("granted", "returned", "settled", "expired", "late", "written_off")

# In each envelope and period: open holds and the rests of leases are held; expired holds and
# what leases let expire are unsettled.
OWNED = """
SELECT cell.envelope_id, cell.period_start, sum(o.held)::bigint, sum(o.unsettled)::bigint
FROM (
    SELECT path_ids, path_periods,
           CASE WHEN state = 'open' THEN open_nanos ELSE 0 END AS held,
           CASE WHEN state = 'expired' THEN open_nanos ELSE 0 END AS unsettled
    FROM reservation WHERE state IN ('open', 'expired') AND held AND lease IS NULL
    UNION ALL
    SELECT path_ids, path_periods,
           granted_nanos - returned_nanos - settled_nanos - expired_nanos,
           expired_nanos - late_nanos - written_off_nanos
    FROM lease WHERE state <> 'closed') AS o,
    unnest(o.path_ids, o.path_periods) AS cell (envelope_id, period_start)
GROUP BY 1, 2
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """Which figure differs from its entries?

    Shape: `where` names envelope and period, the lease or the reservation; `column` the column;
    `expected` is what the entries add up to. Units: nanos.
    """

    where: str
    column: str
    expected: str
    found: str

    @property
    def code(self) -> str:
        """What drifted: `balance_drift`, `lease_drift`, `reservation_drift`, `policy_drift`?"""
        for start, code in ((LEASE, "lease_drift"), (POLICY, "policy_drift")):
            if self.where.startswith(start):
                return code
        return "reservation_drift" if self.where.startswith(RESERVATION) else "balance_drift"


def check_conservation() -> list[Finding]:
    """Which balances, leases and reservations differ from the replay of their entries?"""
    owners = [*_reservation_findings(), *_lease_findings()]
    balances = list(EnvelopeBalance.objects.order_by("envelope_id", "period_start"))
    # An edited owner is named itself; only a deleted one must be found by what it leaves.
    return [*balance_findings(balances), *owners, *([] if owners else _owner_findings())]


def policy_findings() -> list[Finding]:
    """Which rules read otherwise than the policy that decisions are made by?"""
    return [
        Finding(f"{POLICY}{name}", "rule", "as published", "otherwise")
        for name in find_policy_drift()
    ]


def balance_findings(balances: Sequence[EnvelopeBalance]) -> Iterator[Finding]:
    """Which figures of these balances differ from the replay of their entries?"""
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
    """All held and unsettled money belongs to a hold or a lease; a deleted one leaves a gap."""
    with connection.cursor() as cursor:
        cursor.execute(OWNED)
        owned = {
            (envelope, start): (held, unsettled)
            for envelope, start, held, unsettled in cursor.fetchall()
        }
    for row in EnvelopeBalance.objects.select_related("envelope").order_by(
        "envelope_id", "period_start"
    ):
        held, unsettled = owned.get((row.envelope_id, row.period_start), (0, 0))
        where = _where(row.envelope.public, row)
        for column, stands, own in (
            ("owners of held", row.held_nanos, held),
            ("owners of unsettled", row.unsettled_nanos, unsettled),
        ):
            for breach in invariants.held_money_has_an_owner(
                held=stands, owned=own, column=column, where=where
            ):
                yield Finding(breach.where, breach.column, breach.expected, breach.found)


def _lease_findings() -> Iterator[Finding]:
    sums = ledger.sum_effects_by_lease()
    inside = dict(
        Reservation.objects.filter(state="open", lease__isnull=False)
        .values_list("lease")
        .annotate(open=Sum("open_nanos"))
    )
    for row in Lease.objects.order_by("id").iterator(chunk_size=BATCH):
        entries = sums.pop(row.id, ledger.LeaseEffects())
        yield from _compare_lease(row, entries, inside.get(row.id, 0))
    for lease in sorted(sums):
        yield Finding(f"{LEASE}{lease}", "row", "one, as entries name it", "none")


def _compare_lease(row: Lease, entries: ledger.LeaseEffects, inside: int) -> Iterator[Finding]:
    where = f"{LEASE}{row.id}"
    for column in LEASE_COLUMNS:
        expected, found = getattr(entries, f"{column}_nanos"), getattr(row, f"{column}_nanos")
        if found != expected:
            yield Finding(where, column, str(expected), str(found))
    if entries.grants != 1:
        yield Finding(where, "grants", "1", str(entries.grants))
    if row.open_nanos != inside:
        yield Finding(where, "open", str(inside), str(row.open_nanos))
    stated = LeaseSums(**{each: getattr(entries, f"{each}_nanos") for each in LEASE_COLUMNS})
    for breach in (
        *invariants.lease_covers_its_reservations(stated, open_inside=inside, where=where),
        *invariants.ended_lease_conserves(stated, state=row.state, where=where),
    ):
        yield Finding(breach.where, breach.column, breach.expected, breach.found)


def _where(public: str, row: EnvelopeBalance) -> str:
    return f"{public} from {row.period_start:%Y-%m-%dT%H:%M:%SZ}"


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
        "id",
        "state",
        "held",
        "open_nanos",
        "amount_nanos",
        "settled_nanos",
        "lease",
        "sequence",
        "decision_id",
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
    worst = _decided([row.decision_id for row in batch if row.sequence])
    nothing = ledger.HoldEffects()
    for row in batch:
        entries = sums.get(row.id, nothing)
        where = f"{RESERVATION}{row.id}"
        first = worst.get(row.decision_id, row.amount_nanos) if row.sequence else 0
        # What is open is held, and once expired it is unsettled: never both.
        still = entries.unsettled_nanos if row.state == "expired" else entries.held_nanos
        other = entries.held_nanos if row.state == "expired" else entries.unsettled_nanos
        amount = taken.get(row.id, 0)
        if row.sequence:
            # Its first part was reserved in a lease; what it left there became a hold.
            amount = first if row.lease else amount + min(first, entries.from_lease_nanos)
        if row.lease and row.state == "open":
            still = max(0, first - entries.from_lease_nanos)
        for column, found, expected in (
            ("open", row.open_nanos, still),
            ("open in the other state", 0, other),
            ("settled", row.settled_nanos, entries.amount_nanos),
            ("amount", row.amount_nanos, amount),
        ):
            if found != expected:
                yield Finding(where, column, str(expected), str(found))
        for breach in invariants.ended_reservation_holds_nothing(
            state=row.state, open_nanos=row.open_nanos, where=where
        ):
            yield Finding(breach.where, breach.column, breach.expected, breach.found)


def _decided(decisions: Sequence[UUID]) -> Mapping[UUID, int]:
    """Which worst case did each of these decisions reserve? Nanos."""
    if not decisions:
        return {}
    return dict(DecisionLog.objects.filter(id__in=decisions).values_list("id", "worst_nanos"))
