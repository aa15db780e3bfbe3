"""Does the price book answer with the right rates? Golden vectors, thresholds, precedence."""

import json
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.core.price_terms import (
    Bracket,
    DayWindow,
    OfferKey,
    PriceSource,
    RateCard,
    Threshold,
    Tier,
)
from ledger.core.pricing import ceiling_rates, find_rates, price_usage, rates_at
from o10.kernel.money import parse_nanos
from o10.kernel.rates import UnknownPrice, cost_of
from o10.kernel.usage import TokenClass, Usage
from tests.core.ledger.prices import KEY, make_book, make_card, make_offer, make_rule, tier_key

GOLDEN = Path(__file__).parents[2] / "golden"
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
LONG = 272_000


def cases(name: str) -> list[dict]:
    return json.loads((GOLDEN / name).read_text())["cases"]


@pytest.mark.parametrize("case", cases("price_cases.json"), ids=lambda case: case["ref"])
def test_every_golden_cost_vector_passes_through_the_price_book(case):
    book = make_book(make_offer(make_rule(card=make_card(case["per_million"]))))
    usage = Usage(**case["usage"])
    rated = rates_at(book, key=KEY, at=NOW, total_input_tokens=usage.total_input)
    assert price_usage(usage, rated).total_nanos == parse_nanos(case["right"])


@pytest.mark.parametrize("case", cases("price_book_cases.json"), ids=lambda case: case["ref"])
def test_tier_bracket_and_meter_are_chosen_as_in_the_golden_vectors(case):
    offers = []
    for tier, prices in case["offers"].items():
        brackets = {
            meter: price
            if isinstance(price, str)
            else {int(above): value for above, value in price.items()}
            for meter, price in prices.items()
        }
        rule = make_rule(card=make_card(brackets))
        offers.append(make_offer(rule, key=tier_key(Tier(tier))))
    usage = Usage(**case["usage"])
    key = tier_key(Tier(case["tier"]))
    rated = rates_at(make_book(*offers), key=key, at=NOW, total_input_tokens=usage.total_input)
    assert price_usage(usage, rated).total_nanos == parse_nanos(case["right"])


def long_context_book(threshold: Threshold):
    """Each tier has its own prices below and above 272,000 tokens."""
    offers = []
    for number, tier in enumerate(Tier, start=1):
        card = make_card(
            {
                "input": {0: f"{number}", LONG: f"{number * 2}"},
                "output": {0: f"{number * 10}", LONG: f"{number * 15}"},
            },
            threshold=threshold,
        )
        offers.append(make_offer(make_rule(card=card, rule_id=number), key=tier_key(tier)))
    return make_book(*offers)


@pytest.mark.parametrize(("number", "tier"), list(enumerate(Tier, start=1)))
@pytest.mark.parametrize("off", [-1, 0, 1])
def test_the_whole_call_is_priced_at_the_bracket_it_reaches(number, tier, off):
    usage = Usage(input=LONG + off, output=1_000)
    rated = rates_at(
        long_context_book(Threshold.WHOLE_CALL),
        key=tier_key(tier),
        at=NOW,
        total_input_tokens=usage.total_input,
    )
    is_long = off == 1
    paid_in = number * (2_000 if is_long else 1_000)
    paid_out = number * (15_000 if is_long else 10_000)
    assert price_usage(usage, rated).total_nanos == (LONG + off) * paid_in + 1_000 * paid_out
    assert rated.steps == ()


@pytest.mark.parametrize(("number", "tier"), list(enumerate(Tier, start=1)))
@pytest.mark.parametrize("off", [-1, 0, 1, 28_000])
def test_a_marginal_threshold_prices_only_the_excess_higher(number, tier, off):
    usage = Usage(input=LONG + off, output=1_000)
    rated = rates_at(
        long_context_book(Threshold.MARGINAL),
        key=tier_key(tier),
        at=NOW,
        total_input_tokens=usage.total_input,
    )
    below, above = min(LONG + off, LONG), max(0, off)
    paid_out = number * (15_000 if off > 0 else 10_000)
    expected = below * number * 1_000 + above * number * 2_000 + 1_000 * paid_out
    assert price_usage(usage, rated).total_nanos == expected


