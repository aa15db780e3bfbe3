"""Which entry does a usage record become: at which price, with which names, flags and document?

Writes to the registry and to documents, locks nothing else: it comes before the balances.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from msgspec import UNSET

from ledger.core.entry import Basis, Entry, Finish, Flag, Kind, Purpose, pack_flags
from ledger.core.offer_names import ModelUnknown
from ledger.core.pricing import RatedOffer, price_usage
from ledger.core.prior_period import Placement, place
from ledger.operations.intern import Domain, intern
from ledger.operations.keep_exposure import Place
from ledger.operations.offer_numbers import OfferNumbers, offer_numbers
from ledger.operations.put_document import put_document
from ledger.queries.ledgers import LedgerRow
from ledger.queries.prices import PriceState, rates_for, served_tier
from o10.access.keys import Caller
from o10.kernel import ids
from o10.kernel.money import ceil_div
from o10.kernel.rates import CostLines, UnknownPrice
from o10.kernel.usage import TokenClass, Usage
from o10.wire.facts import UsageRecord
from o10.wire.requests import CacheHit

CENT_NANOS: Final = 10_000_000
_COLUMN_OF: Final[Mapping[TokenClass, str]] = {
    TokenClass.INPUT: "tok_in",
    TokenClass.CACHE_READ: "tok_cache_read",
    TokenClass.CACHE_WRITE_5M: "tok_cache_write",
    TokenClass.CACHE_WRITE_1H: "tok_cache_write_1h",
    TokenClass.OUTPUT: "tok_out",
    TokenClass.REASONING: "tok_reasoning",
}
"""Classes with a column of their own; the others stand in the entry's document."""


@dataclass(frozen=True, slots=True)
class Booking:
    """What do all records of one call share?"""

    ledger: LedgerRow
    caller: Caller
    actor_id: int
    book: PriceState
    closed_until: datetime | None
    now: datetime

    def placed(self, at: datetime) -> Placement:
        """When is usage of this instant effective? Now, if its month is closed."""
        zone = self.ledger.time_zone
        return place(at, closed_until=self.closed_until, now=self.now, time_zone=zone)


def draft_of(uid: UUID, record: UsageRecord, place: Place, booking: Booking) -> Entry:
    """Which draft stands for this record? `env_version` is filled in once balances moved.

    Priced at the instant of use, also where its month is closed and it stands in the open one.
    """
    placement = booking.placed(record.at.astimezone(UTC))
    counted = record.disjoint()
    usage = counted.usage if record.cache is not CacheHit.EDGE else Usage()
    rated, numbers = _offer(record, usage, booking)
    cost = _cost(usage, rated, booking.ledger.currency)
    amount = cost.total_nanos if cost is not None else 0
    marks = Flag.UNGUARDED if amount else Flag(0)
    if not counted.consistent:
        marks |= Flag.USAGE_INCONSISTENT
    if record.cache is CacheHit.EDGE:
        marks |= Flag.EDGE_CACHE_HIT
    if record.fail_open is not UNSET:
        marks |= Flag.FAIL_OPEN
    if placement.is_prior:
        marks |= Flag.PRIOR_PERIOD
    if _provider_differs(record, amount, booking.ledger.currency):
        marks |= Flag.PROVIDER_COST_DIFFERS
    return Entry(
        ledger_id=booking.ledger.id,
        kind=Kind.USAGE,
        uid=uid,
        effective_at=placement.effective_at,
        recorded_at=booking.now,
        envelope_id=place.envelope_id,
        use_case_id=place.use_case_id,
        dims_id=_dims(record, place, booking),
        offer_id=numbers.offer_id,
        venue_id=numbers.venue_id,
        model_id=numbers.model_id,
        actor_id=booking.actor_id,
        amount_nanos=amount,
        n=record.calls,
        **{column: usage.of(token_class) for token_class, column in _COLUMN_OF.items()},
        latency_ms=record.latency_ms or 0,
        price_version=rated.price_version if rated is not None and cost is not None else 0,
        parent=_run(record),
        attempt=record.attempt,
        flags=pack_flags(
            basis=Basis.ESTIMATED if cost is None or _is_guess(record) else Basis.MEASURED,
            purpose=Purpose[record.purpose.name],
            finish=Finish[record.status.name],
            marks=marks,
        ),
        doc=_document(record, usage, cost, placement, booking.now),
        ref=record.provider_request_id or "",
    )


