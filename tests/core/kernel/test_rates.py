import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.money import parse_nanos
from o10.kernel.rates import MILLION, Rates, UnknownPrice, cost_of
from o10.kernel.usage import TokenClass, Usage, disjoint
from tests.core.kernel.golden import golden
from tests.core.kernel.test_usage import counts_of

VECTORS = golden("price_cases")


def rates_of(case, **more):
    prices = {TokenClass(name): parse_nanos(text) for name, text in case["per_million"].items()}
    return Rates("USD", prices, **more)


@pytest.mark.parametrize("case", VECTORS["cases"], ids=lambda case: case["ref"])
def test_golden_costs_come_out_to_the_nano_and_the_known_wrong_ones_do_not(case):
    counted = disjoint(**counts_of(case))
    assert counted.consistent
    assert counted.usage == Usage(**case["usage"])
    total = cost_of(counted.usage, rates_of(case)).total_nanos
    assert total == parse_nanos(case["right"])
    assert total not in {parse_nanos(text) for text in case["wrong"]}


@pytest.mark.parametrize("case", VECTORS["unknown"], ids=lambda case: case["ref"])
def test_a_used_class_without_a_price_is_unknown_and_never_free(case):
    with pytest.raises(UnknownPrice) as caught:
        cost_of(Usage(**case["usage"]), rates_of(case))
    assert list(caught.value.token_classes) == case["missing"]
    assert caught.value.code == "price_unknown"


def test_a_whole_day_of_the_routing_example_costs_what_its_text_says():
    day = Usage(input=1000 * 25_000, output=667 * 25_000)
    rates = rates_of({"per_million": {"input": "0.05", "output": "0.08"}})
    assert cost_of(day, rates).total_nanos == parse_nanos("2.584")


def test_the_driver_example_costs_what_its_text_says():
    calls = 40_000 * 22 * 104 // 1000
    usage = Usage(input=960 * calls, cache_read=240 * calls, output=300 * calls)
    rates = rates_of(
        {"per_million": {"input": "2.50", "cache_read": "0.25", "output": "15.00"}}
    )
    assert cost_of(usage, rates).total_nanos == parse_nanos("636.9792")


def test_price_zero_is_free_only_where_it_is_present():
    free = Rates("USD", {TokenClass.INPUT: 0})
    assert cost_of(Usage(input=5), free).total_nanos == 0
    assert cost_of(Usage(input=5), free).lines[0].nanos_per_million == 0
    with pytest.raises(UnknownPrice):
        cost_of(Usage(output=1), free)


def test_unused_classes_need_no_price_and_make_no_line():
    cost = cost_of(Usage(input=5), Rates("USD", {TokenClass.INPUT: 1}))
    assert [line.token_class for line in cost.lines] == [TokenClass.INPUT]


def test_the_request_fee_is_charged_per_billed_request():
    rates = Rates("USD", {TokenClass.INPUT: MILLION}, request_fee_nanos=7)
    cost = cost_of(Usage(input=5, request=3), rates)
    assert cost.total_nanos == 5 + 21
    assert cost.nanos_of(TokenClass.REQUEST) == 21
    assert cost.total.as_json()["amount_nanos"] == "26"


def test_reasoning_has_its_own_rate():
    rates = rates_of({"per_million": {"output": "2", "reasoning": "6"}})
    assert cost_of(Usage(output=1000, reasoning=1000), rates).total_nanos == 8_000_000


def test_rates_in_force_can_not_be_changed_by_whoever_made_them():
    prices = {TokenClass.INPUT: 5}
    rates = Rates("USD", prices)
    prices[TokenClass.INPUT] = 6
    assert rates.price_of(TokenClass.INPUT) == 5
    with pytest.raises(TypeError):
        rates.per_million[TokenClass.INPUT] = 7


@pytest.mark.parametrize(
    "make",
    [
        lambda: Rates("USD", {TokenClass.INPUT: -1}),
        lambda: Rates("USD", {}, request_fee_nanos=-1),
        lambda: Rates("USD", {TokenClass.REQUEST: 1}),
    ],
)
def test_a_price_that_is_none_can_not_be_built(make):
    with pytest.raises(ValueError, match="price"):
        make()


PRICES = st.fixed_dictionaries(
    {each: st.integers(0, 10**12) for each in TokenClass if each is not TokenClass.REQUEST}
)
USAGES = st.builds(Usage, **{each.value: st.integers(0, 10**7) for each in TokenClass})


@given(USAGES, PRICES, st.integers(0, 10**9))
def test_the_cost_is_the_sum_of_lines_each_within_half_a_nano(usage, prices, fee):
    cost = cost_of(usage, Rates("USD", prices, request_fee_nanos=fee))
    assert cost.total_nanos == sum(line.nanos for line in cost.lines)
    for line in cost.lines:
        assert abs(line.nanos * MILLION - line.quantity * line.nanos_per_million) * 2 <= MILLION
    exact = sum(quantity * prices.get(each, fee * MILLION) for each, quantity in usage.items())
    assert abs(cost.total_nanos * MILLION - exact) * 2 <= MILLION * len(cost.lines)
