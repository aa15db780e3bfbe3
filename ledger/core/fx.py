"""What is an amount in another currency worth in ours? Dated rates, exact, never a float.

A rate says how many units of the ledger's currency one unit of another is worth from the start
of its date on, until the next date. It is kept as the decimal text it was given and computed
with as a fraction; the one rounding is that of the result, half even.
Source: product.md section 13; pains.md P16; docs/algorithms/price-governance.md.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from fractions import Fraction
from typing import Final

from ledger.core.price_terms import MAX_NANOS_PER_MILLION, Bracket, FxStep, PriceRule, RateCard
from o10.kernel.errors import FieldError, ValidationFailed
from o10.kernel.money import Nanos, half_even

_RATE: Final = re.compile(r"(?P<whole>\d{1,9})(?:\.(?P<part>\d{1,15}))?", re.A)
_CURRENCY: Final = re.compile(r"[A-Z]{3}", re.A)


@dataclass(frozen=True, slots=True, kw_only=True)
class FxRate:
    """How much of the ledger's currency is one unit of `currency` worth since `rate_date`?

    Shape: `rate` is a decimal text above 0 with at most 15 decimals; `since` is the price
    version that brought it: a later one for the same date takes its place from then on.
    """

    currency: str
    rate: str
    rate_date: date
    source: str
    evidence: str = ""
    since: int = 0


def rate_text(text: str) -> str:
    """How is this rate written once and for all? Without leading and trailing zeroes.

    Raises: ValidationFailed (`validation_failed`) for what is no decimal above 0.
    """
    found = _RATE.fullmatch(text.strip())
    if found is None or not (int(found["whole"]) or int(found["part"] or 0)):
        message = "A rate is a decimal above 0 such as 1.0842, with at most 15 decimals."
        raise ValidationFailed(errors=[FieldError("/rate", "malformed", message)])
    part = (found["part"] or "").rstrip("0")
    return f"{int(found['whole'])}.{part}" if part else str(int(found["whole"]))


def is_currency(text: str) -> bool:
    """Is this an ISO 4217 code by its form?"""
    return _CURRENCY.fullmatch(text) is not None


def fraction_of(rate: str) -> Fraction:
    """Which number is this rate, exactly?"""
    return Fraction(rate)


def convert(nanos: Nanos, rate: str) -> Nanos:
    """How many nanos of the ledger's currency are these worth? Rounded half even, once."""
    exact = fraction_of(rate) * nanos
    return half_even(exact.numerator, exact.denominator)


def latest(rates: Sequence[FxRate], *, on: date) -> FxRate | None:
    """Which of these rates of one currency, oldest first, holds on this day? None before."""
    found = bisect_right([rate.rate_date for rate in rates], on)
    return rates[found - 1] if found else None


def by_currency(rates: Iterable[FxRate]) -> dict[str, tuple[FxRate, ...]]:
    """Which rates has each currency, oldest date first, the newest word for each date?"""
    said: dict[tuple[str, date], FxRate] = {}
    for rate in sorted(rates, key=lambda each: each.since):
        said[rate.currency, rate.rate_date] = rate
    found: dict[str, list[FxRate]] = {}
    for place in sorted(said):
        found.setdefault(place[0], []).append(said[place])
    return {currency: tuple(each) for currency, each in found.items()}


def in_our_currency(
    rules: Iterable[PriceRule], *, currency: str, rates: Mapping[str, Sequence[FxRate]]
) -> tuple[PriceRule, ...]:
    """Which rules price the same in the ledger's currency? One for each rate that holds.

    A rule in our currency stays as it is. One in a currency without any rate is left out as it
    was, unusable: its price is unknown, never that of another currency.
    """
    found: list[PriceRule] = []
    for rule in rules:
        known = rates.get(rule.card.currency, ())
        if rule.card.currency == currency or not known:
            found.append(rule)
            continue
        found += _steps(rule, currency, known)
    return tuple(found)


def _steps(rule: PriceRule, currency: str, known: Sequence[FxRate]) -> list[PriceRule]:
    steps = []
    for place, rate in enumerate(known):
        begins = max(rule.valid_from, _midnight(rate.rate_date))
        last = place + 1 == len(known)
        ends = rule.valid_to if last else _earlier(rule.valid_to, known[place + 1].rate_date)
        if ends is not None and ends <= begins:
            continue
        step = FxStep(rule.card.currency, rate.rate, rate.rate_date, rule.valid_from)
        card = _card(rule.card, currency, rate.rate)
        steps.append(replace(rule, valid_from=begins, valid_to=ends, card=card, fx=step))
    return steps


def _card(card: RateCard, currency: str, rate: str) -> RateCard:
    meters = {
        meter: tuple(
            Bracket(each.above_tokens, _price(each.nanos_per_million, rate))
            for each in brackets
        )
        for meter, brackets in card.meters.items()
    }
    return RateCard(currency, meters, card.threshold, card.reasoning)


def _price(nanos_per_million: Nanos, rate: str) -> Nanos:
    # What costs something never becomes free by rounding.
    least = 1 if nanos_per_million else 0
    return min(MAX_NANOS_PER_MILLION, max(least, convert(nanos_per_million, rate)))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _earlier(end: datetime | None, day: date) -> datetime:
    return _midnight(day) if end is None else min(end, _midnight(day))