def _offer(
    record: UsageRecord, usage: Usage, booking: Booking
) -> tuple[RatedOffer | None, OfferNumbers]:
    """Which offer served it? A model that is in no offer keeps its name as it was sent."""
    try:
        rated = rates_for(
            venue=record.venue,
            model=record.model,
            region=record.region,
            tier=served_tier(record.service_tier) if record.service_tier else None,
            at=record.at,
            # Thresholds are per call; an aggregate stands for calls of its average size.
            total_input_tokens=ceil_div(usage.total_input, record.calls),
            book=booking.book,
        )
    except ModelUnknown:
        rated = None
    about = {"ledger_id": booking.ledger.id, "actor": booking.actor_id, "now": booking.now}
    if rated is not None:
        return rated, offer_numbers(key=rated.key, **about)
    venue = intern(Domain.VENUE, {"slug": record.venue}, **about) if record.venue else 0
    model = intern(Domain.MODEL, {"slug": record.model}, **about)
    return None, OfferNumbers(offer_id=0, venue_id=venue, model_id=model)


def _cost(usage: Usage, rated: RatedOffer | None, currency: str) -> CostLines | None:
    """What does it cost, or None when somebody still has to say so?"""
    if not any(quantity for _, quantity in usage.items()):
        return CostLines(currency, (), 0)
    if rated is None or rated.rates.currency != currency:
        return None
    try:
        return price_usage(usage, rated)
    except UnknownPrice:
        return None


def _provider_differs(record: UsageRecord, amount: int, currency: str) -> int:
    """By more than 1 % and more than 1 cent, in the same currency?"""
    stated = record.provider_cost
    if stated is None or stated.currency != currency:
        return 0
    gap = abs(stated.nanos - amount)
    return int(gap > max(CENT_NANOS, abs(amount) // 100))


def _is_guess(record: UsageRecord) -> bool:
    """Are the counts the most it could use, since nobody said what it did?"""
    return record.fail_open is not UNSET and record.fail_open.estimated


def _dims(record: UsageRecord, place: Place, booking: Booking) -> int:
    stated = {
        "department": place.department,
        "key": booking.caller.key_id if booking.caller.key_id.startswith("key_") else "",
        "environment": record.environment,
        "customer": record.customer,
        "task_type": record.task_type,
        "step_kind": record.step_kind,
        "prompt_version": record.prompt_version,
        "tags": dict(record.tags),
    }
    meaning: dict[str, object] = {name: value for name, value in stated.items() if value}
    if not meaning:
        return 0
    return intern(
        Domain.DIMS,
        meaning,
        ledger_id=booking.ledger.id,
        actor=booking.actor_id,
        now=booking.now,
    )


def _run(record: UsageRecord) -> UUID:
    if not record.run_id:
        return UUID(int=0)
    return ids.uid(scope="run", key=record.run_id, origin_ms=0)


def _document(
    record: UsageRecord,
    usage: Usage,
    cost: CostLines | None,
    placement: Placement,
    now: datetime,
) -> bytes:
    """What has no column: other token classes with their amounts, the provider's own figure."""
    body: dict[str, Any] = {**placement.told}
    others = {
        token_class: quantity
        for token_class, quantity in usage.items()
        if quantity and token_class not in _COLUMN_OF and token_class is not TokenClass.REQUEST
    }
    if others:
        lines = cost.lines if cost is not None else ()
        body["classes"] = [
            {
                "class": token_class.value,
                "quantity": quantity,
                "amount_nanos": sum(
                    line.nanos for line in lines if line.token_class == token_class
                ),
            }
            for token_class, quantity in others.items()
        ]
    if record.provider_cost is not None:
        body["provider_cost"] = {
            "amount": record.provider_cost.amount,
            "currency": record.provider_cost.currency,
        }
    if record.outcome is not None:
        body["outcome"] = {
            "id": record.outcome.id,
            "success": int(record.outcome.success),
            "type": record.outcome.type,
        }
    if record.fail_open is not UNSET:
        body["fail_open"] = {
            "estimated": int(record.fail_open.estimated),
            "since": record.fail_open.since.astimezone(UTC).isoformat(),
            "until": record.fail_open.until.astimezone(UTC).isoformat(),
        }
    return put_document(body, now=now) if body else b""
