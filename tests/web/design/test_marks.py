"""Do marks and filters say what the numbers say?"""

import re

import pytest
from django.template import TemplateSyntaxError
from hypothesis import given, settings
from hypothesis import strategies as st

from o10.kernel.money import Money
from o10.templatetags import figures, marks

AMOUNTS = st.integers(min_value=0, max_value=10**16)


@settings(max_examples=60, deadline=None)
@given(AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS | st.none(), AMOUNTS | st.none())
def test_bullet_stays_inside_its_box_and_its_parts_follow_each_other(
    spent: int, held: int, unsettled: int, cap: int | None, forecast: int | None
) -> None:
    shown = marks.bullet(spent, cap=cap, held=held, unsettled=unsettled, forecast=forecast)
    edge = 0.0
    for bar in shown["bars"]:
        left, width = float(bar.x), float(bar.width)
        assert 0 <= left and left + width <= 160.9
        if bar.kind != "over":
            assert left >= edge - 0.9  # a part that is nearly nothing is drawn 0.8 wide
            edge = left + width
    over = any(bar.kind == "over" for bar in shown["bars"])
    assert over == (cap is not None and spent + held + unsettled > cap)
    assert (shown["cap"] is not None) == (cap is not None)
    if shown["cap"]:
        assert 0 <= float(shown["cap"].x) <= 158


def test_bullet_of_no_cap_marks_no_limit_and_cap_zero_does() -> None:
    assert marks.bullet(5)["cap"] is None
    assert marks.bullet(0, cap=0)["cap"] is not None
    assert any(bar.kind == "over" for bar in marks.bullet(1, cap=0)["bars"])


def test_forecast_beyond_the_cap_is_a_breach() -> None:
    assert marks.bullet(50, cap=100, forecast=101)["breach"]
    assert not marks.bullet(50, cap=100, forecast=100)["breach"]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(10**15), 10**15) | st.none(), max_size=60), st.integers(0, 70))
def test_sparkline_never_leaves_its_box(values: list[int | None], forecast: int) -> None:
    drawn = str(marks.sparkline(values, forecast=forecast))
    known = [value for value in values if value is not None]
    if len(known) < 2:
        assert drawn == ""
        return
    for x, y in re.findall(r"[ML]([\d.-]+) ([\d.-]+)", drawn):
        assert 0 <= float(x) <= 120 and 0 <= float(y) <= 30


def test_sparkline_breaks_where_nothing_was_measured() -> None:
    assert str(marks.sparkline([1, 2, None, 3, 4])).count("M") == 2
    assert "is-forecast" in str(marks.sparkline([1, 2, 3], forecast=1))


def test_status_words_keep_their_tones() -> None:
    assert marks.status("enforce") == {"word": "Enforce", "tone": "favourable"}
    assert marks.status("stepped_back")["tone"] == "adverse"
    assert marks.status("allow_with_caps")["word"] == "Allow with caps"
    assert marks.status("something new")["tone"] == "neutral"
    assert marks.status("x", tone='"><script>')["tone"] == "neutral"
    assert set(marks.STATUS_TONES.values()) <= marks.TONES


def test_icon_names_cannot_reach_other_files() -> None:
    for name in ("../_seal", "", "a/b", "A"):
        with pytest.raises(TemplateSyntaxError):
            marks.icon(name)
    assert "<svg" in marks.icon("ledger")


def test_filters_take_nanos_and_money_and_keep_the_exact_value() -> None:
    assert "$414,390" in figures.money(414_390 * 10**9)
    assert "EUR" in figures.money(Money("EUR", 12_400 * 10**9))
    assert "$0.012345678" in figures.money_exact(12_345_678)
    assert 'title="4,812,337"' in figures.count(4_812_337)
    assert "not measured" in figures.money(None)
    assert figures.figure("<b>") == "&lt;b&gt;"


def test_delta_is_grey_inside_the_band_and_has_tone_and_word_beyond() -> None:
    usd = 10**9
    assert figures.delta(100_010 * usd, 100_000 * usd)["up"] is None
    rise = figures.delta(131_900 * usd, 112_000 * usd)
    assert (rise["tone"], rise["up"], rise["word"]) == ("adverse", True, "adverse")
    saving = figures.delta(131_900 * usd, 112_000 * usd, more_is="favourable")
    assert saving["tone"] == "favourable"
    assert figures.delta(None, 5)["tone"] == "neutral"
