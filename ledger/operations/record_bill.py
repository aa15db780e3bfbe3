"""How does a bill get in? Each line one `invoice_line` entry of amount 0: evidence, not spend.

A line has its bill by venue and month. A line in another currency is
converted at the dated rate of its day, which stands in its document; without a rate it is
refused. Once for each (source, key): the same line again is known, with another content it is
refused.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, time
from hashlib import sha256
from typing import Any, Final
from uuid import UUID

from django.db import connection

from ledger.core.document import canonical_json, document_hash
from ledger.core.entry import REF_BYTES_MAX, Basis, Entry, Flag, Kind, pack_flags
from ledger.core.fx import convert, latest
from ledger.core.offer_names import ModelUnknown
from ledger.core.price_terms import Tier
from ledger.core.prior_period import month_after, month_bounds, place
from ledger.models import Invoice, InvoiceLine
from ledger.operations import append as entries
from ledger.operations.importers.rows import BillRow, RowRefused
from ledger.operations.intern import Domain, intern
from ledger.operations.put_document import put_documents
from ledger.queries.entries import StoredEntry
from ledger.queries.ledgers import LedgerRow
from ledger.queries.prices import PriceState, resolve_offer_key, served_tier
from o10.kernel import ids

PROVIDER_ZONE: Final = "UTC"
"""Providers bill by UTC days and months."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BillBooking:
    """What do all lines of one batch share? `imported` is the number of the import."""

    ledger: LedgerRow
    source: str
    imported: int
    file_hash: bytes
    actor_id: int
    book: PriceState
    closed_until: datetime | None
    now: datetime


@dataclass(frozen=True, slots=True)
class _Line:
    row: BillRow
    amount: int
    model: str
    fx: Mapping[str, str] | None


def line_uid(row: BillRow, *, source: str) -> UUID:
    """Which uid has the entry of this line?"""
    return ids.uid(scope="invoice_line", key=f"{source}\n{row.venue}\n{row.key}", origin_ms=0)


def line_hash(row: BillRow) -> bytes:
    """When are two lines the same? When all they say is, whatever row they stand in."""
    said = {name: value for name, value in asdict(row).items() if name != "row"}
    text = {
        name: value if isinstance(value, int | str) or value is None else str(value)
        for name, value in said.items()
    }
    return sha256(canonical_json(text)).digest()


def in_ledger_currency(
    row: BillRow, *, currency: str, book: PriceState
) -> tuple[int, dict[str, str] | None]:
    """What is the line's amount in our currency, at which rate?

    Raises: RowRefused (`currency_unknown`) without a rate for its day.
    """
    if row.currency == currency:
        return row.amount_nanos, None
    rate = latest(book.fx.get(row.currency, ()), on=row.day)
    if rate is None:
        told = f"There is no rate from {row.currency} to {currency} for {row.day}."
        raise RowRefused("currency_unknown", told)
    said = {"currency": row.currency, "date": str(rate.rate_date), "rate": rate.rate}
    return convert(row.amount_nanos, rate.rate), said


def model_of(row: BillRow, *, book: PriceState) -> str:
    """Which model of the price book does the line mean? Its own words where none."""
    if not row.model:
        return ""
    try:
        return resolve_offer_key(model=row.model, venue=row.venue, book=book).model
    except ModelUnknown:
        return row.model.lower()


def tier_of(row: BillRow) -> str:
    """Which tier of ours does the line mean? Empty where it does not say."""
    if not row.tier:
        return ""
    return served_tier(row.tier) or (row.tier if row.tier in set(Tier) else row.tier[:16])


def record_bill(rows: Sequence[BillRow], *, booking: BillBooking) -> list[StoredEntry]:
    """Which entries were written for these lines? Only for those that are new.

    Must run in a transaction. Raises: IntegrityError when a line was booked meanwhile.
    """
    lines = []
    for row in rows:
        amount, fx = in_ledger_currency(
            row, currency=booking.ledger.currency, book=booking.book
        )
        lines.append(_Line(row, amount, model_of(row, book=booking.book), fx))
    hashes = {line_uid(row, source=booking.source): line_hash(row) for row in rows}
    about: dict[str, Any] = {
        "ledger_id": booking.ledger.id,
        "actor": booking.actor_id,
        "now": booking.now,
    }
    venues = {
        name: intern(Domain.VENUE, {"slug": name}, **about)
        for name in sorted({line.row.venue for line in lines})
    }
    models = {
        name: intern(Domain.MODEL, {"slug": name}, **about)
        for name in sorted({line.model for line in lines if line.model})
    }
    claimed, taken = entries.claim(ledger_id=booking.ledger.id, hashes=hashes)
    fresh = [line for line in lines if line_uid(line.row, source=booking.source) in claimed]
    bills = _bills(fresh, venues, booking)
    drafts, bodies, stored = [], [], []
    for line in fresh:
        draft, body = _draft(line, bills, venues, models, booking)
        drafts.append(draft)
        bodies.append(body)
        stored.append(_row(line, draft, bills, booking))
    put_documents(bodies, now=booking.now)
    written = entries.append(drafts, claimed=claimed)
    InvoiceLine.objects.bulk_create(stored, batch_size=1_000)
    return written


