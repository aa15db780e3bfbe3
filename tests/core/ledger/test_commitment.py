"""Does a commitment cost, waste and advise as product.md section 13 and G9 say, to the nano?"""

import json
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.commitment import (
    Shift,
    Step,
    accounting_price,
    advise,
    beyond_costs,
    break_even_ppm,
    break_even_tokens,
    charge_of,
    draw,
    routing_price,
    share_out,
    split,
)

DOLLAR = 10**9
RATE = 39_600_000_000
HOURS = 730
CHARGE = 28_908 * DOLLAR
CAPACITY = 6_000_000
MONTH = CAPACITY * HOURS
BLENDED = 9_400_000_000
GOLDEN = Path(__file__).parents[2] / "golden" / "commitment_beyond.json"


def test_g9_charge_and_break_even():
    charge = charge_of(units=1, hourly_rate=RATE, hours=HOURS)
    assert charge == CHARGE
    assert break_even_tokens(charge=charge, on_demand=BLENDED) == 3_075_319_149
    assert break_even_ppm(charge=charge, on_demand=BLENDED, capacity=MONTH) == 702_128


def test_g9_full_use_sixty_percent_and_the_waste_line():
    assert accounting_price(charge=CHARGE, tokens=MONTH) == 6_600_000_000
    used = MONTH * 60 // 100
    parted = split(charge=CHARGE, used=used, capacity=MONTH)
    assert parted.used == 17_344_800_000_000
    assert parted.waste == 11_563_200_000_000
    assert accounting_price(charge=CHARGE, tokens=used) == 11_000_000_000


def test_g9_the_routing_price_is_zero_while_the_hour_has_room():
    about = {"capacity_an_hour": CAPACITY, "on_demand": BLENDED}
    assert routing_price(tokens_this_hour=0, wanted=CAPACITY, **about) == 0
    assert routing_price(tokens_this_hour=CAPACITY - 10, wanted=10, **about) == 0
    assert routing_price(tokens_this_hour=CAPACITY - 10, wanted=11, **about) == BLENDED


def test_capacity_left_in_one_hour_serves_no_other():
    drawn = draw(tokens_by_hour={0: 150, 1: 20}, hours=3, capacity_an_hour=100)
    assert (drawn.capacity, drawn.used, drawn.beyond, drawn.left) == (300, 120, 50, 180)
    with pytest.raises(ValueError, match="outside"):
        draw(tokens_by_hour={3: 1}, hours=3, capacity_an_hour=100)


def test_beyond_the_capacity_everybody_pays_the_same_share_of_an_hour_by_hand():
    for case in json.loads(GOLDEN.read_text()):
        found = beyond_costs(
            asked=case["asked"],
            costs={who: int(nanos) for who, nanos in case["costs_nanos"].items()},
            capacity=case["capacity"],
        )
        assert found == {who: int(nanos) for who, nanos in case["beyond_nanos"].items()}, case


@given(
    hour=st.dictionaries(
        st.text(max_size=4),
        st.tuples(st.integers(0, 10**10), st.integers(0, 10**15)),
        min_size=1,
        max_size=9,
    ),
    capacity=st.integers(1, 10**11),
)
def test_what_is_bought_beyond_adds_up_and_never_passes_the_whole_price(hour, capacity):
    asked = {who: each[0] for who, each in hour.items()}
    costs = {who: each[1] for who, each in hour.items()}
    found = beyond_costs(asked=asked, costs=costs, capacity=capacity)
    whole, over = sum(asked.values()), max(0, sum(asked.values()) - capacity)
    if not over:
        assert found == {}
        return
    exact = Fraction(sum(costs.values()) * over, whole)
    assert abs(sum(found.values()) - exact) <= Fraction(1, 2)
    assert all(0 <= nanos <= costs[who] + 1 for who, nanos in found.items())


