"""What did an attempt cost, by its reported usage? Before any lock; nothing is written.

No usage, or usage without a price, is never zero: it is booked at the worst case, as estimated.
A provider's own figure is evidence beside it, never the price.
Source: product.md sections 3.1 and 6.
"""

from dataclasses import dataclass, field
from typing import Any

from ledger import facade as ledger
from o10.kernel.money import Nanos
from o10.kernel.rates import CostLines, UnknownPrice
from o10.kernel.usage import TokenClass, Usage
from o10.wire.reasons import SettleFlag
from o10.wire.requests import CacheHit, Settle
from policies.core.record import exact
from policies.operations.reservations import Hold
from policies.queries.prices import find_rated

CENT = 10_000_000
"""Nanos; a provider's figure may differ by this or by one per cent."""
COLUMN_CLASSES = frozenset(
    {
        TokenClass.INPUT,
        TokenClass.CACHE_READ,
        TokenClass.CACHE_WRITE_5M,
        TokenClass.CACHE_WRITE_1H,
        TokenClass.OUTPUT,
        TokenClass.REASONING,
    }
)
"""Classes with a column of their own in the entry; the others stand in its document."""
NOTHING_USED = Usage()


@dataclass(frozen=True, slots=True, kw_only=True)
class Bill:
    """What is to be booked for the attempt?

    `cost` None = not known: the open rest of the hold, as estimated. `rated` is the offer that
    served, None when it is the one reserved or has no price.
    """

    cost: Nanos | None
    usage: Usage
    flags: frozenset[SettleFlag]
    rated: ledger.RatedOffer | None = None
    edge: bool = False
    document: dict[str, Any] = field(default_factory=dict)


def price_attempt(*, hold: Hold, request: Settle, currency: str) -> Bill:
    """What did this attempt cost?

    Units: nanos of the ledger's currency.
    """
    flags: set[SettleFlag] = set()
    evidence = _evidence(request)
    if request.cache is CacheHit.EDGE:
        return Bill(
            cost=0,
            usage=NOTHING_USED,
            flags=frozenset(),
            edge=True,
            document={"cache": "edge", **evidence},
        )
    usage = NOTHING_USED
    if request.usage is not None:
        classes = request.usage.disjoint()
        usage = classes.usage
        flags |= _usage_flags(usage, hold, classes.consistent)
    rated = _served(hold, request, usage)
    flags |= _served_flags(hold, request, rated)
    if request.usage is None:
        return _estimated(flags, usage, request, evidence)
    try:
        lines = _lines(usage, rated, currency)
    except UnknownPrice:
        return _estimated(flags, usage, request, evidence)
    if _provider_differs(request, lines.total_nanos, currency):
        flags.add(SettleFlag.PROVIDER_COST_DIFFERS)
    return Bill(
        cost=lines.total_nanos,
        usage=usage,
        flags=frozenset(flags),
        rated=rated,
        document={**_price_document(rated), **_line_document(lines), **evidence},
    )


def caps_kept(*, usage: Usage, max_output_tokens: int, n: int) -> SettleFlag | None:
    """Did the answer stay within the granted output? The flag when it did not."""
    if usage.total_output > max_output_tokens * n:
        return SettleFlag.CAPS_NOT_HONOURED
    return None


def _usage_flags(usage: Usage, hold: Hold, consistent: object) -> set[SettleFlag]:
    flags = set() if consistent else {SettleFlag.USAGE_INCONSISTENT}
    if usage.total_input + usage.total_output == 0:
        flags.add(SettleFlag.ZERO_USAGE_CONFIRMED)
    n = int(hold.shape.get("n", 1))
    broken = caps_kept(usage=usage, max_output_tokens=hold.max_output_tokens, n=n)
    return flags | ({broken} if broken else set())


def _served(hold: Hold, request: Settle, usage: Usage) -> ledger.RatedOffer | None:
    """Which offer answered, and at which rates?"""
    elsewhere = request.model is not None and request.model not in _own_names(hold)
    return find_rated(
        venue=request.venue or hold.venue or None,
        model=request.model if elsewhere and request.model else hold.model,
        region=hold.region or None,
        tier=_tier(hold, request),
        at=hold.authorized_at,
        total_input_tokens=usage.total_input,
        price_version=hold.price_version,
    )


def _tier(hold: Hold, request: Settle) -> str | None:
    if request.service_tier is None:
        return hold.tier or None
    return ledger.served_tier(request.service_tier) or hold.tier or None


def _served_flags(
    hold: Hold, request: Settle, rated: ledger.RatedOffer | None
) -> set[SettleFlag]:
    flags: set[SettleFlag] = set()
    # A promise of a lost journal says no model; nothing differs from what nobody knows.
    known = hold.model or not hold.sequence
    named = known and request.model is not None and request.model not in _own_names(hold)
    if named and (rated is None or rated.key.model != hold.model):
        flags.add(SettleFlag.MODEL_SERVED_DIFFERS)
    if hold.tier and _tier(hold, request) != hold.tier:
        flags.add(SettleFlag.TIER_SERVED_DIFFERS)
    return flags


def _own_names(hold: Hold) -> tuple[str, ...]:
    """Under which names does the reserved model go? Its own and the one the caller used."""
    asked = hold.shape.get("model")
    return (hold.model, str(asked)) if asked else (hold.model,)


def _lines(usage: Usage, rated: ledger.RatedOffer | None, currency: str) -> CostLines:
    if rated is None or rated.rates.currency != currency:
        used = [each for each, quantity in usage.items() if quantity]
        raise UnknownPrice(token_classes=used, currency=currency)
    return ledger.price_usage(usage, rated)


def _estimated(
    flags: set[SettleFlag], usage: Usage, request: Settle, evidence: dict[str, Any]
) -> Bill:
    document = {"price": None, "estimated": 1, "model": request.model or "", **evidence}
    return Bill(
        cost=None,
        usage=usage,
        flags=frozenset({*flags, SettleFlag.USAGE_ESTIMATED}),
        document=document,
    )


def _provider_differs(request: Settle, cost: Nanos, currency: str) -> int:
    """Is the provider's own figure more than 1 % or 1 cent off, or in another currency?"""
    stated = request.provider_cost
    if stated is None:
        return 0
    if stated.currency != currency:
        return 1
    difference = abs(stated.nanos - cost)
    return int(difference > CENT or difference * 100 > cost)


def _price_document(rated: ledger.RatedOffer | None) -> dict[str, Any]:
    if rated is None:
        return {}
    return {
        "price": {
            "offer": rated.slug,
            "rule": rated.rule_id,
            "source": str(rated.source),
            "source_name": rated.source_name,
            "version": rated.price_version,
        }
    }


def _line_document(lines: CostLines) -> dict[str, Any]:
    """Every line, where a class has no column of its own; else the columns say it all."""
    if all(line.token_class in COLUMN_CLASSES for line in lines.lines):
        return {}
    return {
        "lines": [
            {
                "class": line.token_class.value,
                "quantity": line.quantity,
                "nanos_per_million": exact(line.nanos_per_million),
                "nanos": exact(line.nanos),
            }
            for line in lines.lines
        ]
    }


def _evidence(request: Settle) -> dict[str, Any]:
    evidence: dict[str, Any] = {}
    if request.provider_cost is not None:
        evidence["provider_cost"] = {
            "amount": request.provider_cost.amount,
            "currency": request.provider_cost.currency,
        }
    if request.outcome is not None:
        evidence["outcome"] = {
            "type": request.outcome.type,
            "id": request.outcome.id,
            "success": int(request.outcome.success),
        }
    return evidence
