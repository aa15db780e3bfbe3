"""What does a router have at hand to decide by itself: terms, a lease, answers with gaps?

The arithmetic of the decision worker's usual call (policies.core.terms), from integers that
o10 sent. Nothing here waits: no network, no lock of another process.
Source: docs/algorithms/local-leases.md.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import attrgetter, itemgetter
from threading import Lock
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from o10.kernel import ids
from o10.kernel.money import Nanos, amount_text, half_even
from o10.kernel.rates import MILLION, Rates, cost_of
from o10.kernel.usage import TokenClass, Usage
from o10.lease.book import Book
from o10.lease.records import Grounds, decode
from o10.wire.decisions import Decision
from o10.wire.leasing import Bracket, LocalTerms, LocalView
from o10.wire.reasons import SettleFlag
from o10.wire.requests import CacheHit, Settle, UsageCounts

HALF_LIFE_S: Final = 10.0
DOUBLES_WITHIN_S: Final = 0.5
CENT: Final = 10_000_000
_FIXED, _PER_LEVEL = 6, 4
_HELD, _LEFT = 6, 7
"""Where the level that binds stands among the values of an answer."""
_GAP = re.compile("(%%|%s)")
FORGET_AFTER: Final = 200
_NOTHING: Final[frozenset[SettleFlag]] = frozenset()
_TEXT: Final = (
    TokenClass.INPUT,
    TokenClass.CACHE_READ,
    TokenClass.OUTPUT,
    TokenClass.REASONING,
)
_beside_text = attrgetter(
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
)
_DECISION = msgspec.json.Decoder(Decision)


@dataclass(slots=True, eq=False)
class Wording:
    """How is an answer written? A pattern, bound to one look at the balances.

    Of the level that binds, the answer tells what this very call leaves; of the others, what
    they were at the look. `bind` is called once a look. `said` has decision and reason, the
    same in every answer, once somebody asked.
    """

    pieces: tuple[str, ...]
    fields: tuple[int, ...]
    view: LocalView | None = None
    said: tuple[str, str] = ("", "")
    pattern: str = ""
    pick: "Callable[[Sequence[str]], tuple[str, ...]]" = itemgetter(0, 1)

    def bind(self, till: "LocalTill") -> None:
        """Puts in what stays the same until the next look."""
        binding = till.view.binding
        first = _FIXED if binding is None else _FIXED + _PER_LEVEL * binding
        moves = {first: _HELD, first + 1: _LEFT} if binding is not None else {}
        text, picks = self.pieces[0], []
        for number, piece in zip(self.fields, self.pieces[1:], strict=True):
            place = number if number < _FIXED else moves.get(number)
            if place is None:
                text += till.levels[number - _FIXED].replace("%", "%%") + piece
            else:
                text += "%s" + piece
                picks.append(place)
        self.pattern, self.pick, self.view = text, itemgetter(*picks), till.view


class TextPrices(NamedTuple):
    """What do text tokens cost in one bracket? Nanos a million, None = not known; the fee."""

    above: int
    to: int | None
    put_in: int | None
    cached: int | None
    put_out: int | None
    reasoning: int | None
    fee: Nanos

    def cost(self, *, put_in: int, cached: int, put_out: int, reasoning: int) -> Nanos | None:
        """What do so many of each class cost? Each class rounded once. None = not known."""
        total = self.fee
        if put_in:
            if self.put_in is None:
                return None
            total += half_even(put_in * self.put_in, MILLION)
        if cached:
            if self.cached is None:
                return None
            total += half_even(cached * self.cached, MILLION)
        if put_out:
            if self.put_out is None:
                return None
            total += half_even(put_out * self.put_out, MILLION)
        if reasoning:
            if self.reasoning is None:
                return None
            total += half_even(reasoning * self.reasoning, MILLION)
        return total


@dataclass(slots=True, eq=False)
class Terms:
    """Which part of a decision is the same for every such call?

    Shape: `told` as o10 sent it, `asked` the call it was asked for; `grounds_at` where the
    grounds stand in the journal; `prices` of text in each bracket.
    """

    told: LocalTerms
    till: "LocalTill"
    form: str
    given: Wording
    defaulted: Wording
    grounds: Grounds
    rates: tuple[tuple[Bracket, Rates], ...]
    prices: tuple[TextPrices, ...]
    asked: dict[str, Any]
    grounds_at: int = -1

    def worst(self, *, bound: int, wanted: int, n: int) -> Nanos:
        """What does the call cost at most?"""
        told = self.told
        scaled = bound * told.input_price + n * wanted * told.output_price
        return -(-scaled // MILLION) + told.fixed_nanos

    def text_cost(self, counts: UsageCounts) -> Nanos | None:
        """What did it cost? `cost`, for the usage of nearly every call: text, and no class
        that the provider wrote into a cache. None = it is another.
        """
        if any(_beside_text(counts)) or counts.requests != 1:
            return None
        put_in, put_out = counts.input_tokens, counts.output_tokens
        cached, reasoning = counts.cached_input_tokens, counts.reasoning_tokens
        if cached > put_in or reasoning > put_out:
            return None
        for price in self.prices:
            if price.above < put_in and (price.to is None or put_in <= price.to):
                return price.cost(
                    put_in=put_in - cached,
                    cached=cached,
                    put_out=put_out - reasoning,
                    reasoning=reasoning,
                )
        return None

    def cost(self, usage: Usage) -> Nanos | None:
        """What did it cost? None = o10 has to say.

        Raises: UnknownPrice when a used class has no price.
        """
        total = usage.total_input
        for bracket, rates in self.rates:
            if bracket.above < total and (bracket.to is None or total <= bracket.to):
                return cost_of(usage, rates).total_nanos
        return None


@dataclass(slots=True, eq=False)
class LocalTill:
    """Where is the money of one place, as far as this router has any?

    `levels` has what the answers tell of the view, `bound` what is held and left at the level
    that binds.

    `book` is the lease that calls draw on; `retired` ones wait for their calls to end.
    `seen_at` is where the last look at the balances stands in the journal. `borrowing` is held
    by the one thread that asks for more; `low` = the keeper is to borrow ahead of need.
    """

    place: str
    view: LocalView
    levels: tuple[str, ...] = ()
    bound: tuple[Nanos, Nanos] = (0, 0)
    seen_at: int = -1
    book: Book | None = None
    names: ids.UidSeries | None = None
    lease: bytes = b""
    retired: dict[UUID, Book] = field(default_factory=dict)
    borrowing: Lock = field(default_factory=Lock)
    pace: "Pace" = field(default_factory=lambda: Pace())
    used_at: float = 0.0
    low: bool = False
    ask_not_before: float = 0.0
    refused: Nanos = 0


@dataclass(slots=True)
class Pace:
    """How fast does this process spend, and how dear are its calls? As policies.core.slices."""

    dearest: Nanos = 0
    reserved: Nanos = 0
    calls: int = 0
    burn: float = 0.0
    at: float = 0.0
    doubled: Nanos = 0

    def note(self, worst: Nanos) -> None:
        """Takes in one more call."""
        self.reserved += worst
        self.calls += 1
        if worst > self.dearest:
            self.dearest, self.calls = worst, 0
        elif self.calls > FORGET_AFTER:
            self.dearest, self.calls = max(worst, self.dearest // 2), 0

    def burn_1s(self, *, at: float) -> Nanos:
        """How much is reserved in a second lately? Asked once a loan."""
        lasted = max(0.001, at - self.at) if self.at else 1.0
        weight = 0.5 ** (lasted / HALF_LIFE_S)
        self.burn = self.burn * weight + (self.reserved / lasted) * (1 - weight)
        self.doubled = 2 * self.reserved if lasted < DOUBLES_WITHIN_S else 0
        self.at, self.reserved = at, 0
        return max(int(self.burn) + 1, self.doubled)


def levels_of(view: LocalView) -> tuple[str, ...]:
    """What do answers tell of each level as it was seen: held, left, settled, cap?"""
    found: list[str] = []
    for cap, settled, held, unsettled, contingency in view.levels:
        left = None if cap is None else cap - settled - held - unsettled - contingency
        found += [
            amount_text(held),
            "" if left is None else amount_text(left),
            amount_text(settled),
            "" if cap is None else amount_text(cap),
        ]
    return tuple(found)


def bound_level(view: LocalView) -> tuple[Nanos, Nanos]:
    """What is held and left at the level that binds? 0 and 0 where nothing is capped."""
    if view.binding is None:
        return 0, 0
    cap, settled, held, unsettled, contingency = view.levels[view.binding]
    return held, (cap or 0) - settled - held - unsettled - contingency


class LocalDecision(msgspec.Struct, gc=False):
    """What was decided here? Reads like `Decision`, which is made when somebody looks.

    `answer` are the bytes that o10 would have sent, `name` is what stands in its ids.
    """

    answer: bytes
    token: str
    model: str
    max_output_tokens: int
    name: str
    wording: Wording
    _told: Decision | None = None

    @property
    def said(self) -> tuple[str, str]:
        """Decision and reason: found in one answer, the same in all of its wording."""
        said = self.wording.said
        if not said[0]:
            whole = self.told
            said = self.wording.said = (whole.decision.value, whole.reasons[0].code.value)
        return said

    @property
    def told(self) -> Decision:
        """The whole decision."""
        if self._told is None:
            self._told = _DECISION.decode(self.answer)
        return self._told

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.told, name)


@dataclass(frozen=True, slots=True)
class LocalBill:
    """What did an attempt cost, and what was remarkable? As policies' price_attempt says it."""

    cost: Nanos
    flags: frozenset[SettleFlag]