def test_in_a_marginal_call_cached_tokens_stand_first_and_uncached_ones_are_the_excess():
    card = make_card(
        {
            "input": {0: "5", LONG: "10"},
            "cache_read": {0: "0.5", LONG: "1"},
            "output": {0: "30", LONG: "45"},
        },
        threshold=Threshold.MARGINAL,
    )
    book = make_book(make_offer(make_rule(card=card)))
    usage = Usage(cache_read=270_000, input=10_000, output=100)
    rated = rates_at(book, key=KEY, at=NOW, total_input_tokens=usage.total_input)
    cost = price_usage(usage, rated)
    assert cost.nanos_of(TokenClass.CACHE_READ) == 270_000 * 500
    assert cost.nanos_of(TokenClass.INPUT) == 2_000 * 5_000 + 8_000 * 10_000
    assert cost.nanos_of(TokenClass.OUTPUT) == 100 * 45_000
    assert sum(line.quantity for line in cost.lines) == 280_100


def test_a_hold_takes_the_dearest_bracket_within_reach():
    # Output falls above the threshold: the hold must still cover the shorter call.
    card = make_card({"input": {0: "5", LONG: "10"}, "output": {0: "30", LONG: "20"}})
    book = make_book(make_offer(make_rule(card=card)))
    most = ceiling_rates(book, key=KEY, at=NOW, max_input_tokens=LONG + 1)
    assert dict(most.rates.per_million) == {
        TokenClass.INPUT: 10 * 10**9,
        TokenClass.OUTPUT: 30 * 10**9,
        TokenClass.REASONING: 30 * 10**9,
    }
    short = ceiling_rates(book, key=KEY, at=NOW, max_input_tokens=LONG)
    assert short.rates.per_million[TokenClass.INPUT] == 5 * 10**9


@settings(max_examples=60)
@given(
    st.integers(0, 600_000),
    st.integers(0, 600_000),
    st.integers(0, 50_000),
    st.sampled_from(Threshold),
)
def test_the_ceiling_is_never_below_the_cost_of_a_call_within_it(bound, used, out, threshold):
    book = long_context_book(threshold)
    used = min(bound, used)
    usage = Usage(input=used, output=out)
    rated = rates_at(book, key=KEY, at=NOW, total_input_tokens=used)
    most = ceiling_rates(book, key=KEY, at=NOW, max_input_tokens=bound)
    worst = cost_of(Usage(input=bound, output=out), most.rates)
    assert price_usage(usage, rated).total_nanos <= worst.total_nanos


@settings(max_examples=100)
@given(
    total=st.integers(1, 500_000),
    cached=st.integers(0, 500_000),
    more=st.integers(0, 500_000),
    nanos_per_token=st.tuples(st.integers(1, 10**5), st.integers(1, 10**5)),
    threshold=st.sampled_from(Threshold),
)
def test_cost_never_rises_when_tokens_move_from_uncached_to_cache_read(
    total, cached, more, nanos_per_token, threshold
):
    read, full = (price * 1_000_000 for price in sorted(nanos_per_token))
    card = RateCard(
        "USD",
        {
            "input": (Bracket(0, full), Bracket(LONG, 2 * full)),
            "cache_read": (Bracket(0, read), Bracket(LONG, 2 * read)),
        },
        threshold,
    )
    book = make_book(make_offer(make_rule(card=card)))
    fewer, more = sorted((min(cached, total), min(more, total)))
    costs = []
    for moved in (fewer, more):
        usage = Usage(input=total - moved, cache_read=moved)
        rated = rates_at(book, key=KEY, at=NOW, total_input_tokens=total)
        costs.append(price_usage(usage, rated).total_nanos)
    assert costs[1] <= costs[0]


