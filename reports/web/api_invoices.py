"""Which bills came in, and how do they stand to the ledger? `/invoices`: list, read, book."""

from typing import Annotated, ClassVar

import msgspec
from django.http import HttpResponse
from msgspec import Meta
from rest_framework.request import Request

from o10.access.doors import JSON, KEYED, PAGED, Operation
from o10.access.rest import caller_of
from o10.access.roles import Action
from o10.access.views import Awaits, Door, answer, awaits, key_of, limit_of, query_of
from o10.kernel import clock
from o10.kernel.money import amount_text
from o10.wire import fields as f
from reports import facade
from reports.web.api_imports import LedgerPosition, here


class InvoiceBody(msgspec.Struct, frozen=True, kw_only=True):
    """Which bill is it, over how much?"""

    id: str
    venue: str
    number: str
    period: str
    currency: str
    source: str
    lines: int
    amount: str
    amount_nanos: str


class MatchBody(msgspec.Struct, frozen=True, kw_only=True):
    """How does one key of the bill stand? `difference` is what is not explained yet."""

    day: str
    last_day: str
    model: str
    tier: str
    account: str
    found: str
    billed_nanos: str
    spent_nanos: str
    booked_nanos: str
    difference: str
    difference_nanos: str
    open: bool


class ReconciliationBody(msgspec.Struct, frozen=True, kw_only=True):
    """How does a bill stand? `unexplained_ppm` null = a bill of nothing."""

    invoice: InvoiceBody
    billed_nanos: str
    spent_nanos: str
    booked_nanos: str
    unexplained: str
    unexplained_nanos: str
    unexplained_ppm: int | None
    settled: bool
    matches: list[MatchBody]
    as_of: LedgerPosition


class InvoicePage(msgspec.Struct, frozen=True, kw_only=True):
    """Which bills are there, the newest month first?"""

    items: list[InvoiceBody]
    next: str | None
    as_of: LedgerPosition


class BookBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why does it differ? Class of the match to one of the known causes."""

    causes: dict[f.Word, f.Word]
    reason: Annotated[str, Meta(min_length=1, max_length=400)]
    request_id: f.Name | None = None


class Invoices(Door):
    """The bills received."""

    operations: ClassVar = {
        "GET": Operation(
            action=Action.READ_SPEND,
            gives={JSON: InvoicePage},
            query={"limit": PAGED["limit"], "period": "A month, such as 2026-10."},
        ),
    }

    def get(self, request: Request) -> HttpResponse:
        """By month and venue."""
        query = query_of(request, allowed=frozenset({"limit", "period"}))
        rows = facade.list_invoices(period=query.get("period", ""), limit=limit_of(query))
        items = [_invoice(row) for row in rows]
        return answer(InvoicePage(items=items, next=None, as_of=here()))


class OneInvoice(Door):
    """One bill against the ledger, line by line."""

    operations: ClassVar = {
        "GET": Operation(action=Action.READ_SPEND, gives={JSON: ReconciliationBody}),
    }

    def get(self, request: Request, public: str) -> HttpResponse:
        """By its id."""
        query_of(request, allowed=frozenset())
        return answer(_reconciliation(facade.reconcile_invoice(public)))


class BookInvoice(Door):
    """Asks a second person to book what a bill differs by."""

    operations: ClassVar = {
        "POST": Operation(
            action=Action.CORRECT_LEDGER,
            takes={JSON: BookBody},
            gives={JSON: Awaits},
            headers=KEYED,
            status=202,
        ),
    }

    def post(self, request: Request, public: str) -> HttpResponse:
        """All differences at once, those within tolerance as rounding."""
        query_of(request, allowed=frozenset())
        body = self.parse(request, BookBody)
        view = facade.propose_differences(
            invoice=public,
            causes=body.causes,
            reason=body.reason,
            actor=caller_of(request),
            now=clock.now(),
            key=key_of(request, body),
        )
        return awaits(view.id, view.needs)


def _invoice(row: facade.InvoiceRow) -> InvoiceBody:
    return InvoiceBody(
        id=row.public,
        venue=row.venue,
        number=row.number,
        period=row.period,
        currency=row.currency,
        source=row.source,
        lines=row.lines,
        amount=amount_text(row.amount_nanos),
        amount_nanos=str(row.amount_nanos),
    )


def _reconciliation(found: facade.Reconciliation) -> ReconciliationBody:
    matching = found.matching
    return ReconciliationBody(
        invoice=_invoice(found.invoice),
        billed_nanos=str(matching.billed),
        spent_nanos=str(matching.spent),
        booked_nanos=str(matching.booked),
        unexplained=amount_text(matching.unexplained),
        unexplained_nanos=str(matching.unexplained),
        unexplained_ppm=matching.unexplained_ppm,
        settled=found.is_settled,
        matches=[_match(line) for line in matching.lines],
        as_of=here(),
    )


def _match(line: facade.Match) -> MatchBody:
    return MatchBody(
        day=str(line.key.day),
        last_day=str(line.key.last_day),
        model=line.key.model,
        tier=line.key.tier,
        account=line.key.account,
        found=line.found.value,
        billed_nanos=str(line.billed),
        spent_nanos=str(line.spent),
        booked_nanos=str(line.booked),
        difference=amount_text(line.difference),
        difference_nanos=str(line.difference),
        open=line.is_open,
    )
