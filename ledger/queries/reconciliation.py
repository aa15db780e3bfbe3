"""Which bills are there, and how does each stand to the ledger?

The ledger's side are calls and their corrections of the bill's venue and days (UTC, as
providers count), lines of a later month about those days included; the bill's side are its
lines; what was booked as difference stands between them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from django.db import connection
from django.db.models import Count, Max, Min, Q, Sum

from ledger.core.entry import Flag, Kind
from ledger.core.matching import Billed, BookedBefore, Fold, Key, Match, Matching, Spent, match
from ledger.models import BookedDifference, Invoice, InvoiceLine
from ledger.queries.ledgers import COMPANY_LEDGER
from ledger.queries.registry import list_meanings, meanings_of
from o10.kernel.errors import NotFound

LIST_MOST: Final = 200
_KINDS: Final = [Kind.SETTLE, Kind.OVERRUN, Kind.USAGE, Kind.REVERSAL, Kind.REVALUATION]
_SUMS: Final = """
SELECT e.venue_id, (e.at AT TIME ZONE 'UTC')::date, e.model_id, e.offer_id, e.dims_id,
       e.use_case_id, e.envelope_id, sum(e.amount_nanos)::bigint,
       sum(e.tok_in + e.tok_cache_read + e.tok_cache_write + e.tok_cache_write_1h + e.tok_out
           + e.tok_reasoning)::bigint
