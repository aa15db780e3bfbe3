from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from o10.kernel import figures
from o10.kernel.money import MAX_NANOS, NANOS_PER_UNIT, parse_nanos
from tests.core.kernel.golden import golden

VECTORS = golden("figures")
NANOS = st.integers(-MAX_NANOS, MAX_NANOS)
NOW = datetime(2026, 11, 22, 5, tzinfo=UTC)


@pytest.mark.parametrize("kind", ["money", "money_exact", "unit_cost", "rate"])
def test_amounts_are_written_as_the_table_says(kind):
    write = getattr(figures, kind)
    for amount, currency, text in VECTORS[kind]:
        assert str(write(parse_nanos(amount), currency)) == text


@pytest.mark.parametrize("number, text", VECTORS["count"])
def test_counts_have_three_digits_and_the_exact_value_behind(number, text):
    figure = figures.count(number)
    assert figure.text == text
    assert int(figure.exact.replace(",", "").replace(figures.MINUS, "-")) == number


@pytest.mark.parametrize("part, whole, text", VECTORS["percent"])
def test_shares_have_one_decimal(part, whole, text):
    assert figures.percent(part=part, whole=whole).text == text


@pytest.mark.parametrize("new, base, text", VECTORS["percent_change"])
def test_changes_are_signed_and_not_applicable_without_a_base(new, base, text):
    figure = figures.percent_change(new=new, base=base)
    assert figure.text == text
    assert (figure.text == "n/a") == figure.spoken.startswith("not applicable: ")


@pytest.mark.parametrize("ppm, text", VECTORS["points"])
def test_differences_of_percents_are_points(ppm, text):
    assert figures.points(ppm).text == text


@pytest.mark.parametrize("new, base, text", VECTORS["delta"])
def test_deltas_show_money_and_percent_together(new, base, text):
    figure = figures.delta(new=parse_nanos(new), base=parse_nanos(base))
    assert figure.text == text


@pytest.mark.parametrize("value, floor, text", VECTORS["score"])
def test_scores_are_compared_before_they_are_rounded(value, floor, text):
    assert figures.score(Decimal(value), floor=Decimal(floor)).text == text


@pytest.mark.parametrize("at, zone, text", VECTORS["instant"])
def test_times_name_their_zone(at, zone, text):
    instant = datetime.fromisoformat(at)
    assert figures.instant(instant, time_zone=zone).text == text
    assert figures.instant(instant, time_zone=zone).exact == at
    assert text.endswith(figures.clock_time(instant, time_zone=zone).text)


@pytest.mark.parametrize("seconds, text", VECTORS["ago"])
def test_ages_carry_the_exact_time(seconds, text):
    figure = figures.ago(NOW - timedelta(seconds=seconds), now=NOW)
    assert figure.text == text
    assert "2026 0" in figure.exact or figure == figures.instant(
        NOW - timedelta(seconds=seconds)
    )


@pytest.mark.parametrize("raw, guarded", VECTORS["csv_text"])
def test_csv_text_is_never_a_formula(raw, guarded):
    assert figures.csv_text(raw) == guarded


def test_csv_money_is_a_raw_decimal_and_empty_when_missing():
    assert figures.csv_money(parse_nanos("-7120.5")) == "-7120.50"
    assert figures.csv_money(None) == ""


def test_dates_are_day_month_year():
    assert figures.day(date(2026, 11, 2)) == figures.Figure("2 Nov 2026", "2026-11-02")


MISSING = {
    "money": lambda: figures.money(None),
    "money_exact": lambda: figures.money_exact(None),
    "unit_cost": lambda: figures.unit_cost(None),
    "rate": lambda: figures.rate(None),
    "count": lambda: figures.count(None),
    "count_exact": lambda: figures.count_exact(None),
    "percent": lambda: figures.percent(part=None, whole=1),
    "percent_change": lambda: figures.percent_change(new=1, base=None),
    "points": lambda: figures.points(None),
    "delta": lambda: figures.delta(new=None, base=1),
    "score": lambda: figures.score(None, floor=Decimal(65)),
    "day": lambda: figures.day(None),
    "instant": lambda: figures.instant(None),
    "clock_time": lambda: figures.clock_time(None),
    "ago": lambda: figures.ago(None, now=NOW),
}


@pytest.mark.parametrize("name", MISSING)
def test_missing_is_a_dash_read_out_as_not_measured_and_never_a_zero(name):
    assert MISSING[name]() == figures.Figure("—", spoken="not measured")


def test_a_column_has_one_unit_and_one_precision():
    values = [parse_nanos(text) for text in ("12345678", "414390", "0", "-712")]
    scale = figures.money_scale([*values, None])
    assert scale.header("EUR") == "EUR M"
    assert [figures.money(value, scale=scale).text for value in values] == [
        "$12.35M",
        "$0.41M",
        "$0.00M",
        "> −$0.01M",
    ]
    assert figures.money_scale([]).header() == "USD"


@given(NANOS)
def test_only_zero_is_written_as_zero(nanos):
    text = figures.money(nanos).text
    digits = {character for character in text if character.isdigit()}
    assert (digits == {"0"}) == (nanos == 0)


@given(NANOS)
def test_amounts_never_use_a_hyphen_or_brackets_and_put_the_sign_first(nanos):
    for write in (figures.money, figures.money_exact, figures.unit_cost, figures.rate):
        text = write(nanos).text
        assert not set(text) & set("-()")
        assert (figures.MINUS in text) == (nanos < 0)


@given(NANOS)
def test_a_shown_amount_is_within_half_of_its_last_digit(nanos):
    scale = figures.money_scale([nanos])
    shown = figures.money(nanos)
    if "<" in shown.text or ">" in shown.text:
        return
    number = Decimal(
        shown.text.replace("$", "").replace(",", "").replace(figures.MINUS, "-").rstrip("kMB")
    )
    off = abs(number * scale.divisor - nanos)
    assert off * 2 * 10**scale.decimals <= scale.divisor


@given(NANOS)
def test_exact_amounts_read_back_to_the_nano(nanos):
    text = figures.money_exact(nanos).text.replace("$", "").replace(",", "")
    assert Decimal(text.replace(figures.MINUS, "-")) == Decimal(nanos).scaleb(-9)


def test_small_changes_have_no_colour():
    unit = NANOS_PER_UNIT
    assert not figures.is_material(new=1_500 * unit, base=1_000 * unit)
    assert figures.is_material(new=1_501 * unit, base=1_000 * unit)
    assert not figures.is_material(new=1_020_000 * unit, base=1_000_000 * unit)
    assert figures.is_material(new=1_020_001 * unit, base=1_000_000 * unit)
    assert figures.is_material(new=-501 * unit, base=0)


@pytest.mark.parametrize(
    ("rows", "shown", "total"),
    [
        (("312.50", "125.00", "125.00", "62.50"), ["$313", "$125", "$125", "$63"], "$625"),
        (("93.75", "75.00", "125.00", "62.50"), ["$94", "$75", "$125", "$63"], "$356"),
    ],
)
def test_rows_that_do_not_add_up_as_shown_say_rounded(rows, shown, total):
    amounts = [parse_nanos(text) for text in rows]
    scale = figures.money_scale([*amounts, sum(amounts)])
    assert [figures.money(amount, scale=scale).text for amount in amounts] == shown
    assert figures.money(sum(amounts), scale=scale).text == total
    assert figures.rounding_note(parts=amounts, total=sum(amounts)) == "rounded"
    cents = figures.Scale(NANOS_PER_UNIT, 2, "")
    assert figures.rounding_note(parts=amounts, total=sum(amounts), scale=cents) == ""
