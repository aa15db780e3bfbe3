"""Is the worst case never below what a settle can book, and exactly the golden figures?"""

from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.rates import Rates, cost_of
from o10.kernel.usage import TokenClass, Usage
from policies.core import estimate

MINI = Rates(
    "USD",
    {
        TokenClass.INPUT: 750_000_000,
        TokenClass.CACHE_READ: 75_000_000,
        TokenClass.OUTPUT: 4_500_000_000,
        TokenClass.REASONING: 4_500_000_000,
    },
)
BIG = Rates("USD", {TokenClass.INPUT: 2_500_000_000, TokenClass.OUTPUT: 15_000_000_000})


def worst(rates, bound, output, *, n=1, may_write_cache=False):
    top = estimate.ceiling(rates=rates, may_write_cache=may_write_cache)
    return estimate.worst_case(
        ceiling=top, input_bound=bound, max_output_tokens=output, n=n
    ).nanos


def test_golden_a_prompt_estimated_at_1200_is_held_at_1320():
    assert estimate.with_margin(1_200) == 1_320
    assert worst(MINI, 1_320, 800) == 4_590_000


def test_golden_g15():
    assert worst(BIG, 1_200, 800) == 15_000_000


def test_a_count_of_the_caller_gets_no_margin_and_a_prompt_does():
    assert estimate.input_bound(input_tokens=1_200, prompt="x") == 1_200
    assert estimate.input_bound(input_tokens=None, prompt="x" * 300) == 110
    assert estimate.input_bound(input_tokens=0, prompt=None) == 0
    assert estimate.input_bound(input_tokens=None, prompt=None) is None


def test_bytes_count_and_not_characters():
    assert estimate.input_bound(input_tokens=None, prompt="語" * 10) == 11


def test_cache_writes_are_held_at_their_price_only_where_the_use_case_may_write():
    rates = Rates(
        "USD",
        {
            TokenClass.INPUT: 5_000_000_000,
            TokenClass.CACHE_WRITE_5M: 6_250_000_000,
            TokenClass.CACHE_WRITE_1H: 10_000_000_000,
            TokenClass.OUTPUT: 25_000_000_000,
        },
    )
    assert worst(rates, 1_000_000, 0) == 5_000_000_000
    assert worst(rates, 1_000_000, 0, may_write_cache=True) == 10_000_000_000


def test_reasoning_audio_and_image_output_bound_the_answer_where_they_have_a_price():
    rates = Rates(
        "USD",
        {
            TokenClass.INPUT: 0,
            TokenClass.OUTPUT: 12_000_000_000,
            TokenClass.IMAGE_OUTPUT: 120_000_000_000,
        },
    )
    assert worst(rates, 0, 1_000) == 120_000_000


def test_every_answer_asked_for_is_held():
    assert worst(BIG, 0, 800, n=3) == 3 * worst(BIG, 0, 800)


def test_a_request_fee_and_a_nano_per_class_in_fractions_are_added():
    rates = Rates("USD", {TokenClass.INPUT: 1_500_000, TokenClass.OUTPUT: 1_000_001}, 7)
    # 1.5 + 1.000001 nanos round up to 3, both classes are fractions, the fee is 7.
    assert worst(rates, 1, 1) == 3 + 2 + 7


prices = st.integers(min_value=0, max_value=200_000_000_000)
counts = st.integers(min_value=0, max_value=3_000_000)


@given(
    st.tuples(prices, prices, prices, prices),
    counts,
    counts,
    st.integers(min_value=1, max_value=4),
    st.floats(min_value=0, max_value=1),
    st.floats(min_value=0, max_value=1),
    st.integers(min_value=0, max_value=10**9),
)
def test_p6_no_usage_within_the_bounds_costs_more_than_was_held(
    price, bound, output, n, cached_share, reasoning_share, fee
):
    input_price, output_price, cache_price, reasoning_price = price
    rates = Rates(
        "USD",
        {
            TokenClass.INPUT: input_price,
            TokenClass.CACHE_READ: min(cache_price, input_price),
            TokenClass.OUTPUT: output_price,
            TokenClass.REASONING: reasoning_price,
        },
        fee,
    )
    cached = int(bound * cached_share)
    thought = int(output * n * reasoning_share)
    usage = Usage(
        input=bound - cached,
        cache_read=cached,
        output=output * n - thought,
        reasoning=thought,
        request=1,
    )
    assert cost_of(usage, rates).total_nanos <= worst(rates, bound, output, n=n)


@given(
    st.tuples(prices, prices),
    counts,
    st.integers(min_value=1, max_value=4),
    st.integers(min_value=0, max_value=10**15),
)
def test_the_output_that_fits_is_the_most_that_does(price, bound, n, budget):
    rates = Rates("USD", {TokenClass.INPUT: price[0], TokenClass.OUTPUT: price[1]})
    top = estimate.ceiling(rates=rates, may_write_cache=False)
    fits = estimate.output_that_fits(ceiling=top, input_bound=bound, n=n, budget_nanos=budget)
    if fits is None:
        assert worst(rates, bound, 10**9, n=n) <= budget
        return
    if worst(rates, bound, 0, n=n) > budget:
        assert fits == 0
        return
    assert worst(rates, bound, fits, n=n) <= budget < worst(rates, bound, fits + 1, n=n)


def test_without_a_budget_any_output_fits():
    top = estimate.ceiling(rates=BIG, may_write_cache=False)
    assert estimate.output_that_fits(ceiling=top, input_bound=1, n=1, budget_nanos=None) is None


def test_unpriced_classes_are_named_and_never_zero():
    no_output = Rates("USD", {TokenClass.INPUT: 1})
    no_input = Rates("USD", {TokenClass.OUTPUT: 1})
    only_reasoning = Rates("USD", {TokenClass.INPUT: 1, TokenClass.REASONING: 1})
    image = Rates("USD", {TokenClass.INPUT: 1, TokenClass.IMAGE_OUTPUT: 1})

    def missing(rates, *, cached=0, output=1):
        return estimate.unpriced(
            rates=rates, cached_input_tokens=cached, max_output_tokens=output
        )

    assert missing(no_output) == (TokenClass.OUTPUT,)
    assert missing(no_output, output=0) == ()
    assert missing(no_input) == (TokenClass.INPUT,)
    assert missing(only_reasoning) == (TokenClass.OUTPUT,)
    assert missing(image) == ()
    assert missing(image, cached=10) == (TokenClass.CACHE_READ,)


def test_an_answer_is_of_use_from_half_the_median_or_128_tokens():
    assert estimate.useful_output(wanted=800, p50_output_tokens=None) == 128
    assert estimate.useful_output(wanted=50, p50_output_tokens=None) == 50
    assert estimate.useful_output(wanted=800, p50_output_tokens=501) == 251