def test_nothing_served_has_no_price_and_no_break_even_against_free():
    assert accounting_price(charge=CHARGE, tokens=0) is None
    assert break_even_tokens(charge=CHARGE, on_demand=0) is None
    assert break_even_ppm(charge=CHARGE, on_demand=0, capacity=MONTH) is None
    assert split(charge=7, used=0, capacity=0).waste == 7


@given(
    charge=st.integers(0, 10**17),
    capacity=st.integers(1, 10**12),
    share=st.integers(0, 10**6),
    weights=st.dictionaries(st.text(max_size=4), st.integers(0, 10**12), max_size=9),
)
def test_used_and_waste_are_the_charge_and_shares_are_the_used_part(
    charge, capacity, share, weights
):
    used = capacity * share // 10**6
    parted = split(charge=charge, used=used, capacity=capacity)
    assert parted.used + parted.waste == charge
    assert 0 <= parted.waste <= charge
    shares = share_out(parted.used, weights)
    assert sum(shares.values()) == (parted.used if any(weights.values()) else 0)
    assert all(part >= 0 for part in shares.values())


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=48), st.integers(1, 10**7))
def test_more_use_never_means_more_waste(tokens, capacity):
    hours = dict(enumerate(tokens))
    less = draw(tokens_by_hour=hours, hours=len(tokens), capacity_an_hour=capacity)
    more = draw(
        tokens_by_hour={hour: each + 1 for hour, each in hours.items()},
        hours=len(tokens),
        capacity_an_hour=capacity,
    )
    assert more.used >= less.used
    assert less.used + less.beyond == sum(tokens)
    wasted = [
        split(charge=CHARGE, used=each.used, capacity=each.capacity).waste
        for each in (less, more)
    ]
    assert wasted[1] <= wasted[0]


def advice(tokens: int, *, units: int = 4, hours: int = 720, on_demand=BLENDED, candidates=()):
    return advise(
        units=units,
        hourly_rate=RATE,
        tokens_an_hour_per_unit=CAPACITY,
        tokens_by_hour=[tokens] * hours,
        on_demand=on_demand,
        candidates=candidates,
    )


def test_advice_keeps_what_is_used_by_half_and_more():
    assert advice(12_000_000).step is Step.KEEP
    assert advice(11_999_999).step is Step.SHRINK


def test_advice_shrinks_to_units_with_a_tenth_spare_and_says_what_it_saves():
    found = advice(5_300_000, units=4)
    assert (found.step, found.units) == (Step.SHRINK, 1)
    assert found.saving == charge_of(units=3, hourly_rate=RATE, hours=720)
    # 5.5 M tokens an hour lie above 90 % of one unit: the hour's rest is bought on demand.
    above = advice(5_500_000, units=4)
    assert above.units == 1
    assert above.saving == found.saving - 100_000 * 720 * BLENDED // 10**6


def test_advice_ends_what_is_cheaper_on_demand_and_ignores_small_savings():
    assert advice(10_000, units=1).step is Step.END
    little = advise(
        units=100,
        hourly_rate=RATE,
        tokens_an_hour_per_unit=CAPACITY,
        tokens_by_hour=[0] * 719 + [600_000_000],
        on_demand=10**14,
    )
    assert little.step is Step.WATCH


def test_advice_needs_a_week_and_a_price():
    assert advice(1, hours=167).step is Step.NOT_ENOUGH
    assert advice(1, on_demand=None).step is Step.NOT_ENOUGH


def test_advice_names_who_fits_into_the_free_capacity_dearest_first():
    candidates = [
        Shift("huge", 30_000_000, 9_000 * DOLLAR),
        Shift("b", 2_000_000, 400 * DOLLAR),
        Shift("a", 1_000_000, 700 * DOLLAR),
        Shift("free", 1_000_000, 0),
    ]
    found = advice(5_300_000, candidates=candidates)
    assert [each.use_case for each in found.shifts] == ["a", "b"]