FROM (
    SELECT o.*, o.effective_at AS at FROM ledger_entry o
    WHERE o.ledger_id = %(ledger)s AND o.venue_id = ANY(%(venues)s) AND o.kind = ANY(%(kinds)s)
      AND o.effective_at >= %(start)s AND o.effective_at < %(end)s
      AND o.recorded_at >= %(start)s::timestamptz - interval '1 day'
      AND o.flags & %(prior)s = 0
    UNION ALL
    SELECT l.*, (convert_from(d.body, 'UTF8')::jsonb #>> '{prior_period,at}')::timestamptz
    FROM ledger_entry l JOIN ledger_document d ON d.hash = l.doc
    WHERE l.ledger_id = %(ledger)s AND l.venue_id = ANY(%(venues)s) AND l.kind = ANY(%(kinds)s)
      AND l.flags & %(prior)s <> 0
      AND l.effective_at >= %(start)s AND l.recorded_at >= %(start)s
      AND (convert_from(d.body, 'UTF8')::jsonb #>> '{prior_period,at}')::timestamptz
          >= %(start)s
      AND (convert_from(d.body, 'UTF8')::jsonb #>> '{prior_period,at}')::timestamptz
          < %(end)s
) e
LEFT JOIN ledger_entry b ON e.kind = %(reversal)s AND b.uid = e.reverses
     AND b.kind = %(reconcile)s AND b.recorded_at >= %(start)s
WHERE b.uid IS NULL
GROUP BY 1, 2, 3, 4, 5, 6, 7
"""


@dataclass(frozen=True, slots=True)
class InvoiceRow:
    """Which bill is it, with how many lines, over how much? Nanos of `currency`.

    `late_lines` came in after the month was closed.
    """

    id: int
    public: str
    venue: str
    venue_id: int
    number: str
    period: str
    currency: str
    source: str
    received_at: datetime
    lines: int
    amount_nanos: int
    late_lines: int
    first_day: date
    last_day: date
    starts_at: datetime
    ends_at: datetime


@dataclass(frozen=True, slots=True)
class Shares:
    """Whose spend is one key of the ledger's side: (use case, envelope) -> nanos?"""

    by_owner: Mapping[tuple[int, int], int]


@dataclass(frozen=True, slots=True)
class _Spent:
    spent: Spent
    owner: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """How does one bill stand? `shares` by key; `model_ids` by the model's name."""

    invoice: InvoiceRow
    matching: Matching
    shares: Mapping[Key, Shares]
    model_ids: Mapping[str, int]

    @property
    def is_settled(self) -> bool:
        """Has every difference above tolerance a cause?"""
        return not self.matching.unexplained

    def find(self, key: Key) -> Match | None:
        """How does this key stand?"""
        return next((line for line in self.matching.lines if line.key == key), None)


@dataclass(frozen=True, slots=True)
class BookedRow:
    """Which difference was booked? Nanos."""

    uid: str
    key: Key
    found: str
    amount_nanos: int
    cause: str
    reason: str
    requested_by: str
    approved_by: str
    is_late: bool
    booked_at: datetime


def list_invoices(
    *, period: str = "", venue: str = "", limit: int = LIST_MOST
) -> list[InvoiceRow]:
    """Which bills are there? The newest month first, then by venue."""
    rows = Invoice.objects.filter(ledger_id=COMPANY_LEDGER)
    if period:
        rows = rows.filter(period=period)
    if venue:
        rows = rows.filter(venue=venue)
    found = list(rows.order_by("-period", "venue", "number")[:limit])
    return _rows(found)


def get_invoice(public: str) -> InvoiceRow:
    """Which bill has this id?

    Raises: NotFound (`not_found`).
    """
    row = Invoice.objects.filter(public=public).first()
    if row is None:
        raise NotFound(kind="invoice", id=public[:40])
    return _rows([row])[0]


def reconcile_invoice(public: str) -> Reconciliation:
    """How does this bill stand to the ledger now?

    Raises: NotFound (`not_found`).
    """
    return reconcile_invoices([get_invoice(public)])[0]


def reconcile_invoices(invoices: Sequence[InvoiceRow]) -> list[Reconciliation]:
    """How do these bills stand to the ledger now? In their order, with one look for all."""
    if not invoices:
        return []
    billed = _billed(invoices)
    booked = _booked(invoices)
    cells = _spent(invoices)
    models = list_meanings(domain="model")
    model_ids = {str(body.get("slug", "")): number for number, body in models.items()}
    return [
        _reconciled(each, billed[each.id], cells[each.venue_id], booked[each.id], model_ids)
        for each in invoices
    ]


def _reconciled(
    invoice: InvoiceRow,
    billed: Sequence[Billed],
    cells: Sequence[_Spent],
    booked: Sequence[BookedBefore],
    model_ids: Mapping[str, int],
) -> Reconciliation:
    own = [each for each in cells if invoice.first_day <= each.spent.day <= invoice.last_day]
    fold = Fold.of(each.key for each in billed)
    shares: dict[Key, dict[tuple[int, int], int]] = {}
    for each in own:
        owners = shares.setdefault(fold.key_of(each.spent), {})
        owners[each.owner] = owners.get(each.owner, 0) + each.spent.amount
    return Reconciliation(
        invoice=invoice,
        matching=match(billed, [each.spent for each in own], booked),
        shares={key: Shares(owners) for key, owners in shares.items()},
        model_ids=model_ids,
    )


def list_booked(public: str) -> list[BookedRow]:
    """Which differences of this bill were booked? The newest first."""
    rows = BookedDifference.objects.filter(invoice__public=public)
    return [_booked_row(row) for row in rows.order_by("-booked_at", "day", "model")]


def sum_venues(*, starts_at: datetime, ends_at: datetime) -> dict[int, int]:
    """What was spent at each venue (number) in these instants? Nanos, calls alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT venue_id, sum(amount_nanos)::bigint FROM rollup_hour"
            " WHERE ledger_id = %s AND bucket >= %s AND bucket < %s AND venue_id <> 0"
            " AND kind_class IN (1, 3) GROUP BY 1",
            [COMPANY_LEDGER, starts_at, ends_at],
        )
        return dict(cursor.fetchall())


def sum_by_day(*, starts_at: datetime, ends_at: datetime) -> list[tuple[date, int, int, int]]:
    """What was spent on each UTC day at each venue on each model? Nanos, calls alone."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT (effective_at AT TIME ZONE 'UTC')::date, venue_id, model_id,"
            " sum(amount_nanos)::bigint FROM ledger_entry WHERE ledger_id = %s"
            " AND effective_at >= %s AND effective_at < %s AND kind = ANY(%s)"
            " AND venue_id <> 0 AND flags & %s = 0 GROUP BY 1, 2, 3 ORDER BY 1, 2, 3",
            [
                COMPANY_LEDGER,
                starts_at,
                ends_at,
                [int(kind) for kind in _KINDS],
                int(Flag.PRIOR_PERIOD),
            ],
        )
        return [tuple(row) for row in cursor.fetchall()]


def count_unpriced(*, starts_at: datetime, ends_at: datetime) -> tuple[int, int]:
    """How many entries of calls of these instants have no price, with how many tokens?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), coalesce(sum(e.tok_in + e.tok_cache_read + e.tok_cache_write"
            " + e.tok_cache_write_1h + e.tok_out + e.tok_reasoning), 0)::bigint"
            " FROM ledger_entry e WHERE e.ledger_id = %s AND e.effective_at >= %s"
            " AND e.effective_at < %s AND e.recorded_at >= %s AND e.kind IN (4, 13)"
            " AND e.price_version = 0 AND e.amount_nanos = 0 AND e.flags & 7 = 1"
            " AND NOT EXISTS (SELECT 1 FROM ledger_reversed r WHERE r.ledger_id = e.ledger_id"
            " AND r.uid = e.uid)",
            [COMPANY_LEDGER, starts_at, ends_at, starts_at - timedelta(days=1)],
        )
        row = cursor.fetchone()
    return int(row[0]), int(row[1])


def _rows(found: Sequence[Invoice]) -> list[InvoiceRow]:
    sums = {
        row["invoice"]: row
        for row in InvoiceLine.objects.filter(invoice__in=found)
        .values("invoice")
        .annotate(
            number=Count("uid"),
            amount=Sum("amount_nanos"),
            late=Count("uid", filter=Q(is_late=True)),
            first=Min("day"),
            last=Max("last_day"),
        )
    }
    rows = []
    for each in found:
        told = sums.get(each.id, {})
        rows.append(
            InvoiceRow(
                id=each.id,
                public=each.public,
                venue=each.venue,
                venue_id=each.venue_id,
                number=each.number,
                period=each.period,
                currency=each.currency,
                source=each.source,
                received_at=each.received_at,
                lines=told.get("number") or 0,
                amount_nanos=int(told.get("amount") or 0),
                late_lines=told.get("late") or 0,
                first_day=told.get("first") or each.starts_at.date(),
                last_day=told.get("last") or each.starts_at.date(),
                starts_at=each.starts_at,
                ends_at=each.ends_at,
            )
        )
    return rows


def _billed(invoices: Sequence[InvoiceRow]) -> dict[int, list[Billed]]:
    found: dict[int, list[Billed]] = {each.id: [] for each in invoices}
    rows = InvoiceLine.objects.filter(invoice_id__in=found).values_list(
        *("invoice_id", "day", "last_day", "model", "tier", "account"),
        *("amount_nanos", "quantity", "unit"),
    )
    for of, day, last_day, model, tier, account, amount, quantity, unit in rows:
        key = Key(day, last_day, model, tier, account)
        found[of].append(Billed(key, amount, quantity if unit == "tokens" else None))
    return found


def _spent(invoices: Sequence[InvoiceRow]) -> dict[int, list[_Spent]]:
    """What has the ledger at each venue on the days of these bills, with whose it is?"""
    first = min(each.first_day for each in invoices)
    last = max(each.last_day for each in invoices)
    with connection.cursor() as cursor:
        cursor.execute(
            _SUMS,
            {
                "ledger": COMPANY_LEDGER,
                "venues": sorted({each.venue_id for each in invoices}),
                "kinds": [int(kind) for kind in _KINDS],
                "prior": int(Flag.PRIOR_PERIOD),
                "reversal": int(Kind.REVERSAL),
                "reconcile": int(Kind.RECONCILE),
                "start": datetime.combine(first, time(), tzinfo=UTC),
                "end": datetime.combine(last, time(), tzinfo=UTC) + timedelta(days=1),
            },
        )
        found = cursor.fetchall()
    models = meanings_of(domain="model", numbers={row[2] for row in found})
    offers = meanings_of(domain="offer", numbers={row[3] for row in found})
    dims = meanings_of(domain="dims", numbers={row[4] for row in found})
    cells: dict[int, list[_Spent]] = {each.venue_id: [] for each in invoices}
    for venue, day, model, offer, dim, use_case, envelope, amount, quantity in found:
        spent = Spent(
            day=day,
            model=str(models.get(model, {}).get("slug", "")),
            tier=str(offers.get(offer, {}).get("tier", "standard")),
            account=str(_tags(dims.get(dim, {})).get("account", "")),
            amount=amount,
            quantity=quantity,
        )
        cells[venue].append(_Spent(spent, (use_case, envelope)))
    return cells


def _tags(body: Mapping[str, Any]) -> Mapping[str, Any]:
    tags = body.get("tags")
    return tags if isinstance(tags, dict) else {}


def _booked(invoices: Sequence[InvoiceRow]) -> dict[int, list[BookedBefore]]:
    found: dict[int, list[BookedBefore]] = {each.id: [] for each in invoices}
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT invoice_id, day, last_day, model, tier, account, amount_nanos"
            " FROM ledger_booked_difference b WHERE invoice_id = ANY(%s) AND NOT EXISTS ("
            " SELECT 1 FROM ledger_reversed r WHERE r.ledger_id = %s AND r.uid = b.uid)",
            [list(found), COMPANY_LEDGER],
        )
        for of, *key, amount in cursor.fetchall():
            found[of].append(BookedBefore(Key(*key), amount))
    return found


def _booked_row(row: BookedDifference) -> BookedRow:
    return BookedRow(
        uid=str(row.uid),
        key=Key(row.day, row.last_day, row.model, row.tier, row.account),
        found=row.found,
        amount_nanos=row.amount_nanos,
        cause=row.cause,
        reason=row.reason,
        requested_by=row.requested_by,
        approved_by=row.approved_by,
        is_late=row.is_late,
        booked_at=row.booked_at,
    )