def terms_from(told: LocalTerms, *, till: LocalTill, form: str, asked: dict[str, Any]) -> Terms:
    """What do these terms say, ready to be used?"""
    grounds = decode(told.grounds)
    if not isinstance(grounds, Grounds):
        raise ValueError("grounds were sent that are none")
    rates = tuple((each, _rates(each, told.currency)) for each in told.brackets)
    return Terms(
        told=told,
        till=till,
        form=form,
        given=Wording(_pieces(told.given), told.given_fields),
        defaulted=Wording(_pieces(told.defaulted), told.defaulted_fields),
        grounds=grounds,
        rates=rates,
        prices=_text_prices(rates),
        asked=asked,
    )


def bill_of(
    request: Settle, *, terms: Terms, amount: Nanos, max_output_tokens: int, n: int
) -> LocalBill | None:
    """What did the attempt cost, as far as this router can say? None = o10 has to.

    Here only what was called as it was decided: another model, venue or tier has other prices.
    """
    told = terms.told
    elsewhere = request.model is not None and request.model not in told.models
    if elsewhere or request.venue not in (None, terms.grounds.venue):
        return None
    if request.service_tier is not None or not terms.rates:
        return None
    if request.cache is CacheHit.EDGE:
        return LocalBill(0, frozenset())
    if request.usage is None:
        return LocalBill(amount, frozenset({SettleFlag.USAGE_ESTIMATED}))
    cost = terms.text_cost(request.usage)
    if cost is not None:
        return LocalBill(
            cost, _flags_of_text(request, cost, told.currency, max_output_tokens * n)
        )
    counted = request.usage.disjoint()
    usage = counted.usage
    known = all(
        terms.rates[0][1].price_of(token_class) is not None
        for token_class, quantity in usage.items()
        if quantity
    )
    cost = terms.cost(usage) if known else None
    if cost is None:
        return None
    flags = set() if counted.consistent else {SettleFlag.USAGE_INCONSISTENT}
    if usage.total_input + usage.total_output == 0:
        flags.add(SettleFlag.ZERO_USAGE_CONFIRMED)
    if usage.total_output > max_output_tokens * n:
        flags.add(SettleFlag.CAPS_NOT_HONOURED)
    if _provider_differs(request, cost, told.currency):
        flags.add(SettleFlag.PROVIDER_COST_DIFFERS)
    return LocalBill(cost, frozenset(flags))


