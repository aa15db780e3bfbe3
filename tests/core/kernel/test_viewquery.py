from datetime import UTC, datetime
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel.viewquery import (
    DIMENSIONS,
    FILTERS,
    MAX_FILTERS,
    MAX_SEQ,
    Baseline,
    Comparison,
    Direction,
    Filter,
    Match,
    PageGrammar,
    PeriodRange,
    Sort,
    Unit,
    ViewQuery,
    parse,
    period_range,
    to_text,
)
from tests.core.kernel.golden import golden

VECTORS = golden("viewquery")
PAGE = PageGrammar(columns=("spent", "var"))


def read(text, page=PAGE):
    return parse(parse_qsl(text, keep_blank_values=True), page=page)


@pytest.mark.parametrize("given_text, canonical", VECTORS["canonical"])
def test_equal_views_have_equal_addresses(given_text, canonical):
    parsed = read(given_text)
    assert parsed.messages == ()
    assert to_text(parsed.query, page=PAGE) == canonical
    assert read(canonical).query == read(to_text(read(canonical).query, page=PAGE)).query


@pytest.mark.parametrize("text, message", VECTORS["refused"])
def test_what_a_page_does_not_know_is_named_and_left_out(text, message):
    parsed = read(text)
    assert parsed.messages == (message,)
    assert parsed.query == ViewQuery()


def test_one_wrong_part_leaves_the_others_standing():
    parsed = read("p=2026-11&unit=euros&page=3")
    assert len(parsed.messages) == 1
    assert parsed.query == ViewQuery(period=period_range("2026-11"), page_number=3)


@pytest.mark.parametrize(
    "text", ["f=env", "f=:x", "f=env:", "f=secret:1", "f=tag::x", "f=env:a%00"]
)
def test_filters_need_a_known_key_and_a_value(text):
    parsed = read(text)
    assert parsed.query.filters == ()
    assert parsed.messages[0].startswith("f=")


def test_a_flood_of_filters_ends_at_the_limit():
    parsed = read("&".join(f"f=model:m{index}" for index in range(MAX_FILTERS + 3)))
    assert len(parsed.query.filters) == MAX_FILTERS
    assert len(parsed.messages) == 3


def test_a_message_does_not_repeat_a_long_or_unprintable_value():
    parsed = read("unit=" + "x" * 5000 + "%1b%5b31m")
    assert len(parsed.messages[0]) < 200
    assert "\x1b" not in read("unit=a%1b%5b31m").messages[0]


def test_filters_of_one_key_are_kept_and_dropped_values():
    query = read("f=env:a&f=env:!b&f=model:m&f=env:c").query
    assert query.values_of("env") == ("a", "c")
    assert query.values_of("env", Match.IS_NOT) == ("b",)
    assert query.values_of("venue") == ()


def test_defaults_of_the_page_are_left_out_of_the_address():
    page = PageGrammar(
        columns=("spent",), default_by="model", default_sort=Sort("spent", Direction.DESCENDING)
    )
    assert to_text(read("by=model&sort=-spent", page).query, page=page) == ""
    assert to_text(read("by=venue&sort=spent", page).query, page=page) == "by=venue&sort=spent"


@pytest.mark.parametrize(
    ("text", "label", "start", "end"),
    [
        ("2026-11", "Nov 2026", "2026-10-31T23:00:00+00:00", "2026-11-30T23:00:00+00:00"),
        ("2026-Q4", "Q4 2026", "2026-09-30T22:00:00+00:00", "2026-12-31T23:00:00+00:00"),
        ("2026", "2026", "2025-12-31T23:00:00+00:00", "2026-12-31T23:00:00+00:00"),
        (
            "2026-01..2026-11",
            "Jan 2026 – Nov 2026",
            "2025-12-31T23:00:00+00:00",
            "2026-11-30T23:00:00+00:00",
        ),
    ],
)
def test_a_period_has_a_name_and_utc_bounds_of_its_zone(text, label, start, end):
    period = period_range(text)
    assert period.text == text
    assert period.label == label
    assert period.bounds("Europe/Berlin") == (
        datetime.fromisoformat(start),
        datetime.fromisoformat(end),
    )


def test_bounds_without_a_zone_are_utc():
    assert period_range("2026-11").bounds()[0] == datetime(2026, 11, 1, tzinfo=UTC)


NAMES = st.text(
    st.characters(min_codepoint=0x20, exclude_characters="\x7f", exclude_categories=("Cs",)),
    min_size=1,
    max_size=20,
)
VALUES = NAMES.filter(lambda text: not text.startswith("!"))
MONTHS = st.integers(2000 * 12, 2099 * 12 + 11)
QUERIES = st.builds(
    ViewQuery,
    period=st.none()
    | st.builds(lambda a, b: PeriodRange(min(a, b), max(a, b)), MONTHS, MONTHS),
    comparison=st.sampled_from([Comparison(), Comparison(Baseline.PRIOR_YEAR)])
    | st.builds(
        lambda name: Comparison(Baseline.FORECAST, name),
        st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True),
    ),
    by=st.none() | st.sampled_from(DIMENSIONS) | st.just("tag:team"),
    filters=st.lists(
        st.builds(
            Filter, st.sampled_from((*FILTERS, "tag:team")), VALUES, st.sampled_from(Match)
        ),
        max_size=5,
        unique=True,
    ).map(lambda filters: tuple(sorted(filters))),
    unit=st.sampled_from(Unit),
    sort=st.none() | st.builds(Sort, st.sampled_from(PAGE.columns), st.sampled_from(Direction)),
    columns=st.sampled_from([(), ("var",), ("spent", "var")]),
    page_number=st.integers(1, 100_000),
    as_of=st.none() | st.integers(0, MAX_SEQ),
)


@given(QUERIES)
def test_every_view_reads_back_from_its_address(query):
    parsed = read(to_text(query, page=PAGE))
    assert parsed.messages == ()
    assert parsed.query == query


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=200)), max_size=20))
def test_no_address_breaks_a_page(pairs):
    parsed = parse(pairs, page=PAGE)
    assert read(to_text(parsed.query, page=PAGE)).messages == ()
