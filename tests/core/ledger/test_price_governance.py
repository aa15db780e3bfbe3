"""Are conversion, effect, quarantine and revaluation exact, and do records return?"""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.core.fx import FxRate, by_currency, convert, in_our_currency, rate_text
from ledger.core.price_catalogue import Catalogue, CatalogueRow, DatedCard, Mode
from ledger.core.price_digest import card_of, card_text
from ledger.core.price_effect import UsedOffer, effect_of
from ledger.core.price_plausibility import Doubt
from ledger.core.price_proposal import propose, rules_of_row
from ledger.core.price_record import row_of, row_record
from ledger.core.price_terms import (
    Bracket,
    DayWindow,
    OfferKey,
    PriceRule,
    PriceSource,
    RateCard,
    Tier,
)
from ledger.core.pricing import Offer, compile_book, find_rates
from ledger.core.revaluation import Standing, Why, difference_of, posting_instant
from o10.kernel.errors import ValidationFailed
from o10.kernel.money import parse_nanos
from o10.kernel.usage import TokenClass, Usage

NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
START = datetime(2026, 1, 1, tzinfo=UTC)
KEY = OfferKey("openai", "gpt-x")
GOLDEN = Path(__file__).parents[2] / "golden" / "price_effect.json"


def card(paid: int, made: int, currency: str = "USD") -> RateCard:
    return RateCard(currency, {"input": (Bracket(0, paid),), "output": (Bracket(0, made),)})


def rule(each: RateCard, **changes) -> PriceRule:
    terms = {
        "rule_id": 1,
        "source": PriceSource.LIST,
        "source_name": "file",
        "version": 1,
        "valid_from": START,
        "card": each,
    }
    return PriceRule(**(terms | changes))


def book(*rules: PriceRule, version: int = 1):
    return compile_book(version=version, digest=bytes(32), offers=[Offer(KEY, rules)])


def fx(rate: str, day: date, since: int = 1, currency: str = "INR") -> FxRate:
    return FxRate(currency=currency, rate=rate, rate_date=day, source="ecb", since=since)


def test_a_price_in_rupees_is_a_price_in_dollars_at_each_dated_rate():
    rates = by_currency([fx("0.012", date(2026, 1, 1)), fx("0.0125", date(2026, 11, 20))])
    rules = in_our_currency([rule(card(100, 300, "INR"))], currency="USD", rates=rates)
    priced = book(*rules)
    before = find_rates(priced, key=KEY, at=NOW - timedelta(days=1), total_input_tokens=1)
    after = find_rates(priced, key=KEY, at=NOW, total_input_tokens=1)
    assert before.rates.currency == "USD"
    assert before.rates.per_million[TokenClass.INPUT] == 1
    assert after.rates.per_million[TokenClass.OUTPUT] == 4
    assert (before.fx.rate, before.fx.rate_date) == ("0.012", date(2026, 1, 1))
    assert after.fx.currency == "INR"


def test_a_later_word_for_the_same_date_takes_its_place():
    rates = by_currency([fx("0.02", date(2026, 1, 1), 3), fx("0.01", date(2026, 1, 1), 2)])
    assert [each.rate for each in rates["INR"]] == ["0.02"]


def test_a_currency_without_a_rate_has_no_price_in_ours():
    rules = in_our_currency([rule(card(100, 300, "INR"))], currency="USD", rates={})
    assert rules[0].card.currency == "INR"
    early = in_our_currency(
        [rule(card(100, 300, "INR"))], currency="USD", rates={"INR": [fx("1", NOW.date())]}
    )
    assert find_rates(book(*early), key=KEY, at=START, total_input_tokens=1) is None


def test_a_converted_older_contract_does_not_outrank_a_newer_one():
    older = rule(card(100, 300, "INR"), source=PriceSource.CONTRACT)
    newer = rule(
        card(7, 7), rule_id=2, source=PriceSource.CONTRACT, valid_from=START + timedelta(days=9)
    )
    rates = by_currency([fx("1", date(2026, 1, 1)), fx("1.1", date(2026, 11, 1))])
    rules = in_our_currency([older, newer], currency="USD", rates=rates)
    assert find_rates(book(*rules), key=KEY, at=NOW, total_input_tokens=1).rule_id == 2


