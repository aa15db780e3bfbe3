"""Do the ceilings of an offer, kept for a while, say what asking for each call would say?"""

from datetime import UTC, datetime, time, timedelta

from hypothesis import given
from hypothesis import strategies as st

from ledger.core.price_terms import DayWindow, PriceSource
from ledger.core.pricing import ceiling_rates, ladder_at

from .prices import KEY, make_book, make_card, make_offer, make_rule

START = datetime(2026, 11, 20, tzinfo=UTC)
HOURS = st.integers(min_value=-40, max_value=80)
instants = HOURS.map(lambda hours: START + timedelta(hours=hours))
clocks = st.integers(min_value=0, max_value=23).map(time)
cards = st.builds(
    lambda short, long, above: make_card({"input": {0: short, above: long}, "output": "4"}),
    st.sampled_from(("1", "2", "3")),
    st.sampled_from(("1", "5")),
    st.sampled_from((100, 200)),
)
rules = st.builds(
    lambda number, card, source, start, length, window: make_rule(
        rule_id=number,
        card=card,
        source=source,
        valid_from=start,
        valid_to=None if length is None else start + timedelta(hours=length),
        window=window,
    ),
    st.integers(min_value=1, max_value=99),
    cards,
    st.sampled_from(PriceSource),
    instants,
    st.sampled_from((None, 1, 30)),
    st.one_of(st.none(), st.builds(DayWindow, clocks, clocks)),
)


@given(st.lists(rules, min_size=1, max_size=4, unique_by=lambda rule: rule.rule_id), instants)
def test_a_ladder_gives_the_ceiling_of_every_input_for_as_long_as_it_says(made, at):
    book = make_book(make_offer(*made))
    ladder = ladder_at(book, key=KEY, at=at)
    assert ladder is not None
    ends = [
        at,
        *((ladder.since,) if ladder.since else ()),
        *((ladder.until - timedelta(microseconds=1),) if ladder.until else ()),
    ]
    for tokens in (0, 1, 100, 101, 200, 201, 9_999):
        below = [rated for above, rated in ladder.rungs if above < tokens]
        found = below[-1] if below else None
        for instant in ends:
            assert found == ceiling_rates(book, key=KEY, at=instant, max_input_tokens=tokens)


def test_a_ladder_without_a_rule_says_when_there_will_be_one():
    later = START + timedelta(hours=3)
    rule = make_rule(card=make_card({"input": "1"}), valid_from=later)
    book = make_book(make_offer(rule))
    before = ladder_at(book, key=KEY, at=START)
    assert before is not None
    assert (before.rungs, before.until) == ((), later)
    after = ladder_at(book, key=KEY, at=later)
    assert after is not None
    assert (len(after.rungs), after.since, after.until) == (1, later, None)


def test_an_offer_nobody_prices_has_no_ladder():
    assert ladder_at(make_book(), key=KEY, at=START) is None
