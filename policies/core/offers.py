"""Which of several offers serves a call at the least worst case? Exactly, not by a blend.

A model may be sold at several venues and regions; what a call can cost at most depends on its
tokens, so there is no cheapest offer, only a cheapest for this call. For each range of input
between two thresholds the offers that pass the filters are reduced to a Pareto set over every
price the worst case sees (input, output, and what does not depend on tokens). An offer outside
of it is never the cheapest, whatever the tokens; those inside are compared exactly.
Source: decision-plane.md section 7; docs/algorithms/offers.md, whose worked example is also the
test's.
"""

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from o10.kernel.money import Nanos
from o10.kernel.rates import MILLION
from o10.kernel.usage import TokenClass
from o10.wire.reasons import Reason
from policies.core import estimate
from policies.core.question import Price

_UNPRICED: Final = 1 << 62


class Need(NamedTuple):
    """What must an offer price, beyond input? `currency` that of the ledger."""

    currency: str
    writes_cache: bool
    reads_cache: bool
    has_output: bool


@dataclass(frozen=True, slots=True)
class Rung:
    """Which price holds for inputs above so many tokens? `tag` is handed back when chosen."""

    above_tokens: int
    price: Price
    tag: object = None


@dataclass(frozen=True, slots=True)
class OfferLadder:
    """Which prices has one offer, by input? Ascending, the first from -1."""

    rungs: tuple[Rung, ...]

    def rung_at(self, input_bound: int) -> Rung:
        """Which rung does a call of so much input stand on?"""
        number = bisect_left([rung.above_tokens for rung in self.rungs], input_bound)
        return self.rungs[max(0, number - 1)]


@dataclass(frozen=True, slots=True)
class Choice:
    """What does a call on this rung cost at most, as a line over its tokens?

    Units: nanos per million tokens; `fixed_nanos` for any call. `order` decides between equal
    worst cases: what is cheaper for other calls first, then the name.
    """

    input_price: int
    output_price: int
    fixed_nanos: Nanos
    order: tuple[int, int, int, int, str]
    rung: Rung

    def worst(self, *, input_bound: int, output_tokens: int) -> Nanos:
        """What does this call cost at most? `output_tokens` of all its answers together."""
        scaled = input_bound * self.input_price + output_tokens * self.output_price
        return -(-scaled // MILLION) + self.fixed_nanos


_Line = tuple[int, int, int, Choice]
Filter = Callable[[Price, Need, int], bool]


def _takes_input(price: Price, need: Need, input_bound: int) -> bool:
    return price.context_tokens is None or input_bound <= price.context_tokens


def _is_priced(price: Price, need: Need, input_bound: int) -> bool:
    return not estimate.unpriced(
        rates=price.rates,
        cached_input_tokens=int(need.reads_cache),
        max_output_tokens=int(need.has_output),
    )


def _is_in_currency(price: Price, need: Need, input_bound: int) -> bool:
    return price.rates.currency == need.currency


FILTERS: Final[tuple[tuple[Reason, Filter], ...]] = (
    (Reason.INPUT_TOKENS_OVER_CAP, _takes_input),
    (Reason.PRICE_UNKNOWN, _is_priced),
    (Reason.PRICE_UNKNOWN, _is_in_currency),
)
"""What an offer must pass, in code order. One that nobody passes denies the call with its code:
the offers before it stay, and the checks of the call say the rest."""


@dataclass(slots=True)
class OfferSet:
    """Which of these offers serves a call best? Compiled for each range when first met.

    Shape: `edges` are the inputs above which prices or context windows differ.
    """

    ladders: tuple[OfferLadder, ...]
    edges: tuple[int, ...] = field(init=False)
    _fronts: dict[tuple[int, Need], tuple[_Line, ...]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        rungs = [rung for ladder in self.ladders for rung in ladder.rungs]
        edges = {rung.above_tokens for rung in rungs if rung.above_tokens >= 0}
        windows = (rung.price.context_tokens for rung in rungs)
        self.edges = tuple(sorted(edges | {each for each in windows if each is not None}))
        self._fronts = {}

    def cheapest(self, *, input_bound: int, output_tokens: int, need: Need) -> Choice:
        """Which offer has the least worst case for this call? The same for ever.

        Raises: LookupError when there is no offer at all.
        """
        best, least = None, _UNPRICED
        for input_price, output_price, fixed_nanos, choice in self._lines(input_bound, need):
            # In order: of equals the first stays.
            scaled = input_bound * input_price + output_tokens * output_price
            worst = -(-scaled // MILLION) + fixed_nanos
            if best is None or worst < least:
                best, least = choice, worst
        if best is None:
            raise LookupError("there is no offer to choose from")
        return best

    def front(self, *, input_bound: int, need: Need) -> tuple[Choice, ...]:
        """Which offers can be the cheapest for calls of such input? In order."""
        return tuple(choice for *_, choice in self._lines(input_bound, need))

    def _lines(self, input_bound: int, need: Need) -> tuple[_Line, ...]:
        place = (bisect_left(self.edges, input_bound), need)
        known = self._fronts.get(place)
        if known is None:
            rungs = [ladder.rung_at(input_bound) for ladder in self.ladders]
            front = pareto(choices_of(_passing(rungs, need, input_bound), need))
            known = tuple(
                (each.input_price, each.output_price, each.fixed_nanos, each) for each in front
            )
            self._fronts[place] = known
        return known


def choices_of(rungs: Iterable[Rung], need: Need) -> tuple[Choice, ...]:
    """What does each of these cost at most? In order."""
    return tuple(sorted((_choice(rung, need) for rung in rungs), key=_order))


def pareto(choices: Sequence[Choice]) -> tuple[Choice, ...]:
    """Which of them are not at least as dear as another in everything? `choices` in order.

    What is dropped comes after what drops it, so that it loses even where both cost the same.
    """
    front: list[Choice] = []
    for each in choices:
        if not any(_covers(other, each) for other in front):
            front.append(each)
    return tuple(front)


def _passing(rungs: Sequence[Rung], need: Need, input_bound: int) -> Sequence[Rung]:
    """Those that pass all filters; where one lets nobody through, those before it."""
    for reason, passes in FILTERS:
        kept = [rung for rung in rungs if passes(rung.price, need, input_bound)]
        if not kept:
            return _roomiest(rungs) if reason is Reason.INPUT_TOKENS_OVER_CAP else rungs
        rungs = kept
    return rungs


def _roomiest(rungs: Sequence[Rung]) -> Sequence[Rung]:
    """Those that take most input: the denial names the limit that there really is."""
    most = max(rung.price.context_tokens or 0 for rung in rungs)
    return [rung for rung in rungs if rung.price.context_tokens == most]


def _choice(rung: Rung, need: Need) -> Choice:
    price = rung.price
    top = estimate.ceiling(rates=price.rates, may_write_cache=need.writes_cache)
    cached = price.rates.price_of(TokenClass.CACHE_READ)
    order = (
        top.fixed_nanos,
        top.input_price,
        top.output_price,
        _UNPRICED if cached is None else cached,
        price.offer,
    )
    return Choice(top.input_price, top.output_price, top.fixed_nanos, order, rung)


def _order(choice: Choice) -> tuple[int, int, int, int, str]:
    return choice.order


def _covers(one: Choice, other: Choice) -> bool:
    # `one` stands before `other`, so that its fixed part is not larger.
    return one.input_price <= other.input_price and one.output_price <= other.output_price