@given(
    st.integers(0, 10**12),
    st.integers(1, 10**9 - 1),
    st.integers(0, 15),
)
def test_conversion_is_exact_to_the_nano(nanos, digits, decimals):
    rate = rate_text(f"{digits // 10**decimals}.{digits % 10**decimals:0{max(1, decimals)}d}")
    got = convert(nanos, rate)
    assert abs(got * 10**decimals * 2 - nanos * digits * 2) <= 10**decimals


@pytest.mark.parametrize("text", ["", "0", "0.000", "-1", "1e3", "1,5", "1.2.3", "∞", "1 2"])
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(ValidationFailed):
        rate_text(text)


def use(tokens: int, made: int, *, calls: int = 1, use_case: int = 3) -> UsedOffer:
    used = Usage(input=tokens, output=made)
    return UsedOffer(KEY, use_case, NOW - timedelta(days=3), calls, tokens // calls, used)


def test_the_effect_prices_every_entry_twice_with_its_own_threshold():
    old = book(rule(card(2_500_000_000, 15_000_000_000)))
    tiers = RateCard(
        "USD",
        {
            "input": (Bracket(0, 2_000_000_000), Bracket(1_000, 4_000_000_000)),
            "output": (Bracket(0, 12_000_000_000),),
        },
    )
    new = book(rule(tiers, valid_from=NOW, rule_id=2, version=2), version=2)
    uses = [use(1_000, 100), use(1_001, 100, use_case=4), use(2_000, 10, calls=2)]
    found = effect_of(uses, before=old, after=new, at={KEY.slug: NOW})
    assert found.total.before == sum(
        t * 2_500 + m * 15_000 for t, m in ((1_000, 100), (1_001, 100), (2_000, 10))
    )
    assert found.total.after == (1_000 * 2_000 + 1_001 * 4_000 + 2_000 * 2_000 + 210 * 12_000)
    assert found.by_use_case[4].delta == 1_001 * 1_500 - 100 * 3_000
    assert sum(each.delta for each in found.by_use_case.values()) == found.total.delta
    assert found.total.calls == 4


def test_the_effect_of_a_proposal_is_what_a_hand_computes():
    golden = json.loads(GOLDEN.read_text())

    def priced(said, **more):
        meters = {
            name: tuple(Bracket(above, parse_nanos(paid)) for above, paid in brackets)
            for name, brackets in said.items()
        }
        return rule(RateCard("USD", meters), **more)

    before = book(priced(golden["before"]))
    after = book(priced(golden["after"], valid_from=NOW, rule_id=2, version=2), version=2)
    uses = []
    for each in golden["uses"]:
        used = Usage(input=each["input"], cache_read=each["cache_read"], output=each["output"])
        size = (each["input"] + each["cache_read"]) // each["calls"]
        at = NOW - timedelta(days=3)
        uses.append(UsedOffer(KEY, each["use_case"], at, each["calls"], size, used))
        one = effect_of([uses[-1]], before=before, after=after, at={KEY.slug: NOW}).total
        assert (one.before, one.after) == (each["before"], each["after"]), each["why"]
    found = effect_of(uses, before=before, after=after, at={KEY.slug: NOW})
    assert {
        str(number): [sums.before, sums.after] for number, sums in found.by_use_case.items()
    } == golden["by_use_case"]
    total = {name: getattr(found.total, name) for name in golden["total"]}
    assert total == golden["total"]


def test_what_one_book_has_no_price_for_is_counted_and_in_no_sum():
    old = book(rule(card(1_000_000, 1_000_000)))
    lost = RateCard("USD", {"input": (Bracket(0, 1),)})
    new = book(rule(lost, valid_from=NOW))
    found = effect_of([use(10, 10), use(10, 0)], before=old, after=new, at={KEY.slug: NOW})
    assert (found.total.unpriced, found.total.calls) == (1, 2)
    assert found.total.before == 10


def row(paid: int, made: int) -> CatalogueRow:
    return CatalogueRow(
        name="gpt-x", key=KEY, cards=(DatedCard(START, card(paid, made)),), mode=Mode.CHAT
    )


def proposed(paid: int, made: int):
    catalogue = Catalogue(name="file", version="2", sha256="00", rows=(row(paid, made),))
    return propose(book=book(rule(card(100, 400))), catalogue=catalogue, now=NOW)


@pytest.mark.parametrize(
    ("paid", "apart"), [(125, False), (126, True), (75, False), (74, True), (100, False)]
)
def test_a_price_that_moved_by_more_than_a_quarter_is_listed_apart(paid, apart):
    found = proposed(paid, 401)
    assert bool(found.quarantined) is apart
    assert bool(found.rules) is not apart
    if apart:
        assert found.quarantined[0].doubts == (Doubt.MOVED_OVER_QUARTER,)
        moves = {(each.meter, each.before, each.after) for each in found.quarantined[0].moves}
        assert ("input", 100, paid) in moves
        assert found.changes == ()


def test_a_released_row_adds_the_rules_it_would_have_added():
    rules = rules_of_row(book=book(rule(card(100, 400))), row=row(900, 400), now=NOW)
    assert [(each.dated.valid_from, each.dated.card) for each in rules] == [
        (NOW, card(900, 400))
    ]
    assert rules_of_row(book=book(rule(card(900, 400))), row=row(900, 400), now=NOW) == ()


def test_a_row_written_down_is_the_row_read_back():
    window = DayWindow(time(16, 30), time(0, 30))
    cards = (
        DatedCard(START, card(10**18, 0)),
        DatedCard(START, RateCard("EUR", {"tool:web_search": (Bracket(0, 5),)}), window),
    )
    said = replace(row(1, 1), cards=cards, key=replace(KEY, tier=Tier.BATCH, region="eu"))
    assert row_of(row_record(said)) == said
    assert all(card_of(card_text(each.card)) == each.card for each in cards)


def standing(**changes) -> Standing:
    terms = {
        "booked": 1_000,
        "posted": 0,
        "old": 1_000,
        "new": 1_000,
        "has_quantity": True,
        "estimated": False,
    }
    return Standing(**(terms | changes))


def test_a_revaluation_posts_the_difference_once():
    assert difference_of(standing(new=700)).delta == -300
    assert difference_of(standing(new=700, posted=-300)).why is Why.SAME
    assert difference_of(standing(new=900, posted=-300)).delta == 200
    # What else was in the booked amount stays in it.
    assert difference_of(standing(booked=1_050, new=700)).after == 750


def test_a_revaluation_finds_the_price_of_what_had_none_and_never_guesses():
    assert difference_of(standing(booked=0, old=None, new=640)).delta == 640
    assert difference_of(standing(old=None, new=None)).why is Why.NO_PRICE
    assert difference_of(standing(new=1, has_quantity=False)).why is Why.NO_QUANTITY
    found = difference_of(standing(booked=5_000, old=900, new=640, estimated=True))
    assert (found.why, found.after) == (Why.PRICE_FOUND, 640)


@given(st.lists(st.integers(0, 10**12), min_size=1, max_size=6), st.integers(0, 10**12))
def test_any_chain_of_revaluations_ends_where_the_last_price_says(prices, booked):
    posted = 0
    for price in prices:
        posted += difference_of(standing(booked=booked, posted=posted, new=price)).delta
    assert booked + posted == booked + prices[-1] - 1_000


def test_a_closed_period_never_moves():
    at = NOW - timedelta(days=30)
    assert posting_instant(original_at=at, closed_until=None, now=NOW) == (at, 0)
    assert posting_instant(original_at=at, closed_until=at, now=NOW) == (at, 0)
    later = at + timedelta(microseconds=1)
    assert posting_instant(original_at=at, closed_until=later, now=NOW) == (NOW, 1)
