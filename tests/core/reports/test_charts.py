"""Does a figure say what the frame says, in roles and without floats?"""

import json
from datetime import date

from reports.charts.axes import compact, drawn, label_unit, ticks
from reports.charts.spend_against_plan import draw_spend_against_plan
from reports.charts.spend_by_day import draw_spend_by_day
from reports.queries.frames import days_of_spend, months_against_plan

UNIT = 10**9
MONTHS = [date(2026, month, 1) for month in range(1, 13)]


def frame(over=1):
    spent = {m: (200_000 + place * 15_000) * UNIT for place, m in enumerate(MONTHS)}
    planned = {m: (205_000 + place * 14_000) * UNIT * over for place, m in enumerate(MONTHS)}
    return months_against_plan(
        months=MONTHS,
        spent=spent,
        planned=planned,
        due_now=planned[MONTHS[10]] * 9 // 10,
        until=date(2026, 11, 16),
    )


def test_the_running_month_is_compared_with_the_plan_to_date():
    months = frame()
    running = months.iloc[10]
    assert running["due_nanos"] == running["pl_nanos"] * 9 // 10
    assert running["delta_nanos"] == running["ac_nanos"] - running["due_nanos"]
    assert str(months.iloc[11]["ac_nanos"]) == "<NA>"
    assert [str(kind) for kind in months.dtypes[1:]] == ["Int64"] * 4


def test_the_figure_has_roles_and_no_colours_of_its_own():
    drawing = draw_spend_against_plan(frame(), currency="USD", paths=["/?p=2026-01"] * 12)
    text = json.dumps(drawing.figure)
    assert [trace["meta"]["role"] for trace in drawing.figure["data"]] == [
        "pl",
        "ac",
        "neutral",
    ]
    assert "template" not in drawing.figure["layout"]
    assert "#" not in text and "rgb" not in text
    assert len(text) < 6_000


def test_marks_lead_to_their_month_and_carry_integers():
    drawing = draw_spend_against_plan(frame(), currency="USD", paths=["/?p=2026-01"] * 12)
    spent = drawing.figure["data"][1]
    assert spent["customdata"][0] == "/?p=2026-01"
    assert spent["y"][0] == drawn(200_000 * UNIT)
    assert spent["y"][11] is None
    # The label stands on the taller of the two, so that it never lies inside the other's frame.
    plan = drawing.figure["data"][0]
    assert sorted([plan["text"][0], spent["text"][0]]) == ["", "200"]
    assert all(value is None or isinstance(value, int) for value in spent["y"])


def test_variances_share_the_scale_of_the_columns_or_say_so():
    shared = draw_spend_against_plan(frame(), currency="USD", paths=[""] * 12)
    low, high = shared.figure["layout"]["yaxis2"]["range"]
    top = shared.figure["layout"]["yaxis"]["range"][1]
    assert shared.scale_note == ""
    # Same units a pixel: the tiers are 0.24 and 0.66 of the height.
    assert abs((high - low) / 0.24 - top / 0.66) < top * 0.02
    own = draw_spend_against_plan(frame(over=9), currency="USD", paths=[""] * 12)
    assert own.scale_note == "ΔPL on a scale of its own"


def test_tones_follow_the_materiality_band():
    drawing = draw_spend_against_plan(frame(), currency="USD", paths=[""] * 12)
    tones = drawing.figure["data"][2]["meta"]["tones"]
    assert tones[0] == "favourable"  # -5,000 on 205,000
    assert tones[5] == "neutral"  # exactly on plan
    assert tones[10] == "adverse"


def test_an_empty_ledger_still_draws():
    empty = months_against_plan(
        months=MONTHS, spent={}, planned={}, due_now=None, until=date(2026, 1, 1)
    )
    drawing = draw_spend_against_plan(empty, currency="USD", paths=[""] * 12)
    assert drawing.figure["data"][1]["y"][0] == 0


def test_days_sum_up_to_the_last_known_day():
    days = [date(2026, 11, day) for day in range(1, 31)]
    found = days_of_spend(days=days, rows=[], until=date(2026, 11, 3))
    assert list(found["cumulative_nanos"][:3]) == [0, 0, 0]
    assert str(found["ac_nanos"][3]) == "<NA>"
    figure = draw_spend_by_day(
        found, currency="USD", plan=30 * UNIT, cap=40 * UNIT, paths=["/ledger/"] * 30
    )
    assert [trace["meta"]["role"] for trace in figure["data"]] == ["ac", "ac", "pl", "cap"]
    assert figure["data"][2]["y"][-1] == drawn(30 * UNIT)


def test_ticks_are_round_and_written_by_our_rules():
    at, text = ticks(417_000 * UNIT, currency="USD")
    assert text == ["$0", "$200,000", "$400,000"]
    assert at == [drawn(0), drawn(200_000 * UNIT), drawn(400_000 * UNIT)]
    assert ticks(0, currency="USD") == ([0], ["$0"])


def test_labels_have_at_most_four_digits():
    assert label_unit(431_000 * UNIT) == (1_000 * UNIT, "thousands")
    assert label_unit(80 * UNIT) == (UNIT, "")
    assert compact(-7_400 * UNIT, unit=1_000 * UNIT) == "−7"