def _pieces(pattern: str) -> tuple[str, ...]:
    """What stands between the gaps? A doubled per cent sign is one, and stays doubled."""
    pieces = [""]
    for part in _GAP.split(pattern):
        if part == "%s":
            pieces.append("")
        else:
            pieces[-1] += part
    return tuple(pieces)


def _flags_of_text(
    request: Settle, cost: Nanos, currency: str, most: int
) -> frozenset[SettleFlag]:
    """What is remarkable about counts that agree?"""
    usage = request.usage
    if usage is None:
        raise LookupError("counts that agree are there")
    flags = _NOTHING
    if usage.output_tokens > most:
        flags |= {SettleFlag.CAPS_NOT_HONOURED}
    if not usage.input_tokens + usage.output_tokens:
        flags |= {SettleFlag.ZERO_USAGE_CONFIRMED}
    if request.provider_cost is not None and _provider_differs(request, cost, currency):
        flags |= {SettleFlag.PROVIDER_COST_DIFFERS}
    return flags


def _text_prices(rates: Sequence[tuple[Bracket, Rates]]) -> tuple[TextPrices, ...]:
    """What does text cost in each bracket? Known is what the first bracket has a price for."""
    found = []
    for bracket, each in rates:
        put_in, cached, put_out, reasoning = (
            None if rates[0][1].price_of(kind) is None else each.price_of(kind)
            for kind in _TEXT
        )
        fee = each.request_fee_nanos
        found.append(
            TextPrices(bracket.above, bracket.to, put_in, cached, put_out, reasoning, fee)
        )
    return tuple(found)


def _provider_differs(request: Settle, cost: Nanos, currency: str) -> bool:
    stated = request.provider_cost
    if stated is None:
        return False
    if stated.currency != currency:
        return True
    difference = abs(stated.nanos - cost)
    return difference > CENT or difference * 100 > cost


def _rates(bracket: Bracket, currency: str) -> Rates:
    per_million = {TokenClass(name): price for name, price in bracket.per_million.items()}
    return Rates(currency, per_million, bracket.request_fee)