def test_override_beats_contract_beats_list_meter_by_meter():
    book = make_book(
        make_offer(
            make_rule(
                rule_id=1, card=make_card({"input": "5", "output": "30", "cache_read": "1"})
            ),
            make_rule(
                rule_id=2,
                source=PriceSource.CONTRACT,
                card=make_card({"input": "4", "output": "24"}),
            ),
            make_rule(rule_id=3, source=PriceSource.OVERRIDE, card=make_card({"output": "20"})),
        )
    )
    rated = rates_at(book, key=KEY, at=NOW, total_input_tokens=100)
    assert rated.rates.per_million == {
        TokenClass.INPUT: 4 * 10**9,
        TokenClass.OUTPUT: 20 * 10**9,
        TokenClass.REASONING: 20 * 10**9,
        TokenClass.CACHE_READ: 10**9,
    }
    assert (rated.rule_id, rated.source) == (3, PriceSource.OVERRIDE)
    assert rated.rule_of[TokenClass.INPUT] == 2
    assert rated.rule_of[TokenClass.CACHE_READ] == 1
    assert rated.rule_of[TokenClass.REASONING] == 3


def test_a_newer_list_card_replaces_the_older_one_whole():
    later = NOW - timedelta(days=3)
    book = make_book(
        make_offer(
            make_rule(rule_id=1, card=make_card({"input": "5", "cache_read": "1"})),
            make_rule(rule_id=2, card=make_card({"input": "6"}), valid_from=later, version=2),
        )
    )
    rated = rates_at(book, key=KEY, at=NOW, total_input_tokens=1)
    assert rated.rates.price_of(TokenClass.CACHE_READ) is None
    before = rates_at(book, key=KEY, at=later - timedelta(microseconds=1), total_input_tokens=1)
    assert before.rates.price_of(TokenClass.CACHE_READ) == 10**9
    assert before.rule_id == 1


def test_validity_is_half_open_to_the_microsecond():
    start, end = NOW, NOW + timedelta(days=30)
    book = make_book(
        make_offer(
            make_rule(rule_id=1, card=make_card({"input": "5"})),
            make_rule(
                rule_id=2,
                source=PriceSource.CONTRACT,
                card=make_card({"input": "4"}),
                valid_from=start,
                valid_to=end,
            ),
        )
    )
    tick = timedelta(microseconds=1)
    rules = [
        rates_at(book, key=KEY, at=at, total_input_tokens=1).rule_id
        for at in (start - tick, start, end - tick, end)
    ]
    assert rules == [1, 2, 2, 1]


def test_a_withdrawn_rule_holds_until_it_ended():
    ended = NOW - timedelta(hours=1)
    book = make_book(
        make_offer(
            make_rule(rule_id=1, card=make_card({"input": "5"})),
            make_rule(
                rule_id=2,
                source=PriceSource.OVERRIDE,
                card=make_card({"input": "4"}),
                ended_at=ended,
            ),
        )
    )
    assert rates_at(book, key=KEY, at=NOW, total_input_tokens=1).rule_id == 1
    just_before = ended - timedelta(microseconds=1)
    assert rates_at(book, key=KEY, at=just_before, total_input_tokens=1).rule_id == 2


@pytest.mark.parametrize(
    ("clock", "rule_id"), [("00:29:59", 1), ("00:30:00", 2), ("16:29:59", 2), ("16:30:00", 1)]
)
def test_an_hourly_price_holds_in_its_part_of_the_utc_day(clock, rule_id):
    book = make_book(
        make_offer(
            make_rule(rule_id=1, card=make_card({"input": "0.135"})),
            make_rule(
                rule_id=2,
                card=make_card({"input": "0.27"}),
                window=DayWindow(time(0, 30), time(16, 30)),
            ),
        )
    )
    at = datetime.fromisoformat(f"2026-11-20T{clock}+00:00")
    assert rates_at(book, key=KEY, at=at, total_input_tokens=1).rule_id == rule_id


