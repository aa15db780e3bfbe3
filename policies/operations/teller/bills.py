"""What does a usual attempt cost? By known rates: four products, and no document.

Which rates hold is asked once, by the same function as for every attempt, for all calls of an
offer that were authorized in a span of time and have so many tokens; what is left is
arithmetic. Whatever could raise a flag, or needs a word in the entry, is no usual attempt and
is priced in full (policies.operations.price_attempt). A test compares both for any usage.
Source: docs/decisions/0011-usual-calls-have-terms.md.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from ledger import facade as ledger
from o10.kernel.money import Nanos, half_even
from o10.kernel.rates import MILLION
from o10.kernel.usage import TokenClass
from o10.lease.records import Grounds
from o10.wire.requests import Settle, UsageCounts
from policies.queries.prices import book_of, find_rated

MOST_KEPT: Final = 1_000
_Name = tuple[str, str, str, str, int]


@dataclass(frozen=True, slots=True)
class BillTerms:
    """At which rates are such calls billed?

    For those authorized in [since, until), with more than `above` input tokens in all and at
    most `most` (None = any number). Units: nanos per million tokens; `fee` nanos. A price that
    is None is not known.
    """

    since: datetime
    until: datetime
    above: int
    most: int | None
    input_price: int | None
    output_price: int | None
    cache_price: int | None
    reasoning_price: int | None
    fee: Nanos


class BillBook:
    """Which terms have been asked for so far? By offer and price version."""

    def __init__(self) -> None:
        self._kept: dict[_Name, BillTerms | None] = {}

    def cost_of(
        self, *, grounds: Grounds, granted: int, request: Settle, at: datetime, currency: str
    ) -> Nanos | None:
        """What does this attempt cost? None = it is priced in full.

        `granted` is the output that one answer may have, `at` when the call was authorized.
        """
        usage = request.usage
        if usage is None or not _is_usual(request, usage, grounds.model):
            return None
        text_in = usage.input_tokens - usage.cached_input_tokens
        text_out = usage.output_tokens - usage.reasoning_tokens
        if text_in < 0 or text_out < 0 or usage.output_tokens > granted:
            return None
        terms = self._terms(grounds, usage.input_tokens, at, currency)
        if terms is None:
            return None
        cost = terms.fee
        for quantity, price in (
            (text_in, terms.input_price),
            (text_out, terms.output_price),
            (usage.cached_input_tokens, terms.cache_price),
            (usage.reasoning_tokens, terms.reasoning_price),
        ):
            if quantity:
                if price is None:
                    return None
                cost += half_even(quantity * price, MILLION)
        return cost

    def _terms(
        self, grounds: Grounds, input_tokens: int, at: datetime, currency: str
    ) -> BillTerms | None:
        name = (
            grounds.venue,
            grounds.model,
            grounds.region,
            grounds.tier,
            grounds.price_version,
        )
        terms = self._kept.get(name)
        if (
            terms is not None
            and terms.since <= at < terms.until
            and terms.above < input_tokens
            and (terms.most is None or input_tokens <= terms.most)
        ):
            return terms
        terms = _ask(grounds, input_tokens, at, currency)
        if len(self._kept) >= MOST_KEPT:
            self._kept.clear()
        self._kept[name] = terms
        return terms


def _is_usual(request: Settle, usage: UsageCounts, model: str) -> bool:
    """Is nothing said that a flag, another rate or a document could follow from?"""
    return (
        request.cache is None
        and request.venue is None
        and request.service_tier is None
        and request.provider_cost is None
        and request.model in (None, model)
        and usage.requests == 1
        and usage.input_tokens + usage.output_tokens > 0
        and not (
            usage.cache_write_tokens
            or usage.cache_write_1h_tokens
            or usage.audio_input_tokens
            or usage.audio_output_tokens
            or usage.image_input_tokens
            or usage.image_output_tokens
        )
    )


def _ask(grounds: Grounds, input_tokens: int, at: datetime, currency: str) -> BillTerms | None:
    """Which rates hold, and for which other calls? None = every attempt is priced in full."""
    rated = find_rated(
        venue=grounds.venue or None,
        model=grounds.model,
        region=grounds.region or None,
        tier=grounds.tier or None,
        at=at,
        total_input_tokens=input_tokens,
        price_version=grounds.price_version,
    )
    if rated is None or rated.steps or rated.rates.currency != currency:
        return None
    rates = rated.rates
    book = book_of(grounds.price_version)
    above, most = ledger.bracket_of(rated.key, input_tokens=input_tokens, book=book)
    return BillTerms(
        since=at,
        until=ledger.prices_hold_until(rated.key, at=at, book=book),
        above=above,
        most=most,
        input_price=rates.price_of(TokenClass.INPUT),
        output_price=rates.price_of(TokenClass.OUTPUT),
        cache_price=rates.price_of(TokenClass.CACHE_READ),
        reasoning_price=rates.price_of(TokenClass.REASONING),
        fee=rates.request_fee_nanos,
    )