def _bills(
    lines: Sequence[_Line], venues: Mapping[str, int], booking: BillBooking
) -> dict[tuple[str, str], Invoice]:
    """Which bill has each line? Made the first time one of its lines comes.

    All a venue sends for a month is one bill, whatever numbers it has: the ledger's side can't
    tell them apart. The first number is the one that is shown.
    """
    found: dict[tuple[str, str], Invoice] = {}
    for line in lines:
        place_of = _bill_of(line.row)
        if place_of not in found:
            found[place_of] = _bill(line.row, venues[line.row.venue], booking)
    return found


def _bill(row: BillRow, venue_id: int, booking: BillBooking) -> Invoice:
    venue, period = _bill_of(row)
    with connection.cursor() as cursor:
        # Two workers with lines of one bill take turns.
        cursor.execute(
            "SELECT pg_advisory_xact_lock(hashtext('o10 bill'), hashtext(%s))",
            [f"{venue} {period}"],
        )
    about = {
        "ledger_id": booking.ledger.id,
        "venue": venue,
        "period": period,
        "currency": booking.ledger.currency,
    }
    standing = Invoice.objects.filter(**about).order_by("id").first()
    if standing is not None:
        return standing
    starts, _ = month_bounds(period, time_zone=PROVIDER_ZONE)
    ends, _ = month_bounds(month_after(period), time_zone=PROVIDER_ZONE)
    return Invoice.objects.create(
        **about,
        public=ids.new_id("inv"),
        venue_id=venue_id,
        number=row.number,
        starts_at=starts,
        ends_at=ends,
        source=booking.source,
        received_at=booking.now,
    )


def _bill_of(row: BillRow) -> tuple[str, str]:
    return row.venue, f"{row.day:%Y-%m}"


def _draft(
    line: _Line,
    bills: Mapping[tuple[str, str], Invoice],
    venues: Mapping[str, int],
    models: Mapping[str, int],
    booking: BillBooking,
) -> tuple[Entry, bytes]:
    row = line.row
    noon = datetime.combine(row.day, time(12), tzinfo=UTC)
    placement = place(
        noon,
        closed_until=booking.closed_until,
        now=booking.now,
        time_zone=booking.ledger.time_zone,
    )
    body: dict[str, Any] = {
        "account": row.account,
        "amount_nanos": str(line.amount),
        "currency": booking.ledger.currency,
        "day": str(row.day),
        "file": booking.file_hash.hex(),
        "invoice": bills[_bill_of(row)].public,
        "last_day": str(row.last_day),
        "meter": row.meter,
        "model": line.model,
        "number": row.number,
        "row": row.row,
        "source": booking.source,
        "tier": tier_of(row),
        "venue": row.venue,
        **placement.told,
    }
    if row.quantity is not None:
        body |= {"quantity": str(row.quantity), "unit": row.unit}
    if line.fx is not None:
        body["fx"] = {**line.fx, "amount_nanos": str(row.amount_nanos)}
    encoded = canonical_json(body)
    marks = Flag.PRIOR_PERIOD if placement.is_prior else Flag(0)
    draft = Entry(
        ledger_id=booking.ledger.id,
        kind=Kind.INVOICE_LINE,
        uid=line_uid(row, source=booking.source),
        effective_at=min(placement.effective_at, booking.now),
        recorded_at=booking.now,
        venue_id=venues[row.venue],
        model_id=models.get(line.model, 0),
        actor_id=booking.actor_id,
        flags=pack_flags(basis=Basis.INVOICE, marks=marks),
        doc=document_hash(encoded),
        ref=_ref(row.number or f"row {row.row}"),
    )
    return draft, encoded


def _ref(text: str) -> str:
    return text.encode()[:REF_BYTES_MAX].decode(errors="ignore")


def _row(
    line: _Line,
    draft: Entry,
    bills: Mapping[tuple[str, str], Invoice],
    booking: BillBooking,
) -> InvoiceLine:
    row = line.row
    return InvoiceLine(
        uid=draft.uid,
        invoice=bills[_bill_of(row)],
        imported=booking.imported,
        row=row.row,
        day=row.day,
        last_day=row.last_day,
        model=line.model,
        tier=tier_of(row),
        account=row.account,
        meter=row.meter,
        quantity=row.quantity,
        unit=row.unit,
        amount_nanos=line.amount,
        is_late=bool(draft.flags & Flag.PRIOR_PERIOD),
        received_at=booking.now,
    )


def known_hashes(uids: Sequence[UUID], *, ledger_id: int) -> dict[UUID, bytes]:
    """Which of these uids are written, for which request?"""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT uid, request_hash FROM ledger_idem"
            " WHERE ledger_id = %s AND uid = ANY(%s::uuid[])",
            [ledger_id, list(uids)],
        )
        return {uid: bytes(found) for uid, found in cursor.fetchall()}