def test_a_window_past_midnight_holds_on_both_sides_of_it():
    window = DayWindow(time(22, 0), time(2, 0))
    inside = [datetime(2026, 11, 20, hour, tzinfo=UTC) for hour in (22, 23, 0, 1)]
    outside = [datetime(2026, 11, 20, hour, tzinfo=UTC) for hour in (2, 12, 21)]
    assert all(window.contains(at) for at in inside)
    assert not any(window.contains(at) for at in outside)


def test_a_missing_meter_is_unknown_and_never_zero():
    book = make_book(make_offer(make_rule(card=make_card({"input": "5", "output": "30"}))))
    rated = rates_at(book, key=KEY, at=NOW, total_input_tokens=10)
    for token_class in ("cache_read", "audio_input", "image_output"):
        with pytest.raises(UnknownPrice) as caught:
            price_usage(Usage(**{token_class: 10}), rated)
        assert caught.value.fields["token_classes"] == (token_class,)


def test_an_offer_or_tier_without_a_rule_has_no_rates():
    book = make_book(
        make_offer(make_rule(card=make_card({"input": "5"}), valid_from=NOW)),
    )
    for key, at in (
        (OfferKey("openai", "other"), NOW),
        (tier_key(Tier.BATCH), NOW),
        (KEY, NOW - timedelta(days=1)),
    ):
        assert find_rates(book, key=key, at=at, total_input_tokens=1) is None
        with pytest.raises(UnknownPrice):
            rates_at(book, key=key, at=at, total_input_tokens=1)


def test_a_region_without_its_own_price_is_sold_at_the_global_one():
    eu = OfferKey("openai", "gpt-test", "eu")
    book = make_book(make_offer(make_rule(card=make_card({"input": "5"}))))
    assert rates_at(book, key=eu, at=NOW, total_input_tokens=1).key == KEY
    own = make_book(
        make_offer(make_rule(card=make_card({"input": "5"}))),
        make_offer(make_rule(card=make_card({"input": "5.5"})), key=eu),
    )
    assert rates_at(own, key=eu, at=NOW, total_input_tokens=1).key == eu


def test_a_card_in_another_currency_does_not_complete_one():
    book = make_book(
        make_offer(
            make_rule(rule_id=1, card=make_card({"input": "5", "cache_read": "1"})),
            make_rule(
                rule_id=2,
                source=PriceSource.CONTRACT,
                card=make_card({"input": "400"}, currency="INR"),
            ),
        )
    )
    rated = rates_at(book, key=KEY, at=NOW, total_input_tokens=1)
    assert rated.rates.currency == "INR"
    assert rated.rates.price_of(TokenClass.CACHE_READ) is None


def test_a_request_fee_is_counted_once_per_request():
    # The book has every meter per million: 5 USD per 1,000 requests.
    book = make_book(make_offer(make_rule(card=make_card({"request": "5000", "input": "1"}))))
    rated = rates_at(book, key=KEY, at=NOW, total_input_tokens=1)
    assert price_usage(Usage(request=3), rated).total_nanos == 3 * 5_000_000


def test_the_answer_is_kept_between_edges_and_names_the_version():
    book = make_book(make_offer(make_rule(card=make_card({"input": "5"}))), version=7)
    first = rates_at(book, key=KEY, at=NOW, total_input_tokens=1)
    again = rates_at(book, key=KEY, at=NOW + timedelta(days=1), total_input_tokens=9)
    assert first is again
    assert first.price_version == 7


def test_slugs_leave_out_what_is_usual():
    assert OfferKey("openai", "gpt-5.4").slug == "openai/gpt-5.4"
    assert OfferKey("aws", "m", "eu", Tier.BATCH).slug == "aws/eu/m@batch"
