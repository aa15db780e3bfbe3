"""Is the offer that is chosen the cheapest of all, for every call, and always the same one?"""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.rates import Rates
from o10.kernel.usage import TokenClass
from o10.wire.reasons import Reason
from policies.core import estimate
from policies.core.offers import FILTERS, Need, OfferLadder, OfferSet, Rung
from policies.core.question import Price

from .rules import make_price

USD = Need("USD", writes_cache=False, reads_cache=False, has_output=True)
MILLION = 1_000_000


def price(
    name: str = "a/m",
    *,
    text: int | None = 1_000_000_000,
    output: int | None = 2_000_000_000,
    cache_read: int | None = None,
    cache_write: int | None = None,
    fee: int = 0,
    context: int | None = None,
    currency: str = "USD",
) -> Price:
    """Nanos per million tokens; None = no such price."""
    rates = {
        TokenClass.INPUT: text,
        TokenClass.OUTPUT: output,
        TokenClass.CACHE_READ: cache_read,
        TokenClass.CACHE_WRITE_5M: cache_write,
    }
    known = {each: nanos for each, nanos in rates.items() if nanos is not None}
    return make_price(offer=name, rates=Rates(currency, known, fee), context_tokens=context)


def offers(*prices: Price | dict[int, Price]) -> OfferSet:
    """Offers by their price, or by their prices above so many input tokens."""
    return OfferSet(
        tuple(
            OfferLadder(
                tuple(
                    Rung(above, each)
                    for above, each in sorted(
                        (one if isinstance(one, dict) else {-1: one}).items()
                    )
                )
            )
            for one in prices
        )
    )


def chosen(among: OfferSet, tokens: int = 1_000, output: int = 500, need: Need = USD) -> str:
    found = among.cheapest(input_bound=tokens, output_tokens=output, need=need)
    return found.rung.price.offer


def all_of(among: OfferSet, tokens: int, output: int, need: Need) -> str:
    """The cheapest by looking at every offer: written without the code under test.

    Filters in their order, each only where it leaves somebody; then the least worst case; of
    equals what is cheaper without tokens, then by input, output, cache, name.
    """
    rungs = []
    for ladder in among.ladders:
        rungs.append([rung for rung in ladder.rungs if rung.above_tokens < tokens][-1:])
    prices = [(found or [among.ladders[i].rungs[0]])[0].price for i, found in enumerate(rungs)]

    def takes(each: Price) -> bool:
        return each.context_tokens is None or tokens <= each.context_tokens

    fitting = [each for each in prices if takes(each)]
    if not fitting:
        most = max(each.context_tokens or 0 for each in prices)
        prices = [each for each in prices if each.context_tokens == most]
    else:
        prices = fitting
        classes = [TokenClass.INPUT]
        classes += [TokenClass.CACHE_READ] if need.reads_cache else []
        classes += [TokenClass.OUTPUT] if need.has_output else []
        whole = [each for each in prices if not each.rates.missing(classes)]
        if whole:
            prices = whole
            ours = [each for each in prices if each.rates.currency == need.currency]
            prices = ours or prices

    def rank(each: Price) -> tuple[object, ...]:
        of = each.rates.price_of
        inputs = [of(TokenClass.INPUT) or 0]
        if need.writes_cache:
            inputs += [of(TokenClass.CACHE_WRITE_5M) or 0, of(TokenClass.CACHE_WRITE_1H) or 0]
        out = of(TokenClass.OUTPUT) or 0
        fractions = sum(1 for nanos in each.rates.per_million.values() if nanos % MILLION)
        fixed = each.rates.request_fee_nanos + fractions
        worst = -(-(tokens * max(inputs) + output * out) // MILLION) + fixed
        cached = of(TokenClass.CACHE_READ)
        return (
            worst,
            fixed,
            max(inputs),
            out,
            1 << 62 if cached is None else cached,
            each.offer,
        )

    return min(prices, key=rank).offer


nanos = st.one_of(
    st.integers(min_value=0, max_value=3).map(lambda each: each * MILLION),
    st.integers(min_value=0, max_value=5_000_000),
)
prices = st.builds(
    price,
    text=nanos,
    output=st.one_of(st.none(), nanos),
    cache_read=st.one_of(st.none(), nanos),
    cache_write=st.one_of(st.none(), nanos),
    fee=st.integers(min_value=0, max_value=4),
    context=st.sampled_from((None, None, 2, 5, 9)),
    currency=st.sampled_from(("USD", "USD", "EUR")),
)


@st.composite
def sets(draw: st.DrawFn) -> OfferSet:
    found = []
    for number in range(draw(st.integers(min_value=1, max_value=7))):
        aboves = draw(st.sets(st.integers(min_value=0, max_value=9), max_size=2))
        first = draw(prices)
        rungs = {-1: first, **{above: draw(prices) for above in aboves}}
        found.append(
            {
                above: make_price(
                    offer=f"v{number}/m",
                    rates=each.rates,
                    context_tokens=first.context_tokens,
                )
                for above, each in rungs.items()
            }
        )
    return offers(*found)


needs = st.builds(Need, st.just("USD"), st.booleans(), st.booleans(), st.booleans())


@given(sets(), st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12), needs), max_size=9))
def test_no_offer_is_cheaper_than_the_chosen_one(among, calls):
    for tokens, output, need in calls:
        assert chosen(among, tokens, output, need) == all_of(among, tokens, output, need)


def market(chance: random.Random, count: int) -> OfferSet:
    """Offers as they are sold: a trade of input against output, thresholds, fees, windows."""
    found = []
    for number in range(count):
        name = f"venue-{number:03}/m"
        level, tilt = chance.lognormvariate(0, 0.7), chance.uniform(0.4, 2.5)
        shape = {
            "text": round(level * tilt * 10**9),
            "output": round(level / tilt * 4 * 10**9),
            "cache_read": chance.choice((None, round(level * 10**8))),
            "cache_write": chance.choice((None, round(level * tilt * 1.25 * 10**9))),
            "fee": chance.choice((0, 0, 0, 1_000, 40_000)),
            "context": chance.choice((None, 32_000, 128_000, 1_000_000)),
        }
        rungs = {-1: price(name, **shape)}
        if chance.random() < 0.3:
            shape |= {"text": shape["text"] * 2, "output": shape["output"] * 3 // 2}
            rungs[200_000] = price(name, **shape)
        found.append(rungs)
    return offers(*found)


def queries(chance: random.Random, count: int) -> list[tuple[int, int, Need]]:
    return [
        (
            round(chance.lognormvariate(7.5, 2.2)),
            round(chance.lognormvariate(6, 1.5)),
            Need("USD", *(chance.random() < share for share in (0.3, 0.3, 0.97))),
        )
        for _ in range(count)
    ]


def test_of_five_hundred_offers_a_pareto_set_finds_the_cheapest_for_each_of_a_thousand_calls():
    chance = random.Random(20_261_120)
    among = market(chance, 500)
    asked = queries(chance, 1_000)
    wrong = [call for call in asked if chosen(among, *call) != all_of(among, *call)]
    assert wrong == []
    front = among.front(input_bound=1_000, need=USD)
    assert len(front) < 50


def test_a_list_by_one_blended_price_is_wrong_for_some_calls():
    chance = random.Random(7)
    among = market(chance, 40)
    asked = queries(chance, 4_000)

    def blended(call: tuple[int, int, Need]) -> str:
        """What sorting once by three parts input and one part output would choose."""
        tokens, _, need = call
        passing = [
            each
            for each in (ladder.rung_at(tokens).price for ladder in among.ladders)
            if all(passes(each, need, tokens) for _, passes in FILTERS)
        ]
        if not passing:
            return all_of(among, *call)

        def blend(each: Price) -> int:
            rates = each.rates
            out = rates.price_of(TokenClass.OUTPUT) or 0
            return 3 * (rates.price_of(TokenClass.INPUT) or 0) + out

        return min(passing, key=blend).offer

    wrong = sum(blended(call) != all_of(among, *call) for call in asked)
    assert wrong > len(asked) // 20
    assert sum(chosen(among, *call) != all_of(among, *call) for call in asked) == 0


def test_the_worked_example_of_the_algorithm_page():
    """Long inputs at A, long answers at B, tiny calls at C: nobody is cheapest for all."""
    among = offers(
        price("a/m", text=1_000_000_000, output=9_000_000_000),
        price("b/m", text=3_000_000_000, output=4_000_000_000),
        price("c/m", text=2_000_000_000, output=6_000_000_000),
        price("d/m", text=3_000_000_000, output=9_000_000_000),
        price("e/m", text=900_000_000, output=3_000_000_000, fee=5_000_000),
    )
    assert [each.rung.price.offer for each in among.front(input_bound=100, need=USD)] == [
        "a/m",
        "c/m",
        "b/m",
        "e/m",
    ]
    assert chosen(among, 1_000, 100) == "a/m"
    assert chosen(among, 100, 1_000) == "b/m"
    assert chosen(among, 1_000, 400) == "c/m"
    assert chosen(among, 1_000, 4_000) == "e/m"


def test_of_equals_the_one_that_is_cheaper_for_other_calls_then_the_first_by_name():
    same = {"text": 10 * MILLION, "output": 10 * MILLION}
    assert chosen(offers(price("b/m", **same), price("a/m", **same))) == "a/m"
    # Equal at these tokens: 10 in, 10 out.
    one = price("z/m", text=10 * MILLION, output=10 * MILLION)
    other = price("a/m", text=11 * MILLION, output=9 * MILLION)
    assert chosen(offers(one, other), 10, 10) == "z/m"
    cached = price("z/m", cache_read=MILLION, **same)
    assert chosen(offers(price("a/m", **same), cached)) == "z/m"


def test_the_order_of_the_offers_changes_nothing():
    chance = random.Random(3)
    among = market(chance, 40)
    turned = OfferSet(tuple(reversed(among.ladders)))
    for call in queries(chance, 500):
        assert chosen(among, *call) == chosen(turned, *call)


def test_at_a_threshold_the_lower_rung_holds_and_above_it_the_next():
    among = offers(
        {-1: price("a/m", text=MILLION), 200: price("a/m", text=9 * MILLION)},
        price("b/m", text=2 * MILLION),
    )
    assert [chosen(among, tokens, 0) for tokens in (0, 200, 201)] == ["a/m", "a/m", "b/m"]


def test_a_context_window_is_left_by_one_token():
    among = offers(price("a/m", text=1, context=100), price("b/m", context=200))
    assert [chosen(among, tokens) for tokens in (100, 101, 200)] == ["a/m", "b/m", "b/m"]
    # Nobody takes so much: the roomiest, so that the denial names the true limit.
    assert chosen(among, 201) == "b/m"


@pytest.mark.parametrize(
    ("need", "offer"),
    [
        (USD, "plain/m"),
        (Need("USD", writes_cache=False, reads_cache=True, has_output=True), "cached/m"),
        (Need("USD", writes_cache=False, reads_cache=False, has_output=False), "mute/m"),
        (Need("USD", writes_cache=True, reads_cache=False, has_output=True), "cached/m"),
        (Need("EUR", writes_cache=False, reads_cache=False, has_output=True), "euro/m"),
        (Need("JPY", writes_cache=False, reads_cache=False, has_output=True), "euro/m"),
    ],
)
def test_an_offer_without_a_price_the_call_needs_is_passed_over(need, offer):
    among = offers(
        price("mute/m", text=MILLION, output=None),
        price("euro/m", text=2 * MILLION, output=MILLION, currency="EUR"),
        price("plain/m", text=3 * MILLION, output=MILLION, cache_write=500 * MILLION),
        price("cached/m", text=4 * MILLION, output=MILLION, cache_read=MILLION),
    )
    assert chosen(among, 1_000, 1_000 if need.has_output else 0, need) == offer


def test_filters_stand_in_the_order_of_their_codes():
    numbers = [reason.number for reason, _ in FILTERS]
    assert all(one <= other for one, other in pairwise(numbers))
    assert {reason for reason, _ in FILTERS} <= set(Reason)


def test_the_worst_case_of_a_choice_is_that_of_the_estimate():
    chance = random.Random(5)
    among = market(chance, 30)
    for tokens, output, need in queries(chance, 300):
        found = among.cheapest(input_bound=tokens, output_tokens=output, need=need)
        top = estimate.ceiling(rates=found.rung.price.rates, may_write_cache=need.writes_cache)
        worst = estimate.worst_case(
            ceiling=top, input_bound=tokens, max_output_tokens=output, n=1
        )
        assert found.worst(input_bound=tokens, output_tokens=output) == worst.nanos
